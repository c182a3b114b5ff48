package recurrence_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

// What is wrong is refused, and the error says what to write instead.
func TestRefused(t *testing.T) {
	start := in(t, "Europe/Berlin", "2026-12-01T09:00")
	allDay := recurrence.Start{Local: start.Local.Midnight(), AllDay: true, AllDayAt: 9 * time.Hour, Zone: start.Zone}
	for _, c := range []struct {
		d      recurrence.Definition
		start  recurrence.Start
		advice string
	}{
		{recurrence.Definition{}, start, "write it like FREQ=WEEKLY;BYDAY=MO"},
		{recurrence.Definition{Rule: "FREQ=DAILY"}, recurrence.Start{Local: start.Local}, "give due_local or due_on, or time_zone beside due_date"},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20261130"}, start, "UNTIL before the start, 2026-12-01T09:00"},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20261201T075959Z"}, start, "UNTIL before the start"},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20261130"}, allDay, "UNTIL before the start, 2026-12-01:"},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20261230;COUNT=3"}, start, "both UNTIL and COUNT: write the one that is meant"},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYSETPOS=1"}, start, "BYSETPOS alone: write what it chooses from"},
		{recurrence.Definition{Rule: "FREQ=DAILY;INTERVAL=0"}, start, "INTERVAL must be a number from 1 to 100000"},
		{recurrence.Definition{Rule: "FREQ=DAILY;INTERVAL=-1"}, start, "INTERVAL must be a number from 1"},
		{recurrence.Definition{Rule: "FREQ=DAILY;INTERVAL=100001"}, start, "from 1 to 100000"},
		{recurrence.Definition{Rule: "FREQ=DAILY;COUNT=0"}, start, "COUNT must be a number from 1 to 10000"},
		{recurrence.Definition{Rule: "FREQ=DAILY;COUNT=99999999999999999999"}, start, "COUNT must be a number from 1 to 10000"},
		{recurrence.Definition{Rule: "FREQ=SECONDLY"}, start, "the most frequent is FREQ=HOURLY"},
		{recurrence.Definition{Rule: "FREQ=MINUTELY;INTERVAL=90"}, start, "the most frequent is FREQ=HOURLY"},
		{recurrence.Definition{Rule: "FREQ=SOMETIMES"}, start, "FREQ must be HOURLY, DAILY"},
		{recurrence.Definition{Rule: "BYDAY=MO"}, start, "no FREQ: write FREQ="},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYHOUR=" + strings.Repeat("1,", 250) + "1"}, start, "at most 500 are allowed"},
		{recurrence.Definition{Rule: "RRULE:FREQ=DAILY"}, start, "without \"RRULE:\""},
		{recurrence.Definition{Rule: "FREQ=DAILY\nEXDATE:20261225"}, start, "left-out dates into except"},
		{recurrence.Definition{Rule: "FREQ=DAILY;"}, start, "empty part"},
		{recurrence.Definition{Rule: "FREQ=DAILY;;COUNT=1"}, start, "empty part"},
		{recurrence.Definition{Rule: "FREQ"}, start, "NAME=value"},
		{recurrence.Definition{Rule: "FREQ=DAILY;COUNT="}, start, "NAME=value"},
		{recurrence.Definition{Rule: "FREQ=DAILY;FREQ=DAILY"}, start, "FREQ twice: write it once"},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYEASTER=1"}, start, "there is no \"BYEASTER\"; choose from FREQ, "},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;SKIP=FORWARD"}, start, "write \"skip\": \"forward\" beside the rule"},
		{recurrence.Definition{Rule: "RSCALE=CHINESE;FREQ=MONTHLY"}, start, "Gregorian"},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYHOUR=24"}, start, "BYHOUR must have numbers from 0 to 23"},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYHOUR=-1"}, start, "from 0 to 23"},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYMINUTE=60"}, start, "from 0 to 59"},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYSECOND=61"}, start, "from 0 to 60"},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYMONTHDAY=0"}, start, "from 1 to 31, or from -31 to -1"},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYMONTHDAY=32"}, start, "from 1 to 31"},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYMONTHDAY=1,,2"}, start, "not \"\""},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYMONTH=13"}, start, "from 1 to 12"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYWEEKNO=54"}, start, "from 1 to 53"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYYEARDAY=367"}, start, "from 1 to 366"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYDAY=54MO"}, start, "-1FR (the last Friday)"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYDAY=0MO"}, start, "2TU (the second Tuesday)"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYDAY=+MO"}, start, "weekdays such as MO"},
		{recurrence.Definition{Rule: "FREQ=WEEKLY;BYDAY=Monday"}, start, "weekdays such as MO"},
		{recurrence.Definition{Rule: "FREQ=WEEKLY;WKST=1"}, start, "WKST must be a weekday"},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYWEEKNO=1"}, start, "BYWEEKNO with FREQ=MONTHLY: write FREQ=YEARLY"},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYYEARDAY=1"}, start, "BYYEARDAY with FREQ=DAILY: write FREQ=YEARLY"},
		{recurrence.Definition{Rule: "FREQ=WEEKLY;BYMONTHDAY=1"}, start, "BYMONTHDAY with FREQ=WEEKLY: write FREQ=MONTHLY"},
		{recurrence.Definition{Rule: "FREQ=WEEKLY;BYDAY=1MO"}, start, "write the weekday alone"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO"}, start, "write the weekday alone"},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20260230"}, start, "UNTIL has day 30, but 2026-02 has days 01 to 28"},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20261230T240000"}, start, "from 00:00 to 23:59:59"},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=2026-12-30"}, start, "write it as 20261224"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, start, "never matches"},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYDAY=53MO"}, start, "never matches"},
		{recurrence.Definition{Rule: "FREQ=HOURLY;INTERVAL=24;BYHOUR=5"}, start, "never matches"},
		{recurrence.Definition{Rule: "FREQ=HOURLY;BYSETPOS=2;BYMINUTE=0"}, start, "never matches"},
		{recurrence.Definition{Rule: "FREQ=DAILY;INTERVAL=36600;BYMONTHDAY=2"}, start, "within 100 years"},
		{recurrence.Definition{Rule: "FREQ=DAILY;COUNT=2", Except: []string{"2026-12-01", "2026-12-02T09:00"}}, start, "no occurrence is left"},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYMONTH=1;UNTIL=20261230"}, start, "no occurrence is left"},
		{recurrence.Definition{Rule: "FREQ=HOURLY"}, allDay, "due_on is a whole day: give due_local"},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYHOUR=9"}, allDay, "due_on is a whole day"},
		{recurrence.Definition{Rule: "FREQ=DAILY", Skip: "sideways"}, start, `must be "omit", "backward" or "forward"`},
		{recurrence.Definition{Rule: "FREQ=DAILY", From: "now"}, start, `must be "schedule" or "completion"`},
		{recurrence.Definition{Rule: "FREQ=WEEKLY;BYDAY=MO", From: "completion"}, start, "leave BYDAY out"},
		{recurrence.Definition{Rule: "FREQ=DAILY", Except: []string{"2026-02-30"}}, start, "except: an entry has day 30"},
		{recurrence.Definition{Rule: "FREQ=DAILY", Except: []string{"2026-12-25T24:00"}}, start, "2026-12-26T00:00"},
		{recurrence.Definition{Rule: "FREQ=DAILY", Except: []string{"Christmas"}}, start, "write it as 2026-12-01, not \"Christmas\"; or name a local time"},
		{recurrence.Definition{Rule: "FREQ=DAILY", Except: slices.Repeat([]string{"2026-12-25"}, 1001)}, start, "at most 1000"},
	} {
		rule, err := recurrence.Parse(c.d)
		if err == nil {
			err = rule.From(c.start).Check()
		}
		if fault.CodeOf(err) != fault.CodeInvalid || !strings.Contains(err.Error(), c.advice) || len(err.Error()) > 400 {
			t.Errorf("%+v: %v; want %q", c.d, err, c.advice)
		}
	}
}

