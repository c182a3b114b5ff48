package preferences

import (
	"slices"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// Agenda is a user's choice of an agenda: its channel, its time of day, and the days of the week on
// which it comes.
type Agenda struct {
	Channel task.Channel
	At      time.Duration // after midnight
	Days    [7]bool       // by time.Weekday
}

// WrittenAgenda is an agenda as its user writes it.
type WrittenAgenda struct {
	Channel task.Channel `json:"channel"`
	At      string       `json:"at"` // a time of day of whole minutes, such as 08:00
	// Days are those on which it comes, by the names of [quiet.Days]; nil: every day.
	Days []string `json:"days"`
}

// ParseAgenda reads an agenda. The error is a fault with code invalid, and says what to write.
func ParseAgenda(w WrittenAgenda) (a Agenda, err error) {
	if !slices.Contains(task.Channels, w.Channel) {
		return a, fault.Invalid("agenda: channel must be one of %v, not %.40q", task.Channels, w.Channel)
	}
	a.Channel = w.Channel
	if a.At, err = wallclock.ParseClock(w.At); err != nil || a.At%time.Minute != 0 {
		return a, fault.Invalid("agenda: at must be a time of day: write it as 08:00, from 00:00 to 23:59; not %.40q", w.At)
	}
	if w.Days == nil {
		w.Days = quiet.Days
	}
	if len(w.Days) == 0 {
		return a, fault.Invalid("agenda: days is empty: name days, leave it out for every day, or make agenda null for none")
	}
	a.Days, err = quiet.ParseDays(w.Days)
	return a, prefix("agenda:", err)
}

// Written returns the agenda as its user would write it, with all its days.
func (a Agenda) Written() WrittenAgenda {
	return WrittenAgenda{a.Channel, wallclock.Time{}.Add(a.At).ClockString(), quiet.DayNames(a.Days)}
}

// AgendaDay is a local day, and the instant of its agenda.
type AgendaDay struct {
	Day wallclock.Time // its midnight
	At  time.Time
}

// On returns the agenda of a day in a zone. ok is false if the user wants none on that day of the
// week, or if the zone has skipped the day.
func (a Agenda) On(day wallclock.Time, zone *time.Location) (d AgendaDay, ok bool) {
	begins, ends := DayIn(day, zone)
	return AgendaDay{day, day.Add(a.At).In(zone)}, a.Days[day.Weekday()] && begins.Before(ends)
}

// DayIn returns when a day begins in a zone, and when it ends.
func DayIn(day wallclock.Time, zone *time.Location) (begins, ends time.Time) {
	return day.In(zone), day.AddDays(1).In(zone)
}

// MostLate is how late an agenda may be once its day is over. It is also how late one may be that a new zone or
// a new time of day has moved into the past.
const MostLate = 4 * time.Hour

// TooLate reports whether an agenda is not told any more: its day is over, and it is later than [MostLate].
func (d AgendaDay) TooLate(now time.Time, zone *time.Location) bool {
	_, ends := DayIn(d.Day, zone)
	return !now.Before(ends) && now.Sub(d.At) > MostLate
}

// Next returns the earliest agenda in a zone whose day is not settled, from yesterday's on. It skips an
// agenda whose time has passed, unless late returns true for it. ok is false if there is none.
func (a Agenda) Next(now time.Time, zone *time.Location, settled []wallclock.Time, late func(AgendaDay) bool) (next AgendaDay, ok bool) {
	yesterday := wallclock.At(now, zone).Midnight().AddDays(-1) // its agenda may still be told late
	for i := range mostAhead {
		d, ok := a.On(yesterday.AddDays(i), zone)
		if ok && !slices.Contains(settled, d.Day) && (!d.At.Before(now) || late(d)) {
			return d, true
		}
	}
	return AgendaDay{}, false
}

// mostAhead is how many days Next looks at. The next agenda is nearer: it comes at least once a week, and few of
// its days can be settled already or be skipped by the zone.
const mostAhead = 30
