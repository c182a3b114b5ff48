package schedule

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/together"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

// Rules are the rules for changing tasks.
type Rules struct {
	PastGrace       time.Duration `env:"REMINDER_PAST_GRACE" envDefault:"24h" help:"how far in the past a reminder may be when its task is stored, and still fire at once; older ones are missed"`
	Horizon         task.Horizon
	ScheduleTimeout time.Duration `env:"SCHEDULE_TIMEOUT" envDefault:"1s" help:"how long a request waits for Dapr; reminders that Dapr has not taken by then are pending in the answer"`
	RetryFor        time.Duration `env:"SCHEDULE_RETRY_FOR" envDefault:"15s" help:"how long a function retries pending reminders after the answer; the sweep schedules the rest. 0: the sweep schedules all"`
	Ceilings        Ceilings
}

// Validate reports what is wrong with the configuration.
func (c Rules) Validate() error {
	var problems []error
	if c.PastGrace < 0 {
		problems = append(problems, errors.New("REMINDER_PAST_GRACE must not be negative"))
	}
	if c.ScheduleTimeout < 50*time.Millisecond || c.ScheduleTimeout > 1500*time.Millisecond {
		problems = append(problems, errors.New("SCHEDULE_TIMEOUT must be between 50ms and 1500ms: no request waits longer than 2s for Dapr"))
	}
	if c.RetryFor < 0 || c.RetryFor > time.Minute {
		problems = append(problems, errors.New("SCHEDULE_RETRY_FOR must be between 0s and 1m: after that the sweep schedules in any case"))
	}
	return errors.Join(problems...)
}

// Planner stores tasks and schedules their reminders. It is safe for concurrent use.
//
// Each change is one transaction. Calls to Dapr are best effort. If they fail, or the process dies,
// the reminder is pending in the database. It is scheduled later: for a short while by the planner
// in the background, and after that by the sweep.
//
// Jobs of new tasks are scheduled before the tasks are stored, unless one is due soon. So the
// confirmations are stored together with the tasks, in one transaction. If the process dies in
// between, a job without a reminder is left. Its callback is skipped, and the cleanup deletes it.
// If the scheduler is found to have lost its data in between, the tasks are stored as pending and
// scheduled again.
type Planner struct {
	store *store.Store
	jobs  Jobs
	now   func() time.Time
	rules Rules

	// Changes that come at the same time share a transaction.
	creates  together.Group[created]
	confirms together.Group[*scheduled]
	behind   background
	// storing says that the database was reachable when new tasks were last stored.
	storing atomic.Bool
	newID   func() uuid.UUID
	zones   *zone.Data // nil: the embedded release
	habits  remembered

	meter   meter
	imports places
}

// created is a new task with its owner, and when Dapr may first have been asked for its jobs.
type created struct {
	owner   store.User
	task    task.Task
	asked   time.Time
	assumed bool // the owner is assumed to have no default reminders
}

// scheduled is a job that Dapr has taken, and when Dapr may first have been asked for it.
type scheduled struct {
	task.Revision
	asked time.Time
	stale bool // its revision is not current any more
}

// NewPlanner returns a Planner. The caller closes s. now is the clock, time.Now outside of tests.
func NewPlanner(s *store.Store, dapr Scheduler, now func() time.Time, rules Rules) *Planner {
	p := &Planner{store: s, jobs: NewJobs(s, dapr, now, concurrent), now: now, rules: rules, newID: newID}
	p.behind.end, p.behind.stop = context.WithCancel(context.Background())
	p.creates.Everyones, p.confirms.Everyones = store.IsAway, store.IsAway
	p.creates.Call = func(ctx context.Context, all []created) error { return p.insert(ctx, store.Shared, all) }
	p.creates.Alone = func(ctx context.Context, one []created) error { return p.insert(ctx, store.Alone, one) }
	p.confirms.Call = func(ctx context.Context, all []*scheduled) error { return p.confirm(ctx, store.Shared, all) }
	p.confirms.Alone = func(ctx context.Context, some []*scheduled) error { return p.confirm(ctx, store.Alone, some) }
	return p
}

