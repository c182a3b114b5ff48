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
// repetition. It does so in the background, and tries once. A reminder whose job Dapr does not take
// stays pending, and the sweep schedules it. It is safe for concurrent use.
//
// A job that is due within a minute is scheduled at once. The others wait 10 s, for the end of a burst:
// when thousands of recurring reminders fire in one second, Dapr needs that time to call back for all of them.
type Armer struct {
	jobs    Jobs
	now     func() time.Time
	horizon task.Horizon
	soon    together.Group[store.Due]
	works   sync.WaitGroup

	finishing, working context.Context //nolint:containedctx // finishing ends when Finish is called, working when Finish waits no longer
	finish, stop       context.CancelFunc

	mu      sync.Mutex
	later   []store.Due // to schedule after the burst
	waiting bool        // a goroutine waits for the end of the burst
}

// burst is how long jobs wait to be scheduled, if they are due later than [store.ArmedAhead] from
// now.
const burst = 10 * time.Second

// NewArmer returns an Armer. now is its clock, time.Now outside of tests.
func NewArmer(s *store.Store, dapr Scheduler, now func() time.Time, horizon task.Horizon) *Armer {
	a := &Armer{jobs: NewJobs(s, dapr, now, concurrent), now: now, horizon: horizon}
	a.finishing, a.finish = context.WithCancel(context.Background())
	a.working, a.stop = context.WithCancel(context.Background())
	a.soon.Call = func(_ context.Context, due []store.Due) error {
		a.schedule(due)
		return nil // the sweep retries, and nobody else
	}
	return a
}

// Arm begins to schedule those reminders that are due within the horizon, and returns at once.
func (a *Armer) Arm(due []store.Due) {
	now := a.now()
	until := a.horizon.Until(now)
	var soon, later []store.Due
	for _, d := range due {
		switch {
		case d.FireAt.After(until): // the sweep schedules it later
		case d.FireAt.After(now.Add(store.ArmedAhead)):
			later = append(later, d)
		default:
			soon = append(soon, d)
		}
	}
	if len(soon) > 0 {
		a.works.Go(func() { _ = a.soon.Do(context.Background(), soon...) })
	}
	if len(later) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.later = append(a.later, later...)
	if !a.waiting {
		a.waiting = true
		a.works.Go(a.scheduleLater)
	}
}

// Finish schedules the jobs that wait, and returns when all calls to Dapr have ended, or after 3 s. What is
// left then stays pending, and the sweep schedules it.
func (a *Armer) Finish() {
	a.finish()
	defer time.AfterFunc(finishTime, a.stop).Stop()
	a.works.Wait()
}

// scheduleLater waits for the end of a burst, and schedules what has come until then.
func (a *Armer) scheduleLater() {
	select {
	case <-time.After(burst):
	case <-a.finishing.Done():
	}
	a.mu.Lock()
	later := a.later
	a.later, a.waiting = nil, false
	a.mu.Unlock()
	a.schedule(later)
}

// schedule schedules jobs page by page, and marks those that Dapr has taken as confirmed. It stops after a
// minute, and after a page of which Dapr takes nothing. The rest stays pending.
func (a *Armer) schedule(due []store.Due) {
	ctx, cancel := context.WithTimeout(a.working, pageTimeout)
	defer cancel()
	for some := range slices.Chunk(due, page) {
		scheduled, err := a.jobs.schedulePage(ctx, some, a.now())
		if err != nil {
			slog.Warn("reminders stay pending: their schedule could not be recorded", "reminders", len(some), "error", err)
		}
		if scheduled == 0 {
			return
		}
	}
}
