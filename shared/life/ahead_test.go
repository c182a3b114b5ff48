package life_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

func newV7() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// A new task is told to Dapr first, unless it is due so soon that its job might find
// nothing.
func TestDaprIsToldBeforeATaskIsStored(t *testing.T) {
	w := newWorld(t, atNoon)
	w.planner.Like(true, newV7)
	stored := -1
	w.dapr.onSchedule = func(ctx context.Context) error {
		tasks, _, err := w.store.ListTasks(ctx, "ada", store.Filter{Limit: 10})
		if err != nil {
			t.Error(err)
		}
		stored = len(tasks)
		return nil
	}
	for i, due := range []time.Duration{time.Hour, 59 * time.Second} {
		created := w.create(task.Draft{DueDate: in(due)})
		if stored != 2*i { // the second one is
			t.Errorf("%v ahead: %d tasks were stored when Dapr was told", due, stored)
		}
		if r := w.reload(created.ID).Reminders[0]; r.Confirmed != 1 || created.Reminders[0].Confirmed != 1 {
			t.Errorf("%v ahead: %+v", due, r)
		}
	}
	if len(w.dapr.scheduled) != 2 {
		t.Errorf("scheduled %v", w.dapr.scheduled)
	}
}

// The scheduler is found to have lost its data after it took a job, before its task is
// stored: it is asked again, and if it does not answer the reminder is pending.
func TestSchedulerLosesItsDataWhileATaskIsStored(t *testing.T) {
	for _, again := range []error{nil, errFault} {
		w := newWorld(t, time.Now)
		w.planner.Like(true, newV7)
		calls := 0
		w.dapr.onSchedule = func(ctx context.Context) error {
			if calls++; calls > 1 {
				return again
			}
			if _, err := w.store.SetSentinel(ctx, "", "another"); err != nil {
				t.Error(err)
			}
			return nil
		}
		due := task.Instant(time.Now().Add(time.Hour))
		created := w.create(task.Draft{DueDate: &due})
		want := int64(1)
		if again != nil {
			want = 0
		}
		if r := w.reload(created.ID).Reminders[0]; calls != 2 || r.Confirmed != want || created.Reminders[0].Confirmed != want {
			t.Errorf("Dapr was asked %d times, and answered %v: %+v, told %+v", calls, again, r, created.Reminders[0])
		}
	}
}

// A function stands still after it has told Dapr, until after the due time: its job has
// found nothing. A sweep fires the reminder.
func TestStoredTooLate(t *testing.T) {
	w := newWorld(t, time.Now)
	w.planner.Like(true, newV7)
	w.dapr.onSchedule = func(context.Context) error {
		w.clock = func() time.Time { return time.Now().Add(2 * time.Minute) }
		return nil
	}
	due := task.Instant(time.Now().Add(61 * time.Second))
	created := w.create(task.Draft{DueDate: &due})
	w.exec(`update reminders set fire_at = fire_at - interval '2 min'`) // for Postgres's clock as well
	if r := w.reload(created.ID).Reminders[0]; r.Confirmed != 1 {
		t.Errorf("%+v", r)
	}
	w.sweep()
	if n := len(w.inbox()); n != 1 {
		t.Errorf("%d in the inbox", n)
	}
}

// What is refused after Dapr was told leaves no job.
func TestRefusedTaskLeavesNoJob(t *testing.T) {
	w := newWorld(t, atNoon)
	w.planner.Like(true, newV7)
	d := task.Draft{Title: "x", DueDate: in(time.Hour), Before: task.DefaultBefore()}
	once := &schedule.Once{Key: store.IdempotencyKey{UserID: "ada", Key: "k"}, Answer: func([]task.Task) string { return "the answer" }}
	var other sync.Once
	w.dapr.onSchedule = func(ctx context.Context) error {
		other.Do(func() { // the same request comes again, and overtakes the first
			w.dapr.onSchedule = nil
			if _, err := w.planner.Create(ctx, ada, d, once); err != nil {
				t.Error(err)
			}
		})
		return nil
	}
	_, err := w.planner.Create(t.Context(), ada, d, once)
	if before, ok := errors.AsType[*store.AnsweredError](err); !ok || before.Answer != "the answer" {
		t.Errorf("the first request: %v", err)
	}
	tasks, _, err := w.store.ListTasks(t.Context(), "ada", store.Filter{Limit: 10})
	if err != nil || len(tasks) != 1 || len(w.dapr.scheduled) != 2 {
		t.Fatalf("%d tasks, scheduled %v, %v", len(tasks), w.dapr.scheduled, err)
	}
	if kept := name(tasks[0].Reminders[0].ID, 1); len(w.dapr.deleted) != 1 || slices.Contains(w.dapr.deleted, kept) {
		t.Errorf("kept %s, deleted %v", kept, w.dapr.deleted)
	}
}

// While the database is away Dapr does not gather jobs of tasks that are not there.
func TestDatabaseAwayLeavesDaprAlone(t *testing.T) {
	s, err := store.Open(store.Config{URL: config.Secret("postgres://duebell@127.0.0.1:1/duebell"), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := newWorldOn(t, s, "", atNoon)
	w.planner.Like(true, newV7)
	for range 2 {
		_, err := w.planner.Create(t.Context(), ada, task.Draft{Title: "x", DueDate: in(time.Hour), Before: task.DefaultBefore()}, nil)
		if fault.CodeOf(err) != fault.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	}
	if len(w.dapr.scheduled) != 1 || len(w.dapr.deleted) != 0 {
		t.Errorf("scheduled %v, deleted %v", w.dapr.scheduled, w.dapr.deleted)
	}
}
