// nightly-cleanup removes what nobody needs any more: jobs that a change has left with
// Dapr, jobs that no reminder knows, and rows that were kept for long enough. It also
// looks whether the jobs of the next 48 hours are there, and schedules again those that
// aren't. It is invoked once a day, by any POST (a CloudEvent of a PingSource is one),
// or by hand; with ?dry_run=true it changes nothing and says what it would do.
//
// It works in steps, each within its share of the time, and answers a report. A step
// that fails does not stop the others: the answer is 200 unless all have failed. What
// it doesn't get to is left for the next time.
//
// It is internal: nobody outside the cluster can reach it. Calling it often, or several
// times at once, does no harm.
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
		// Only who looks at the status misses it.
		if err := h.store.SaveRun(context.WithoutCancel(r.Context()), store.CleanupRun, store.Run{Complete: report.Complete, Failed: upkeep.FailedSteps(report.Steps)}); err != nil {
			slog.WarnContext(r.Context(), "when the cleanup ended could not be recorded", "error", err)
		}
	}
	return web.WriteJSON(w, http.StatusOK, report)
}
