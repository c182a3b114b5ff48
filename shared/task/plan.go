package task

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Plan returns a task's reminders after a change: one for each offset of next, in the order of
// their instants, and then, marked Removed, those whose offsets are gone. Snoozes and repetitions
// come last. previous is nil for a new task. newID makes ids for new reminders. c is the user's
// clock, by which the DueDate of both tasks was derived (see [Follow]).
//
//   - A reminder whose instant has not changed keeps its state. So what has fired does not fire
//     again after a change of the title, or of the user's time zone.
//   - A task that is not active (no due date, or completed) has nothing armed.
//   - A reminder whose instant is still to come is armed.
//   - If the due date is set or moved, some instants may have passed already. The latest of them is
//     armed, to fire at once, if it is not older than grace; the others are missed.
//   - Each reminder of a recurring task is armed for the first occurrence for which it is still to
//     come. Only for the first occurrence of a new task may it have passed, as above.
//   - A reminder is missed if its offset is added, or its task reopened, after its instant.
//   - Snoozes and repetitions stay, unless the task is moved or not active any more.
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
	var passed []int    // places of reminders that were set or moved to an instant in the past
	var recurring []int // places of reminders of a recurring task
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
			// What has fired keeps its state and instant.
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
			// The task was reopened, or the offset was added again, after the instant.
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

// Follow derives a task's due date and its armed reminders anew, if they were derived from an older
// clock. Reminders whose instant moved are armed anew. Of those that moved into the past, the
// latest is armed to fire at once, if it is not older than grace. What has fired stays as it is.
// moved reports whether any reminder has to be stored.
func Follow(t Task, c Clock, now time.Time, grace time.Duration) (_ Task, moved bool) {
	// If the zone is unknown, the due date and the reminders stay where they are.
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
		case fireAt.After(now), r.Occurrence != nil: // if an occurrence has passed, firing tells of the latest one

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

// compareOffsets orders offsets by their length. A day counts as 24 hours.
func compareOffsets(a, b Offset) int {
	long := func(o Offset) time.Duration { return o.Exact + time.Duration(o.Days)*24*time.Hour }
	return cmp.Or(cmp.Compare(long(a), long(b)), cmp.Compare(a.Days, b.Days))
}

// armLatest arms the latest of the reminders at the given places, unless it is older than oldest.
// The others are missed.
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
