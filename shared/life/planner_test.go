package life_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// noon is a fixed clock.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

func in(d time.Duration) *time.Time { return ptr(noon.Add(d)) }

func TestCreateSchedulesOnce(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})

	r := created.Reminders[0]
	want := []fakeJob{{
		At:       noon.Add(time.Hour),
		Revision: task.Revision{TaskID: created.ID, UserID: "ada", ReminderID: r.ID, Number: 1},
	}}
	if diff := cmp.Diff(want, w.dapr.scheduled); diff != "" {
		t.Error(diff)
	}
	if r.Status(forever) != "scheduled" {
		t.Errorf("answered %s", r.Status(forever))
	}
	if diff := cmp.Diff(created, w.reload(created.ID)); diff != "" {
		t.Errorf("answered and stored differ: %s", diff)
	}
}

func TestCreateWithoutDueDateSchedulesNothing(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{})
	if len(w.dapr.scheduled) > 0 || created.Reminders[0].Status(forever) != "cancelled" {
		t.Errorf("scheduled %v, answered %s", w.dapr.scheduled, created.Reminders[0].Status(forever))
	}
	moved := w.update(created.ID, func(d *task.Draft) { d.DueDate = in(time.Hour) })
	if len(w.dapr.scheduled) != 1 || !w.dapr.scheduled[0].At.Equal(noon.Add(time.Hour)) || moved.Reminders[0].Status(forever) != "scheduled" {
		t.Errorf("after adding a due date: scheduled %v", w.dapr.scheduled)
	}
}

func TestPastInstantIsScheduledForNow(t *testing.T) {
	w := newWorld(t, atNoon)
	w.create(task.Draft{DueDate: in(-time.Hour), Before: task.Exactly(0, time.Hour)})
	if len(w.dapr.scheduled) != 1 || !w.dapr.scheduled[0].At.Equal(noon) {
		t.Errorf("scheduled %v, want one job, now", w.dapr.scheduled)
	}
}

func TestUpdateReschedules(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour), Before: task.Exactly(0, 10*time.Minute)})
	w.dapr.scheduled = nil
	updated := w.update(created.ID, func(d *task.Draft) { d.DueDate = in(2 * time.Hour) })

	for i, r := range updated.Reminders {
		old := created.Reminders[i]
		if r.ID != old.ID || r.Revision != 2 || r.Status(forever) != "scheduled" {
			t.Errorf("reminder %d became %+v", i, r)
		}
		if !slices.Contains(w.dapr.deleted, name(old.ID, 1)) {
			t.Errorf("the job of revision 1 of reminder %d was left with Dapr", i)
		}
		if !slices.ContainsFunc(w.dapr.scheduled, func(j fakeJob) bool {
			return j.ReminderID == r.ID && j.Number == 2 && j.At.Equal(*r.FireAt)
		}) {
			t.Errorf("revision 2 of reminder %d was not scheduled for %v", i, r.FireAt)
		}
	}
	if len(w.dapr.scheduled) != 2 || len(w.dapr.deleted) != 2 {
		t.Errorf("%d scheduled, %d deleted, want 2 and 2", len(w.dapr.scheduled), len(w.dapr.deleted))
	}
	if updated.Version != created.Version+1 {
		t.Errorf("version %d", updated.Version)
	}
}

func TestUnrelatedUpdateLeavesDaprAlone(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	w.update(created.ID, func(d *task.Draft) { d.Title = "Pay the rent" })
	if len(w.dapr.scheduled) != 1 || len(w.dapr.deleted) != 0 {
		t.Errorf("scheduled %v, deleted %v", w.dapr.scheduled, w.dapr.deleted)
	}
}

