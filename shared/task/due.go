package task

import (
	"slices"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

// Form is how a due date is given.
type Form string

// The forms.
const (
	// ByInstant is an instant, or no due date. It never moves.
	ByInstant Form = ""
	// ByClock is a local time, in a zone or in the user's.
	ByClock Form = "clock"
	// ByDay is a whole day. It is due at the time of day that the user has chosen for such days.
	ByDay Form = "day"
)

// Due is a due date as its user gave it. The instant is in the [Draft]'s DueDate. For ByInstant it
// was given; for the other forms [Draft.Derive] derives it.
type Due struct {
	Form Form
	// Local is the local time, or midnight of the day. For ByInstant it is zero.
	Local wallclock.Time
	// Zone is the IANA name of the zone of Local. If it is "", the due date floats: it is in the
	// user's zone. With ByInstant it is the zone for offsets of days.
	Zone string
}

// Wall reports whether the due date is a wall-clock time: ByClock or ByDay.
func (d Due) Wall() bool { return d.Form != ByInstant }

// Clock has what the instants of one user's tasks are derived from.
type Clock struct {
	Zones *zone.Data // nil: the embedded release
	Zone  string     // the user's; "" until one is set
	// AllDayAt is the time of day at which a whole day is due.
	AllDayAt time.Duration
	// Version increases with each change of Zone or AllDayAt. It is 0 for a user who has set
	// neither.
	Version int64
}

// DefaultAllDayAt is the AllDayAt of users who have chosen none.
const DefaultAllDayAt = 9 * time.Hour

func (c Clock) zones() *zone.Data {
	if c.Zones == nil {
		return zone.Pinned()
	}
	return c.Zones
}

// Location returns the user's zone; UTC if none is set.
func (c Clock) Location() *time.Location {
	location, _ := Draft{}.location(c)
	return location
}

// Release returns the release of the time zones.
func (c Clock) Release() string { return c.zones().Release() }

// Source is what an instant was derived from. The zero value is for an instant that was given.
type Source struct {
	// Clock is the Version of the user's Clock. It is -1 if the instant does not depend on the
	// user, because the due date has a zone of its own and is not all day.
	Clock int64
	// Release is the release of the time zones.
	Release string
}

// Older reports whether an instant with this source has to be derived again: the user's clock or
// the time zones are newer. If the source's time zones are newer than ours, it is false: only
// processes with those derive it again.
func (s Source) Older(c Clock) bool {
	release := c.zones().Release()
	return s.Release != "" && s.Release <= release && (s.Release < release || s.Clock >= 0 && s.Clock < c.Version)
}

// source returns the source of the instant at an offset.
func (d Draft) source(before Offset, c Clock) Source {
	if d.DueDate == nil || !d.Due.Wall() && before.Days == 0 {
		return Source{}
	}
	s := Source{Clock: -1, Release: c.zones().Release()}
	if d.Due.Zone == "" || d.Due.Form == ByDay {
		s.Clock = c.Version
	}
	return s
}

// DependsOnUser reports whether the draft's instants depend on the user's [Clock]: on the zone, or
// on AllDayAt.
func (d Draft) DependsOnUser() bool {
	if d.Due.Form == ByDay {
		return true
	}
	return d.Due.Zone == "" && (d.Due.Wall() || d.DueDate != nil && slices.ContainsFunc(d.Before, func(o Offset) bool { return o.Days != 0 }))
}

// location returns the zone of the due date: its own, or the user's. ok is false if neither is set.
func (d Draft) location(c Clock) (location *time.Location, ok bool) {
	name := d.Due.Zone
	if name == "" {
		name = c.Zone
	}
	if name == "" {
		return time.UTC, false
	}
	location, ok = c.zones().Load(name)
	if !ok { // a zone that only other releases of the time zones have
		return time.UTC, true
	}
	return location, true
}

// Derive sets DueDate by a user's clock, if the due date is a wall-clock time. The error is a fault
// with code invalid.
func (d *Draft) Derive(c Clock) error {
	if !d.Due.Wall() {
		return nil
	}
	location, ok := d.location(c)
	if !ok {
		return fault.Invalid("the due date is a local time, and your time zone is not known: set time_zone in your preferences (PUT /api/preferences), or name one beside due_local")
	}
	at := d.clock(c).In(location)
	if at.Year() < MinYear || at.Year() > MaxYear {
		return fault.Invalid("due_local must lie between the years %d and %d, in UTC too", MinYear, MaxYear)
	}
	d.DueDate = &at
	return nil
}

// clock returns the wall-clock time of the due date.
func (d Draft) clock(c Clock) wallclock.Time {
	if d.Due.Form == ByDay {
		return d.Due.Local.Add(c.AllDayAt)
	}
	return d.Due.Local
}

// fireAt returns the instant at an offset before the due date; nil if there is no due date.
func (d Draft) fireAt(before Offset, c Clock) *time.Time {
	if d.DueDate == nil {
		return nil
	}
	at := d.DueDate.Add(-before.Exact)
	if before.Days != 0 {
		location, _ := d.location(c)
		if d.Due.Wall() {
			at = before.Instant(d.clock(c), location)
		} else {
			at = before.Before(*d.DueDate, location)
		}
	}
	return &at
}
