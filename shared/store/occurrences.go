package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// Occurrence is what became of one occurrence of a recurring task.
type Occurrence struct {
	TaskID uuid.UUID
	Series int64
	Local  wallclock.Time
	// Instant is when it was due by the user's clock of that time.
	Instant time.Time
	State   task.Settled
	At      time.Time // when this was recorded
}

// occurrenceRows are the history of occurrences, column by column.
type occurrenceRows struct {
	tasks    pgtype.FlatArray[pgtype.UUID]
	series   pgtype.FlatArray[int64]
	locals   pgtype.FlatArray[pgtype.Timestamp]
	instants pgtype.FlatArray[time.Time]
	states   pgtype.FlatArray[string]
}

func (c *occurrenceRows) add(o Occurrence) {
	c.tasks = append(c.tasks, pgUUID(o.TaskID))
	c.series = append(c.series, o.Series)
	c.locals = append(c.locals, pgtype.Timestamp{Time: o.Local.UTC(), Valid: true})
	c.instants = append(c.instants, o.Instant)
	c.states = append(c.states, string(o.State))
}

// queue stores the rows. For one occurrence, completed or skipped replaces told, and told replaces
// missed.
func (c *occurrenceRows) queue(batch *pgx.Batch) {
	if len(c.tasks) == 0 {
		return
	}
	batch.Queue(`
		insert into occurrences as o (task_id, series, occurrence, occurs_at, state)
		select distinct on (n.task_id, n.series, n.occurrence) n.* from unnest($1::uuid[], $2::bigint[], $3::timestamp[], $4::timestamptz[], $5::text[])
			as n (task_id, series, occurrence, occurs_at, state)
		order by n.task_id, n.series, n.occurrence, array_position(array['completed', 'skipped', 'told', 'missed'], n.state)
		on conflict (task_id, series, occurrence) do update set state = excluded.state, settled_at = now()
		where o.state = 'missed' and excluded.state <> 'missed' or o.state = 'told' and excluded.state in ('completed', 'skipped')`,
		c.tasks, c.series, c.locals, c.instants, c.states)
}

// occurrenceShown is the SQL for the occurrence of a delivery d of a task t, as people read it;
// empty if the task does not recur.
const occurrenceShown = `coalesce(to_char(d.occurrence, case
					when t.due_all_day then 'YYYY-MM-DD'
					when extract(second from d.occurrence) = 0 then 'YYYY-MM-DD"T"HH24:MI'
					else 'YYYY-MM-DD"T"HH24:MI:SS' end), '')`

// SettledAs returns what became of an occurrence of a task's series, "" if nothing is recorded.
func (tx Tx) SettledAs(ctx context.Context, taskID uuid.UUID, series int64, local wallclock.Time) (state task.Settled, err error) {
	err = tx.tx.QueryRow(ctx, `select state from occurrences where task_id = $1 and series = $2 and occurrence = $3`, taskID, series, local.UTC()).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return state, err
}

// CloseOccurrence stores that an occurrence of a task was completed or skipped. before is the task
// that LockTask returned; t is the task afterwards. It cancels the unsent deliveries of that
// occurrence alone. It records the jobs that became leftovers, and returns them. The caller
// schedules the reminders that are pending and due up to until.
func (tx Tx) CloseOccurrence(ctx context.Context, before, t task.Task, o Occurrence, until time.Time) (left Leftovers, err error) {
	if left, err = tx.UpdateTask(ctx, before, t, until); err != nil {
		return left, err
	}
	var batch pgx.Batch
	var rows occurrenceRows
	rows.add(o)
	rows.queue(&batch)
	if err := tx.tx.SendBatch(ctx, &batch).Close(); err != nil {
		return left, err
	}
	return left, tx.cancelDeliveries(ctx, t.ID)
}

// ListOccurrences returns up to limit occurrences of a user's task with what became of them, the
// newest first. If before is not nil, it returns only earlier ones.
func (s *Store) ListOccurrences(ctx context.Context, userID string, taskID uuid.UUID, before *time.Time, limit int) (t task.Task, list []Occurrence, err error) {
	if t, err = s.GetTask(ctx, userID, taskID); err != nil {
		return t, nil, err
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		list, err = latestOccurrences(ctx, tx, taskID, before, limit)
		return err
	})
	return t, list, err
}

