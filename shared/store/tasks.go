package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// User is someone who has tasks.
type User struct {
	ID string
	// Email is the verified address to write to, nil when there is none.
	Email *string
	// KeepEmail, for saving, keeps the address on record: the sign-in said nothing about one.
	KeepEmail bool
	// AsOf is when the sign-in with this address was made. The address of a later sign-in stays.
	AsOf time.Time
}

// SaveUser records the user.
func (s *Store) SaveUser(ctx context.Context, u User) error {
	return s.exchange(ctx, func(batch *pgx.Batch) { queueUsers(batch, []User{u}) })
}

// UpdateAddress records the address of a user who is on record, unless the one there is of a later
// sign-in. onRecord says whether the user is on record. An unchanged address gets the new AsOf, so
// that an earlier sign-in can't replace it. That is written once a minute at most, and is left out
// if another transaction holds the row.
func (s *Store) UpdateAddress(ctx context.Context, u User) (onRecord bool, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `
			with changed as (
				update users set email = $2, email_as_of = $3
				where id = $1 and email is distinct from $2 and email_as_of <= $3
			), confirmed as (
				update users set email_as_of = $3 where id in (
					select id from users
					where id = $1 and email is not distinct from $2 and email_as_of < $3::timestamptz - interval '1 minute'
					for no key update skip locked)
			)
			select exists (select from users where id = $1)`, u.ID, u.Email, u.AsOf).Scan(&onRecord)
	})
	return onRecord, err
}

var errNoTask = fault.NotFound("there is no such task; GET /api/tasks lists yours")

const taskColumns = `t.id, t.user_id, t.title, t.notes, t.due_date, t.completed, t.channels, t.version, t.created_at, t.updated_at,
	t.due_local, t.due_all_day, coalesce(t.time_zone, ''), t.recurrence::text, t.series, t.through, t.open_occurrence, t.occurrence_number,
	t.repeat_every, coalesce(t.repeat_times, 0), t.urgent`

// taskRow is a row of taskColumns.
type taskRow struct {
	task.Task
	local, through, open *time.Time
	allDay               bool
	recurrence           []byte
	every                *time.Duration
	times                int
}

func (r *taskRow) fields() []any {
	return []any{
		&r.ID, &r.UserID, &r.Title, &r.Notes, &r.DueDate, &r.Completed, &r.Channels, &r.Version, &r.CreatedAt, &r.UpdatedAt,
		&r.local, &r.allDay, &r.Due.Zone, &r.recurrence, &r.Progress.Series, &r.through, &r.open, &r.Progress.Number,
		&r.every, &r.times, &r.Urgent,
	}
}

func (r taskRow) task() (t task.Task, err error) {
	t = r.Task
	t.Progress.Through, t.Progress.Open = occurrenceOf(r.through), occurrenceOf(r.open)
	if t.Recurrence, err = parseRecurrence(r.recurrence); err != nil {
		return t, err
	}
	if r.every != nil {
		t.Repeat = &task.Repeat{Every: *r.every, Times: r.times}
	}
	if r.local != nil {
		t.Due.Form, t.Due.Local = task.ByClock, wallclock.FromUTC(*r.local)
		if r.allDay {
			t.Due.Form = task.ByDay
		}
	}
	return t, nil
}

const reminderColumns = `r.id, r.before, r.fire_at, r.state, r.revision, coalesce(r.confirmed_revision, 0), r.removed_at is not null,
	r.before_days, coalesce(r.derived_clock, 0), coalesce(r.derived_tz, ''), r.occurrence,
	r.kind, coalesce(r.repeats, '00000000-0000-0000-0000-000000000000'), r.repetition`

// reminderFields are the targets for scanning reminderColumns.
func reminderFields(r *task.Reminder) []any {
	return []any{
		&r.ID, &r.Before.Exact, &r.FireAt, &r.State, &r.Revision, &r.Confirmed, &r.Removed,
		&r.Before.Days, &r.Source.Clock, &r.Source.Release,
		occurrenceField{&r.Occurrence},
		&r.Kind, &r.Repeats, &r.Repetition,
	}
}

// occurrenceField scans a nullable timestamp into an occurrence.
type occurrenceField struct{ to **wallclock.Time }

// Scan implements sql.Scanner.
func (f occurrenceField) Scan(value any) error {
	*f.to = nil
	if value == nil {
		return nil
	}
	at, ok := value.(time.Time)
	if !ok {
		return fmt.Errorf("an occurrence is a %T", value)
	}
	*f.to = occurrenceOf(&at)
	return nil
}

