package recurrence_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

// series parses a rule, and fails the test if it is refused.
func series(t *testing.T, d recurrence.Definition, start recurrence.Start) *recurrence.Series {
	t.Helper()
	rule, err := recurrence.Parse(d)
	if err != nil {
		t.Fatalf("%s: %v", d.Rule, err)
	}
	s := rule.From(start)
	if err := s.Check(); err != nil {
		t.Fatalf("%s: %v", d.Rule, err)
	}
	return s
}

func in(t *testing.T, zoneName, local string) recurrence.Start {
	t.Helper()
	location, ok := zone.Load(zoneName)
	if !ok {
		t.Fatalf("there is no zone %s", zoneName)
	}
	w, err := wallclock.Parse(local)
	if err != nil {
		t.Fatal(err)
	}
	return recurrence.Start{Local: w, Zone: location}
}

// first returns the first most occurrences.
func first(s *recurrence.Series, most int) (list []recurrence.Occurrence) {
	for o, ok := s.First(); ok && len(list) < most; o, ok = s.After(o) {
		list = append(list, o)
	}
	return list
}

// expected reads dates with the times of day that a line has: "1997-09-02..05" are four dates,
// "2,5,7" the days of the month before; each gets the time of day unless it has one.
func expected(lines, clock string) (list []string) {
	for word := range strings.FieldsSeq(lines) {
		month, days := word[:len("1997-09-")], word[len("1997-09-"):]
		at := clock
		if date, time, ok := strings.Cut(days, "T"); ok {
			days, at = date, time
		}
		for day := range strings.SplitSeq(days, ",") {
			from, to, isRange := strings.Cut(day, "..")
			if !isRange {
				to = from
			}
			for d := from; d <= to; d = next(d) {
				list = append(list, month+d+"T"+at)
			}
		}
	}
	return list
}

// next is the number of two digits that follows.
func next(digits string) string {
	b := []byte(digits)
	if b[1]++; b[1] > '9' {
		b[0], b[1] = b[0]+1, '0'
	}
	return string(b)
}

