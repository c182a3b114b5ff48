package main

import (
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

const (
	// defaultPerSecond and mostPerSecond are how many replayed deliveries become due in a second.
	defaultPerSecond = 50
	mostPerSecond    = 1000
)

// many selects the dead letters to replay, with the filters of the list.
type many struct {
	State    store.DeadLetterState `json:"state"` // the default is dead
	Channel  task.Channel          `json:"channel"`
	Provider string                `json:"provider"`
	Since    *web.Time             `json:"since"`
	Until    *web.Time             `json:"until"`
	// Confirm is how many to replay at most. Without it they are only counted.
	Confirm   *int `json:"confirm"`
	PerSecond *int `json:"per_second"`
}

// counted is the answer with the number of dead letters that can be replayed.
type counted struct {
	Count int `json:"count"`
	// AtLeast says that the count stopped at the most that one request replays.
	AtLeast bool `json:"at_least"`
}

type replayed struct {
	Replayed int `json:"replayed"`
}

// replayMany counts the dead letters that match, or replays as many as the caller has confirmed.
// The oldest come first, so dead letters that come between the two requests are not replayed
// instead of those that were counted.
func (h handler) replayMany(w http.ResponseWriter, r *http.Request) error {
	if err := h.operator(r); err != nil {
		return err
	}
	var in many
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	f := store.DeadLetterFilter{State: in.State, Channel: in.Channel, Provider: in.Provider}
	if in.State == "" {
		f.State = store.Dead
	}
	if in.Since != nil {
		f.Since = time.Time(*in.Since)
	}
	if in.Until != nil {
		f.Until = time.Time(*in.Until)
	}
	perSecond := defaultPerSecond
	if in.PerSecond != nil {
		perSecond = *in.PerSecond
	}
	if err := check(f); err != nil {
		return err
	}
	switch {
	case f.State != store.Dead && f.State != store.Retrying:
		return fault.Invalid("state must be dead or retrying: nothing else is replayed together")
	case perSecond < 1 || perSecond > mostPerSecond:
		return fault.Invalid("per_second must be from 1 to %d", mostPerSecond)
	case in.Confirm != nil && (*in.Confirm < 1 || *in.Confirm > store.MostReplayed):
		return fault.Invalid("confirm must be the count that was answered without it, from 1 to %d", store.MostReplayed)
	}
	if in.Confirm == nil {
		n, err := h.store.CountReplayable(r.Context(), f)
		if err != nil {
			return err
		}
		return web.WriteJSON(w, http.StatusOK, counted{n, n == store.MostReplayed})
	}
	n, err := h.store.ReplayDeadLetters(r.Context(), f, *in.Confirm, perSecond)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, replayed{n})
}