// Like sets whether the planner behaves as if it had stored tasks before, and how it makes ids. It
// is for tests. Call it before the first use.
func (p *Planner) Like(stored bool, newID func() uuid.UUID) {
	p.storing.Store(stored)
	p.newID = newID
}

// Once makes a request take effect once, however often it comes.
type Once struct {
	Key store.IdempotencyKey
	// Answer returns the answer to keep, once the tasks are stored. A repeated request gets it as a
	// [*store.AnsweredError].
	Answer func([]task.Task) string
}

// Create stores a valid draft as a new task and schedules its reminders. once may be nil.
func (p *Planner) Create(ctx context.Context, owner store.User, draft task.Draft, once *Once) (task.Task, error) {
	if once != nil {
		all, err := p.createAll(ctx, owner, []task.Draft{draft}, once, false)
		if err != nil {
			return task.Task{}, err
		}
		return all[0], nil
	}
	created, err := p.create(ctx, owner, draft)
	if errors.Is(err, store.ErrDefaultReminders) {
		p.habits.add(owner.ID)
		return p.create(ctx, owner, draft)
	}
	return created, err
}

func (p *Planner) create(ctx context.Context, owner store.User, draft task.Draft) (task.Task, error) {
	habits, assumed, err := p.habitsFor(ctx, owner.ID, draft)
	if err != nil {
		return task.Task{}, err
	}
	tasks, err := p.newTasks(owner, []task.Draft{draft}, habits)
	if err != nil {
		return task.Task{}, err
	}
	until := p.until()
	done, err := p.admit(ctx, owner.ID, ofNew(tasks, until, nil), until, p.store.Usage, doubtLasts)
	if err != nil {
		return task.Task{}, err
	}
	err = p.add(ctx, tasks, until, p.request(), func(ctx context.Context, asked time.Time) error {
		defer done()
		return p.creates.Do(ctx, created{owner, tasks[0], asked, assumed})
	})
	return tasks[0], err
}

func (p *Planner) insert(ctx context.Context, sharing store.Sharing, all []created) error {
	users, tasks := make([]store.User, len(all)), make([]task.Task, len(all))
	var assumed []string
	for i, c := range all {
		users[i], tasks[i] = c.owner, c.task
		if c.assumed {
			assumed = append(assumed, c.owner.ID)
		}
	}
	first := slices.MinFunc(all, func(a, b created) int { return a.asked.Compare(b.asked) })
	kept, err := p.store.InsertTasks(ctx, sharing, users, tasks, assumed, p.until(), p.now().Sub(first.asked))
	if err == nil && !kept {
		unconfirm(tasks)
	}
	return err
}

// CreateAll stores valid drafts as new tasks, all or none. It schedules as many of their reminders
// as Dapr takes while the request waits. once may be nil.
func (p *Planner) CreateAll(ctx context.Context, owner store.User, drafts []task.Draft, once *Once) ([]task.Task, error) {
	return p.createAll(ctx, owner, drafts, once, true)
}

func (p *Planner) createAll(ctx context.Context, owner store.User, drafts []task.Draft, once *Once, imported bool) ([]task.Task, error) {
	if err := p.store.SaveUser(ctx, owner); err != nil {
		return nil, err
	}
	habits, err := p.habitsForAll(ctx, owner.ID, drafts)
	if err != nil {
		return nil, err
	}
	tasks, err := p.newTasks(owner, drafts, habits)
	if err != nil {
		return nil, err
	}
	until := p.until()
	done, err := p.begin(ctx, owner.ID, tasks, until, once, imported)
	if err != nil {
		return nil, err
	}
	if err := p.addOnce(ctx, tasks, until, p.request(), once, done); err != nil {
		return nil, err
	}
	return tasks, nil
}

