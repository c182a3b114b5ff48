package reminder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Dapr is what a sweep needs of Dapr. Package jobs has the real one.
type Dapr interface {
	Scheduler
	// Keep has a job be there for ever, under a name. One that is there already is
	// left as it is.
	Keep(ctx context.Context, name string) error
	// Holds reports whether a job of the name is there.
	Holds(ctx context.Context, name string) (bool, error)
	// Publish publishes an event. id is the event's: the same for the same event.
	Publish(ctx context.Context, topic, id string, data any) error
}

// SweepRules are the rules for the sweep.
type SweepRules struct {
	Budget     time.Duration `env:"SWEEP_BUDGET" envDefault:"45s" help:"how long one pass of the sweep may take; less than the time between two"`
	Grace      time.Duration `env:"SWEEP_GRACE" envDefault:"5s" help:"how long what is due is left to those whose turn it is, before the sweep does it"`
	Horizon    task.Horizon
	Concurrent int `env:"SWEEP_CONCURRENCY" envDefault:"16" help:"how many reminders and deliveries the sweep works on at a time"`
}

// Validate reports what is wrong with the configuration.
func (r SweepRules) Validate() error {
	var problems []error
	if r.Budget < time.Second {
		problems = append(problems, errors.New("SWEEP_BUDGET must be at least 1s"))
	}
	if r.Grace < 0 {
		problems = append(problems, errors.New("SWEEP_GRACE must not be negative"))
	}
	if r.Concurrent < 1 || r.Concurrent > 1000 {
		problems = append(problems, errors.New("SWEEP_CONCURRENCY must be between 1 and 1000"))
	}
	return errors.Join(problems...)
}

// Sweeper is what makes the promise hold whatever happens to Dapr, to the
// functions and to the providers: it finds in Postgres what should have happened
// and has not, and does it. Any number of sweeps may run at one time.
type Sweeper struct {
	store *store.Store
	dapr  Dapr
	firer *Firer
	now   func() time.Time
	rules SweepRules
}

// NewSweeper makes a Sweeper from its parts, which its caller closes. now is its
// clock, time.Now outside of tests.
func NewSweeper(s *store.Store, dapr Dapr, firer *Firer, now func() time.Time, rules SweepRules) *Sweeper {
	return &Sweeper{store: s, dapr: dapr, firer: firer, now: now, rules: rules}
}

// Summary is what a sweep has done.
type Summary struct {
	// Fired are reminders that were overdue, by how that ended: a Status, or
	// "error".
	Fired map[string]int `json:"fired"`
	// Deliveries are those that were due and unsent, by the state they came to, or
	// "error".
	Deliveries map[string]int `json:"deliveries"`
	// Scheduled and Pending are reminders that Dapr had not taken: now it has, or
	// still not.
	Scheduled int `json:"scheduled"`
	Pending   int `json:"pending"`
	// Sentinel is "present", "made" (the first sweep of all), "lost" (the scheduler
	// has lost its data), or "unknown" (it could not be asked).
	Sentinel string `json:"sentinel"`
	// Alerts are dead letters that the operators were told of, and those they could
	// not be.
	Alerts       int `json:"alerts"`
	FailedAlerts int `json:"failed_alerts"`
	// Unconfirmed is how many reminders are scheduled again because of that.
	Unconfirmed int `json:"unconfirmed"`
	// OldestWaitingSeconds is for how long the oldest of what is still to be done
	// has been due.
	OldestWaitingSeconds float64 `json:"oldest_waiting_seconds"`
	// LeftoverJobs are those that Dapr has deleted.
	LeftoverJobs int `json:"leftover_jobs"`
	// Complete is false if the time budget ended the sweep.
	Complete bool `json:"complete"`
}

// page is how many rows a sweep reads at a time.
const page = 500

