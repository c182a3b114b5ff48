// Package reminder schedules reminders and fires them: it composes the rules of
// package task, the rows of package store, the jobs of Dapr and the channels.
//
// Planner works for the functions that change tasks, Firer for those that fire.
package reminder

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Scheduler wakes Duebell up at an instant. Package jobs has the real one.
type Scheduler interface {
	// Schedule asks for a wake-up call. Asking twice for one job is no error.
	Schedule(ctx context.Context, j jobs.Job) error
	// Delete takes a job back. A job that isn't there is no error.
	Delete(ctx context.Context, name string) error
}

// PlannerConfig sets the rules for changing tasks.
type PlannerConfig struct {
	// PastGrace is how old an instant may be when it is asked for, and still be
	// fired, at once. Older ones are missed.
	PastGrace time.Duration `env:"REMINDER_PAST_GRACE" envDefault:"24h"`
	// ScheduleTimeout bounds how long a request waits for Dapr. What is not
	// scheduled by then stays pending.
	ScheduleTimeout time.Duration `env:"SCHEDULE_TIMEOUT" envDefault:"1s"`
}

// Validate reports what is wrong with the configuration.
func (c PlannerConfig) Validate() error {
	var problems []error
	if c.PastGrace < 0 {
		problems = append(problems, errors.New("REMINDER_PAST_GRACE must not be negative"))
	}
	if c.ScheduleTimeout < 50*time.Millisecond || c.ScheduleTimeout > 1500*time.Millisecond {
		problems = append(problems, errors.New("SCHEDULE_TIMEOUT must be between 50ms and 1500ms: no request waits longer than 2s for Dapr"))
	}
	return errors.Join(problems...)
}

// Planner stores tasks and schedules their reminders. It is safe for concurrent
// use.
//
// Each change is one transaction. What follows it, telling Dapr, is best effort:
// if it fails, or the process dies, the reminder is pending, which the database
// says by itself, and is scheduled later.
type Planner struct {
	store *store.Store
	jobs  Scheduler
	now   func() time.Time
	cfg   PlannerConfig
}

// NewPlanner makes a Planner. now is its clock, time.Now outside of tests.
func NewPlanner(s *store.Store, jobs Scheduler, now func() time.Time, cfg PlannerConfig) *Planner {
	return &Planner{store: s, jobs: jobs, now: now, cfg: cfg}
}

// Owner is the user on whose behalf a task is changed.
type Owner struct {
	store.User
	// KeepEmail leaves the recorded address as it is: the sign-in did not say.
	KeepEmail bool
}

// Create stores a valid draft as a new task and schedules its reminders.
func (p *Planner) Create(ctx context.Context, owner Owner, draft task.Draft) (task.Task, error) {
	now := task.Instant(p.now())
	t := task.Task{
		ID:        newID(),
		UserID:    owner.ID,
		Draft:     draft,
		Version:   1,
		CreatedAt: now,
		UpdatedAt: now,
		Reminders: task.Plan(nil, draft, now, p.cfg.PastGrace, newID),
	}
	if err := p.store.SaveUser(ctx, owner.User, owner.KeepEmail); err != nil {
		return task.Task{}, err
	}
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error { return tx.InsertTask(ctx, t) })
	if err != nil {
		return task.Task{}, err
	}
	p.tellDapr(ctx, &t, nil)
	return t, nil
}

// Update changes a user's task: change gets it as it is now, locked, and returns
// a valid draft of what it is to be, or an error that leaves all as it is.
// Reminders are scheduled, scheduled anew and cancelled as the change demands.
func (p *Planner) Update(ctx context.Context, owner Owner, id uuid.UUID, change func(task.Task) (task.Draft, error)) (task.Task, error) {
	if err := p.store.SaveUser(ctx, owner.User, owner.KeepEmail); err != nil {
		return task.Task{}, err
	}
	var before, after task.Task
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		if before, err = tx.LockTask(ctx, owner.ID, id); err != nil {
			return err
		}
		after = before
		if after.Draft, err = change(before); err != nil {
			return err
		}
		now := task.Instant(p.now())
		after.Version++
		after.UpdatedAt = now
		after.Reminders = task.Plan(&before, after.Draft, now, p.cfg.PastGrace, newID)
		return tx.UpdateTask(ctx, before, after)
	})
	if err != nil {
		return task.Task{}, err
	}
	p.tellDapr(ctx, &after, before.Reminders)
	after.DropRemoved()
	return after, nil
}

