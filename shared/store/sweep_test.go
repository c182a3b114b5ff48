package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// The sweep leaves an overdue reminder to its callback for a grace period.
func TestGrace(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	insert(t, s)
	for _, tt := range []struct {
		since string
		want  int
	}{{"30 min", 0}, {"90 min", 1}} {
		exec(t, c, `update reminders set fire_at = now() - $1::interval`, tt.since)
		overdue, err := s.Overdue(t.Context(), time.Hour, store.Due{}, 10)
		if err != nil || len(overdue) != tt.want {
			t.Errorf("due for %s: %v, %v", tt.since, overdue, err)
		}
	}
}

// A reminder whose confirmation is taken back is scheduled at once, however often it was tried
// before its confirmation.
func TestUnconfirmedIsPendingAtOnce(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	made := insert(t, s)
	job := task.Revision{ReminderID: made.Reminders[0].ID, Number: 1}
	for what, unconfirm := range map[string]func() (int, error){
		"all": func() (int, error) {
			_, n, err := s.Unconfirm(t.Context(), uuid.Nil, 10)
			return n, err
		},
		"one": func() (int, error) { return s.UnconfirmJobs(t.Context(), []task.Revision{job}) },
	} {
		exec(t, c, `update reminders set confirmed_revision = 1, schedule_attempts = 9, next_schedule_at = now() + interval '10 s'`)
		if n, err := unconfirm(); err != nil || n != 1 {
			t.Fatalf("%s: %d, %v", what, n, err)
		}
		if pending, err := s.ClaimPending(t.Context(), forever, 10); err != nil || len(pending) != 1 || pending[0].ReminderID != job.ReminderID {
			t.Errorf("%s: %+v, %v", what, pending, err)
		}
	}
}

// Of several sweeps that replace the same sentinel, only the first succeeds.
func TestSetSentinel(t *testing.T) {
	s, _ := storetest.Open(t)
	for _, tt := range []struct{ before, name, want string }{
		{"", "first", "first"}, {"", "second", "first"}, {"first", "third", "third"}, {"first", "fourth", "third"},
	} {
		now, err := s.SetSentinel(t.Context(), tt.before, tt.name)
		if recorded, readErr := s.Sentinel(t.Context()); now != tt.want || recorded != tt.want || err != nil || readErr != nil {
			t.Errorf("%s instead of %q: %s, %v; recorded %s, %v", tt.name, tt.before, now, err, recorded, readErr)
		}
	}
}

// Dapr took a job, and then its scheduler lost its data. The confirmation must fail: the job may be
// lost.
func TestConfirmAfterALoss(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	made := insert(t, s)
	if _, err := s.SetSentinel(t.Context(), "", "new"); err != nil {
		t.Fatal(err)
	}
	exec(t, c, `update sentinel set created_at = now() - interval '1 min'`)
	for _, tt := range []struct {
		ago  time.Duration
		want string
	}{{2 * time.Minute, "pending"}, {30 * time.Second, "scheduled"}} {
		stale, err := s.Confirm(t.Context(), store.Alone, []task.Revision{{ReminderID: made.Reminders[0].ID, Number: 1}}, tt.ago)
		stored, readErr := s.GetTask(t.Context(), "ada", made.ID)
		if got := stored.Reminders[0].Status(forever); err != nil || readErr != nil || len(stale) != 0 || got != tt.want {
			t.Errorf("asked %v ago: %s, %v, %v, %v", tt.ago, got, stale, err, readErr)
		}
	}
}

// The same for a task that is inserted after the loss: it is stored as pending, and InsertTasks
// tells its caller.
func TestInsertAfterALoss(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	for _, tt := range []struct {
		sentinel bool
		ago      time.Duration
		want     string
	}{{false, time.Hour, "scheduled"}, {true, 2 * time.Minute, "pending"}, {true, 30 * time.Second, "scheduled"}} {
		if tt.sentinel {
			exec(t, c, `insert into sentinel values (true, 'x', now() - interval '1 min') on conflict do nothing`)
		}
		told := toldTask()
		kept, err := s.InsertTasks(t.Context(), store.Alone, []store.User{{ID: "ada"}}, []task.Task{told}, nil, forever, tt.ago)
		stored, readErr := s.GetTask(t.Context(), "ada", told.ID)
		if got := stored.Reminders[0].Status(forever); err != nil || readErr != nil || got != tt.want || kept != (got == "scheduled") {
			t.Errorf("%+v: %s, %v, %v, %v", tt, got, kept, err, readErr)
		}
	}
}

