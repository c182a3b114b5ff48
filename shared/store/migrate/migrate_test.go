package migrate

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/duebell/duebell/local/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, func(context.Context, string) error { return nil }) }

// Addresses that were stored before the migration are in grace. The migration can be undone and
// repeated.
func TestAddressesAreInGrace(t *testing.T) {
	d := open(t)
	d.up(16)
	d.exec(`insert into users (id) values ('a'), ('b')`)
	d.exec(`insert into preferences (user_id, time_zone, language, channels, emails, phones, devices, version)
		values ('a', 'UTC', 'en', '{}', '{a@x.org,b@x.org}', '{+15551234567}', '[]', 1), ('b', 'UTC', 'en', '{}', '{}', '{}', '[]', 1)`)
	for range 2 {
		d.up(17)
		if got, want := d.text(`select string_agg(concat_ws(' ', user_id, grace, verified, grace_until), '; ' order by user_id) from preferences`), "a {a@x.org,b@x.org,+15551234567} {}; b {} {}"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		d.exec(`insert into deliveries (id, revision, user_id, channel, target, state, next_attempt_at) values (gen_random_uuid(), 1, 'a', 'email', 'a@x.org', 'planned', now())`)
		d.exec(`insert into notifications (id, user_id, seq, title, body) values (gen_random_uuid(), 'a', 1, 'x', '')`)
		d.down(16)
	}
}

// Deliveries that had been tried before the migration don't count in quotas, and are not held;
// those that had not been tried do. The migration can be undone and repeated.
func TestWhatIsUnderWayIsNotCounted(t *testing.T) {
	d := open(t)
	d.up(22)
	d.exec(`insert into users (id) values ('a')`)
	plan := func(target, state string, attempts int, next, finished string) {
		t.Helper()
		d.exec(fmt.Sprintf(`insert into deliveries (id, revision, user_id, channel, target, state, attempts, next_attempt_at, finished_at)
			values (gen_random_uuid(), 1, 'a', 'email', '%s', '%s', %d, %s, %s)`, target, state, attempts, next, finished))
	}
	plan("new", "planned", 0, "now()", "null")
	plan("retried", "planned", 1, "now()", "null")
	plan("leased", "sending", 1, "now()", "null")
	plan("unsure", "unknown", 2, "now()", "null")
	plan("done", "sent", 1, "null", "now()")
	for range 2 {
		d.up(23)
		if got, want := d.text(`select string_agg(target || ' ' || counted, ', ' order by target) from deliveries where target <> 'over'`), "done 0, leased 2, new 0, retried 2, unsure 2"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		d.exec(`insert into quotas (day, kind, channel, who) values (current_date, 'user', 'email', 'a')`)
		plan("over", "refused", 0, "null", "now()")
		d.down(22)
		if got, want := d.text(`select string_agg(distinct state, ', ') from deliveries where target = 'over'`), "failed"; got != want {
			t.Errorf("what was refused is %q, want %q", got, want)
		}
	}
}

// After a migration back, deliveries that quiet hours held are sent by the old version, which knows
// no quiet hours. The migration can be undone and repeated, also after it broke off.
func TestHeldGoesOutWithAnEarlierVersion(t *testing.T) {
	d := open(t)
	const before, quiet = 27, 28
	d.up(quiet)
	d.exec(`insert into users (id) values ('a')`)
	d.exec(`insert into deliveries (id, revision, user_id, channel, target, state, next_attempt_at) values (gen_random_uuid(), 1, 'a', 'email', 'a@x.org', 'planned', now() + interval '8 h')`)
	for range 2 {
		d.exec(`update deliveries set reason = 'quiet_hours', next_attempt_at = now() + interval '8 h'`)
		d.down(before)
		if got := d.text(`select (next_attempt_at <= now())::text from deliveries`); got != "true" {
			t.Errorf("due: %s", got)
		}
		d.up(quiet)
		d.exec(fmt.Sprintf(`delete from goose_db_version where version_id = %d`, quiet)) // as if it had broken off at its end
		d.up(quiet)
	}
}

// After a migration back, each delivery of an open bundle is sent on its own. The migration can be
// repeated.
func TestBundlesAreTakenBack(t *testing.T) {
	d := open(t)
	d.up(32)
	d.exec(`
		insert into users (id) values ('a');
		insert into tasks (id, user_id, title, created_at, updated_at) values ('00000000-0000-0000-0000-000000000001', 'a', 'x', now(), now());
		insert into reminders (id, task_id, user_id, before, state, revision, fired_at)
		values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'a', '0', 'fired', 1, now());
		insert into deliveries (id, bundle_id, revision, user_id, channel, target, state, next_attempt_at)
		values ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000003', 1, 'a', 'email', 'a@x.org', 'planned', now());
		insert into bundles (id, user_id, channel, target) values ('00000000-0000-0000-0000-000000000003', 'a', 'email', 'a@x.org');
		insert into deliveries (id, bundle_id, reminder_id, task_id, revision, user_id, channel, target, state)
		values ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 1, 'a', 'email', 'a@x.org', 'bundled')`)
	for range 2 {
		d.down(28)
		if got, want := d.text(`select string_agg(concat_ws(' ', right(id::text, 1), state, next_attempt_at <= now()), ', ') from deliveries`), "4 planned t"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		d.up(32)
		d.exec(`delete from goose_db_version where version_id = 32`) // as if it had broken off at its end
		d.up(32)
	}
}

