package main

import (
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
	"github.com/duebell/duebell/shared/zone"
)

// status is the state of the installation.
type status struct {
	AsOf time.Time `json:"as_of"`
	// OldestWaitingSeconds is how long the oldest due item has waited, by what it waits for.
	OldestWaitingSeconds map[string]float64 `json:"oldest_waiting_seconds"`
	Lateness             lateness           `json:"lateness"`
	LastSweep            *store.Run         `json:"last_sweep"`   // null: there was none
	LastCleanup          *store.Run         `json:"last_cleanup"` // null: there was none
	Dapr                 dapr               `json:"dapr"`
	Database             database           `json:"database"`
	Providers            []provider         `json:"providers"`
	DeadLetters          map[string]int     `json:"dead_letters"`
	Versions             versions           `json:"versions"`
}

// lateness is of the last hour.
type lateness struct {
	Reminders  int      `json:"reminders"`
	P50Seconds *float64 `json:"p50_seconds"` // null: no reminder has fired
	P99Seconds *float64 `json:"p99_seconds"`
}

// dapr is what the latest sweep found.
type dapr struct {
	State   string `json:"state"`
	Pending int    `json:"pending"` // pending reminders
}

type database struct {
	Version       string  `json:"version"`
	AnswerSeconds float64 `json:"answer_seconds"`
}

// provider counts a provider's deliveries of the last hour.
type provider struct {
	store.ProviderStatus
	SetUp bool `json:"set_up"` // at the latest sweep
}

type versions struct {
	Duebell   string `json:"duebell"`
	Schema    int64  `json:"schema"`
	TimeZones string `json:"tzdata"`
}

// status returns the state of the installation. What this function can't see itself is from the
// latest sweep.
func (h handler) status(w http.ResponseWriter, r *http.Request) error {
	if err := h.operator(r); err != nil {
		return err
	}
	st, err := h.store.Status(r.Context())
	if err != nil {
		return err
	}
	out := status{
		AsOf:                 task.Instant(time.Now()),
		OldestWaitingSeconds: map[string]float64{},
		Lateness:             lateness{Reminders: st.Lateness.Reminders},
		LastSweep:            st.Sweep, LastCleanup: st.Cleanup,
		Dapr:        dapr{State: "unknown"},
		Database:    database{st.DatabaseVersion, st.Took.Seconds()},
		Providers:   []provider{},
		DeadLetters: map[string]int{},
		Versions:    versions{Duebell: "unknown", Schema: st.Schema, TimeZones: zone.Release()},
	}
	for of, waits := range st.Waiting {
		out.OldestWaitingSeconds[of] = waits.Seconds()
	}
	if st.Lateness.Reminders > 0 {
		p50, p99 := st.Lateness.P50.Seconds(), st.Lateness.P99.Seconds()
		out.Lateness.P50Seconds, out.Lateness.P99Seconds = &p50, &p99
	}
	for _, state := range store.DeadLetterStates {
		out.DeadLetters[string(state)] = st.DeadLetters[string(state)]
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		out.Versions.Duebell = info.Main.Version
	}
	for _, p := range st.Providers {
		out.Providers = append(out.Providers, provider{ProviderStatus: p})
	}
	if st.Sweep != nil {
		out.Dapr = dapr{st.Sweep.Sentinel, st.Sweep.Pending}
		for _, channel := range append(slices.Clone(task.Channels), task.Event) {
			for _, name := range st.Sweep.Providers[channel] {
				i := slices.IndexFunc(out.Providers, func(p provider) bool { return p.Channel == channel && p.Provider == name })
				if i < 0 {
					i = len(out.Providers)
					out.Providers = append(out.Providers, provider{ProviderStatus: store.ProviderStatus{Channel: channel, Provider: name}})
				}
				out.Providers[i].SetUp = true
			}
		}
	}
	return web.WriteJSON(w, http.StatusOK, out)
}
