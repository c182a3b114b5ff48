package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/store/storetest"
	"github.com/duebell/duebell/shared/task"
)

// atOnce does something fifty times at one time and returns how often it reported true.
func atOnce(t *testing.T, do func() (bool, error)) (times int) {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			yes, err := do()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if yes {
				times++
			}
		})
	}
	group.Wait()
	return times
}

// An event is recorded once, and stays what it was.
func TestRecordEvent(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	due := task.Instant(time.Now())
	e := store.Event{ID: uuid.New(), TaskID: uuid.New(), UserID: "ada", TaskTitle: "Pay rent", DueDate: &due}
	if n := atOnce(t, func() (bool, error) { return s.RecordEvent(t.Context(), e) }); n != 1 {
		t.Errorf("it was new %d times", n)
	}
	changed := e
	changed.TaskTitle = "Something else"
	if added, err := s.RecordEvent(t.Context(), changed); added || err != nil {
		t.Errorf("it was added again: %v, %v", added, err)
	}
	if n := count(t, c, `audit_events where event_id = $1 and task_id = $2 and user_id = 'ada' and task_title = 'Pay rent' and due_date = $3`, e.ID, e.TaskID, due); n != 1 {
		t.Errorf("%d such rows", n)
	}
}

// The audit log only grows: whoever changes or deletes a row is refused by the database.
func TestAuditLogIsAppendOnly(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	for range 3 {
		if _, err := s.RecordEvent(t.Context(), store.Event{ID: uuid.New(), TaskID: uuid.New(), UserID: "ada", TaskTitle: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{
		`update audit_events set task_title = 'y'`, `delete from audit_events`, `truncate audit_events`,
		`set duebell.retention = 'on'; update audit_events set task_title = 'y'`, `set duebell.retention = 'on'; truncate audit_events`,
		`set duebell.retention = ''; delete from audit_events`,
		`insert into audit_events select * from audit_events on conflict (event_id) do update set task_title = 'y'`,
	} {
		_, err := c.Exec(t.Context(), sql)
		if pg, ok := err.(*pgconn.PgError); !ok || pg.Code != "42501" { //nolint:errorlint // pgx returns it as it is
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n, err := s.Purge(t.Context(), store.AuditEvents, day, 10); err != nil || n != 0 {
		t.Errorf("retention has removed %d, %v", n, err)
	}
	if n := count(t, c, `audit_events where task_title = 'x'`); n != 3 {
		t.Errorf("%d rows are left as they were", n)
	}
	// That a connection has removed old rows allows it nothing later.
	if n, err := s.Purge(t.Context(), store.AuditEvents, -day, 1); err != nil || n != 1 {
		t.Errorf("retention has removed %d, %v", n, err)
	}
	if n := count(t, c, `audit_events`); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// fireEvent stores what firing a reminder leaves behind, so late, at an instant, and
// returns the ID of its event.
func fireEvent(t *testing.T, s *store.Store, c *pgx.Conn, at string, late time.Duration, others ...string) uuid.UUID {
	t.Helper()
	made := insert(t, s)
	event := uuid.New()
	for i, other := range append([]string{"'event', 'planned', 0"}, others...) {
		id := uuid.New()
		if i == 0 {
			id = event
		}
		exec(t, c, `
			insert into deliveries (id, reminder_id, revision, task_id, user_id, target, created_at, due_at, channel, state, attempts, next_attempt_at, finished_at)
			select $1, $2, 1, $3, 'ada', $4, $5::timestamptz, $5::timestamptz - $6::interval, d.*, case when d.state = 'planned' then now() end, case when d.state <> 'planned' then now() end
			from (values (`+other+`)) as d (channel, state, attempts)`, id, made.Reminders[0].ID, made.ID, fmt.Sprint(i), at, late)
	}
	return event
}

// Each event is counted once, however often and however many at once it comes: with the
// day on which its reminder was fired, and the deliveries that told somebody.
func TestCountEvent(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	const sent, tried, unused = `'in_app', 'sent', 0`, `'email', 'failed', 1`, `'sms', 'failed', 0`
	events := []uuid.UUID{
		fireEvent(t, s, c, "2025-11-23T23:59:59Z", 999*time.Millisecond, sent, tried, unused),
		fireEvent(t, s, c, "2025-11-23T12:00:00Z", -time.Second, sent, `'push', 'planned', 0`, `'push', 'sent', 1`),
		fireEvent(t, s, c, "2025-11-23T12:00:00Z", 65*time.Second, sent),
		fireEvent(t, s, c, "2025-11-24T00:00:00Z", time.Second, sent, `'email', 'cancelled', 0`),
		fireEvent(t, s, c, "2025-11-24T00:00:00Z", 59*time.Second, sent),
		fireEvent(t, s, c, "2025-11-24T00:00:00Z", time.Hour, sent),
	}
	byOlder := fireEvent(t, s, c, "2025-11-25T00:00:00Z", 0, sent)
	exec(t, c, `update deliveries set due_at = null where created_at = '2025-11-25T00:00:00Z'`)
	for _, id := range append(events, byOlder) {
		if n := atOnce(t, func() (bool, error) { return s.CountEvent(t.Context(), id) }); n != 1 {
			t.Errorf("it was new %d times", n)
		}
	}
	got, err := s.Analytics(t.Context(), time.Date(2025, 11, 23, 0, 0, 0, 0, time.UTC), time.Date(2025, 11, 25, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	date := func(day int) time.Time { return time.Date(2025, 11, day, 0, 0, 0, 0, time.UTC) }
	want := []store.DayCounts{
		{date(23), 3, []store.DeliveryCount{{task.Email, "under_1s", 1}, {task.InApp, "under_1s", 2}, {task.InApp, "under_10m", 1}, {task.Push, "under_1s", 2}}},
		{date(24), 3, []store.DeliveryCount{{task.Email, "under_10s", 1}, {task.InApp, "under_10s", 1}, {task.InApp, "under_1m", 1}, {task.InApp, "over_10m", 1}}},
		{date(25), 1, []store.DeliveryCount{{task.InApp, "unknown", 1}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// One that no delivery is known of, and one of a delivery that is no event.
	var email uuid.UUID
	if err := c.QueryRow(t.Context(), `select id from deliveries where channel = 'email' limit 1`).Scan(&email); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{uuid.New(), email} {
		if n := atOnce(t, func() (bool, error) { return s.CountEvent(t.Context(), id) }); n != 1 {
			t.Errorf("it was new %d times", n)
		}
	}
	now := time.Now().UTC()
	if got, err := s.Analytics(t.Context(), now.Add(-day), now); err != nil || reminders(got) != 2 || got[0].Deliveries != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func reminders(days []store.DayCounts) (n int64) {
	for _, d := range days {
		n += d.Reminders
	}
	return n
}

// Events that add to the same counts in any order don't stop each other.
func TestCountEventsAtTheSameTime(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	var events []uuid.UUID
	for i := range 40 {
		others := []string{`'in_app', 'sent', 0`, `'email', 'planned', 0`, `'push', 'planned', 0`}
		events = append(events, fireEvent(t, s, c, "2025-11-23T12:00:00Z", 0, others[i%3], others[(i+1)%3], others[(i+2)%3]))
	}
	var group sync.WaitGroup
	for _, id := range events {
		group.Go(func() {
			if counted, err := s.CountEvent(t.Context(), id); !counted || err != nil {
				t.Error(counted, err)
			}
		})
	}
	group.Wait()
	for table, want := range map[string]int{"analytics_reminders": 40, "analytics_deliveries": 120} {
		var sum int
		if err := c.QueryRow(t.Context(), `select sum(count) from `+table).Scan(&sum); err != nil || sum != want {
			t.Errorf("%s counts %d, %v, want %d", table, sum, err, want)
		}
	}
}
