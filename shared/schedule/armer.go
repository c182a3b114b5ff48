package schedule

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/together"
)

// Armer schedules the jobs of reminders that firing has armed for their next occurrence or
// repetition. It does so in the background, and tries once: what Dapr does not take stays pending,
// and the sweep schedules it. It is safe for concurrent use.
type Armer struct {
	store   *store.Store
	jobs    Jobs
	now     func() time.Time
	horizon task.Horizon
	calls   together.Group[store.Due]
	works   sync.WaitGroup
}

// NewArmer returns an Armer. now is its clock, time.Now outside of tests.
func NewArmer(s *store.Store, dapr Scheduler, now func() time.Time, horizon task.Horizon) *Armer {
	a := &Armer{store: s, jobs: NewJobs(s, dapr, now, concurrent), now: now, horizon: horizon}
	a.calls.Call = func(ctx context.Context, due []store.Due) error {
		a.schedule(ctx, due)
		return nil // the sweep retries, and nobody else
	}
	return a
}

// Arm begins to schedule those reminders that are due within the horizon, and returns at once.
func (a *Armer) Arm(due []store.Due) {
	until := a.horizon.Until(a.now())
	if due = slices.DeleteFunc(due, func(d store.Due) bool { return d.FireAt.After(until) }); len(due) > 0 {
		a.works.Go(func() { _ = a.calls.Do(context.Background(), due...) })
	}
}

// Finish waits until all calls to Dapr have ended.
func (a *Armer) Finish() { a.works.Wait() }

// schedule schedules jobs, and marks those that Dapr has taken as confirmed.
func (a *Armer) schedule(ctx context.Context, due []store.Due) {
	asked := a.now()
	inTime, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	taken, left, err := a.jobs.schedule(inTime, due)
	stayPending(ctx, left, err)
	confirm, cancelConfirm := context.WithTimeout(ctx, confirmTimeout)
	defer cancelConfirm()
	stale, err := a.store.Confirm(confirm, store.Shared, taken, a.now().Sub(asked))
	if err != nil {
		slog.WarnContext(ctx, "reminders stay pending: their schedule could not be recorded", "reminders", len(taken), "error", err)
		return
	}
	a.jobs.takeBack(ctx, stale)
}
