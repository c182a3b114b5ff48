// Package quiet has the rules of quiet hours: windows of a user's local time in which nothing is
// sent on external channels.
//
// A window from 22:00 to 07:00 contains 22:00 and does not contain 07:00. Windows are compared with
// the local time. If clocks are set forward past a window, there is no such window on that day. If
// clocks are set back into a window, its quiet hours come twice.
package quiet

import (
	"slices"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
)

// MaxWindows is how many windows a user may have.
const MaxWindows = 28

// Window is one window, as its user writes it.
type Window struct {
	// From and To are times of day in full minutes, such as 22:00. If To is earlier than From, the
	// window ends on the next day.
	From string `json:"from"`
	To   string `json:"to"`
	// Days are the days on which it begins, as [Days] names them; nil: every day.
	Days []string `json:"days"`
}

// Days are the days of the week, in order, by the first two letters of their names.
var Days = []string{"mo", "tu", "we", "th", "fr", "sa", "su"}

// Hours are quiet hours. The zero value has no window. [Parse] makes others.
type Hours struct{ windows []window }

// window is a parsed Window.
type window struct {
	from, to time.Duration // since midnight of the day on which it begins
	days     [7]bool       // by time.Weekday
}

// Parse reads windows. The error is invalid, and says what to write. The caller puts the field's
// name before it.
func Parse(all []Window) (Hours, error) {
	if len(all) > MaxWindows {
		return Hours{}, fault.Invalid("has more than the %d windows that are allowed", MaxWindows)
	}
	var h Hours
	for _, w := range all {
		read, err := w.parse()
		if err != nil {
			return Hours{}, err
		}
		h.windows = append(h.windows, read)
	}
	if h.Any() && !h.leaveTime() {
		return Hours{}, fault.Invalid("leaves no minute of the week free, so that nothing could ever be sent: leave a gap, or switch the channels off")
	}
	return h, nil
}

func (w Window) parse() (r window, err error) {
	if r.from, err = parseClock("from", w.From); err != nil {
		return r, err
	}
	if r.to, err = parseClock("to", w.To); err != nil {
		return r, err
	}
	switch {
	case r.from == r.to:
		return r, fault.Invalid("has a window from %s to %s: let it end at another time than it begins; for a whole day write two, from 00:00 to 12:00 and from 12:00 to 00:00", w.From, w.To)
	case r.from > r.to:
		r.to += 24 * time.Hour
	}
	if w.Days == nil {
		w.Days = Days
	}
	if len(w.Days) == 0 {
		return r, fault.Invalid("has a window without a day: name days, or leave days out for every day")
	}
	r.days, err = ParseDays(w.Days)
	return r, err
}

// ParseDays reads names of [Days], and says of each time.Weekday whether it is among them. The error is
// like that of [Parse].
func ParseDays(names []string) (days [7]bool, err error) {
	for _, name := range names {
		i := slices.Index(Days, name)
		if i < 0 {
			return days, fault.Invalid("has the day %.20q, which does not exist: the days are %s", name, strings.Join(Days, ", "))
		}
		days[(i+1)%7] = true
	}
	return days, nil
}

// DayNames returns the names of days, as ParseDays reads them, in the order of [Days].
func DayNames(days [7]bool) (names []string) {
	for day, name := range Days {
		if days[(day+1)%7] {
			names = append(names, name)
		}
	}
	return names
}

// parseClock reads a time of day in full minutes.
func parseClock(name, s string) (time.Duration, error) {
	clock, err := wallclock.ParseClock(s)
	if err != nil || clock%time.Minute != 0 {
		return 0, fault.Invalid("has a window whose %s is no time of day: write it as 22:00, from 00:00, which is midnight, to 23:59; not %.40q", name, s)
	}
	return clock, nil
}

// Any reports whether there is a window.
func (h Hours) Any() bool { return len(h.windows) > 0 }

// Windows returns the windows as a user would write them, each with all of its days.
func (h Hours) Windows() []Window {
	all := make([]Window, len(h.windows))
	for i, w := range h.windows {
		all[i] = Window{From: wallclock.Time{}.Add(w.from).ClockString(), To: wallclock.Time{}.Add(w.to).ClockString(), Days: DayNames(w.days)}
	}
	return all
}

// Until returns the first instant at or after t that is outside of all windows, in a time zone.
func (h Hours) Until(t time.Time, zone *time.Location) time.Time {
	for {
		now := wallclock.At(t, zone)
		end := h.end(now)
		if end == now {
			return t
		}
		free := time.Unix(t.Unix(), 0).Add(end.UTC().Sub(now.UTC())).UTC()
		_, change := t.In(zone).ZoneBounds()
		if change.IsZero() || free.Before(change) {
			return free
		}
		t = change.UTC() // from then on clocks have another offset
	}
}

// end returns the first wall-clock time at or after t that is in no window, as if clocks were never
// changed.
func (h Hours) end(t wallclock.Time) wallclock.Time {
	for again := true; again; {
		again = false
		for _, w := range h.windows {
			if end, ok := w.end(t); ok {
				t, again = end, true
			}
		}
	}
	return t
}

// end returns the end of the window, if t is in it.
func (w window) end(t wallclock.Time) (end wallclock.Time, ok bool) {
	for _, day := range []wallclock.Time{t.Midnight(), t.Midnight().AddDays(-1)} {
		end = day.Add(w.to)
		if w.days[day.Weekday()] && !t.Before(day.Add(w.from)) && t.Before(end) {
			return end, true
		}
	}
	return t, false
}

// leaveTime reports whether some minute of the week is in no window. If there is one, then there is
// one at the end of a window.
func (h Hours) leaveTime() bool {
	for day := range 7 {
		midnight := wallclock.Time{}.AddDays(day)
		for _, w := range h.windows {
			if w.days[midnight.Weekday()] && !h.has(midnight.Add(w.to)) {
				return true
			}
		}
	}
	return false
}

// has reports whether t is in a window.
func (h Hours) has(t wallclock.Time) bool {
	return slices.ContainsFunc(h.windows, func(w window) bool {
		_, ok := w.end(t)
		return ok
	})
}
