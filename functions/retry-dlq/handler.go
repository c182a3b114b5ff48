// retry-dlq runs the sweep. It finds in Postgres what should have happened and has not: overdue
// reminders, reminders without a job in Dapr, a scheduler that has lost its data. It does what is
// left to do, wakes the function send, and answers a summary. Any POST invokes it; a PingSource's
// CloudEvent does so every minute.
//
// It works in steps, each with its share of the time. A step that fails or hangs does not stop the
// others. The answer is 200 unless all steps that need the database have failed.
//
// It is internal: nobody outside the cluster can reach it. Calling it often, or several times at
// once, does no harm.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/upkeep"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Store     store.Config
	Dapr      jobs.Config
	Sender    deliver.WakerConfig
	Sweep     upkeep.SweepRules
	Providers providers.Config
	Moves     schedule.MoveRules
}

type handler struct {
	sweeper  *upkeep.Sweeper
	store    *store.Store
	channels fire.Channels
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	channels, err := cfg.Providers.Names()
	if err != nil {
		return nil, err
	}
	waker := deliver.NewWaker(cfg.Sender)
	mover := schedule.NewMover(s, time.Now, cfg.Moves)
	firer := fire.New(s, channels, cfg.Sweep.Suppression, mover, waker.Wake, time.Now)
	h := handler{upkeep.NewSweeper(s, dapr, firer, mover, waker.WakeNow, time.Now, cfg.Sweep), s, channels}
	return &function.Function{
		Handler: web.NewMux(web.Routes{"POST /": h.sweep}),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Close:   func() { waker.Close(); dapr.Close(); s.Close() },
	}, nil
}

func (h handler) sweep(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	summary := h.sweeper.Sweep(r.Context())
	slog.InfoContext(r.Context(), "swept", "summary", summary, "took", time.Since(began).String())
	if err := summary.Away(); err != nil {
		return err
	}
	// If this fails, only GET /api/status is out of date.
	if err := h.store.SaveRun(context.WithoutCancel(r.Context()), store.SweepRun, store.Run{
		Complete: summary.Complete, Failed: upkeep.FailedSteps(summary.Steps), Sentinel: summary.Sentinel, Pending: summary.Pending, Providers: h.channels,
	}); err != nil {
		slog.WarnContext(r.Context(), "when the sweep ended could not be recorded", "error", err)
	}
	return web.WriteJSON(w, http.StatusOK, summary)
}
