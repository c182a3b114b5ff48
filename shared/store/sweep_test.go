package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/store/storetest"
)

// What is due is left for a while to those whose turn it is.
func TestGrace(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	made := insert(t, s)
	exec(t, c, `
		insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, next_attempt_at)
		values (gen_random_uuid(), $1, 1, $2, 'ada', 'email', 'a', 'planned', now())`, made.Reminders[0].ID, made.ID)
	for _, tt := range []struct {
		since string
		want  int
	}{{"30 min", 0}, {"90 min", 1}} {
		exec(t, c, `update reminders set fire_at = now() - $1::interval`, tt.since)
		exec(t, c, `update deliveries set next_attempt_at = now() - $1::interval`, tt.since)
		overdue, err := s.Overdue(t.Context(), time.Hour, store.Due{}, 10)
		due, dueErr := s.DueDeliveries(t.Context(), time.Hour, store.DueDelivery{}, 10)
		if err != nil || dueErr != nil || len(overdue) != tt.want || len(due) != tt.want {
			t.Errorf("due for %s: %v, %v, %v, %v", tt.since, overdue, err, due, dueErr)
		}
	}
}

// A reminder whose confirmation is taken back is scheduled at once, however often it
// was tried before it was confirmed.
func TestUnconfirmedIsPendingAtOnce(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	made := insert(t, s)
	job := store.Scheduled{ReminderID: made.Reminders[0].ID, Revision: 1}
	for what, unconfirm := range map[string]func() (int, error){
		"all": func() (int, error) {
			_, n, err := s.Unconfirm(t.Context(), uuid.Nil, 10)
			return n, err
		},
		"one": func() (int, error) { return s.UnconfirmJobs(t.Context(), []store.Scheduled{job}) },
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

// Of several sweeps that set a sentinel in place of the same one, the first does.
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

// A job that Dapr was asked for before its scheduler was found to have lost its data may
// have been lost along: that it was taken counts no more.
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
		stale, err := s.Confirm(t.Context(), []store.Scheduled{{ReminderID: made.Reminders[0].ID, Revision: 1}}, tt.ago)
		stored, readErr := s.GetTask(t.Context(), "ada", made.ID)
		if got := stored.Reminders[0].Status(forever); err != nil || readErr != nil || len(stale) != 0 || got != tt.want {
			t.Errorf("asked %v ago: %s, %v, %v, %v", tt.ago, got, stale, err, readErr)
		}
	}
}