// Sweep makes one pass: it fires what is overdue, looks whether the scheduler has
// lost its data, schedules what is pending, and sends what is due. One part that
// fails does not stop the others; the error joins what went wrong.
func (s *Sweeper) Sweep(ctx context.Context) (Summary, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.rules.Budget)
	defer cancel()
	sum := Summary{Fired: map[string]int{}, Deliveries: map[string]int{}, Sentinel: "unknown"}
	var planned []uuid.UUID
	var err error
	for _, part := range []struct {
		what string
		do   func() error
	}{
		{"fire what is overdue", func() (err error) { planned, err = s.fireOverdue(ctx, sum.Fired); return err }},
		{"look for the sentinel", func() error { return s.checkSentinel(ctx, &sum) }},
		{"schedule what is pending", func() error { return s.schedulePending(ctx, &sum, began.Add(s.rules.Budget/2)) }},
		{"delete leftover jobs", func() error { return s.deleteLeftovers(ctx, &sum) }},
		{"tell of dead letters", func() error { return s.alert(ctx, &sum) }},
		{"send what is due", func() error { return s.send(ctx, planned, sum.Deliveries) }},          // late: providers may be slow
		{"schedule what is pending", func() error { return s.schedulePending(ctx, &sum, forever) }}, // what half of the time was not enough for
	} {
		if ctx.Err() != nil {
			break
		}
		partErr := part.do()
		if ctx.Err() != nil && errors.Is(partErr, ctx.Err()) {
			break // that the time is up is no failure: the sweep is not complete
		}
		err = errors.Join(err, named(part.what, partErr))
	}
	sum.Complete = ctx.Err() == nil
	oldest, waitingErr := s.store.Waiting(context.WithoutCancel(ctx))
	sum.OldestWaitingSeconds = oldest.Seconds()
	if waitingErr == nil {
		metrics.SetOldestWaiting(oldest)
	}
	err = errors.Join(err, named("look what waits", waitingErr), named("count the dead letters", s.countDeadLetters(ctx)))
	countSweep(sum, err, time.Since(began))
	return sum, err
}

// sentinelPrefix is how the name of the job begins that should be in Dapr for ever.
const sentinelPrefix = "sentinel-"

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// fireOverdue fires armed reminders whose wake-up call has not come, and returns
// what is to be sent of them. It does not send: a provider that hangs must not keep
// others from their inbox.
func (s *Sweeper) fireOverdue(ctx context.Context, counts map[string]int) (planned []uuid.UUID, err error) {
	var mu sync.Mutex
	var last store.Due
	for ctx.Err() == nil {
		overdue, err := s.store.Overdue(ctx, s.rules.Grace, last, page)
		if err != nil || len(overdue) == 0 {
			return planned, err
		}
		each(s.rules.Concurrent, overdue, counts, func(d store.Due) string {
			if ctx.Err() != nil {
				return "left"
			}
			call := firing{wake: d.Wake}
			_, err := s.firer.fire(ctx, []*firing{&call}, 0)
			call.awaitHint()
			switch {
			case err != nil:
				slog.WarnContext(ctx, "an overdue reminder is left for the next sweep", "reminder_id", d.ReminderID, "error", err)
				return "error"
			case call.verdict != task.Fire:
				return string(Skipped) // somebody was faster
			}
			mu.Lock()
			defer mu.Unlock()
			for _, delivery := range call.open {
				planned = append(planned, delivery.ID)
			}
			return string(Success)
		})
		last = overdue[len(overdue)-1]
	}
	return planned, nil
}

// send sends what was just planned, and then what nobody has sent: the sender died,
// or it is time for another try.
func (s *Sweeper) send(ctx context.Context, planned []uuid.UUID, counts map[string]int) error {
	each(s.rules.Concurrent, planned, counts, func(id uuid.UUID) string { return s.sendOne(ctx, id) })
	var last store.DueDelivery
	for ctx.Err() == nil {
		due, err := s.store.DueDeliveries(ctx, s.rules.Grace, last, page)
		if err != nil || len(due) == 0 {
			return err
		}
		each(s.rules.Concurrent, due, counts, func(d store.DueDelivery) string { return s.sendOne(ctx, d.ID) })
		last = due[len(due)-1]
	}
	return nil
}

// sendOne says what a delivery came to.
func (s *Sweeper) sendOne(ctx context.Context, id uuid.UUID) string {
	if ctx.Err() != nil {
		return "left"
	}
	result, err := s.firer.Send(ctx, id)
	switch {
	case err != nil:
		slog.WarnContext(ctx, "a delivery is left for the next sweep", "delivery_id", id, "error", err)
		return "error"
	case !result.Taken:
		return "taken"
	default:
		return string(result.State)
	}
}

