// nightly-cleanup deletes what nobody needs any more: leftover jobs, jobs that no reminder knows,
// and old rows. It also checks that the jobs of the next 48 hours exist, and schedules missing ones
// again. Any POST invokes it: once a day a PingSource's CloudEvent, or a call by hand. With
// ?dry_run=true it changes nothing and answers what it would do.
//
// It works in steps, each with its share of the time, and answers a report. A step that fails does
// not stop the others. The answer is 200 unless all have failed. What it does not finish is left
// for the next cleanup.
//
// It is internal: nobody outside the cluster can reach it. Calling it often, or several times at
// once, does no harm.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/upkeep"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Store   store.Config
	Dapr    jobs.Config
	Cleanup upkeep.CleanupRules
}

type handler struct {
	cleaner *upkeep.Cleaner
	store   *store.Store
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
	h := handler{upkeep.NewCleaner(s, dapr, time.Now, cfg.Cleanup), s}
	return &function.Function{
		Handler: web.NewMux(web.Routes{"POST /": h.clean}),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Close:   func() { dapr.Close(); s.Close() },
	}, nil
}

func (h handler) clean(w http.ResponseWriter, r *http.Request) error {
	q := web.Query(r)
	dryRun := q.Bool("dry_run")
	if err := q.Err(); err != nil {
		return err
	}
	report := h.cleaner.Cleanup(r.Context(), dryRun != nil && *dryRun)
	slog.InfoContext(r.Context(), "cleaned up", "report", report)
	if err := report.Away(); err != nil {
		return err
	}
	if !report.DryRun {
		// If this fails, only GET /api/status is out of date.
		if err := h.store.SaveRun(context.WithoutCancel(r.Context()), store.CleanupRun, store.Run{Complete: report.Complete, Failed: upkeep.FailedSteps(report.Steps)}); err != nil {
			slog.WarnContext(r.Context(), "when the cleanup ended could not be recorded", "error", err)
		}
	}
	return web.WriteJSON(w, http.StatusOK, report)
}
