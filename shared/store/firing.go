package store

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// Recipient is a reminder's user, with what firing needs to know of them.
type Recipient struct {
	preferences.Preferences
	SignIn *string // the verified address of the sign-in
}

// Told is a task without its reminders, and its user.
type Told struct {
	task.Task
	To Recipient
}

// LockedReminder is a reminder that the transaction has locked. Its task is read only if it is
// armed: no other reminder is fired.
type LockedReminder struct {
	task.Reminder
	TaskID uuid.UUID
	UserID string
	Of     *Told
}

// Neighbours says which reminders are locked beside those that are asked for: armed ones whose
// instant lies between two times and that no other transaction holds, the earliest first.
type Neighbours struct {
	After, Until time.Time
	Most         int
	Except       string // this user's reminders are left out; "": nobody's
}

// Notification is a message of the in-app channel.
type Notification struct {
	ID     uuid.UUID
	UserID string
	TaskID uuid.UUID // uuid.Nil: it is about no task
	Title  string
	Body   string
	// Occurrence is the occurrence of a recurring task, as people read it; "" for other tasks.
	Occurrence string
	// DueDate is the task's, or the occurrence's, when the reminder fired; nil if it is about no task,
	// or was stored before there was this field.
	DueDate *time.Time
	// ReminderID and Kind are the reminder's; uuid.Nil and "" if it is about no task.
	ReminderID uuid.UUID
	Kind       task.Kind
}

// Firing is what is stored when a reminder fires.
type Firing struct {
	ReminderID uuid.UUID
	Due        time.Time // when it should have been fired
	Trace      string    // of the request or callback that fired it, as trace.Parent has it; may be ""
	Deliveries []Delivery
	InApp      *Notification // told at once; nil: nothing is told in-app
	// Bundle says for which channels deliveries are bundled, and how long a bundle gathers.
	Bundle preferences.Bundle
	// Next is the reminder, armed for its next occurrence or repetition; nil: it has fired for
	// good.
	Next *task.Reminder
	// Repeat is a new repetition of this reminder; nil: there is none. It replaces an earlier
	// repetition of it, and then gets its ID and a new revision.
	Repeat *task.Reminder
	// Schedules says that the Firer schedules Next and Repeat itself, after the commit.
	Schedules bool
	// Of is the occurrence that the user is told of; nil if the task does not recur.
	Of *Occurrence
	// Occurrences are those whose history changes by this firing.
	Occurrences []Occurrence
}

// Look reports which addresses are suppressed.
type Look func([]suppress.Address) (Suppressed, error)

// Fire locks reminders and then their neighbours, asks decide which of them fire, and stores the
// firings: it marks the reminders, and inserts deliveries and in-app notifications. A user's
// notifications are numbered in the order of the firings. Unknown ids are skipped. decide may look
// up which addresses are suppressed.
//
// Fire is one transaction, all or nothing. It is [Shared] if there may be neighbours. It runs again
// if the server chose it as a deadlock's victim, so decide must have no effect outside of it before
// Fire returns.
//
// Fire takes three exchanges with the server, and a fourth if decide looks up addresses. With many
// processes on few cores, an exchange takes about as long as the statements in it.
func (s *Store) Fire(ctx context.Context, ids []uuid.UUID, besides Neighbours, decide func([]LockedReminder, Look) ([]Firing, error)) error {
	return again(func() error {
		return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
			defer func() {
				if c.Conn().PgConn().TxStatus() != 'I' { // it was not committed
					_, _ = c.Exec(ctx, `rollback`) // or else the pool closes the connection
				}
			}()
			locked, err := lockReminders(ctx, c, ids, besides)
			if err != nil {
				return err
			}
			if err := readTasks(ctx, c, locked); err != nil {
				return err
			}
			firings, err := decide(locked, func(addresses []suppress.Address) (Suppressed, error) { return findSuppressed(ctx, c, addresses) })
			if err != nil || len(firings) == 0 {
				return err
			}
			if err := fireReminders(ctx, c, firings); err != nil {
				// pgx may call a commit that was sent and not answered safe to retry.
				return backoff.Permanent(err)
			}
			return nil
		})
	})
}

// NewestDue returns the user whose armed reminder between two times is due last; "" if there is
// none.
func (s *Store) NewestDue(ctx context.Context, after, until time.Time) (user string, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(ctx, `
			select user_id from reminders where state = 'armed' and fire_at > $1 and fire_at <= $2
			order by fire_at desc limit 1`, after, until).Scan(&user)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return user, err
}

