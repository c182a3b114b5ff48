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
	// ByClock is a local time: in a zone, or wherever the user is.
	ByClock Form = "clock"
	// ByDay is a whole day. It counts as the time of day that its user has chosen for such days.
	ByDay Form = "day"
)

// Due is a due date as its user gave it. Its instant is the [Draft]'s DueDate: that was given
// itself (ByInstant), or is derived from the rest by [Draft.Derive].
type Due struct {
	Form Form
	// Local is the local time, and midnight for a day. It is the zero value for an instant.
	Local wallclock.Time
	// Zone is the IANA name of the zone of Local. Without one it is where the user is: the due date
	// floats. An instant may have one for the sake of its offsets of days.
	Zone string
}

// Wall reports whether the due date is what clocks on walls show.
func (d Due) Wall() bool { return d.Form != ByInstant }

// Clock is what the instants of one user's tasks are derived from.
type Clock struct {
	Zones *zone.Data // nil: the release that is embedded
	Zone  string     // the user's; "" until one is set
	// AllDayAt is the time of day that a whole day counts as.
	AllDayAt time.Duration
	// Version grows with each change of Zone and AllDayAt; 0 is that of a user who has none.
	Version int64
}

// DefaultAllDayAt is what a whole day counts as where its user has chosen nothing.
const DefaultAllDayAt = 9 * time.Hour

func (c Clock) zones() *zone.Data {
	if c.Zones == nil {
		return zone.Pinned()
	}
	return c.Zones
}

// Location returns the user's zone, and UTC until one is set.
func (c Clock) Location() *time.Location {
	location, _ := Draft{}.location(c)
	return location
}

// Release is that of the time zones.
func (c Clock) Release() string { return c.zones().Release() }

// Source is what an instant was derived from. The zero Source is that of one that depends on
// no clock.
type Source struct {
	// Clock is the Version of the user's Clock, -1 if the user's does not matter: the due date has a
	// zone of its own, and is not all day.
	Clock int64
	// Release is that of the time zones.
	Release string
}

// Older reports whether what was derived from s is to be derived again from a user's clock:
// the clock or the time zones are later ones. If the time zones of s are later than ours,
// it is left to those who have them.
func (s Source) Older(c Clock) bool {
	release := c.zones().Release()
	return s.Release != "" && s.Release <= release && (s.Release < release || s.Clock >= 0 && s.Clock < c.Version)
}

// source says what the instant at an offset is derived from.
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

// DependsOnUser reports whether the user's [Clock] matters to the draft's instants: where the user is, or what
// a whole day counts as.
func (d Draft) DependsOnUser() bool {
	if d.Due.Form == ByDay {
		return true
	}
	return d.Due.Zone == "" && (d.Due.Wall() || d.DueDate != nil && slices.ContainsFunc(d.Before, func(o Offset) bool { return o.Days != 0 }))
}

// location is the zone of the due date: its own, or the user's. ok is false if neither is known.
func (d Draft) location(c Clock) (location *time.Location, ok bool) {
	name := d.Due.Zone
	if name == "" {
		name = c.Zone
	}
	if name == "" {
		return time.UTC, false
	}
	location, ok = c.zones().Load(name)
	if !ok { // one that these time zones lack, and others had
		return time.UTC, true
	}
	return location, true
}

// Derive sets DueDate to the instant of the due date by a user's clock, if that is what clocks on
// walls show. The error is a fault with code invalid.
func (d *Draft) Derive(c Clock) error {
	if !d.Due.Wall() {
		return nil
	}
	location, ok := d.location(c)
	if !ok {
		return fault.Invalid("the due date is a local time, and nobody knows where you are: set time_zone in your preferences (PUT /api/preferences), or name one beside due_local")
	}
	at := d.clock(c).In(location)
	if at.Year() < MinYear || at.Year() > MaxYear {
		return fault.Invalid("due_local must lie between the years %d and %d, in UTC too", MinYear, MaxYear)
	}
	d.DueDate = &at
	return nil
}

// clock is what clocks show at the due date.
func (d Draft) clock(c Clock) wallclock.Time {
	if d.Due.Form == ByDay {
		return d.Due.Local.Add(c.AllDayAt)
	}
	return d.Due.Local
}

// fireAt is the instant at an offset before the due date, nil if there is none.
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
