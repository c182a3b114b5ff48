// retry-dlq makes the promise hold when something else has failed. It is invoked
// every minute, by any POST (a CloudEvent of a PingSource is one), and looks in
// Postgres for what should have happened and has not: reminders that are overdue,
// deliveries that are due and unsent, reminders that Dapr does not hold a job for,
// and a scheduler that has lost its data. It does what is left to do and answers a
// summary.
//
// It is internal: nobody outside the cluster can reach it. Calling it too often, or
// several times at once, does no harm.
package main

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Store     store.Config
	Dapr      jobs.Config
	Firing    reminder.FirerRules
	Sweep     reminder.SweepRules
	Providers providers.Config
}

type handler struct{ sweeper *reminder.Sweeper }

// New makes the function. Nothing is connected before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	channels, err := providers.Open(cfg.Providers, dapr)
	if err != nil {
		return nil, err
	}
	firer := reminder.NewFirer(s, channels, time.Now, cfg.Firing)
	h := handler{sweeper: reminder.NewSweeper(s, dapr, firer, time.Now, cfg.Sweep)}
	return &function.Function{
		Handler: web.NewMux(web.Routes{"POST /": h.sweep}),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Close:   func() { dapr.Close(); s.Close() },
	}, nil
}

// response is what a pass has done, and what it could not do.
type response struct {
	reminder.Summary
	Problem string `json:"problem,omitzero"`
}

// sweep answers 200 with the summary, also if Dapr was away: the next pass will do
// what is left. Without the database there is no pass, which is an error.
func (h handler) sweep(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	summary, err := h.sweeper.Sweep(r.Context())
	slog.InfoContext(r.Context(), "swept", "summary", summary, "took", time.Since(began).String())
	if fault.CodeOf(err) == fault.CodeUnavailable {
		return err
	}
	out := response{Summary: summary}
	if err != nil {
		slog.WarnContext(r.Context(), "the sweep could not do everything", "error", err)
		out.Problem = err.Error()
	}
	return web.WriteJSON(w, http.StatusOK, out)
}
