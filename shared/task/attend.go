package task

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
)

// This file has the rules of acknowledging, snoozing and repeating reminders.

// Kind says why a reminder is there.
type Kind string

// The kinds. A task has a KindDue for each offset before the due date. The others are for one
// occurrence, and keep it.
const (
	KindDue Kind = "due"
	// KindSnooze tells of an occurrence once more, at an instant that the user has chosen.
	KindSnooze Kind = "snooze"
	// KindRepeat repeats another reminder until it is acknowledged.
	KindRepeat Kind = "repeat"
)

// Besides reports whether the reminder is a snooze or a repetition.
func (r Reminder) Besides() bool { return r.Kind == KindSnooze || r.Kind == KindRepeat }

// Repeat says how often a reminder is repeated until it is acknowledged.
type Repeat struct {
	Every time.Duration
	Times int // at most this many
}

// Limits on repetitions and snoozes.
const (
	MinEvery  = time.Minute
	MaxEvery  = 24 * time.Hour
	MaxTimes  = 50
	MaxSnooze = 366 * 24 * time.Hour
	// MaxSnoozes is how many occurrences of one task may be snoozed at the same time.
	MaxSnoozes = 20
)

func (d *Draft) validateRepeat() error {
	switch r := d.Repeat; {
	case r == nil:
	case r.Every < MinEvery || r.Every > MaxEvery:
		return fault.Invalid("repeat: every must be between 1m and 24h, such as \"10m\"")
	case r.Every%time.Second != 0:
		return fault.Invalid("repeat: every must be of whole seconds, such as \"10m\" or \"90s\"")
	case r.Times < 1 || r.Times > MaxTimes:
		return fault.Invalid("repeat: times must be between 1 and %d", MaxTimes)
	}
	return nil
}

// Repetition returns the repetition that follows r, which is told at now. It is a new reminder; if
// r is a repetition itself, it is r, armed again. of is the occurrence, and newID makes ids. ok is
// false if r is not repeated, or not again.
func (d Draft) Repetition(r Reminder, of *wallclock.Time, now time.Time, newID func() uuid.UUID) (next Reminder, ok bool) {
	if d.Repeat == nil || r.Repetition >= d.Repeat.Times {
		return Reminder{}, false
	}
	at := r.FireAt.Add(d.Repeat.Every)
	if !at.After(now) { // r was told late
		at = now.Add(d.Repeat.Every)
	}
	if next = r; r.Kind != KindRepeat {
		next = Reminder{ID: newID(), Kind: KindRepeat, Repeats: r.ID}
	}
	next.Repetition++
	next.FireAt, next.Occurrence = &at, of
	next.arm()
	return next, true
}

// Snooze says until when an occurrence is snoozed. One of the three fields is set.
type Snooze struct {
	For        wallclock.Offset // from now on
	Until      *time.Time
	UntilLocal *wallclock.Time // in the user's zone
}

