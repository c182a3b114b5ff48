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
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states. Planned, Sending and Unknown are open: the delivery is still to be sent.
const (
	Planned DeliveryState = "planned"
	// Bundled waits in a bundle, and gets the state of the bundle's own delivery.
	Bundled   DeliveryState = "bundled"
	Sending   DeliveryState = "sending" // leased by a sender
	Sent      DeliveryState = "sent"
	Failed    DeliveryState = "failed"    // refused for good
	Exhausted DeliveryState = "exhausted" // tried as often as is allowed
	Cancelled DeliveryState = "cancelled"
	Unknown   DeliveryState = "unknown" // the provider may have taken it
	// SuppressedState was not sent, because its address is suppressed.
	SuppressedState DeliveryState = "suppressed"
	// Unverified was not sent, because the address's owner has not agreed.
	Unverified DeliveryState = "unverified"
	// Refused was not sent, because it is over a [Limit], or goes to a number that this
	// installation sends no text messages to.
	Refused DeliveryState = "refused"
)

// Reason is why a delivery is held, or why it was cancelled.
type Reason string

// The reasons. Deliveries with the first two are held.
const (
	ReasonQuietHours   Reason = "quiet_hours"  // it is within its user's quiet hours
	ReasonHourlyLimit  Reason = "hourly_limit" // it is over its user's limit of the hour
	ReasonReplaced     Reason = "replaced"     // it was held, and a newer one of its task goes to the same target; or it is an agenda, and there is a newer one
	ReasonCompleted    Reason = "completed"    // its task, or its occurrence, was completed
	ReasonSkipped      Reason = "skipped"      // its occurrence was skipped
	ReasonDeleted      Reason = "deleted"      // its task was deleted
	ReasonMoved        Reason = "moved"        // its task was moved or lost its due date, or the reminder was removed
	ReasonAcknowledged Reason = "acknowledged" // its user has acknowledged it
	ReasonSnoozed      Reason = "snoozed"      // its user has snoozed it
	ReasonUnrepeated   Reason = "unrepeated"   // it is a repetition, and its task has no repeat any more
	ReasonDiscarded    Reason = "discarded"    // an operator has discarded its dead letter
	ReasonAgendaOff    Reason = "agenda_off"   // its user wants no agenda any more
	ReasonBundled      Reason = "bundled"      // it waits in a bundle; this one is shown, and not stored
)

// Delivery is one message of a fired reminder, a verification, a bundle, an agenda or a test message, to
// one target on one channel.
type Delivery struct {
	ID uuid.UUID
	// ReminderID and TaskID are uuid.Nil for a verification, a bundle, an agenda and a test message.
	ReminderID uuid.UUID
	Revision   int64
	TaskID     uuid.UUID
	UserID     string
	Channel    task.Channel
	// Target is an e-mail address, a number, a webhook's URL, or a device as preferences.Device
	// writes it; "" for in-app.
	Target   string
	State    DeliveryState
	Attempts int // sends begun
	// Provider is the provider of the latest attempt, "" before the first.
	Provider  string
	LastError string
	// NextAttemptAt is when it may be leased next; nil if it is finished.
	NextAttemptAt *time.Time
	CreatedAt     time.Time
	FinishedAt    *time.Time
	// Report is what the provider has reported since it was sent, at ReportedAt; "" if nothing.
	Report     Outcome
	ReportedAt *time.Time
	// Reason is why an open delivery is held, or why a delivery was cancelled. It is "" for all
	// others, and if no reason was recorded.
	Reason Reason
	// Kind is the reminder's. Only [Store.ListDeliveries] sets it.
	Kind task.Kind
}

// Open reports whether the delivery is still to be sent.
func (d Delivery) Open() bool {
	return d.State == Planned || d.State == Sending || d.State == Unknown
}

// Held reports whether the delivery is held: nothing sends it before NextAttemptAt.
func (d Delivery) Held() bool { return d.Open() && d.Reason != "" }

const deliveryColumns = `d.id, coalesce(d.reminder_id, '00000000-0000-0000-0000-000000000000'), d.revision,
	coalesce(d.task_id, '00000000-0000-0000-0000-000000000000'), d.user_id, d.channel, d.target, d.state, d.attempts, coalesce(d.provider, ''),
	coalesce(d.last_error, ''), d.next_attempt_at, d.created_at, d.finished_at, coalesce(d.report, ''), d.reported_at, coalesce(d.reason, '')`

