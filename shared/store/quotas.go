package store

import (
	"context"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// Limits are counted when deliveries are leased, in the same exchange and the same transaction:
//
//  1. The rows of table quotas that are needed are locked, in a fixed order.
//  2. The deliveries are judged by these rows. A delivery that is within all limits is leased and
//     counted. The others are not leased. They are returned to the caller, which holds or refuses
//     them. If the caller dies first, a later Lease returns them again.
//
// A row belongs to one user or one recipient, so senders seldom wait for each other. The
// installation's costs are spread over costParts rows, of which a sender locks one. It may read a
// slightly old sum of the others. That does no harm far below the ceiling. From nearCeiling on, a
// sender locks all of the rows, and the sum is exact.

const (
	// costParts is the number of rows that what is spent is spread over.
	costParts = 8
	// nearCeiling is the part of the ceiling from which on all rows are locked. Below it, what
	// senders lease at the same moment should cost less than the rest of the ceiling. If it costs
	// more, the ceiling is exceeded by the difference.
	nearCeiling = 0.8
)

// QuotasKept is how long counts are kept. It is longer than the day they are for.
const QuotasKept = 48 * time.Hour

// Limit names a limit that stopped a delivery.
type Limit string

// The limits. A delivery over OverHour is held, and over any other it is refused.
const (
	OverHour      Limit = "hour"      // of its user in this hour
	OverDay       Limit = "day"       // of its user on this day
	OverRecipient Limit = "recipient" // of its recipient on this day
	OverCost      Limit = "cost"      // what the installation may spend on this day
)

// Wanted is a delivery to lease, and how it is counted.
type Wanted struct {
	ID      uuid.UUID
	UserID  string
	Channel task.Channel
	Bundle  bool // it carries a bundle
	// Address has the hashes of the target that suppressions are looked up by.
	Address suppress.Address
	// Recipient is a hash of the recipient; nil: there is no limit for it.
	Recipient []byte
	Cost      quota.Money
	// Judged is the version of the preferences by whose quiet hours it may be sent now; 0: it was
	// not judged.
	Judged int64
}

// metered are the deliveries that limits count, column by column, with the limits of their
// channels.
type metered struct {
	ids        pgtype.FlatArray[pgtype.UUID]
	recipients pgtype.FlatArray[string]
	costs      pgtype.FlatArray[int64]

	channels                       pgtype.FlatArray[string]
	perHour, perDay, perRecipient  pgtype.FlatArray[int64]
	ceiling                        int64
	part                           string // the row that this exchange's costs are added to
	kinds, channelsOfKeys, keysWho pgtype.FlatArray[string]
	spends                         bool
}

func newMetered(r LeaseRules, wanted []Wanted) (m metered) {
	orNone := func(limit int64) int64 {
		if limit == 0 {
			return math.MaxInt64 / 2
		}
		return limit
	}
	limits := r.Limits
	for _, c := range quota.Metered {
		m.channels = append(m.channels, string(c))
		m.perHour = append(m.perHour, orNone(int64(limits.PerHour[c])))
		m.perDay = append(m.perDay, orNone(int64(limits.PerDay[c])))
		m.perRecipient = append(m.perRecipient, orNone(int64(limits.PerRecipient[c])))
	}
	m.ceiling = orNone(int64(r.Ceiling.Daily))
	m.part = strconv.Itoa(rand.N(costParts))
	for _, w := range wanted {
		if !slices.Contains(quota.Metered, w.Channel) {
			continue
		}
		recipient := ""
		if w.Recipient != nil && limits.PerRecipient[w.Channel] > 0 {
			recipient = hex.EncodeToString(w.Recipient)
			m.addKey("recipient", w.Channel, recipient)
		}
		if limits.PerHour[w.Channel] > 0 || limits.PerDay[w.Channel] > 0 {
			m.addKey("user", w.Channel, w.UserID)
		}
		if w.Cost > 0 && !m.spends {
			m.spends = true
			m.addKey("cost", task.SMS, m.part)
		}
		m.ids = append(m.ids, pgUUID(w.ID))
		m.recipients = append(m.recipients, recipient)
		m.costs = append(m.costs, int64(w.Cost))
	}
	return m
}

func (m *metered) addKey(kind string, channel task.Channel, who string) {
	m.kinds = append(m.kinds, kind)
	m.channelsOfKeys = append(m.channelsOfKeys, string(channel))
	m.keysWho = append(m.keysWho, who)
}

// today is the current day in UTC, by the database's clock.
const today = `(now() at time zone 'UTC')::date`

// queueLocks locks the rows that count these deliveries.
func (m *metered) queueLocks(batch *pgx.Batch) {
	if len(m.kinds) == 0 {
		return
	}
	batch.Queue(`
		insert into quotas (day, kind, channel, who)
		select distinct `+today+`, k.kind, k.channel, k.who from unnest($1::text[], $2::text[], $3::text[]) k (kind, channel, who) order by 2, 3, 4
		on conflict do nothing`, m.kinds, m.channelsOfKeys, m.keysWho)
	if m.spends {
		batch.Queue(`
			select from quotas where day = `+today+` and kind = 'cost'
				and (select sum(used) >= $1 from quotas where day = `+today+` and kind = 'cost')
			order by channel, who for no key update`, int64(float64(m.ceiling)*nearCeiling))
	}
	batch.Queue(`
		select from quotas q join (select distinct * from unnest($1::text[], $2::text[], $3::text[])) k (kind, channel, who)
			on q.day = `+today+` and q.kind = k.kind and q.channel = k.channel and q.who = k.who
		order by q.kind, q.channel, q.who for no key update of q`, m.kinds, m.channelsOfKeys, m.keysWho)
}

// judged are parts of Lease's statement. They find the limit that each chosen delivery is over, if
// any, and count those that are over none. A verification has limits of its own; of these here,
// only the installation's cost holds for it.
const judged = `metered as (
		select c.id, c.user_id, c.channel, c.counted, c.reminder_id is null and c.bundle_id is null and c.agenda_id is null and not c.test as exempt, m.recipient, m.cost, l.per_hour, l.per_day, l.per_recipient
		from chosen c join unnest($5::uuid[], $6::text[], $7::bigint[]) m (id, recipient, cost) on m.id = c.id
			join unnest($8::text[], $9::bigint[], $10::bigint[], $11::bigint[]) l (channel, per_hour, per_day, per_recipient) on l.channel = c.channel
		where c.counted < 2 and c.state = 'planned' and not c.to_judge
	), of_day as (
		select m.*, m.exempt or m.counted = 1
				or coalesce(q.used, 0) + row_number() over (partition by m.user_id, m.channel, m.counted, m.exempt order by m.id) <= m.per_day as has_day,
			case when q.hour >= date_trunc('hour', now(), 'UTC') then q.hour_used else 0 end as hour_used
		from metered m left join quotas q on q.day = ` + today + ` and q.kind = 'user' and q.channel = m.channel and q.who = m.user_id
	), of_hour as (
		-- Deliveries that have waited since an earlier hour come first.
		select d.*, d.has_day and (d.exempt
				or d.hour_used + row_number() over (partition by d.user_id, d.channel, d.exempt, d.has_day order by d.counted desc, d.id) <= d.per_hour) as has_hour
		from of_day d
	), of_recipient as (
		select h.*, h.has_hour and (h.exempt or h.recipient = ''
				or coalesce(q.used, 0) + row_number() over (partition by h.channel, h.recipient, h.exempt, h.has_hour order by h.id) <= h.per_recipient) as has_recipient
		from of_hour h left join quotas q on q.day = ` + today + ` and q.kind = 'recipient' and q.channel = h.channel and q.who = h.recipient
	), judged as (
		select r.*, case
			when not r.has_day then 'day'
			when not r.has_hour then 'hour'
			when not r.has_recipient then 'recipient'
			when r.cost > 0 and s.spent + sum(r.cost) over (partition by r.has_recipient order by r.id) > $12 then 'cost'
		end as over
		from of_recipient r, (select coalesce(sum(used), 0) as spent from quotas where day = ` + today + ` and kind = 'cost') s
	), tallied as (
		update quotas q set used = q.used + t.used,
			hour_used = case when q.hour >= t.hour then q.hour_used else 0 end + t.in_hour,
			hour      = greatest(q.hour, t.hour)
		from (
			select 'user' as kind, channel, user_id as who, count(*) filter (where counted = 0) as used, count(*) filter (where over is null) as in_hour, date_trunc('hour', now(), 'UTC') as hour
			from judged where (over is null or over = 'hour') and not exempt group by channel, user_id
			union all
			select 'recipient', channel, recipient, count(*), 0, '-infinity' from judged where over is null and not exempt group by channel, recipient
			union all
			select 'cost', 'sms', $13, sum(cost), 0, '-infinity' from judged where over is null having sum(cost) > 0
		) t where q.day = ` + today + ` and q.kind = t.kind and q.channel = t.channel and q.who = t.who
	)`

// Held reports whether a delivery that is over a limit is held until the next hour. If not, it is
// refused.
func (l *Leased) Held() bool { return l.Over == OverHour && !l.Test }

// HoldBack records that a delivery that Lease returned as over a limit is held until the next hour,
// or refused. problem is the text for the delivery log. The reminder is told in-app instead, unless
// it was told there already. HoldBack does nothing if the delivery has changed since Lease.
func (s *Store) HoldBack(ctx context.Context, l *Leased, problem string, instead []Instead) error {
	return s.InTx(ctx, func(ctx context.Context, tx Tx) error {
		if l.Bundle != nil {
			if _, err := tx.tx.Exec(ctx, lockOfBundles, pgUUIDs([]uuid.UUID{l.ID})); err != nil {
				return err
			}
		}
		var stopped int
		if err := tx.tx.QueryRow(ctx, `
			with stopped as (
				update deliveries d set last_error = $5, reason = case when $3 then 'hourly_limit' end,
					tries           = `+triedAs("case when $3 then 'held' else 'refused' end", "$5::text", "case when $3 then $4::timestamptz end")+`,
					state           = case when $3 then 'planned' else 'refused' end,
					next_attempt_at = case when $3 then $4::timestamptz end,
					finished_at     = case when $3 then null else now() end
				where id = $1 and state = 'planned' and attempts = $2 and counted < 2
				returning id, state
			), settled as (
				update dead_letters l set state = 'resolved', updated_at = now()
				from stopped d where l.delivery_id = d.id and d.state = 'refused' and l.state in ('retrying', 'dead')
			)
			select count(*) from stopped`, l.ID, l.Attempts, l.Held(), l.HeldUntil, storable(problem, 2000)).Scan(&stopped); err != nil || stopped == 0 {
			return err
		}
		if l.Bundle != nil {
			if _, err := tx.tx.Exec(ctx, membersFollow, pgUUIDs([]uuid.UUID{l.ID})); err != nil {
				return err
			}
		}
		return tx.tellInstead(ctx, instead)
	})
}

// Spent returns what text messages have cost today, at the prices at which they were counted.
func (s *Store) Spent(ctx context.Context) (spent quota.Money, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `select coalesce(sum(used), 0)::bigint from quotas where day = `+today+` and kind = 'cost'`).Scan(&spent)
	})
	return spent, err
}
