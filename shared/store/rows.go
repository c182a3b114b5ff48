package store

import (
	"cmp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duebell/duebell/shared/task"
)

// taskRows are new rows of the table tasks, column by column. One prepared statement inserts any
// number of them. That is as fast as COPY for a thousand rows, and as fast as a plain insert for
// one.
type taskRows struct {
	ids                  pgtype.FlatArray[pgtype.UUID]
	users, titles, notes pgtype.FlatArray[string]
	dueDates             pgtype.FlatArray[pgtype.Timestamptz]
	completed            pgtype.FlatArray[bool]
	channels             pgtype.FlatArray[pgtype.Text] // joined by commas, since Postgres has no arrays of arrays of different lengths
	versions             pgtype.FlatArray[int64]
	created, updated     pgtype.FlatArray[time.Time]
	locals               pgtype.FlatArray[pgtype.Timestamp]
	allDay               pgtype.FlatArray[bool]
	zones                pgtype.FlatArray[pgtype.Text]
	recurrences          pgtype.FlatArray[pgtype.Text]
	series               pgtype.FlatArray[int64]
	numbers              pgtype.FlatArray[int32]
	every                pgtype.FlatArray[pgtype.Interval]
	times                pgtype.FlatArray[pgtype.Int4]
	urgent               pgtype.FlatArray[bool]
}

func (c *taskRows) add(t task.Task) {
	c.ids = append(c.ids, pgUUID(t.ID))
	c.users = append(c.users, t.UserID)
	c.titles = append(c.titles, t.Title)
	c.notes = append(c.notes, t.Notes)
	c.dueDates = append(c.dueDates, pgInstant(t.DueDate))
	c.completed = append(c.completed, t.Completed)
	c.channels = append(c.channels, joined(t.Channels))
	c.versions = append(c.versions, t.Version)
	c.created = append(c.created, t.CreatedAt)
	c.updated = append(c.updated, t.UpdatedAt)
	c.locals = append(c.locals, pgLocal(t.Due))
	c.allDay = append(c.allDay, t.Due.Form == task.ByDay)
	c.zones = append(c.zones, pgtype.Text{String: t.Due.Zone, Valid: t.Due.Zone != ""})
	c.recurrences = append(c.recurrences, pgRecurrence(t.Recurrence))
	c.series = append(c.series, t.Progress.Series)
	c.numbers = append(c.numbers, int32(t.Progress.Number)) //nolint:gosec // COUNT is 10,000 at most
	c.urgent = append(c.urgent, t.Urgent)
	c.every, c.times = append(c.every, pgEvery(t.Repeat)), append(c.times, pgTimes(t.Repeat))
}

// pgEvery and pgTimes return the columns of a task's repetitions, or nulls.
func pgEvery(r *task.Repeat) pgtype.Interval {
	if r == nil {
		return pgtype.Interval{}
	}
	return pgInterval(r.Every)
}

func pgTimes(r *task.Repeat) pgtype.Int4 {
	if r == nil {
		return pgtype.Int4{}
	}
	return pgtype.Int4{Int32: int32(r.Times), Valid: true} //nolint:gosec // 50 at most
}

// pgLocal returns the wall-clock time of a due date, or null.
func pgLocal(d task.Due) pgtype.Timestamp {
	return pgtype.Timestamp{Time: d.Local.UTC(), Valid: d.Wall()}
}

func joined(channels []task.Channel) pgtype.Text {
	if channels == nil {
		return pgtype.Text{}
	}
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = string(c)
	}
	return pgtype.Text{String: strings.Join(names, ","), Valid: true}
}

