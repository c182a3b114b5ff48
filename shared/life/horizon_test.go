package life_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
)

// withHorizon is a world whose reminders are with Dapr a day ahead, and its clock.
func withHorizon(t *testing.T) (w *world, now *time.Time) {
	t.Helper()
	start := task.Instant(time.Now())
	now = &start
	w = newWorld(t, func() time.Time { return *now })
	w.planner = schedule.NewPlanner(w.store, w.dapr, w.clock, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second, Horizon: day})
	return w, now
}

var day = task.Horizon{Ahead: 24 * time.Hour}

// after is a task that is due so long from the world's now.
func (w *world) after(d time.Duration) task.Task {
	w.Helper()
	due := w.clock().Add(d)
	return w.create(task.Draft{DueDate: &due})
}

func (w *world) sweepWithin(h task.Horizon) upkeep.Summary {
	w.Helper()
	rules := sweepRules
	rules.Horizon = h
	rules.Grace = time.Hour // the clock is made up, and nothing is to fire
	sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return sum
}

func (w *world) calls() (out []string) {
	for _, c := range w.dapr.scheduled {
		out = append(out, name(c.ReminderID, c.Number))
	}
	return out
}

// What is due beyond the horizon is not with Dapr, is shown as scheduled all the same,
// and comes to Dapr, the earliest first, when it comes within the horizon.
func TestHorizon(t *testing.T) {
	w, now := withHorizon(t)
	week, nextWeek, soon := w.after(7*24*time.Hour), w.after(8*24*time.Hour), w.after(23*time.Hour)
	w.want("scheduled", w.calls(), name(soon.Reminders[0].ID, 1))
	for _, created := range []task.Task{week, nextWeek, soon} {
		if s := created.Reminders[0].Status(w.planner.Expected()); s != "scheduled" {
			t.Errorf("due at %v, shown as %s", created.DueDate, s)
		}
	}
	if sum := w.sweepWithin(day); sum.Scheduled+sum.Pending != 0 {
		t.Errorf("nothing has come within the horizon: %+v", sum)
	}
	*now = now.Add(6*24*time.Hour - time.Second)
	if sum := w.sweepWithin(day); sum.Scheduled != 0 {
		t.Errorf("a second early: %+v", sum)
	}
	if s := w.reload(week.ID).Reminders[0].Status(w.planner.Expected()); s != "scheduled" {
		t.Errorf("about to come within the horizon, shown as %s", s)
	}
	*now = now.Add(48 * time.Hour)
	if s := w.reload(week.ID).Reminders[0].Status(w.planner.Expected()); s != "pending" {
		t.Errorf("no sweep has run for two days, shown as %s", s)
	}
	w.dapr.scheduled = nil
	rules := sweepRules
	rules.Horizon, rules.Grace, rules.Calls = day, time.Hour, 1
	if sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context()); err != nil || sum.Scheduled != 2 {
		t.Errorf("%+v, %v", sum, err)
	}
	if want := []string{name(week.Reminders[0].ID, 1), name(nextWeek.Reminders[0].ID, 1)}; !slices.Equal(w.calls(), want) {
		t.Errorf("scheduled %q, want the earlier one first: %q", w.calls(), want)
	}
	if s := w.reload(week.ID).Reminders[0].Status(w.planner.Expected()); s != "scheduled" {
		t.Errorf("afterwards shown as %s", s)
	}
}

// A due date that is moved across the horizon is scheduled at once, or taken back.
// Beyond it Dapr hears of nothing.
func TestMovesAcrossTheHorizon(t *testing.T) {
	w, now := withHorizon(t)
	moveTo := func(id task.Task, in time.Duration) task.Task {
		return w.update(id.ID, func(d *task.Draft) { due := now.Add(in); d.DueDate = &due })
	}
	const near, far, farther = time.Hour, 72 * time.Hour, 96 * time.Hour

	created := w.after(far)
	id := created.Reminders[0].ID
	moveTo(created, near)
	w.want("far to near schedules", w.calls(), name(id, 2))
	w.want("far to near deletes", w.dapr.deleted)

	moveTo(created, far)
	w.want("near to far schedules", w.calls(), name(id, 2))
	w.want("near to far deletes", w.dapr.deleted, name(id, 2))
	w.want("left over", w.leftovers(), name(id, 2)) // until nobody can be scheduling it any more

	w.dapr.deleted = nil
	w.exec(`delete from leftover_jobs`)
	moved := moveTo(created, farther)
	if s := moved.Reminders[0].Status(w.planner.Expected()); s != "scheduled" {
		t.Errorf("far to farther is shown as %s", s)
	}
	completed, deleted := w.after(far), w.after(far)
	w.update(completed.ID, func(d *task.Draft) { d.Completed = true })
	if err := w.planner.Delete(t.Context(), ada.ID, deleted.ID, anyVersion); err != nil {
		t.Fatal(err)
	}
	w.want("beyond the horizon Dapr is asked to schedule", w.calls(), name(id, 2))
	w.want("and to delete", w.dapr.deleted)
	w.want("and nothing is left over", w.leftovers())

	// One that a sweep has promoted in the meantime has a job to be taken back.
	promoted := w.after(far)
	*now = now.Add(60 * time.Hour)
	if sum := w.sweepWithin(day); sum.Scheduled != 1 {
		t.Errorf("%+v", sum)
	}
	w.update(promoted.ID, func(d *task.Draft) { d.Completed = true })
	w.want("deleted", w.dapr.deleted, name(promoted.Reminders[0].ID, 1))
}

