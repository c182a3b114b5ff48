package recurrence_test

import (
	"testing"
	"time"

	"github.com/duebell/duebell/shared/recurrence"
)

func TestDescribe(t *testing.T) {
	const gap = " Where clocks go forward past the time, you are told as much later; where it comes twice, the first time."
	berlin, utc := in(t, "Europe/Berlin", "2026-12-01T09:00"), in(t, "UTC", "2026-12-31T09:00")
	date := in(t, "UTC", "2026-12-31T00:00")
	date.AllDay, date.AllDayAt = true, 9*time.Hour
	for _, c := range []struct {
		d     recurrence.Definition
		start recurrence.Start
		want  string
	}{
		{recurrence.Definition{Rule: "FREQ=DAILY"}, berlin, "Every day at 09:00." + gap},
		{recurrence.Definition{Rule: "FREQ=DAILY"}, utc, "Every day at 09:00."},
		{recurrence.Definition{Rule: "FREQ=DAILY;COUNT=10"}, date, "Every day, all day, 10 times."},
		{recurrence.Definition{Rule: "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR;WKST=SU"}, utc, "Every 2 weeks on Monday, Wednesday and Friday (weeks begin on Sunday) at 09:00."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY"}, utc, "Every month on day 31 of the month at 09:00. Months without such a day are left out."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY", Skip: "backward"}, utc, "Every month on day 31 of the month at 09:00. Where a month has no such day, its last day is taken."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY", Skip: "forward"}, utc, "Every month on day 31 of the month at 09:00. Where a month has no such day, the first day of the next month is taken."},
		{recurrence.Definition{Rule: "FREQ=YEARLY"}, utc, "Every year in December on day 31 of the month at 09:00."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYMONTHDAY=-1,-3"}, utc, "Every month on the last day but 2 or the last day of the month at 09:00."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYDAY=2TU,-1FR"}, utc, "Every month on the 2nd Tuesday and the last Friday of the month at 09:00."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13"}, utc, "Every month on day 13 of the month if that is Friday at 09:00."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"}, utc, "Every month on Monday, Tuesday, Wednesday, Thursday and Friday at 09:00, of these only the last in each month."},
		{recurrence.Definition{Rule: "FREQ=YEARLY;BYWEEKNO=1,-1;BYDAY=MO"}, utc, "Every year in the last week and week 1 on Monday at 09:00."},
		{recurrence.Definition{Rule: "FREQ=HOURLY;INTERVAL=3"}, utc, "Every 3 hours at :00 past."},
		{recurrence.Definition{Rule: "FREQ=HOURLY;BYMINUTE=0,30"}, utc, "Every hour at minutes 0 and 30."},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYHOUR=9,17;UNTIL=20270301T080000Z"}, berlin, "Every day at 09:00 and 17:00, until 2027-03-01T09:00." + gap},
		{recurrence.Definition{Rule: "FREQ=DAILY;UNTIL=20270301", Except: []string{"2026-12-31"}}, utc, "Every day at 09:00, until 2027-03-01. One date or time is left out."},
		{recurrence.Definition{Rule: "FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7"}, utc, "Every day in the hours 1, 2, 3, 4, 5, 6 and 7 at minutes 0."},
		{recurrence.Definition{Rule: "FREQ=WEEKLY", From: "completion"}, utc, "One week after it was completed at 09:00."},
		{recurrence.Definition{Rule: "FREQ=HOURLY;INTERVAL=6", From: "completion"}, utc, "6 hours after it was completed."},
		{recurrence.Definition{Rule: "FREQ=MONTHLY;INTERVAL=3", From: "completion", Skip: "backward"}, utc, "3 months after it was completed at 09:00. Where a month has no such day, its last day is taken."},
	} {
		if got := series(t, c.d, c.start).Describe(); got != c.want {
			t.Errorf("%+v:\n got  %s\n want %s", c.d, got, c.want)
		}
	}
}

func TestNote(t *testing.T) {
	for _, c := range []struct{ zone, local, want string }{
		{"America/New_York", "2026-03-08T02:30", "02:30 does not exist: clocks go from 02:00 to 03:00; you are told at 03:30"},
		{"America/New_York", "2026-11-01T01:30", "01:30 comes twice: you are told the first time"},
		{"America/New_York", "2026-03-08T03:30", ""},
		{"America/New_York", "2026-06-08T02:30", ""},
		{"Pacific/Apia", "2011-12-30T09:00", "2011-12-30T09:00 does not exist: clocks go from 2011-12-30T00:00 to 2011-12-31T00:00; you are told at 2011-12-31T09:00"},
		{"Africa/Cairo", "2026-04-24T00:00", "00:00 does not exist: clocks go from 00:00 to 01:00; you are told at 01:00"},
	} {
		s := series(t, recurrence.Definition{Rule: "FREQ=DAILY"}, in(t, c.zone, c.local))
		o, _ := s.First()
		if got := s.Note(o); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.local, c.zone, got, c.want)
		}
	}
}
