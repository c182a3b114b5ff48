package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// This file reads the state of the installation, for operators.

// Run is the latest sweep or cleanup.
type Run struct {
	EndedAt time.Time `json:"ended_at"`
	// Complete says that all steps were finished. Failed names the steps that failed.
	Complete bool     `json:"complete"`
	Failed   []string `json:"failed"`
	// Sentinel is how the sweep found the sentinel's job in Dapr; "" for a cleanup.
	Sentinel string `json:"-"`
	// Pending is how many reminders were pending.
	Pending int `json:"-"`
	// Providers are the configured ones of each channel.
	Providers map[task.Channel][]string `json:"-"`
}

// The names of runs.
const (
	SweepRun   = "sweep"
	CleanupRun = "cleanup"
)

// SaveRun records that a run has ended now.
func (s *Store) SaveRun(ctx context.Context, name string, r Run) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			insert into runs (name, ended_at, complete, failed, sentinel, pending, providers) values ($1, now(), $2, $3, $4, $5, $6)
			on conflict (name) do update set ended_at = excluded.ended_at, complete = excluded.complete, failed = excluded.failed,
				sentinel = excluded.sentinel, pending = excluded.pending, providers = excluded.providers`,
			name, r.Complete, notNil(r.Failed), r.Sentinel, r.Pending, r.Providers)
		return err
	})
}

// Status is the state of the installation.
type Status struct {
	Waiting     map[string]time.Duration // see Store.Waiting
	Lateness    Lateness
	Sweep       *Run // nil: there was none
	Cleanup     *Run // nil: there was none
	Providers   []ProviderStatus
	DeadLetters map[string]int
	// Took is how long a trivial query took.
	Took            time.Duration
	DatabaseVersion string
	Schema          int64
}

// Lateness is how long after their instants reminders fired.
type Lateness struct {
	Reminders int
	P50, P99  time.Duration // 0 if there were none
}

// ProviderStatus counts the deliveries of one provider by their outcome.
type ProviderStatus struct {
	Channel  task.Channel `json:"channel"`
	Provider string       `json:"provider"`
	Sent     int          `json:"sent"`
	Failed   int          `json:"failed"` // refused for good, or given up
	// LatestError is the error of the latest of these deliveries.
	LatestError string `json:"latest_error"`
}

// A status covers the last statusWithin, and at most the latest mostCounted deliveries. On a busy
// day that is less than an hour; it keeps the cost bounded.
const (
	statusWithin = time.Hour
	mostCounted  = 20_000
)

// Status returns the state of the installation.
func (s *Store) Status(ctx context.Context) (st Status, err error) {
	began := time.Now()
	if err := s.Ping(ctx); err != nil {
		return st, err
	}
	st.Took = time.Since(began)
	if st.Waiting, err = s.Waiting(ctx); err != nil {
		return st, err
	}
	if st.DeadLetters, err = s.CountDeadLetters(ctx); err != nil {
		return st, err
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if err := tx.QueryRow(ctx, `select current_setting('server_version'), (select coalesce(max(version_id), 0) from goose_db_version where is_applied)`).Scan(&st.DatabaseVersion, &st.Schema); err != nil {
			return err
		}
		if st.Lateness, err = lateness(ctx, tx); err != nil {
			return err
		}
		if st.Providers, err = providerStatus(ctx, tx); err != nil {
			return err
		}
		if st.Sweep, err = findRun(ctx, tx, SweepRun); err != nil {
			return err
		}
		st.Cleanup, err = findRun(ctx, tx, CleanupRun)
		return err
	})
	return st, err
}

// lateness reads the latest deliveries. Their ids are in the order of time.
func lateness(ctx context.Context, tx pgx.Tx) (l Lateness, err error) {
	var seconds []*float64
	err = tx.QueryRow(ctx, `
		select count(*), percentile_cont(array[0.5, 0.99]) within group (order by late)
		from (
			select greatest(extract(epoch from min(created_at - due_at)), 0)::float8 as late
			from (select * from deliveries where id > $1 and reminder_id is not null order by id desc limit $2) d
			where due_at is not null and channel <> 'event' group by reminder_id, revision
		) l`, since(time.Now().Add(-statusWithin)), mostCounted).Scan(&l.Reminders, &seconds)
	if err == nil && len(seconds) == 2 && seconds[0] != nil && seconds[1] != nil {
		l.P50, l.P99 = time.Duration(*seconds[0]*float64(time.Second)), time.Duration(*seconds[1]*float64(time.Second))
	}
	return l, err
}

func providerStatus(ctx context.Context, tx pgx.Tx) ([]ProviderStatus, error) {
	rows, _ := tx.Query(ctx, `
		select channel, provider, count(*) filter (where state = 'sent'), count(*) filter (where state in ('failed', 'exhausted')),
			coalesce((array_agg(last_error order by finished_at desc) filter (where state in ('failed', 'exhausted')))[1], '')
		from (
			select channel, provider, state, last_error, finished_at from deliveries
			where finished_at > now() - $1::interval order by finished_at desc limit $2) d
		where provider is not null and state in ('sent', 'failed', 'exhausted') group by channel, provider order by channel, provider`, statusWithin, mostCounted)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ProviderStatus])
}

func findRun(ctx context.Context, tx pgx.Tx, name string) (*Run, error) {
	var r Run
	err := tx.QueryRow(ctx, `select ended_at, complete, failed, sentinel, pending, providers from runs where name = $1`, name).
		Scan(&r.EndedAt, &r.Complete, &r.Failed, &r.Sentinel, &r.Pending, &r.Providers)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // find may come back empty
	}
	return &r, err
}

// since returns a bound for ids: rows made at that instant or later have greater ids, and older
// rows have lesser ones.
func since(at time.Time) uuid.UUID {
	var id uuid.UUID
	ms := max(at.UnixMilli(), 0)
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}
