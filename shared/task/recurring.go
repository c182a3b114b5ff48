package task

import (
	"slices"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
)

// This file has the rules of recurring tasks: which occurrence each reminder waits for, and what
// firing, completing and skipping change. Each reminder has its own occurrence: a reminder a week
// before the due date is at a later one than a reminder at the due date.
//
// Whatever a rule says, each function here does a bounded amount of work.

// Progress is the state of a recurring task.
type Progress struct {
	// Series increases with each edit of the due date, its zone or the rule. An occurrence belongs
	// to one series: another series may have a different one at the same time.
	Series int64
	// Through is the latest occurrence that was completed or skipped; nil: none was.
	Through *wallclock.Time
	// Open and Number are for a rule that counts from completion: the occurrence that is not
	// completed yet, and its number in the series, from 1. If Open is nil, it is the first.
	Open   *wallclock.Time
	Number int
}

// Settled says what became of an occurrence.
type Settled string

// The values.
const (
	Told      Settled = "told"
	Untold    Settled = "missed" // when the reminder fired, a later occurrence had passed, too
	Completed Settled = "completed"
	Skipped   Settled = "skipped"
)

// Recurs reports whether the draft has a recurrence.
func (d Draft) Recurs() bool { return d.Recurrence != nil }

// validateRecurrence checks the rule, and gives the due date the form by which it recurs.
func (d *Draft) validateRecurrence() error {
	if d.Recurrence == nil {
		return nil
	}
	rule, err := recurrence.Parse(*d.Recurrence)
	if err != nil {
		return err
	}
	definition := rule.Definition()
	d.Recurrence = &definition
	if d.Due.Wall() {
		return nil
	}
	if d.DueDate == nil || d.Due.Zone == "" {
		return recurrence.NoWallClock()
	}
	location, ok := Clock{}.zones().Load(d.Due.Zone)
	if !ok {
		return recurrence.NoWallClock()
	}
	d.Due.Form, d.Due.Local, d.DueDate = ByClock, wallclock.At(*d.DueDate, location), nil
	return nil
}

// CheckRecurrence checks the rule together with its start, by the user's clock. The error is a
// fault with code invalid.
func (d Draft) CheckRecurrence(c Clock) error {
	if d.Recurrence == nil {
		return nil
	}
	s, err := d.Occurrences(c)
	if err != nil {
		return err
	}
	return s.Check()
}

// Occurrences returns the series of a recurring draft, by a user's clock. The error is a fault with
// code invalid.
func (d Draft) Occurrences(c Clock) (*recurrence.Series, error) {
	rule, err := recurrence.Parse(*d.Recurrence)
	if err != nil {
		return nil, err
	}
	location, _ := d.location(c)
	start := recurrence.Start{Local: d.Due.Local, Zone: location}
	if d.Due.Form == ByDay {
		start.AllDay, start.AllDayAt = true, c.AllDayAt
	}
	return rule.From(start), nil
}

// at returns the occurrence at a local time, whether or not it is in the series.
func (d Draft) at(local wallclock.Time, c Clock) recurrence.Occurrence {
	location, _ := d.location(c)
	clock := local
	if d.Due.Form == ByDay {
		clock = clock.Add(c.AllDayAt)
	}
	return recurrence.Occurrence{Local: local, Instant: clock.In(location)}
}

// At returns the instant of an occurrence by a user's clock.
func (d Draft) At(occurrence wallclock.Time, c Clock) time.Time { return d.at(occurrence, c).Instant }

// fireAtOccurrence returns the instant at an offset before an occurrence.
func (d Draft) fireAtOccurrence(o recurrence.Occurrence, before Offset, c Clock) time.Time {
	if before.Days == 0 {
		return o.Instant.Add(-before.Exact)
	}
	location, _ := d.location(c)
	clock := o.Local
	if d.Due.Form == ByDay {
		clock = clock.Add(c.AllDayAt)
	}
	return before.Instant(clock, location)
}

