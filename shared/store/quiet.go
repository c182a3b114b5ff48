package store

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duebell/duebell/shared/quiet"
)

// Quiet hours are judged when a delivery is leased. The database does not judge them, since its
// time zones may be of another release than ours:
//
//  1. Lease returns a delivery that quiet hours may hold together with these, and does not lease
//     it.
//  2. The caller judges it. If it may be sent, the caller leases it again, with the version of the
//     preferences it has judged by. If not, the caller holds it until the quiet hours are over.
//     Both do nothing if the preferences have changed meanwhile.
//
// A held delivery is planned for the first instant after the quiet hours, and is judged again then.

// mayBeHeld is the condition for a reminder r of a task t that quiet hours may hold: the task is
// not urgent, and the reminder is no snooze, whose time the user has chosen.
const mayBeHeld = `not t.urgent and r.kind <> 'snooze'`

// isHeld is the condition for a delivery d that quiet hours hold. The index of these has the same
// condition.
const isHeld = `d.reason = 'quiet_hours' and ` + isOpen

// judgedOf returns which deliveries were judged, and by which versions of the preferences.
func judgedOf(wanted []Wanted) (ids pgtype.FlatArray[pgtype.UUID], versions pgtype.FlatArray[int64]) {
	for _, w := range wanted {
		if w.Judged != 0 {
			ids, versions = append(ids, pgUUID(w.ID)), append(versions, w.Judged)
		}
	}
	return ids, versions
}

// Holding is the result of HoldQuiet.
type Holding struct {
	// State is Planned if the delivery is held, and Cancelled if a newer one replaced it. It is ""
	// if nothing was done, because the delivery, the preferences or the task have changed since
	// Lease.
	State DeliveryState
	// Replaced counts the deliveries that were cancelled because a newer one is held, this one
	// included.
	Replaced int
}

// HoldQuiet holds a delivery that Lease returned with Quiet until its HeldUntil. Of the deliveries
// of one task to one target that quiet hours hold, it keeps the newest and cancels the others.
func (s *Store) HoldQuiet(ctx context.Context, l *Leased) (h Holding, err error) {
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		// Until the transaction ends the task does not become urgent, and the preferences do not
		// change. Whoever changes them afterwards finds the held delivery.
		batch.Queue(`select from tasks where id = $1 for share`, l.TaskID)
		batch.Queue(`select from preferences where user_id = $1 for share`, l.UserID)
		if l.Bundle != nil { // a bundle belongs to no task, so it replaces nothing
			batch.Queue(`
				update deliveries d set reason = $4, next_attempt_at = $3 from preferences p
				where d.id = $1 and `+isOpen+` and d.next_attempt_at <= now() and p.user_id = d.user_id and p.version = $2
				returning d.state`, l.ID, l.Quiet.Version, l.HeldUntil, ReasonQuietHours).
				Query(func(rows pgx.Rows) error {
					_, err := pgx.ForEachRow(rows, []any{&h.State}, func() error { return nil })
					return err
				})
			return
		}
		// A transaction that holds another of these at the same time waits here, and then finds
		// this one.
		batch.Queue(`
			select from deliveries d where d.task_id = $1 and d.channel = $2 and d.target = $3 and (`+isHeld+` or `+isOpen+` and d.next_attempt_at <= now())
			order by d.id for no key update`, l.TaskID, l.Channel, l.Target)
		batch.Queue(`
			with it as (
				select d.id, d.task_id, d.channel, d.target
				from deliveries d join reminders r on r.id = d.reminder_id join tasks t on t.id = r.task_id join preferences p on p.user_id = d.user_id
				where d.id = $1 and `+isOpen+` and d.next_attempt_at <= now() and p.version = $2 and `+mayBeHeld+`
			), held as (
				select d.id, row_number() over (order by coalesce(d.due_at, d.created_at) desc, d.id desc) = 1 as newest
				from deliveries d join it on it.task_id = d.task_id and it.channel = d.channel and it.target = d.target
				where d.id = it.id or `+isHeld+`
			), kept as (
				update deliveries d set reason = $4, next_attempt_at = $3, tries = `+triedAs(`'held'`, `'`+byQuietHours+`'`, `$3::timestamptz`)+` from held where d.id = held.id and newest
			), replaced as (
				update deliveries d set state = 'cancelled', reason = $5, next_attempt_at = null, finished_at = now()
				from held where d.id = held.id and not newest
				returning d.id
			), settled as (
				update dead_letters l set state = 'resolved', updated_at = now()
				from replaced where l.delivery_id = replaced.id and l.state in ('retrying', 'dead')
			)
			select coalesce((select case when newest then 'planned' else 'cancelled' end from held where id = $1), ''), (select count(*) from replaced)`,
			l.ID, l.Quiet.Version, l.HeldUntil, ReasonQuietHours, ReasonReplaced).
			QueryRow(func(row pgx.Row) error { return row.Scan(&h.State, &h.Replaced) })
	})
	return h, err
}

// judgeHeldAgain makes deliveries d due that quiet hours hold, so that they are judged again. It
// skips locked rows: another transaction is judging or cancelling these.
func (tx Tx) judgeHeldAgain(ctx context.Context, which string, arg any) error {
	_, err := tx.tx.Exec(ctx, `
		update deliveries set next_attempt_at = now() where id in (
			select d.id from deliveries d where `+which+` and `+isHeld+` and d.next_attempt_at > now() for no key update skip locked)`, arg)
	return err
}

// HeldByQuietHours counts the deliveries that quiet hours hold.
func (s *Store) HeldByQuietHours(ctx context.Context) (n int, err error) {
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		batch.Queue(`select count(*) from deliveries d where ` + isHeld).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	})
	return n, err
}

// pgQuietHours returns windows as JSON; null if there are none.
func pgQuietHours(h quiet.Hours) pgtype.Text {
	windows := h.Windows()
	if len(windows) == 0 {
		return pgtype.Text{}
	}
	text, err := json.Marshal(windows)
	if err != nil {
		panic(err) // no value of the type fails
	}
	return pgtype.Text{String: string(text), Valid: true}
}

func parseQuietHours(text []byte) (quiet.Hours, error) {
	var windows []quiet.Window
	if text != nil {
		if err := json.Unmarshal(text, &windows); err != nil {
			return quiet.Hours{}, err
		}
	}
	return quiet.Parse(windows)
}