// newTasks makes tasks of valid drafts. The error is that of the first one that can't be planned.
func (p *Planner) newTasks(owner store.User, drafts []task.Draft, habits preferences.Habits) ([]task.Task, error) {
	now := task.Instant(p.now())
	tasks := make([]task.Task, len(drafts))
	for i, draft := range drafts {
		if err := resolveNew(&draft, habits); err != nil {
			return nil, err
		}
		tasks[i] = task.Task{
			ID:        p.newID(),
			UserID:    owner.ID,
			Draft:     draft,
			Progress:  task.Restart(nil, draft),
			Clock:     habits.Clock,
			Version:   1,
			CreatedAt: now,
			UpdatedAt: now,
			Reminders: task.Plan(nil, draft, now, p.rules.PastGrace, p.newID, habits.Clock),
		}
	}
	return tasks, nil
}

// begin checks whether new tasks may be stored: the request was not carried out before, and no
// ceiling is exceeded. For imported tasks it checks the ceilings on imports, too. The caller calls
// done once the tasks are stored or given up.
func (p *Planner) begin(ctx context.Context, userID string, tasks []task.Task, until time.Time, once *Once, imported bool) (done func(), err error) {
	if once != nil {
		if err := p.store.Answered(ctx, once.Key); err != nil {
			return nil, err // and Dapr is not asked
		}
	}
	done, err = p.admit(ctx, userID, ofNew(tasks, until, once), until, p.store.Usage, doubtLasts)
	if err == nil && imported {
		if err = p.takeRows(ctx, userID, len(tasks)); err != nil {
			done()
		}
	}
	return done, err
}

// addOnce stores new tasks of a user on record, and schedules their reminders as add does. once may
// be nil. It calls done when the tasks are stored or given up.
func (p *Planner) addOnce(ctx context.Context, tasks []task.Task, until time.Time, e effort, once *Once, done func()) error {
	var claimed string
	err := p.add(ctx, tasks, until, e, func(ctx context.Context, asked time.Time) error {
		defer done()
		var kept bool
		err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
			if once != nil {
				claimed = once.Answer(tasks)
				if err := tx.ClaimKey(ctx, once.Key, claimed); err != nil {
					return err
				}
			}
			kept, err = tx.InsertTasks(ctx, tasks, until, p.now().Sub(asked))
			return err
		})
		if err == nil && !kept {
			unconfirm(tasks)
		}
		return err
	})
	if err != nil || once == nil {
		return err
	}
	if answer := once.Answer(tasks); answer != claimed {
		// If this fails, the answer stays that was stored with the claim.
		if err := p.store.KeepAnswer(context.WithoutCancel(ctx), once.Key, answer); err != nil {
			slog.WarnContext(ctx, "a repeated request will not be told how many of its reminders are pending", "error", err)
		}
	}
	return nil
}

// headStart is how far ahead reminders must be due for their jobs to be scheduled before they are
// stored. It is longer than both take. A job that fired before its reminder is stored would find
// nothing, and the reminder would wait for the sweep.
const headStart = time.Minute

// add stores new tasks by insert, and schedules their reminders that are due up to until. Either
// may come first. asked is when Dapr may first have been asked. insert removes the confirmations in
// the tasks that it could not store.
func (p *Planner) add(ctx context.Context, tasks []task.Task, until time.Time, e effort, insert func(ctx context.Context, asked time.Time) error) error {
	asked := p.now()
	pending := pendingOf(tasks, until)
	soon := slices.ContainsFunc(pending, func(d store.Due) bool { return d.FireAt.Before(asked.Add(headStart)) })
	tell := e.within > 0 && len(pending) > 0
	// While the database is away, Dapr must not collect jobs of tasks that will not be stored.
	first := tell && !soon && p.storing.Load()
	var held []task.Revision
	var refusal error
	if first {
		ctx = context.WithoutCancel(ctx) // what Dapr has taken must be stored, even if the caller hangs up
		inTime, cancel := context.WithTimeout(ctx, e.within)
		held, _, refusal = p.ask(inTime, pending, e)
		cancel()
		markConfirmed(tasks, held)
	}
	err := insert(ctx, asked)
	p.storing.Store(!store.IsAway(err))
	switch {
	case err == nil && first && confirmed(tasks) == len(held):
		p.goOn(ctx, pendingOf(tasks, until), store.Leftovers{}, e, refusal)
	case err == nil && tell:
		p.tellDapr(ctx, tasks, until, store.Leftovers{}, e)
	case err != nil && len(held) > 0 && !store.IsAway(err):
		// It is certain that the tasks are not stored. Otherwise their jobs would have to stay.
		inTime, cancel := context.WithTimeout(ctx, e.within)
		p.jobs.takeBack(inTime, held)
		cancel()
	}
	return err
}