func TestCancelling(t *testing.T) {
	changes := map[string]func(*world, uuid.UUID){
		"completed":        func(w *world, id uuid.UUID) { w.update(id, func(d *task.Draft) { d.Completed = true }) },
		"due date removed": func(w *world, id uuid.UUID) { w.update(id, func(d *task.Draft) { d.DueDate = nil }) },
		"offset removed":   func(w *world, id uuid.UUID) { w.update(id, func(d *task.Draft) { d.Before = []task.Offset{} }) },
		"deleted": func(w *world, id uuid.UUID) {
			if err := w.planner.Delete(w.Context(), "ada", id, anyVersion); err != nil {
				w.Fatal(err)
			}
		},
	}
	for what, change := range changes {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, atNoon)
			created := w.create(task.Draft{DueDate: in(time.Hour)})
			change(w, created.ID)
			if want := []string{name(created.Reminders[0].ID, 1)}; !slices.Equal(w.dapr.deleted, want) {
				t.Errorf("deleted %v, want %v", w.dapr.deleted, want)
			}
			if len(w.dapr.scheduled) != 1 {
				t.Errorf("scheduled again: %v", w.dapr.scheduled[1:])
			}
			// The job may fire all the same; it must do nothing.
			if o := w.fire(wake(created)); o.Status != fire.Skipped || o.Reason != task.ReasonCancelled {
				t.Errorf("the callback that came anyway: %+v", o)
			}
			if len(w.inbox()) > 0 {
				t.Error("told after the cancellation")
			}
		})
	}
}

func TestReopeningSchedulesAnew(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	w.update(created.ID, func(d *task.Draft) { d.Completed = true })
	reopened := w.update(created.ID, func(d *task.Draft) { d.Completed = false })
	if r := reopened.Reminders[0]; r.Revision != 2 || r.Status(forever) != "scheduled" || r.ID != created.Reminders[0].ID {
		t.Errorf("reopened: %+v", r)
	}
	if o := w.fire(wake(created)); o.Reason != task.ReasonSuperseded {
		t.Errorf("the job of before: %+v", o)
	}
}

func TestDaprAway(t *testing.T) {
	w := newWorld(t, atNoon)
	w.dapr.err = errDown
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	if s := created.Reminders[0].Status(forever); s != "pending" {
		t.Errorf("answered %s, want pending", s)
	}
	if s := w.reload(created.ID).Reminders[0].Status(forever); s != "pending" {
		t.Errorf("stored as %s, want pending", s)
	}
	// The next change of the task, whatever it is, catches up.
	w.dapr.err = nil
	if s := w.update(created.ID, func(d *task.Draft) { d.Title = "x" }).Reminders[0].Status(forever); s != "scheduled" {
		t.Errorf("after Dapr is back: %s", s)
	}
}