// each does something for every item, so many at a time, and counts what comes of
// it.
func each[T any](concurrent int, items []T, counts map[string]int, do func(T) string) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(concurrent)
	for _, item := range items {
		group.Go(func() error {
			result := do(item)
			mu.Lock()
			defer mu.Unlock()
			counts[result]++
			return nil
		})
	}
	_ = group.Wait()
}

// forever is a time that does not come.
var forever = time.Unix(1<<40, 0)

// schedulePending schedules, until a time, what Dapr is not known to hold a job for:
// calls that failed, and reminders that have come within the horizon. When Dapr
// takes none of a page it is away: the rest is left for the next sweep.
func (s *Sweeper) schedulePending(ctx context.Context, sum *Summary, until time.Time) error {
	for ctx.Err() == nil && time.Now().Before(until) {
		claimed, scheduled, err := s.schedulePage(ctx)
		sum.Scheduled += scheduled
		sum.Pending += claimed - scheduled
		if err != nil || scheduled == 0 {
			return err
		}
	}
	return nil
}

// schedulePage claims a page of what is pending and schedules it.
func (s *Sweeper) schedulePage(ctx context.Context) (claimed, scheduled int, err error) {
	asked := s.now()
	pending, err := s.store.ClaimPending(ctx, s.rules.Horizon.Until(s.now()), page)
	if err != nil || len(pending) == 0 {
		return 0, 0, err
	}
	inTime, cancel := context.WithTimeout(ctx, scheduling)
	defer cancel()
	taken := schedule(inTime, s.dapr, s.rules.Concurrent, s.now, pending)
	stale, err := s.store.Confirm(context.WithoutCancel(ctx), taken, s.now().Sub(asked)) // also when the time is up
	if err != nil {
		return len(pending), 0, err
	}
	takeBack(ctx, s.dapr, s.rules.Concurrent, stale)
	return len(pending), len(taken), nil
}

// scheduling is how long what was claimed together may be scheduled: soon enough for
// a leftover job to be known as settled when it is.
const scheduling = time.Minute

// schedule asks Dapr for wake-up calls, so many at a time, and returns those that it has
// taken. What is not begun when ctx ends is left.
func schedule(ctx context.Context, dapr Scheduler, concurrent int, now func() time.Time, pending []store.Due) (scheduled []store.Scheduled) {
	scheduled = make([]store.Scheduled, 0, len(pending))
	var mu sync.Mutex
	var taken, refused atomic.Int32
	var begun atomic.Int64
	// The callers are few: a new one for each call would have to grow its stack each time.
	some := func() {
		for i := begun.Add(1) - 1; int(i) < len(pending); i = begun.Add(1) - 1 {
			if ctx.Err() != nil || refused.Load() >= 10 && taken.Load() == 0 {
				return // it is away: don't wait for it with every one of them
			}
			d := pending[i]
			call, cancel := context.WithTimeout(ctx, 2*time.Second)
			err := dapr.Schedule(call, d.Wake, notBefore(d.FireAt, now()))
			cancel()
			if err != nil {
				if refused.Add(1) == 1 {
					slog.WarnContext(ctx, "reminders stay pending: Dapr did not take a job", "task_id", d.TaskID, "reminder_id", d.ReminderID, "error", err)
				}
				continue
			}
			taken.Add(1)
			mu.Lock()
			scheduled = append(scheduled, store.Scheduled{ReminderID: d.ReminderID, Revision: d.Revision})
			mu.Unlock()
		}
	}
	var others sync.WaitGroup
	for range min(concurrent, len(pending)) - 1 {
		others.Go(some)
	}
	some()
	others.Wait()
	return scheduled
}

// deleteLeftovers deletes a page of jobs that mean nothing any more. What the sweeps
// don't get to is left for the nightly cleanup.
func (s *Sweeper) deleteLeftovers(ctx context.Context, sum *Summary) error {
	left, err := s.store.Leftovers(ctx, page)
	if err != nil {
		return err
	}
	deleted, err := deleteJobs(ctx, s.dapr, s.rules.Concurrent, left)
	sum.LeftoverJobs = len(deleted.Jobs)
	return errors.Join(err, s.store.DropLeftovers(ctx, deleted))
}