func (c *taskRows) queue(batch *pgx.Batch) {
	batch.Queue(`
		insert into tasks (id, user_id, title, notes, due_date, completed, channels, version, created_at, updated_at, due_local, due_all_day, time_zone,
			recurrence, series, occurrence_number, repeat_every, repeat_times, urgent)
		select n.id, n.user_id, n.title, n.notes, n.due_date, n.completed, string_to_array(n.channels, ','), n.version, n.created_at, n.updated_at, n.due_local, n.due_all_day, n.time_zone,
			n.recurrence::jsonb, n.series, n.occurrence_number, n.repeat_every, n.repeat_times, n.urgent
		from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[], $7::text[], $8::bigint[], $9::timestamptz[], $10::timestamptz[],
				$11::timestamp[], $12::boolean[], $13::text[], $14::text[], $15::bigint[], $16::int[], $17::interval[], $18::int[], $19::boolean[])
			as n (id, user_id, title, notes, due_date, completed, channels, version, created_at, updated_at, due_local, due_all_day, time_zone,
				recurrence, series, occurrence_number, repeat_every, repeat_times, urgent)`,
		c.ids, c.users, c.titles, c.notes, c.dueDates, c.completed, c.channels, c.versions, c.created, c.updated, c.locals, c.allDay, c.zones, c.recurrences, c.series, c.numbers, c.every, c.times, c.urgent)
}

// pgx encodes arrays of its own types without reflection. For a column of UUIDs that takes a tenth
// of the time.

func pgUUID(u uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: u, Valid: true} }

func pgUUIDs(all []uuid.UUID) pgtype.FlatArray[pgtype.UUID] {
	ids := make(pgtype.FlatArray[pgtype.UUID], len(all))
	for i, u := range all {
		ids[i] = pgUUID(u)
	}
	return ids
}

func pgInstant(t *time.Time) pgtype.Timestamptz {
	if t == nil {
		return pgtype.Timestamptz{}
	}
	return pgtype.Timestamptz{Time: *t, Valid: true}
}

func pgInterval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}

// reminderRows are new rows of the table reminders, column by column.
type reminderRows struct {
	ids, tasks pgtype.FlatArray[pgtype.UUID]
	users      pgtype.FlatArray[string]
	before     pgtype.FlatArray[pgtype.Interval]
	fireAt     pgtype.FlatArray[pgtype.Timestamptz]
	states     pgtype.FlatArray[string]
	revisions  pgtype.FlatArray[int64]
	confirmed  pgtype.FlatArray[pgtype.Int8]
	scheduling pgtype.FlatArray[bool] // Dapr may hold its job, or soon will
	days       pgtype.FlatArray[int32]
	clocks     pgtype.FlatArray[pgtype.Int8]
	releases   pgtype.FlatArray[pgtype.Text]
	locals     pgtype.FlatArray[pgtype.Timestamp]
	kinds      pgtype.FlatArray[string]
}

func (c *reminderRows) add(t task.Task, r task.Reminder, until time.Time) {
	c.ids = append(c.ids, pgUUID(r.ID))
	c.tasks = append(c.tasks, pgUUID(t.ID))
	c.users = append(c.users, t.UserID)
	c.before = append(c.before, pgInterval(r.Before.Exact))
	c.days = append(c.days, int32(r.Before.Days)) //nolint:gosec // 366 at most
	clock, release := pgSource(r.Source)
	c.clocks, c.releases = append(c.clocks, clock), append(c.releases, release)
	c.locals = append(c.locals, pgOccurrence(r.Occurrence))
	c.kinds = append(c.kinds, string(cmp.Or(r.Kind, task.KindDue)))
	c.fireAt = append(c.fireAt, pgInstant(r.FireAt))
	c.states = append(c.states, string(r.State))
	c.revisions = append(c.revisions, r.Revision)
	c.confirmed = append(c.confirmed, pgtype.Int8{Int64: r.Confirmed, Valid: r.Confirmed > 0})
	c.scheduling = append(c.scheduling, r.Confirmed > 0 || r.Pending(until))
}