// At returns the instant at which the snooze ends, for a task that was read by its user's clock. A
// local time in a gap is moved like that of a due date. If a local time comes twice, At returns the
// first instant that is still ahead. The error is a fault with code invalid.
func (s Snooze) At(t Task, now time.Time) (time.Time, error) {
	location, ok := Draft{}.location(t.Clock)
	if !ok {
		location, ok = t.location(t.Clock)
	}
	var at time.Time
	switch {
	case s.UntilLocal != nil && !ok:
		return at, fault.Invalid("until_local is a local time, and your time zone is not known: set time_zone in your preferences (PUT /api/preferences), or give until")
	case s.UntilLocal != nil:
		at = s.UntilLocal.In(location)
		if change, changes := wallclock.ChangeNear(*s.UntilLocal, location); changes && !at.After(now) {
			if again := at.Add(change.By()); wallclock.At(again, location) == *s.UntilLocal {
				at = again
			}
		}
	case s.Until != nil:
		at = *s.Until
	case s.For.Days != 0:
		at = wallclock.At(now, location).AddDays(s.For.Days).In(location)
	default:
		at = now.Add(s.For.Exact)
	}
	at = Instant(at)
	switch {
	case !at.After(now):
		return at, fault.Invalid("a snooze must end later than now, which is %s; this one would at %s", now.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	case at.Sub(now) > MaxSnooze:
		return at, fault.Invalid("a snooze may last 366 days at most; this one would end at %s: move the due date instead", at.UTC().Format(time.RFC3339))
	}
	return at, nil
}

// Acknowledge returns the task without the armed repetitions of an occurrence. For a task that does
// not recur, of is nil.
func Acknowledge(t Task, of *wallclock.Time) Task {
	t.Reminders = slices.Clone(t.Reminders)
	for i := range t.Reminders {
		if r := &t.Reminders[i]; r.Kind == KindRepeat && r.State == Armed && sameOccurrence(r.Occurrence, of) {
			r.State = Cancelled
		}
	}
	return t
}

// SnoozeUntil acknowledges an occurrence, and adds a reminder that tells of it again at an instant.
// It replaces an armed snooze of the same occurrence. newID makes ids. The error is a fault with
// code conflict.
func SnoozeUntil(t Task, of *wallclock.Time, at time.Time, newID func() uuid.UUID) (Task, error) {
	if t.Completed {
		return t, fault.Conflict("the task is completed, so nothing would be told: reopen it first")
	}
	if t.DueDate == nil {
		return t, fault.Conflict("the task has no due date, so nothing would be told: give it one instead")
	}
	t = Acknowledge(t, of)
	place, waiting := -1, 0
	for i, r := range t.Reminders {
		switch {
		case r.Kind != KindSnooze:
		case r.State == Armed && sameOccurrence(r.Occurrence, of):
			place = i
		case r.State == Armed:
			waiting++
		case place < 0 && !slices.ContainsFunc(t.Reminders, func(other Reminder) bool { return other.Repeats == r.ID && other.State == Armed }):
			place = i // its row can be used again
		}
	}
	if waiting >= MaxSnoozes {
		return t, fault.Conflict("%d occurrences of the task are snoozed, and there may be no more: complete or skip some first", waiting)
	}
	if place < 0 {
		place = len(t.Reminders)
		t.Reminders = append(t.Reminders, Reminder{ID: newID(), Kind: KindSnooze})
	}
	r := &t.Reminders[place]
	r.FireAt, r.Occurrence, r.Removed = &at, of, false
	r.arm()
	return t, nil
}

// SnoozedUntil returns until when an occurrence is snoozed; nil: it is not. For nil it returns the
// earliest end of all snoozes.
func (t Task) SnoozedUntil(of *wallclock.Time) (until *time.Time) {
	for _, r := range t.Reminders {
		if r.Kind == KindSnooze && r.State == Armed && (of == nil || sameOccurrence(r.Occurrence, of)) && (until == nil || r.FireAt.Before(*until)) {
			until = r.FireAt
		}
	}
	return until
}

// besides returns the snoozes and repetitions after a change. If the task was moved, or is not
// active any more, they are cancelled. A repetition is cancelled with the reminder that it repeats.
func besides(old []Reminder, next Draft, moved bool, kept []Reminder) []Reminder {
	old = slices.Clone(old)
	for i := range old {
		r := &old[i]
		repeated := func(other Reminder) bool { return other.ID == r.Repeats && !other.Removed }
		gone := r.Kind == KindRepeat && !slices.ContainsFunc(kept, repeated) && !slices.ContainsFunc(old, repeated)
		if moved || !next.Active() || gone || r.State == Armed && r.Kind == KindRepeat && next.Repeat == nil {
			r.State = Cancelled
		}
		r.Removed = r.Removed || gone
	}
	return old
}

func sameOccurrence(a, b *wallclock.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