// Small letters, signs and leap seconds are read as RFC 5545 has them.
func TestParsed(t *testing.T) {
	start := in(t, "UTC", "2026-12-01T09:00")
	for rule, want := range map[string]string{
		"freq=monthly;byday=+1mo;count=2":         "2026-12-07T09:00 2027-01-04T09:00",
		"FREQ=DAILY;BYSECOND=59,60;COUNT=2":       "2026-12-01T09:00:59 2026-12-02T09:00:59",
		"COUNT=1;FREQ=MONTHLY;BYMONTHDAY=+24":     "2026-12-24T09:00",
		"FREQ=DAILY;BYHOUR=8,8,10;COUNT=2":        "2026-12-01T10:00 2026-12-02T08:00",
		"FREQ=YEARLY;BYDAY=MO,MO;COUNT=2;WKST=SU": "2026-12-07T09:00 2026-12-14T09:00",
	} {
		var got []string
		for _, o := range first(series(t, recurrence.Definition{Rule: rule}, start), 5) {
			got = append(got, o.Local.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", rule, got, want)
		}
	}
}

// Dates and times that are left out count towards COUNT.
func TestExcept(t *testing.T) {
	start := in(t, "Europe/Berlin", "2026-12-23T09:00")
	s := series(t, recurrence.Definition{Rule: "FREQ=DAILY;BYHOUR=9,18;COUNT=8", Except: []string{"2026-12-25", "2026-12-24T18:00", "2026-12-26T10:00"}}, start)
	var got []string
	for _, o := range first(s, 20) {
		got = append(got, o.Local.String())
	}
	want := "2026-12-23T09:00 2026-12-23T18:00 2026-12-24T09:00 2026-12-26T09:00 2026-12-26T18:00"
	if strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	for local, is := range map[string]bool{"2026-12-24T09:00": true, "2026-12-24T18:00": false, "2026-12-25T09:00": false, "2026-12-26T18:00": true, "2026-12-27T09:00": false, "2026-12-22T09:00": false, "2026-12-24T09:00:01": false} {
		if _, ok := s.At(in(t, "UTC", local).Local); ok != is {
			t.Errorf("%s is an occurrence: %v", local, ok)
		}
	}
	if o, ok := s.Latest(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)); !ok || o.Local.String() != "2026-12-26T18:00" {
		t.Errorf("the last is %v, %v", o, ok)
	}
	if _, ok := s.Latest(start.Local.In(start.Zone).Add(-time.Nanosecond)); ok {
		t.Error("there is one before the first")
	}
}

