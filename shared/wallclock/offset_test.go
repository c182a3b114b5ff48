package wallclock_test

import (
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
)

func TestParseOffset(t *testing.T) {
	for s, want := range map[string]string{
		"0s": "0s", "30m": "30m", "90m": "1h30m", "24h": "24h", "1d": "1d", "7d": "1w", "2w": "2w", "10d": "10d", "0d": "0s",
		"-1h": "-1h", "-1d": "-1d", "-1w": "-1w", "366d": "366d", "-366d": "-366d", "8784h": "8784h", "-8784h": "-8784h", "1.5h": "1h30m", "1ms": "1ms",
	} {
		o, err := wallclock.ParseOffset(s)
		if err != nil || o.String() != want {
			t.Errorf("%q: %v, %v; want %s", s, o, err, want)
		}
		if again, err := wallclock.ParseOffset(o.String()); err != nil || again != o {
			t.Errorf("%q: %v, %v", o, again, err)
		}
	}
	day, _ := wallclock.ParseOffset("1d")
	hours, _ := wallclock.ParseOffset("24h")
	if day == hours {
		t.Error("a day and 24 hours are the same")
	}
	for s, advice := range map[string]string{
		"367d": `"366d"`, "-367d": `"366d"`, "53w": `"366d"`, "8785h": `"366d"`, "-8785h": `"366d"`, "1us": "milliseconds", "": "such as", "d": "such as", "-d": "such as", "w": "such as", "1dw": "such as",
		"1wd": "such as", "+1d": "such as", "1.5d": "such as", "1d12h": "such as", "day": "such as", "1 d": "such as", "0001000d": "such as", "99999999999999999999d": "such as", strings.Repeat("9", 1000) + "d": "such as",
	} {
		if _, err := wallclock.ParseOffset(s); fault.CodeOf(err) != fault.CodeInvalid || !strings.Contains(err.Error(), advice) || len(err.Error()) > 300 {
			t.Errorf("%.40q: %v, want %q", s, err, advice)
		}
	}
}

// A day is the same time of day on the date before, and 24 hours are 24 hours.
func TestOffsetInstant(t *testing.T) {
	for _, c := range []struct{ zone, due, offset, want string }{
		{"America/New_York", "2026-03-08T09:00", "1d", "2026-03-07T09:00:00-05:00"}, // 23 hours
		{"America/New_York", "2026-03-08T09:00", "24h", "2026-03-07T08:00:00-05:00"},
		{"America/New_York", "2026-11-01T09:00", "1d", "2026-10-31T09:00:00-04:00"}, // 25 hours
		{"America/New_York", "2026-11-01T09:00", "24h", "2026-10-31T10:00:00-04:00"},
		{"America/New_York", "2026-03-14T02:30", "1w", "2026-03-07T02:30:00-05:00"},
		{"America/New_York", "2026-03-15T02:30", "1w", "2026-03-08T03:30:00-04:00"},  // arrives in a gap
		{"America/New_York", "2026-03-08T02:30", "1d", "2026-03-07T02:30:00-05:00"},  // comes from one: 02:30 is meant, not 03:30
		{"America/New_York", "2026-03-08T02:30", "0s", "2026-03-08T03:30:00-04:00"},  //
		{"America/New_York", "2026-03-08T02:30", "1h", "2026-03-08T01:30:00-05:00"},  //
		{"America/New_York", "2026-11-01T01:30", "-1h", "2026-11-01T01:30:00-05:00"}, // the second 01:30
		{"America/New_York", "2026-11-01T01:30", "-1d", "2026-11-02T01:30:00-05:00"}, //
		{"Pacific/Apia", "2011-12-31T09:00", "1d", "2011-12-31T09:00:00+14:00"},      // the day before was skipped
		{"Pacific/Apia", "2011-12-31T09:00", "2d", "2011-12-29T09:00:00-10:00"},      //
		{"Pacific/Apia", "2011-12-31T09:00", "24h", "2011-12-29T09:00:00-10:00"},     //
		{"Australia/Lord_Howe", "2026-10-05T02:15", "1d", "2026-10-04T02:45:00+11:00"},
	} {
		location := load(t, c.zone)
		o, err := wallclock.ParseOffset(c.offset)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Instant(parse(t, c.due), location).In(location).Format(time.RFC3339); got != c.want {
			t.Errorf("%s before %s in %s is %s, want %s", c.offset, c.due, c.zone, got, c.want)
		}
	}
	newYork := load(t, "America/New_York")
	due := time.Date(2026, 3, 8, 13, 0, 0, 123456000, time.UTC) // 09:00 EDT
	for o, want := range map[wallclock.Offset]time.Time{
		{Days: 1}:               due.Add(-23 * time.Hour),
		{Exact: 24 * time.Hour}: due.Add(-24 * time.Hour),
		{}:                      due,
		{Days: -1}:              due.Add(24 * time.Hour),
	} {
		if got := o.Before(due, newYork); !got.Equal(want) {
			t.Errorf("%v before %v is %v, want %v", o, due, got, want)
		}
	}
}
