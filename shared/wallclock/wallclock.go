// Package wallclock has dates and times as clocks on walls show them, without a zone, and turns
// them into instants.
//
// It is right where time.Date promises nothing, by RFC 5545, section 3.3.5:
//
//   - A time that does not exist, because clocks go forward past it, takes the offset from UTC
//     before the gap: 02:30 in New York's spring is the instant of 03:30. A date that a
//     country skipped is such a gap, too.
//   - A time that comes twice, because clocks go back, is the first.
package wallclock

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// Years in which a Time may lie when it is parsed.
const (
	MinYear = 1970
	MaxYear = 9999
)

const day = 24 * 60 * 60

// Time is a date and a time of day to the second, in no zone. Times are compared with ==, and
// the zero Time is midnight of 1970-01-01.
type Time struct {
	seconds int64 // since 1970-01-01T00:00, all days with 24 hours
}

// New returns the Time with these parts. Parts outside their range are carried over, as by
// time.Date: 32 January is 1 February.
func New(year int, month time.Month, dayOfMonth, hour, minute, second int) Time {
	return FromUTC(time.Date(year, month, dayOfMonth, hour, minute, second, 0, time.UTC))
}

// FromUTC returns the Time that a clock in UTC shows at t, without its fraction of a second.
// Postgres's type timestamp is read as such a t.
func FromUTC(t time.Time) Time { return Time{t.Unix()} }

// At returns what a clock in a zone shows at an instant, without its fraction of a second.
func At(t time.Time, zone *time.Location) Time {
	return Time{t.Unix() + int64(offset(t.Unix(), zone))}
}

// UTC returns the instant at which a clock in UTC shows t.
func (t Time) UTC() time.Time { return time.Unix(t.seconds, 0).UTC() }

// Date returns year, month and day of the month.
func (t Time) Date() (year int, month time.Month, dayOfMonth int) { return t.UTC().Date() }

// Clock returns hour, minute and second.
func (t Time) Clock() (hour, minute, second int) { return t.UTC().Clock() }

// Weekday returns the day of the week.
func (t Time) Weekday() time.Weekday { return t.UTC().Weekday() }

// Midnight returns the beginning of t's date.
func (t Time) Midnight() Time { return Time{t.seconds - t.sinceMidnight()} }

// SinceMidnight returns the time of day.
func (t Time) SinceMidnight() time.Duration { return time.Duration(t.sinceMidnight()) * time.Second }

func (t Time) sinceMidnight() int64 { return (t.seconds%day + day) % day }

// Add returns the Time that is d later by a clock that is never changed. Fractions of a second
// are left out.
func (t Time) Add(d time.Duration) Time { return Time{t.seconds + int64(d/time.Second)} }

// AddDays returns the same time of day, n days later.
func (t Time) AddDays(n int) Time { return Time{t.seconds + int64(n)*day} }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t.seconds < u.seconds }

// After reports whether t is later than u.
func (t Time) After(u Time) bool { return t.seconds > u.seconds }

// Equal reports whether t and u are the same, as == does.
func (t Time) Equal(u Time) bool { return t == u }

// MarshalText writes t as String does.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Compare returns -1 if t is earlier than u, 1 if it is later, and else 0.
func (t Time) Compare(u Time) int {
	switch {
	case t.seconds < u.seconds:
		return -1
	case t.seconds > u.seconds:
		return 1
	}
	return 0
}

