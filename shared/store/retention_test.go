package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/store"
)

// kinds are all kinds of rows, with the index that finds the expired rows of each.
var kinds = map[string]struct {
	store.Kept
	index string
}{
	"deleted tasks":        {store.DeletedTasks, "tasks_deleted"},
	"removed reminders":    {store.RemovedReminders, "reminders_removed"},
	"finished deliveries":  {store.FinishedDeliveries, "deliveries_finished"},
	"read notifications":   {store.ReadNotifications, "notifications_done"},
	"settled dead letters": {store.SettledDeadLetters, "dead_letters_settled"},
	"audit events":         {store.AuditEvents, "audit_events_by_age"},
	"audit acts":           {store.AuditActs, "audit_acts_by_age"},
	"lifted suppressions":  {store.LiftedSuppressions, "suppressions_lifted"},
	"report events":        {store.ReportEvents, "report_events_by_age"},
	"counted events":       {store.CountedEvents, "counted_events_by_age"},
	"idempotency keys":     {store.IdempotencyKeys, "idempotency_keys_by_age"},
	"inbox tickets":        {store.InboxTickets, "inbox_tickets_expired"},
	"occurrences":          {store.Occurrences, "occurrences_by_age"},
	"settled agendas":      {store.SettledAgendas, "agendas_settled"},
	"quotas":               {store.Quotas, "quotas_pkey"},
}

const day = 24 * time.Hour

// old is a task with a reminder, two deliveries and a told occurrence. A case of a test changes one thing of it.
type old struct {
	task, reminder, current, before uuid.UUID
}

// insertOld stores a task whose reminder fired at its second revision, long ago.
func insertOld(t *testing.T, s *store.Store, c *pgx.Conn) old {
	t.Helper()
	made := insert(t, s)
	o := old{made.ID, made.Reminders[0].ID, uuid.New(), uuid.New()}
	exec(t, c, `update reminders set state = 'fired', fired_at = now() - interval '200 d', revision = 2, confirmed_revision = 2 where id = $1`, o.reminder)
	for revision, id := range map[int]uuid.UUID{1: o.before, 2: o.current} {
		exec(t, c, `
			insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, finished_at)
			values ($1, $2, $3, $4, 'ada', 'in_app', 'sent', now() - interval '200 d')`, id, o.reminder, revision, o.task)
		exec(t, c, `insert into dead_letters (id, state, job_name, data, error, attempts, delivery_id) values ($1, 'resolved', '', '', '', 1, $1)`, id)
	}
	exec(t, c, `insert into occurrences (task_id, series, occurrence, occurs_at, state) values ($1, 1, '2026-03-01 09:00', now() - interval '200 d', 'told')`, o.task)
	return o
}

