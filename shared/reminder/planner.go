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

// PlannerConfig says what a Planner works with and by which rules.
type PlannerConfig struct {
	Store store.Config
	Dapr  jobs.Config
	Rules PlannerRules
}

// PlannerRules are the rules for changing tasks.
type PlannerRules struct {
	// PastGrace is how old an instant may be when it is asked for, and still be
	// fired, at once. Older ones are missed.
	PastGrace time.Duration `env:"REMINDER_PAST_GRACE" envDefault:"24h"`
	// ScheduleTimeout bounds how long a request waits for Dapr. What is not
	// scheduled by then stays pending.
	ScheduleTimeout time.Duration `env:"SCHEDULE_TIMEOUT" envDefault:"1s"`
}

// Validate reports what is wrong with the configuration.
func (c PlannerRules) Validate() error {
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
	rules PlannerRules
	close func()
}

// OpenPlanner makes a Planner on Postgres and Dapr. It connects to neither before
// they are needed.
func OpenPlanner(cfg PlannerConfig) (*Planner, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	d, err := jobs.Open(cfg.Dapr)
	if err != nil {
		s.Close()
		return nil, err
	}
	p := NewPlanner(s, d, time.Now, cfg.Rules)
	p.close = func() {
		_ = d.Close()
		s.Close()
	}
	return p, nil
}

// NewPlanner makes a Planner from its parts, which its caller closes. now is its
// clock.
func NewPlanner(s *store.Store, jobs Scheduler, now func() time.Time, rules PlannerRules) *Planner {
	return &Planner{store: s, jobs: jobs, now: now, rules: rules, close: func() {}}
}

// Ping reports whether the Planner can store tasks. Dapr is not asked: nothing
// fails without it.
func (p *Planner) Ping(ctx context.Context) error { return p.store.Ping(ctx) }

// Close gives back what OpenPlanner opened.
func (p *Planner) Close() { p.close() }

// Create stores a valid draft as a new task and schedules its reminders.
func (p *Planner) Create(ctx context.Context, owner store.User, draft task.Draft) (task.Task, error) {
	now := task.Instant(p.now())
	t := task.Task{
		ID:        newID(),
		UserID:    owner.ID,
		Draft:     draft,
		Version:   1,
		CreatedAt: now,
		UpdatedAt: now,
		Reminders: task.Plan(nil, draft, now, p.rules.PastGrace, newID),
	}
	if err := p.store.SaveUser(ctx, owner); err != nil {
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
func (p *Planner) Update(ctx context.Context, owner store.User, id uuid.UUID, change func(task.Task) (task.Draft, error)) (task.Task, error) {
	if err := p.store.SaveUser(ctx, owner); err != nil {
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
		after.Reminders = task.Plan(&before, after.Draft, now, p.rules.PastGrace, newID)
		return tx.UpdateTask(ctx, before, after)
	})
	if err != nil {
		return task.Task{}, err
	}
	p.tellDapr(ctx, &after, before.Reminders)
	after.DropRemoved()
	return after, nil
}

// Delete deletes a user's task and cancels its reminders, unless check, which
// gets the task as it is now, locked, returns an error.
func (p *Planner) Delete(ctx context.Context, userID string, id uuid.UUID, check func(task.Task) error) error {
	var t task.Task
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		if t, err = tx.LockTask(ctx, userID, id); err != nil {
			return err
		}
		if err := check(t); err != nil {
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
	calls, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.rules.ScheduleTimeout)
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
