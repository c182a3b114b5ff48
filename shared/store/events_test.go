package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// atOnce calls a function fifty times concurrently, and returns the sum of its results.
func atOnce(t *testing.T, do func() (int, error)) (sum int) {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			n, err := do()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			sum += n
		})
	}
	group.Wait()
	return sum
}

// An event is recorded once and is not changed afterwards.
func TestRecordEvents(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	due := task.Instant(time.Now())
	e := store.Event{ID: uuid.New(), TaskID: uuid.New(), UserID: "ada", TaskTitle: "Pay rent", DueDate: &due}
	storetest.Publish(t, url, e)
	record := func(events ...store.Event) (int, error) { return recordEvents(t, s, events) }
	if n := atOnce(t, func() (int, error) { return record(e) }); n != 1 {
		t.Errorf("it was new %d times", n)
	}
	changed := e
	changed.TaskTitle = "Something else"
	if added, err := record(changed); added != 0 || err != nil {
		t.Errorf("it was added again: %v, %v", added, err)
	}
	if n := count(t, c, `audit_events where event_id = $1 and task_id = $2 and user_id = 'ada' and task_title = 'Pay rent' and due_date = $3`, e.ID, e.TaskID, due); n != 1 {
		t.Errorf("%d such rows", n)
	}
}

// recordEvents and countEvents pass events to the store. They fail the test if one is refused.
func recordEvents(t *testing.T, s *store.Store, events []store.Event) (int, error) {
	n, refused, err := s.RecordEvents(t.Context(), events)
	if len(refused) > 0 {
		t.Errorf("%v of %d were refused", refused, len(events))
	}
	return n, err
}

func countEvents(t *testing.T, s *store.Store, events []store.Event) (int, error) {
	n, refused, err := s.CountEvents(t.Context(), events)
	if len(refused) > 0 {
		t.Errorf("%v of %d were refused", refused, len(events))
	}
	return n, err
}

// A forged event is neither recorded nor counted, even if it has the id of a real event or of a
// future one. The real events still count.
func TestForgedEventsChangeNothing(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	genuine := fireEvent(t, s, c, "2025-11-23T12:00:00Z", 0, `'email', 'sent', 1`)
	waiting := fireEvent(t, s, c, "2025-11-23T12:00:00Z", 0)
	exec(t, c, `update deliveries set provider = null, attempts = 0, state = 'planned', finished_at = null, next_attempt_at = now() where id = $1`, waiting.ID)
	email := genuine
	if err := c.QueryRow(t.Context(), `select id from deliveries where channel = 'email'`).Scan(&email.ID); err != nil {
		t.Fatal(err)
	}
	forge := func(change func(*store.Event)) store.Event {
		e := genuine
		change(&e)
		return e
	}
	forged := []store.Event{
		forge(func(e *store.Event) { e.ID = uuid.New() }), forge(func(e *store.Event) { e.TaskID = uuid.New() }), forge(func(e *store.Event) { e.TaskID = waiting.TaskID }),
		forge(func(e *store.Event) { e.UserID = "eve" }), email, waiting,
	}
	for what, take := range map[string]func(context.Context, []store.Event) (int, []int, error){"audit_events": s.RecordEvents, "counted_events": s.CountEvents} {
		if n, refused, err := take(t.Context(), forged); n != 0 || len(refused) != len(forged) || err != nil {
			t.Errorf("%s: %d were new, %v refused, %v", what, n, refused, err)
		}
		n, refused, err := take(t.Context(), slices.Concat(forged[:2], []store.Event{genuine}, forged[2:]))
		if want := []int{0, 1, 3, 4, 5, 6}; n != 1 || !slices.Equal(refused, want) || err != nil {
			t.Errorf("%s: %d were new, %v refused, %v", what, n, refused, err)
		}
		exec(t, c, `update deliveries set provider = 'dapr', attempts = 1, state = 'sending' where id = $1`, waiting.ID)
		if n, refused, err := take(t.Context(), []store.Event{waiting}); n != 1 || refused != nil || err != nil {
			t.Errorf("%s: when it is published, %d were new, %v refused, %v", what, n, refused, err)
		}
		exec(t, c, `update deliveries set provider = null, attempts = 0, state = 'planned' where id = $1`, waiting.ID)
		if n := count(t, c, what); n != 2 {
			t.Errorf("%d rows in %s", n, what)
		}
	}
}