func exec(t testing.TB, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := c.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, c *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := c.QueryRow(context.Background(), `select count(*) from `+sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Rows are removed when their time is over, not earlier, and never while they are needed.
func TestPurge(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	// rows counts the rows of o that are left.
	left := func(o old) string {
		return fmt.Sprintf("%d task %d reminder %d current %d before",
			count(t, c, `tasks where id = $1`, o.task), count(t, c, `reminders where id = $1`, o.reminder),
			count(t, c, `deliveries where id = $1`, o.current), count(t, c, `deliveries where id = $1`, o.before))
	}
	const all, none = "1 task 1 reminder 1 current 1 before", "0 task 0 reminder 0 current 0 before"
	tests := []struct {
		what string
		kind store.Kept
		n    int    // rows that go
		made string // what has happened to the task, with $1, $2, $3: task, reminder, current delivery
		want string
	}{
		{"a task just old enough", store.DeletedTasks, 1, `update tasks set deleted_at = now() - interval '30 d 1 s' where id = $1`, none},
		{"a task not quite old enough", store.DeletedTasks, 0, `update tasks set deleted_at = now() - interval '30 d' + interval '1 min' where id = $1`, all},
		{"a task that is not deleted", store.DeletedTasks, 0, `update tasks set updated_at = now() - interval '1000 d' where id = $1`, all},
		{"an old task with an open delivery", store.DeletedTasks, 0, `
			with x as (update deliveries set state = 'planned', finished_at = null, next_attempt_at = now() - interval '200 d' where id = $3)
			update tasks set deleted_at = now() - interval '100 d' where id = $1`, all},
		{"an old task with a leftover job", store.DeletedTasks, 1, `
			with x as (insert into leftover_jobs (reminder_id, revision, settled_at) values ($2, 2, now()))
			update tasks set deleted_at = now() - interval '100 d' where id = $1`, none},
		{"an old task with a reminder that is armed all the same", store.DeletedTasks, 0, `
			with x as (update reminders set state = 'armed', fired_at = null where id = $2)
			update tasks set deleted_at = now() - interval '100 d' where id = $1`, all},

		{"a removed reminder just old enough", store.RemovedReminders, 1, `update reminders set removed_at = now() - interval '30 d 1 s' where id = $2`, "1 task 0 reminder 0 current 0 before"},
		{"a removed reminder not quite old enough", store.RemovedReminders, 0, `update reminders set removed_at = now() - interval '30 d' + interval '1 min' where id = $2`, all},
		{"a reminder that is not removed", store.RemovedReminders, 0, `update reminders set fire_at = now() - interval '1000 d' where id = $2`, all},
		{"a removed reminder with an open delivery", store.RemovedReminders, 0, `
			with x as (update deliveries set state = 'unknown', finished_at = null, next_attempt_at = now() - interval '200 d' where id = $3)
			update reminders set removed_at = now() - interval '100 d' where id = $2`, all},

		{"deliveries just old enough", store.FinishedDeliveries, 2, `update deliveries set finished_at = now() - interval '30 d 1 s' where reminder_id = $2`, "1 task 1 reminder 0 current 0 before"},
		{"deliveries not quite old enough", store.FinishedDeliveries, 0, `update deliveries set finished_at = now() - interval '30 d' + interval '1 min' where reminder_id = $2`, all},
		{"an old delivery that is replayed", store.FinishedDeliveries, 1, `update deliveries set state = 'planned', finished_at = null, next_attempt_at = now() where id = $3`, "1 task 1 reminder 1 current 0 before"},
		{"a delivery that waits for an operator", store.FinishedDeliveries, 1, `update dead_letters set state = 'dead' where delivery_id = $3`, "1 task 1 reminder 1 current 0 before"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			exec(t, c, `truncate tasks, occurrences, reminders, deliveries, bundles, dead_letters, leftover_jobs`)
			o := insertOld(t, s, c)
			exec(t, c, strings.NewReplacer("$1", quoted(o.task), "$2", quoted(o.reminder), "$3", quoted(o.current)).Replace(tt.made))
			if n, err := s.CountExpired(t.Context(), tt.kind, 30*day, 10); err != nil || n != tt.n {
				t.Errorf("counted %d, %v", n, err)
			}
			if got := left(o); got != all {
				t.Errorf("counting left %s", got)
			}
			if n, err := s.Purge(t.Context(), tt.kind, 30*day, 10); err != nil || n != tt.n {
				t.Errorf("purged %d, %v", n, err)
			}
			if got := left(o); got != tt.want {
				t.Errorf("left %s, want %s", got, tt.want)
			}
			if tasks, histories := count(t, c, `tasks`), count(t, c, `occurrences`); histories != tasks {
				t.Errorf("%d histories of %d tasks", histories, tasks)
			}
			if letters, deliveries := count(t, c, `dead_letters`), count(t, c, `deliveries`); letters != deliveries {
				t.Errorf("%d dead letters of %d deliveries", letters, deliveries)
			}
		})
	}
}

func quoted(id uuid.UUID) string { return "'" + id.String() + "'" }

// For each of the other kinds there is one row that is just old enough, one that is not quite, and
// one that is not of the kind.
func TestPurgeByAge(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	exec(t, c, `insert into users (id, last_seq) values ('ada', 4), ('eve', 1)`)
	const ages = `(values (1, now() - interval '30 d 1 s'), (2, now() - interval '30 d' + interval '1 min')) as x (n, at)`
	exec(t, c, `insert into notifications (id, user_id, seq, task_id, title, body, read_at) select gen_random_uuid(), 'ada', n, gen_random_uuid(), n, '', at from `+ages)
	exec(t, c, `insert into notifications (id, user_id, seq, task_id, title, body, created_at) values (gen_random_uuid(), 'ada', 3, gen_random_uuid(), '3', '', '2000-01-01Z')`)
	exec(t, c, `insert into notifications (id, user_id, seq, task_id, title, body, read_at) select gen_random_uuid(), u.id, u.last_seq, gen_random_uuid(), 'the latest', '', '2000-01-01Z' from users u`)
	exec(t, c, `insert into dead_letters (id, state, job_name, data, error, attempts, updated_at) select gen_random_uuid(), 'discarded', n, '', '', 1, at from `+ages)
	exec(t, c, `insert into dead_letters (id, state, job_name, data, error, attempts, updated_at) values (gen_random_uuid(), 'dead', '3', '', '', 1, '2000-01-01Z')`)
	exec(t, c, `insert into idempotency_keys (user_id, key, request, answer, created_at) select 'ada', n, sha256(''), '', at from `+ages)
	exec(t, c, `insert into audit_events (event_id, task_id, user_id, task_title, recorded_at) select gen_random_uuid(), gen_random_uuid(), 'ada', n, at from `+ages)
	exec(t, c, `insert into audit_acts (id, caller, user_id, method, path, recorded_at) select gen_random_uuid(), 'program', n, 'GET', '/', at from `+ages)
	exec(t, c, `insert into suppressions (id, channel, address_hash, mailbox_hash, reason, note, added_by, lifted_at, lifted_by) select gen_random_uuid(), 'email', sha256(''), sha256(''), 'operator', n, 'x', at, 'x' from `+ages)
	exec(t, c, `insert into suppressions (id, channel, address_hash, mailbox_hash, reason, note, added_by, since) values (gen_random_uuid(), 'email', sha256(''), sha256(''), 'operator', '2', 'x', '2000-01-01Z')`)
	exec(t, c, `insert into report_events (provider, event_id, delivery_id, received_at) select 'ses', n, gen_random_uuid(), at from `+ages)
	exec(t, c, `insert into report_events (provider, event_id, received_at) values ('twilio', '2', '2000-01-01Z')`)
	// A counted event whose delivery is still there is kept: it would count again if it came again.
	exec(t, c, `with d as (insert into deliveries (id, revision, user_id, channel, target, state, finished_at) values (gen_random_uuid(), 1, 'ada', 'email', 'x', 'exhausted', now()) returning id)
		insert into report_events (provider, event_id, delivery_id, received_at) select 'sendgrid', '2', id, '2000-01-01Z' from d`)
	exec(t, c, `insert into counted_events (event_id, counted_at) select ('00000000-0000-0000-0000-00000000000' || n)::uuid, at from `+ages)
	exec(t, c, `insert into quotas (day, kind, channel, who) select at + (n - 1) * interval '1 d', 'user', 'email', n from `+ages)
	exec(t, c, `insert into inbox_tickets (hash, user_id, expires_at, signed_in_until) select sha256(n::text::bytea), n, at, at from `+ages)
	for _, tt := range []struct {
		kind store.Kept
		left string // a query for what is left
		want int
	}{
		{store.ReadNotifications, `notifications where title in ('2', '3', 'the latest')`, 4},
		{store.SettledDeadLetters, `dead_letters where job_name in ('2', '3')`, 2},
		{store.IdempotencyKeys, `idempotency_keys where key = '2'`, 1},
		{store.AuditEvents, `audit_events where task_title = '2'`, 1},
		{store.AuditActs, `audit_acts where user_id = '2'`, 1},
		{store.LiftedSuppressions, `suppressions where note = '2'`, 2},
		{store.ReportEvents, `report_events where event_id = '2'`, 3},
		{store.CountedEvents, `counted_events where event_id::text like '%2'`, 1},
		{store.InboxTickets, `inbox_tickets where user_id = '2'`, 1},
		{store.Quotas, `quotas where who = '2'`, 1},
	} {
		if n, err := s.Purge(t.Context(), tt.kind, 30*day, 10); err != nil || n != 1 {
			t.Errorf("%s: purged %d, %v", tt.kind.Table(), n, err)
		}
		if n := count(t, c, tt.left); n != tt.want || n != count(t, c, tt.kind.Table()) {
			t.Errorf("%s: %d rows left, want %d", tt.kind.Table(), n, tt.want)
		}
	}
}

// A notification expires from the time on which it was read or archived, whichever was first. Its
// removal is taken off the counts.
func TestPurgeOfAnInbox(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	list := tell(t, s, "ada", 7)
	for i, set := range []string{
		`archived_at = now() - interval '31 d'`,
		`archived_at = now() - interval '29 d'`,
		`read_at = now() - interval '31 d', archived_at = now()`,
		`read_at = now(), archived_at = now() - interval '31 d'`,
		`read_at = now() - interval '29 d'`,
		`created_at = now() - interval '31 d'`,
		`archived_at = now() - interval '31 d'`, // the latest
	} {
		exec(t, c, `update notifications set `+set+` where id = $1`, list[i].ID)
	}
	if n, err := s.Purge(t.Context(), store.ReadNotifications, 30*day, 10); err != nil || n != 3 {
		t.Errorf("purged %d, %v", n, err)
	}
	if n := count(t, c, `notifications where seq in (2, 5, 6, 7)`); n != 4 || n != count(t, c, `notifications`) {
		t.Errorf("%d of those to be kept are left", n)
	}
	if n, err := s.CountNotifications(t.Context(), "ada"); err != nil || n != (store.Counts{Unread: 1, Total: 2}) {
		t.Errorf("%+v, %v", n, err)
	}
}

// Many rows are removed in batches. Locked rows are left for a later run.
func TestPurgeInBatches(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	for range 5 {
		insertOld(t, s, c)
	}
	exec(t, c, `update tasks set deleted_at = now() - interval '100 d'`)
	holder := connect(t, url)
	exec(t, holder, `begin`)
	exec(t, holder, `select from tasks order by id limit 1 for no key update`)
	for _, want := range []int{3, 1, 0} {
		if n, err := s.Purge(t.Context(), store.DeletedTasks, 30*day, 3); err != nil || n != want {
			t.Errorf("purged %d, %v, want %d", n, err, want)
		}
	}
	exec(t, holder, `commit`)
	if n, err := s.Purge(t.Context(), store.DeletedTasks, 30*day, 3); err != nil || n != 1 || count(t, c, `deliveries`) != 0 {
		t.Errorf("in the end: purged %d, %v, %d deliveries are left", n, err, count(t, c, `deliveries`))
	}
}

// Each purge finds its rows by an index, and does not scan a table that is full of rows to keep.
func TestPurgesUseIndexes(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	insertOld(t, s, c)
	const rows = 20_000
	for _, sql := range []string{
		`insert into tasks (id, user_id, title, created_at, updated_at, deleted_at) select gen_random_uuid(), 'ada', 'x', now(), now(), case when i % 100 = 0 then now() - i * interval '1 min' end from generate_series(1, $1) i`,
		`insert into reminders (id, task_id, user_id, before, state, revision, removed_at) select gen_random_uuid(), id, 'ada', '1 s', 'cancelled', 1, deleted_at from tasks limit $1`,
		`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, finished_at) select gen_random_uuid(), id, 1, task_id, 'ada', 'in_app', 'sent', coalesce(removed_at, now()) from reminders where revision = 1 limit $1`,
		`insert into notifications (id, user_id, seq, task_id, title, body, read_at) select gen_random_uuid(), 'ada', i, gen_random_uuid(), 'x', '', case when i % 100 = 0 then now() - i * interval '1 min' end from generate_series(1, $1) i`,
		`insert into dead_letters (id, state, job_name, data, error, attempts, updated_at) select gen_random_uuid(), case when i % 100 = 0 then 'discarded' else 'dead' end, i, '', '', 1, now() - i * interval '1 min' from generate_series(1, $1) i`,
		`insert into idempotency_keys (user_id, key, request, answer, created_at) select 'ada', i, sha256(''), '', now() - i * interval '1 s' from generate_series(1, $1) i`,
		`insert into audit_events (event_id, task_id, user_id, task_title, recorded_at) select gen_random_uuid(), gen_random_uuid(), 'ada', 'x', now() - i * interval '1 min' from generate_series(1, $1) i`,
		`insert into audit_acts (id, caller, user_id, method, path, recorded_at) select gen_random_uuid(), 'program', 'ada', 'GET', '/', now() - i * interval '1 min' from generate_series(1, $1) i`,
		`insert into suppressions (id, channel, address_hash, mailbox_hash, reason, added_by, lifted_at, lifted_by) select gen_random_uuid(), 'email', sha256(i::text::bytea), sha256(i::text::bytea), 'operator', 'x', case when i % 100 = 0 then now() - i * interval '1 min' end, case when i % 100 = 0 then 'x' end from generate_series(1, $1) i`,
		`insert into report_events (provider, event_id, delivery_id, received_at) select 'ses', i, gen_random_uuid(), now() - i * interval '1 min' from generate_series(1, $1) i`,
		`insert into counted_events (event_id, counted_at) select gen_random_uuid(), now() - i * interval '1 min' from generate_series(1, $1) i`,
		`insert into occurrences (task_id, series, occurrence, occurs_at, state, settled_at) select id, 1, created_at, now(), 'told', now() - row_number() over () * interval '1 min' from tasks limit $1`,
		`insert into agendas (id, user_id, day, fire_at, state, revision, derived_tz, settled_at) select gen_random_uuid(), 'ada', current_date - i, now(), 'told', 1, '', now() - i * interval '1 min' from generate_series(1, $1) i`,
		`insert into quotas (day, kind, channel, who) select now() - i * interval '1 min', 'user', 'email', i from generate_series(1, $1) i`,
		`insert into inbox_tickets (hash, user_id, expires_at, signed_in_until) select sha256(i::text::bytea), 'ada', now() - i * interval '30 s', now() from generate_series(1, $1) i`,
	} {
		exec(t, c, sql, rows)
	}
	exec(t, c, `analyze`)
	for what, k := range kinds {
		selection, deletion := k.Statements()
		for _, sql := range []string{selection, deletion} {
			rows, _ := c.Query(t.Context(), `explain `+strings.NewReplacer("$1", "'3 d'", "$2", "500").Replace(sql))
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			plan := strings.Join(lines, "\n")
			if !strings.Contains(plan, k.index) || strings.Contains(plan, "Seq Scan on "+k.Table()) {
				t.Errorf("%s:\n%s\n%s", what, sql, plan)
			}
		}
	}
}

// If a dead letter is replayed while a purge waits for the lock of its row, the task or reminder is
// kept with all its rows.
func TestPurgeLooksAgainBehindItsLocks(t *testing.T) {
	for what, k := range map[string]struct {
		store.Kept
		gone string // makes it old enough
	}{
		"task":     {store.DeletedTasks, `update tasks set deleted_at = now() - interval '100 d'`},
		"reminder": {store.RemovedReminders, `update reminders set removed_at = now() - interval '100 d'`},
	} {
		s, url := storetest.Open(t)
		c := connect(t, url)
		o := insertOld(t, s, c)
		exec(t, c, k.gone)
		replaying := connect(t, url)
		exec(t, replaying, `begin`)
		exec(t, replaying, `update deliveries set state = 'planned', finished_at = null, next_attempt_at = now() where id = $1`, o.current)
		purged := make(chan error, 1)
		var n int
		go func() {
			var err error
			n, err = s.Purge(context.Background(), k.Kept, 30*day, 10)
			purged <- err
		}()
		for count(t, c, `pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 0 {
			select {
			case err := <-purged:
				t.Fatalf("%s: did not wait: %d, %v", what, n, err)
			case <-time.After(5 * time.Millisecond):
			}
		}
		exec(t, replaying, `commit`)
		if err := <-purged; err != nil || n != 0 || count(t, c, `deliveries`) != 2 || count(t, c, `reminders`) != 1 || count(t, c, `tasks`) != 1 {
			t.Errorf("%s: purged %d, %v", what, n, err)
		}
	}
}