func latestOccurrences(ctx context.Context, tx pgx.Tx, taskID uuid.UUID, before *time.Time, limit int) ([]Occurrence, error) {
	rows, _ := tx.Query(ctx, `
		select task_id, series, occurrence, occurs_at, state, settled_at from occurrences
		where task_id = $1 and ($2::timestamptz is null or occurs_at < $2)
		order by occurs_at desc, series desc, occurrence desc limit $3`, taskID, before, limit)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Occurrence, err error) {
		var local time.Time
		err = row.Scan(&o.TaskID, &o.Series, &local, &o.Instant, &o.State, &o.At)
		o.Local = wallclock.FromUTC(local)
		return o, err
	})
}

// rearmed are reminders that firing has armed for their next occurrence or repetition, column by
// column.
type rearmed struct {
	ids       pgtype.FlatArray[pgtype.UUID]
	revisions pgtype.FlatArray[int64]
	locals    pgtype.FlatArray[pgtype.Timestamp]
	fireAt    pgtype.FlatArray[pgtype.Timestamptz]
	clocks    pgtype.FlatArray[pgtype.Int8]
	releases  pgtype.FlatArray[pgtype.Text]
	numbers   pgtype.FlatArray[int32]
}

func (c *rearmed) add(r task.Reminder) {
	c.ids = append(c.ids, pgUUID(r.ID))
	c.revisions = append(c.revisions, r.Revision)
	c.locals = append(c.locals, pgOccurrence(r.Occurrence))
	c.fireAt = append(c.fireAt, pgInstant(r.FireAt))
	clock, release := pgSource(r.Source)
	c.clocks, c.releases = append(c.clocks, clock), append(c.releases, release)
	c.numbers = append(c.numbers, int32(r.Repetition)) //nolint:gosec // 50 at most
}

const (
	// ArmedAhead is how far ahead a reminder must be due for the sweep to leave it to the Firer that has armed it.
	ArmedAhead = time.Minute
	// armedWait is for how long the sweep leaves such a reminder alone.
	armedWait = 30 * time.Second
)

// armedFor returns for how long the sweep leaves alone the reminders that these firings arm. Otherwise
// the sweep and the Firer would both schedule the same jobs in a burst.
func armedFor(all []Firing) time.Duration {
	if slices.ContainsFunc(all, func(f Firing) bool { return f.Schedules }) {
		return armedWait
	}
	return 0
}

// queue stores the rows. The sweep does not schedule these reminders before wait is over.
func (c *rearmed) queue(batch *pgx.Batch, wait time.Duration) {
	if len(c.ids) == 0 {
		return
	}
	batch.Queue(`
		update reminders r set revision = n.revision, occurrence = n.occurrence, fire_at = n.fire_at, derived_clock = n.derived_clock, derived_tz = n.derived_tz,
			repetition = n.repetition, schedule_attempts = 0, last_scheduling_at = now(),
			next_schedule_at = case when n.fire_at > now() + $8::interval then now() + $9::interval end
		from unnest($1::uuid[], $2::bigint[], $3::timestamp[], $4::timestamptz[], $5::bigint[], $6::text[], $7::int[])
			as n (id, revision, occurrence, fire_at, derived_clock, derived_tz, repetition)
		where r.id = n.id`, c.ids, c.revisions, c.locals, c.fireAt, c.clocks, c.releases, c.numbers, ArmedAhead, wait)
}

func pgOccurrence(local *wallclock.Time) pgtype.Timestamp {
	if local == nil {
		return pgtype.Timestamp{}
	}
	return pgtype.Timestamp{Time: local.UTC(), Valid: true}
}

func occurrenceOf(local *time.Time) *wallclock.Time {
	if local == nil {
		return nil
	}
	t := wallclock.FromUTC(*local)
	return &t
}

// definition is a recurrence as it is stored.
type definition struct {
	Rule   string          `json:"rule"`
	Skip   recurrence.Skip `json:"skip"`
	From   recurrence.From `json:"from"`
	Except []string        `json:"except,omitempty"`
}

// pgRecurrence is a recurrence as JSON, or null.
func pgRecurrence(d *recurrence.Definition) pgtype.Text {
	if d == nil {
		return pgtype.Text{}
	}
	text, err := json.Marshal(definition(*d))
	if err != nil {
		panic(err) // no value of the type fails
	}
	return pgtype.Text{String: string(text), Valid: true}
}

func parseRecurrence(text []byte) (*recurrence.Definition, error) {
	if text == nil {
		return nil, nil
	}
	var d definition
	err := json.Unmarshal(text, &d)
	of := recurrence.Definition(d)
	return &of, err
}