// The examples of RFC 5545, section 3.8.5.3, but those that are minutely. All are in New York, and
// "..." there stands for going on here.
func TestRFC5545(t *testing.T) {
	for _, c := range []struct {
		start, rule, want string
		over              bool // there is no other occurrence
	}{
		{"1997-09-02T09:00", "FREQ=DAILY;COUNT=10", "1997-09-02..11", true},
		{"1997-09-02T09:00", "FREQ=DAILY;UNTIL=19971224T000000Z", "1997-09-02..30 1997-10-01..31 1997-11-01..30 1997-12-01..23", true},
		{"1997-09-02T09:00", "FREQ=DAILY;INTERVAL=2", "1997-09-02,04,06,08,10,12,14,16,18,20,22,24,26,28,30 1997-10-02,04", false},
		{"1997-09-02T09:00", "FREQ=DAILY;INTERVAL=10;COUNT=5", "1997-09-02,12,22 1997-10-02,12", true},
		{"1998-01-01T09:00", "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA", "1998-01-01..31 1999-01-01..31 2000-01-01..31", true},
		{"1998-01-01T09:00", "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1", "1998-01-01..31 1999-01-01..31 2000-01-01..31", true},
		{"1997-09-02T09:00", "FREQ=WEEKLY;COUNT=10", "1997-09-02,09,16,23,30 1997-10-07,14,21,28 1997-11-04", true},
		{"1997-09-02T09:00", "FREQ=WEEKLY;UNTIL=19971224T000000Z", "1997-09-02,09,16,23,30 1997-10-07,14,21,28 1997-11-04,11,18,25 1997-12-02,09,16,23", true},
		{"1997-09-02T09:00", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02,16,30 1997-10-14,28 1997-11-11,25 1997-12-09,23 1998-01-06,20 1998-02-03,17", false},
		{"1997-09-02T09:00", "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH", "1997-09-02,04,09,11,16,18,23,25,30 1997-10-02", true},
		{"1997-09-02T09:00", "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", "1997-09-02,04,09,11,16,18,23,25,30 1997-10-02", true},
		{"1997-09-01T09:00", "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR", "1997-09-01,03,05,15,17,19,29 1997-10-01,03,13,15,17,27,29,31 1997-11-10,12,14,24,26,28 1997-12-08,10,12,22", true},
		{"1997-09-02T09:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH", "1997-09-02,04,16,18,30 1997-10-02,14,16", true},
		{"1997-09-05T09:00", "FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07 1997-12-05 1998-01-02 1998-02-06 1998-03-06 1998-04-03 1998-05-01 1998-06-05", true},
		{"1997-09-05T09:00", "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07 1997-12-05", true},
		{"1997-09-07T09:00", "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU", "1997-09-07,28 1997-11-02,30 1998-01-04,25 1998-03-01,29 1998-05-03,31", true},
		{"1997-09-22T09:00", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "1997-09-22 1997-10-20 1997-11-17 1997-12-22 1998-01-19 1998-02-16", true},
		{"1997-09-28T09:00", "FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 1997-10-29 1997-11-28 1997-12-29 1998-01-29 1998-02-26", false},
		{"1997-09-02T09:00", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15", "1997-09-02,15 1997-10-02,15 1997-11-02,15 1997-12-02,15 1998-01-02,15", true},
		{"1997-09-30T09:00", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", "1997-09-30 1997-10-01,31 1997-11-01,30 1997-12-01,31 1998-01-01,31 1998-02-01", true},
		{"1997-09-10T09:00", "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15", "1997-09-10..15 1999-03-10..13", true},
		{"1997-09-02T09:00", "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU", "1997-09-02,09,16,23,30 1997-11-04,11,18,25 1998-01-06,13,20,27 1998-03-03,10,17,24,31", false},
		{"1997-06-10T09:00", "FREQ=YEARLY;COUNT=10;BYMONTH=6,7", "1997-06-10 1997-07-10 1998-06-10 1998-07-10 1999-06-10 1999-07-10 2000-06-10 2000-07-10 2001-06-10 2001-07-10", true},
		{"1997-03-10T09:00", "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3", "1997-03-10 1999-01-10 1999-02-10 1999-03-10 2001-01-10 2001-02-10 2001-03-10 2003-01-10 2003-02-10 2003-03-10", true},
		{"1997-01-01T09:00", "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", "1997-01-01 1997-04-10 1997-07-19 2000-01-01 2000-04-09 2000-07-18 2003-01-01 2003-04-10 2003-07-19 2006-01-01", true},
		{"1997-05-19T09:00", "FREQ=YEARLY;BYDAY=20MO", "1997-05-19 1998-05-18 1999-05-17", false},
		{"1997-05-12T09:00", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12 1998-05-11 1999-05-17", false},
		{"1997-03-13T09:00", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997-03-13,20,27 1998-03-05,12,19,26 1999-03-04,11,18,25", false},
		{"1997-06-05T09:00", "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8", "1997-06-05,12,19,26 1997-07-03,10,17,24,31 1997-08-07,14,21,28 1998-06-04,11,18,25 1998-07-02,09,16,23,30 1998-08-06,13,20,27", false},
		// The RFC leaves out the start by an EXDATE; here it is no occurrence to begin with.
		{"1997-09-02T09:00", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13 1999-08-13 2000-10-13", false},
		{"1997-09-13T09:00", "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "1997-09-13 1997-10-11 1997-11-08 1997-12-13 1998-01-10 1998-02-07 1998-03-07 1998-04-11 1998-05-09 1998-06-13", false},
		{"1996-11-05T09:00", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996-11-05 2000-11-07 2004-11-02", false},
		{"1997-09-04T09:00", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06", true},
		{"1997-09-29T09:00", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 1997-10-30 1997-11-27 1997-12-30 1998-01-29 1998-02-26 1998-03-30", false},
		// 17:00 in New York, as the occurrences there have it; its UNTIL says 17:00 UTC.
		{"1997-09-02T09:00", "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", "1997-09-02T09:00 1997-09-02T12:00 1997-09-02T15:00", true},
		{"1997-09-02T09:00", "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40;COUNT=26", "1997-09-02T09:00 1997-09-02T09:20 1997-09-02T09:40 1997-09-02T10:00 1997-09-02T10:20 1997-09-02T10:40 1997-09-02T11:00 1997-09-02T11:20 1997-09-02T11:40 1997-09-02T12:00 1997-09-02T12:20 1997-09-02T12:40 1997-09-02T13:00 1997-09-02T13:20 1997-09-02T13:40 1997-09-02T14:00 1997-09-02T14:20 1997-09-02T14:40 1997-09-02T15:00 1997-09-02T15:20 1997-09-02T15:40 1997-09-02T16:00 1997-09-02T16:20 1997-09-02T16:40 1997-09-03T09:00 1997-09-03T09:20", true},
		{"1997-08-05T09:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05,10,19,24", true},
		{"1997-08-05T09:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05,17,19,31", true},
		{"2007-01-15T09:00", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "2007-01-15,30 2007-02-15 2007-03-15,30", true},
		// Section 3.3.10.
		{"1997-09-02T09:00", "FREQ=YEARLY;INTERVAL=2;BYMONTH=1;BYDAY=SU;BYHOUR=8,9;BYMINUTE=30;COUNT=4", "1999-01-03T08:30 1999-01-03T09:30 1999-01-10T08:30 1999-01-10T09:30", true},
	} {
		list := first(series(t, recurrence.Definition{Rule: c.rule}, in(t, "America/New_York", c.start)), 150)
		var got []string
		for _, o := range list {
			got = append(got, o.Local.String())
		}
		want := expected(c.want, "09:00")
		if !c.over && len(got) > len(want) {
			got = got[:len(want)]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s from %s:\n got  %v\n want %v", c.rule, c.start, got, want)
		}
	}
}

// RFC 7529: what becomes of days that a month or year lacks.
func TestRFC7529(t *testing.T) {
	for _, c := range []struct {
		start, rule string
		skip        recurrence.Skip
		want        string
	}{
		// Its examples with the Gregorian calendar.
		{"2014-01-31T09:00", "FREQ=MONTHLY;COUNT=4", recurrence.Omit, "2014-01-31 2014-03-31 2014-05-31 2014-07-31"},
		{"2014-01-31T09:00", "FREQ=MONTHLY;COUNT=4", recurrence.Backward, "2014-01-31 2014-02-28 2014-03-31 2014-04-30"},
		{"2014-01-31T09:00", "FREQ=MONTHLY;COUNT=4", recurrence.Forward, "2014-01-31 2014-03-01 2014-03-31 2014-05-01"},
		{"2012-02-29T09:00", "FREQ=YEARLY;COUNT=5", recurrence.Omit, "2012-02-29 2016-02-29 2020-02-29 2024-02-29 2028-02-29"},
		{"2012-02-29T09:00", "FREQ=YEARLY;COUNT=5", recurrence.Backward, "2012-02-29 2013-02-28 2014-02-28 2015-02-28 2016-02-29"},
		{"2012-02-29T09:00", "FREQ=YEARLY;COUNT=5", recurrence.Forward, "2012-02-29 2013-03-01 2014-03-01 2015-03-01 2016-02-29"},
		{"2013-01-30T09:00", "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;COUNT=8", recurrence.Backward, "2013-01-30,31 2013-02-28 2013-03-28,29,30,31 2013-04-28"},
		{"2013-01-30T09:00", "FREQ=MONTHLY;BYMONTHDAY=30,31;COUNT=6", recurrence.Forward, "2013-01-30,31 2013-03-01,30,31 2013-04-30"},
		// BYDAY comes after SKIP: 1 March 2013 was a Friday.
		{"2013-01-31T09:00", "FREQ=MONTHLY;BYMONTHDAY=31;BYDAY=FR;COUNT=3", recurrence.Forward, "2013-03-01 2013-05-31 2014-01-31"},
		// BYSETPOS, too.
		{"2013-01-01T09:00", "FREQ=MONTHLY;BYMONTHDAY=1,31;BYSETPOS=-1;COUNT=4", recurrence.Backward, "2013-01-31 2013-02-28 2013-03-31 2013-04-30"},
		// A day that two months give comes once, and in order.
		{"2013-01-01T09:00", "FREQ=MONTHLY;BYMONTHDAY=1,31;COUNT=6", recurrence.Forward, "2013-01-01,31 2013-02-01 2013-03-01,31 2013-04-01"},
		// Counted from a month's end, and limited ones, no day is moved.
		{"2013-01-01T09:00", "FREQ=MONTHLY;BYMONTHDAY=-31;COUNT=3", recurrence.Backward, "2013-01-01 2013-03-01 2013-05-01"},
		{"2013-01-01T09:00", "FREQ=DAILY;BYMONTHDAY=31;COUNT=3", recurrence.Backward, "2013-01-31 2013-03-31 2013-05-31"},
		// An interval of months, and every second day of a leap year.
		{"2013-12-31T09:00", "FREQ=MONTHLY;INTERVAL=2;COUNT=4", recurrence.Forward, "2013-12-31 2014-03-01 2014-05-01 2014-07-01"},
		{"2016-02-29T09:00", "FREQ=YEARLY;BYMONTH=2,3;BYMONTHDAY=1,29;COUNT=7", recurrence.Forward, "2016-02-29 2016-03-01,29 2017-02-01 2017-03-01,29 2018-02-01"},
	} {
		var got []string
		for _, o := range first(series(t, recurrence.Definition{Rule: c.rule, Skip: c.skip}, in(t, "UTC", c.start)), 20) {
			got = append(got, o.Local.String())
		}
		if want := expected(c.want, "09:00"); !slices.Equal(got, want) {
			t.Errorf("%s, %s, from %s:\n got  %v\n want %v", c.rule, c.skip, c.start, got, want)
		}
	}
}

// The clocks of the world: an occurrence in a gap is moved and never dropped, and of times that
// come twice only the first is one.
func TestClocks(t *testing.T) {
	for _, c := range []struct{ zone, start, rule, want string }{
		{"America/New_York", "2026-03-07T02:30", "FREQ=DAILY;COUNT=3", "02:30-05:00 03:30-04:00 02:30-04:00"},
		{"America/New_York", "2026-10-31T01:30", "FREQ=DAILY;COUNT=3", "01:30-04:00 01:30-04:00 01:30-05:00"},
		// Two hours that become one instant are both there.
		{"America/New_York", "2026-03-08T01:00", "FREQ=HOURLY;COUNT=4", "01:00-05:00 03:00-04:00 03:00-04:00 04:00-04:00"},
		// Half past two comes after three: the order is that of instants.
		{"America/New_York", "2026-03-08T01:30", "FREQ=HOURLY;BYMINUTE=0,30;COUNT=7", "01:30-05:00 03:00-04:00 03:00-04:00 03:30-04:00 03:30-04:00 04:00-04:00 04:30-04:00"},
		{"America/New_York", "2026-11-01T00:30", "FREQ=HOURLY;COUNT=3", "00:30-04:00 01:30-04:00 02:30-05:00"},
		{"Europe/Berlin", "2026-03-28T02:30", "FREQ=DAILY;COUNT=3", "02:30+01:00 03:30+02:00 02:30+02:00"},
		{"Australia/Lord_Howe", "2026-10-03T02:15", "FREQ=DAILY;COUNT=3", "02:15+10:30 02:45+11:00 02:15+11:00"},
		{"Pacific/Apia", "2011-12-29T09:00", "FREQ=DAILY;COUNT=3", "09:00-10:00 09:00+14:00 09:00+14:00"},
		{"Pacific/Apia", "2011-12-30T09:00", "FREQ=YEARLY;COUNT=2", "09:00+14:00 09:00+14:00"},
		{"Africa/Casablanca", "2025-02-22T02:30", "FREQ=DAILY;COUNT=3", "02:30+01:00 02:30+01:00 02:30+00:00"},
		{"Africa/Casablanca", "2025-04-05T02:30", "FREQ=DAILY;COUNT=3", "02:30+00:00 03:30+01:00 02:30+01:00"},
		{"Antarctica/Troll", "2026-03-28T01:30", "FREQ=DAILY;COUNT=3", "01:30+00:00 03:30+02:00 01:30+02:00"},
		{"Europe/Dublin", "2026-03-28T01:30", "FREQ=DAILY;COUNT=3", "01:30+00:00 02:30+01:00 01:30+01:00"},
		{"Africa/Cairo", "2026-04-23T00:00", "FREQ=DAILY;COUNT=3", "00:00+02:00 01:00+03:00 00:00+03:00"},
		{"America/Santiago", "2026-09-05T00:30", "FREQ=DAILY;COUNT=3", "00:30-04:00 01:30-03:00 00:30-03:00"},
		// UNTIL is turned into the zone: 06:30 UTC is 01:30 on the 7th, and 07:30 is 03:30 on the 8th.
		{"America/New_York", "2026-03-06T02:30", "FREQ=DAILY;UNTIL=20260307T063000Z", "02:30-05:00"},
		{"America/New_York", "2026-03-06T02:30", "FREQ=DAILY;UNTIL=20260308T073000Z", "02:30-05:00 02:30-05:00 03:30-04:00"},
		{"America/New_York", "2026-03-06T02:30", "FREQ=DAILY;UNTIL=20260308", "02:30-05:00 02:30-05:00 03:30-04:00"},
		{"America/New_York", "2026-03-06T02:30", "FREQ=DAILY;UNTIL=20260308T022959", "02:30-05:00 02:30-05:00"},
	} {
		start := in(t, c.zone, c.start)
		var got []string
		for _, o := range first(series(t, recurrence.Definition{Rule: c.rule}, start), 20) {
			got = append(got, o.Instant.In(start.Zone).Format("15:04-07:00"))
		}
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s from %s in %s:\n got  %v\n want %v", c.rule, c.start, c.zone, got, c.want)
		}
	}
}

// A year of half past two in New York is 365 occurrences, one a day.
func TestYearOfHalfPastTwo(t *testing.T) {
	start := in(t, "America/New_York", "2026-01-01T02:30")
	s := series(t, recurrence.Definition{Rule: "FREQ=DAILY"}, start)
	list := between(s, start.Local.In(start.Zone), time.Date(2027, 1, 1, 0, 0, 0, 0, start.Zone), 1000)
	if len(list) != 365 {
		t.Errorf("%d occurrences", len(list))
	}
	moved := 0
	for i, o := range list {
		if o.Local != start.Local.AddDays(i) {
			t.Errorf("the %d-th is %s", i, o.Local)
		}
		if shown := o.Instant.In(start.Zone).Format("15:04"); shown != "02:30" {
			moved++
			if shown != "03:30" || o.Local.DateString() != "2026-03-08" {
				t.Errorf("%s is at %s", o.Local, shown)
			}
		}
	}
	if moved != 1 {
		t.Errorf("%d are moved", moved)
	}
}

// between returns the occurrences whose instants are not before from, and before to, in their
// order: the first most of them.
func between(s *recurrence.Series, from, to time.Time, most int) (list []recurrence.Occurrence) {
	o, ok := s.Next(from.Add(-time.Nanosecond))
	for ok && o.Instant.Before(to) && len(list) < most {
		list = append(list, o)
		o, ok = s.After(o)
	}
	return list
}