// pgSource returns the columns of what an instant was derived from; nulls if it was given as an
// instant.
func pgSource(s task.Source) (clock pgtype.Int8, release pgtype.Text) {
	depends := s.Release != ""
	return pgtype.Int8{Int64: s.Clock, Valid: depends}, pgtype.Text{String: s.Release, Valid: depends}
}

// queue stores the rows. Confirmed ones stay confirmed only if no sentinel was recorded within ago
// before now. stored is called with the number that stayed so.
func (c *reminderRows) queue(batch *pgx.Batch, ago time.Duration, stored func(confirmations int)) {
	if len(c.ids) == 0 {
		return
	}
	batch.Queue(`
		with stored as (
			insert into reminders (id, task_id, user_id, before, fire_at, state, revision, confirmed_revision, last_scheduling_at, before_days, derived_clock, derived_tz, occurrence, kind)
			select n.id, n.task_id, n.user_id, n.before, n.fire_at, n.state, n.revision,
				case when not exists (select from sentinel where created_at >= now() - $10::interval) then n.confirmed end,
				case when n.scheduling then now() else '-infinity' end, n.before_days, n.derived_clock, n.derived_tz, n.occurrence, n.kind
			from unnest($1::uuid[], $2::uuid[], $3::text[], $4::interval[], $5::timestamptz[], $6::text[], $7::bigint[], $8::bigint[], $9::boolean[],
					$11::int[], $12::bigint[], $13::text[], $14::timestamp[], $15::text[])
				as n (id, task_id, user_id, before, fire_at, state, revision, confirmed, scheduling, before_days, derived_clock, derived_tz, occurrence, kind)
			returning confirmed_revision
		)
		select count(confirmed_revision) from stored`,
		c.ids, c.tasks, c.users, c.before, c.fireAt, c.states, c.revisions, c.confirmed, c.scheduling, ago, c.days, c.clocks, c.releases, c.locals, c.kinds).
		QueryRow(func(row pgx.Row) error {
			var confirmations int
			err := row.Scan(&confirmations)
			stored(confirmations)
			return err
		})
}

// deliveryRows are new rows of the table deliveries, column by column.
type deliveryRows struct {
	ids, reminders           pgtype.FlatArray[pgtype.UUID]
	revisions                pgtype.FlatArray[int64]
	tasks                    pgtype.FlatArray[pgtype.UUID]
	users, channels, targets pgtype.FlatArray[string]
	states, problems         pgtype.FlatArray[string]
	due                      pgtype.FlatArray[time.Time]
	traces                   pgtype.FlatArray[string]
	series                   pgtype.FlatArray[pgtype.Int8]
	locals                   pgtype.FlatArray[pgtype.Timestamp]
	instants                 pgtype.FlatArray[pgtype.Timestamptz]
	bundled                  bool // some are bundled
}

func (c *deliveryRows) add(d Delivery, of *Occurrence, due time.Time, trace string) {
	var series pgtype.Int8
	var local pgtype.Timestamp
	var instant pgtype.Timestamptz
	if of != nil {
		series, local, instant = pgtype.Int8{Int64: of.Series, Valid: true}, pgOccurrence(&of.Local), pgInstant(&of.Instant)
	}
	c.series, c.locals, c.instants = append(c.series, series), append(c.locals, local), append(c.instants, instant)
	c.ids = append(c.ids, pgUUID(d.ID))
	c.reminders = append(c.reminders, pgUUID(d.ReminderID))
	c.revisions = append(c.revisions, d.Revision)
	c.tasks = append(c.tasks, pgUUID(d.TaskID))
	c.users = append(c.users, d.UserID)
	c.channels = append(c.channels, string(d.Channel))
	c.targets = append(c.targets, d.Target)
	c.states = append(c.states, string(d.State))
	c.problems = append(c.problems, d.LastError)
	c.due = append(c.due, due)
	c.traces = append(c.traces, trace)
	c.bundled = c.bundled || d.State == Bundled
}

