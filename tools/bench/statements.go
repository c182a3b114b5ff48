package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
)

// countStatements has Postgres count what each statement of the functions takes.
func (w *world) countStatements(ctx context.Context) error {
	c, err := pgx.Connect(ctx, w.environment["DATABASE_URL"])
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, sql := range []string{
		`create extension pg_stat_statements`,
		`alter system set shared_preload_libraries = 'pg_stat_statements'`,
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// printStatements prints what has taken Postgres longest since it printed last, those
// of the functions only.
func (w *world) printStatements(ctx context.Context) error {
	rows, _ := w.db.Query(ctx, `
		select calls, rows, total_exec_time, regexp_replace(query, '\s+', ' ', 'g')
		from pg_stat_statements join pg_database d on d.oid = dbid
		where datname = 'duebell' and query !~ 'pg_stat_statements' order by 3 desc limit 20`)
	var calls, n int64
	var ms float64
	var query string
	fmt.Fprintf(os.Stderr, "\n%9s %9s %9s %9s  statement\n", "ms", "µs/call", "calls", "rows")
	_, err := pgx.ForEachRow(rows, []any{&calls, &n, &ms, &query}, func() error {
		fmt.Fprintf(os.Stderr, "%9.0f %9.0f %9d %9d  %.100s\n", ms, ms*1000/float64(calls), calls, n, strings.TrimSpace(query))
		return nil
	})
	if err != nil {
		return err
	}
	_, err = w.db.Exec(ctx, `select pg_stat_statements_reset()`)
	return err
}
