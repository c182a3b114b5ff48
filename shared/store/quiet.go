package store

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duebell/duebell/shared/quiet"
)

// Quiet hours are judged where deliveries are leased, but not by the database, whose time zones may be
// of another release than ours:
//
//  1. Lease gives back, with the quiet hours, what these may hold, and does not lease it.
//  2. The caller judges each. What may be sent it leases again, with the version of the preferences
//     that it has judged by; what may not, it holds until they are over. Both do nothing if the
//     preferences have changed meanwhile.
//
// What is held is planned like anything else, for the first instant outside of the quiet hours, and is
// judged again then.

// mayBeHeld says of a reminder r of a task t that quiet hours may hold what it sends: its user has neither
// said that it is urgent, nor chosen its time.
const mayBeHeld = `not t.urgent and r.kind <> 'snooze'`

// isHeld says of a delivery d that quiet hours hold it. The index of these has the same condition.
const isHeld = `d.reason = 'quiet_hours' and ` + isOpen

// judgedOf returns the deliveries that were judged, and by which versions of preferences.
func judgedOf(wanted []Wanted) (ids pgtype.FlatArray[pgtype.UUID], versions pgtype.FlatArray[int64]) {
	for _, w := range wanted {
		if w.Judged != 0 {
			ids, versions = append(ids, pgUUID(w.ID)), append(versions, w.Judged)
		}
	}
	return ids, versions
}

// Holding is what has come of holding a delivery.
type Holding struct {
	// State is the delivery's: Planned if it is held, Cancelled if a newer one was held in its place, and ""
	// if it is not as Lease has seen it any more, or the preferences or its task have changed.
	State DeliveryState
	// Replaced is how many were cancelled for the sake of a newer one, this one among them.
	Replaced int
}

// HoldQuiet holds a delivery, which Lease gave back to be judged, until its HeldUntil. Of those that quiet hours hold
// of one task for one target, only the newest is left, and the others are cancelled.
func (s *Store) HoldQuiet(ctx context.Context, l *Leased) (h Holding, err error) {
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		// Until this is over the task does not become urgent, and the preferences stay: who changes
		// them finds what is held here.
		batch.Queue(`select from tasks where id = $1 for share`, l.TaskID)
		batch.Queue(`select from preferences where user_id = $1 for share`, l.UserID)
		if l.Bundle != nil { // which is no task's, so it replaces nothing
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
		// Who holds another of these at the same time waits, and finds this one.
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

// judgeHeldAgain has those of some deliveries d that quiet hours hold be judged again at once. What somebody has locked is being
// judged, or cancelled.
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

// pgQuietHours are windows as JSON; null if there are none.
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
