package wallclock_test

import (
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

func load(t *testing.T, name string) *time.Location {
	t.Helper()
	location, ok := zone.Load(name)
	if !ok {
		t.Fatalf("there is no zone %s", name)
	}
	return location
}

func parse(t *testing.T, s string) wallclock.Time {
	t.Helper()
	w, err := wallclock.Parse(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return w
}

// Gaps take the offset before them, and of times that come twice the first is meant.
func TestIn(t *testing.T) {
	const layout = "2006-01-02T15:04:05Z07:00"
	for _, c := range []struct{ zone, local, want string }{
		{"America/New_York", "2026-03-08T01:59:59", "2026-03-08T01:59:59-05:00"},
		{"America/New_York", "2026-03-08T02:00", "2026-03-08T03:00:00-04:00"}, // gap
		{"America/New_York", "2026-03-08T02:30", "2026-03-08T03:30:00-04:00"},
		{"America/New_York", "2026-03-08T02:59:59", "2026-03-08T03:59:59-04:00"},
		{"America/New_York", "2026-03-08T03:00", "2026-03-08T03:00:00-04:00"},
		{"America/New_York", "2026-11-01T00:59:59", "2026-11-01T00:59:59-04:00"},
		{"America/New_York", "2026-11-01T01:00", "2026-11-01T01:00:00-04:00"}, // twice
		{"America/New_York", "2026-11-01T01:59:59", "2026-11-01T01:59:59-04:00"},
		{"America/New_York", "2026-11-01T02:00", "2026-11-01T02:00:00-05:00"},
		{"US/Eastern", "2026-03-08T02:30", "2026-03-08T03:30:00-04:00"},
		{"Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T01:59:59+01:00"},
		{"Europe/Berlin", "2026-03-29T02:30", "2026-03-29T03:30:00+02:00"}, // gap
		{"Europe/Berlin", "2026-10-25T02:30", "2026-10-25T02:30:00+02:00"}, // twice
		{"Europe/Berlin", "2026-10-25T03:00", "2026-10-25T03:00:00+01:00"},
		{"Europe/Berlin", "2090-03-26T02:30", "2090-03-26T03:30:00+02:00"},                  // past the end of most tables
		{"Australia/Lord_Howe", "2026-10-04T02:00", "2026-10-04T02:30:00+11:00"},            // a gap of half an hour
		{"Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-04T02:45:00+11:00"},            //
		{"Australia/Lord_Howe", "2026-10-04T02:30", "2026-10-04T02:30:00+11:00"},            //
		{"Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-05T01:45:00+11:00"},            // twice
		{"Australia/Lord_Howe", "2026-04-05T02:00", "2026-04-05T02:00:00+10:30"},            //
		{"Pacific/Apia", "2011-12-29T23:59:59", "2011-12-29T23:59:59-10:00"},                //
		{"Pacific/Apia", "2011-12-30T00:00", "2011-12-31T00:00:00+14:00"},                   // a date that was skipped
		{"Pacific/Apia", "2011-12-30T09:00", "2011-12-31T09:00:00+14:00"},                   //
		{"Pacific/Apia", "2011-12-30T23:59:59", "2011-12-31T23:59:59+14:00"},                //
		{"Pacific/Apia", "2011-12-31T00:00", "2011-12-31T00:00:00+14:00"},                   //
		{"Africa/Casablanca", "2025-02-23T02:30", "2025-02-23T02:30:00+01:00"},              // Ramadan begins: twice
		{"Africa/Casablanca", "2025-04-06T02:30", "2025-04-06T03:30:00+01:00"},              // and ends: a gap
		{"Africa/Casablanca", "2025-03-15T09:00", "2025-03-15T09:00:00Z"},                   //
		{"Antarctica/Troll", "2026-03-29T01:00", "2026-03-29T03:00:00+02:00"},               // a gap of two hours
		{"Antarctica/Troll", "2026-03-29T02:59:59", "2026-03-29T04:59:59+02:00"},            //
		{"Antarctica/Troll", "2026-10-25T01:00", "2026-10-25T01:00:00+02:00"},               // twice
		{"Antarctica/Troll", "2026-10-25T02:59:59", "2026-10-25T02:59:59+02:00"},            //
		{"Antarctica/Troll", "2026-10-25T03:00", "2026-10-25T03:00:00Z"},                    //
		{"Europe/Dublin", "2026-03-29T01:30", "2026-03-29T02:30:00+01:00"},                  // its winter is the daylight-saving time, of -1 h
		{"Europe/Dublin", "2026-10-25T01:30", "2026-10-25T01:30:00+01:00"},                  //
		{"Europe/Dublin", "2026-10-25T02:00", "2026-10-25T02:00:00Z"},                       //
		{"Africa/Cairo", "2026-04-24T00:00", "2026-04-24T01:00:00+03:00"},                   // a gap at midnight
		{"Africa/Cairo", "2026-04-24T00:30", "2026-04-24T01:30:00+03:00"},                   //
		{"Africa/Cairo", "2026-10-29T23:30", "2026-10-29T23:30:00+03:00"},                   // twice
		{"America/Santiago", "2026-09-06T00:00", "2026-09-06T01:00:00-03:00"},               // a gap at midnight
		{"America/Santiago", "2026-04-04T23:30", "2026-04-04T23:30:00-03:00"},               // twice
		{"America/Santiago", "2026-04-05T00:00", "2026-04-05T00:00:00-04:00"},               //
		{"UTC", "1970-01-01T00:00", "1970-01-01T00:00:00Z"},                                 //
		{"Pacific/Kiritimati", "9999-12-31T23:59:59", "9999-12-31T23:59:59+14:00"},          //
		{"Asia/Calcutta", "2026-12-01T09:00", "2026-12-01T09:00:00+05:30"},                  // an older name
		{"America/Vancouver", "2026-12-15T09:00", "2026-12-15T09:00:00-07:00"},              // as governments have decided of late
		{"Africa/Monrovia", "1970-06-01T09:00", "1970-06-01T09:00:00-00:44"},                // 44 min 30 s
		{"Asia/Kathmandu", "2026-06-01T09:00", "2026-06-01T09:00:00+05:45"},                 //
		{"Europe/London", "1971-10-31T02:30", "1971-10-31T02:30:00+01:00"},                  // the end of British Standard Time
		{"America/Caracas", "2016-05-01T02:45", "2016-05-01T03:15:00-04:00"},                // a gap of half an hour, once
		{"Asia/Pyongyang", "2018-05-04T23:45", "2018-05-05T00:15:00+09:00"},                 // from 23:30 on
		{"Pacific/Kwajalein", "1993-08-21T12:00", "1993-08-22T12:00:00+12:00"},              // skipped a date
		{"America/Nuuk", "2024-03-30T23:30", "2024-03-31T00:30:00-01:00"},                   // a gap across midnight
		{"Asia/Gaza", "2025-04-12T02:30", "2025-04-12T03:30:00+03:00"},                      //
		{"America/Argentina/Buenos_Aires", "2026-03-08T02:30", "2026-03-08T02:30:00-03:00"}, // no change
	} {
		location := load(t, c.zone)
		got := parse(t, c.local).In(location)
		if shown := got.In(location).Format(layout); shown != c.want {
			t.Errorf("%s in %s is %s, want %s", c.local, c.zone, shown, c.want)
		}
	}
}

// The change that makes a time special is found, and what it does.
func TestChange(t *testing.T) {
	for _, c := range []struct{ zone, local, gap, overlap string }{
		{"America/New_York", "2026-03-08T02:30", "2026-03-08T02:00/2026-03-08T03:00", ""},
		{"America/New_York", "2026-03-08T09:00", "2026-03-08T02:00/2026-03-08T03:00", ""},
		{"America/New_York", "2026-11-01T01:30", "", "2026-11-01T01:00/2026-11-01T02:00"},
		{"America/New_York", "2026-06-01T01:30", "", ""},
		{"Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-04T02:00/2026-10-04T02:30", ""},
		{"Pacific/Apia", "2011-12-30T09:00", "2011-12-30T00:00/2011-12-31T00:00", ""},
		{"Antarctica/Troll", "2026-10-25T02:30", "", "2026-10-25T01:00/2026-10-25T03:00"},
	} {
		var gap, overlap string
		if change, ok := wallclock.ChangeNear(parse(t, c.local), load(t, c.zone)); ok {
			if from, to, ok := change.Gap(); ok {
				gap = from.String() + "/" + to.String()
			}
			if from, to, ok := change.Overlap(); ok {
				overlap = from.String() + "/" + to.String()
			}
		}
		if gap != c.gap || overlap != c.overlap {
			t.Errorf("%s in %s: gap %q, overlap %q; want %q, %q", c.local, c.zone, gap, overlap, c.gap, c.overlap)
		}
	}
}

// everyChange calls do with each change of each zone from 1970 until 2040, found by asking what
// each shows every twelve hours.
func everyChange(t *testing.T, do func(name string, location *time.Location, last, at time.Time)) {
	t.Helper()
	var group sync.WaitGroup
	for _, name := range zone.Names() {
		group.Go(func() {
			location := load(t, name)
			last := time.Unix(0, 0)
			for at := time.Unix(0, 0); at.Year() < 2040; at = at.Add(12 * time.Hour) {
				if offsetAt(at, location) == offsetAt(at.Add(12*time.Hour), location) {
					continue
				}
				seconds := sort.Search(12*60*60, func(i int) bool {
					return offsetAt(at.Add(time.Duration(i)*time.Second), location) != offsetAt(at, location)
				})
				do(name, location, last, at.Add(time.Duration(seconds)*time.Second))
				last = at.Add(time.Duration(seconds) * time.Second)
			}
		})
	}
	group.Wait()
}

func offsetAt(t time.Time, location *time.Location) int {
	_, seconds := t.In(location).Zone()
	return seconds
}

// Around each change of each zone, every wall-clock time is the first instant at which clocks
// show it. What no clock shows is the instant that it would be by the offset before the change.
// The oracle walks through the instants and looks at the clock.
func TestInAroundEveryChange(t *testing.T) {
	if testing.Short() {
		t.Skip("walks through 50 years in 600 zones")
	}
	const step = 15 * time.Minute
	var lock sync.Mutex
	changes, gaps := 0, 0
	everyChange(t, func(name string, location *time.Location, last, at time.Time) {
		if at.Sub(last) < 28*time.Hour && last.Unix() != 0 {
			t.Errorf("%s changes at %v and %v: Time.In takes it that changes lie 28 h apart", name, last, at)
		}
		before := at.Add(-time.Second)
		if offsetAt(before, location)%900 != 0 || offsetAt(at, location)%900 != 0 || at.Unix()%900 != 0 {
			return // an offset of odd seconds, before 1972
		}
		shown := map[wallclock.Time]time.Time{}
		for i := at.Add(-60 * time.Hour); i.Before(at.Add(60 * time.Hour)); i = i.Add(step) {
			if w := wallclock.At(i, location); shown[w].IsZero() {
				shown[w] = i
			}
		}
		missing := 0
		for w := wallclock.At(at.Add(-30*time.Hour), location); w.Before(wallclock.At(at.Add(30*time.Hour), location)); w = w.Add(step) {
			want, exists := shown[w]
			if !exists {
				missing++
				want = w.UTC().Add(-time.Duration(offsetAt(before, location)) * time.Second)
			}
			if got := w.In(location); !got.Equal(want) {
				t.Errorf("%s in %s is %v, want %v", w, name, got.In(location), want.In(location))
				return
			}
		}
		lock.Lock()
		defer lock.Unlock()
		changes++
		if missing > 0 {
			gaps++
		}
	})
	t.Logf("%d changes, %d of them gaps", changes, gaps)
	if changes < 20_000 || gaps < 10_000 {
		t.Errorf("only %d changes, %d of them gaps", changes, gaps)
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]time.Time{
		"2026-12-01T09:00":    time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC),
		"2026-12-01T09:00:30": time.Date(2026, 12, 1, 9, 0, 30, 0, time.UTC),
		"2028-02-29T23:59:59": time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC),
		"1970-01-01T00:00":    time.Unix(0, 0).UTC(),
		"9999-12-31T23:59:59": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		w := parse(t, s)
		if !w.UTC().Equal(want) || w.String() != s || wallclock.FromUTC(want) != w {
			t.Errorf("%s is %s, %v", s, w, w.UTC())
		}
	}
	for s, advice := range map[string]string{
		"2026-12-01T24:00":          "2026-12-02T00:00",
		"2026-12-01T24:00:00":       "2026-12-02T00:00",
		"2026-12-01T24:01":          "from 00:00 to 23:59",
		"2026-12-01T09:60":          "from 00:00 to 23:59",
		"2026-12-01T09:00:60":       "from 00:00 to 23:59",
		"2026-02-30T09:00":          "2026-02 has days 01 to 28",
		"2026-02-00T09:00":          "01 to 28",
		"2026-13-01T09:00":          "from 01 to 12",
		"2026-00-01T09:00":          "from 01 to 12",
		"1969-12-31T09:00":          "between the years 1970 and 9999",
		"0000-12-31T09:00":          "between the years 1970 and 9999",
		"2026-12-01":                "2026-12-01T09:00; a date alone goes into due_on",
		"2026-12-01T09:00Z":         "due_date",
		"2026-12-01T09:00:00+01:00": "due_date",
		"2026-12-01T09:00:00.5":     "2026-12-01T09:00:00",
		"2026-12-01t09:00":          "write it as",
		"2026-12-01 09:00":          "write it as",
		"2026-12-01T9:00":           "write it as",
		"26-12-01T09:00":            "write it as",
		"12026-12-01T09:00":         "write it as",
		"２026-12-01T09:00":          "write it as",
		"2026-12-01T09:00\n":        "write it as",
		"":                          "write it as",
		strings.Repeat("2", 10_000): "write it as",
	} {
		_, err := wallclock.Parse(s)
		if fault.CodeOf(err) != fault.CodeInvalid || !strings.Contains(err.Error(), advice) || len(err.Error()) > 300 {
			t.Errorf("%.40q: %v, want %q", s, err, advice)
		}
	}
	for s, advice := range map[string]string{"2026-02-30": "01 to 28", "2026-2-3": "write it as 2026-12-01", "2026-12-01T09:00": "write it as 2026-12-01", "": "write it as"} {
		if _, err := wallclock.ParseDate(s); fault.CodeOf(err) != fault.CodeInvalid || !strings.Contains(err.Error(), advice) {
			t.Errorf("date %q: %v, want %q", s, err, advice)
		}
	}
	if d, err := wallclock.ParseDate("2026-12-01"); err != nil || d.DateString() != "2026-12-01" || d.String() != "2026-12-01T00:00" {
		t.Errorf("%v, %v", d, err)
	}
	if d, err := wallclock.ParseClock("09:00"); err != nil || d != 9*time.Hour {
		t.Errorf("%v, %v", d, err)
	}
	for _, s := range []string{"9:00", "24:00", "09:60", "09", "09:00:00:00", ""} {
		if _, err := wallclock.ParseClock(s); fault.CodeOf(err) != fault.CodeInvalid {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("2026-12-01T09:00:30")
	f.Add("2026-12-01")
	f.Fuzz(func(t *testing.T, s string) {
		if w, err := wallclock.Parse(s); err == nil {
			if again, err := wallclock.Parse(w.String()); err != nil || again != w || !strings.HasPrefix(s, w.String()) {
				t.Errorf("%q is %s", s, w)
			}
		} else if fault.CodeOf(err) != fault.CodeInvalid {
			t.Error(err)
		}
	})
}
