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