// lockReminders begins the transaction, and locks the reminders.
func lockReminders(ctx context.Context, c *pgxpool.Conn, ids []uuid.UUID, besides Neighbours) (locked []LockedReminder, err error) {
	collect := func(rows pgx.Rows) error {
		var r LockedReminder
		_, err := pgx.ForEachRow(rows, append(reminderFields(&r.Reminder), &r.TaskID, &r.UserID), func() error {
			locked = append(locked, r)
			return nil
		})
		return err
	}
	const columns = `select ` + reminderColumns + `, r.task_id, r.user_id from reminders r `
	var batch pgx.Batch
	batch.Queue(`begin`)
	Sharing(besides.Most > 0).queue(&batch)
	batch.Queue(columns+`where r.id = any($1) order by r.id for no key update`, pgUUIDs(ids)).Query(collect)
	if besides.Most > 0 {
		// Locks are skipped and not waited for, so their order does not matter. Sorting by id would
		// read all of thousands that are due at one instant.
		batch.Queue(columns+`
			where r.state = 'armed' and r.fire_at > $1 and r.fire_at <= $2 and r.id <> all ($3) and r.user_id <> $5
			order by r.fire_at limit $4 for no key update skip locked`,
			besides.After, besides.Until, pgUUIDs(ids), besides.Most, besides.Except).Query(collect)
	}
	results := c.SendBatch(ctx, &batch)
	if _, err := results.Exec(); err != nil {
		_ = results.Close()
		return nil, notBegun{err}
	}
	err = results.Close()
	return locked, err
}

// readTasks reads the tasks of locked reminders and their users, as they are committed now.
func readTasks(ctx context.Context, c *pgxpool.Conn, locked []LockedReminder) error {
	var ids pgtype.FlatArray[pgtype.UUID]
	for _, r := range locked {
		if r.State == task.Armed {
			ids = append(ids, pgUUID(r.TaskID))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, _ := c.Query(ctx, `
		select `+preferencesColumns+`, `+taskColumns+`, u.email
		from tasks t join users u on u.id = t.user_id left join preferences p on p.user_id = t.user_id
		where t.id = any($1)`, ids)
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Told, error) {
		var t Told
		var of taskRow
		p, ok, err := scanPreferences(row, append(of.fields(), &t.To.SignIn)...)
		if err == nil {
			t.Task, err = of.task()
		}
		if err == nil && !ok {
			p = preferences.Default(t.To.SignIn != nil)
		}
		t.To.Preferences = p
		return &t, err
	})
	if err != nil {
		return err
	}
	told := make(map[uuid.UUID]*Told, len(all))
	for _, t := range all {
		told[t.ID] = t
	}
	for i := range locked {
		locked[i].Of = told[locked[i].TaskID] // the reminder's lock keeps the task from being deleted
	}
	return nil
}

// fireReminders stores the firings and ends the transaction.
func fireReminders(ctx context.Context, c *pgxpool.Conn, all []Firing) error {
	var reminders pgtype.FlatArray[pgtype.UUID]
	var deliveries deliveryRows
	var bundles bundleRows
	var inApp notificationRows
	var again rearmed
	var history occurrenceRows
	var repeats repeatRows
	for _, f := range all {
		if f.Next != nil {
			again.add(*f.Next)
		} else {
			reminders = append(reminders, pgUUID(f.ReminderID))
		}
		if f.Repeat != nil {
			repeats.add(f.Repeat)
		}
		for _, d := range f.Deliveries {
			deliveries.add(d, f.Of, f.Due, f.Trace)
			if d.State == Bundled {
				bundles.add(d, f.Bundle[d.Channel], f.Trace)
			}
		}
		for _, o := range f.Occurrences {
			history.add(o)
		}
		if f.InApp != nil {
			inApp.add(*f.InApp)
		}
	}
	var batch pgx.Batch
	batch.Queue(`update reminders set state = 'fired', fired_at = now() where id = any($1)`, reminders)
	wait := armedFor(all)
	again.queue(&batch, wait)
	repeats.queue(&batch, wait)
	bundles.queue(&batch)
	deliveries.queue(&batch)
	history.queue(&batch)
	inApp.queue(&batch) // last, because many firings want the rows of users
	batch.Queue(`commit`)
	return c.SendBatch(ctx, &batch).Close()
}