// FromCompletion reports whether the rule counts from when the previous occurrence was completed.
func (d Draft) FromCompletion() bool { return d.Recurrence.From == recurrence.Completion }

// sameRecurrence reports whether two drafts recur by the same rule.
func sameRecurrence(a, b *recurrence.Definition) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Rule == b.Rule && a.Skip == b.Skip && a.From == b.From && slices.Equal(a.Except, b.Except)
}

// Restart returns the progress of a task after a change: that of a new series, if its due date or
// rule was edited. previous is nil for a new task.
func Restart(previous *Task, next Draft) Progress {
	var p Progress
	if previous != nil {
		p = previous.Progress
		if previous.Due == next.Due && sameRecurrence(previous.Recurrence, next.Recurrence) {
			return p
		}
	}
	if !next.Recurs() {
		return Progress{Series: p.Series}
	}
	return Progress{Series: p.Series + 1, Number: 1}
}

// cut returns an instant that divides the occurrences by now. For those up to it, the instant at
// the offset has passed; for those after it, it is still to come.
func (d Draft) cut(s *recurrence.Series, before Offset, c Clock, now time.Time) time.Time {
	if before.Days == 0 {
		return now.Add(before.Exact)
	}
	// A day has 23 to 25 hours as a rule, but a country may skip a whole day. The cut is found by
	// bisection between safe bounds.
	passed := now.AddDate(0, 0, before.Days-3).Truncate(time.Second)
	ahead := now.AddDate(0, 0, before.Days+3).Truncate(time.Second)
	for passed.Add(time.Second).Before(ahead) {
		middle := passed.Add(ahead.Sub(passed) / 2).Truncate(time.Second)
		if o, ok := s.Next(middle); !ok || d.fireAtOccurrence(o, before, c).After(now) {
			ahead = middle
		} else {
			passed = middle
		}
	}
	return ahead
}

// ahead returns the first occurrence for which a reminder at an offset is still to come. If after
// is not nil, only occurrences after it count. ok is false if there is none.
func (d Draft) ahead(s *recurrence.Series, before Offset, c Clock, now time.Time, after *recurrence.Occurrence) (o recurrence.Occurrence, ok bool) {
	o, ok = s.Next(d.cut(s, before, c, now))
	if ok && after != nil && o.Compare(*after) <= 0 {
		o, ok = s.After(*after)
	}
	return o, ok
}

// waitFor arms a reminder for an occurrence.
func (r *Reminder) waitFor(d Draft, o recurrence.Occurrence, c Clock) {
	fireAt := d.fireAtOccurrence(o, r.Before, c)
	r.FireAt, r.Source, r.Occurrence = &fireAt, d.source(r.Before, c), &o.Local
	r.arm()
}

// armRecurring arms the reminders at the given places, each for the first occurrence for which it
// is still to come. fresh says that the task is new. If then only the first occurrence has passed,
// and not by more than grace, one reminder tells of it at once. Reminders without an occurrence to
// come are missed.
func (d Draft) armRecurring(rs []Reminder, places []int, p Progress, c Clock, now time.Time, grace time.Duration, fresh bool) {
	s, err := d.Occurrences(c)
	if err != nil {
		return // CheckRecurrence has found no error
	}
	var through *recurrence.Occurrence
	if p.Through != nil {
		o := d.at(*p.Through, c)
		through = &o
	}
	latest := -1 // the latest of those that have passed
	for _, i := range places {
		r := &rs[i]
		var o recurrence.Occurrence
		var ok bool
		if d.FromCompletion() {
			o, ok = s.First()
			if p.Open != nil {
				o = d.at(*p.Open, c)
			}
			ok = ok && d.fireAtOccurrence(o, r.Before, c).After(now)
		} else {
			o, ok = d.ahead(s, r.Before, c, now, through)
		}
		if first, begins := s.First(); fresh && begins && (!ok || o.Compare(first) > 0) {
			fireAt := d.fireAtOccurrence(first, r.Before, c)
			second, another := s.After(first)
			alone := d.FromCompletion() || !another || d.fireAtOccurrence(second, r.Before, c).After(now)
			if alone && !fireAt.Before(now.Add(-grace)) && (latest < 0 || fireAt.After(d.fireAtOccurrence(first, rs[latest].Before, c))) {
				latest = i
			}
		}
		if ok {
			r.waitFor(d, o, c)
			continue
		}
		r.State = Missed
		r.FireAt, r.Occurrence = nil, nil
	}
	if first, ok := s.First(); latest >= 0 && ok {
		if rs[latest].State == Armed {
			rs[latest].Revision-- // it is armed once
		}
		rs[latest].waitFor(d, first, c)
	}
}

