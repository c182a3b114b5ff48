package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// Due is a revision and its instant.
type Due struct {
	task.Revision
	FireAt time.Time
}

func scanDue(row pgx.CollectableRow) (d Due, err error) {
	err = row.Scan(&d.TaskID, &d.UserID, &d.ReminderID, &d.Number, &d.FireAt)
	return d, err
}

// Overdue returns up to limit armed reminders that are overdue by more than grace, the longest
// overdue first. It continues behind the given one.
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

// DueReminders returns the reminders of a user's task that are due, and those that have fired and
// still have unsent deliveries, the earliest first. It returns none for an unknown task, or another
// user's.
func (s *Store) DueReminders(ctx context.Context, userID string, taskID uuid.UUID) (due []task.Revision, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select task_id, user_id, id, revision from (
				select r.task_id, r.user_id, r.id, r.revision, r.fire_at from reminders r
				where r.task_id = $1 and r.user_id = $2 and r.removed_at is null and r.state = 'armed' and r.fire_at <= now()
				union
				-- Reminders of recurring tasks, snoozes and repetitions are found at earlier
				-- revisions, too: they may be armed again already.
				select r.task_id, r.user_id, r.id, d.revision, d.due_at from deliveries d join reminders r on r.id = d.reminder_id
				where d.task_id = $1 and r.task_id = $1 and r.user_id = $2 and r.removed_at is null and `+isUnsent+`
				  and (d.occurrence is not null or r.kind <> 'due' or r.state = 'fired' and d.revision = r.revision)
			) due order by fire_at, id, revision`, taskID, userID)
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r task.Revision, err error) {
			err = row.Scan(&r.TaskID, &r.UserID, &r.ReminderID, &r.Number)
			return r, err
		})
		return err
	})
	return due, err
}

// waitsForFiring is the key in [Store.Waiting] for due reminders and agendas that have not fired.
const waitsForFiring = "firing"

// Waiting returns how long the oldest due reminder or agenda has waited to fire (key "firing"), and
// how long the oldest due delivery of each [Lane] has waited to be sent. Zero means that nothing
// waits.
func (s *Store) Waiting(ctx context.Context) (oldest map[string]time.Duration, err error) {
	queries := map[string]string{waitsForFiring: `
		select coalesce(now() - least((select min(fire_at) from reminders where state = 'armed'), (select min(fire_at) from agendas where state = 'armed')), '0')`}
	for _, l := range Lanes {
		queries[string(l)] = `select coalesce(now() - min(d.next_attempt_at), '0') from deliveries d where ` + isOpen + ` and ` + l.in()
	}
	oldest = map[string]time.Duration{}
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		for of, sql := range queries {
			batch.Queue(sql).QueryRow(func(row pgx.Row) error {
				var waits time.Duration
				err := row.Scan(&waits)
				oldest[of] = max(waits, 0)
				return err
			})
		}
	})
	return oldest, err
}