// An all-day series is one of dates; its instants follow the time of day that all-day ones count as.
func TestAllDay(t *testing.T) {
	start := in(t, "America/New_York", "2026-03-07T00:00")
	start.AllDay, start.AllDayAt = true, 2*time.Hour+30*time.Minute
	s := series(t, recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20260309", Except: []string{"2026-03-09"}}, start)
	var got []string
	for _, o := range first(s, 5) {
		got = append(got, o.Local.DateString()+" "+o.Instant.In(start.Zone).Format("15:04-07:00"))
		if found, ok := s.Latest(o.Instant); !ok || found != o {
			t.Errorf("the latest at %v is %v", o, found)
		}
		if _, ok := s.At(o.Local); !ok {
			t.Errorf("%v is none", o)
		}
	}
	if want := []string{"2026-03-07 02:30-05:00", "2026-03-08 03:30-04:00"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Whatever is asked of a series, the answer is that of its whole list, sorted by instants.
func TestOrder(t *testing.T) {
	r := random{rand.New(rand.NewPCG(7, 7))}
	gaps := 0
	for range 250 {
		zoneName := pick(r, zones...)
		location, _ := zone.Load(zoneName)
		start := wallclock.New(2011+r.IntN(15), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), pick(r, 0, 30, 15), 0)
		for range 400 {
			if change, ok := wallclock.ChangeNear(start, location); ok {
				from, _, _ := change.Gap()
				start = from.Add(time.Duration(r.IntN(80)-70) * 15 * time.Minute)
				break
			}
			start = start.AddDays(1)
		}
		rule := pick(r, "FREQ=HOURLY;BYMINUTE=0,30", "FREQ=HOURLY;BYMINUTE=0,10,45", "FREQ=HOURLY", "FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=0,15,30,45", "FREQ=DAILY;BYHOUR=2,23;BYMINUTE=0,59", "FREQ=HOURLY;INTERVAL=7", "FREQ=DAILY") + pick(r, "", ";COUNT=60", ";COUNT=9")
		except := []string{start.Add(time.Duration(r.IntN(100)) * time.Hour).DateString()}
		parsed, err := recurrence.Parse(recurrence.Definition{Rule: rule, Except: except})
		if err != nil {
			t.Fatal(err)
		}
		s := parsed.From(recurrence.Start{Local: start, Zone: location})
		// The whole list, by asking of each quarter of an hour and what lies beside it.
		var all []recurrence.Occurrence
		for minute := range 5 * 24 * 60 {
			if o, ok := s.At(start.Add(time.Duration(minute) * time.Minute)); ok {
				all = append(all, o)
				if wallclock.At(o.Instant, location) != o.Local {
					gaps++
				}
			}
		}
		slices.SortFunc(all, recurrence.Occurrence.Compare)
		if len(all) == 0 {
			continue
		}
		// What lies past the five days may have an instant before theirs, within a gap.
		sure := all[len(all)-1].Instant.Add(-26 * time.Hour)
		if o, ok := s.First(); !ok || o != all[0] {
			t.Errorf("%s from %s in %s: the first is %v, want %v", rule, start, zoneName, o, all[0])
		}
		for i, o := range all {
			if o.Instant.After(sure) {
				break
			}
			if next, ok := s.After(o); !ok || next != all[i+1] {
				t.Errorf("%s from %s in %s: after %s comes %v, want %v", rule, start, zoneName, o.Local, next, all[i+1])
			}
		}
		for range 40 {
			at := all[0].Instant.Add(time.Duration(r.Int64N(int64(4 * 24 * time.Hour)))).Truncate(pick(r, time.Second, 15*time.Minute, time.Nanosecond))
			if at.After(sure) {
				continue
			}
			i := slices.IndexFunc(all, func(o recurrence.Occurrence) bool { return o.Instant.After(at) })
			if next, ok := s.Next(at); !ok || next != all[i] {
				t.Errorf("%s from %s in %s: the next at %v is %v, want %v", rule, start, zoneName, at, next, all[i])
			}
			if latest, ok := s.Latest(at); !ok || latest != all[i-1] {
				t.Errorf("%s from %s in %s: the latest at %v is %v, want %v", rule, start, zoneName, at, latest, all[i-1])
			}
		}
	}
	t.Logf("%d occurrences in gaps", gaps)
	if gaps < 50 {
		t.Errorf("only %d occurrences in gaps", gaps)
	}
}

// From completion: the completion's date plus the step, at the old time of day.
func TestCompleted(t *testing.T) {
	start := in(t, "America/New_York", "2026-01-31T09:00")
	at := func(local string) time.Time { return in(t, "UTC", local).Local.In(start.Zone) }
	for _, c := range []struct {
		rule      string
		skip      recurrence.Skip
		except    []string
		done      string
		number    int
		completed time.Time
		want      string
		next      int
	}{
		{"FREQ=DAILY;INTERVAL=3", "", nil, "2026-01-31T09:00", 1, at("2026-02-10T22:00"), "2026-02-13T09:00", 2},
		{"FREQ=WEEKLY", "", nil, "2026-01-31T09:00", 1, at("2026-02-10T07:00"), "2026-02-17T09:00", 2},
		{"FREQ=MONTHLY", "", nil, "2026-01-31T09:00", 1, at("2026-01-31T10:00"), "2026-03-31T09:00", 2},
		{"FREQ=MONTHLY", recurrence.Backward, nil, "2026-01-31T09:00", 1, at("2026-01-31T10:00"), "2026-02-28T09:00", 2},
		{"FREQ=MONTHLY", recurrence.Forward, nil, "2026-01-31T09:00", 1, at("2026-01-31T10:00"), "2026-03-01T09:00", 2},
		{"FREQ=YEARLY", "", nil, "2026-01-31T09:00", 1, at("2028-02-29T10:00"), "2032-02-29T09:00", 2},
		{"FREQ=YEARLY", recurrence.Backward, nil, "2026-01-31T09:00", 1, at("2028-02-29T10:00"), "2029-02-28T09:00", 2},
		{"FREQ=MONTHLY", "", nil, "2026-01-31T09:00", 1, at("2026-12-15T10:00"), "2027-01-15T09:00", 2},
		{"FREQ=HOURLY;INTERVAL=5", "", nil, "2026-01-31T09:00", 1, at("2026-02-10T22:10:05"), "2026-02-11T03:10:05", 2},
		{"FREQ=HOURLY", "", nil, "2026-01-31T09:00", 1, at("2026-03-08T01:30"), "2026-03-08T02:30", 2}, // told at 03:30, an hour later
		{"FREQ=DAILY", "", nil, "2026-01-31T09:00", 1, at("2026-03-07T22:00"), "2026-03-08T09:00", 2},
		// Early: the next is after the one that was completed, and never the same again.
		{"FREQ=DAILY", "", nil, "2026-02-10T09:00", 4, at("2026-02-09T08:00"), "2026-02-11T09:00", 5},
		{"FREQ=DAILY", "", nil, "2026-02-10T09:00", 4, at("2026-02-05T08:00"), "2026-02-11T09:00", 5},
		{"FREQ=DAILY;INTERVAL=7", "", nil, "2026-02-10T09:00", 4, at("2026-02-09T08:00"), "2026-02-16T09:00", 5},
		// The end, and what is left out counts towards it.
		{"FREQ=DAILY;COUNT=4", "", nil, "2026-02-10T09:00", 3, at("2026-02-10T10:00"), "2026-02-11T09:00", 4},
		{"FREQ=DAILY;COUNT=4", "", nil, "2026-02-10T09:00", 4, at("2026-02-10T10:00"), "", 0},
		{"FREQ=DAILY;COUNT=4", "", []string{"2026-02-11"}, "2026-02-10T09:00", 3, at("2026-02-10T10:00"), "", 0},
		{"FREQ=DAILY;COUNT=5", "", []string{"2026-02-11", "2026-02-12T10:00"}, "2026-02-10T09:00", 3, at("2026-02-10T10:00"), "2026-02-12T09:00", 5},
		{"FREQ=DAILY;UNTIL=20260211", "", nil, "2026-02-10T09:00", 3, at("2026-02-10T10:00"), "2026-02-11T09:00", 4},
		{"FREQ=DAILY;UNTIL=20260211", "", nil, "2026-02-10T09:00", 3, at("2026-02-11T00:00"), "", 0},
		{"FREQ=HOURLY;INTERVAL=100000", "", nil, "2426-01-10T09:00", 3, at("2026-02-11T00:00"), "", 0}, // past a Duration's end
		{"FREQ=YEARLY;INTERVAL=100000", "", nil, "2026-02-10T09:00", 3, at("2026-02-11T00:00"), "", 0},
	} {
		s := series(t, recurrence.Definition{Rule: c.rule, Skip: c.skip, From: recurrence.Completion, Except: c.except}, start)
		if o, ok := s.First(); !ok || o.Local != start.Local {
			t.Errorf("%s: the first is %v", c.rule, o)
		}
		done := in(t, "UTC", c.done).Local
		o, next, ok := s.Completed(recurrence.Occurrence{Local: done, Instant: done.In(start.Zone)}, c.number, c.completed)
		got := ""
		if ok {
			got = o.Local.String()
		}
		if got != c.want || next != c.next || (ok && !o.Instant.Equal(o.Local.In(start.Zone))) {
			t.Errorf("%s, %s done and completed %v: %s, number %d; want %s, %d", c.rule, c.done, c.completed, got, next, c.want, c.next)
		}
	}
}

// worked is the time that this process has had a processor: other processes don't count.
func worked() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// bounded asks everything of a series, and returns how much work the longest answer took.
func bounded(s *recurrence.Series, start recurrence.Start) time.Duration {
	var longest time.Duration
	timed := func(do func()) {
		began := worked()
		do()
		longest = max(longest, worked()-began)
	}
	var ok bool
	timed(func() { ok = s.Check() == nil })
	if !ok {
		return longest
	}
	var o recurrence.Occurrence
	timed(func() { o, ok = s.First() })
	for i := 0; ok && i < 5; i++ {
		timed(func() { o, ok = s.After(o) })
	}
	for _, year := range []int{1969, 2030, 2345, 9998, 10500} {
		at := time.Date(year, 7, 1, 0, 0, 0, 0, time.UTC)
		timed(func() { s.Latest(at) })
		timed(func() { o, ok = s.Next(at) })
		timed(func() { between(s, at, at.AddDate(1, 0, 0), 20) })
	}
	timed(func() { s.Describe() })
	timed(func() { s.At(start.Local) })
	return longest
}

const (
	numbers60 = "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59"
	// tooLong is the time that no answer may take. The longest known takes a tenth.
	tooLong = time.Second
)

// The worst rules that are known cost a bounded time and memory.
func TestBounded(t *testing.T) {
	for _, rule := range []string{
		"FREQ=YEARLY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;BYMINUTE=" + numbers60 + ";BYSECOND=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50;BYDAY=MO,TU,WE,TH",
		"FREQ=YEARLY;BYMINUTE=" + numbers60 + ";BYSECOND=" + numbers60 + ";BYDAY=MO;BYSETPOS=-1,366",
		"FREQ=HOURLY;INTERVAL=24;BYHOUR=5",
		"FREQ=HOURLY;BYMINUTE=0;BYSETPOS=2",
		"FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
		"FREQ=HOURLY;BYMONTHDAY=29;BYMONTH=2;BYDAY=MO;BYHOUR=9;COUNT=10000",
		"FREQ=HOURLY;BYYEARDAY=366;COUNT=10000",
		"FREQ=HOURLY;INTERVAL=99999;BYYEARDAY=366",
		"FREQ=HOURLY;INTERVAL=8784;BYYEARDAY=366;BYDAY=MO",
		"FREQ=DAILY;BYMONTHDAY=29;BYMONTH=2;BYDAY=MO;COUNT=10000",
		"FREQ=DAILY;INTERVAL=7;BYDAY=TU",
		"FREQ=WEEKLY;BYMONTH=1;BYDAY=MO;BYSETPOS=2",
		"FREQ=MONTHLY;BYDAY=53MO",
		"FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;COUNT=10000",
		"FREQ=YEARLY;BYWEEKNO=53;BYYEARDAY=366;BYDAY=SU;BYMONTH=12",
		"FREQ=YEARLY;BYWEEKNO=1,2,3,4,5,6,7,8,9,10,-1,-2,-3;BYMONTHDAY=31;BYMONTH=2",
		"FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1",
		"FREQ=YEARLY;INTERVAL=100000",
		"FREQ=DAILY;COUNT=10000",
		"FREQ=HOURLY;COUNT=10000",
	} {
		for _, skip := range []recurrence.Skip{recurrence.Omit, recurrence.Forward} {
			parsed, err := recurrence.Parse(recurrence.Definition{Rule: rule, Skip: skip})
			if err != nil {
				t.Errorf("%s: %v", rule, err)
				continue
			}
			start := in(t, "America/New_York", "2026-12-01T09:00")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			took := bounded(parsed.From(start), start)
			runtime.ReadMemStats(&after)
			t.Logf("%8s %6d KB allocated by %.60s", took.Round(10*time.Microsecond), (after.TotalAlloc-before.TotalAlloc)/1024, rule)
			if took > tooLong {
				t.Errorf("%s took %v", rule, took)
			}
		}
	}
}

// Whatever a rule says, it is refused or has occurrences in their order, within a bounded time.
func FuzzRule(f *testing.F) {
	f.Add("FREQ=MONTHLY;BYMONTHDAY=31", "forward", "schedule", "2026-12-25", int64(1796115600), uint16(3))
	f.Add("FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO,SU;BYSETPOS=-1;WKST=SU", "omit", "", "2026-12-25T09:00", int64(0), uint16(99))
	f.Add("FREQ=HOURLY;INTERVAL=24;BYHOUR=5;COUNT=7", "", "", "", int64(1796115600), uint16(200))
	f.Add("FREQ=DAILY;UNTIL=20301231T235959Z", "backward", "completion", "", int64(1796115600), uint16(200))
	f.Fuzz(func(t *testing.T, rule, skip, from, except string, startsAt int64, zoneNumber uint16) {
		d := recurrence.Definition{Rule: rule, Skip: recurrence.Skip(skip), From: recurrence.From(from)}
		if except != "" {
			d.Except = []string{except}
		}
		holds(t, d, startsAt, int(zoneNumber))
	})
}

// Rules with the most extreme values that may be written hold to the same.
func TestAnyRule(t *testing.T) {
	r := random{rand.New(rand.NewPCG(rand.Uint64(), 0))}
	ranges := []struct {
		name         string
		least, most  int
		signed       bool
		fewest, many int
	}{
		{"BYMONTH", 1, 12, false, 1, 12},
		{"BYWEEKNO", 1, 53, true, 1, 53},
		{"BYYEARDAY", 1, 366, true, 1, 60},
		{"BYMONTHDAY", 1, 31, true, 1, 31},
		{"BYHOUR", 0, 23, false, 1, 24},
		{"BYMINUTE", 0, 59, false, 1, 60},
		{"BYSECOND", 0, 60, false, 1, 60},
		{"BYSETPOS", 1, 366, true, 1, 40},
	}
	taken := 0
	for range 4000 {
		parts := []string{"FREQ=" + pick(r, "YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")}
		if r.oneIn(2) {
			parts = append(parts, "INTERVAL="+strconv.Itoa(pick(r, 1, 7, 24, 48, 168, 1461, 8784, 35064, 99_999, 100_000, 1+r.IntN(500))))
		}
		if r.oneIn(4) {
			parts = append(parts, "COUNT="+strconv.Itoa(pick(r, 1, 2, 9_999, 10_000)))
		}
		for _, part := range ranges {
			if !r.oneIn(4) {
				continue
			}
			value := r.list(pick(r, part.fewest, 3, part.many), func() int {
				n := part.least + r.IntN(part.most-part.least+1)
				if part.signed && r.oneIn(2) {
					n = -n
				}
				return n
			})
			parts = append(parts, part.name+"="+value)
		}
		if r.oneIn(3) {
			parts = append(parts, "BYDAY="+r.words(7, func() string { return pick(r, "", "", "", "1", "-1", "5", "53", "-53") + pick(r, weekdays...) }))
		}
		d := recurrence.Definition{Rule: strings.Join(parts, ";"), Skip: pick(r, recurrence.Omit, recurrence.Backward, recurrence.Forward), From: pick(r, recurrence.Schedule, recurrence.Schedule, recurrence.Schedule, recurrence.Completion)}
		if r.oneIn(3) {
			d.Except = []string{"2026-12-25", "2030-01-01T00:00"}
		}
		if holds(t, d, pick(r, r.Int64N(4_000_000_000), r.Int64N(253_370_764_800)), r.IntN(1000)) {
			taken++
		}
	}
	t.Logf("%d rules were taken", taken)
	if taken < 400 {
		t.Errorf("only %d rules were taken", taken)
	}
}

// holds checks what every rule must hold to, and reports whether it was taken: it is refused or has
// occurrences in their order, within a bounded time.
func holds(t *testing.T, d recurrence.Definition, startsAt int64, zoneNumber int) (taken bool) {
	t.Helper()
	parsed, err := recurrence.Parse(d)
	if err != nil {
		if fault.CodeOf(err) != fault.CodeInvalid || len(err.Error()) > 500 {
			t.Errorf("%v", err)
		}
		return false
	}
	names := zone.Names()
	location, _ := zone.Load(names[zoneNumber%len(names)])
	local := wallclock.FromUTC(time.Unix(((startsAt%253370764800)+253370764800)%253370764800, 0)) // 1970 to 9998
	start := recurrence.Start{Local: local, Zone: location}
	s := parsed.From(start)
	if took := bounded(s, start); took > tooLong {
		t.Errorf("%s took %v", d.Rule, took)
	}
	if s.Check() != nil {
		return false
	}
	last, ok := s.First()
	if !ok || last.Local.Before(local) {
		t.Fatalf("%s: the first is %v, %v", d.Rule, last, ok)
	}
	if parsed.FromCompletion() {
		began := worked()
		for _, at := range []time.Time{last.Instant, last.Instant.AddDate(-300, 0, 0), last.Instant.AddDate(0, 0, 40)} {
			if next, _, ok := s.Completed(last, 1, at); ok && (next.Compare(last) <= 0 || !next.Instant.After(at)) {
				t.Errorf("%s: after %v, completed %v, comes %v", d.Rule, last, at, next)
			}
		}
		if took := worked() - began; took > tooLong {
			t.Errorf("%s from completion took %v", d.Rule, took)
		}
		return true
	}
	for range 5 {
		o, ok := s.After(last)
		if !ok {
			break
		}
		if o.Compare(last) <= 0 {
			t.Fatalf("%s: after %v comes %v", d.Rule, last, o)
		}
		if found, ok := s.At(o.Local); !ok || found != o {
			t.Fatalf("%s: %v is none: %v", d.Rule, o, found)
		}
		if latest, ok := s.Latest(o.Instant); !ok || latest.Compare(o) < 0 || latest.Instant.After(o.Instant) {
			t.Fatalf("%s: the latest at %v is %v, %v", d.Rule, o, latest, ok)
		}
		last = o
	}
	return true
}