// Current returns the current occurrence of a recurring task, and the one after that. The current
// one is the latest that is due and was not completed or skipped, or else the next. Both may be
// nil.
func (t Task) Current(c Clock, now time.Time) (current, next *recurrence.Occurrence) {
	if !t.Recurs() || t.Completed {
		return nil, nil
	}
	s, err := t.Occurrences(c)
	if err != nil {
		return nil, nil
	}
	if t.FromCompletion() {
		o, ok := s.First()
		if t.Progress.Open != nil {
			o, ok = t.at(*t.Progress.Open, c), true
		}
		if !ok {
			return nil, nil
		}
		return &o, nil
	}
	latest, ok := s.Latest(now)
	var through *recurrence.Occurrence
	if t.Progress.Through != nil {
		o := t.at(*t.Progress.Through, c)
		through = &o
	}
	switch {
	case ok && (through == nil || latest.Compare(*through) > 0):
	case through != nil:
		latest, ok = s.After(*through)
	default:
		latest, ok = s.First()
	}
	if !ok {
		return nil, nil
	}
	current = &latest
	if o, ok := s.After(latest); ok {
		next = &o
	}
	return current, next
}

// Firing is what a firing of a recurring task's reminder tells, and the reminder afterwards.
type Firing struct {
	// Told are the occurrences in the message. They are all due at the instant of the last one.
	Told []recurrence.Occurrence
	// Missed are occurrences before them that have passed and are not told: the earliest ones, up
	// to MostMissed.
	Missed []recurrence.Occurrence
	// After is the reminder afterwards: armed for the next occurrence, or fired if there is none.
	After Reminder
}

// MostMissed is how many occurrences one firing records as missed.
const MostMissed = 500

// FireRecurring returns what firing an armed reminder of a recurring task does. If several
// occurrences have passed, the latest is told.
func FireRecurring(t Task, r Reminder, c Clock, now time.Time) (f Firing, err error) {
	told := t.at(*r.Occurrence, c)
	f.After = r
	f.After.State = Fired
	if t.FromCompletion() {
		f.Told = []recurrence.Occurrence{told}
		return f, nil
	}
	s, err := t.Occurrences(c)
	if err != nil {
		return f, err
	}
	passed := []recurrence.Occurrence{told}
	cut := t.cut(s, r.Before, c, now)
	latest, ok := s.Latest(cut)
	if !ok || latest.Compare(told) < 0 {
		latest = told
	}
	for o := told; o.Compare(latest) < 0 && len(passed) <= MostMissed; {
		if o, ok = s.After(o); !ok || o.Compare(latest) > 0 {
			break
		}
		passed = append(passed, o)
	}
	if passed[len(passed)-1].Compare(latest) < 0 {
		passed = append(passed, latest) // more have passed than are recorded
	}
	for _, o := range passed {
		if o.Instant.Equal(latest.Instant) {
			f.Told = append(f.Told, o)
		} else {
			f.Missed = append(f.Missed, o)
		}
	}
	if next, ok := s.After(latest); ok {
		f.After.waitFor(t.Draft, next, c)
	}
	return f, nil
}

