package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// This file reads the timeline of a task.

// Try records that an attempt failed, or that a delivery was held or replayed.
type Try struct {
	At time.Time `json:"at"`
	// Attempt is the number of attempts since the latest replay.
	Attempt  int    `json:"attempt"`
	Provider string `json:"provider"`
	// State is the delivery's state after it, or [TryHeld] or [TryReplayed].
	State DeliveryState `json:"state"`
	Error string        `json:"error"`
	// Next is when the next attempt was planned for; nil: none was.
	Next *time.Time `json:"next"`
}

// States of tries that are no states of deliveries.
const (
	TryHeld     DeliveryState = "held"     // until Next, by a limit or by quiet hours
	TryReplayed DeliveryState = "replayed" // an operator has replayed it
)

// byQuietHours is the error of a try that quiet hours held.
const byQuietHours = "your quiet hours"

// Reason returns why this try held the delivery; "" if it did not.
func (t Try) Reason() Reason {
	switch {
	case t.State != TryHeld:
		return ""
	case t.Error == byQuietHours:
		return ReasonQuietHours
	default:
		return ReasonHourlyLimit
	}
}

// mostTries is how many tries a delivery keeps, the latest ones.
const mostTries = 20

// triedAs is the SQL that appends a try to those of a delivery d.
func triedAs(state, problem, next string) string {
	return fmt.Sprintf(`(case when jsonb_array_length(d.tries) >= %d then d.tries - 0 else coalesce(d.tries, '[]') end || jsonb_build_object(
		'at', now(), 'attempt', d.attempts, 'provider', coalesce(d.provider, ''), 'state', %s, 'error', coalesce(%s, ''), 'next', %s))`, mostTries, state, problem, next)
}

// Timeline is what became of a task, and what is still to come.
type Timeline struct {
	Task        task.Task
	Reminders   []TimelineReminder // those of the task, and removed ones with deliveries here
	Occurrences []Occurrence       // the latest, the newest first
	Deliveries  []TimelineDelivery // the latest, the oldest first
	More        bool               // there are older occurrences or deliveries
}

// TimelineReminder is a reminder, and what is known of its job.
type TimelineReminder struct {
	task.Reminder
	FiredAt *time.Time
	// ScheduledAt is when the latest call that schedules its job began; nil: none was recorded.
	ScheduledAt *time.Time
	// Refused is how often the sweep failed to schedule the job. AgainAt is when it tries next.
	Refused int
	AgainAt *time.Time
}

// TimelineDelivery is a delivery with its tries.
type TimelineDelivery struct {
	Delivery
	DueAt      *time.Time // when it should have been planned; nil: unknown
	Occurrence *wallclock.Time
	Tries      []Try // the oldest first, with those of its bundle
	// BundleReminders is how many reminders its bundle has; 0 if it is in none.
	BundleReminders int
	// ReadAt, ArchivedAt and AcknowledgedAt are those of an in-app delivery's notification.
	ReadAt, ArchivedAt, AcknowledgedAt *time.Time
}

// GetTimeline returns the timeline of a user's task, with up to most deliveries and most
// occurrences, the latest ones.
func (s *Store) GetTimeline(ctx context.Context, userID string, id uuid.UUID, most int) (l Timeline, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		l = Timeline{}
		tasks, err := queryTasks(ctx, tx, fromTasks+`where t.id = $1 and t.user_id = $2 and t.deleted_at is null`, id, userID)
		if err != nil {
			return err
		}
		if len(tasks) == 0 {
			return errNoTask
		}
		l.Task = tasks[0]
		if l.Occurrences, err = latestOccurrences(ctx, tx, id, nil, most+1); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `
			select * from (
				select `+loggedColumns+`, d.due_at, d.occurrence, coalesce(d.tries, '[]') || coalesce(c.tries, '[]'),
					(select count(*) from deliveries m where m.bundle_id = d.bundle_id and m.id <> m.bundle_id), n.read_at, n.archived_at, n.acknowledged_at
				from deliveries d left join notifications n on d.channel = 'in_app' and n.id = d.id left join deliveries c on c.id = d.bundle_id`+withBundles+`
				where d.task_id = $1 order by d.id desc limit $2) latest
			order by 1`, id, most+1)
		l.Deliveries, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d TimelineDelivery, err error) {
			err = scanLogged(row, &d.Delivery, &d.DueAt, occurrenceField{&d.Occurrence}, &d.Tries, &d.BundleReminders, &d.ReadAt, &d.ArchivedAt, &d.AcknowledgedAt)
			inUTC(d.Tries)
			return d, err
		})
		if err != nil {
			return err
		}
		if len(l.Occurrences) > most {
			l.Occurrences, l.More = l.Occurrences[:most], true
		}
		if len(l.Deliveries) > most {
			l.Deliveries, l.More = l.Deliveries[1:], true
		}
		told := make([]uuid.UUID, len(l.Deliveries))
		for i, d := range l.Deliveries {
			told[i] = d.ReminderID
		}
		rows, _ = tx.Query(ctx, `
			select `+reminderColumns+`, r.fired_at, nullif(r.last_scheduling_at, '-infinity'), r.schedule_attempts, r.next_schedule_at from reminders r
			where r.task_id = $1 and (r.removed_at is null or r.id = any($2))
			order by r.before + make_interval(days => r.before_days) desc, r.before_days desc, r.id`, id, pgUUIDs(told))
		l.Reminders, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r TimelineReminder, err error) {
			err = row.Scan(append(reminderFields(&r.Reminder), &r.FiredAt, &r.ScheduledAt, &r.Refused, &r.AgainAt)...)
			return r, err
		})
		return err
	})
	return l, err
}

// inUTC has the times of tries be in UTC: the database writes JSON's times in a zone of its own.
func inUTC(tries []Try) {
	for i := range tries {
		t := &tries[i]
		t.At = t.At.UTC()
		if t.Next != nil {
			t.Next = new(t.Next.UTC())
		}
	}
}
