package task

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
)

// This file has what a user does about a reminder that was told: acknowledge it, or have it told
// again later (snooze). And it has the repetitions that come until the user does either.

// Kind says why a reminder is there.
type Kind string

// The kinds. KindDue is at an offset before the due date: it alone belongs to the draft. The others
// are for one occurrence, which they keep.
const (
	KindDue Kind = "due"
	// KindSnooze tells once more, at an instant that the user has chosen.
	KindSnooze Kind = "snooze"
	// KindRepeat repeats another reminder that was told, until it is acknowledged.
	KindRepeat Kind = "repeat"
)

// Besides reports whether the reminder is a snooze or a repetition.
func (r Reminder) Besides() bool { return r.Kind == KindSnooze || r.Kind == KindRepeat }

// Repeat says how a reminder that was told is repeated until it is acknowledged.
type Repeat struct {
	Every time.Duration
	Times int // at most
}

// Limits on repetitions and snoozes.
const (
	MinEvery  = time.Minute
	MaxEvery  = 24 * time.Hour
	MaxTimes  = 50
	MaxSnooze = 366 * 24 * time.Hour
	// MaxSnoozes is how many occurrences of one task may be snoozed at a time.
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

// Repetition returns the reminder that repeats r when r is told of an occurrence at the time now: r
// itself, armed anew, if it is a repetition. newID makes the ID of a new one. ok is false if r is
// not repeated, or was so often enough.
func (d Draft) Repetition(r Reminder, of *wallclock.Time, now time.Time, newID func() uuid.UUID) (next Reminder, ok bool) {
	if d.Repeat == nil || r.Repetition >= d.Repeat.Times {
		return Reminder{}, false
	}
	at := r.FireAt.Add(d.Repeat.Every)
	if !at.After(now) { // it was told late
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

// Snooze is until when a user wants to be left alone: one of the three is set.
type Snooze struct {
	For        wallclock.Offset // from now on
	Until      *time.Time
	UntilLocal *wallclock.Time // where the user is
}

// At returns the instant of the snooze, for a task that was read by its user's clock. A local time in
// a gap is moved as that of a due date is. Of one that comes twice the first counts that lies ahead.
// The error is a fault with code invalid.
func (s Snooze) At(t Task, now time.Time) (time.Time, error) {
	location, ok := Draft{}.location(t.Clock)
	if !ok {
		location, ok = t.location(t.Clock)
	}
	var at time.Time
	switch {
	case s.UntilLocal != nil && !ok:
		return at, fault.Invalid("until_local is a local time, and nobody knows where you are: set time_zone in your preferences (PUT /api/preferences), or give until")
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

// Acknowledge returns the task without the repetitions that wait to tell of an occurrence; nil is
// that of a task that does not recur.
func Acknowledge(t Task, of *wallclock.Time) Task {
	t.Reminders = slices.Clone(t.Reminders)
	for i := range t.Reminders {
		if r := &t.Reminders[i]; r.Kind == KindRepeat && r.State == Armed && sameOccurrence(r.Occurrence, of) {
			r.State = Cancelled
		}
	}
	return t
}

// SnoozeUntil returns the task with an occurrence acknowledged, and a reminder that tells of it once
// more at an instant. It takes the place of one that waits for that already. newID makes the ID of a
// new one. The error is a fault with code conflict.
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
			place = i // nobody needs it any more
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

// SnoozedUntil returns until when an occurrence is snoozed, nil if it is not. Without one it is the
// earliest of all.
func (t Task) SnoozedUntil(of *wallclock.Time) (until *time.Time) {
	for _, r := range t.Reminders {
		if r.Kind == KindSnooze && r.State == Armed && (of == nil || sameOccurrence(r.Occurrence, of)) && (until == nil || r.FireAt.Before(*until)) {
			until = r.FireAt
		}
	}
	return until
}

// besides says what snoozes and repetitions are after a change: nothing is left of those of a task
// that was moved, or is not active. A repetition goes with what it repeats.
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