// Close completes or skips an occurrence of a recurring task, and arms the reminders that waited
// for it for the next one. Closing the last occurrence completes the task. The current occurrence
// and earlier ones can be closed, and the next one once a reminder has told of it. For any other
// the error has code invalid and names the current one.
func Close(t Task, local wallclock.Time, told bool, c Clock, now time.Time) (Task, error) {
	current, _ := t.Current(c, now)
	if current == nil {
		return t, fault.Invalid("the task has no occurrence that is open")
	}
	s, err := t.Occurrences(c)
	if err != nil {
		return t, err
	}
	wrong := fault.Invalid("occurrence must be the current one, %q, or one before it, not %q", t.Show(current.Local), t.Show(local))
	done := *current
	if local != current.Local {
		var ok bool
		if t.FromCompletion() {
			return t, wrong
		}
		if done, ok = s.At(local); !ok {
			return t, wrong
		}
		last := *current
		if next, ahead := s.Next(now); ahead && told {
			last = next
		}
		if done.Compare(last) > 0 {
			return t, wrong
		}
	}
	t.Reminders = slices.Clone(t.Reminders)
	if t.FromCompletion() {
		return t.closeOpen(s, done, c, now), nil
	}
	if t.Progress.Through == nil || done.Compare(t.at(*t.Progress.Through, c)) > 0 {
		t.Progress.Through = &done.Local
	}
	if _, ok := s.After(t.at(*t.Progress.Through, c)); !ok {
		return t.end(), nil
	}
	for i := range t.Reminders {
		r := &t.Reminders[i]
		if r.State != Armed || r.Removed || r.Occurrence == nil || t.at(*r.Occurrence, c).Compare(done) > 0 {
			continue
		}
		if r.Besides() {
			if *r.Occurrence == done.Local {
				r.State = Cancelled
			}
			continue
		}
		if o, ok := t.ahead(s, r.Before, c, now, &done); ok {
			r.waitFor(t.Draft, o, c)
		} else {
			r.State = Cancelled
		}
	}
	return t, nil
}

// closeOpen closes the open occurrence of a rule that counts from completion.
func (t Task) closeOpen(s *recurrence.Series, done recurrence.Occurrence, c Clock, now time.Time) Task {
	t.Progress.Through = &done.Local
	next, number, ok := s.Completed(done, max(1, t.Progress.Number), now)
	if !ok {
		return t.end()
	}
	t.Progress.Open, t.Progress.Number = &next.Local, number
	for i := range t.Reminders {
		r := &t.Reminders[i]
		switch {
		case r.Removed:
		case r.Besides():
			r.State = Cancelled
		case t.fireAtOccurrence(next, r.Before, c).After(now):
			r.waitFor(t.Draft, next, c)
		default:
			r.State = Missed
		}
	}
	return t
}

// end completes a task whose series has ended.
func (t Task) end() Task {
	t.Completed = true
	for i := range t.Reminders {
		if t.Reminders[i].State == Armed {
			t.Reminders[i].State = Cancelled
		}
	}
	return t
}

// CheckOccurrence returns an error if a recurring task has no such occurrence. It has code invalid
// and names the current one.
func (t Task) CheckOccurrence(local wallclock.Time, now time.Time) error {
	current, _ := t.Current(t.Clock, now)
	if current == nil {
		return fault.Invalid("the task has no occurrence that is open")
	}
	if local == current.Local {
		return nil
	}
	if s, err := t.Occurrences(t.Clock); err == nil && !t.FromCompletion() {
		if _, ok := s.At(local); ok {
			return nil
		}
	}
	return fault.Invalid("the task has no occurrence %q; the current one is %q", t.Show(local), t.Show(current.Local))
}

// Show returns an occurrence as the API writes it: a local time, or a date if the task is all day.
func (d Draft) Show(occurrence wallclock.Time) string {
	if d.Due.Form == ByDay {
		return occurrence.DateString()
	}
	return occurrence.String()
}

// ParseOccurrence reads what [Draft.Show] writes. The error is a fault with code invalid.
func (d Draft) ParseOccurrence(text string) (wallclock.Time, error) {
	parse := wallclock.Parse
	if d.Due.Form == ByDay {
		parse = wallclock.ParseDate
	}
	local, err := parse(text)
	return local, prefix("occurrence ", err)
}