// InsertTasks stores new tasks with their reminders, in one exchange with the server however many
// there are.
//
// The confirmed reminders were scheduled ago before now; the caller schedules the others that are
// due up to until. If Dapr's scheduler was found to have lost its data since then, none is stored
// as confirmed, because the jobs may be lost, too. kept is false then. If a user's clock has
// changed since the tasks were planned, their reminders follow it later, like those that were
// stored before.
func (tx Tx) InsertTasks(ctx context.Context, tasks []task.Task, until time.Time, ago time.Duration) (kept bool, err error) {
	var batch pgx.Batch
	queueTasks(&batch, nil, tasks, nil, until, ago, &kept)
	err = tx.tx.SendBatch(ctx, &batch).Close()
	return kept, err
}

// InsertTasks saves users, and stores tasks of theirs or of other users on record, in one exchange
// with the server, all or none. See [Tx.InsertTasks].
//
// The tasks of the users in assumed were planned without default reminders, though the caller has
// not read their preferences. If one of them has default reminders, the error is
// [ErrDefaultReminders].
func (s *Store) InsertTasks(ctx context.Context, sharing Sharing, users []User, tasks []task.Task, assumed []string, until time.Time, ago time.Duration) (kept bool, err error) {
	began := time.Now()
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		sharing.queue(batch)
		queueTasks(batch, users, tasks, assumed, until, ago+time.Since(began), &kept)
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == divisionByZero {
		err = ErrDefaultReminders
	}
	return kept, err
}

// ErrDefaultReminders says that a user has default reminders, and the tasks were planned without.
// Nothing was stored.
var ErrDefaultReminders = errors.New("the user has chosen default reminders")

// divisionByZero is the error by which a statement reports that an assumption was wrong. No other
// statement divides.
const divisionByZero = "22012"

// queueUsers saves users. Its condition avoids locking rows in the usual case, in which nothing is
// new.
func queueUsers(batch *pgx.Batch, users []User) {
	latest := map[string]User{}
	for _, u := range users {
		before, known := latest[u.ID]
		if !known || !u.KeepEmail && (before.KeepEmail || !u.AsOf.Before(before.AsOf)) {
			latest[u.ID] = u
		}
	}
	ids, keep := []string{}, []string{}
	var emails []*string
	var asOf []time.Time
	for id, u := range latest {
		ids, emails, asOf = append(ids, id), append(emails, u.Email), append(asOf, u.AsOf)
		if u.KeepEmail {
			keep = append(keep, id)
		}
	}
	batch.Queue(`
		insert into users (id, email, email_as_of)
		select n.id, n.email, case when n.id = any($4::text[]) then '-infinity' else n.as_of end
		from unnest($1::text[], $2::text[], $3::timestamptz[]) as n (id, email, as_of)
		where not exists (
			select from users u
			where u.id = n.id and (n.id = any($4::text[]) or u.email is not distinct from n.email or u.email_as_of > n.as_of))
		order by n.id
		on conflict (id) do update set email = excluded.email, email_as_of = excluded.email_as_of
		where users.id <> all ($4::text[]) and users.email_as_of <= excluded.email_as_of`, ids, emails, asOf, keep)
}

func queueTasks(batch *pgx.Batch, users []User, tasks []task.Task, assumed []string, until time.Time, ago time.Duration, kept *bool) {
	var rows taskRows
	var reminders reminderRows
	confirmed := false
	clocks := map[string]int64{} // the oldest clock by which each user's reminders were planned
	for _, t := range tasks {
		rows.add(t)
		for _, r := range t.Reminders {
			reminders.add(t, r, until)
			confirmed = confirmed || r.Confirmed > 0
			if known, ok := clocks[t.UserID]; r.Source.Release != "" && r.Source.Clock >= 0 && (!ok || r.Source.Clock < known) {
				clocks[t.UserID] = r.Source.Clock
			}
		}
	}
	if confirmed {
		batch.Queue(lockToMark, sentinelLock)
	}
	if len(users) > 0 {
		queueUsers(batch, users)
	}
	if len(assumed) > 0 {
		batch.Queue(`select 1 / (not exists (select from preferences where user_id = any($1) and default_reminders is not null))::int`, assumed)
	}
	if len(clocks) > 0 {
		owners, versions := []string{}, []int64{}
		for owner, version := range clocks {
			owners, versions = append(owners, owner), append(versions, version)
		}
		batch.Queue(`
			update preferences p set clock_changed_at = now()
			from unnest($1::text[], $2::bigint[]) as n (user_id, version)
			where p.user_id = n.user_id and p.clock_version > n.version`, owners, versions)
	}
	rows.queue(batch)
	*kept = true
	reminders.queue(batch, ago, func(confirmations int) { *kept = confirmations > 0 || !confirmed })
}