// String writes t as [Parse] reads it: 2026-12-01T09:00, with seconds if there are any.
func (t Time) String() string {
	if t.seconds%60 == 0 {
		return t.UTC().Format("2006-01-02T15:04")
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}

// DateString writes t's date as [ParseDate] reads it.
func (t Time) DateString() string { return t.UTC().Format(time.DateOnly) }

// ClockString writes t's time of day: 09:00, with seconds if there are any.
func (t Time) ClockString() string { return t.String()[len("2006-01-02T"):] }

var (
	localTime = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?$`)
	localDate = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	withZone  = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d)?([.,]\d+)?([Zz]|[+-]\d\d:?\d\d)$`)
	fraction  = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[.,]\d+$`)
)

// Parse reads a local time, 2026-12-01T09:00 or 2026-12-01T09:00:30, strictly. The error is
// invalid, to be put after what the time is called, and says what to write.
func Parse(s string) (Time, error) {
	switch parts := localTime.FindStringSubmatch(s); {
	case parts != nil:
		date, err := ParseDate(parts[1])
		if err != nil {
			return Time{}, err
		}
		clock, err := ParseClock(parts[2] + parts[3])
		if err != nil && strings.HasPrefix(parts[2], "24:00") {
			return Time{}, fault.Invalid("has 24:00, which no clock shows: write the next day's beginning, %s", date.AddDays(1))
		}
		if err != nil {
			return Time{}, err
		}
		return date.Add(clock), nil
	case withZone.MatchString(s):
		return Time{}, fault.Invalid("must be a local time: write it as 2026-12-01T09:00, without the offset that %.40q has; the zone goes into time_zone, and an instant into due_date", s)
	case localDate.MatchString(s):
		return Time{}, fault.Invalid("must be a local time: write it as %sT09:00; a date alone goes into due_on", s)
	case fraction.MatchString(s):
		return Time{}, fault.Invalid("must be a local time of whole seconds: write it as %s", fraction.FindStringSubmatch(s)[1])
	}
	return Time{}, fault.Invalid("must be a local time: write it as 2026-12-01T09:00 or 2026-12-01T09:00:30, not %.40q", s)
}

// ParseDate reads a date, 2026-12-01, strictly, and returns its midnight. The error is like
// that of [Parse].
func ParseDate(s string) (Time, error) {
	if !localDate.MatchString(s) {
		return Time{}, fault.Invalid("must be a date: write it as 2026-12-01, not %.40q", s)
	}
	var year, month, dayOfMonth int
	if _, err := fmt.Sscanf(s, "%d-%d-%d", &year, &month, &dayOfMonth); err != nil {
		return Time{}, fault.Invalid("must be a date: write it as 2026-12-01, not %.40q", s)
	}
	switch {
	case year < MinYear:
		return Time{}, fault.Invalid("must lie between the years %d and %d, unlike %s", MinYear, MaxYear, s)
	case month < 1 || month > 12:
		return Time{}, fault.Invalid("has month %02d: write one from 01 to 12, as in 2026-12-01", month)
	case dayOfMonth < 1 || dayOfMonth > daysIn(year, month):
		return Time{}, fault.Invalid("has day %02d, but %04d-%02d has days 01 to %d: write one of these", dayOfMonth, year, month, daysIn(year, month))
	}
	return New(year, time.Month(month), dayOfMonth, 0, 0, 0), nil
}

func daysIn(year, month int) int {
	_, _, last := New(year, time.Month(month)+1, 0, 0, 0, 0).Date()
	return last
}

var clock = regexp.MustCompile(`^(\d\d):(\d\d)(?::(\d\d))?$`)

// ParseClock reads a time of day, 09:00 or 09:00:30, strictly, and returns how long after
// midnight it is. The error is like that of [Parse].
func ParseClock(s string) (time.Duration, error) {
	parts := clock.FindStringSubmatch(s)
	if parts == nil {
		return 0, fault.Invalid("must be a time of day: write it as 09:00, not %.40q", s)
	}
	number := func(digits string) (n int) {
		for _, d := range digits {
			n = 10*n + int(d-'0')
		}
		return n
	}
	hour, minute, second := number(parts[1]), number(parts[2]), number(parts[3])
	if hour > 23 || minute > 59 || second > 59 {
		return 0, fault.Invalid("has %s, which no clock shows: write a time from 00:00 to 23:59:59", s)
	}
	return time.Duration(hour*3600+minute*60+second) * time.Second, nil
}

// In returns the instant of t in a zone, see the package's comment.
func (t Time) In(zone *time.Location) time.Time {
	before, after := t.offsets(zone)
	sought := t.seconds - int64(before) // right before a change, in an overlap, and in a gap
	if before != after && offset(sought, zone) != before {
		if later := t.seconds - int64(after); offset(later, zone) == after {
			sought = later
		}
	}
	return time.Unix(sought, 0).UTC()
}

// Every offset since 1970 lies between -12 h and +14 h. So some time before all instants that a
// wall-clock time can have, a zone has the offset before a change, and some time after them
// the one that follows. A test sees to it that no zone changes twice within a window.
const (
	windowBefore = 15 * 60 * 60
	windowAfter  = 13 * 60 * 60
)

// offsets returns the seconds that a zone is ahead of UTC before and after the change that t may
// be near.
func (t Time) offsets(zone *time.Location) (before, after int) {
	return offset(t.seconds-windowBefore, zone), offset(t.seconds+windowAfter, zone)
}

func offset(instant int64, zone *time.Location) int {
	_, seconds := time.Unix(instant, 0).In(zone).Zone()
	return seconds
}
