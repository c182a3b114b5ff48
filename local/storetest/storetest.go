// Package storetest gives a test a Store of its own on real Postgres.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/postgres/pgtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/store/migrate"
)

// Main runs a package's tests; its TestMain calls it. It ends the database
// server, checks for leaked goroutines, and exits.
func Main(m *testing.M) {
	pgtest.Main(m, func(ctx context.Context, url string) error {
		_, err := migrate.Up(ctx, url)
		return err
	})
}

// Open returns a Store on a migrated, empty database that is the test's alone,
// and that database's URL.
func Open(t testing.TB) (*store.Store, string) {
	t.Helper()
	url := pgtest.URL(t)
	s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, url
}

// Notify writes a notification into its user's inbox, as firing a reminder does, without a NOTIFY.
func Notify(ctx context.Context, s *store.Store, n store.Notification) error {
	return s.Fire(ctx, nil, store.Neighbours{}, func([]store.LockedReminder, store.Look) ([]store.Firing, error) {
		return []store.Firing{{InApp: &n}}, nil
	})
}

// Publish stores the deliveries of published events, all of one reminder.
func Publish(t testing.TB, databaseURL string, events ...store.Event) {
	t.Helper()
	c, err := pgx.Connect(context.Background(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	var ids, tasks []uuid.UUID
	var users []string
	for _, e := range events {
		ids, tasks, users = append(ids, e.ID), append(tasks, e.TaskID), append(users, e.UserID)
	}
	if _, err := c.Exec(context.Background(), `
		with u as (
			insert into users (id) values ('publisher') on conflict do nothing
		), t as (
			insert into tasks (id, user_id, title, created_at, updated_at) values (gen_random_uuid(), 'publisher', 'x', now(), now()) returning id
		), r as (
			insert into reminders (id, task_id, user_id, before, state, revision) select gen_random_uuid(), id, 'publisher', '0', 'cancelled', 1 from t returning id
		)
		insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, attempts, provider, finished_at)
		select e.id, r.id, n, task, person, 'event', 'sent', 1, 'dapr', now()
		from r, unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality as e (id, task, person, n)`, ids, tasks, users); err != nil {
		t.Fatal(err)
	}
}

// WithinHour waits for the next hour if less than left is left of this one, so that all messages
// are counted in the same hour.
func WithinHour(left time.Duration) {
	if rest := time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)); rest < left {
		time.Sleep(rest)
	}
}
