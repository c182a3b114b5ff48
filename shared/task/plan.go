package task

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Plan says what a task's reminders are after a change: one for each offset of
// next, in the order of their instants, and after them, marked Removed, those
// whose offsets are gone. previous is nil for a new task; newID makes the IDs of
// new reminders.
//
//   - A reminder whose instant has not changed keeps its state: what has fired
//     does not fire again because of a new title.
//   - A task that is not active (no due date, or completed) has nothing armed.
//   - An instant that lies ahead is armed.
//   - Of the instants that have passed when the due date is set or moved, the
//     latest within grace is armed, to fire at once; the others are missed.
//   - An offset added after its instant has passed is missed, and reopening a
//     task arms only what lies ahead.
func Plan(previous *Task, next Draft, now time.Time, grace time.Duration, newID func() uuid.UUID) []Reminder {
	moved := previous == nil || !sameInstant(previous.DueDate, next.DueDate)
	var old []Reminder
	if previous != nil {
		old = previous.Reminders
	}

	kept := make([]Reminder, 0, len(next.Before))
	var passed []int // those set or moved to an instant that has passed
	for _, before := range next.Before {
		r, found := find(old, before)
		if !found {
			r = Reminder{ID: newID(), Before: before, State: Cancelled}
		}
		var fireAt *time.Time
		if next.DueDate != nil {
			t := next.DueDate.Add(-before)
			fireAt = &t
		}
		same := found && sameInstant(r.FireAt, fireAt)
		r.Removed = false

		switch {
		case !next.Active() && (r.State == Fired || r.State == Missed) && (same || fireAt == nil):
			// History stays as it is, with the instant it was for.
		case !next.Active():
			r.State, r.FireAt = Cancelled, fireAt
		case same && r.State != Cancelled:
			// Nothing has changed for this one.
		case fireAt.After(now):
			r.FireAt = fireAt
			r.arm()
		case moved:
			r.FireAt = fireAt
			passed = append(passed, len(kept))
		case same:
			// Reopened, or its offset brought back, too late for this one.
		default:
			r.State, r.FireAt = Missed, fireAt
		}
		kept = append(kept, r)
	}
	armLatest(kept, passed, now.Add(-grace))

	slices.SortStableFunc(kept, func(a, b Reminder) int { return cmp.Compare(b.Before, a.Before) })
	for _, r := range old {
		if slices.Contains(next.Before, r.Before) {
			continue
		}
		if r.State == Armed {
			r.State = Cancelled
		}
		r.Removed = true
		kept = append(kept, r)
	}
	return kept
}

// armLatest arms the latest of the reminders at the given places, unless it is
// older than oldest; the others are missed.
func armLatest(rs []Reminder, places []int, oldest time.Time) {
	latest := -1
	for _, i := range places {
		rs[i].State = Missed
		if !rs[i].FireAt.Before(oldest) && (latest < 0 || rs[i].FireAt.After(*rs[latest].FireAt)) {
			latest = i
		}
	}
	if latest >= 0 {
		rs[latest].arm()
	}
}

func (r *Reminder) arm() {
	r.State = Armed
	r.Revision++
}

func find(rs []Reminder, before time.Duration) (r Reminder, found bool) {
	i := slices.IndexFunc(rs, func(r Reminder) bool { return r.Before == before })
	if i < 0 {
		return Reminder{}, false
	}
	return rs[i], true
}

func sameInstant(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}
