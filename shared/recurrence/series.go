// Package recurrence has the rules of tasks that come again: which wall-clock times a rule
// of RFC 5545 gives (FREQ=HOURLY to YEARLY, with all of its parts), with RFC 7529's SKIP, and at
// which instants these are. It knows neither database nor HTTP, and docs/recurrence.md says in
// words and a table what it does.
//
// Arithmetic is on wall-clock time in no zone; package wallclock then turns each time into an
// instant. So an occurrence that falls into a gap of the clocks is moved, and none is lost.
//
// # Bounded work
//
// Rules come from strangers. Whatever a rule of MaxRule characters says, each call takes
// bounded time and memory: a period has at most a few hundred days, times of day are never
// listed one by one, and a series ends 400 years after its start. A
// fuzz test checks that.
//
// This is why the expansion is our own. The library github.com/teambition/rrule-go
// v1.8.2 has these faults, which its callers can't work around:
//   - It never returns from FREQ=HOURLY;INTERVAL=24;BYHOUR=5 with a start at 09:00.
//   - It panics at FREQ=MONTHLY;BYDAY=53MO.
//   - It needs more than 600 MB for a yearly rule with every BYHOUR, BYMINUTE and BYSECOND.
//   - For BYWEEKNO it takes all days of a week, where RFC 5545 takes the start's.
//   - It has no SKIP.
package recurrence

import (
	"cmp"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
)

// Start is what a series begins with.
type Start struct {
	// Local is the wall-clock time of the due date; midnight if it is all day.
	Local wallclock.Time
	// AllDay says that the due date is a date: Local and occurrences are midnights.
	AllDay bool
	// AllDayAt is the time of day that an all-day occurrence counts as.
	AllDayAt time.Duration
	// Zone is where Local is.
	Zone *time.Location
}

// Occurrence is one time of a series.
type Occurrence struct {
	// Local is its wall-clock time, which identifies it. It is the time that the rule gives, also in a gap
	// of the clocks. It is midnight if the series is all day.
	Local wallclock.Time
	// Instant is when that is.
	Instant time.Time
}

// Compare returns -1 if o comes before p in a series, 1 if it comes after, and else 0. Occurrences
// are ordered by instant, and by wall-clock time if a gap has moved them to the same
// instant.
func (o Occurrence) Compare(p Occurrence) int {
	return cmp.Or(o.Instant.Compare(p.Instant), o.Local.Compare(p.Local))
}

// Series is a Rule from a start on. It may be used concurrently. Its methods are for rules from
// "schedule"; for those from "completion" there are [Series.First] and [Series.Completed].
type Series struct {
	rule    *Rule
	start   Start
	pattern *pattern
	until   wallclock.Time
	end     func() wallclock.Time // the last time that UNTIL and COUNT allow
}

// From returns the series that begins with start.
func (r *Rule) From(start Start) *Series {
	p := newPattern(r, start.Local)
	s := &Series{rule: r, start: start, pattern: p, until: timeOf(p.lastDay, secondsADay-1)}
	if u := r.until; u.given {
		s.until = u.local
		if u.utc && start.Zone != nil {
			s.until = wallclock.At(u.local.UTC(), start.Zone)
		}
		if u.date || start.AllDay {
			s.until = s.until.Midnight().Add((secondsADay - 1) * time.Second)
		}
	}
	s.end = sync.OnceValue(func() wallclock.Time {
		if r.count > 0 {
			if last, ok := s.pattern.ends(); ok {
				return last
			}
		}
		return s.until
	})
	return s
}

// never is how long after its start a series must have an occurrence.
const never = 36525 // days: 100 years

// Check reports what is wrong with a rule because of its start, and refuses a series that has no
// occurrence within 100 years. The error is a fault with code invalid, and says what to write
// instead. Check is for new series only. A stored series may fail it later, when its zone's
// clocks have changed so that UNTIL is before the start; then the series is over.
func (s *Series) Check() error {
	r := s.rule
	switch {
	case s.start.Zone == nil:
		return NoWallClock()
	case s.start.AllDay && (r.freq == hourly || len(r.hours)+len(r.minutes)+len(r.seconds) > 0):
		return fault.Invalid("recurrence: rule has hours, but due_on is a whole day: give due_local, or a rule of days without BYHOUR, BYMINUTE and BYSECOND")
	case s.until.Before(s.start.Local):
		return fault.Invalid("recurrence: rule has UNTIL before the start, %s: write a later one", s.shown(s.start.Local))
	case r.FromCompletion():
		return nil
	}
	first := dayOf(s.start.Local)
	if _, ok := s.pattern.first(s.start.Local, min(first+never, lastDay)); !ok {
		return fault.Invalid("recurrence: rule never matches: it has no occurrence within 100 years of %s", s.shown(s.start.Local))
	}
	if _, ok := s.firstLocal(s.start.Local, min(first+never, lastDay)); !ok {
		return fault.Invalid("recurrence: no occurrence is left: UNTIL and except leave out all that the rule has from %s on", s.shown(s.start.Local))
	}
	return nil
}