// The audit log is append-only: the database refuses to update or delete a row.
func TestAuditLogIsAppendOnly(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	for range 3 {
		e := store.Event{ID: uuid.New(), TaskID: uuid.New(), UserID: "ada", TaskTitle: "x"}
		storetest.Publish(t, url, e)
		if _, err := recordEvents(t, s, []store.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RecordAct(t.Context(), store.Act{Caller: "program", UserID: "ada", Method: "POST", Path: "/api/tasks"}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`update audit_acts set user_id = 'eve'`, `delete from audit_acts`, `truncate audit_acts`,
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
	// A connection that has removed old rows may not delete other rows later.
	if n, err := s.Purge(t.Context(), store.AuditEvents, -day, 1); err != nil || n != 1 {
		t.Errorf("retention has removed %d, %v", n, err)
	}
	if n := count(t, c, `audit_events`); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// fireEvent stores the result of firing a reminder late at an instant, and returns its event.
func fireEvent(t *testing.T, s *store.Store, c *pgx.Conn, at string, late time.Duration, others ...string) store.Event {
	t.Helper()
	made := insert(t, s)
	event := store.Event{ID: uuid.New(), TaskID: made.ID, UserID: "ada", TaskTitle: made.Title}
	for i, other := range append([]string{"'event', 'sent', 1"}, others...) {
		id := uuid.New()
		if i == 0 {
			id = event.ID
		}
		exec(t, c, `
			insert into deliveries (id, reminder_id, revision, task_id, user_id, target, created_at, due_at, channel, state, attempts, provider, next_attempt_at, finished_at)
			select $1, $2, 1, $3, 'ada', $4, $5::timestamptz, $5::timestamptz - $6::interval, d.*, case when d.attempts > 0 then 'dapr' end, case when d.state = 'planned' then now() end, case when d.state <> 'planned' then now() end
			from (values (`+other+`)) as d (channel, state, attempts)`, id, made.Reminders[0].ID, made.ID, fmt.Sprint(i), at, late)
	}
	return event
}

// Each event is counted once, even if it comes many times and concurrently. It counts for the day
// on which its reminder was fired, with the deliveries that were sent.
func TestCountEvents(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	const sent, tried, unused = `'in_app', 'sent', 0`, `'email', 'failed', 1`, `'sms', 'failed', 0`
	events := []store.Event{
		fireEvent(t, s, c, "2025-11-23T23:59:59Z", 999*time.Millisecond, sent, tried, unused),
		fireEvent(t, s, c, "2025-11-23T12:00:00Z", -time.Second, sent, `'push', 'planned', 0`, `'push', 'sent', 1`),
		fireEvent(t, s, c, "2025-11-23T12:00:00Z", 65*time.Second, sent),
		fireEvent(t, s, c, "2025-11-24T00:00:00Z", time.Second, sent, `'email', 'cancelled', 0`),
		// A delivery that was not sent because of its target or of a limit has reached nobody.
		fireEvent(t, s, c, "2025-11-24T00:00:00Z", 59*time.Second, sent, `'email', 'unverified', 0`, `'email', 'unverified', 1`, `'sms', 'suppressed', 0`, `'sms', 'refused', 0`),
		fireEvent(t, s, c, "2025-11-24T00:00:00Z", time.Hour, sent),
	}
	byOlder := fireEvent(t, s, c, "2025-11-25T00:00:00Z", 0, sent)
	exec(t, c, `update deliveries set due_at = null where created_at = '2025-11-25T00:00:00Z'`)
	for _, e := range append(events, byOlder) {
		if n := atOnce(t, func() (int, error) { return countEvents(t, s, []store.Event{e}) }); n != 1 {
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
}

// Events that add to the same counts in different orders don't deadlock.
func TestCountEventsAtTheSameTime(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	var events []store.Event
	for i := range 40 {
		others := []string{`'in_app', 'sent', 0`, `'email', 'planned', 0`, `'push', 'planned', 0`}
		events = append(events, fireEvent(t, s, c, "2025-11-23T12:00:00Z", 0, others[i%3], others[(i+1)%3], others[(i+2)%3]))
	}
	var group sync.WaitGroup
	for _, e := range events {
		group.Go(func() {
			if counted, err := countEvents(t, s, []store.Event{e}); counted != 1 || err != nil {
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

// regroup returns the items in groups of random size and order, some of them more than once.
func regroup[T any](random *rand.Rand, all []T) (groups [][]T) {
	left := slices.Concat(all, all[:random.IntN(len(all)+1)])
	random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	for len(left) > 0 {
		n := 1 + random.IntN(len(left))
		groups = append(groups, left[:n])
		left = left[n:]
	}
	return append(groups, nil, slices.Clone(groups[0]))
}

// takeAtOnce has two processes take all groups concurrently, and returns how many events were new.
func takeAtOnce[T any](t *testing.T, stores [2]*store.Store, groups [][]T, take func(*store.Store, []T) (int, error)) (fresh int) {
	t.Helper()
	var sum atomic.Int64
	var group sync.WaitGroup
	for i, g := range groups {
		group.Go(func() {
			n, err := take(stores[i%2], g)
			if err != nil {
				t.Error(err)
			}
			sum.Add(int64(n))
		})
	}
	group.Wait()
	return int(sum.Load())
}

// twoStores are two processes' stores on one database.
func twoStores(t *testing.T) (stores [2]*store.Store, c *pgx.Conn, url string) {
	t.Helper()
	s, url := storetest.Open(t)
	other, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	return [2]*store.Store{s, other}, connect(t, url), url
}

// dump returns a query's rows as JSON.
func dump(t *testing.T, c *pgx.Conn, sql string) (rows string) {
	t.Helper()
	if err := c.QueryRow(t.Context(), `select coalesce(json_agg(r), '[]')::text from (`+sql+`) r`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// For every grouping, repetition and concurrency, the recorded events are the same as if each event
// came once and alone.
func TestRecordEventsInAnyGroups(t *testing.T) {
	grouped, groupedConn, groupedURL := twoStores(t)
	single, singleConn, singleURL := twoStores(t)
	const recorded = `select event_id, task_id, user_id, task_title, due_date from audit_events order by 1`
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's
		var events []store.Event
		for range 1 + random.IntN(300) {
			e := store.Event{ID: uuid.New(), TaskID: uuid.New(), UserID: fmt.Sprint("user", random.IntN(3)), TaskTitle: strings.Repeat("\U0001F514", 1+random.IntN(500))}
			if random.IntN(2) == 0 {
				due := time.Date(1970+random.IntN(8030), 12, 31, 23, 59, 59, 999999000, time.UTC)
				e.DueDate = &due
			}
			events = append(events, e)
		}
		storetest.Publish(t, groupedURL, events...)
		storetest.Publish(t, singleURL, events...)
		for _, e := range events {
			if n, err := recordEvents(t, single[0], []store.Event{e}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		n := takeAtOnce(t, grouped, regroup(random, events), func(s *store.Store, es []store.Event) (int, error) { return recordEvents(t, s, es) })
		if n != len(events) {
			t.Errorf("seed %d: %d of %d were new", seed, n, len(events))
		}
	}
	if diff := cmp.Diff(dump(t, singleConn, recorded), dump(t, groupedConn, recorded)); diff != "" {
		t.Errorf("one by one and in groups are not the same: %s", diff)
	}
	// The first of several events with the same ID is recorded.
	id, task := uuid.New(), uuid.New()
	storetest.Publish(t, groupedURL, store.Event{ID: id, TaskID: task, UserID: "ada"})
	if n, err := recordEvents(t, grouped[0], []store.Event{
		{ID: id, TaskID: task, UserID: "ada", TaskTitle: "first"}, {ID: id, TaskID: task, UserID: "ada", TaskTitle: "a second one"},
	}); n != 1 || err != nil {
		t.Errorf("%d were new, %v", n, err)
	}
	if n := count(t, groupedConn, `audit_events where event_id = $1 and task_title = 'first'`, id); n != 1 {
		t.Error("the first is not what is recorded")
	}
}

// For every grouping, repetition and concurrency, the counts are the same as if each event came
// once and alone, also for events around midnight.
func TestCountEventsInAnyGroups(t *testing.T) {
	grouped, groupedConn, _ := twoStores(t)
	single, singleConn, _ := twoStores(t)
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's
		type pair struct{ grouped, single store.Event }
		var pairs []pair
		for range 1 + random.IntN(60) {
			at := time.Date(2025, 11, 23, 23, 59, 59, 999999000, time.UTC).Add(time.Duration(random.IntN(3)) * time.Microsecond).Format(time.RFC3339Nano)
			late := time.Duration(random.IntN(20000)) * 100 * time.Millisecond
			all := []string{`'in_app', 'sent', 0`, `'email', 'planned', 0`, `'push', 'sent', 1`, `'sms', 'failed', 0`, `'email', 'failed', 1`}
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			all = all[:random.IntN(len(all)+1)]
			p := pair{fireEvent(t, grouped[0], groupedConn, at, late, all...), fireEvent(t, single[0], singleConn, at, late, all...)}
			pairs = append(pairs, p)
		}
		var events []store.Event
		for _, p := range pairs {
			events = append(events, p.grouped)
			if n, err := countEvents(t, single[0], []store.Event{p.single}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		n := takeAtOnce(t, grouped, regroup(random, events), func(s *store.Store, es []store.Event) (int, error) { return countEvents(t, s, es) })
		if n != len(events) {
			t.Errorf("seed %d: %d of %d were new", seed, n, len(events))
		}
	}
	for _, sql := range []string{
		`select day, count from analytics_reminders order by 1`,
		`select day, channel, lateness, count from analytics_deliveries order by 1, 2, 3`,
		`select count(*) from counted_events`,
	} {
		one, many := dump(t, singleConn, sql), dump(t, groupedConn, sql)
		if one == "[]" || one != many {
			t.Errorf("one by one and in groups are not the same:\n%s\n%s", one, many)
		}
	}
}
