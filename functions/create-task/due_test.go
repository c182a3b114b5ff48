package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
)

// in sets a user's time zone, the time of day at which whole days are due, and the default
// reminders.
func in(w *functiontest.World, user, zone string, allDayAt time.Duration, reminders ...task.Offset) {
	w.Helper()
	w.Prefer(user, func(p *preferences.Preferences) {
		p.TimeZone, p.AllDayAt, p.DefaultReminders = zone, allDayAt, reminders // without any: none are chosen
	})
}

func utc(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// The answer has the form of the due date that was sent, and the instant that it means.
func TestDueForms(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	in(w, "ada", "America/New_York", 7*time.Hour+30*time.Minute)
	for name, tt := range map[string]struct {
		body, means string
		fires       map[string]string // by offset
	}{
		"an instant":            {`"due_date":"2099-03-01T10:00:00+01:00"`, "2099-03-01T09:00:00Z", nil},
		"a local time, a zone":  {`"due_local":"2099-07-01T09:00","time_zone":"Europe/Kiev"`, "2099-07-01T06:00:00Z", nil},
		"with seconds":          {`"due_local":"2099-07-01T09:00:30","time_zone":"UTC"`, "2099-07-01T09:00:30Z", nil},
		"where the user is":     {`"due_local":"2099-07-01T09:00"`, "2099-07-01T13:00:00Z", nil},
		"a whole day":           {`"due_on":"2099-07-01"`, "2099-07-01T11:30:00Z", nil},
		"in a gap":              {`"due_local":"2099-03-08T02:30"`, "2099-03-08T07:30:00Z", nil},
		"that comes twice":      {`"due_local":"2099-11-01T01:30"`, "2099-11-01T05:30:00Z", nil},
		"the same twice":        {`"due_local":"2099-07-01T09:00","due_date":"2099-07-01T13:00:00Z"`, "2099-07-01T13:00:00Z", nil},
		"an instant and a zone": {`"due_date":"2099-03-01T10:00:00Z","time_zone":"Asia/Tokyo"`, "2099-03-01T10:00:00Z", nil},
		"days over a change": {
			`"due_local":"2099-03-08T09:00","reminders":["1d","24h","1w","-1h","-1d","0s"]`, "2099-03-08T13:00:00Z",
			map[string]string{"1w": "2099-03-01T14:00:00Z", "1d": "2099-03-07T14:00:00Z", "24h": "2099-03-07T13:00:00Z", "0s": "2099-03-08T13:00:00Z", "-1h": "2099-03-08T14:00:00Z", "-1d": "2099-03-09T13:00:00Z"},
		},
		"days of an instant": {
			`"due_date":"2099-03-08T13:00:00Z","reminders":["1d"]`, "2099-03-08T13:00:00Z", map[string]string{"1d": "2099-03-07T14:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.As("ada", "POST", "/api/tasks", `{"title":"x",`+tt.body+`}`)
			got := functiontest.Decode[api.Task](w, a, 201)
			if !got.DueDate.Equal(utc(tt.means)) {
				t.Errorf("it means %v, want %s", got.DueDate, tt.means)
			}
			var given, out map[string]any
			if json.Unmarshal([]byte(`{`+tt.body+`}`), &given) != nil || json.Unmarshal([]byte(a.Body), &out) != nil {
				t.Fatal(a.Body)
			}
			for _, form := range []string{"due_local", "due_on", "time_zone"} {
				if out[form] != given[form] {
					t.Errorf("%s is %v, want %v", form, out[form], given[form])
				}
			}
			for _, r := range got.Reminders {
				if want, ok := tt.fires[r.Before]; ok && !r.FireAt.Equal(utc(want)) {
					t.Errorf("%s fires at %v, want %s", r.Before, r.FireAt, want)
				}
			}
			if tt.fires != nil && len(got.Reminders) != len(tt.fires) {
				t.Errorf("%+v", got.Reminders)
			}
		})
	}
}

// An invalid due date is refused, and the error says what to write instead.
func TestBadDueDates(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	in(w, "ada", "America/New_York", 9*time.Hour)
	for body, detail := range map[string]string{
		`"due_local":"2099-07-01T09:00","due_date":"2099-07-01T09:00:00Z"`: "due_date is 2099-07-01T09:00:00Z, and what is given beside it means 2099-07-01T13:00:00Z: give one of them",
		`"due_local":"2099-07-01T09:00","due_on":"2099-07-01"`:             "due_local and due_on are two due dates",
		`"due_local":"2099-07-01T24:00"`:                                   "write the next day's beginning, 2099-07-02T00:00",
		`"due_on":"2026-02-30"`:                                            "2026-02 has days 01 to 28: write one of these",
		`"due_local":"2026-02-30T09:00"`:                                   "2026-02 has days 01 to 28: write one of these",
		`"due_local":"2099-07-01T09:00Z"`:                                  "write it as 2026-12-01T09:00, without the offset",
		`"due_local":17`:                                                   "must be a local time, such as 2026-12-01T09:00",
		`"due_on":"2099-07-01T09:00"`:                                      "must be a date: write it as 2026-12-01",
		`"due_local":"2099-07-01T09:00","time_zone":"Europe/Pariss"`:       `did you mean \"Europe/Paris\"?`,
		`"due_local":"2099-07-01T09:00","time_zone":"EST6"`:                "time_zone must be the name of a time zone",
		`"due_local":"2099-07-01T09:00","time_zone":""`:                    "time_zone is empty",
		`"time_zone":"Europe/Paris"`:                                       "there is none: give due_local, due_on or due_date beside it",
		`"due_local":"9999-12-31T23:00"`:                                   "must lie between the years 1970 and 9999, in UTC too",
		`"due_on":"2099-07-01","reminders":["367d"]`:                       "write \\\"366d\\\" instead of \\\"367d\\\"",
		`"due_on":"2099-07-01","reminders":["+1d"]`:                        "must be an offset before the due time",
		`"due_on":"2099-07-01","reminders":["-8785h"]`:                     "must lie within 366 days",
		`"due_on":"2099-07-01","reminders":["1ns"]`:                        "must be of whole milliseconds",
	} {
		a := s.As("ada", "POST", "/api/tasks", `{"title":"x",`+body+`}`)
		if a.Status != 400 || !strings.Contains(a.Body, detail) {
			t.Errorf("%s: %d %s, want %s", body, a.Status, a.Body, detail)
		}
	}
	// The user's time zone is not known.
	for _, body := range []string{`"due_local":"2099-07-01T09:00"`, `"due_on":"2099-07-01"`} {
		w.WantProblem(s.As("zoe", "POST", "/api/tasks", `{"title":"x",`+body+`}`), 400, "invalid", "set time_zone in your preferences (PUT /api/preferences), or name one beside due_local")
	}
}

// Default reminders are used for tasks that name none, as soon as the user has chosen them, even if
// the function has created tasks for the user before.
func TestDefaultReminders(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	create := func(reminders string) string {
		t.Helper()
		got := functiontest.Decode[api.Task](w, s.As("ada", "POST", "/api/tasks", `{"title":"x","due_date":"2099-07-01T09:00:00Z"`+reminders+`}`), 201)
		var all []string
		for _, r := range got.Reminders {
			all = append(all, r.Before)
		}
		return fmt.Sprint(all)
	}
	if got := create(""); got != "[0s]" {
		t.Errorf("%s without preferences", got)
	}
	for range 2 { // once it does not know of them, then it does
		in(w, "ada", "Europe/Paris", 9*time.Hour, task.Offset{Exact: 10 * time.Minute}, task.Offset{Days: 7})
		for reminders, want := range map[string]string{"": "[1w 10m]", `,"reminders":null`: "[1w 10m]", `,"reminders":["1h"]`: "[1h]", `,"reminders":[]`: "[]"} {
			if got := create(reminders); got != want {
				t.Errorf("%q: %s, want %s", reminders, got, want)
			}
		}
		in(w, "ada", "Europe/Paris", 9*time.Hour)
		if got := create(""); got != "[0s]" {
			t.Errorf("%s when they are gone", got)
		}
	}
}