// After a migration back, deliveries of agendas are deleted: the old version would take them for verifications. The
// migration can be undone and repeated.
func TestAgendasAreTakenBack(t *testing.T) {
	d := open(t)
	d.up(33)
	d.exec(`insert into users (id) values ('a')`)
	for range 2 {
		d.exec(`
			insert into agendas (id, user_id, day, fire_at, state, revision, derived_tz) values ('00000000-0000-0000-0000-000000000001', 'a', '2026-12-01', now(), 'armed', 1, '2026f');
			insert into deliveries (id, agenda_id, revision, user_id, channel, target, state, next_attempt_at)
			values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 1, 'a', 'email', 'a@x.org', 'planned', now())`)
		d.down(32)
		if got := d.text(`select count(*)::text from deliveries`); got != "0" {
			t.Errorf("%s deliveries are left", got)
		}
		d.up(33)
		d.exec(`delete from goose_db_version where version_id = 33`) // as if it had broken off at its end
		d.up(33)
	}
}

// database is one that is migrated by hand.
type database struct {
	*testing.T
	*goose.Provider
	db *sql.DB
}

func open(t *testing.T) database {
	t.Helper()
	db, err := sql.Open("pgx", pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations)
	if err != nil {
		t.Fatal(err)
	}
	return database{t, provider, db}
}

func (d database) up(version int64) {
	d.Helper()
	if _, err := d.UpTo(d.Context(), version); err != nil {
		d.Fatal(err)
	}
}

func (d database) down(version int64) {
	d.Helper()
	if _, err := d.DownTo(d.Context(), version); err != nil {
		d.Fatal(err)
	}
}

func (d database) exec(statement string) {
	d.Helper()
	if _, err := d.db.ExecContext(d.Context(), statement); err != nil {
		d.Fatal(err)
	}
}

// text returns the only value of a query's only row.
func (d database) text(query string) (answer string) {
	d.Helper()
	if err := d.db.QueryRowContext(d.Context(), query).Scan(&answer); err != nil {
		d.Fatal(err)
	}
	return answer
}

// The migration counts the notifications of existing inboxes while functions of the old version
// change them. It can be undone and repeated, also after it broke off.
func TestInboxesAreCounted(t *testing.T) {
	d := open(t)
	const before, counted = 25, 26
	d.up(before)
	d.exec(`insert into users (id, last_seq) values ('read some', 40), ('read nothing', 40), ('all purged', 40), ('told nothing', 0)`)
	d.exec(`
		insert into notifications (id, user_id, seq, title, body, read_at)
		select gen_random_uuid(), id, n, 'x', '', case when id = 'read some' and n % 3 = 0 then now() end
		from users, generate_series(1, 40) n where id like 'read %' and n % 7 > 0`)

	exec := func(statement string) { // in another goroutine, which may not end the test
		if _, err := d.db.ExecContext(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			exec(`
				with next as (update users set last_seq = last_seq + 1 returning id, last_seq)
				insert into notifications (id, user_id, seq, title, body) select gen_random_uuid(), id, last_seq, 'x', '' from next`)
			exec(`update notifications set read_at = now() where id in (select id from notifications order by random() limit 2)`)
			exec(`delete from notifications where id in (select id from notifications order by random() limit 1)`)
		}
	}()
	d.up(counted)
	close(stop)
	<-stopped
	agree := func(when string) {
		t.Helper()
		var counts, rows string
		err := d.db.QueryRowContext(t.Context(), `
			select string_agg(format('%s: %s of %s', u.id, u.last_seq - coalesce(c.seen, 0), u.last_seq - coalesce(c.gone, 0)), '; ' order by u.id),
				string_agg(format('%s: %s of %s', u.id, r.unread, r.total), '; ' order by u.id)
			from users u left join notification_counts c on c.user_id = u.id
			cross join lateral (select count(*) filter (where read_at is null) as unread, count(*) as total from notifications n where n.user_id = u.id) r`).Scan(&counts, &rows)
		if err != nil || counts != rows {
			t.Errorf("%s %s are counted, and there are %s; %v", when, counts, rows, err)
		}
	}
	agree("while others write")
	d.exec(`delete from goose_db_version where version_id = 26`)
	d.up(counted)
	agree("the second time")
	d.down(before)
	d.exec(`update notifications set read_at = null where seq % 2 = 0`)
	d.up(counted)
	agree("back and forth")
}

// The index of the lane of hosts includes browsers. The migration can be undone and repeated.
func TestBrowsersAreInTheIndexOfHosts(t *testing.T) {
	d := open(t)
	for range 2 {
		d.up(31)
		if got := d.text(`select indexdef from pg_indexes where indexname = 'deliveries_due_hosts'`); !strings.Contains(got, "webpush:%") {
			t.Errorf("it is %s", got)
		}
		d.down(30)
		if got := d.text(`select indexdef from pg_indexes where indexname = 'deliveries_due_hosts'`); strings.Contains(got, "webpush:%") {
			t.Errorf("back again it is %s", got)
		}
		if got := d.text(`select count(*) from pg_indexes where indexname = 'deliveries_due_chosen'`); got != "0" {
			t.Error("an index is left over")
		}
	}
}
