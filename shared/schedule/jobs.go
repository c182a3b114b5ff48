package schedule

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Scheduler schedules and deletes jobs in Dapr. Package jobs implements it.
type Scheduler interface {
	// Schedule schedules a callback at an instant. A job that is there already is no error.
	Schedule(ctx context.Context, r task.Revision, at time.Time) error
	// Delete deletes the job of a revision. One that does not exist is no error.
	Delete(ctx context.Context, r task.Revision) error
}

// Jobs schedules and deletes the jobs of reminders. It is safe for concurrent use.
type Jobs struct {
	store      *store.Store
	dapr       Scheduler
	now        func() time.Time
	concurrent int
}

// NewJobs returns Jobs that make up to concurrent calls to Dapr at a time. now is the clock,
// time.Now outside of tests.
func NewJobs(s *store.Store, dapr Scheduler, now func() time.Time, concurrent int) Jobs {
	return Jobs{store: s, dapr: dapr, now: now, concurrent: concurrent}
}

const (
	// CallTimeout bounds each call to Dapr.
	CallTimeout = 2 * time.Second
	// pageTimeout bounds the scheduling of reminders that were claimed together. It must be shorter
	// than the time after which a leftover job counts as settled.
	pageTimeout = time.Minute
	// confirmTimeout bounds marking them as confirmed.
	confirmTimeout = 5 * time.Second
	// page is how many pending reminders are claimed at a time.
	page = 500
	// enough is how many errors show that Dapr is away, so that the rest is not tried.
	enough = 10
)

// SchedulePending claims up to a page of pending reminders that are due up to until, the earliest
// first, and schedules them. It returns how many it claimed, and how many of those Dapr has
// confirmed. If claimed is 0, none is left that may be tried now.
func (j Jobs) SchedulePending(ctx context.Context, until time.Time) (claimed, scheduled int, err error) {
	asked := j.now()
	pending, err := j.store.ClaimPending(ctx, until, page)
	if err != nil || len(pending) == 0 {
		return 0, 0, err
	}
	scheduled, err = j.schedulePage(ctx, pending, asked)
	return len(pending), scheduled, err
}

// schedulePage schedules pending reminders that were read, or claimed, after an instant. It marks those
// that Dapr has taken, and returns how many they are.
func (j Jobs) schedulePage(ctx context.Context, pending []store.Due, read time.Time) (scheduled int, err error) {
	inTime, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	taken, left, err := j.schedule(inTime, pending)
	stayPending(ctx, left, err)
	confirm, cancelConfirm := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout) // also when ctx has ended
	defer cancelConfirm()
	stale, err := j.store.Confirm(confirm, store.Shared, taken, j.now().Sub(read))
	if err != nil {
		return 0, err
	}
	j.takeBack(ctx, stale)
	return len(taken), nil
}

// schedule schedules pending reminders. It returns those that Dapr has taken, and those that are
// left: Dapr failed, ctx ended, or Dapr was found to be away. If any is left, err is Dapr's first
// error.
func (j Jobs) schedule(ctx context.Context, pending []store.Due) (scheduled []task.Revision, left []store.Due, err error) {
	taken := make([]bool, len(pending))
	var some, refused atomic.Int32
	var begun atomic.Int64
	var first sync.Once
	// A few goroutines make all calls: each new goroutine would have to grow its stack.
	callSome := func() {
		for i := begun.Add(1) - 1; int(i) < len(pending); i = begun.Add(1) - 1 {
			if ctx.Err() != nil || refused.Load() >= enough && some.Load() == 0 {
				return
			}
			d := pending[i]
			call, cancel := context.WithTimeout(ctx, CallTimeout)
			refusal := j.dapr.Schedule(call, d.Revision, notBefore(d.FireAt, j.now()))
			cancel()
			if refusal != nil {
				refused.Add(1)
				first.Do(func() { err = refusal })
				continue
			}
			some.Add(1)
			taken[i] = true
		}
	}
	var others sync.WaitGroup
	for range min(j.concurrent, len(pending)) - 1 {
		others.Go(callSome)
	}
	callSome()
	others.Wait()

	scheduled = make([]task.Revision, 0, some.Load())
	for i, d := range pending {
		if taken[i] {
			scheduled = append(scheduled, d.Revision)
		} else {
			left = append(left, d)
		}
	}
	metrics.Scheduled(len(scheduled), 0)
	if err == nil && len(left) > 0 {
		err = ctx.Err()
	}
	return scheduled, left, err
}

// stayPending logs that the next sweep schedules these reminders.
func stayPending(ctx context.Context, left []store.Due, err error) {
	if len(left) == 0 {
		return
	}
	metrics.Scheduled(0, len(left))
	slog.WarnContext(ctx, "reminders stay pending: Dapr did not take their jobs",
		"reminders", len(left), "task_id", left[0].TaskID, "reminder_id", left[0].ReminderID, "error", err)
}

const (
	firstPause = 100 * time.Millisecond
	lastPause  = time.Second
)

// again calls try until all is done, ctx ends, or there was no progress for patience.
func again(ctx context.Context, patience time.Duration, try func() (anywhere, all bool)) {
	worked, pause := time.Now(), firstPause
	for {
		anywhere, all := try()
		if anywhere {
			worked, pause = time.Now(), firstPause
		}
		if all || time.Since(worked) >= patience {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// takeBack deletes jobs that confirming has found to be stale. Those that Dapr does not delete stay
// on record as leftovers. Their callbacks are skipped.
func (j Jobs) takeBack(ctx context.Context, stale []task.Revision) {
	deleted, err := j.Delete(ctx, store.Leftovers{Jobs: stale})
	stayWithDapr(ctx, len(stale)-len(deleted.Jobs), err)
}

// stayWithDapr logs that leftover jobs are deleted later.
func stayWithDapr(ctx context.Context, left int, err error) {
	if left > 0 {
		slog.WarnContext(ctx, "leftover jobs stay with Dapr for now", "jobs", left, "error", err)
	}
}

// Delete deletes leftover jobs, and returns those that Dapr has deleted. If some are left, the
// error is one of theirs.
func (j Jobs) Delete(ctx context.Context, left store.Leftovers) (store.Leftovers, error) {
	var mu sync.Mutex
	deleted := store.Leftovers{AsOf: left.AsOf}
	_, err := CallAll(ctx, j.concurrent, left.Jobs, func(ctx context.Context, r task.Revision) error {
		err := j.dapr.Delete(ctx, r)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			deleted.Jobs = append(deleted.Jobs, r)
		}
		return err
	})
	return deleted, err
}

// CallAll makes a call to Dapr for each item, up to concurrent at a time, each with [CallTimeout].
// It returns how many succeeded. After ten errors it takes Dapr to be away and does not try the
// rest. The error is one of theirs, or that of ctx.
func CallAll[T any](ctx context.Context, concurrent int, items []T, call func(context.Context, T) error) (done int, err error) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(concurrent)
	refused := 0
	over := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return ctx.Err() != nil || refused >= enough
	}
	for _, item := range items {
		group.Go(func() error {
			if over() {
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, CallTimeout)
			defer cancel()
			callErr := call(ctx, item)
			mu.Lock()
			defer mu.Unlock()
			if callErr != nil {
				refused, err = refused+1, callErr
			} else {
				done++
			}
			return nil
		})
	}
	_ = group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return done, err
}

// notBefore returns the later of an instant and now. Dapr counts a job's retries from its due time,
// so a job due in the past would use them up at once.
func notBefore(at, now time.Time) time.Time {
	if at.Before(now) {
		return now
	}
	return at
}
