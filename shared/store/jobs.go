package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// This file holds what is known of the jobs in Dapr: which revisions it has confirmed,
// which are pending, and the sentinel that shows whether its scheduler has its data.

// Confirm marks revisions as held by Dapr, and records and returns those that no
// longer count: the reminder was cancelled or armed anew in the meantime, so that
// the job is a leftover. One that has fired already is neither marked nor returned.
//
// ago is when Dapr was first asked for one of them. If its scheduler was found to have
// lost its data since, nothing is marked: the jobs may have been lost along.
func (s *Store) Confirm(ctx context.Context, sharing Sharing, scheduled []task.Revision, ago time.Duration) (stale []task.Revision, err error) {
	if len(scheduled) == 0 {
		return nil, nil
	}
	ids, revisions := columns(scheduled)
	began := time.Now()
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		sharing.queue(batch)
		batch.Queue(lockToMark, sentinelLock)
		// The locks are taken in the order of the ids; the rows are read anew behind them,
		// so what counts is what is committed now.
		batch.Queue(`
		with asked as materialized (
			select r.id, a.revision, r.revision as current, r.state
			from unnest($1::uuid[], $2::bigint[]) as a (id, revision) join reminders r on r.id = a.id
			order by r.id for no key update of r
		), marked as (
			update reminders r set confirmed_revision = a.revision from asked a
			where r.id = a.id and a.state = 'armed' and a.current = a.revision
			  and not exists (select from sentinel where created_at >= now() - $3::interval)
		), stale as (
			select id, revision from asked where current <> revision or state in ('cancelled', 'missed')
		), recorded as (
			insert into leftover_jobs as l (reminder_id, revision, settled_at)
			select id, revision, now() from stale order by id, revision
			on conflict (reminder_id, revision) do update set settled_at = greatest(l.settled_at, excluded.settled_at)
		)
		select id, revision from stale`, ids, revisions, ago+time.Since(began)).Query(func(rows pgx.Rows) error {
			stale, err = pgx.CollectRows(rows, scanJob)
			return err
		})
	})
	return stale, err
}

// Backoff of pending reminders: doubled from the first to the last.
const (
	firstScheduleWait = time.Second
	lastScheduleWait  = 10 * time.Second
)

// ClaimPending returns pending reminders, due up to an instant, that may be tried now,
// the earliest first, and sets for each when it may be tried again. Two callers at one
// time get different ones.
func (s *Store) ClaimPending(ctx context.Context, until time.Time, limit int) (pending []Due, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			update reminders r
			set schedule_attempts = r.schedule_attempts + 1, last_scheduling_at = now(),
			    next_schedule_at = now() + least($2::interval * 2 ^ least(r.schedule_attempts, 20), $3::interval)
			where r.id in (
				select id from reminders
				where pending and fire_at <= $4
				  and (next_schedule_at is null or next_schedule_at <= now())
				order by fire_at limit $1 for no key update skip locked)
			returning r.task_id, r.user_id, r.id, r.revision, r.fire_at`, limit, firstScheduleWait, lastScheduleWait, until)
		pending, err = pgx.CollectRows(rows, scanDue)
		slices.SortFunc(pending, func(a, b Due) int { return a.FireAt.Compare(b.FireAt) }) // they are returned as they were updated
		return err
	})
	return pending, err
}

// Sentinel returns the name of the job that should be in Dapr for ever, "" if there
// is none yet.
func (s *Store) Sentinel(ctx context.Context) (name string, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(ctx, `select name from sentinel`).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return name, err
}

// Who marks jobs as held by Dapr does so behind a shared lock, and who records another
// sentinel behind the whole one. So a mark is either committed before, where
// [Store.Unconfirm] finds it, or sees the sentinel. Each lock is a statement of its own: the
// next one reads what was committed before the lock was had.
const (
	sentinelLock = 0x73656e74696e656c // the word, as a number: Postgres's advisory locks have no names
	lockToMark   = `select pg_advisory_xact_lock_shared($1)`
)

// SetSentinel records the name, unless another one has been recorded instead of
// the one before, and returns the one that is.
func (s *Store) SetSentinel(ctx context.Context, before, name string) (now string, err error) {
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		batch.Queue(`select pg_advisory_xact_lock($1)`, sentinelLock)
		batch.Queue(`
			insert into sentinel as s (name, created_at) values ($2, now())
			on conflict (only_row) do update
			set name = case when s.name = $1 then $2 else s.name end,
			    created_at = case when s.name = $1 then now() else s.created_at end
			returning name`, before, name).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	})
	return now, err
}

// Unconfirm makes pending the armed reminders that Dapr was known to hold a job for,
// at most so many at a time, in the order of their ids, beginning after the given
// one. It returns the last of them, and how many there were.
func (s *Store) Unconfirm(ctx context.Context, after uuid.UUID, limit int) (last uuid.UUID, n int, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			with next as materialized (
				select id from reminders where state = 'armed' and confirmed_revision = revision and id > $1
				order by id limit $2 for no key update
			)
			update reminders r set confirmed_revision = null, schedule_attempts = 0, next_schedule_at = null
			from next where r.id = next.id returning r.id`, after, limit)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		last, n = after, len(ids)
		for _, id := range ids {
			if bytes.Compare(id[:], last[:]) > 0 {
				last = id
			}
		}
		return err
	})
	return last, n, err
}

