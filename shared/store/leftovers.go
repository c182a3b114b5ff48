package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// Leftovers are jobs of revisions that mean nothing any more. Dapr may still hold them.
type Leftovers struct {
	Jobs []task.Revision
	// AsOf is when they were read. DropLeftovers may forget what Dapr has deleted after that.
	AsOf time.Time
}

// settling is how long a call that schedules a job may take effect after it began. Every such call
// gives up long before.
const settling = 5 * time.Minute

// recordLeftovers records the jobs of reminders that the transaction has locked, and whose current
// revision it is about to end. It records revisions that were never confirmed, too: the call that
// schedules them may be under way, or its caller may have died before it could confirm. Only a
// revision that was always beyond the horizon has no job.
func (tx Tx) recordLeftovers(ctx context.Context, which string, arg any) (Leftovers, error) {
	rows, _ := tx.tx.Query(ctx, `
		insert into leftover_jobs as l (reminder_id, revision, settled_at)
		select id, revision, last_scheduling_at + $2::interval from reminders
		where state in ('armed', 'fired') and removed_at is null and last_scheduling_at > '-infinity' and `+which+` order by id
		on conflict (reminder_id, revision) do update set settled_at = greatest(l.settled_at, excluded.settled_at)
		returning reminder_id, revision, now()`, arg, settling)
	return collectLeftovers(rows)
}

func collectLeftovers(rows pgx.Rows) (left Leftovers, err error) {
	var job task.Revision
	_, err = pgx.ForEachRow(rows, []any{&job.ReminderID, &job.Number, &left.AsOf}, func() error {
		left.Jobs = append(left.Jobs, job)
		return nil
	})
	return left, err
}

// Leftovers returns up to limit leftover jobs that no call can be scheduling any more, the oldest
// first.
func (s *Store) Leftovers(ctx context.Context, limit int) (left Leftovers, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select reminder_id, revision, now() from leftover_jobs
			where settled_at < now() order by settled_at limit $1`, limit)
		left, err = collectLeftovers(rows)
		return err
	})
	return left, err
}

// CountLeftovers counts the leftover jobs that no call can be scheduling any more. It stops at
// limit.
func (s *Store) CountLeftovers(ctx context.Context, limit int) (n int, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `select count(*) from (select from leftover_jobs where settled_at < now() limit $1) as settled`, limit).Scan(&n)
	})
	return n, err
}

// DropLeftovers forgets leftover jobs that Dapr has deleted since they were read. It keeps those
// that may have been scheduled again meanwhile.
func (s *Store) DropLeftovers(ctx context.Context, deleted Leftovers) error {
	if len(deleted.Jobs) == 0 {
		return nil
	}
	ids, revisions := columns(deleted.Jobs)
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			delete from leftover_jobs where (reminder_id, revision) in (
				select l.reminder_id, l.revision
				from unnest($1::uuid[], $2::bigint[]) as a (id, revision)
				join leftover_jobs l on l.reminder_id = a.id and l.revision = a.revision
				where l.settled_at < $3 order by 1, 2 for update of l)`, ids, revisions, deleted.AsOf)
		return err
	})
}
