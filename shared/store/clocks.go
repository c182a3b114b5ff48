package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
)

// This file finds reminders whose instant was derived from an old version of their user's clock, or
// by an old release of the time zones. It also stores the instants that were derived anew.

// IsGone reports whether err has the code not_found.
func IsGone(err error) bool { return fault.CodeOf(err) == fault.CodeNotFound }

// MoveTask stores a task and its reminders after their instants were derived anew. before is the
// task that LockTask returned. The task's version stays, and so do all deliveries. MoveTask records
// the jobs that became leftovers. Reminders that are armed anew become pending.
func (tx Tx) MoveTask(ctx context.Context, before, t task.Task) error {
	if _, err := tx.tx.Exec(ctx, `update tasks set due_date = $2 where id = $1`, t.ID, t.DueDate); err != nil {
		return err
	}
	if ids := outOfForce(before.Reminders, t.Reminders); len(ids) > 0 {
		if _, err := tx.recordLeftovers(ctx, `id = any($1)`, ids); err != nil {
			return err
		}
	}
	return tx.saveReminders(ctx, before.Reminders, t, time.Time{}) // the sweep schedules them
}

// ClocksChanged returns users whose clock has changed, the longest ago first. A user is returned
// until [Store.SettleClocks] finds that all of their reminders have followed.
func (s *Store) ClocksChanged(ctx context.Context, limit int) (users []string, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `select user_id from preferences where clock_changed_at is not null order by clock_changed_at limit $1`, limit)
		users, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return users, err
}

// isStale is the condition for an armed reminder r whose instant was derived from an earlier clock
// of its user (preferences p), by a release of the time zones not later than $2.
const isStale = `r.state = 'armed' and r.derived_clock >= 0 and r.derived_clock < p.clock_version and r.derived_tz <= $2`

// StaleByClock returns the tasks of a user with reminders that were derived from an earlier clock
// of theirs, by the given release of the time zones or an earlier one. It reads up to limit
// reminders in the order of their ids, from behind the given id on. last is the id of the last one.
func (s *Store) StaleByClock(ctx context.Context, userID, release string, after uuid.UUID, limit int) (tasks []uuid.UUID, last uuid.UUID, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		tasks, last = nil, after
		rows, _ := c.Query(ctx, `
			select r.id, r.task_id from reminders r join preferences p on p.user_id = r.user_id
			where r.user_id = $1 and `+isStale+` and r.id > $3 order by r.id limit $4`, userID, release, after, limit)
		var t uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&last, &t}, func() error {
			tasks = append(tasks, t)
			return nil
		})
		return err
	})
	return tasks, last, err
}

// SettleClocks notes for each user that all of their reminders have followed their clock, if they
// have. It skips users whose clock has changed within the last minutes: a task that was planned
// before the change may not be stored yet.
func (s *Store) SettleClocks(ctx context.Context, users []string, release string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			update preferences p set clock_changed_at = null
			where p.user_id = any($1) and p.clock_changed_at < now() - $3::interval
			  and not exists (select from reminders r where r.user_id = p.user_id and `+isStale+`)`, users, release, settling)
		return err
	})
}

// OfRelease is a reminder, and the release of the time zones by which its instant was derived.
type OfRelease struct {
	Release            string
	ReminderID, TaskID uuid.UUID
	UserID             string
}

// StaleByRelease returns up to limit armed reminders that were derived by an earlier release of the
// time zones than the given one. They are in order, from behind the given one on.
func (s *Store) StaleByRelease(ctx context.Context, release string, after OfRelease, limit int) (stale []OfRelease, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select derived_tz, id, task_id, user_id from reminders
			where state = 'armed' and derived_tz is not null and derived_tz < $1 and (derived_tz, id) > ($2, $3)
			order by derived_tz, id limit $4`, release, after.Release, after.ReminderID, limit)
		stale, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OfRelease])
		return err
	})
	return stale, err
}