// KnownJobs returns those of the jobs that a row knows: the one of an armed reminder,
// or of one that has just fired, also if it waits for its next occurrence or repetition by now; the same of an
// agenda; and a leftover that is recorded.
func (s *Store) KnownJobs(ctx context.Context, jobs []task.Revision) (known []task.Revision, err error) {
	ids, revisions := columns(jobs)
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select a.id, a.revision from unnest($1::uuid[], $2::bigint[]) as a (id, revision)
			where exists (
				select from reminders r where r.id = a.id and r.revision = a.revision
				and (r.state = 'armed' or r.state = 'fired' and r.fired_at > now() - interval '1 h'))
			or exists (
				select from deliveries d where d.reminder_id = a.id and d.revision = a.revision and d.created_at > now() - interval '1 h')
			or exists (
				select from agendas g where g.id = a.id and g.revision = a.revision and (g.state = 'armed' or g.settled_at > now() - interval '1 h'))
			or exists (select from leftover_jobs l where l.reminder_id = a.id and l.revision = a.revision)`, ids, revisions)
		known, err = pgx.CollectRows(rows, scanJob)
		return err
	})
	return known, err
}

// ConfirmedSoon returns armed reminders that Dapr is known to hold a job for, and that
// are due within a while, though not at once: in order, beginning after the given one.
func (s *Store) ConfirmedSoon(ctx context.Context, within time.Duration, after Due, limit int) (soon []Due, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select task_id, user_id, id, revision, fire_at from reminders
			where state = 'armed' and confirmed_revision = revision
			  and fire_at > now() + interval '1 min' and fire_at < now() + $1::interval and (fire_at, id) > ($2, $3)
			order by fire_at, id limit $4`, within, after.FireAt, after.ReminderID, limit)
		soon, err = pgx.CollectRows(rows, scanDue)
		return err
	})
	return soon, err
}

// UnconfirmJobs makes pending those of the reminders that are still armed and known
// to be held by Dapr at these revisions, and returns how many there were.
func (s *Store) UnconfirmJobs(ctx context.Context, jobs []task.Revision) (n int, err error) {
	ids, revisions := columns(jobs)
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		tag, err := c.Exec(ctx, `
			update reminders set confirmed_revision = null, schedule_attempts = 0, next_schedule_at = null
			where id in (
				select r.id from unnest($1::uuid[], $2::bigint[]) as a (id, revision) join reminders r on r.id = a.id
				where r.state = 'armed' and r.revision = a.revision and r.confirmed_revision = a.revision
				order by r.id for no key update of r)`, ids, revisions)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// CountPending counts the reminders, due up to an instant, that Dapr is not known to
// hold a job for, up to a limit.
func (s *Store) CountPending(ctx context.Context, until time.Time, limit int) (n int, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `
			select count(*) from (
				select from reminders where pending and fire_at <= $2 limit $1) as pending`, limit, until).Scan(&n)
	})
	return n, err
}

// scanJob reads a reminder's id and the number of a revision of it.
func scanJob(row pgx.CollectableRow) (r task.Revision, err error) {
	err = row.Scan(&r.ReminderID, &r.Number)
	return r, err
}

// columns are revisions as Postgres takes a list of them.
func columns(revisions []task.Revision) (ids pgtype.FlatArray[pgtype.UUID], numbers pgtype.FlatArray[int64]) {
	for _, r := range revisions {
		ids, numbers = append(ids, pgUUID(r.ReminderID)), append(numbers, r.Number)
	}
	return ids, numbers
}
