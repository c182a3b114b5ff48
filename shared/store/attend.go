package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// This file stores that users acknowledge or snooze what a reminder told them. It also stores
// repetitions, which come until they do.

// Attention is an acknowledgement or a snooze of one occurrence of a task.
type Attention struct {
	Occurrence   *wallclock.Time // nil: the task does not recur
	Notification uuid.UUID       // the notification that the user clicked; uuid.Nil: none
	// Snoozed says that the occurrence is snoozed. That acknowledges it, too.
	Snoozed bool
}

func (a Attention) reason() Reason {
	if a.Snoozed {
		return ReasonSnoozed
	}
	return ReasonAcknowledged
}

// change returns the change that acknowledges notifications. A snooze also changes those that are
// acknowledged already, so that readers are told of the new instant.
func (a Attention) change() InboxChange {
	c := InboxChange{set: `acknowledged_at = coalesce(n.acknowledged_at, now())`, unless: `n.acknowledged_at is not null`}
	if a.Snoozed {
		c.unless = `false`
	}
	return c
}

// Attend stores that the user of a task has acknowledged or snoozed one of its occurrences. before
// is the task that LockTask returned; t is the task afterwards.
//
// It cancels the unsent deliveries of that occurrence alone, and marks its notifications as
// acknowledged. changed reports whether any notification changed; if so, call Hint after the
// commit. Attend records the jobs that became leftovers, and returns them. The caller schedules the
// reminders that are pending and due up to until.
func (tx Tx) Attend(ctx context.Context, before, t task.Task, a Attention, until time.Time) (left Leftovers, changed bool, err error) {
	if ids := outOfForce(before.Reminders, t.Reminders); len(ids) > 0 {
		if left, err = tx.recordLeftovers(ctx, `id = any($1)`, ids); err != nil {
			return left, false, err
		}
	}
	if err := tx.saveReminders(ctx, before.Reminders, t, until); err != nil {
		return left, false, err
	}
	const ofOccurrence = `d.task_id = $1 and d.occurrence is not distinct from $2 and (d.occurrence is null or d.series = $3)`
	local := pgOccurrence(a.Occurrence)
	if err := tx.cancel(ctx, `
		select d.id, $4::text as reason from deliveries d where `+ofOccurrence+` and d.channel <> 'event' and `+isOpenOrGivenUp,
		t.ID, local, t.Progress.Series, a.reason()); err != nil {
		return left, false, err
	}
	// A notification has the id of its delivery.
	told, err := collectIDs(tx.tx.Query(ctx, `select d.id from deliveries d where `+ofOccurrence+` and d.channel = 'in_app'`, t.ID, local, t.Progress.Series))
	if err != nil {
		return left, false, err
	}
	changed, err = tx.change(ctx, t.UserID, a, append(told, a.Notification))
	return left, changed, err
}

// AttendAlone marks a user's notification as acknowledged if its task is gone, or it never had one.
// changed is as in Attend.
func (tx Tx) AttendAlone(ctx context.Context, userID string, id uuid.UUID) (changed bool, err error) {
	return tx.change(ctx, userID, Attention{}, []uuid.UUID{id})
}

func (tx Tx) change(ctx context.Context, userID string, a Attention, ids []uuid.UUID) (changed bool, err error) {
	tag, err := tx.tx.Exec(ctx, a.change().statement(`n.id = any($2) order by n.seq`), userID, pgUUIDs(ids))
	return tag.RowsAffected() > 0, err
}

// GetNotification returns one of a user's notifications.
func (tx Tx) GetNotification(ctx context.Context, userID string, id uuid.UUID) (n Received, err error) {
	rows, _ := tx.tx.Query(ctx, `select `+receivedColumns+` from notifications n where n.user_id = $1 and n.id = $2`, userID, id)
	n, err = pgx.CollectExactlyOneRow(rows, scanReceived)
	if errors.Is(err, pgx.ErrNoRows) {
		return n, errNoNotification
	}
	return n, err
}

// repeatRows are new repetitions, column by column.
type repeatRows struct {
	all        map[uuid.UUID]*task.Reminder // by the reminder that is repeated
	ids, these pgtype.FlatArray[pgtype.UUID]
	fireAt     pgtype.FlatArray[pgtype.Timestamptz]
	locals     pgtype.FlatArray[pgtype.Timestamp]
}

func (c *repeatRows) add(r *task.Reminder) {
	if c.all == nil {
		c.all = map[uuid.UUID]*task.Reminder{}
	}
	c.all[r.Repeats] = r
	c.ids, c.these = append(c.ids, pgUUID(r.ID)), append(c.these, pgUUID(r.Repeats))
	c.fireAt, c.locals = append(c.fireAt, pgInstant(r.FireAt)), append(c.locals, pgOccurrence(r.Occurrence))
}

// queue stores the repetitions. A repetition replaces an earlier one of the same reminder, whose
// job is recorded as a leftover. The sweep does not schedule the new ones before wait is over.
func (c *repeatRows) queue(batch *pgx.Batch, wait time.Duration) {
	if len(c.ids) == 0 {
		return
	}
	batch.Queue(`
		with superseded as materialized (
			select id, revision, last_scheduling_at from reminders
			where kind = 'repeat' and repeats = any($1) and state = 'armed' order by id for no key update
		)
		insert into leftover_jobs as l (reminder_id, revision, settled_at)
		select id, revision, last_scheduling_at + $2::interval from superseded where last_scheduling_at > '-infinity' order by id
		on conflict (reminder_id, revision) do update set settled_at = greatest(l.settled_at, excluded.settled_at)`, c.these, settling)
	batch.Queue(`
		insert into reminders as r (id, task_id, user_id, before, fire_at, state, revision, last_scheduling_at, next_schedule_at, occurrence, kind, repeats, repetition)
		select n.id, of.task_id, of.user_id, '0', n.fire_at, 'armed', 1, now(), case when n.fire_at > now() + $5::interval then now() + $6::interval end,
			n.occurrence, 'repeat', n.repeats, 1
		from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamp[]) as n (id, repeats, fire_at, occurrence) join reminders of on of.id = n.repeats
		order by n.repeats
		on conflict (repeats) where kind = 'repeat' do update
		set fire_at = excluded.fire_at, state = 'armed', revision = r.revision + 1, occurrence = excluded.occurrence, repetition = 1,
			fired_at = null, removed_at = null, schedule_attempts = 0, next_schedule_at = excluded.next_schedule_at, last_scheduling_at = now()
		returning repeats, id, revision`, c.ids, c.these, c.fireAt, c.locals, ArmedAhead, wait).Query(func(rows pgx.Rows) error {
		var of, id uuid.UUID
		var revision int64
		_, err := pgx.ForEachRow(rows, []any{&of, &id, &revision}, func() error {
			c.all[of].ID, c.all[of].Revision = id, revision
			return nil
		})
		return err
	})
}