// Dapr has lost everything, or is believed to have: what is beyond the horizon stays
// where it is. Without a horizon all of it is scheduled.
func TestReconcileRespectsTheHorizon(t *testing.T) {
	h := newHouse(t)
	near, far := h.add(time.Hour), h.add(72*time.Hour)
	h.dapr.jobs = map[string]fakeJob{currentSentinel: {}}
	within := h.withRules(func(r *upkeep.CleanupRules) { r.Horizon = day })
	if err := within.Reconcile(t.Context(), func(upkeep.Progress) {}); err != nil {
		t.Fatal(err)
	}
	h.want("within the horizon", h.dapr.names(), wake(near).JobName(), currentSentinel)
	if report := within.Cleanup(t.Context(), false); report.Failed() > 0 {
		t.Errorf("%+v", report)
	}
	h.want("after a cleanup", h.dapr.names(), wake(near).JobName(), currentSentinel)
	if err := h.cleaner.Reconcile(t.Context(), func(upkeep.Progress) {}); err != nil {
		t.Fatal(err)
	}
	h.want("without a horizon", h.dapr.names(), wake(near).JobName(), wake(far).JobName(), currentSentinel)
}

// An import beyond the horizon asks Dapr for nothing.
func TestImportBeyondTheHorizon(t *testing.T) {
	w, now := withHorizon(t)
	i, err := w.planner.Import(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	for part := range 3 {
		var drafts []task.Draft
		for n := range 10 {
			due := now.Add(time.Duration(12+24*part) * time.Hour)
			drafts = append(drafts, task.Draft{Title: fmt.Sprint(n), DueDate: &due, Before: task.DefaultBefore()})
		}
		if err := i.Add(t.Context(), drafts, nil); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := i.Wait(); err != nil || c != (schedule.Counts{Created: 30, Scheduled: 30}) || len(w.dapr.scheduled) != 10 {
		t.Errorf("%+v, %d with Dapr", c, len(w.dapr.scheduled))
	}
}

// Time passes between storing a reminder and telling Dapr of it. One that comes within
// the horizon in between is left to the sweep: that Dapr has a job is always on record.
func TestEdgeOfTheHorizon(t *testing.T) {
	w, now := withHorizon(t)
	w.clock = func() time.Time { *now = now.Add(time.Microsecond); return *now }
	w.planner = schedule.NewPlanner(w.store, w.dapr, w.clock, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second, Horizon: day})
	stored := map[string]func(due time.Time) task.Task{
		"created": func(due time.Time) task.Task { return w.create(task.Draft{DueDate: &due}) },
		"moved": func(due time.Time) task.Task {
			return w.update(w.create(task.Draft{}).ID, func(d *task.Draft) { d.DueDate = &due })
		},
		"imported": func(due time.Time) task.Task {
			w.exec(`delete from reminders; delete from tasks`)
			i, err := w.planner.Import(t.Context(), ada)
			if err != nil {
				t.Fatal(err)
			}
			if err := i.Add(t.Context(), []task.Draft{{Title: "x", DueDate: &due, Before: task.DefaultBefore()}}, nil); err != nil {
				t.Fatal(err)
			}
			if c, err := i.Wait(); err != nil || c.Created != 1 {
				t.Fatal(c, err)
			}
			tasks, _, err := w.store.ListTasks(t.Context(), ada.ID, store.Filter{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			return tasks[0]
		},
	}
	for how, put := range stored {
		asked := 0
		for ahead := range 12 {
			w.dapr.scheduled, w.dapr.deleted = nil, nil
			done := put(now.Add(24*time.Hour + time.Duration(ahead)*time.Microsecond))
			if err := w.planner.Delete(t.Context(), ada.ID, done.ID, anyVersion); err != nil {
				t.Fatal(err)
			}
			asked += len(w.calls())
			if len(w.dapr.deleted) < len(w.calls()) {
				t.Errorf("%s %d µs beyond the horizon: scheduled, and left over without a record", how, ahead)
			}
		}
		if asked == 0 || asked == 12 {
			t.Errorf("%s: %d of 12 were scheduled, which shows nothing", how, asked)
		}
	}
}

// What comes within the horizon is given to Dapr with as many calls at a time as an import.
func TestPromotionHasManyCallsUnderWay(t *testing.T) {
	w, now := withHorizon(t)
	rules, err := config.Parse[upkeep.SweepRules](nil)
	if err != nil {
		t.Fatal(err)
	}
	if rules.Horizon != day {
		t.Errorf("the horizon is %v unless another one is set", rules.Horizon.Ahead)
	}
	const many = 128
	due := now.Add(36 * time.Hour)
	drafts := make([]task.Draft, many)
	for i := range drafts {
		drafts[i] = task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()}
	}
	if _, err := w.planner.CreateAll(t.Context(), ada, drafts, nil); err != nil {
		t.Fatal(err)
	}
	w.want("beyond the horizon", w.calls())
	*now = now.Add(24 * time.Hour)
	var underWay atomic.Int64
	all := make(chan struct{})
	w.dapr.onSchedule = func(ctx context.Context) error {
		if underWay.Add(1) == many {
			close(all)
		}
		select {
		case <-all:
		case <-ctx.Done():
		}
		return nil
	}
	rules.Grace = time.Hour // the clock is made up, and nothing is to fire
	if sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context()); err != nil || sum.Scheduled != many {
		t.Errorf("%+v, %v", sum, err)
	}
	select {
	case <-all:
	default:
		t.Errorf("%d calls were under way, want %d", underWay.Load(), many)
	}
}
