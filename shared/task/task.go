// Package task has the rules of tasks and reminders: which reminders a change arms, cancels or
// misses, and what a callback means for a reminder. It uses no database, no HTTP and no Dapr. The
// time is a parameter.
package task

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
)

// Task is something that a user wants to be reminded of.
type Task struct {
	ID     uuid.UUID
	UserID string
	Draft
	Progress Progress
	// Clock is the user's clock by which the task was read or planned.
	Clock     Clock
	Version   int64 // increases by one with each change
	CreatedAt time.Time
	UpdatedAt time.Time
	// Reminders are in the order of their instants, the earliest first.
	Reminders []Reminder
}

// DropRemoved removes the reminders that are marked Removed.
func (t *Task) DropRemoved() {
	t.Reminders = slices.DeleteFunc(t.Reminders, func(r Reminder) bool { return r.Removed })
}

// Draft is the part of a task that its user sets.
type Draft struct {
	Title string
	Notes string
	// DueDate is the instant at which the task is due, as it was given or derived from Due; nil: no
	// due date. It is in UTC and whole microseconds.
	DueDate *time.Time
	Due     Due
	// Recurrence is the rule by which the task recurs, starting at Due; nil: it does not recur.
	Recurrence *recurrence.Definition
	Completed  bool
	Channels   []Channel // nil: those of the user's preferences
	// Repeat is how reminders are repeated until they are acknowledged; nil: they are not.
	Repeat *Repeat
	Urgent bool // quiet hours do not hold it
	// Before are the offsets of the reminders before the due date. nil: those of the user's
	// preferences at the time when the task is stored.
	Before []Offset
}

// Offset says how long before the due date a reminder is.
type Offset = wallclock.Offset

// Active reports whether the task has reminders to fire: it has a due date and is not completed.
func (d Draft) Active() bool { return d.DueDate != nil && !d.Completed }

// Channel is a way to tell a user of a reminder.
type Channel string

// The channels. InApp can't fail on its own: it is written in the transaction that fires the
// reminder.
const (
	InApp   Channel = "in_app"
	Email   Channel = "email"
	Push    Channel = "push"
	SMS     Channel = "sms"
	Webhook Channel = "webhook"
	// Event publishes each fired reminder for programs. It is on or off for the whole installation.
	// No user chooses it.
	Event Channel = "event"
)

// Channels lists the channels that users choose from. Some may not be configured: a delivery on
// such a channel is recorded as failed.
var Channels = []Channel{InApp, Email, Push, SMS, Webhook}

// Reminder is an instant at which a task's user is told. The task has one for each offset before
// the due date, and others: see [Kind].
type Reminder struct {
	ID     uuid.UUID
	Kind   Kind
	Before Offset // of KindDue
	// Repeats is the reminder that a KindRepeat repeats. Repetition is the number of the
	// repetition, from 1.
	Repeats    uuid.UUID
	Repetition int
	// FireAt is its instant; nil while the task has no due date.
	FireAt *time.Time
	// Source is what FireAt was derived from.
	Source Source
	// Occurrence is the occurrence that it waits for, or told of; nil if the task does not recur.
	Occurrence *wallclock.Time
	State      State
	// Revision increases by one each time it is armed; 0: it was never armed.
	Revision int64
	// Confirmed is the revision whose job Dapr has confirmed.
	Confirmed int64
	// Removed says that the task no longer has its offset. The row is kept for its history. If the
	// offset is added again, the reminder gets the same ID.
	Removed bool
}

// State is the state of a reminder.
type State string

// The states. Armed is waiting; the others are final until the reminder is
// armed anew.
const (
	Armed     State = "armed"
	Fired     State = "fired"
	Cancelled State = "cancelled"
	Missed    State = "missed" // too old already when its task was stored
)

// Pending reports whether the reminder still has to be scheduled. Those that are due later than
// until need not be.
func (r Reminder) Pending(until time.Time) bool {
	return r.State == Armed && r.Confirmed != r.Revision && !r.FireAt.After(until)
}

// Status returns the state as users see it. An armed reminder is "pending" if it is due up to
// expected and not confirmed, and "scheduled" otherwise. See [Horizon.Expected].
func (r Reminder) Status(expected time.Time) string {
	switch {
	case r.State != Armed:
		return string(r.State)
	case r.Pending(expected):
		return "pending"
	default:
		return "scheduled"
	}
}

// Instant returns a time as Duebell stores it: in UTC, in whole microseconds as Postgres does, and
// without a monotonic reading.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