// A Dapr that is slow holds an import up for a while, not for ever.
func TestImportWithSlowDapr(t *testing.T) {
	var passed atomic.Int64
	w := newWorld(t, func() time.Time { return time.Now().Add(time.Duration(passed.Load())) })
	w.dapr.onSchedule = func(context.Context) error { passed.Add(int64(time.Minute)); return nil }
	i, err := w.planner.Import(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	due := task.Instant(time.Now().Add(24 * time.Hour))
	for range 20 {
		if err := i.Add(t.Context(), []task.Draft{{Title: "x", DueDate: &due, Before: task.DefaultBefore()}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := i.Wait(); err != nil || c.Created != 20 || c.Scheduled+c.Pending != 20 || c.Scheduled < 4 || c.Pending < 10 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestRequestOutlivesItsCaller(t *testing.T) {
	w := newWorld(t, atNoon)
	ctx, hangUp := context.WithCancel(t.Context())
	w.dapr.onSchedule = func(calls context.Context) error {
		hangUp()
		if calls.Err() != nil {
			t.Error("the call to Dapr was cancelled with the request")
		}
		return nil
	}
	created, err := w.planner.Create(ctx, ada, task.Draft{Title: "x", DueDate: in(time.Hour), Before: task.DefaultBefore()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := w.reload(created.ID).Reminders[0].Status(forever); s != "scheduled" {
		t.Errorf("stored as %s, want scheduled", s)
	}
}

// An update overtaken between its commit and its call to Dapr finds that its job
// no longer means anything, and takes it back.
func TestOvertakenUpdateTakesItsJobBack(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	w.dapr.onSchedule = func(context.Context) error {
		w.dapr.onSchedule = nil
		w.update(created.ID, func(d *task.Draft) { d.DueDate = in(3 * time.Hour) })
		return nil
	}
	w.update(created.ID, func(d *task.Draft) { d.DueDate = in(2 * time.Hour) })
	id := created.Reminders[0].ID
	if !slices.Contains(w.dapr.deleted, name(id, 2)) {
		t.Errorf("revision 2 was left with Dapr; deleted: %v", w.dapr.deleted)
	}
	if slices.Contains(w.dapr.deleted, name(id, 3)) {
		t.Error("revision 3, the one that counts, was deleted")
	}
	if r := w.reload(created.ID).Reminders[0]; r.Revision != 3 || r.Status(forever) != "scheduled" || !r.FireAt.Equal(noon.Add(3*time.Hour)) {
		t.Errorf("stored: %+v", r)
	}
}

func TestConcurrentUpdatesLeaveOneReminder(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	const updates = 40
	var group sync.WaitGroup
	for i := range updates {
		group.Go(func() {
			_, err := w.planner.Update(context.Background(), ada, created.ID, func(t task.Task) (task.Draft, error) {
				t.DueDate = in(time.Duration(i+2) * time.Hour)
				return t.Draft, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()

	stored := w.reload(created.ID)
	r := stored.Reminders[0]
	if len(stored.Reminders) != 1 || r.Revision != updates+1 || r.Status(forever) != "scheduled" || !r.FireAt.Equal(*stored.DueDate) {
		t.Fatalf("stored: due %v, %+v", stored.DueDate, stored.Reminders)
	}
	left := map[string]fakeJob{}
	for _, j := range w.dapr.scheduled {
		left[name(j.ReminderID, j.Number)] = j
	}
	effective := 0
	for _, j := range left {
		at := func() time.Time { return j.At }
		firer := newTeller(w.store, nil, at, settings)
		o, err := firer.Fire(t.Context(), j.Revision)
		if err != nil {
			t.Fatal(err)
		}
		if o.Status == fire.Success {
			effective++
			if !j.At.Equal(*stored.DueDate) {
				t.Errorf("fired at %v, but the database says %v", j.At, stored.DueDate)
			}
		}
	}
	if effective != 1 || len(w.inbox()) != 1 {
		t.Errorf("%d jobs fired and %d notifications came, want 1 and 1", effective, len(w.inbox()))
	}
}

func TestUnknownTaskAndAnothersTaskLookTheSame(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	eve := store.User{ID: "eve"}
	var messages []string
	for _, id := range []uuid.UUID{created.ID, uuid.New()} {
		_, err := w.planner.Update(t.Context(), eve, id, func(task.Task) (task.Draft, error) {
			t.Error("eve got to see the task")
			return task.Draft{}, nil
		})
		messages = append(messages, err.Error(), w.planner.Delete(t.Context(), eve.ID, id, anyVersion).Error())
		if fault.CodeOf(err) != fault.CodeNotFound {
			t.Errorf("update: %v", err)
		}
	}
	if distinct := slices.Compact(messages); len(distinct) != 1 {
		t.Errorf("the answers differ: %q", distinct)
	}
	if w.reload(created.ID).Version != 1 {
		t.Error("eve changed ada's task")
	}
}

func TestEmailFollowsTheSignIn(t *testing.T) {
	w := newWorld(t, atNoon)
	steps := []struct {
		name  string
		owner store.User
		mails int
	}{
		{"verified", ada, 1},
		{"token says nothing", store.User{ID: "ada", KeepEmail: true}, 1},
		{"no longer verified", store.User{ID: "ada"}, 0},
		{"another address", store.User{ID: "ada", Email: ptr("new@example.com")}, 1},
	}
	for _, step := range steps {
		before := w.mail.count()
		created, err := w.planner.Create(t.Context(), step.owner, task.Draft{Title: step.name, DueDate: in(0), Before: task.DefaultBefore()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.fire(wake(created))
		if got := w.mail.count() - before; got != step.mails {
			t.Errorf("%s: %d e-mails, want %d", step.name, got, step.mails)
		}
	}
	if to := w.mail.messages[len(w.mail.messages)-1].To; to != "new@example.com" {
		t.Errorf("last went to %s", to)
	}
}
