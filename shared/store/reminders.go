package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
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
	err = s.exchange(ctx, func(batch *pgx.Batch) {
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
		select id, revision from stale`, ids, revisions, ago).Query(func(rows pgx.Rows) error {
			stale, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Scheduled])
			return err
		})
	})
	return stale, err
}

// ErrNoReminder says that a wake-up call names a reminder that doesn't exist.
var ErrNoReminder = fault.NotFound("there is no such reminder")

// LockReminder locks a reminder and returns it. taskID and userID must be its
// own: a wake-up call that names others is answered as if it didn't exist.
func (tx Tx) LockReminder(ctx context.Context, id, taskID uuid.UUID, userID string) (task.Reminder, error) {
	var r task.Reminder
	err := tx.tx.QueryRow(ctx, `
		select `+reminderColumns+` from reminders r
		where r.id = $1 and r.task_id = $2 and r.user_id = $3 for no key update`, id, taskID, userID).Scan(reminderFields(&r)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return task.Reminder{}, ErrNoReminder
	}
	r.FireAt = inUTC(r.FireAt)
	return r, err
}

// Recipient is whom a reminder is for, as far as firing it needs to know.
type Recipient struct {
	preferences.Preferences
	SignIn *string // the verified address of the sign-in
}

// TaskToFire returns a task, without its reminders, and whom to tell, for firing
// a reminder of it that the transaction has locked. It reads what is committed
// now.
func (tx Tx) TaskToFire(ctx context.Context, id uuid.UUID) (t task.Task, to Recipient, err error) {
	p, ok, err := scanPreferences(tx.tx.QueryRow(ctx, `
		select `+preferencesColumns+`, `+taskColumns+`, u.email
		from tasks t join users u on u.id = t.user_id left join preferences p on p.user_id = t.user_id
		where t.id = $1`, id),
		&t.ID, &t.UserID, &t.Title, &t.Notes, &t.DueDate, &t.Completed, &t.Channels, &t.Version, &t.CreatedAt, &t.UpdatedAt, &to.SignIn)
	if err == nil && !ok {
		p = preferences.Default(to.SignIn != nil)
	}
	to.Preferences = p
	t.DueDate = inUTC(t.DueDate)
	return t, to, err
}

// Notification is a message of the in-app channel.
type Notification struct {
	ID     uuid.UUID
	UserID string
	TaskID uuid.UUID
	Title  string
	Body   string
}

// FireReminder marks a locked reminder fired, which was due then, and stores the
// deliveries that it sets off, with the in-app notification, if there is one, delivered
// at once.
func (tx Tx) FireReminder(ctx context.Context, id uuid.UUID, due time.Time, planned []Delivery, inApp *Notification) error {
	var batch pgx.Batch
	batch.Queue(`update reminders set state = 'fired', fired_at = now() where id = $1`, id)
	for _, d := range planned {
		batch.Queue(`
			insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, last_error, due_at, next_attempt_at, finished_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, nullif($9, ''), $10, case when $8 = 'planned' then now() end, case when $8 <> 'planned' then now() end)`,
			d.ID, d.ReminderID, d.Revision, d.TaskID, d.UserID, d.Channel, d.Target, d.State, d.LastError, due)
	}
	if n := inApp; n != nil {
		// Last, because the user's row is the one that many firings want. Not now(): the
		// transaction may have begun before the reminder was due, and waited for a lock.
		batch.Queue(`
			with next as (update users set last_seq = last_seq + 1 where id = $2 returning last_seq)
			insert into notifications (id, user_id, seq, task_id, title, body, created_at)
			select $1, $2, last_seq, $3, $4, $5, clock_timestamp() from next`,
			n.ID, n.UserID, n.TaskID, n.Title, n.Body)
	}
	return tx.tx.SendBatch(ctx, &batch).Close()
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
