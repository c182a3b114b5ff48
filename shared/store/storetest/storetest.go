// Package storetest gives a test a Store of its own on real Postgres.
package storetest

import (
	"context"
	"testing"

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

// Notify writes a notification into its user's inbox, as firing a reminder does, and gives
// no notice of it.
func Notify(ctx context.Context, s *store.Store, n store.Notification) error {
	return s.Fire(ctx, nil, store.Neighbours{}, func([]store.LockedReminder) ([]store.Firing, error) {
		return []store.Firing{{InApp: &n}}, nil
	})
}