// queue stores the rows. Bundles that they need are there already, and locked.
func (c *deliveryRows) queue(batch *pgx.Batch) {
	bundle, bundles := `null::uuid`, ``
	if c.bundled {
		bundle = `b.id`
		bundles = ` left join bundles b on n.state = 'bundled' and b.user_id = n.user_id and b.channel = n.channel and md5(b.target) = md5(n.target) and b.frozen_at is null`
	}
	batch.Queue(`
		insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, last_error, due_at, traceparent, next_attempt_at, finished_at, series, occurrence, occurs_at, bundle_id)
		select n.id, n.reminder_id, n.revision, n.task_id, n.user_id, n.channel, n.target, n.state, nullif(n.last_error, ''), n.due_at, nullif(n.trace, ''),
			case when n.state = 'planned' then now() end, case when n.state not in ('planned', 'bundled') then now() end, n.series, n.occurrence, n.occurs_at, `+bundle+`
		from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::text[],
				$12::bigint[], $13::timestamp[], $14::timestamptz[])
			as n (id, reminder_id, revision, task_id, user_id, channel, target, state, last_error, due_at, trace, series, occurrence, occurs_at)`+bundles,
		c.ids, c.reminders, c.revisions, c.tasks, c.users, c.channels, c.targets, c.states, c.problems, c.due, c.traces, c.series, c.locals, c.instants)
}

// notificationRows are new rows of the table notifications, column by column.
type notificationRows struct {
	ids, tasks            pgtype.FlatArray[pgtype.UUID]
	users, titles, bodies pgtype.FlatArray[string]
	occurrences           pgtype.FlatArray[string]
	kinds                 pgtype.FlatArray[string]
	reminders             pgtype.FlatArray[pgtype.UUID]
	dueDates              pgtype.FlatArray[pgtype.Timestamptz]
}

func (c *notificationRows) add(n Notification) {
	c.ids = append(c.ids, pgUUID(n.ID))
	c.tasks = append(c.tasks, pgtype.UUID{Bytes: n.TaskID, Valid: n.TaskID != uuid.Nil})
	c.users = append(c.users, n.UserID)
	c.titles = append(c.titles, n.Title)
	c.bodies = append(c.bodies, n.Body)
	c.occurrences = append(c.occurrences, n.Occurrence)
	c.kinds = append(c.kinds, string(cmp.Or(n.Kind, task.KindDue)))
	c.reminders = append(c.reminders, pgtype.UUID{Bytes: n.ReminderID, Valid: n.ReminderID != uuid.Nil})
	c.dueDates = append(c.dueDates, pgInstant(n.DueDate))
}

func (c *notificationRows) queue(batch *pgx.Batch) {
	if len(c.ids) == 0 {
		return
	}
	// Users are locked before their numbers are taken, in the order of their ids.
	batch.Queue(`select from users where id = any($1) order by id for no key update`, c.users)
	// clock_timestamp() and not now(): the transaction may have begun before the reminder was due,
	// and waited for a lock.
	batch.Queue(`
		with new as (
			select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::timestamptz[])
				with ordinality as n (id, user_id, task_id, title, body, occurrence, kind, reminder_id, due_date, place)
		), next as (
			update users u set last_seq = u.last_seq + c.count
			from (select user_id, count(*) from new group by user_id) c where u.id = c.user_id
			returning u.id, u.last_seq - c.count as last_seq
		)
		insert into notifications (id, user_id, seq, task_id, title, body, created_at, occurrence, kind, reminder_id, due_date)
		select n.id, n.user_id, next.last_seq + row_number() over (partition by n.user_id order by n.place), n.task_id, n.title, n.body, clock_timestamp(), nullif(n.occurrence, ''), n.kind, n.reminder_id, n.due_date
		from new n join next on next.id = n.user_id`,
		c.ids, c.users, c.tasks, c.titles, c.bodies, c.occurrences, c.kinds, c.reminders, c.dueDates)
}

