package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// DeliveryState is what has become of a delivery.
type DeliveryState string

// The states. Planned, sending and unknown still want something done.
const (
	Planned   DeliveryState = "planned"
	Sending   DeliveryState = "sending" // leased by a sender
	Sent      DeliveryState = "sent"
	Failed    DeliveryState = "failed"    // refused for good
	Exhausted DeliveryState = "exhausted" // tried as often as is allowed
	Cancelled DeliveryState = "cancelled"
	Unknown   DeliveryState = "unknown" // the provider may have taken it
)

// Delivery is one output of one fired reminder.
type Delivery struct {
	ID         uuid.UUID
	ReminderID uuid.UUID
	Revision   int64
	TaskID     uuid.UUID
	UserID     string
	Channel    task.Channel
	Target     string // where to: an e-mail address; empty for in-app
	State      DeliveryState
	Attempts   int
	LastError  string
	// NextAttemptAt is when it may be taken next, nil once it is finished.
	NextAttemptAt *time.Time
	CreatedAt     time.Time
	FinishedAt    *time.Time
}

// Open reports whether the delivery still wants something done.
func (d Delivery) Open() bool {
	return d.State == Planned || d.State == Sending || d.State == Unknown
}

const deliveryColumns = `d.id, d.reminder_id, d.revision, d.task_id, d.user_id, d.channel, d.target, d.state, d.attempts,
	coalesce(d.last_error, ''), d.next_attempt_at, d.created_at, d.finished_at`

// OpenDelivery is a delivery that still wants something done, and how long until
// it may be taken, by the database's clock; zero or less means now.
type OpenDelivery struct {
	ID      uuid.UUID
	Wait    time.Duration
	Sending bool // another sender holds its lease
}

// OpenDeliveries returns what is still to be sent for a reminder's revision.
func (s *Store) OpenDeliveries(ctx context.Context, reminderID uuid.UUID, revision int64) (open []OpenDelivery, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select d.id, d.next_attempt_at - now(), d.state = 'sending' from deliveries d
			where d.reminder_id = $1 and d.revision = $2 and d.state in ('planned', 'sending', 'unknown')
			order by d.id`, reminderID, revision)
		open, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OpenDelivery])
		return err
	})
	return open, err
}

// Leased is a delivery that its holder alone may send, until the lease runs out,
// with what to say.
type Leased struct {
	Delivery
	Title    string
	Notes    string
	DueDate  *time.Time
	Before   time.Duration
	TimeZone string // the user's, by its IANA name
}

// Lease takes a delivery for sending, for as long as it says, by the database's
// clock. It returns nil if there is nothing to take: the delivery is finished, is
// not due yet, or another sender has it.
func (s *Store) Lease(ctx context.Context, id uuid.UUID, lease time.Duration) (*Leased, error) {
	var l Leased
	err := s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `
			with free as materialized (
				select id from deliveries
				where id = $1 and state in ('planned', 'sending', 'unknown') and next_attempt_at <= now()
				for no key update
			)
			update deliveries d
			-- Not now(): the statement may have waited for the row's lock.
			set state = 'sending', attempts = d.attempts + 1, next_attempt_at = clock_timestamp() + $2
			from free, reminders r join tasks t on t.id = r.task_id left join preferences p on p.user_id = t.user_id
			where d.id = free.id and r.id = d.reminder_id
			returning `+deliveryColumns+`, t.title, t.notes, t.due_date, r.before, coalesce(p.time_zone, 'UTC')`, id, lease).
			Scan(&l.ID, &l.ReminderID, &l.Revision, &l.TaskID, &l.UserID, &l.Channel, &l.Target, &l.State, &l.Attempts,
				&l.LastError, &l.NextAttemptAt, &l.CreatedAt, &l.FinishedAt, &l.Title, &l.Notes, &l.DueDate, &l.Before, &l.TimeZone)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.DueDate = inUTC(l.DueDate)
	return &l, nil
}

// Finish records how the send of a leased delivery ended: sent, failed,
// exhausted, or planned or unknown, to be taken again after a wait.
//
// That it was sent is recorded whatever has happened since, unless it is
// recorded already: it is the truth, and stops a further try. Anything else
// counts only while the lease is the latest one and the delivery was not
// cancelled. A delivery that failed and is not refused for good has a dead letter
// from then on, which its success resolves.
func (s *Store) Finish(ctx context.Context, l *Leased, state DeliveryState, wait time.Duration, lastError string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			with finished as (
				update deliveries set state = $2, last_error = nullif($5, ''),
					next_attempt_at = case when $2 in ('planned', 'unknown') then now() + $4 end,
					finished_at     = case when $2 in ('planned', 'unknown') then null else now() end
				where id = $1 and case when $2 = 'sent' then state <> 'sent' else state = 'sending' and attempts = $3 end
				returning *
			), settled as (
				update dead_letters l set state = 'resolved', updated_at = now()
				from finished f where l.delivery_id = f.id and f.state in ('sent', 'failed') and l.state in ('retrying', 'dead')
			)
			insert into dead_letters as l (id, state, job_name, data, error, attempts, delivery_id)
			select $6, case f.state when 'exhausted' then 'dead' else 'retrying' end,
				format('reminder-%s-%s', f.reminder_id, f.revision),
				json_build_object('task_id', f.task_id, 'user_id', f.user_id, 'reminder_id', f.reminder_id, 'revision', f.revision, 'channel', f.channel),
				coalesce(f.last_error, ''), f.attempts, f.id
			from finished f where f.state in ('planned', 'unknown', 'exhausted')
			on conflict (delivery_id) do update
			set state = excluded.state, error = excluded.error, attempts = excluded.attempts, updated_at = now()`,
			l.ID, state, l.Attempts, wait, storable(lastError, 2000), uuid.Must(uuid.NewV7()))
		return err
	})
}

// ListDeliveries returns the delivery log of a user's task, the oldest first.
func (s *Store) ListDeliveries(ctx context.Context, userID string, taskID uuid.UUID) (log []Delivery, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var exists bool
		if err := tx.QueryRow(ctx, `select exists (select from tasks where id = $1 and user_id = $2 and deleted_at is null)`, taskID, userID).Scan(&exists); err != nil {
			return err
		}
		if !exists {
			return errNoTask
		}
		rows, _ := tx.Query(ctx, `select `+deliveryColumns+` from deliveries d where d.task_id = $1 order by d.id`, taskID)
		log, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Delivery])
		return err
	})
	return log, err
}
