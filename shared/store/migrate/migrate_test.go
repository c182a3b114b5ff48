package migrate

import (
	"context"
	"database/sql"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/duebell/duebell/local/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, func(context.Context, string) error { return nil }) }

// Addresses that were there before owners were asked are in grace, and a database can go back
// and forth.
func TestAddressesAreInGrace(t *testing.T) {
	ctx := t.Context()
	db, err := sql.Open("pgx", pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := provider.UpTo(ctx, 16); err != nil {
		t.Fatal(err)
	}
	exec(`insert into users (id) values ('a'), ('b')`)
	exec(`insert into preferences (user_id, time_zone, language, channels, emails, phones, devices, version)
		values ('a', 'UTC', 'en', '{}', '{a@x.org,b@x.org}', '{+15551234567}', '[]', 1), ('b', 'UTC', 'en', '{}', '{}', '{}', '[]', 1)`)
	for range 2 {
		if _, err := provider.UpTo(ctx, 17); err != nil {
			t.Fatal(err)
		}
		var in string
		if err := db.QueryRowContext(ctx, `select string_agg(concat_ws(' ', user_id, grace, verified, grace_until), '; ' order by user_id) from preferences`).Scan(&in); err != nil {
			t.Fatal(err)
		}
		if want := "a {a@x.org,b@x.org,+15551234567} {}; b {} {}"; in != want {
			t.Errorf("%q, want %q", in, want)
		}
		exec(`insert into deliveries (id, revision, user_id, channel, target, state, next_attempt_at) values (gen_random_uuid(), 1, 'a', 'email', 'a@x.org', 'planned', now())`)
		exec(`insert into notifications (id, user_id, seq, title, body) values (gen_random_uuid(), 'a', 1, 'x', '')`)
		if _, err := provider.DownTo(ctx, 16); err != nil {
			t.Fatal(err)
		}
	}
}

// Inboxes that were there before anything was counted are counted, while functions of before go
// on with them. A migration that broke off can run again, and a database can go back and forth.
func TestInboxesAreCounted(t *testing.T) {
	ctx := t.Context()
	db, err := sql.Open("pgx", pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Error(err)
		}
	}
	const before, counted = 24, 25
	upTo := func(version int64) {
		t.Helper()
		if _, err := provider.UpTo(ctx, version); err != nil {
			t.Fatal(err)
		}
	}
	upTo(before)
	exec(`insert into users (id, last_seq) values ('read some', 40), ('read nothing', 40), ('all purged', 40), ('told nothing', 0)`)
	exec(`
		insert into notifications (id, user_id, seq, title, body, read_at)
		select gen_random_uuid(), id, n, 'x', '', case when id = 'read some' and n % 3 = 0 then now() end
		from users, generate_series(1, 40) n where id like 'read %' and n % 7 > 0`)

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
	upTo(counted)
	close(stop)
	<-stopped
	agree := func(when string) {
		t.Helper()
		var counts, rows string
		err := db.QueryRowContext(ctx, `
			select string_agg(format('%s: %s of %s', u.id, u.last_seq - coalesce(c.seen, 0), u.last_seq - coalesce(c.gone, 0)), '; ' order by u.id),
				string_agg(format('%s: %s of %s', u.id, r.unread, r.total), '; ' order by u.id)
			from users u left join notification_counts c on c.user_id = u.id
			cross join lateral (select count(*) filter (where read_at is null) as unread, count(*) as total from notifications n where n.user_id = u.id) r`).Scan(&counts, &rows)
		if err != nil || counts != rows {
			t.Errorf("%s %s are counted, and there are %s; %v", when, counts, rows, err)
		}
	}
	agree("while others write")
	exec(`delete from goose_db_version where version_id = 25`)
	upTo(counted)
	agree("the second time")
	if _, err := provider.DownTo(ctx, before); err != nil {
		t.Fatal(err)
	}
	exec(`update notifications set read_at = null where seq % 2 = 0`)
	upTo(counted)
	agree("back and forth")
}