// NoWallClock is the error for a recurrence without a wall clock to repeat by.
func NoWallClock() error {
	return fault.Invalid("recurrence needs a wall clock: give due_local or due_on, or time_zone beside due_date")
}

func (s *Series) shown(t wallclock.Time) string {
	if s.start.AllDay {
		return t.DateString()
	}
	return t.String()
}

// At returns the occurrence at a wall-clock time. ok is false if the series has none there.
func (s *Series) At(local wallclock.Time) (o Occurrence, ok bool) {
	if found, ok := s.firstLocal(local, dayOf(local)); !ok || found != local {
		return o, false
	}
	return s.occurrence(local), true
}

// occurrence is that of a time that the series has.
func (s *Series) occurrence(local wallclock.Time) Occurrence {
	return Occurrence{local, local.Add(s.start.AllDayAt).In(s.start.Zone)}
}

// First returns the first occurrence, at or after the start. ok is false if there is none.
func (s *Series) First() (o Occurrence, ok bool) {
	if s.rule.FromCompletion() {
		return s.occurrence(s.start.Local), true
	}
	return s.earliest(s.start.Local)
}

// earliest returns the occurrence with the earliest instant of those that are not before a
// wall-clock time. It may not be the first of them: a gap moves 02:30 to the instant of 03:30,
// and 03:00 is before that.
func (s *Series) earliest(from wallclock.Time) (o Occurrence, ok bool) {
	local, ok := s.firstLocal(from, lastDay)
	if !ok {
		return o, false
	}
	o = s.occurrence(local)
	if change, ok := wallclock.ChangeNear(s.clock(local), s.start.Zone); ok {
		if begin, end, ok := change.Gap(); ok && !s.clock(local).Before(begin) && s.clock(local).Before(end) {
			if later, ok := s.firstLocal(s.local(end), lastDay); ok {
				o = earlier(o, s.occurrence(later))
			}
		}
	}
	return o, true
}

// clock returns the time that clocks show at an occurrence, and local the occurrence's Local for such a time.
// They differ for all-day series.
func (s *Series) clock(local wallclock.Time) wallclock.Time { return local.Add(s.start.AllDayAt) }
func (s *Series) local(clock wallclock.Time) wallclock.Time { return clock.Add(-s.start.AllDayAt) }

func earlier(a, b Occurrence) Occurrence {
	if b.Compare(a) < 0 {
		return b
	}
	return a
}

func later(a, b Occurrence) Occurrence {
	if b.Compare(a) > 0 {
		return b
	}
	return a
}

// Next returns the first occurrence whose instant is after t. ok is false if there is none.
// It does not begin at the start, but near t.
func (s *Series) Next(t time.Time) (o Occurrence, ok bool) {
	return s.After(Occurrence{wallclock.New(wallclock.MaxYear+1, 1, 1, 0, 0, 0), t})
}

// After returns the occurrence that follows one, in the order of [Occurrence.Compare]. ok is
// false if there is none. It does not begin at the start, but near the one before.
func (s *Series) After(before Occurrence) (o Occurrence, ok bool) {
	now := wallclock.At(before.Instant, s.start.Zone)
	next := now.Add(time.Second) // what clocks show from then on
	if s.clock(before.Local).Before(now) {
		next = now // before was moved by a gap to the instant of this one
	}
	change, changed := wallclock.LastChange(before.Instant, s.start.Zone)
	if _, end, ok := change.Overlap(); changed && ok && now.Before(end) {
		next = end // clocks show for the second time what they have shown
	}
	o, ok = s.earliest(s.local(next))
	// In the time after a gap there are those that the gap has moved.
	if begin, end, isGap := change.Gap(); changed && isGap && now.Before(end.Add(change.By())) {
		from := now.Add(time.Second - change.By())
		if from.Before(begin) {
			from = begin
		}
		if moved, found := s.firstLocal(s.local(from), lastDay); found && s.clock(moved).Before(end) {
			if !ok {
				return s.occurrence(moved), true
			}
			o = earlier(o, s.occurrence(moved))
		}
	}
	return o, ok
}