// LockTask locks a user's task and all of its reminders, removed ones included, and returns them
// with the user's habits. The error is not_found if the user has no such task.
func (tx Tx) LockTask(ctx context.Context, userID string, id uuid.UUID) (task.Task, preferences.Habits, error) {
	var row taskRow
	var habits habitRow
	// "for no key update", since inserting a notification references the task's key.
	err := tx.tx.QueryRow(ctx, `
		select `+taskColumns+`, `+habitColumns+` from tasks t left join preferences p on p.user_id = t.user_id
		where t.id = $1 and t.user_id = $2 and t.deleted_at is null for no key update of t`, id, userID).
		Scan(append(row.fields(), habits.fields()...)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return task.Task{}, preferences.Habits{}, errNoTask
	}
	if err != nil {
		return task.Task{}, preferences.Habits{}, err
	}
	t, err := row.task()
	if err != nil {
		return task.Task{}, preferences.Habits{}, err
	}
	// They are locked first and then read. Firing a reminder may insert a repetition, and a single
	// statement that waited for that would not see it.
	var batch pgx.Batch
	batch.Queue(`select from reminders where task_id = $1 order by id for no key update`, id)
	batch.Queue(`select `+reminderColumns+` from reminders r where r.task_id = $1 order by r.id for no key update`, id).Query(func(rows pgx.Rows) error {
		t.Reminders, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r task.Reminder, err error) {
			err = row.Scan(reminderFields(&r)...)
			return r, err
		})
		return err
	})
	if err := tx.tx.SendBatch(ctx, &batch).Close(); err != nil {
		return task.Task{}, preferences.Habits{}, err
	}
	t.Before = offsets(t.Reminders)
	h, err := habits.habits()
	return t, h, err
}

// offsets returns the offsets that the task has now.
func offsets(rs []task.Reminder) []task.Offset {
	out := make([]task.Offset, 0, len(rs))
	for _, r := range rs {
		if !r.Removed && !r.Besides() {
			out = append(out, r.Before)
		}
	}
	return out
}

// UpdateTask stores a task, and its reminders, after a change. before is the task that LockTask
// returned. It cancels deliveries that are no longer wanted, as notWanted says. A delivery that is
// being sent at this moment is cancelled, too: its sender can still record it as sent, but nobody
// tries it again.
//
// UpdateTask records the jobs that became leftovers, and returns them. The caller schedules the
// reminders that are pending and due up to until.
func (tx Tx) UpdateTask(ctx context.Context, before, t task.Task, until time.Time) (left Leftovers, err error) {
	if _, err := tx.tx.Exec(ctx, `
		update tasks set title = $2, notes = $3, due_date = $4, completed = $5, channels = $6, version = $7, updated_at = $8,
			due_local = $9, due_all_day = $10, time_zone = nullif($11, ''),
			recurrence = $12::text::jsonb, series = $13, through = $14, open_occurrence = $15, occurrence_number = $16,
			repeat_every = $17, repeat_times = $18, urgent = $19
		where id = $1`,
		t.ID, t.Title, t.Notes, t.DueDate, t.Completed, t.Channels, t.Version, t.UpdatedAt, pgLocal(t.Due), t.Due.Form == task.ByDay, t.Due.Zone,
		pgRecurrence(t.Recurrence), t.Progress.Series, pgOccurrence(t.Progress.Through), pgOccurrence(t.Progress.Open), t.Progress.Number,
		pgEvery(t.Repeat), pgTimes(t.Repeat), t.Urgent); err != nil {
		return Leftovers{}, err
	}
	if t.Urgent && !before.Urgent {
		if err := tx.judgeHeldAgain(ctx, `d.task_id = $1`, t.ID); err != nil {
			return Leftovers{}, err
		}
	}
	if ids := outOfForce(before.Reminders, t.Reminders); len(ids) > 0 {
		if left, err = tx.recordLeftovers(ctx, `id = any($1)`, ids); err != nil {
			return Leftovers{}, err
		}
	}
	if err := tx.saveReminders(ctx, before.Reminders, t, until); err != nil {
		return Leftovers{}, err
	}
	if err := tx.cancelDeliveries(ctx, t.ID); err != nil {
		return Leftovers{}, err
	}
	if len(t.Reminders) <= maxReminderRows {
		return left, nil
	}
	_, err = tx.tx.Exec(ctx, `
		delete from reminders r where r.task_id = $1 and r.removed_at is not null
		and not exists (select from deliveries d where d.reminder_id = r.id)`, t.ID)
	return left, err
}

