package life_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// leftovers returns the jobs that are recorded as left over, as named by name.
func (w *world) leftovers() []string {
	w.Helper()
	return w.column(`select 'reminder-' || reminder_id || '-' || revision from leftover_jobs order by 1`)
}

// settle lets so much time pass that no call which schedules a job is under way.
func (w *world) settle() {
	w.Helper()
	w.exec(`update reminders set last_scheduling_at = last_scheduling_at - interval '1 h';
		update leftover_jobs set settled_at = settled_at - interval '1 h'`)
}

func (w *world) want(what string, got []string, want ...string) {
	w.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.Errorf("%s: %q, want %q", what, got, want)
	}
}

// Each change that takes a job's meaning away records the job, and drops the record
// once Dapr has deleted it.
func TestChangesRecordLeftoverJobs(t *testing.T) {
	changes := map[string]struct {
		revision int64 // of the job that is left
		change   func(*world, task.Task)
	}{
		"moved":          {1, func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.DueDate = in(2 * time.Hour) }) }},
		"moved far back": {1, func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.DueDate = in(-48 * time.Hour) }) }},
		"no due date":    {1, func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.DueDate = nil }) }},
		"another offset": {1, func(w *world, t task.Task) {
			w.update(t.ID, func(d *task.Draft) { d.Before = task.Exactly(time.Minute) })
		}},
		"completed":           {1, func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Completed = true }) }},
		"deleted":             {1, func(w *world, t task.Task) { w.remove(t.ID) }},
		"a new title":         {0, func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Title = "x" }) }},
		"completed after all": {0, func(w *world, t task.Task) { w.fireNow(t); w.update(t.ID, func(d *task.Draft) { d.Completed = true }) }},
		"moved after all": {1, func(w *world, t task.Task) {
			w.fireNow(t)
			w.update(t.ID, func(d *task.Draft) { d.DueDate = in(2 * time.Hour) })
		}},
		"deleted after all": {1, func(w *world, t task.Task) { w.fireNow(t); w.remove(t.ID) }},
	}
	for what, c := range changes {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, atNoon)
			for _, fault := range []string{"", "Dapr is away", "just scheduled", "never confirmed"} {
				w.dapr.deleted = nil
				if fault == "never confirmed" {
					w.dapr.err = errDown
				}
				created := w.create(task.Draft{DueDate: in(time.Hour)})
				if fault != "just scheduled" && fault != "never confirmed" {
					w.settle()
				}
				if fault == "Dapr is away" {
					w.dapr.err = errDown
				}
				c.change(w, created)

				var left []string
				if c.revision > 0 {
					left = []string{name(created.Reminders[0].ID, c.revision)}
				}
				if fault == "" {
					w.want("recorded", w.leftovers())
					w.want("deleted", w.dapr.deleted, left...)
				} else {
					w.want(fault+": recorded", w.leftovers(), left...)
				}
				// The sweep does what is left to do, when it can.
				w.dapr.err = nil
				w.settle()
				w.sweep()
				w.want(fault+": recorded in the end", w.leftovers())
				for _, job := range left {
					if !slices.Contains(w.dapr.deleted, job) {
						t.Errorf("%s: %s was not deleted", fault, job)
					}
				}
			}
		})
	}
}

func (w *world) remove(id uuid.UUID) {
	w.Helper()
	if err := w.planner.Delete(w.Context(), ada.ID, id, anyVersion); err != nil {
		w.Fatal(err)
	}
}

// fireNow fires a task's reminder at its instant.
func (w *world) fireNow(t task.Task) {
	w.Helper()
	at := func() time.Time { return *t.Reminders[0].FireAt }
	if _, err := newTeller(w.store, nil, at, settings).Fire(w.Context(), wake(t)); err != nil {
		w.Fatal(err)
	}
}

