package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
)

// LockedReminder is a reminder that a transaction has locked, and whose it is.
type LockedReminder struct {
	task.Reminder
	TaskID uuid.UUID
	UserID string
}

// Neighbours says which reminders are locked besides those that were asked for: armed
// ones whose instant lies in a span of time and which nobody holds, the earliest first.
type Neighbours struct {
	After, Until time.Time
	Most         int
}

// LockReminders locks reminders and returns them, and then their neighbours. Of ids that
// don't exist there is none. From then on the transaction waits two seconds for any lock,
// and fails then.
func (tx Tx) LockReminders(ctx context.Context, ids []uuid.UUID, besides Neighbours) (locked []LockedReminder, err error) {
	collect := func(rows pgx.Rows) error {
		var r LockedReminder
		_, err := pgx.ForEachRow(rows, append(reminderFields(&r.Reminder), &r.TaskID, &r.UserID), func() error {
			r.FireAt = inUTC(r.FireAt)
			locked = append(locked, r)
			return nil
		})
		return err
	}
	const columns = `select ` + reminderColumns + `, r.task_id, r.user_id from reminders r `
	var batch pgx.Batch
	// Who holds one of many for long is not to hold up the others.
	batch.Queue(`set local lock_timeout = '2s'`)
	batch.Queue(columns+`where r.id = any($1) order by r.id for no key update`, pgUUIDs(ids)).Query(collect)
	if besides.Most > 0 {
		// It waits for nobody, so it need not keep to the order of locks. And it is not
		// sorted by ids: that would read all of thousands that are due at one instant.
		batch.Queue(columns+`
			where r.state = 'armed' and r.fire_at > $1 and r.fire_at <= $2 and r.id <> all ($3)
			order by r.fire_at limit $4 for no key update skip locked`,
			besides.After, besides.Until, pgUUIDs(ids), besides.Most).Query(collect)
	}
	err = tx.tx.SendBatch(ctx, &batch).Close()
	return locked, err
}

// Recipient is whom a reminder is for, as far as firing it needs to know.
type Recipient struct {
	preferences.Preferences
	SignIn *string // the verified address of the sign-in
}

// Told is a task, without its reminders, and whom to tell of it.
type Told struct {
	task.Task
	To Recipient
}

// TasksToFire returns tasks and whom to tell, by the tasks' ids, for firing reminders of
// theirs that the transaction has locked. It reads what is committed now.
func (tx Tx) TasksToFire(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Told, error) {
	rows, _ := tx.tx.Query(ctx, `
		select `+preferencesColumns+`, `+taskColumns+`, u.email
		from tasks t join users u on u.id = t.user_id left join preferences p on p.user_id = t.user_id
		where t.id = any($1)`, pgUUIDs(ids))
	told := make(map[uuid.UUID]Told, len(ids))
	_, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var t Told
		p, ok, err := scanPreferences(row,
			&t.ID, &t.UserID, &t.Title, &t.Notes, &t.DueDate, &t.Completed, &t.Channels, &t.Version, &t.CreatedAt, &t.UpdatedAt, &t.To.SignIn)
		if err == nil && !ok {
			p = preferences.Default(t.To.SignIn != nil)
		}
		t.To.Preferences = p
		t.DueDate = inUTC(t.DueDate)
		told[t.ID] = t
		return struct{}{}, err
	})
	return told, err
}

// Notification is a message of the in-app channel.
type Notification struct {
	ID     uuid.UUID
	UserID string
	TaskID uuid.UUID
	Title  string
	Body   string
}

// Firing is what firing a reminder sets off.
type Firing struct {
	ReminderID uuid.UUID
	Due        time.Time // when it should have been fired
	Deliveries []Delivery
	InApp      *Notification // delivered at once; nil if there is none
}

// FireReminders marks locked reminders fired, and stores their deliveries and in-app
// notifications. A user's are numbered in the order in which they are given.
func (tx Tx) FireReminders(ctx context.Context, all []Firing) error {
	var reminders pgtype.FlatArray[pgtype.UUID]
	var deliveries deliveryRows
	var inApp notificationRows
	for _, f := range all {
		reminders = append(reminders, pgUUID(f.ReminderID))
		for _, d := range f.Deliveries {
			deliveries.add(d, f.Due)
		}
		if f.InApp != nil {
			inApp.add(*f.InApp)
		}
	}
	var batch pgx.Batch
	batch.Queue(`update reminders set state = 'fired', fired_at = now() where id = any($1)`, reminders)
	deliveries.queue(&batch)
	inApp.queue(&batch) // last, because users' rows are those that many firings want
	return tx.tx.SendBatch(ctx, &batch).Close()
}