// endingRows are how sends of different deliveries ended, column by column.
type endingRows struct {
	ids         pgtype.FlatArray[pgtype.UUID]
	states      pgtype.FlatArray[string]
	attempts    pgtype.FlatArray[int32]
	waits       pgtype.FlatArray[pgtype.Interval]
	errors      pgtype.FlatArray[string]
	deadLetters pgtype.FlatArray[pgtype.UUID] // ids for dead letters, should they be needed
	bundles     bool                          // some are bundles' deliveries
}

func (c *endingRows) add(e Ending) {
	c.ids = append(c.ids, pgUUID(e.Of.ID))
	c.states = append(c.states, string(e.State))
	c.attempts = append(c.attempts, int32(e.Of.Attempts)) //nolint:gosec // as Postgres has it
	c.waits = append(c.waits, pgInterval(e.Wait))
	c.errors = append(c.errors, storable(e.Error, 2000))
	c.deadLetters = append(c.deadLetters, pgUUID(uuid.Must(uuid.NewV7())))
	c.bundles = c.bundles || e.Of.Bundle != nil
}

func (c *endingRows) queue(batch *pgx.Batch) {
	// Locked in the order of their ids. The next statement then sees them as they are committed.
	lock := `select from deliveries where id = any($1) order by id for no key update`
	if c.bundles {
		lock = lockOfBundles
	}
	batch.Queue(lock, c.ids)
	batch.Queue(`
		with endings as (
			select * from unnest($1::uuid[], $2::text[], $3::int[], $4::interval[], $5::text[], $6::uuid[]) as e (id, state, attempts, wait, error, dead_letter_id)
		), finished as (
			update deliveries d set state = e.state, last_error = nullif(e.error, ''), reason = null,
				provider_fixed  = d.provider_fixed or e.state = 'unknown' and d.provider is not null,
				round_over      = e.state <> 'planned' or e.wait > interval '0',
				tries           = case when e.state = 'sent' then d.tries else `+triedAs("e.state", "e.error", "case when e.state in ('planned', 'unknown') then now() + e.wait end")+` end,
				next_attempt_at = case when e.state in ('planned', 'unknown') then now() + e.wait end,
				finished_at     = case when e.state in ('planned', 'unknown') then null else now() end
			from endings e
			where d.id = e.id and case when e.state = 'sent' then d.state <> 'sent' else d.state = 'sending' and d.attempts = e.attempts end
			returning d.*, e.dead_letter_id
		), settled as (
			update dead_letters l set state = 'resolved', updated_at = now()
			from finished f where l.delivery_id = f.id and f.state in ('sent', 'failed', 'cancelled', 'unverified', 'suppressed', 'refused') and l.state in ('retrying', 'dead')
		)
		insert into dead_letters as l (id, state, job_name, data, error, attempts, delivery_id)
		select f.dead_letter_id, case f.state when 'exhausted' then 'dead' else 'retrying' end,
			case when f.bundle_id = f.id then format('bundle-%s', f.id) when f.agenda_id is not null then format('reminder-%s-%s', f.agenda_id, f.revision) when f.reminder_id is null then format('verification-%s', f.id) else format('reminder-%s-%s', f.reminder_id, f.revision) end,
			json_build_object('task_id', f.task_id, 'user_id', f.user_id, 'reminder_id', f.reminder_id, 'revision', f.revision, 'channel', f.channel),
			coalesce(f.last_error, ''), f.attempts, f.id
		from finished f where f.state in ('planned', 'unknown', 'exhausted') and not f.test order by f.id
		on conflict (delivery_id) do update
		set state = excluded.state, error = excluded.error, attempts = excluded.attempts, updated_at = now()`,
		c.ids, c.states, c.attempts, c.waits, c.errors, c.deadLetters)
	if c.bundles {
		batch.Queue(membersFollow, c.ids)
	}
}