// Update changes a user's task. change gets the task as it is now by the user's clock, locked. It
// returns a valid draft of the new task, or an error, which leaves all as it is. Reminders are
// scheduled, moved and cancelled as the change demands.
func (p *Planner) Update(ctx context.Context, owner store.User, id uuid.UUID, change func(task.Task) (task.Draft, error)) (task.Task, error) {
	if err := p.store.SaveUser(ctx, owner); err != nil {
		return task.Task{}, err
	}
	var before, after task.Task
	var left store.Leftovers
	until := p.until()
	done := func() {}
	defer func() { done() }()
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		done()
		done = func() {}
		var habits preferences.Habits
		if before, habits, err = tx.LockTask(ctx, owner.ID, id); err != nil {
			return err
		}
		habits.Clock.Zones = p.zones
		now := task.Instant(p.now())
		current, _ := task.Follow(before, habits.Clock, now, p.rules.PastGrace)
		after = current
		if after.Draft, err = change(current); err != nil {
			return err
		}
		if err := resolve(&after.Draft, habits); err != nil {
			return err
		}
		after.Progress = task.Restart(&current, after.Draft)
		if after.Progress.Series > current.Progress.Series {
			if err := after.CheckRecurrence(habits.Clock); err != nil {
				return err
			}
		}
		after.Clock = habits.Clock
		after.Version++
		after.UpdatedAt = now
		after.Reminders = task.Plan(&current, after.Draft, now, p.rules.PastGrace, p.newID, habits.Clock)
		if done, err = p.admit(ctx, owner.ID, ofChange(before, after, until), until, tx.Usage, 0); err != nil {
			return err
		}
		left, err = tx.UpdateTask(ctx, before, after, until)
		return err
	})
	if err != nil {
		return task.Task{}, err
	}
	p.tellDapr(ctx, []task.Task{after}, until, left, p.request())
	after.DropRemoved()
	return after, nil
}

// Close completes or skips an occurrence of a user's recurring task, as to says. If that was done
// before, it changes nothing; if the other was done, the error is a conflict. which gets the task
// as it is now by the user's clock, locked. It returns the occurrence, or an error, which leaves
// all as it is. Reminders that waited for the occurrence are armed for the next one, and its unsent
// deliveries are cancelled.
func (p *Planner) Close(ctx context.Context, owner store.User, id uuid.UUID, to task.Settled, which func(task.Task) (wallclock.Time, error)) (task.Task, error) {
	var after task.Task
	var left store.Leftovers
	until := p.until()
	changed := false
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		changed = false
		before, habits, err := tx.LockTask(ctx, owner.ID, id)
		if err != nil {
			return err
		}
		habits.Clock.Zones = p.zones
		now := task.Instant(p.now())
		current, _ := task.Follow(before, habits.Clock, now, p.rules.PastGrace)
		current.Clock = habits.Clock
		after = current
		local, err := which(current)
		if err != nil {
			return err
		}
		settled, err := tx.SettledAs(ctx, id, current.Progress.Series, local)
		switch {
		case err != nil || settled == to:
			return err
		case settled == task.Completed || settled == task.Skipped:
			return fault.Conflict("the occurrence was %s before", settled)
		}
		if after, err = task.Close(current, local, settled == task.Told, habits.Clock, now); err != nil {
			return err
		}
		changed = true
		after.Version++
		after.UpdatedAt = now
		of := store.Occurrence{TaskID: id, Series: current.Progress.Series, Local: local, Instant: current.At(local, habits.Clock), State: to}
		left, err = tx.CloseOccurrence(ctx, before, after, of, until)
		return err
	})
	if err != nil {
		return task.Task{}, err
	}
	if changed {
		p.tellDapr(ctx, []task.Task{after}, until, left, p.request())
	}
	after.DropRemoved()
	return after, nil
}