// toldTask returns a new task whose reminder was scheduled with Dapr.
func toldTask() task.Task {
	now := task.Instant(time.Now())
	due := now.Add(time.Hour)
	newID := func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
	d := task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()}
	t := task.Task{ID: newID(), UserID: "ada", Draft: d, Version: 1, CreatedAt: now, UpdatedAt: now, Reminders: task.Plan(nil, d, now, 0, newID, task.Clock{})}
	t.Reminders[0].Confirmed = t.Reminders[0].Revision
	return t
}

// No confirmation survives a loss that is found concurrently. Confirmations that have begun are
// committed before it, and taken back with all others; later ones see the new sentinel.
func TestMarksAndLosses(t *testing.T) {
	ago := time.Minute
	for what, mark := range map[string]func(*store.Store, task.Task) error{
		"insert": func(s *store.Store, t task.Task) error {
			_, err := s.InsertTasks(context.Background(), store.Alone, []store.User{{ID: "ada"}}, []task.Task{t}, nil, forever, ago)
			return err
		},
		"insert in a transaction": func(s *store.Store, t task.Task) error {
			return s.InTx(context.Background(), func(ctx context.Context, tx store.Tx) error {
				_, err := tx.InsertTasks(ctx, []task.Task{t}, forever, ago)
				return err
			})
		},
		"confirm": func(s *store.Store, t task.Task) error {
			_, err := s.Confirm(context.Background(), store.Alone, []task.Revision{{ReminderID: t.Reminders[0].ID, Number: 1}}, ago)
			return err
		},
	} {
		for _, first := range []string{"mark", "loss"} {
			t.Run(what+", first the "+first, func(t *testing.T) {
				s, url := storetest.Open(t)
				c := connect(t, url)
				if err := s.SaveUser(t.Context(), store.User{ID: "ada"}); err != nil {
					t.Fatal(err)
				}
				told := toldTask()
				if what == "confirm" {
					told = insert(t, s)
				}
				findLoss := func() {
					if _, err := s.SetSentinel(t.Context(), "", "new"); err != nil {
						t.Error(err)
					}
					if _, _, err := s.Unconfirm(t.Context(), uuid.Nil, 10); err != nil {
						t.Error(err)
					}
				}
				tx, err := c.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				hold := func(sql string, args ...any) {
					if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
						t.Error(err)
					}
				}
				var both sync.WaitGroup
				markIt := func() {
					if err := mark(s, told); err != nil {
						t.Error(err)
					}
				}
				if first == "mark" {
					// The transaction waits in its last step. It has read the sentinel.
					if what == "confirm" {
						hold(`select from reminders for update`)
					} else {
						hold(`insert into reminders (id, task_id, user_id, before, state, revision) values ($1, $2, 'ada', '0', 'cancelled', 1)`, told.Reminders[0].ID, otherTask(t, s))
					}
					both.Go(markIt)
					waiting(t, url, 1)
					both.Go(findLoss)
					waiting(t, url, 2)
				} else {
					hold(`select pg_advisory_xact_lock($1)`, store.SentinelLock)
					hold(`insert into sentinel values (true, 'new')`)
					both.Go(markIt)
					waiting(t, url, 1)
				}
				end := tx.Commit
				if first == "mark" {
					end = tx.Rollback
				}
				if err := end(t.Context()); err != nil {
					t.Fatal(err)
				}
				both.Wait()
				stored, err := s.GetTask(t.Context(), "ada", told.ID)
				if err != nil || stored.Reminders[0].Status(forever) != "pending" {
					t.Errorf("%+v, %v", stored.Reminders, err)
				}
			})
		}
	}
}

// waiting waits until n sessions wait for a lock.
func waiting(t *testing.T, url string, n int) {
	t.Helper()
	c := connect(t, url)
	for deadline := time.Now().Add(time.Minute); count(t, c, `pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions never waited for a lock", n)
		}
	}
}

// otherTask stores a task without reminders.
func otherTask(t *testing.T, s *store.Store) uuid.UUID {
	t.Helper()
	other := task.Task{ID: uuid.Must(uuid.NewV7()), UserID: "ada", Draft: task.Draft{Title: "x"}, Version: 1}
	if _, err := s.InsertTasks(t.Context(), store.Alone, nil, []task.Task{other}, nil, forever, 0); err != nil {
		t.Fatal(err)
	}
	return other.ID
}
