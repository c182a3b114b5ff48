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
// new reminders, and c is the user's clock, by which the DueDate of both was derived (see
// [Follow]).
//
//   - A reminder whose instant has not changed keeps its state: what has fired
//     does not fire again because of a new title, nor because its user has moved to another
//     time zone since.
//   - A task that is not active (no due date, or completed) has nothing armed.
//   - An instant that lies ahead is armed.
//   - Of the instants that have passed when the due date is set or moved, the
//     latest within grace is armed, to fire at once; the others are missed.
//   - A recurring task has each of its reminders armed for the first occurrence that lies ahead of
//     it. Only the first of a new task may have passed, see above.
//   - An offset added after its instant has passed is missed, and reopening a
//     task arms only what lies ahead.
//   - Snoozes and repetitions stay as they are, unless the task is moved, or not active any more.
//     They come last.
func Plan(previous *Task, next Draft, now time.Time, grace time.Duration, newID func() uuid.UUID, c Clock) []Reminder {
	moved := previous == nil || !sameInstant(previous.DueDate, next.DueDate) || previous.Due != next.Due || !sameRecurrence(previous.Recurrence, next.Recurrence)
	var old, others []Reminder
	if previous != nil {
		for _, r := range previous.Reminders {
			if r.Besides() {
				others = append(others, r)
			} else {
				old = append(old, r)
			}
		}
	}

	kept := make([]Reminder, 0, len(next.Before))
	var passed []int    // those set or moved to an instant that has passed
	var recurring []int // those that are to be armed for what lies ahead of them
	for _, before := range next.Before {
		r, found := find(old, before)
		if !found {
			r = Reminder{ID: newID(), Kind: KindDue, Before: before, State: Cancelled}
		}
		fireAt, source := next.fireAt(before, c), next.source(before, c)
		if found && !moved && !r.Removed && r.State != Cancelled && next.Active() {
			kept = append(kept, r) // nothing has changed for this one
			continue
		}
		same := found && sameInstant(r.FireAt, fireAt)
		r.Removed, r.Source = false, source
		if !next.Recurs() {
			r.Occurrence = nil
		}

		switch {
		case !next.Active() && (r.State == Fired || r.State == Missed) && (same || !moved || fireAt == nil):
			// History stays as it is, with the instant it was for.
		case !next.Active():
			r.State, r.FireAt = Cancelled, fireAt
		case next.Recurs():
			recurring = append(recurring, len(kept))
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
	if len(recurring) > 0 {
		next.armRecurring(kept, recurring, Restart(previous, next), c, now, grace, previous == nil)
	}

	slices.SortStableFunc(kept, func(a, b Reminder) int { return compareOffsets(b.Before, a.Before) })
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
	return append(kept, besides(others, next, moved, kept)...)
}

// Follow brings a task up to a user's clock, if what it was derived from is older: its due date, and
// the reminders that are armed. Those whose instant has moved are armed anew; of those that have
// passed by that, the latest within grace, to fire at once. What has fired stays as it is.
// moved reports whether any reminder has to be stored.
func Follow(t Task, c Clock, now time.Time, grace time.Duration) (_ Task, moved bool) {
	// Where the user's zone is gone, the due date and the reminders stay where they are.
	located := (t.Due.Zone != "" || c.Zone != "") && t.Derive(c) == nil
	t.Reminders = slices.Clone(t.Reminders)
	var passed []int
	for i := range t.Reminders {
		r := &t.Reminders[i]
		if r.State != Armed || r.Removed || !r.Source.Older(c) {
			continue
		}
		moved = true
		fireAt := t.fireAt(r.Before, c)
		if r.Occurrence != nil {
			at := t.fireAtOccurrence(t.at(*r.Occurrence, c), r.Before, c)
			fireAt = &at
		}
		r.Source = t.source(r.Before, c)
		switch {
		case !located, sameInstant(r.FireAt, fireAt):
		case fireAt.After(now), r.Occurrence != nil: // if it has passed, firing it tells the latest that has

			r.FireAt = fireAt
			r.arm()
		default:
			r.FireAt = fireAt
			passed = append(passed, i)
		}
	}
	armLatest(t.Reminders, passed, now.Add(-grace))
	return t, moved
}

// compareOffsets orders offsets by how long they are, days as 24 hours.
func compareOffsets(a, b Offset) int {
	long := func(o Offset) time.Duration { return o.Exact + time.Duration(o.Days)*24*time.Hour }
	return cmp.Or(cmp.Compare(long(a), long(b)), cmp.Compare(a.Days, b.Days))
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

func find(rs []Reminder, before Offset) (r Reminder, found bool) {
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
