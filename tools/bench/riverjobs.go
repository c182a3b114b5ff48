package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverJobs is River on the same Postgres server, in a database of its own. Its worker
// writes a row, as the inbox has it, which is when the reminder has arrived.
type riverJobs struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

// remindArgs are a job's.
type remindArgs struct {
	TaskID string `json:"task_id"`
	UserID string `json:"user_id"`
	N      int    `json:"n"`
}

// Kind implements river.JobArgs.
func (remindArgs) Kind() string { return "remind" }

type remindWorker struct {
	river.WorkerDefaults[remindArgs]
	pool *pgxpool.Pool
}

// Work implements river.Worker.
func (w *remindWorker) Work(ctx context.Context, job *river.Job[remindArgs]) error {
	_, err := w.pool.Exec(ctx, `insert into arrivals (n, user_id, task_id) values ($1, $2, $3)`, job.Args.N, job.Args.UserID, job.Args.TaskID)
	return err
}

func startRiver(ctx context.Context, w *world) (*riverJobs, error) {
	if _, err := w.db.Exec(ctx, `create database river`); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(strings.Replace(w.environment["DATABASE_URL"], "/duebell?", "/river?", 1))
	if err != nil {
		return nil, err
	}
	config.MaxConns = 40
	r := &riverJobs{}
	if r.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	if _, err := r.pool.Exec(ctx, `create table arrivals (n int primary key, user_id text not null, task_id text not null)`); err != nil {
		return r, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(r.pool), nil)
	if err != nil {
		return r, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return r, err
	}
	r.client, err = r.newClient()
	return r, err
}

func (r *riverJobs) newClient() (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &remindWorker{pool: r.pool})
	return river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 5000}}, Workers: workers,
	})
}

func (r *riverJobs) stop() {
	if r.pool != nil {
		r.pool.Close()
	}
}

func (r *riverJobs) clear(ctx context.Context) error {
	_, err := r.pool.Exec(ctx, `truncate river_job, arrivals`)
	return err
}

// insert inserts n jobs the fastest way that River has, a thousand at a time as
// Duebell does.
func (r *riverJobs) insert(ctx context.Context, n int, at func(i int) time.Time) (time.Duration, error) {
	began := time.Now()
	for first := 0; first < n; first += 1000 {
		var params []river.InsertManyParams
		for i := first; i < min(first+1000, n); i++ {
			params = append(params, river.InsertManyParams{
				Args:       remindArgs{TaskID: "01a20dd0-b585-7d53-8b12-7a2c1c952027", UserID: "bench", N: i},
				InsertOpts: &river.InsertOpts{ScheduledAt: at(i)},
			})
		}
		if _, err := r.client.InsertManyFast(ctx, params); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// arrivals works off n jobs and returns for each how late its row was committed, in
// seconds.
func (r *riverJobs) arrivals(ctx context.Context, n int, at func(i int) time.Time) (late []float64, err error) {
	client, err := r.newClient() // one that was stopped can't start again
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	deadline := at(n - 1).Add(3 * time.Minute)
	for got := 0; got < n; {
		if err := r.pool.QueryRow(ctx, `select count(*) from arrivals`).Scan(&got); err != nil {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("only %d of %d jobs were worked off", got, n)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err := client.Stop(ctx); err != nil {
		return nil, err
	}
	return latenesses(ctx, r.pool, at, `select n, pg_xact_commit_timestamp(xmin) from arrivals`)
}

// latenesses are how late things arrived, in seconds, by a query for their numbers and
// instants.
func latenesses(ctx context.Context, pool *pgxpool.Pool, at func(i int) time.Time, sql string) (late []float64, err error) {
	rows, err := pool.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	var n int
	var arrived time.Time
	_, err = pgx.ForEachRow(rows, []any{&n, &arrived}, func() error {
		late = append(late, arrived.Sub(at(n)).Seconds())
		return nil
	})
	return late, err
}
