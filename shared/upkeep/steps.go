package upkeep

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/duebell/duebell/shared/metrics"
)

// step is a part of a sweep or a cleanup. It works until it is done or ctx ends. It returns how
// much it did, whether that was all, and an error.
type step struct {
	name, does string
	// share is the step's part of the time that is left, relative to the shares of later steps.
	// Time that it does not use is left to those.
	share int
	run   func(context.Context) (count int, complete bool, err error)
}

// StepReport is the result of one step.
type StepReport struct {
	Name string `json:"name"`
	// Does says what Count counts.
	Does  string `json:"does"`
	Count int    `json:"count"`
	// Complete is false if the step failed, or ran out of time or rows.
	Complete bool `json:"complete"`
	// CutShort says that its time ran out. Error then says what it waited for, if that is known.
	CutShort    bool    `json:"cut_short,omitempty"`
	Error       string  `json:"error,omitempty"`
	TookSeconds float64 `json:"took_seconds"`
}

// failed reports whether the step failed other than by running out of time.
func (r StepReport) failed() bool { return r.Error != "" && !r.CutShort }

func failed(reports []StepReport) int { return len(FailedSteps(reports)) }

// FailedSteps returns the names of the steps that failed.
func FailedSteps(reports []StepReport) (names []string) {
	for _, r := range reports {
		if r.failed() {
			names = append(names, r.Name)
		}
	}
	return names
}

// nothingDone reports whether each step failed or was cut short before it did anything.
func nothingDone(reports []StepReport) bool {
	return !slices.ContainsFunc(reports, func(r StepReport) bool { return r.Error == "" || r.Count > 0 })
}

// runSteps runs steps one after the other within a time. A step that fails, or hangs until its time
// is over, does not stop the others. Each step that is not complete is logged with the reason.
func runSteps(ctx context.Context, run string, budget time.Duration, steps []step) (reports []StepReport, complete bool) {
	end := time.Now().Add(budget)
	shares := 0
	for _, s := range steps {
		shares += s.share
	}
	complete = true
	for _, s := range steps {
		r := s.within(ctx, time.Until(end)*time.Duration(s.share)/time.Duration(shares))
		shares -= s.share
		reports = append(reports, r)
		complete = complete && r.Complete
		switch {
		case r.failed():
			slog.WarnContext(ctx, "a step has failed", "run", run, "step", s.name, "error", r.Error)
			metrics.StepMade(run, s.name, metrics.Failed)
		case r.CutShort:
			slog.WarnContext(ctx, "a step was cut short", "run", run, "step", s.name, "took_seconds", r.TookSeconds, "error", r.Error)
			metrics.StepMade(run, s.name, metrics.CutShort)
		default:
			metrics.StepMade(run, s.name, metrics.Complete)
		}
	}
	return reports, complete
}

// within runs the step within a time.
func (s step) within(ctx context.Context, d time.Duration) StepReport {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	count, complete, err := s.run(ctx)
	r := StepReport{Name: s.name, Does: s.does, Count: count, Complete: complete && err == nil, TookSeconds: time.Since(began).Seconds()}
	r.CutShort = !r.Complete && ctx.Err() != nil
	if err != nil {
		r.Error = err.Error()
	}
	return r
}