// fields are the targets for scanning deliveryColumns.
func (d *Delivery) fields() []any {
	return []any{
		&d.ID, &d.ReminderID, &d.Revision, &d.TaskID, &d.UserID, &d.Channel, &d.Target, &d.State, &d.Attempts, &d.Provider,
		&d.LastError, &d.NextAttemptAt, &d.CreatedAt, &d.FinishedAt, &d.Report, &d.ReportedAt, &d.Reason,
	}
}

// The columns of a delivery d in a log. Those of a bundled one come partly from its bundle's
// delivery b, which is joined.
const (
	loggedColumns = deliveryColumns + `, b.next_attempt_at, coalesce(b.reason, 'bundled')`
	withBundles   = ` left join deliveries b on d.state = 'bundled' and b.id = d.bundle_id`
)

// scanLogged reads loggedColumns and the columns in more. A bundled delivery gets the NextAttemptAt
// of its bundle, and a Reason.
func scanLogged(row pgx.Row, d *Delivery, more ...any) error {
	var bundleAt *time.Time
	var bundleReason Reason
	err := row.Scan(slices.Concat(d.fields(), []any{&bundleAt, &bundleReason}, more)...)
	if d.State == Bundled {
		d.NextAttemptAt, d.Reason = bundleAt, bundleReason
	}
	return err
}

// About is what a message says about its reminder's task.
type About struct {
	Title   string
	Notes   string
	DueDate *time.Time
	// Occurrence is the occurrence of a recurring task, as people read it; "" for other tasks.
	Occurrence string
	// Series and Local identify the occurrence in the database; 0 and nil for other tasks.
	Series int64
	Local  *wallclock.Time
}

// aboutColumns are the columns of [About] for a delivery d of a task t. Without a task all columns
// of t are null.
const aboutColumns = `coalesce(t.title, ''), coalesce(t.notes, ''), coalesce(d.occurs_at, t.due_date), ` + occurrenceShown + `, coalesce(d.series, 0), d.occurrence`

// fields are the targets for scanning aboutColumns.
func (a *About) fields() []any {
	return []any{&a.Title, &a.Notes, &a.DueDate, &a.Occurrence, &a.Series, occurrenceField{&a.Local}}
}

