package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/config"
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
	// Target is where to: an e-mail address, a number, a webhook's URL, a device as
	// preferences.Device writes it; empty for in-app.
	Target   string
	State    DeliveryState
	Attempts int // sends begun
	// Provider is whom the latest attempt was made with, "" before the first.
	Provider  string
	LastError string
	// NextAttemptAt is when it may be taken next, nil once it is finished.
	NextAttemptAt *time.Time
	CreatedAt     time.Time
	FinishedAt    *time.Time
}

// Open reports whether the delivery still wants something done.
func (d Delivery) Open() bool {
	return d.State == Planned || d.State == Sending || d.State == Unknown
}

const deliveryColumns = `d.id, d.reminder_id, d.revision, d.task_id, d.user_id, d.channel, d.target, d.state, d.attempts, coalesce(d.provider, ''),
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
	// Round counts the attempts, but as one those that went from provider to
	// provider because each before has refused.
	Round int
	// ProviderFixed says that the provider may have taken it in an earlier attempt:
	// no other one may be tried.
	ProviderFixed bool
	Title         string
	Notes         string
	DueDate       *time.Time
	Before        time.Duration
	TimeZone      string // the user's, by its IANA name
	Language      string // the user's
	// Withdrawn says that the target is in its user's preferences no more.
	Withdrawn bool
	Secrets   []config.Secret // a webhook's, the newest first
}

// Lease takes a delivery for sending, for as long as it says, by the database's
// clock, and records who will carry it. It returns nil if there is nothing to take:
// the delivery is finished, is not due yet, or another sender has it.
//
// providers are the names of each channel's, in the order in which they are tried. A
// round begins with the first; each further attempt of the round goes to the one after
// that which has just refused. But once an attempt has ended so that nobody can say
// whether its provider took it, or with its sender's death, the delivery stays with
// that provider, and each attempt is a round.
func (s *Store) Lease(ctx context.Context, id uuid.UUID, lease time.Duration, providers map[task.Channel][]string) (*Leased, error) {
	var l Leased
	var secret, oldSecret *string
	err := s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `
			with free as materialized (
				select id, provider, round_over, provider_fixed or provider is not null and state in ('sending', 'unknown') as fixed,
					array(select p #>> '{}' from jsonb_array_elements($3::jsonb -> channel) p
						-- A device belongs to one provider.
						where channel <> 'push' or p #>> '{}' = split_part(target, ':', 1)) as list
				from deliveries
				where id = $1 and state in ('planned', 'sending', 'unknown') and next_attempt_at <= now()
				for no key update
			), chosen as (
				select id, fixed, goes_on, case when fixed then provider when goes_on then list[i + 1] else list[1] end as provider
				from free, array_position(list, provider) i, coalesce(not fixed and not round_over and i < cardinality(list), false) goes_on
			)
			update deliveries d
			-- Not now(): the statement may have waited for the row's lock.
			set state = 'sending', attempts = d.attempts + 1, next_attempt_at = clock_timestamp() + $2,
				provider = chosen.provider, provider_fixed = chosen.fixed, round = d.round + (not goes_on)::int
			from chosen, reminders r join tasks t on t.id = r.task_id left join preferences p on p.user_id = t.user_id
			where d.id = chosen.id and r.id = d.reminder_id
			returning `+deliveryColumns+`, d.round, d.provider_fixed, t.title, t.notes, t.due_date, r.before,
				coalesce(p.time_zone, 'UTC'), coalesce(p.language, ''),
				coalesce(case d.channel
					-- Without a list it is the address of the sign-in.
					when 'email'   then p.user_id is not null
						and (p.unsubscribed or cardinality(p.emails) > 0 and not d.target = any (p.emails))
					when 'sms'     then not d.target = any (p.phones)
					when 'push'    then not p.devices @> jsonb_build_array(jsonb_build_object(
						'provider', split_part(d.target, ':', 1), 'token', substr(d.target, strpos(d.target, ':') + 1)))
					when 'webhook' then p.webhook_gone or p.webhook_url is distinct from d.target
					else false
				end, true),
				p.webhook_secret, case when p.webhook_old_secret_until > now() then p.webhook_old_secret end`, id, lease, providers).
			Scan(&l.ID, &l.ReminderID, &l.Revision, &l.TaskID, &l.UserID, &l.Channel, &l.Target, &l.State, &l.Attempts, &l.Provider,
				&l.LastError, &l.NextAttemptAt, &l.CreatedAt, &l.FinishedAt, &l.Round, &l.ProviderFixed, &l.Title, &l.Notes, &l.DueDate, &l.Before,
				&l.TimeZone, &l.Language, &l.Withdrawn, &secret, &oldSecret)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.DueDate = inUTC(l.DueDate)
	for _, s := range []*string{secret, oldSecret} {
		if l.Channel == task.Webhook && s != nil {
			l.Secrets = append(l.Secrets, config.Secret(*s))
		}
	}
	return &l, nil
}

// Ending is how the send of a leased delivery ended.
type Ending struct {
	// State is sent, failed, exhausted, or planned or unknown, to be taken again
	// after Wait. Planned without a wait is the next provider's turn.
	State DeliveryState
	Wait  time.Duration
	Error string
	// Gone says that the target is no longer there: it is taken out of its user's
	// preferences.
	Gone bool
}

// Finish records how the send of a leased delivery ended.
//
// That it was sent is recorded whatever has happened since, unless it is
// recorded already: it is the truth, and stops a further try. Anything else
// counts only while the lease is the latest one and the delivery was not
// cancelled. A delivery that failed and is not refused for good has a dead letter
// from then on, which its success resolves.
func (s *Store) Finish(ctx context.Context, l *Leased, e Ending) error {
	if !e.Gone {
		return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error { return finish(ctx, c, l, e) })
	}
	return s.InTx(ctx, func(ctx context.Context, tx Tx) error {
		if err := finish(ctx, tx.tx, l, e); err != nil {
			return err
		}
		p, _, err := tx.LockPreferences(ctx, l.UserID)
		if err != nil || !p.Drop(l.Channel, l.Target) {
			return err
		}
		p.Version++
		return tx.SavePreferences(ctx, l.UserID, p)
	})
}

func finish(ctx context.Context, c interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
}, l *Leased, e Ending,
) error {
	_, err := c.Exec(ctx, `
		with finished as (
			update deliveries set state = $2, last_error = nullif($5, ''),
				provider_fixed  = provider_fixed or $2 = 'unknown' and provider is not null,
				round_over      = $2 <> 'planned' or $4 > interval '0',
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
		l.ID, e.State, l.Attempts, e.Wait, storable(e.Error, 2000), uuid.Must(uuid.NewV7()))
	return err
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
