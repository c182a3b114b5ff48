package upkeep

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/duebell/duebell/shared/metrics"
)

// step is a part of a sweep or of a cleanup. It works until it is done or its context ends,
// and returns how much it has done, whether that was all, and what went wrong.
type step struct {
	name, does string
	// share is the step's part of the time that is left, in proportion to the shares of the
	// steps after it. What a step does not need is left to those.
	share int
	run   func(context.Context) (count int, complete bool, err error)
}

// StepReport says what one step has done.
type StepReport struct {
	Name string `json:"name"`
	// Does says what the step does to what it counts.
	Does  string `json:"does"`
	Count int    `json:"count"`
	// Complete is false if the step failed, or its time or rows ran out.
	Complete bool `json:"complete"`
	// CutShort is true if its time ran out. Error then says what it waited for, if that is
	// known.
	CutShort    bool    `json:"cut_short,omitempty"`
	Error       string  `json:"error,omitempty"`
	TookSeconds float64 `json:"took_seconds"`
}

// failed reports whether the step went wrong, other than by running out of time.
func (r StepReport) failed() bool { return r.Error != "" && !r.CutShort }

func failed(reports []StepReport) int { return len(FailedSteps(reports)) }

// FailedSteps names the steps that went wrong.
func FailedSteps(reports []StepReport) (names []string) {
	for _, r := range reports {
		if r.failed() {
			names = append(names, r.Name)
		}
	}
	return names
}

// nothingDone reports whether each step has failed, or was cut short, before it did anything.
func nothingDone(reports []StepReport) bool {
	return !slices.ContainsFunc(reports, func(r StepReport) bool { return r.Error == "" || r.Count > 0 })
}

// runSteps makes the steps of a run, one after the other, within a time. A step that fails,
// or hangs until its time is over, does not stop the others. It logs once for each step why
// it was not completed.
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

// within makes the step within a time.
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