// outOfForce returns the reminders whose revision before has ended: they were armed anew, disarmed
// or removed.
func outOfForce(before, after []task.Reminder) (ids []uuid.UUID) {
	for _, old := range before {
		if !slices.ContainsFunc(after, func(r task.Reminder) bool {
			return r.ID == old.ID && r.Revision == old.Revision && r.State == old.State && r.Removed == old.Removed
		}) {
			ids = append(ids, old.ID)
		}
	}
	return ids
}

// maxReminderRows is how many rows of reminders a task may have, removed ones included. Beyond
// that, removed ones without deliveries are deleted. A leftover job of theirs is skipped.
const maxReminderRows = 3 * task.MaxReminders

// DeleteTask marks a task that LockTask returned as deleted, and cancels its reminders and unsent
// deliveries. Retention deletes the rows later. DeleteTask records the jobs that became leftovers,
// and returns them.
func (tx Tx) DeleteTask(ctx context.Context, id uuid.UUID) (Leftovers, error) {
	if _, err := tx.tx.Exec(ctx, `update tasks set deleted_at = now(), version = version + 1 where id = $1`, id); err != nil {
		return Leftovers{}, err
	}
	left, err := tx.recordLeftovers(ctx, `task_id = $1`, id)
	if err != nil {
		return Leftovers{}, err
	}
	if _, err := tx.tx.Exec(ctx, `update reminders set state = 'cancelled' where task_id = $1 and state = 'armed'`, id); err != nil {
		return Leftovers{}, err
	}
	return left, tx.cancelDeliveries(ctx, id)
}

// saveReminders stores the differences between before and t's reminders.
func (tx Tx) saveReminders(ctx context.Context, before []task.Reminder, t task.Task, until time.Time) error {
	var batch pgx.Batch
	var added reminderRows
	for _, r := range t.Reminders {
		i := slices.IndexFunc(before, func(old task.Reminder) bool { return old.ID == r.ID })
		switch {
		case i < 0:
			added.add(t, r, until)
		case r != before[i]:
			clock, release := pgSource(r.Source)
			batch.Queue(`
				update reminders set fire_at = $2, state = $3,
					schedule_attempts = case when revision = $4 then schedule_attempts else 0 end,
					next_schedule_at = case when revision = $4 then next_schedule_at end,
					last_scheduling_at = case when $6 then now() when revision = $4 then last_scheduling_at else '-infinity' end,
					revision = $4,
					fired_at = case when $3 = 'fired' then fired_at end,
					removed_at = case when $5 then coalesce(removed_at, now()) end,
					derived_clock = $7, derived_tz = $8, occurrence = $9
				where id = $1`,
				r.ID, r.FireAt, r.State, r.Revision, r.Removed, r.Pending(until), clock, release, pgOccurrence(r.Occurrence))
		case r.Pending(until):
			// The caller schedules it with the others.
			batch.Queue(`update reminders set last_scheduling_at = now() where id = $1`, r.ID)
		}
	}
	added.queue(&batch, 0, func(int) {})
	return tx.tx.SendBatch(ctx, &batch).Close()
}

// notWanted is the condition for a delivery d of a reminder r and a task t that must not be sent
// any more. That is so if the task was deleted, completed or lost its due date, if the reminder was
// removed, or:
//
//   - a reminder of a task that does not recur: it was cancelled or armed anew;
//   - a snooze or a repetition: it was cancelled;
//   - an occurrence of a recurring task: an edit began a new series, or the occurrence was completed
//     or skipped. The reminder itself may wait for a later occurrence already.
//
// Events are always wanted: it remains true that the reminder fired.
const notWanted = `d.channel <> 'event' and (t.deleted_at is not null or t.completed or t.due_date is null or r.removed_at is not null
	or case when d.occurrence is null and r.kind <> 'due' then r.state = 'cancelled'
		when d.occurrence is null then r.state <> 'fired' or r.revision <> d.revision
		else t.series <> d.series or t.recurrence is null or exists (
			select from occurrences o where o.task_id = t.id and o.series = d.series and o.occurrence = d.occurrence and o.state in ('completed', 'skipped')) end)`

