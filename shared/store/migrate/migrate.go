// Package migrate brings a database to the schema that package store needs. Only the program
// duebell uses it. Functions never migrate.
package migrate

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql driver "pgx", which goose speaks through
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var migrations embed.FS

// Version returns the number of the schema's latest migration.
func Version() (version int64, err error) {
	names, err := fs.Glob(migrations, "*.sql")
	for _, name := range names {
		n, problem := goose.NumericComponent(name)
		version, err = max(version, n), errors.Join(err, problem)
	}
	return version, err
}

// Applied is one migration that Up carried out.
type Applied struct {
	Name     string
	Duration time.Duration
}

// Up applies the migrations that the database lacks, and returns them. Each is one transaction,
// except those that say otherwise; these can be run again if they break off. Up holds a lock in the
// database, so several copies may run at the same time: one migrates, and the others wait and find
// nothing to do.
func Up(ctx context.Context, databaseURL string) ([]Applied, error) {
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	defer db.Close()

	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("make the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	applied := make([]Applied, 0, len(results))
	for _, r := range results {
		applied = append(applied, Applied{Name: r.Source.Path, Duration: r.Duration})
	}
	return applied, nil
}
