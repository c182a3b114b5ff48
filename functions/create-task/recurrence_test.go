package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/api"
)

func TestRecurringTask(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	in(w, "ada", "America/New_York", 8*time.Hour)
	for name, tt := range map[string]struct {
		body, local, on, zone, due, occurrence, next string
		recurrence                                   api.Recurrence
	}{
		"where the user is": {
			`"due_local":"2099-03-07T02:30","recurrence":{"rule":"FREQ=DAILY"}`, "2099-03-07T02:30", "", "", "2099-03-07T07:30:00Z", "2099-03-07T02:30", "2099-03-08T02:30",
			api.Recurrence{Rule: "FREQ=DAILY", Skip: "omit", From: "schedule", Except: []string{}},
		},
		"a whole day": {
			`"due_on":"2099-01-31","recurrence":{"rule":"FREQ=MONTHLY;BYMONTHDAY=31","skip":"backward","except":["2099-02-28"]}`, "", "2099-01-31", "", "2099-01-31T13:00:00Z", "2099-01-31", "2099-03-31",
			api.Recurrence{Rule: "FREQ=MONTHLY;BYMONTHDAY=31", Skip: "backward", From: "schedule", Except: []string{"2099-02-28"}},
		},
		"an instant and a zone": {
			`"due_date":"2099-07-01T07:00:00Z","time_zone":"Europe/Paris","recurrence":{"rule":"FREQ=WEEKLY"}`, "2099-07-01T09:00", "", "Europe/Paris", "2099-07-01T07:00:00Z", "2099-07-01T09:00", "2099-07-08T09:00",
			api.Recurrence{Rule: "FREQ=WEEKLY", Skip: "omit", From: "schedule", Except: []string{}},
		},
		"from completion": {
			`"due_local":"2099-07-01T09:00","time_zone":"UTC","recurrence":{"rule":"FREQ=DAILY;INTERVAL=3","from":"completion"}`, "2099-07-01T09:00", "", "UTC", "2099-07-01T09:00:00Z", "2099-07-01T09:00", "",
			api.Recurrence{Rule: "FREQ=DAILY;INTERVAL=3", Skip: "omit", From: "completion", Except: []string{}},
		},
		"the start is no match": {
			`"due_local":"2099-07-01T09:00","time_zone":"UTC","recurrence":{"rule":"FREQ=MONTHLY;BYMONTHDAY=15"}`, "2099-07-01T09:00", "", "UTC", "2099-07-15T09:00:00Z", "2099-07-15T09:00", "2099-08-15T09:00",
			api.Recurrence{Rule: "FREQ=MONTHLY;BYMONTHDAY=15", Skip: "omit", From: "schedule", Except: []string{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := functiontest.Decode[api.Task](w, s.As("ada", "POST", "/api/tasks", `{"title":"x",`+tt.body+`}`), 201)
			text := func(s *string) string {
				if s == nil {
					return ""
				}
				return *s
			}
			want := []string{tt.local, tt.on, tt.zone, tt.due, tt.occurrence, tt.next}
			if diff := cmp.Diff(want, []string{text(got.DueLocal), text(got.DueOn), text(got.TimeZone), got.DueDate.Format(time.RFC3339), text(got.Occurrence), text(got.NextOccurrence)}); diff != "" {
				t.Error(diff)
			}
			if got.Recurrence == nil {
				t.Fatal("it does not recur")
			}
			if diff := cmp.Diff(tt.recurrence, *got.Recurrence); diff != "" {
				t.Error(diff)
			}
			if !got.Reminders[0].FireAt.Equal(*got.DueDate) {
				t.Errorf("%+v", got.Reminders)
			}
		})
	}
}

// An invalid rule is refused, and the error says what to write instead.
func TestBadRecurrences(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	in(w, "ada", "America/New_York", 9*time.Hour)
	const start = `"due_local":"2099-07-01T09:00",`
	for body, detail := range map[string]string{
		start + `"recurrence":{"rule":"FREQ=DAILY;INTERVAL=0"}`:                                 "INTERVAL",
		start + `"recurrence":{"rule":"FREQ=SECONDLY"}`:                                         "SECONDLY",
		start + `"recurrence":{"rule":"FREQ=MINUTELY"}`:                                         "MINUTELY",
		start + `"recurrence":{"rule":"FREQ=DAILY;COUNT=3;UNTIL=20991231"}`:                     "COUNT",
		start + `"recurrence":{"rule":"FREQ=DAILY;UNTIL=20990101"}`:                             "UNTIL before the start",
		start + `"recurrence":{"rule":"FREQ=MONTHLY;BYSETPOS=1"}`:                               "BYSETPOS",
		start + `"recurrence":{"rule":"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}`:                   "never matches",
		start + `"recurrence":{"rule":"FREQ=DAILY;BYMONTH=` + strings.Repeat("1,", 300) + `1"}`: "500",
		start + `"recurrence":{"rule":"FREQ=DAILY","from":"done"}`:                              "from must be",
		start + `"recurrence":{"rule":"FREQ=DAILY","skip":"never"}`:                             "skip must be",
		start + `"recurrence":{"rule":"FREQ=DAILY","except":["2026-02-30"]}`:                    "days 01 to 28",
		start + `"recurrence":{"skip":"omit"}`:                                                  "recurrence needs",
		start + `"recurrence":{"rule":"FREQ=DAILY;BYDAY=MO","from":"completion"}`:               "completion",
		`"recurrence":{"rule":"FREQ=DAILY"}`:                                                    "recurrence needs a wall clock",
		`"due_date":"2099-07-01T09:00:00Z","recurrence":{"rule":"FREQ=DAILY"}`:                  "recurrence needs a wall clock: give due_local or due_on, or time_zone beside due_date",
		`"due_on":"2099-07-01","recurrence":{"rule":"FREQ=HOURLY"}`:                             "due_on is a whole day",
	} {
		a := s.As("ada", "POST", "/api/tasks", `{"title":"x",`+body+`}`)
		if a.Status != 400 || !strings.Contains(a.Body, detail) {
			t.Errorf("%.100s: %d %s, want %s", body, a.Status, a.Body, detail)
		}
	}
}
