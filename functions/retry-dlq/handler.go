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

	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/notify/sendgrid"
	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Store    store.Config
	Dapr     jobs.Config
	Firing   reminder.FirerRules
	Sweep    reminder.SweepRules
	SendGrid sendgrid.Config
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
	channels := map[task.Channel]reminder.Channel{}
	if cfg.SendGrid.Enabled() {
		if channels[task.Email], err = sendgrid.New(cfg.SendGrid); err != nil {
			return nil, err
		}
	}
	firer := reminder.NewFirer(s, channels, time.Now, cfg.Firing)
	h := handler{sweeper: reminder.NewSweeper(s, dapr, firer, time.Now, cfg.Sweep)}
	return &function.Function{
		Handler: web.NewMux(web.Routes{"POST /": h.sweep}),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Close:   func() { dapr.Close(); s.Close() },
	}, nil
}

// sweep answers 200 with the summary, or if a part of the pass has failed, an error:
// what called it may try again.
func (h handler) sweep(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	summary, err := h.sweeper.Sweep(r.Context())
	slog.Info("swept", "summary", summary, "took", time.Since(began).String())
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, summary)
}
