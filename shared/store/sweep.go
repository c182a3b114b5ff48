package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// Due is a wake-up call for a reminder, and its instant.
type Due struct {
	task.Wake
	FireAt time.Time
}

func scanDue(row pgx.CollectableRow) (d Due, err error) {
	err = row.Scan(&d.TaskID, &d.UserID, &d.ReminderID, &d.Revision, &d.FireAt)
	return d, err
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

// Overdue returns armed reminders whose instant passed longer ago than grace, in
// order, beginning after the given one.
func (s *Store) Overdue(ctx context.Context, grace time.Duration, after Due, limit int) (overdue []Due, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select task_id, user_id, id, revision, fire_at from reminders
			where state = 'armed' and fire_at < now() - $1::interval and (fire_at, id) > ($2, $3)
			order by fire_at, id limit $4`, grace, after.FireAt, after.ReminderID, limit)
		overdue, err = pgx.CollectRows(rows, scanDue)
		return err
	})
	return overdue, err
}

// DueDelivery is a delivery that may be taken, and since when.
type DueDelivery struct {
	ID    uuid.UUID
	Since time.Time
}

// DueDeliveries returns deliveries that may be taken for longer than grace, in
// order, beginning after the given one.
func (s *Store) DueDeliveries(ctx context.Context, grace time.Duration, after DueDelivery, limit int) (due []DueDelivery, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select id, next_attempt_at from deliveries
			where state in ('planned', 'sending', 'unknown') and next_attempt_at < now() - $1::interval and (next_attempt_at, id) > ($2, $3)
			order by next_attempt_at, id limit $4`, grace, after.Since, after.ID, limit)
		due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[DueDelivery])
		return err
	})
	return due, err
}

// Waiting is how long the oldest of what should have been done has waited: a
// pending reminder since its instant, a delivery since it was due. Zero or less is
// nothing.
func (s *Store) Waiting(ctx context.Context) (oldest time.Duration, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `
			select coalesce(now() - least(
				(select min(fire_at) from reminders where state = 'armed'),
				(select min(next_attempt_at) from deliveries where state in ('planned', 'sending', 'unknown'))), '0')`).Scan(&oldest)
	})
	return max(oldest, 0), err
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
