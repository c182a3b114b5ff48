package store

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// A bundle is one message with several reminders, its members:
//
//  1. Firing a reminder adds it to the open bundle of its target. If there is none, firing opens
//     one, with a delivery of its own that is due when the bundle's time is over. Adding a reminder
//     locks the bundle's row and stores the reminder's delivery as bundled.
//  2. A change that cancels a member locks the bundle's row, too, and takes the member out.
//  3. The first lease of the bundle's delivery freezes the bundle. No reminder joins or leaves it
//     from then on, so every attempt sends the same reminders under the same id. If another
//     transaction holds the bundle's row, Lease does not wait: it leaves the delivery for later.
//  4. The members get the state of the bundle's delivery, in the transaction that changes it.
//
// Locks are taken in the order task, reminder, bundle, delivery. Several bundles are locked in the
// order of user, channel and target.

// Bundle holds the members of a bundle's delivery.
type Bundle struct {
	Members []Member
}

// Member is a reminder in a bundle.
type Member struct {
	DeliveryID uuid.UUID
	ReminderID uuid.UUID
	Revision   int64
	TaskID     uuid.UUID
	About
}

// Distinct returns the members in the order in which they fired. If several reminders are of one
// occurrence of a task, it returns only the first of them.
func (b Bundle) Distinct() (distinct []Member) {
	type told struct {
		task       uuid.UUID
		occurrence string
	}
	seen := map[told]bool{}
	for _, m := range b.Members {
		if of := (told{m.TaskID, m.Occurrence}); !seen[of] {
			seen[of] = true
			distinct = append(distinct, m)
		}
	}
	return distinct
}

// bundleRows are the bundles that new deliveries need, one for each target, column by column.
type bundleRows struct {
	ids                      pgtype.FlatArray[pgtype.UUID]
	users, channels, targets pgtype.FlatArray[string]
	times                    pgtype.FlatArray[pgtype.Interval]
	traces                   pgtype.FlatArray[string]
}

func (c *bundleRows) add(d Delivery, lasts time.Duration, trace string) {
	for i := range c.ids {
		if c.users[i] == d.UserID && c.channels[i] == string(d.Channel) && c.targets[i] == d.Target {
			return
		}
	}
	c.ids = append(c.ids, pgUUID(uuid.Must(uuid.NewV7())))
	c.users, c.channels, c.targets = append(c.users, d.UserID), append(c.channels, string(d.Channel)), append(c.targets, d.Target)
	c.times, c.traces = append(c.times, pgInterval(lasts)), append(c.traces, trace)
}

// queue locks the open bundles of the targets, and opens those that are missing. A bundle that is
// frozen is not open.
func (c *bundleRows) queue(batch *pgx.Batch) {
	if len(c.ids) == 0 {
		return
	}
	batch.Queue(`
		with wanted as (
			select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::interval[], $6::text[]) as n (id, user_id, channel, target, lasts, trace)
		), open as (
			insert into bundles (id, user_id, channel, target) select id, user_id, channel, target from wanted order by user_id, channel, target
			on conflict (user_id, channel, md5(target)) where frozen_at is null do update set target = excluded.target
			returning id
		)
		insert into deliveries (id, bundle_id, revision, user_id, channel, target, state, due_at, traceparent, next_attempt_at)
		select id, id, 1, user_id, channel, target, 'planned', now(), nullif(trace, ''), clock_timestamp() + lasts
		from wanted where id in (select id from open)`, c.ids, c.users, c.channels, c.targets, c.times, c.traces)
}

// openBundles and ofOpenBundles are parts of Lease's statement. They leave out deliveries of
// bundles whose rows another transaction holds, because it adds or removes a member.
const (
	openBundles   = `open_bundles as materialized (select id from bundles where id = any($1) and frozen_at is null for no key update skip locked), `
	ofOpenBundles = ` and (bundle_id is null or id in (select id from open_bundles) or exists (select from bundles b where b.id = deliveries.id and b.frozen_at is not null))`
	// freezing freezes the bundles whose deliveries are leased or will be refused.
	freezing = `, frozen as (
				update bundles b set frozen_at = clock_timestamp()
				from chosen left join judged j on j.id = chosen.id
				where b.id = chosen.id and b.frozen_at is null and not chosen.to_judge and j.over is distinct from 'hour'
			)`
)

// queueMembers reads the members of bundles.
func queueMembers(batch *pgx.Batch, bundles []pgtype.UUID, members map[uuid.UUID][]Member) {
	batch.Queue(`
		select d.bundle_id, d.id, d.reminder_id, d.revision, d.task_id, `+aboutColumns+`
		from deliveries d join tasks t on t.id = d.task_id
		where d.bundle_id = any($1) and d.state = 'bundled' order by d.id`, pgtype.FlatArray[pgtype.UUID](bundles)).Query(func(rows pgx.Rows) error {
		var of uuid.UUID
		var m Member
		_, err := pgx.ForEachRow(rows, append([]any{&of, &m.DeliveryID, &m.ReminderID, &m.Revision, &m.TaskID}, m.fields()...), func() error {
			members[of] = append(members[of], m)
			return nil
		})
		return err
	})
}

// lockOfBundles locks deliveries, and the members of those that carry a bundle. It comes before
// every change of the state of a bundle's delivery.
const lockOfBundles = `select from deliveries where id = any($1) or bundle_id = any($1) order by id for no key update`

// membersFollow copies the state of bundles' deliveries to their members. All of them must be
// locked. Ids of other deliveries may be among $1; they are skipped.
const membersFollow = `
	update deliveries m set state = case when c.finished_at is null then 'bundled' else c.state end, attempts = c.attempts, provider = c.provider,
		last_error = c.last_error, finished_at = c.finished_at, reason = case when c.finished_at is not null then c.reason end, report = c.report, reported_at = c.reported_at
	from deliveries c where c.id = any($1) and c.bundle_id = c.id and m.bundle_id = c.id and m.id <> c.id`