// Delete deletes a user's task and cancels its reminders. check gets the task as it is now, locked.
// If it returns an error, nothing is changed.
func (p *Planner) Delete(ctx context.Context, userID string, id uuid.UUID, check func(task.Task) error) error {
	var left store.Leftovers
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		t, _, err := tx.LockTask(ctx, userID, id)
		if err != nil {
			return err
		}
		if err := check(t); err != nil {
			return err
		}
		left, err = tx.DeleteTask(ctx, id)
		return err
	})
	if err != nil {
		return err
	}
	p.tellDapr(ctx, nil, time.Time{}, left, p.request())
	return nil
}

// concurrent is how many calls to Dapr one request, or one part of an import, makes at a time.
// Dapr's scheduler writes calls together, so each costs less the more there are. Measured: with 32
// an import is slower by a tenth, and with more than 128 it is no faster.
const concurrent = 128

// Expected is the instant up to which reminders should be confirmed: see [task.Horizon.Expected].
func (p *Planner) Expected() time.Time { return p.rules.Horizon.Expected(p.now()) }

// until returns the instant up to which a change schedules reminders. The value for the rows, which
// record what Dapr may have been asked for, must be the same as for the calls.
func (p *Planner) until() time.Time { return p.rules.Horizon.Until(p.now()) }

// effort is how much time the caller has for Dapr.
type effort struct {
	within time.Duration // 0: Dapr is not asked
	// patient makes it retry within that time, until Dapr has taken nothing for SCHEDULE_RETRY_FOR.
	// Otherwise each job is tried once, and again in the background.
	patient bool
}

// request is the effort while a request waits for its answer.
func (p *Planner) request() effort { return effort{within: p.rules.ScheduleTimeout} }

// ask schedules pending reminders. It returns what [Jobs.schedule] does.
func (p *Planner) ask(ctx context.Context, pending []store.Due, e effort) (taken []task.Revision, left []store.Due, err error) {
	if !e.patient {
		return p.jobs.schedule(ctx, pending)
	}
	left = pending
	again(ctx, p.rules.RetryFor, func() (anywhere, all bool) {
		var some []task.Revision
		some, left, err = p.jobs.schedule(ctx, left)
		taken = append(taken, some...)
		return len(some) > 0, len(left) == 0
	})
	return taken, left, err
}

// tellDapr schedules the pending reminders of tasks that are due up to until, and deletes leftover
// jobs. What does not fit into the effort goes on in the background. It marks confirmed reminders
// in the database and in tasks. It goes on if the caller hangs up, since the change is committed.
func (p *Planner) tellDapr(ctx context.Context, tasks []task.Task, until time.Time, left store.Leftovers, e effort) {
	ctx = context.WithoutCancel(ctx)
	inTime, cancel := context.WithTimeout(ctx, e.within)
	defer cancel()
	asked := p.now()
	var taken []task.Revision
	var pending []store.Due
	var refusal error
	var calls sync.WaitGroup
	calls.Go(func() { taken, pending, refusal = p.ask(inTime, pendingOf(tasks, until), e) })
	left, deleteErr := p.deleteJobs(inTime, left)
	calls.Wait()

	if p.record(inTime, taken, asked) {
		markConfirmed(tasks, taken)
	}
	p.goOn(ctx, pending, left, e, errors.Join(refusal, deleteErr))
}