// Unsent returns which of the revisions have deliveries that are still to be sent.
func (s *Store) Unsent(ctx context.Context, revisions []task.Revision) (unsent map[task.Revision]bool, err error) {
	ids, numbers := columns(revisions)
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select a.id, a.revision from unnest($1::uuid[], $2::bigint[]) as a (id, revision)
			where exists (select from deliveries d where d.reminder_id = a.id and d.revision = a.revision and `+isUnsent+`)`, ids, numbers)
		jobs, err := pgx.CollectRows(rows, scanJob)
		unsent = make(map[task.Revision]bool, len(jobs))
		for _, j := range jobs {
			unsent[j] = true
		}
		return err
	})
	return unsent, err
}

// Leased is a delivery that its holder alone may send until the lease runs out, with what the
// message needs.
type Leased struct {
	Delivery
	About
	// Round counts rounds: attempts that went from provider to provider, because each before
	// refused, count as one.
	Round int
	// ProviderFixed says that the provider may have taken it in an earlier attempt. No other
	// provider may be tried.
	ProviderFixed bool
	Trace         string // of the firing that planned it, as trace.Parent has it; may be ""
	TimeZone      string // the user's, by its IANA name
	Language      string // the user's
	// Withdrawn says that the target is no longer in the user's preferences. If they list no e-mail
	// address, Withdrawn says that the target is not the address of the sign-in.
	Withdrawn bool
	// Over is the limit that it is over; "": none. Then it is not leased and must not be sent:
	// [Store.HoldBack] records what becomes of it. If that is not called, Lease returns the
	// delivery again after the time of a lease.
	Over Limit
	// HeldUntil is the start of the next hour: a delivery over the hour's limit is held until then.
	HeldUntil time.Time
	// Quiet are the quiet hours by which it has to be judged; nil: they need not be judged, or they
	// were. A delivery with Quiet is not leased, and stays due.
	Quiet *QuietHours
	// SuppressedSince is since when its target is suppressed; nil: it is not.
	SuppressedSince *time.Time
	// Unverified says that no reminder may be sent to the target: the address is neither verified
	// nor in grace, or its owner has answered "not me".
	Unverified bool
	grace      bool // the address is in grace, and not verified
	// Test says that it is a test message: it belongs to no reminder, each provider is tried once,
	// and it is never held.
	Test bool
	// Agenda is set for an agenda's delivery alone. The sender fills it in by [Store.ReadAgenda].
	Agenda *notify.Agenda
	// Verification is set for a verification alone.
	Verification *LeasedVerification
	// Bundle is set for a bundle's delivery alone.
	Bundle  *Bundle
	Secrets []config.Secret // a webhook's, the newest first
	// Subscription is a browser's; nil for other targets, and for one that is Withdrawn.
	Subscription *subscription.Subscription
	// WebhookLinks says that the user wants links in the webhook's messages.
	WebhookLinks bool
}

// QuietHours are the quiet hours of a delivery's user.
type QuietHours struct {
	quiet.Hours
	Version int64     // of the preferences
	At      time.Time // when it is to be judged for, by the database's clock
}

// LeasedVerification is what the sender of a verification needs to know.
type LeasedVerification struct {
	AddressHash []byte
	Verified    bool // the owner has agreed meanwhile
	Refused     bool // the owner wants no such messages
}

// LeaseRules are the lease's length, the providers and the limits.
type LeaseRules struct {
	For time.Duration
	// Providers are the names of each channel's providers, in the order in which they are tried.
	Providers map[task.Channel][]string
	Limits    quota.Limits
	Ceiling   quota.Ceiling
}

// Lease leases deliveries, for r.For by the database's clock, and records the provider of each
// attempt. It leaves out deliveries that are finished, not due, leased by another sender, or locked
// by another transaction. Any number of processes may call it at the same time.
//
// Providers: a round begins with the channel's first provider. If a provider refuses, the next
// attempt of the round goes to the next one. After an attempt with no clear answer, or whose sender
// died, the delivery stays with that provider, and each further attempt is a round of its own.
//
// Limits: a delivery is counted when it is leased for the first time. One that is over a limit is
// returned with Over set, and is not leased. However many senders lease at once, a user or a
// recipient gets no more than the limits allow.
//
// Bundles: the first lease of a bundle's delivery freezes the bundle, and so does a limit by which
// it is refused.
//
// Quiet hours: a delivery that they may hold is returned with Quiet set, and is not leased. The
// caller judges it, and leases it again with the version of the preferences it has judged by
// ([Wanted.Judged]).
//
// Suppressions are looked up after the deliveries are leased, in the same exchange. So a message is
// stopped by every suppression that was stored before, unless its send is under way.
//
// The code and the link of a verification are valid for verificationLasts from its lease on. Limits
// on verifications count it as sent at that time.
func (s *Store) Lease(ctx context.Context, r LeaseRules, wanted ...Wanted) (leased []*Leased, err error) {
	ids, addresses := make([]uuid.UUID, len(wanted)), make([]suppress.Address, len(wanted))
	for i, w := range wanted {
		ids[i], addresses[i] = w.ID, w.Address
	}
	found := Suppressed{}
	m := newMetered(r, wanted)
	judgedIDs, versions := judgedOf(wanted)
	var bundles []pgtype.UUID
	members := map[uuid.UUID][]Member{}
	var open, ofOpen, freeze string // empty without a bundle, so that bundles cost others nothing
	for _, w := range wanted {
		if w.Bundle {
			bundles = append(bundles, pgUUID(w.ID))
			open, ofOpen, freeze = openBundles, ofOpenBundles, freezing
		}
	}
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		m.queueLocks(batch)
		batch.Queue(`
			with `+open+`wanted as materialized (
				-- The rows are found by their ids alone. The index of due deliveries still has
				-- entries for all that was sent since the last vacuum, and would be read past them.
				select * from deliveries where id = any($1)`+ofOpen+` order by id for no key update skip locked
			), free as (
				select id, reminder_id, bundle_id, agenda_id, test, user_id, channel, state, counted, provider, round_over, provider_fixed or provider is not null and state in ('sending', 'unknown') as fixed,
					array(select p #>> '{}' from jsonb_array_elements($3::jsonb -> channel) p
						-- A device belongs to one provider.
						where channel <> 'push' or p #>> '{}' = split_part(target, ':', 1)) as list,
					case when channel not in ('in_app', 'event') then (
						select version from preferences p where p.user_id = wanted.user_id and p.quiet_hours is not null) end as quiet_by
				from wanted
				where state in ('planned', 'sending', 'unknown') and next_attempt_at <= now()
			), chosen as (
				select id, reminder_id, bundle_id, agenda_id, test, user_id, channel, state, counted, fixed, goes_on, case when fixed then provider when goes_on then list[i + 1] else list[1] end as provider,
					coalesce(quiet_by is not null
						and not exists (select from unnest($14::uuid[], $15::bigint[]) j (id, version) where j.id = free.id and j.version = quiet_by)
						and (bundle_id is not null or (select `+mayBeHeld+` from reminders r join tasks t on t.id = r.task_id where r.id = free.reminder_id)), false) as to_judge
				from free, array_position(list, provider) i, coalesce(not fixed and not round_over and i < cardinality(list), false) goes_on
			), verified as (
				update verifications v set code_until = clock_timestamp() + $4, link_until = greatest(v.link_until, clock_timestamp() + $4)
				from chosen where chosen.reminder_id is null and v.id = chosen.id
				returning v.id, v.address_hash, exists (select from verification_refusals r where r.address_hash = v.address_hash) as refused
			), `+judged+`, noted as (
				update verification_messages m set counted_at = clock_timestamp()
				from chosen left join judged j on j.id = chosen.id
				where chosen.reminder_id is null and m.id = chosen.id and j.over is null
			)`+freeze+`
			update deliveries d
			set state = case when taken then 'sending' else d.state end, attempts = d.attempts + taken::int,
				next_attempt_at = case when to_judge then d.next_attempt_at else clock_timestamp() + $2 end,
				provider = case when taken then chosen.provider else d.provider end, provider_fixed = chosen.fixed, round = d.round + (taken and not goes_on)::int,
				counted = case when taken then 2 when over = 'hour' then 1 else d.counted end,
				reason = case when to_judge then d.reason end
			from chosen join users u on u.id = chosen.user_id left join preferences p on p.user_id = u.id
				left join reminders r on r.id = chosen.reminder_id left join tasks t on t.id = r.task_id
				left join verified v on v.id = chosen.id left join judged j on j.id = chosen.id
				cross join lateral (select j.over is null and not chosen.to_judge as taken) l
			where d.id = chosen.id
			returning `+deliveryColumns+`, d.round, d.provider_fixed, coalesce(d.traceparent, ''),
				`+aboutColumns+`,
				coalesce(p.time_zone, 'UTC'), coalesce(p.language, ''),
				coalesce(case d.channel
					-- If the list is empty, the target must be the address of the sign-in.
					when 'email'   then (chosen.reminder_id is not null or chosen.bundle_id is not null or chosen.agenda_id is not null or chosen.test) and coalesce(p.unsubscribed, false)
						or case when cardinality(p.emails) > 0 then not d.target = any (p.emails) else lower(d.target) is distinct from lower(u.email) end
					when 'sms'     then not d.target = any (p.phones)
					when 'push'    then not p.devices @> jsonb_build_array(jsonb_build_object(
						'provider', split_part(d.target, ':', 1), 'token', substr(d.target, strpos(d.target, ':') + 1)))
					when 'webhook' then p.webhook_gone or p.webhook_url is distinct from d.target
					else false
				end, true),
				p.webhook_secret, case when p.webhook_old_secret_until > now() then p.webhook_old_secret end,
				case when `+isBrowser+` then (
					select device -> 'subscription' from jsonb_array_elements(p.devices) device where 'webpush:' || (device ->> 'token') = d.target limit 1) end,
				p.verified, p.grace, u.email, v.address_hash, v.refused, coalesce(over, ''), date_trunc('hour', now(), 'UTC') + interval '1 hour',
				case when to_judge then p.quiet_hours::text end, coalesce(p.version, 0), clock_timestamp(), d.bundle_id is not null,
				coalesce(p.webhook_links, false), d.test, d.agenda_id is not null`,
			pgUUIDs(ids), r.For, r.Providers, verificationLasts, m.ids, m.recipients, m.costs, m.channels, m.perHour, m.perDay, m.perRecipient, m.ceiling, m.part, judgedIDs, versions).
			Query(func(rows pgx.Rows) error {
				leased, err = pgx.CollectRows(rows, scanLeased)
				return err
			})
		if len(bundles) > 0 {
			queueMembers(batch, bundles, members)
		}
		if hashes := hashesOf(addresses); len(hashes) > 0 {
			batch.Queue(selectSuppressed, hashes).Query(found.collect)
		}
	})
	if err != nil {
		return nil, err
	}
	address := func(l *Leased) suppress.Address { return addresses[slices.Index(ids, l.ID)] }
	for _, l := range leased {
		l.SuppressedSince = found.Since(address(l))
		if l.Bundle != nil {
			l.Bundle.Members = members[l.ID]
		}
	}
	return leased, s.endGrace(ctx, leased, address)
}

// endGrace marks deliveries as unverified that go to addresses in grace whose owners have answered
// "not me". Addresses in grace are rare, so this is an exchange of its own.
func (s *Store) endGrace(ctx context.Context, leased []*Leased, address func(*Leased) suppress.Address) error {
	var hashes [][]byte
	for _, l := range leased {
		if l.grace {
			hashes = append(hashes, address(l).Short()...)
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	refused := map[string]bool{}
	if err := s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `select address_hash from verification_refusals where address_hash = any ($1)`, hashes)
		var hash []byte
		_, err := pgx.ForEachRow(rows, []any{&hash}, func() error {
			refused[string(hash)] = true
			return nil
		})
		return err
	}); err != nil {
		return err
	}
	for _, l := range leased {
		if l.grace && slices.ContainsFunc(address(l).Short(), func(hash []byte) bool { return refused[string(hash)] }) {
			l.Unverified = true
		}
	}
	return nil
}

func scanLeased(row pgx.CollectableRow) (*Leased, error) {
	var l Leased
	var secret, oldSecret, signIn *string
	var p preferences.Preferences
	var hash []byte
	var refused *bool
	var windows []byte
	var q QuietHours
	var isBundle, isAgenda bool
	err := row.Scan(slices.Concat(l.Delivery.fields(), []any{&l.Round, &l.ProviderFixed, &l.Trace}, l.About.fields(), []any{
		&l.TimeZone, &l.Language, &l.Withdrawn, &secret, &oldSecret, &l.Subscription, &p.Verified, &p.Grace, &signIn, &hash, &refused, &l.Over, &l.HeldUntil,
		&windows, &q.Version, &q.At, &isBundle, &l.WebhookLinks, &l.Test, &isAgenda,
	})...)
	if windows != nil {
		// It was checked when it was stored. If it can't be parsed, there are no quiet hours.
		q.Hours, _ = parseQuietHours(windows)
		l.Quiet = &q
	}
	if l.Channel == task.Email || l.Channel == task.SMS {
		l.Unverified = !p.MayReceive(l.Target, signIn)
		l.grace = !l.Unverified && p.State(l.Target, signIn) != preferences.Verified
	}
	switch {
	case isBundle:
		l.Bundle = &Bundle{}
	case isAgenda:
		l.Agenda = &notify.Agenda{}
	case l.ReminderID == uuid.Nil && !l.Test:
		l.Verification = &LeasedVerification{
			AddressHash: hash, Verified: p.State(l.Target, signIn) == preferences.Verified, Refused: refused != nil && *refused,
		}
	}
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
	// State is sent, failed, exhausted, planned or unknown. Planned and unknown are tried again
	// after Wait. Planned without Wait is tried again at once, by the next provider.
	State DeliveryState
	Wait  time.Duration
	Error string
	// Gone says that the target no longer exists. It is removed from its user's preferences.
	Gone bool
	// Instead is told in-app if the delivery ends as unverified, suppressed or refused. Reminders
	// that were told in-app already are left out.
	Instead []Instead
	// Stop, if set, suppresses the address Stopped, for this reason.
	Stop    SuppressionReason
	Stopped suppress.Address
}

// Lone reports whether the ending needs a transaction of its own: it waits for its user's row, or
// for a change of suppressions.
func (e Ending) Lone() bool { return e.Gone || len(e.Instead) > 0 || e.Stop != "" }

// Instead is what is told in-app in place of a delivery, or of a member of a bundle.
type Instead struct {
	DeliveryID uuid.UUID
	Notification
}

// Finish records how the sends of leased deliveries ended, all or none.
//
// That a delivery was sent is recorded even if its lease has run out or it was cancelled: the
// message is out, and must not be sent again. Any other ending counts only while the lease is the
// latest one and the delivery was not cancelled. A delivery that failed and may still be sent gets
// a dead letter. Its success resolves that.
func (s *Store) Finish(ctx context.Context, sharing Sharing, endings ...Ending) error {
	if !slices.ContainsFunc(endings, Ending.Lone) {
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
		lone := slices.DeleteFunc(slices.Clone(endings), func(e Ending) bool { return !e.Lone() })
		slices.SortStableFunc(lone, func(a, b Ending) int { return cmp.Compare(a.Of.UserID, b.Of.UserID) }) // users are locked in this order
		for _, e := range lone {
			if e.Stop != "" && len(e.Stopped.Exact) > 0 {
				if _, _, err := tx.Suppress(ctx, e.Stopped, Suppression{Channel: e.Of.Channel, Reason: e.Stop, By: e.Of.Provider}); err != nil {
					return err
				}
			}
			if len(e.Instead) > 0 {
				if err := tx.tellInstead(ctx, e.Instead); err != nil {
					return err
				}
			}
			if !e.Gone {
				continue
			}
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

// tellInstead writes the in-app notifications of deliveries that are held, or that ended as
// unverified, suppressed or refused. It leaves out reminders and agendas that were told in-app already.
func (tx Tx) tellInstead(ctx context.Context, all []Instead) error {
	var ids, of pgtype.FlatArray[pgtype.UUID]
	for _, i := range all {
		ids, of = append(ids, pgUUID(i.ID)), append(of, pgUUID(i.DeliveryID))
	}
	rows, _ := tx.tx.Query(ctx, `
		insert into deliveries as new (id, reminder_id, agenda_id, revision, task_id, user_id, channel, state, due_at, traceparent, finished_at, series, occurrence, occurs_at)
		select i.id, d.reminder_id, d.agenda_id, d.revision, d.task_id, d.user_id, 'in_app', 'sent', d.due_at, d.traceparent, now(), d.series, d.occurrence, d.occurs_at
		from unnest($1::uuid[], $2::uuid[]) as i (id, of) join deliveries d on d.id = i.of
		where d.state in ('planned', 'bundled', 'unverified', 'suppressed', 'refused') and (d.reminder_id is not null or d.agenda_id is not null)
		on conflict do nothing returning id, coalesce(reminder_id, '00000000-0000-0000-0000-000000000000'), coalesce((select r.kind from reminders r where r.id = new.reminder_id), '')`, ids, of)
	var notifications []Notification
	var id, reminder uuid.UUID
	var kind task.Kind
	_, err := pgx.ForEachRow(rows, []any{&id, &reminder, &kind}, func() error {
		n := all[slices.IndexFunc(all, func(i Instead) bool { return i.ID == id })].Notification
		n.ReminderID, n.Kind = reminder, kind
		notifications = append(notifications, n)
		return nil
	})
	if err != nil || len(notifications) == 0 {
		return err
	}
	return tx.notify(ctx, notifications...)
}

// notify writes notifications.
func (tx Tx) notify(ctx context.Context, all ...Notification) error {
	var batch pgx.Batch
	var rows notificationRows
	for _, n := range all {
		rows.add(n)
	}
	rows.queue(&batch)
	return tx.tx.SendBatch(ctx, &batch).Close()
}

// queueEndings records endings. Several of one delivery are recorded one after the other.
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

// ListDeliveries returns the delivery log of a user's task, the oldest first. A bundled delivery
// has the NextAttemptAt of its bundle, and a Reason. The error is not_found if the user has no such
// task.
func (s *Store) ListDeliveries(ctx context.Context, userID string, taskID uuid.UUID) (log []Delivery, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var exists bool
		if err := tx.QueryRow(ctx, `select exists (select from tasks where id = $1 and user_id = $2 and deleted_at is null)`, taskID, userID).Scan(&exists); err != nil {
			return err
		}
		if !exists {
			return errNoTask
		}
		rows, _ := tx.Query(ctx, `
			select `+loggedColumns+`, r.kind
			from deliveries d join reminders r on r.id = d.reminder_id`+withBundles+`
			where d.task_id = $1 order by d.id`, taskID)
		log, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Delivery, err error) {
			err = scanLogged(row, &d, &d.Kind)
			return d, err
		})
		return err
	})
	return log, err
}
