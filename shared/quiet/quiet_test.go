package quiet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/zone"
)

func load(t testing.TB, name string) *time.Location {
	t.Helper()
	location, ok := zone.Load(name)
	if !ok {
		t.Fatalf("there is no zone %s", name)
	}
	return location
}

// windows reads windows such as "22:00-07:00 mo,tu; 12:00-13:00".
func windows(text string) (all []quiet.Window) {
	for part := range strings.SplitSeq(text, ";") {
		times, days, found := strings.Cut(strings.TrimSpace(part), " ")
		var w quiet.Window
		w.From, w.To, _ = strings.Cut(times, "-")
		if found {
			w.Days = strings.Split(days, ",")
		}
		all = append(all, w)
	}
	return all
}

func TestUntil(t *testing.T) {
	const nights = "22:00-07:00"
	for _, c := range []struct{ zone, windows, at, want string }{ // want "": it is not quiet
		// A window includes its start and excludes its end, also across midnight.
		{"Europe/Berlin", nights, "2026-12-01T21:59:59+01:00", ""},
		{"Europe/Berlin", nights, "2026-12-01T22:00:00+01:00", "2026-12-02T07:00:00+01:00"},
		{"Europe/Berlin", nights, "2026-12-02T00:00:00+01:00", "2026-12-02T07:00:00+01:00"},
		{"Europe/Berlin", nights, "2026-12-02T06:59:59.999+01:00", "2026-12-02T07:00:00+01:00"},
		{"Europe/Berlin", nights, "2026-12-02T07:00:00+01:00", ""},
		{"Europe/Berlin", "22:00-00:00", "2026-12-01T23:59:00+01:00", "2026-12-02T00:00:00+01:00"},
		{"Europe/Berlin", "00:00-06:00", "2026-12-02T00:00:00+01:00", "2026-12-02T06:00:00+01:00"},
		{"Europe/Berlin", "22:00-00:00; 00:00-06:00", "2026-12-01T23:00:00+01:00", "2026-12-02T06:00:00+01:00"}, // one after the other
		{"Europe/Berlin", "22:00-06:00; 05:00-09:00", "2026-12-01T23:00:00+01:00", "2026-12-02T09:00:00+01:00"}, // they overlap
		// A window belongs to the day on which it begins. The 5th is a Saturday.
		{"Europe/Berlin", nights + " fr", "2026-12-05T03:00:00+01:00", "2026-12-05T07:00:00+01:00"},
		{"Europe/Berlin", nights + " fr", "2026-12-04T03:00:00+01:00", ""},
		{"Europe/Berlin", nights + " fr", "2026-12-05T22:30:00+01:00", ""},
		{"Europe/Berlin", nights + " su", "2026-12-07T03:00:00+01:00", "2026-12-07T07:00:00+01:00"},
		{"Europe/Berlin", "00:00-12:00 sa,su; 12:00-00:00 sa,su", "2026-12-05T08:00:00+01:00", "2026-12-07T00:00:00+01:00"}, // a weekend
		// In the user's time zone.
		{"Asia/Kolkata", nights, "2026-12-01T16:30:00Z", "2026-12-02T07:00:00+05:30"},
		{"UTC", nights, "2026-12-01T16:30:00Z", ""},
		// Clocks go forward: 02:00 is 03:00.
		{"America/New_York", nights, "2026-03-07T22:00:00-05:00", "2026-03-08T07:00:00-04:00"}, // eight hours
		{"America/New_York", "02:00-02:30", "2026-03-08T03:00:00-04:00", ""},                   // it does not happen
		{"America/New_York", "01:00-02:30", "2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00"},
		{"America/New_York", "01:00-03:00", "2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00"},
		{"America/New_York", "02:30-04:00", "2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"},
		// Clocks go back: 02:00 is 01:00.
		{"America/New_York", nights, "2026-10-31T22:00:00-04:00", "2026-11-01T07:00:00-05:00"}, // ten hours
		{"America/New_York", "01:00-01:30", "2026-11-01T01:15:00-04:00", "2026-11-01T01:30:00-04:00"},
		{"America/New_York", "01:00-01:30", "2026-11-01T01:15:00-05:00", "2026-11-01T01:30:00-05:00"}, // and again
		{"America/New_York", "01:30-02:00", "2026-11-01T01:45:00-04:00", "2026-11-01T01:00:00-05:00"}, // set back to before it
		{"America/New_York", "00:30-02:00", "2026-11-01T01:45:00-04:00", "2026-11-01T02:00:00-05:00"}, // set back into it
		// Clocks change by half an hour, and by a day.
		{"Australia/Lord_Howe", nights, "2026-10-03T22:00:00+10:30", "2026-10-04T07:00:00+11:00"},
		{"Australia/Lord_Howe", "01:00-02:15", "2026-10-04T01:30:00+10:30", "2026-10-04T02:30:00+11:00"},
		{"Australia/Lord_Howe", "01:30-02:30", "2026-04-05T01:45:00+11:00", "2026-04-05T02:30:00+10:30"},
		{"Australia/Lord_Howe", "01:40-02:00", "2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30"},
		{"Pacific/Apia", nights, "2011-12-29T23:00:00-10:00", "2011-12-31T07:00:00+14:00"}, // eight hours: there was no 30th
		{"Pacific/Apia", nights + " th", "2011-12-29T23:00:00-10:00", "2011-12-31T00:00:00+14:00"},
		{"Pacific/Apia", "12:00-13:00 fr", "2011-12-31T12:30:00+14:00", ""},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		h, err := quiet.Parse(windows(c.windows))
		if err != nil {
			t.Fatalf("%s: %v", c.windows, err)
		}
		location := load(t, c.zone)
		got := ""
		if until := h.Until(at, location); !until.Equal(at) {
			got = until.In(location).Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%s in %s at %s: until %q, want %q", c.windows, c.zone, c.at, got, c.want)
		}
	}
	if at := time.Now(); !(quiet.Hours{}).Until(at, time.UTC).Equal(at) {
		t.Error("without windows it is quiet")
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"22:00-07:00":                               "22:00-07:00 mo,tu,we,th,fr,sa,su",
		"22:00-00:00 su,mo,su":                      "22:00-00:00 mo,su",
		"00:00-12:00 sa;12:00-00:00":                "00:00-12:00 sa; 12:00-00:00 mo,tu,we,th,fr,sa,su",
		"00:00-23:59":                               "00:00-23:59 mo,tu,we,th,fr,sa,su", // a minute is free
		"00:00-12:00;12:00-00:00 mo,tu,we,th,fr,sa": "00:00-12:00 mo,tu,we,th,fr,sa,su; 12:00-00:00 mo,tu,we,th,fr,sa",
	} {
		h, err := quiet.Parse(windows(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(windows(want), h.Windows()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if again, err := quiet.Parse(h.Windows()); err != nil || !cmp.Equal(again.Windows(), h.Windows()) {
			t.Errorf("%s, read again: %v, %v", text, again, err)
		}
	}
	for text, advice := range map[string]string{
		"22:00-22:00":                        "end at another time",
		"00:00-24:00":                        "00:00, which is midnight",
		"22-07":                              "write it as 22:00",
		"-07:00":                             "from is no time",
		"22:00-":                             "to is no time",
		"22:00-07:00:30":                     "to is no time",
		"22:00-25:00":                        "to is no time",
		"22:00-07:00 MO":                     "the days are mo, tu",
		"00:00-12:00;12:00-00:00":            "no minute of the week free",
		"08:00-07:00;06:00-09:00":            "no minute of the week free",
		strings.Repeat("22:00-07:00;", 29):   "more than the 28",
		strings.Repeat("9", 1000) + "-07:00": "from is no time",
	} {
		if _, err := quiet.Parse(windows(text)); fault.CodeOf(err) != fault.CodeInvalid || !strings.Contains(err.Error(), advice) || len(err.Error()) > 300 {
			t.Errorf("%.60s: %v, want %q", text, err, advice)
		}
	}
	if _, err := quiet.Parse([]quiet.Window{{From: "22:00", To: "07:00", Days: []string{}}}); fault.CodeOf(err) != fault.CodeInvalid {
		t.Errorf("without a day: %v", err)
	}
}

// Until agrees with a check of every minute, in every zone and across changes of the clocks.
func TestUntilByTheMinute(t *testing.T) {
	zones := []struct{ name, near string }{
		{"America/New_York", "2026-03-08"},
		{"America/New_York", "2026-11-01"},
		{"Europe/Berlin", "2026-10-25"},
		{"Australia/Lord_Howe", "2026-04-05"},
		{"Australia/Lord_Howe", "2026-10-04"},
		{"Pacific/Apia", "2011-12-30"},
		{"Antarctica/Troll", "2026-03-29"},
		{"Africa/Casablanca", "2026-02-15"},
		{"America/Santiago", "2026-09-06"},
		{"Asia/Kolkata", "2026-06-01"},
		{"America/Vancouver", "2090-11-05"},
		{"UTC", "2026-06-01"},
	}
	clock := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%02d:%02d", rapid.IntRange(0, 23).Draw(t, "hour"), rapid.SampledFrom([]int{0, 15, 30, 45, 59}).Draw(t, "minute"))
	})
	rapid.Check(t, func(t *rapid.T) {
		var all []quiet.Window
		for range rapid.IntRange(1, 4).Draw(t, "windows") {
			w := quiet.Window{From: clock.Draw(t, "from"), To: clock.Draw(t, "to")}
			if rapid.Bool().Draw(t, "on some days") {
				w.Days = rapid.SliceOfN(rapid.SampledFrom(quiet.Days), 1, 4).Draw(t, "days")
			}
			all = append(all, w)
		}
		// Each minute of the week, beginning with Monday.
		var isQuiet [7 * 24 * 60]bool
		free := len(isQuiet)
		wrong := false
		for _, w := range all {
			wrong = wrong || w.From == w.To
			from, to := minuteOf(w.From), minuteOf(w.To)
			for day, name := range quiet.Days {
				if w.Days != nil && !strings.Contains(strings.Join(w.Days, " "), name) {
					continue
				}
				for m := from; m != to; m = (m + 1) % (24 * 60) {
					at := day*24*60 + m
					if m < from {
						at += 24 * 60
					}
					if at %= len(isQuiet); !isQuiet[at] {
						isQuiet[at] = true
						free--
					}
				}
			}
		}
		h, err := quiet.Parse(all)
		if (err != nil) != (wrong || free == 0) {
			t.Fatalf("%v: %v, with %d minutes free", all, err, free)
		}
		if err != nil {
			return
		}
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		location, _ := zone.Load(z.name)
		near, _ := time.Parse(time.DateOnly, z.near)
		at := near.Add(time.Duration(rapid.IntRange(-3*24*60, 2*24*60).Draw(t, "minute")) * time.Minute)
		want := at
		for {
			local := want.In(location)
			if !isQuiet[((int(local.Weekday())+6)%7)*24*60+local.Hour()*60+local.Minute()] {
				break
			}
			want = want.Add(time.Minute)
		}
		if got := h.Until(at, location); !got.Equal(want) {
			t.Fatalf("%v in %s at %v: until %v, want %v", all, z.name, at, got, want)
		}
	})
}

func minuteOf(clock string) int {
	var hour, minute int
	_, _ = fmt.Sscanf(clock, "%d:%d", &hour, &minute)
	return hour*60 + minute
}
