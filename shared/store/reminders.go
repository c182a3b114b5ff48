package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Scheduled names a reminder's revision for which Dapr holds a job.
type Scheduled struct {
	ReminderID uuid.UUID
	Revision   int64
}

// Confirm marks revisions as held by Dapr, and records and returns those that no
// longer count: the reminder was cancelled or armed anew in the meantime, so that
// the job is a leftover. One that has fired already is neither marked nor returned.
//
// ago is when Dapr was first asked for one of them. If its scheduler was found to have
// lost its data since, nothing is marked: the jobs may have been lost along.
func (s *Store) Confirm(ctx context.Context, scheduled []Scheduled, ago time.Duration) (stale []Scheduled, err error) {
	if len(scheduled) == 0 {
		return nil, nil
	}
	ids, revisions := columns(scheduled)
	began := time.Now()
	err = s.exchange(ctx, func(batch *pgx.Batch) {
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
			stale, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Scheduled])
			return err
		})
	})
	return stale, err
}

// DueReminders returns the armed reminders of a user's task whose instant has
// come, and those that have fired and still have something unsent, the earliest
// first. An unknown task, or another user's, has none.
func (s *Store) DueReminders(ctx context.Context, userID string, taskID uuid.UUID) (due []Scheduled, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select r.id, r.revision from reminders r
			where r.task_id = $1 and r.user_id = $2 and r.removed_at is null
			  and (r.state = 'armed' and r.fire_at <= now()
			    or r.state = 'fired' and exists (
			       select from deliveries d where d.reminder_id = r.id and d.revision = r.revision and d.state in ('planned', 'sending', 'unknown')))
			order by r.fire_at, r.id`, taskID, userID)
		due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Scheduled])
		return err
	})
	return due, err
}
