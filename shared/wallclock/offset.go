package wallclock

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// MaxOffsetDays is how many days an [Offset] may lie before or after a due time.
const MaxOffsetDays = 366

// Offset says how long before a due time something happens, after it if it is negative. It is
// either of whole days on the calendar ("1d", "1w": the same time of day on an earlier date,
// however many hours lie between) or exact ("24h"). "1d" and "24h" are different Offsets; "1w"
// and "7d" are the same. Offsets are compared with ==.
type Offset struct {
	// Days is the number of calendar days, and 0 for an exact Offset.
	Days int
	// Exact is the time that an exact Offset has, and 0 for one of days.
	Exact time.Duration
}

// ParseOffset reads an Offset: whole days or weeks ("1d", "-2w"), or a Go duration of whole
// milliseconds ("30m", "-1h30m"). The error is invalid, to be put after what it is called, and
// says what to write.
func ParseOffset(s string) (Offset, error) {
	number, days := strings.CutSuffix(s, "d")
	number, weeks := strings.CutSuffix(number, "w")
	if days != weeks { // one of the two
		n, err := strconv.Atoi(number)
		if err != nil || number[0] == '+' || len(number) > 5 {
			return Offset{}, notOffset(s)
		}
		if weeks {
			n *= 7
		}
		if n > MaxOffsetDays || n < -MaxOffsetDays {
			return Offset{}, tooFar(s)
		}
		return Offset{Days: n}, nil
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return Offset{}, notOffset(s)
	case d > MaxOffsetDays*24*time.Hour || d < -MaxOffsetDays*24*time.Hour:
		return Offset{}, tooFar(s)
	case d%time.Millisecond != 0:
		return Offset{}, fault.Invalid("must be of whole milliseconds, unlike %.40q", s)
	}
	return Offset{Exact: d}, nil
}

func notOffset(s string) error {
	return fault.Invalid("must be an offset before the due time, such as \"0s\", \"30m\", \"1h30m\", \"1d\" (the same time of day) or \"1w\", or after it, such as \"-1h\" or \"-1d\"; not %.40q", s)
}

func tooFar(s string) error {
	return fault.Invalid("must lie within %d days of the due time: write \"%dd\" instead of %.40q, or less", MaxOffsetDays, MaxOffsetDays, s)
}

// String writes o in its shortest form, as [ParseOffset] reads it: "0s", "1h30m", "24h", "3d", "2w".
func (o Offset) String() string {
	switch {
	case o.Days != 0 && o.Days%7 == 0:
		return fmt.Sprintf("%dw", o.Days/7)
	case o.Days != 0:
		return fmt.Sprintf("%dd", o.Days)
	}
	s := o.Exact.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-len("0s")]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-len("0m")]
	}
	return s
}

// Instant returns the instant that lies o before a local due time in a zone.
func (o Offset) Instant(due Time, zone *time.Location) time.Time {
	return due.AddDays(-o.Days).In(zone).Add(-o.Exact)
}

// Before returns the instant that lies o before an instant. Days are those of the zone, and a
// fraction of a second stays.
func (o Offset) Before(due time.Time, zone *time.Location) time.Time {
	if o.Days == 0 {
		return due.Add(-o.Exact)
	}
	return o.Instant(At(due, zone), zone).Add(time.Duration(due.Nanosecond()))
}