// Delete deletes a user's task and cancels its reminders.
func (p *Planner) Delete(ctx context.Context, userID string, id uuid.UUID) error {
	var t task.Task
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		if t, err = tx.LockTask(ctx, userID, id); err != nil {
			return err
		}
		return tx.DeleteTask(ctx, id)
	})
	if err != nil {
		return err
	}
	p.tellDapr(ctx, &task.Task{ID: id}, t.Reminders)
	return nil
}

// tellDapr schedules what is pending of t and takes back the jobs of what its
// reminders were before. It marks in t, as in the database, what Dapr confirmed.
// It outlives the request: the change is made, whether or not the caller is
// still there.
func (p *Planner) tellDapr(ctx context.Context, t *task.Task, before []task.Reminder) {
	log := slog.With("task_id", t.ID)
	calls, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.ScheduleTimeout)
	defer cancel()
	group, calls := new(errgroup.Group), calls
	group.SetLimit(8)

	var mu sync.Mutex
	var scheduled []store.Scheduled
	for _, r := range t.Reminders {
		if !r.Pending() {
			continue
		}
		group.Go(func() error {
			if err := p.jobs.Schedule(calls, p.job(*t, r)); err != nil {
				log.Warn("reminder stays pending: Dapr did not take its job", "reminder_id", r.ID, "revision", r.Revision, "error", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			scheduled = append(scheduled, store.Scheduled{ReminderID: r.ID, Revision: r.Revision})
			return nil
		})
	}
	for _, name := range leftovers(before, t.Reminders) {
		group.Go(func() error { return p.forget(calls, name) })
	}
	_ = group.Wait()

	stale, err := p.store.Confirm(context.WithoutCancel(ctx), scheduled)
	if err != nil {
		log.Warn("reminders stay pending: their schedule could not be recorded", "error", err)
		return
	}
	for i := range t.Reminders {
		for _, s := range scheduled {
			if t.Reminders[i].ID == s.ReminderID {
				t.Reminders[i].Confirmed = s.Revision
			}
		}
	}
	for _, s := range stale {
		_ = p.forget(calls, jobs.Name(s.ReminderID, s.Revision))
	}
}

// job is the wake-up call for an armed reminder.
func (p *Planner) job(t task.Task, r task.Reminder) jobs.Job {
	due := *r.FireAt
	// Dapr counts a job's retries from its due time: one in the past would burn
	// them all at once.
	if now := p.now(); due.Before(now) {
		due = now
	}
	return jobs.Job{DueTime: due, Wake: jobs.Wake{TaskID: t.ID, UserID: t.UserID, ReminderID: r.ID, Revision: r.Revision}}
}

// forget deletes a job that no longer means anything. If that fails the job
// fires, and is skipped.
func (p *Planner) forget(ctx context.Context, name string) error {
	if err := p.jobs.Delete(ctx, name); err != nil {
		slog.Warn("leftover job stays with Dapr; it will be skipped when it fires", "job", name, "error", err)
	}
	return nil
}

// leftovers names the jobs that may be with Dapr for what reminders were before
// a change, and mean nothing after it.
func leftovers(before, after []task.Reminder) (names []string) {
	for _, old := range before {
		if old.State != task.Armed && old.State != task.Fired {
			continue
		}
		if !stillMeant(old, after) {
			names = append(names, jobs.Name(old.ID, old.Revision))
		}
	}
	return names
}

func stillMeant(old task.Reminder, after []task.Reminder) bool {
	for _, r := range after {
		if r.ID == old.ID {
			return r.Revision == old.Revision && r.State == old.State && !r.Removed
		}
	}
	return false
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
