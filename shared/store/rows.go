package store

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/shared/task"
)

// taskRows are new rows of the table tasks, column by column: one statement takes any
// number of them, and is prepared once. For a thousand rows that is as fast as COPY, for
// one as fast as a statement of its own.
type taskRows struct {
	ids                  []uuid.UUID
	users, titles, notes []string
	dueDates             []*time.Time
	completed            []bool
	channels             []*string // joined by commas: Postgres has no arrays of different lengths in one
	versions             []int64
	created, updated     []time.Time
}

func (c *taskRows) add(t task.Task) {
	c.ids = append(c.ids, t.ID)
	c.users = append(c.users, t.UserID)
	c.titles = append(c.titles, t.Title)
	c.notes = append(c.notes, t.Notes)
	c.dueDates = append(c.dueDates, t.DueDate)
	c.completed = append(c.completed, t.Completed)
	c.channels = append(c.channels, joined(t.Channels))
	c.versions = append(c.versions, t.Version)
	c.created = append(c.created, t.CreatedAt)
	c.updated = append(c.updated, t.UpdatedAt)
}

func joined(channels []task.Channel) *string {
	if channels == nil {
		return nil
	}
	names := make([]string, len(channels))
	for i, c := range channels {
		names[i] = string(c)
	}
	all := strings.Join(names, ",")
	return &all
}

func (c *taskRows) queue(batch *pgx.Batch) {
	batch.Queue(`
		insert into tasks (id, user_id, title, notes, due_date, completed, channels, version, created_at, updated_at)
		select n.id, n.user_id, n.title, n.notes, n.due_date, n.completed, string_to_array(n.channels, ','), n.version, n.created_at, n.updated_at
		from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[], $7::text[], $8::bigint[], $9::timestamptz[], $10::timestamptz[])
			as n (id, user_id, title, notes, due_date, completed, channels, version, created_at, updated_at)`,
		c.ids, c.users, c.titles, c.notes, c.dueDates, c.completed, c.channels, c.versions, c.created, c.updated)
}

// reminderRows are new rows of the table reminders, column by column.
type reminderRows struct {
	ids, tasks []uuid.UUID
	users      []string
	before     []time.Duration
	fireAt     []*time.Time
	states     []string
	revisions  []int64
	scheduling []bool // its job is about to be scheduled
}

func (c *reminderRows) add(t task.Task, r task.Reminder, until time.Time) {
	c.ids = append(c.ids, r.ID)
	c.tasks = append(c.tasks, t.ID)
	c.users = append(c.users, t.UserID)
	c.before = append(c.before, r.Before)
	c.fireAt = append(c.fireAt, r.FireAt)
	c.states = append(c.states, string(r.State))
	c.revisions = append(c.revisions, r.Revision)
	c.scheduling = append(c.scheduling, r.Pending(until))
}

func (c *reminderRows) queue(batch *pgx.Batch) {
	if len(c.ids) == 0 {
		return
	}
	batch.Queue(`
		insert into reminders (id, task_id, user_id, before, fire_at, state, revision, last_scheduling_at)
		select n.id, n.task_id, n.user_id, n.before, n.fire_at, n.state, n.revision, case when n.scheduling then now() else '-infinity' end
		from unnest($1::uuid[], $2::uuid[], $3::text[], $4::interval[], $5::timestamptz[], $6::text[], $7::bigint[], $8::boolean[])
			as n (id, task_id, user_id, before, fire_at, state, revision, scheduling)`,
		c.ids, c.tasks, c.users, c.before, c.fireAt, c.states, c.revisions, c.scheduling)
}

// deliveryRows are new rows of the table deliveries, column by column.
type deliveryRows struct {
	ids, reminders           []uuid.UUID
	revisions                []int64
	tasks                    []uuid.UUID
	users, channels, targets []string
	states, problems         []string
	due                      []time.Time
}

func (c *deliveryRows) add(d Delivery, due time.Time) {
	c.ids = append(c.ids, d.ID)
	c.reminders = append(c.reminders, d.ReminderID)
	c.revisions = append(c.revisions, d.Revision)
	c.tasks = append(c.tasks, d.TaskID)
	c.users = append(c.users, d.UserID)
	c.channels = append(c.channels, string(d.Channel))
	c.targets = append(c.targets, d.Target)
	c.states = append(c.states, string(d.State))
	c.problems = append(c.problems, d.LastError)
	c.due = append(c.due, due)
}

func (c *deliveryRows) queue(batch *pgx.Batch) {
	batch.Queue(`
		insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, last_error, due_at, next_attempt_at, finished_at)
		select n.id, n.reminder_id, n.revision, n.task_id, n.user_id, n.channel, n.target, n.state, nullif(n.last_error, ''), n.due_at,
			case when n.state = 'planned' then now() end, case when n.state <> 'planned' then now() end
		from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[])
			as n (id, reminder_id, revision, task_id, user_id, channel, target, state, last_error, due_at)`,
		c.ids, c.reminders, c.revisions, c.tasks, c.users, c.channels, c.targets, c.states, c.problems, c.due)
}

// notificationRows are new rows of the table notifications, column by column.
type notificationRows struct {
	ids, tasks            []uuid.UUID
	users, titles, bodies []string
}

func (c *notificationRows) add(n Notification) {
	c.ids = append(c.ids, n.ID)
	c.tasks = append(c.tasks, n.TaskID)
	c.users = append(c.users, n.UserID)
	c.titles = append(c.titles, n.Title)
	c.bodies = append(c.bodies, n.Body)
}

func (c *notificationRows) queue(batch *pgx.Batch) {
	if len(c.ids) == 0 {
		return
	}
	// Locked before they are counted up, in the order of their ids.
	batch.Queue(`select from users where id = any($1) order by id for no key update`, c.users)
	// Not now(): the transaction may have begun before the reminder was due, and waited
	// for a lock.
	batch.Queue(`
		with new as (
			select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[]) with ordinality as n (id, user_id, task_id, title, body, place)
		), next as (
			update users u set last_seq = u.last_seq + c.count
			from (select user_id, count(*) from new group by user_id) c where u.id = c.user_id
			returning u.id, u.last_seq - c.count as last_seq
		)
		insert into notifications (id, user_id, seq, task_id, title, body, created_at)
		select n.id, n.user_id, next.last_seq + row_number() over (partition by n.user_id order by n.place), n.task_id, n.title, n.body, clock_timestamp()
		from new n join next on next.id = n.user_id`,
		c.ids, c.users, c.tasks, c.titles, c.bodies)
}
