package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// UsageQuery says what to count of a user. Each number is the limit up to which something is
// counted. With a limit of 0 it is not counted.
type UsageQuery struct {
	Tasks       int // tasks that are not deleted
	Jobs        int // armed reminders that are due up to JobsUntil
	JobsUntil   time.Time
	InMinute    int // armed reminders that are due in each of Minutes
	Minutes     []time.Time
	AnswerBytes int // stored answers to requests with an Idempotency-Key
}

// Usage has the counts of a [UsageQuery].
type Usage struct {
	Tasks       int
	Jobs        int
	InMinute    []int // in the order of UsageQuery.Minutes
	AnswerBytes int
	// AnswersGo is how long until the oldest stored answer expires.
	AnswersGo time.Duration
}

// Usage counts what a user has. It takes no locks.
func (s *Store) Usage(ctx context.Context, userID string, q UsageQuery) (u Usage, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		u, err = usage(ctx, c, userID, q)
		return err
	})
	return u, err
}

// Usage counts what a user has, as the transaction sees it. It takes no locks.
func (tx Tx) Usage(ctx context.Context, userID string, q UsageQuery) (Usage, error) {
	return usage(ctx, tx.tx, userID, q)
}

func usage(ctx context.Context, on querier, userID string, q UsageQuery) (u Usage, err error) {
	minutes := make(pgtype.FlatArray[time.Time], len(q.Minutes))
	copy(minutes, q.Minutes)
	err = on.QueryRow(ctx, `
		select
			(select count(*) from (select from tasks where user_id = $1 and deleted_at is null limit $2) t),
			(select count(*) from (select from reminders where user_id = $1 and state = 'armed' and fire_at <= $4 limit $3) r),
			array(
				select (select count(*) from (
					select from reminders where user_id = $1 and state = 'armed' and fire_at >= m.at and fire_at < m.at + interval '1 min' limit $5) r)
				from unnest($6::timestamptz[]) with ordinality as m (at, place) order by place),
			kept.bytes, kept.go
		from (
			select coalesce(sum(size), 0) as bytes, coalesce(min(created_at) + $8::interval - now(), '0') as go
			from idempotency_keys where $7 and user_id = $1 and created_at > now() - $8::interval) kept`,
		userID, q.Tasks, q.Jobs, q.JobsUntil, q.InMinute, minutes, q.AnswerBytes > 0, keysKept).
		Scan(&u.Tasks, &u.Jobs, &u.InMinute, &u.AnswerBytes, &u.AnswersGo)
	return u, err
}

// TakeImportRows counts n rows that a user is about to import. If there would be more than most
// within an hour, it does not count them, and ok is false. used is then how many were counted
// before, and again how long until the hour is over.
func (s *Store) TakeImportRows(ctx context.Context, userID string, n, most int) (ok bool, used int, again time.Duration, err error) {
	const current = `case when import_since > now() - interval '1 h' then import_rows else 0 end`
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(ctx, `
			update users set import_rows = `+current+` + $2,
				import_since = case when import_since > now() - interval '1 h' then import_since else now() end
			where id = $1 and `+current+` + $2 <= $3 returning import_rows`, userID, n, most).Scan(&used)
		if ok = err == nil; ok || !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return c.QueryRow(ctx, `
			select `+current+`, greatest(case when import_since > now() - interval '1 h' then import_since + interval '1 h' - now() end, '0')
			from users where id = $1`, userID).Scan(&used, &again)
	})
	return ok, used, again, err
}
