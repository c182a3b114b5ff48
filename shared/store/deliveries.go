package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
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

// Unsent returns which of the reminders still have something to be sent, of their current
// revision.
func (s *Store) Unsent(ctx context.Context, reminderIDs []uuid.UUID) (unsent map[uuid.UUID]bool, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select r.id from reminders r
			where r.id = any($1) and exists (select from deliveries d where d.reminder_id = r.id and d.revision = r.revision and `+isOpen+`)`,
			pgUUIDs(reminderIDs))
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		unsent = make(map[uuid.UUID]bool, len(ids))
		for _, id := range ids {
			unsent[id] = true
		}
		return err
	})
	return unsent, err
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
	Trace         string // of the firing that has planned it, as trace.Parent has it; may be ""
	Title         string
	Notes         string
	DueDate       *time.Time
	Before        time.Duration
	TimeZone      string // the user's, by its IANA name
	Language      string // the user's
	// Withdrawn says that the target is in its user's preferences no more, nor, where
	// these name no address, that of the user's sign-in.
	Withdrawn bool
	Secrets   []config.Secret // a webhook's, the newest first
}

// Lease takes deliveries for sending, for as long as it says, by the database's
// clock, and records who will carry each. Those of which there is nothing to take are
// left out: they are finished, not due yet, another sender has them, or somebody has locked them.
//
// providers are the names of each channel's, in the order in which they are tried. A
// round begins with the first; each further attempt of the round goes to the one after
// that which has just refused. But once an attempt has ended so that nobody can say
// whether its provider took it, or with its sender's death, the delivery stays with
// that provider, and each attempt is a round.
func (s *Store) Lease(ctx context.Context, lease time.Duration, providers map[task.Channel][]string, ids ...uuid.UUID) (leased []*Leased, err error) {
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		batch.Queue(`
			with wanted as materialized (
				-- By their ids alone: the index of what is due still holds all that was sent since
				-- it was vacuumed, and reads past that each time.
				select * from deliveries where id = any($1) order by id for no key update skip locked
			), free as (
				select id, provider, round_over, provider_fixed or provider is not null and state in ('sending', 'unknown') as fixed,
					array(select p #>> '{}' from jsonb_array_elements($3::jsonb -> channel) p
						-- A device belongs to one provider.
						where channel <> 'push' or p #>> '{}' = split_part(target, ':', 1)) as list
				from wanted
				where state in ('planned', 'sending', 'unknown') and next_attempt_at <= now()
			), chosen as (
				select id, fixed, goes_on, case when fixed then provider when goes_on then list[i + 1] else list[1] end as provider
				from free, array_position(list, provider) i, coalesce(not fixed and not round_over and i < cardinality(list), false) goes_on
			)
			update deliveries d
			set state = 'sending', attempts = d.attempts + 1, next_attempt_at = clock_timestamp() + $2,
				provider = chosen.provider, provider_fixed = chosen.fixed, round = d.round + (not goes_on)::int
			from chosen, reminders r join tasks t on t.id = r.task_id join users u on u.id = t.user_id left join preferences p on p.user_id = u.id
			where d.id = chosen.id and r.id = d.reminder_id
			returning `+deliveryColumns+`, d.round, d.provider_fixed, coalesce(d.traceparent, ''), t.title, t.notes, t.due_date, r.before,
				coalesce(p.time_zone, 'UTC'), coalesce(p.language, ''),
				coalesce(case d.channel
					-- Without a list it is the address of the sign-in, as it is now.
					when 'email'   then coalesce(p.unsubscribed, false)
						or case when cardinality(p.emails) > 0 then not d.target = any (p.emails) else lower(d.target) is distinct from lower(u.email) end
					when 'sms'     then not d.target = any (p.phones)
					when 'push'    then not p.devices @> jsonb_build_array(jsonb_build_object(
						'provider', split_part(d.target, ':', 1), 'token', substr(d.target, strpos(d.target, ':') + 1)))
					when 'webhook' then p.webhook_gone or p.webhook_url is distinct from d.target
					else false
				end, true),
				p.webhook_secret, case when p.webhook_old_secret_until > now() then p.webhook_old_secret end`, pgUUIDs(ids), lease, providers).
			Query(func(rows pgx.Rows) error {
				leased, err = pgx.CollectRows(rows, scanLeased)
				return err
			})
	})
	return leased, err
}

func scanLeased(row pgx.CollectableRow) (*Leased, error) {
	var l Leased
	var secret, oldSecret *string
	err := row.Scan(&l.ID, &l.ReminderID, &l.Revision, &l.TaskID, &l.UserID, &l.Channel, &l.Target, &l.State, &l.Attempts, &l.Provider,
		&l.LastError, &l.NextAttemptAt, &l.CreatedAt, &l.FinishedAt, &l.Round, &l.ProviderFixed, &l.Trace, &l.Title, &l.Notes, &l.DueDate, &l.Before,
		&l.TimeZone, &l.Language, &l.Withdrawn, &secret, &oldSecret)
	for _, s := range []*string{secret, oldSecret} {
		if l.Channel == task.Webhook && s != nil {
			l.Secrets = append(l.Secrets, config.Secret(*s))
		}
	}
	return &l, err
}

// Ending is how the send of a leased delivery ended.
type Ending struct {
	Of *Leased
	// State is sent, failed, exhausted, or planned or unknown, to be taken again
	// after Wait. Planned without a wait is the next provider's turn.
	State DeliveryState
	Wait  time.Duration
	Error string
	// Gone says that the target is no longer there: it is taken out of its user's
	// preferences.
	Gone bool
}

// Finish records how sends of leased deliveries ended, all or none.
//
// That it was sent is recorded whatever has happened since, unless it is
// recorded already: it is the truth, and stops a further try. Anything else
// counts only while the lease is the latest one and the delivery was not
// cancelled. A delivery that failed and is not refused for good has a dead letter
// from then on, which its success resolves.
func (s *Store) Finish(ctx context.Context, sharing Sharing, endings ...Ending) error {
	isGone := func(e Ending) bool { return e.Gone }
	if !slices.ContainsFunc(endings, isGone) {
		return s.exchange(ctx, func(batch *pgx.Batch) {
			sharing.queue(batch)
			queueEndings(batch, endings)
		})
	}
	return s.InTx(ctx, func(ctx context.Context, tx Tx) error {
		var batch pgx.Batch
		sharing.queue(&batch)
		queueEndings(&batch, endings)
		if err := tx.tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		gone := slices.DeleteFunc(slices.Clone(endings), func(e Ending) bool { return !e.Gone })
		slices.SortStableFunc(gone, func(a, b Ending) int { return cmp.Compare(a.Of.UserID, b.Of.UserID) }) // the order of locks
		for _, e := range gone {
			p, _, err := tx.LockPreferences(ctx, e.Of.UserID)
			if err != nil {
				return err
			}
			if !p.Drop(e.Of.Channel, e.Of.Target) {
				continue
			}
			p.Version++
			if err := tx.SavePreferences(ctx, e.Of.UserID, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// queueEndings records endings, those of one delivery one after the other.
func queueEndings(batch *pgx.Batch, endings []Ending) {
	var rows endingRows
	var later []Ending
	for _, e := range endings {
		if slices.Contains([]pgtype.UUID(rows.ids), pgUUID(e.Of.ID)) {
			later = append(later, e)
			continue
		}
		rows.add(e)
	}
	rows.queue(batch)
	if len(later) > 0 {
		queueEndings(batch, later)
	}
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