// cancelDeliveries cancels the unsent deliveries of a task that are not wanted any more. It
// resolves their dead letters, and those of deliveries that were given up before.
func (tx Tx) cancelDeliveries(ctx context.Context, taskID uuid.UUID) error {
	return tx.cancel(ctx, `
		select d.id, case when t.deleted_at is not null then 'deleted' when t.completed then 'completed' else coalesce((
				select o.state from occurrences o where o.task_id = t.id and o.series = d.series and o.occurrence = d.occurrence and o.state in ('completed', 'skipped')
			), case when r.kind = 'repeat' and t.repeat_every is null then 'unrepeated' else 'moved' end) end as reason
		from deliveries d join reminders r on r.id = d.reminder_id join tasks t on t.id = r.task_id
		where d.task_id = $1 and `+isOpenOrGivenUp+` and `+notWanted, taskID)
}

// isOpenOrGivenUp is the condition for a delivery d that was neither sent nor refused for good. A
// member of a frozen bundle counts as sent: it is sent with the others, or not at all.
const isOpenOrGivenUp = `(d.state in ('planned', 'sending', 'unknown', 'exhausted')
	or d.state = 'bundled' and exists (select from bundles b where b.id = d.bundle_id and b.frozen_at is null))`

// cancel cancels the chosen deliveries d that are unsent, each with its chosen reason, and resolves
// the dead letters of all chosen ones.
func (tx Tx) cancel(ctx context.Context, chosen string, args ...any) error {
	var batch pgx.Batch
	// Locks open bundles, so that none is frozen while a member leaves.
	batch.Queue(`
		with chosen as (`+chosen+`)
		select from bundles where frozen_at is null and id in (select d.bundle_id from deliveries d join chosen on chosen.id = d.id where d.state = 'bundled')
		order by user_id, channel, target for no key update`, args...)
	batch.Queue(`
		with chosen as materialized (`+chosen+` order by d.id for update of d), cancelled as (
			update deliveries d set state = 'cancelled', reason = chosen.reason, bundle_id = null, next_attempt_at = null, finished_at = now()
			from chosen where d.id = chosen.id and d.state <> 'exhausted'
		)
		update dead_letters l set state = 'resolved', updated_at = now()
		from chosen where l.delivery_id = chosen.id and l.state in ('retrying', 'dead')`, args...)
	return tx.tx.SendBatch(ctx, &batch).Close()
}

// GetTask returns a user's task. The error is not_found if the user has no such task.
func (s *Store) GetTask(ctx context.Context, userID string, id uuid.UUID) (task.Task, error) {
	var t task.Task
	err := s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tasks, err := queryTasks(ctx, tx, fromTasks+`where t.id = $1 and t.user_id = $2 and t.deleted_at is null`, id, userID)
		if err != nil {
			return err
		}
		if len(tasks) == 0 {
			return errNoTask
		}
		t = tasks[0]
		return nil
	})
	return t, err
}

// fromTasks is the first part of the statements for queryTasks.
const fromTasks = `select ` + taskColumns + `, ` + habitColumns + ` from tasks t left join preferences p on p.user_id = t.user_id `

// derive sets a task's due date to what it is now by the user's clock. For a recurring task that is
// the current occurrence's.
func derive(t *task.Task, c task.Clock, now time.Time) {
	_ = t.Derive(c) // without a zone it stays as stored
	t.Clock = c
	if current, _ := t.Current(c, now); current != nil {
		t.DueDate = &current.Instant
	}
}

// queryTasks runs a query that begins with fromTasks. It derives the due dates as derive does, and
// adds each task's reminders: the earliest first, then snoozes and repetitions, without removed
// ones.
func queryTasks(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]task.Task, error) {
	rows, _ := tx.Query(ctx, sql, args...)
	tasks, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (task.Task, error) {
		var row taskRow
		var habits habitRow
		if err := r.Scan(append(row.fields(), habits.fields()...)...); err != nil {
			return task.Task{}, err
		}
		t, err := row.task()
		if err != nil {
			return t, err
		}
		h, err := habits.habits()
		derive(&t, h.Clock, time.Now())
		return t, err
	})
	if err != nil || len(tasks) == 0 {
		return tasks, err
	}
	ids := make([]uuid.UUID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	rows, _ = tx.Query(ctx, `
		select r.task_id, `+reminderColumns+` from reminders r
		where r.task_id = any($1) and r.removed_at is null order by r.kind <> 'due', r.before + make_interval(days => r.before_days) desc, r.before_days desc`, ids)
	var taskID uuid.UUID
	var r task.Reminder
	_, err = pgx.ForEachRow(rows, append([]any{&taskID}, reminderFields(&r)...), func() error {
		i := slices.Index(ids, taskID)
		tasks[i].Reminders = append(tasks[i].Reminders, r)
		return nil
	})
	for i := range tasks {
		tasks[i].Before = offsets(tasks[i].Reminders)
	}
	return tasks, err
}
