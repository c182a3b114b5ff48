// Package task holds Duebell's rules and nothing else: what a task and its
// reminders are, which reminders a change arms, cancels or misses, and what a
// callback means for a reminder. It knows no database, no HTTP and no
// Dapr, and takes the time as a parameter.
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
	// Clock is the user's, by which the task was read or planned.
	Clock     Clock
	Version   int64 // grows by one with every change
	CreatedAt time.Time
	UpdatedAt time.Time
	// Reminders are in the order of their instants, the earliest first.
	Reminders []Reminder
}

// DropRemoved takes out the reminders whose offsets the task no longer has.
func (t *Task) DropRemoved() {
	t.Reminders = slices.DeleteFunc(t.Reminders, func(r Reminder) bool { return r.Removed })
}

// Draft is the part of a task that its user writes.
type Draft struct {
	Title string
	Notes string
	// DueDate is the instant at which the task is due, as it was given or as it was derived from
	// Due; nil: no due date. In UTC, whole microseconds.
	DueDate *time.Time
	Due     Due
	// Recurrence is how the task comes again; nil: it does not. Then Due is where that starts.
	Recurrence *recurrence.Definition
	Completed  bool
	Channels   []Channel // nil: the user's preferences decide
	// Repeat is how a reminder that was told is repeated until it is acknowledged; nil: it is not.
	Repeat *Repeat
	// Before are the reminders, as offsets before the due date. nil: the user's preferences
	// decide, once, when the task is stored.
	Before []Offset
}

// Offset says how long before the due date a reminder is.
type Offset = wallclock.Offset

// Active reports whether the task has anything to remind of: it has a due date
// and is not completed.
func (d Draft) Active() bool { return d.DueDate != nil && !d.Completed }

// Channel is a way to tell a user.
type Channel string

// The channels. In-app needs nobody's help and can't fail on its own: it is
// written in the transaction that fires the reminder.
const (
	InApp   Channel = "in_app"
	Email   Channel = "email"
	Push    Channel = "push"
	SMS     Channel = "sms"
	Webhook Channel = "webhook"
	// Event tells programs, not the user: each fired reminder is published as one,
	// where that is set up. Nobody chooses it.
	Event Channel = "event"
)

// Channels lists every channel that users choose from. Which of them can be used depends on
// what is set up; one that can't be is recorded as failed when a reminder fires.
var Channels = []Channel{InApp, Email, Push, SMS, Webhook}

// Reminder is one instant at which a task's user is told. Each offset before a
// task's due date has one, for as long as the task has that offset. Others are there
// besides, see [Kind].
type Reminder struct {
	ID     uuid.UUID
	Kind   Kind
	Before Offset // of KindDue
	// Repeats is the reminder that one of KindRepeat repeats, and Repetition which repetition of
	// that it waits for, or was, counted from 1.
	Repeats    uuid.UUID
	Repetition int
	// FireAt is the instant: Before the due date. It is nil while the
	// task has no due date.
	FireAt *time.Time
	// Source is what FireAt was derived from.
	Source Source
	// Occurrence is the one of its recurring task that it is for; nil if that does not recur.
	Occurrence *wallclock.Time
	State      State
	// Revision grows by one each time the reminder is armed; 0 is never armed.
	Revision int64
	// Confirmed is the revision that Dapr is known to hold a job for.
	Confirmed int64
	// Removed marks a reminder whose offset the task no longer has. It is kept
	// for its history, and comes back under the same ID with its offset.
	Removed bool
}

// State is what has become of a reminder.
type State string

// The states. Armed is waiting; the others are final until the reminder is
// armed anew.
const (
	Armed     State = "armed"
	Fired     State = "fired"
	Cancelled State = "cancelled"
	Missed    State = "missed" // already too old when it was asked for
)

// Pending reports whether the reminder still has to be scheduled with Dapr, which
// holds those up to an instant.
func (r Reminder) Pending(until time.Time) bool {
	return r.State == Armed && r.Confirmed != r.Revision && !r.FireAt.After(until)
}

// Status is the reminder's state as users see it: armed shows as "pending" while Dapr
// should hold its job and does not, and else as "scheduled". expected is the instant up
// to which it should, see [Horizon].
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

// Instant brings a time to the form in which Duebell keeps it: UTC, whole
// microseconds (what Postgres holds), no monotonic reading.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