// takeBack deletes the jobs that a confirmation has found to mean nothing any more. What
// Dapr does not delete stays on record, and is skipped should it come.
func takeBack(ctx context.Context, dapr Scheduler, concurrent int, stale []store.Scheduled) {
	deleted, err := deleteJobs(ctx, dapr, concurrent, store.Leftovers{Jobs: stale})
	if left := len(stale) - len(deleted.Jobs); left > 0 {
		slog.WarnContext(ctx, "leftover jobs stay with Dapr for now", "jobs", left, "error", err)
	}
}

// deleteJobs returns those that Dapr has deleted.
func deleteJobs(ctx context.Context, dapr Scheduler, concurrent int, left store.Leftovers) (store.Leftovers, error) {
	var mu sync.Mutex
	deleted := store.Leftovers{AsOf: left.AsOf}
	_, err := callAll(ctx, concurrent, left.Jobs, func(ctx context.Context, job store.Scheduled) error {
		err := dapr.Delete(ctx, task.Wake{ReminderID: job.ReminderID, Revision: job.Revision})
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			deleted.Jobs = append(deleted.Jobs, job)
		}
		return err
	})
	return deleted, err
}

// callAll makes a call to Dapr for every item, so many at a time, and returns how many
// succeeded. When Dapr has refused some it is away: the rest is left alone. The error
// is one of theirs.
func callAll[T any](ctx context.Context, concurrent int, items []T, call func(context.Context, T) error) (done int, err error) {
	const enough = 10
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
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
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

// checkSentinel looks whether the job that should be in Dapr for ever is there. If
// it isn't, the scheduler has lost its data, and every confirmation is taken back. Before that a
// name is recorded that Dapr does not hold: so nobody can mark any more what was lost, and a sweep
// that dies is repeated by the next. The new sentinel is recorded last, and is with Dapr
// before anything: if the scheduler loses its data once more meanwhile, it shows.
func (s *Sweeper) checkSentinel(ctx context.Context, sum *Summary) error {
	name, err := s.store.Sentinel(ctx)
	if err != nil {
		return err
	}
	if name != "" {
		there, err := s.dapr.Holds(ctx, name)
		if err != nil {
			return err
		}
		if there {
			sum.Sentinel = "present"
			return nil
		}
		sum.Sentinel = "lost"
		slog.ErrorContext(ctx, "Dapr's scheduler has lost its data: all reminders are scheduled again", "sentinel", name)
	}
	id := uuid.Must(uuid.NewV7()).String() // it tells its age
	next := sentinelPrefix + id
	if err := s.dapr.Keep(ctx, next); err != nil {
		return err
	}
	if name == "" {
		_, err := s.store.SetSentinel(ctx, "", next)
		if err == nil {
			sum.Sentinel = "made"
		}
		return err
	}
	none := sentinelPrefix + "none-" + id
	if now, err := s.store.SetSentinel(ctx, name, none); err != nil || now != none {
		return err // another sweep was first; if it dies, the next one finds the loss again
	}
	for last, n := uuid.Nil, 1; n > 0; {
		if last, n, err = s.store.Unconfirm(ctx, last, 5000); err != nil {
			return err
		}
		sum.Unconfirmed += n
	}
	now, err := s.store.SetSentinel(ctx, none, next)
	if err == nil && now == next {
		metrics.SchedulerLostData() // of several sweeps that found it, by one
	}
	return err
}

// AlertTopic is the topic on which operators are told of dead letters.
const AlertTopic = "reminder-alerts"

// alert tells the operators of what was given up: in the log, and as an event. An
// event that can't be published is tried again by the next sweep; one that was
// published by a sweep that died comes again, under the same id.
func (s *Sweeper) alert(ctx context.Context, sum *Summary) error {
	letters, err := s.store.Unalerted(ctx, page)
	for _, l := range letters {
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		published := s.dapr.Publish(call, AlertTopic, l.ID.String(), l)
		cancel()
		if published != nil {
			sum.FailedAlerts = len(letters) - sum.Alerts
			slog.WarnContext(ctx, "dead letters wait to be told of: an event could not be published", "topic", AlertTopic, "waiting", sum.FailedAlerts, "error", published)
			return nil
		}
		slog.ErrorContext(ctx, "a dead letter needs an operator", "dead_letter_id", l.ID, "job_name", l.JobName, "attempts", l.Attempts, "reason", l.Error)
		if err := s.store.MarkAlerted(ctx, l.ID); err != nil {
			return err
		}
		sum.Alerts++
	}
	return err
}