// Latest returns the last occurrence whose instant is not after t. ok is false if there is none.
// It does not begin at the start, but near t.
func (s *Series) Latest(t time.Time) (o Occurrence, ok bool) {
	now := wallclock.At(t, s.start.Zone)
	until := now
	change, changed := wallclock.LastChange(t, s.start.Zone)
	if _, end, ok := change.Overlap(); changed && ok && now.Before(end) {
		until = end.Add(-time.Second)
	}
	local, ok := s.lastLocal(s.local(until))
	if !ok {
		return o, false
	}
	begin, end, isGap := change.Gap()
	if changed && isGap && now.Before(end.Add(change.By())) {
		// Some of those that the gap has moved have not come yet.
		moved, found := s.lastLocal(s.local(now.Add(-change.By())))
		switch {
		case s.clock(local).Before(end) && !found:
			return o, false
		case s.clock(local).Before(end):
			return s.occurrence(moved), true
		case found && !s.clock(moved).Before(begin):
			return later(s.occurrence(local), s.occurrence(moved)), true
		}
		return s.occurrence(local), true
	}
	o = s.occurrence(local)
	// One that a gap has moved may have come after it.
	if change, ok := wallclock.LastChange(o.Instant, s.start.Zone); ok {
		if begin, end, isGap := change.Gap(); isGap && !s.clock(local).Before(end) && s.clock(local).Before(end.Add(change.By())) {
			if moved, found := s.lastLocal(s.local(end.Add(-time.Second))); found && !s.clock(moved).Before(begin) {
				o = later(o, s.occurrence(moved))
			}
		}
	}
	return o, true
}

// firstLocal returns the first time of the series that is not before t, on the day last or
// before it.
func (s *Series) firstLocal(t wallclock.Time, last int) (found wallclock.Time, ok bool) {
	for {
		found, ok = s.pattern.first(t, last)
		if !ok || found.After(s.until) || found.After(s.end()) {
			return found, false
		}
		switch {
		case s.rule.exceptDays[dayOf(found)]:
			t = found.Midnight().AddDays(1)
		case s.rule.exceptTimes[found]:
			t = found.Add(time.Second)
		default:
			return found, true
		}
	}
}

// lastLocal returns the last time of the series that is not after t.
func (s *Series) lastLocal(t wallclock.Time) (found wallclock.Time, ok bool) {
	if end := s.end(); t.After(end) {
		t = end
	}
	for {
		found, ok = s.pattern.last(t)
		switch {
		case !ok:
			return found, false
		case s.rule.exceptDays[dayOf(found)]:
			t = found.Midnight().Add(-time.Second)
		case s.rule.exceptTimes[found]:
			t = found.Add(-time.Second)
		default:
			return found, true
		}
	}
}

// Completed returns the occurrence that follows one of a rule from "completion", which is the
// number-th of its series, counted from 1, and was completed at an instant: the completion's date
// plus the rule's step, at the start's time of day (at the completion's, plus hours, if the rule is
// hourly). It is later than done, so completing early never gives done again. next is its number:
// dates that except leaves out count towards COUNT. ok is false if the series is over.
func (s *Series) Completed(done Occurrence, number int, at time.Time) (o Occurrence, next int, ok bool) {
	completed := wallclock.At(at, s.start.Zone)
	step := 1
	if hours := []int{weekly: 7 * 24, daily: 24, hourly: 1}; s.rule.freq >= weekly && done.Local.After(completed) {
		// Long before it was due: go near it.
		unit := int64(hours[s.rule.freq]*s.rule.interval) * 3600
		step = max(1, int((done.Local.UTC().Unix()-completed.UTC().Unix())/unit))
	}
	for ; ; step++ {
		local, exists := s.step(completed, step*s.rule.interval)
		switch {
		case local.After(timeOf(s.pattern.lastDay, secondsADay-1)):
			return Occurrence{}, 0, false
		case !exists || !local.After(done.Local):
			continue
		}
		o = s.occurrence(local)
		if !o.Instant.After(at) || o.Compare(done) <= 0 {
			continue
		}
		number++
		if local.After(s.until) || (s.rule.count > 0 && number > s.rule.count) {
			return Occurrence{}, 0, false
		}
		if s.rule.exceptDays[dayOf(local)] || s.rule.exceptTimes[local] {
			continue
		}
		return o, number, true
	}
}

// step returns the time that lies n hours, days, weeks, months or years after a completion.
// exists is false if the month has no such day and SKIP omits it.
func (s *Series) step(completed wallclock.Time, n int) (local wallclock.Time, exists bool) {
	clock := s.start.Local.SinceMidnight()
	switch s.rule.freq {
	case hourly:
		return completed.AddDays(n / 24).Add(time.Duration(n%24) * time.Hour), true // n hours may be more than a Duration has
	case daily:
		return completed.Midnight().AddDays(n).Add(clock), true
	case weekly:
		return completed.Midnight().AddDays(7 * n).Add(clock), true
	case yearly:
		n *= 12
	}
	year, month, day := completed.Date()
	first := dayNumber(year, month+time.Month(n), 1)
	length := dayNumber(year, month+time.Month(n)+1, 1) - first
	switch {
	case day > length && s.rule.definition.Skip == Omit:
		return timeOf(first, 0), false
	case day > length && s.rule.definition.Skip == Backward:
		day = length
	case day > length:
		day = length + 1
	}
	return timeOf(first+day-1, 0).Add(clock), true
}