// deleteJobs deletes leftover jobs, and returns those that Dapr has not deleted.
func (p *Planner) deleteJobs(ctx context.Context, left store.Leftovers) (store.Leftovers, error) {
	deleted, err := p.jobs.Delete(ctx, left)
	if err := p.store.DropLeftovers(context.WithoutCancel(ctx), deleted); err != nil {
		slog.WarnContext(ctx, "leftover jobs are deleted once more: that they are gone could not be recorded", "error", err)
	}
	left.Jobs = slices.DeleteFunc(left.Jobs, func(r task.Revision) bool { return slices.Contains(deleted.Jobs, r) })
	return left, err
}

// record marks jobs that Dapr has taken as confirmed in the database, also when ctx has ended, and
// reports whether it could. Jobs that turn out to be stale are deleted.
func (p *Planner) record(ctx context.Context, taken []task.Revision, asked time.Time) bool {
	if len(taken) == 0 {
		return true
	}
	marks := make([]*scheduled, len(taken))
	for i, r := range taken {
		marks[i] = &scheduled{Revision: r, asked: asked}
	}
	if err := p.confirms.Do(context.WithoutCancel(ctx), marks...); err != nil {
		slog.WarnContext(ctx, "reminders stay pending: their schedule could not be recorded", "reminders", len(taken), "error", err)
		return false
	}
	var stale []task.Revision
	for _, m := range marks {
		if m.stale {
			stale = append(stale, m.Revision)
		}
	}
	p.jobs.takeBack(ctx, stale)
	return true
}

// confirm marks jobs as confirmed in the database, and sets stale in those that are not current any
// more.
func (p *Planner) confirm(ctx context.Context, sharing store.Sharing, marks []*scheduled) error {
	revisions := make([]task.Revision, len(marks))
	for i, m := range marks {
		revisions[i] = m.Revision
	}
	first := slices.MinFunc(marks, func(a, b *scheduled) int { return a.asked.Compare(b.asked) })
	stale, err := p.store.Confirm(ctx, sharing, revisions, p.now().Sub(first.asked))
	for _, m := range marks {
		m.stale = slices.ContainsFunc(stale, func(r task.Revision) bool { return r.ReminderID == m.ReminderID && r.Number == m.Number })
	}
	return err
}

// pendingOf returns the pending reminders of tasks that are due up to until.
func pendingOf(tasks []task.Task, until time.Time) (pending []store.Due) {
	for _, t := range tasks {
		for _, r := range t.Reminders {
			if r.Pending(until) {
				revision := task.Revision{TaskID: t.ID, UserID: t.UserID, ReminderID: r.ID, Number: r.Revision}
				pending = append(pending, store.Due{Revision: revision, FireAt: *r.FireAt})
			}
		}
	}
	return pending
}

// markConfirmed marks jobs as confirmed in the tasks.
func markConfirmed(tasks []task.Task, scheduled []task.Revision) {
	held := make(map[uuid.UUID]int64, len(scheduled))
	for _, s := range scheduled {
		held[s.ReminderID] = s.Number
	}
	for _, t := range tasks {
		for i, r := range t.Reminders {
			if revision, ok := held[r.ID]; ok && revision == r.Revision {
				t.Reminders[i].Confirmed = revision
			}
		}
	}
}

// unconfirm marks the reminders of new tasks as pending.
func unconfirm(tasks []task.Task) {
	for _, t := range tasks {
		for i := range t.Reminders {
			t.Reminders[i].Confirmed = 0
		}
	}
}

// confirmed counts the confirmed reminders of new tasks.
func confirmed(tasks []task.Task) (n int) {
	for _, t := range tasks {
		for _, r := range t.Reminders {
			if r.Confirmed > 0 {
				n++
			}
		}
	}
	return n
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