// Dapr takes a job after it was told to delete it: the one that schedules was slow.
// That is so whether it lives to find out or dies before.
func TestLateScheduleIsLeftover(t *testing.T) {
	for _, dies := range []bool{false, true} {
		w := newWorld(t, atNoon)
		created := w.create(task.Draft{DueDate: in(time.Hour)})
		r := created.Reminders[0]
		w.dapr.onSchedule = func(context.Context) error {
			w.dapr.onSchedule = nil
			w.remove(created.ID)
			if dies {
				w.dapr.err = errDown // its own deletion does not happen either
			}
			return nil
		}
		_, err := w.planner.Update(t.Context(), ada, created.ID, func(t task.Task) (task.Draft, error) {
			t.DueDate = in(2 * time.Hour)
			return t.Draft, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(w.leftovers(), name(r.ID, 2)) {
			t.Errorf("dies %v: recorded %v", dies, w.leftovers())
		}
		w.dapr.err = nil
		w.sweep()
		if !slices.Contains(w.leftovers(), name(r.ID, 2)) {
			t.Errorf("dies %v: dropped while another call might schedule it", dies)
		}
		w.settle()
		w.dapr.deleted = nil
		w.sweep()
		w.want("recorded in the end", w.leftovers())
		if !slices.Contains(w.dapr.deleted, name(r.ID, 2)) {
			t.Errorf("dies %v: deleted %v", dies, w.dapr.deleted)
		}
	}
}

// A reminder that is pending for long is scheduled along with a change of its task. If
// it is cancelled meanwhile, its job is left over until that call is surely over.
func TestScheduledAlongWithAChange(t *testing.T) {
	w := newWorld(t, atNoon)
	w.dapr.err = errDown
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	w.dapr.err = nil
	w.settle()
	w.dapr.onSchedule = func(context.Context) error {
		w.dapr.onSchedule = nil
		w.remove(created.ID)
		w.sweep()
		w.want("recorded while the call is under way", w.leftovers(), name(created.Reminders[0].ID, 1))
		return nil
	}
	w.update(created.ID, func(d *task.Draft) { d.Title = "Another" })
	w.settle()
	w.dapr.deleted = nil
	w.sweep()
	w.want("recorded in the end", w.leftovers())
	w.want("deleted in the end", w.dapr.deleted, name(created.Reminders[0].ID, 1))
}

// What is found to be stale is kept, even if a deletion that began before is recorded
// only now.
func TestStaleJobOutlivesAnEarlierDeletion(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	w.settle()
	w.dapr.err = errDown
	w.remove(created.ID)
	left, err := w.store.Leftovers(t.Context(), 10)
	if err != nil || len(left.Jobs) != 1 {
		t.Fatalf("%+v, %v", left, err)
	}
	if stale, err := w.store.Confirm(t.Context(), store.Alone, left.Jobs, 0); err != nil || len(stale) != 1 {
		t.Fatalf("%+v, %v", stale, err)
	}
	if err := w.store.DropLeftovers(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	w.want("recorded", w.leftovers(), name(created.Reminders[0].ID, 1))
}

func TestLeftoverJobsAreDeletedInParts(t *testing.T) {
	w := newWorld(t, atNoon)
	for i := range 12 {
		created := w.create(task.Draft{Title: strconv.Itoa(i), DueDate: in(time.Hour)})
		w.dapr.err = errDown
		w.remove(created.ID)
		w.dapr.err = nil
	}
	w.settle()
	w.dapr.err = errDown
	sweeper := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules)
	if sum, err := sweeper.Sweep(t.Context()); err == nil || sum.LeftoverJobs != 0 || len(w.leftovers()) != 12 {
		t.Errorf("while Dapr is away: %+v, %v", sum, err)
	}
	w.dapr.err = nil
	if sum := w.sweep(); sum.LeftoverJobs != 12 || len(w.leftovers()) != 0 {
		t.Errorf("Dapr is back: %+v", sum)
	}
}
