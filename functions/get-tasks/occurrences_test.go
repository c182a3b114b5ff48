package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

func TestPreview(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone, p.AllDayAt = "America/New_York", 8*time.Hour })
	for name, tt := range map[string]struct {
		body string
		want preview
	}{
		"over a gap": {
			`{"due_local":"2030-03-09T02:30","recurrence":{"rule":"FREQ=DAILY"},"count":2}`,
			preview{[]previewedTime{
				{"2030-03-09T02:30", time.Date(2030, 3, 9, 7, 30, 0, 0, time.UTC), ""},
				{"2030-03-10T02:30", time.Date(2030, 3, 10, 7, 30, 0, 0, time.UTC), "02:30 does not exist: clocks go from 02:00 to 03:00; you are told at 03:30"},
			}, "Every day at 02:30."},
		},
		"whole days at the ends of months": {
			`{"due_on":"2030-01-31","time_zone":"Europe/Paris","recurrence":{"rule":"FREQ=MONTHLY;COUNT=2","skip":"backward"}}`,
			preview{[]previewedTime{
				{"2030-01-31", time.Date(2030, 1, 31, 7, 0, 0, 0, time.UTC), ""}, {"2030-02-28", time.Date(2030, 2, 28, 7, 0, 0, 0, time.UTC), ""},
			}, "Where a month has no such day, its last day is taken."},
		},
		"from completion": {
			`{"due_local":"2030-01-31T09:00","time_zone":"UTC","recurrence":{"rule":"FREQ=DAILY","from":"completion"}}`,
			preview{[]previewedTime{{"2030-01-31T09:00", time.Date(2030, 1, 31, 9, 0, 0, 0, time.UTC), ""}}, "after it was completed"},
		},
	} {
		got := functiontest.Decode[preview](w, s.As("ada", "POST", "/api/recurrence/preview", tt.body), 200)
		if diff := cmp.Diff(tt.want.Occurrences, got.Occurrences); diff != "" || !strings.Contains(got.Text, tt.want.Text) {
			t.Errorf("%s: %s %q", name, diff, got.Text)
		}
	}
	for body, detail := range map[string]string{
		`{"due_local":"2030-03-09T02:30"}`:                                               "recurrence is missing",
		`{"recurrence":{"rule":"FREQ=DAILY"}}`:                                           "needs a wall clock",
		`{"due_local":"2030-03-09T02:30","recurrence":{"rule":"FREQ=SECONDLY"}}`:         "SECONDLY",
		`{"due_local":"2030-03-09T02:30","recurrence":{"rule":"FREQ=DAILY"},"count":51}`: "between 1 and 50",
	} {
		w.WantProblem(s.As("ada", "POST", "/api/recurrence/preview", body), 400, "invalid", detail)
	}
	w.WantProblem(s.As("zoe", "POST", "/api/recurrence/preview", `{"due_local":"2030-03-09T02:30","recurrence":{"rule":"FREQ=DAILY"}}`), 400, "invalid", "set time_zone in your preferences")
	w.WantProblem(s.Call("POST", "/api/recurrence/preview", `{}`), 401, "unauthenticated", "")
}

func TestOccurrences(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	start := time.Date(2030, 6, 1, 9, 0, 0, 0, time.UTC)
	made := w.Seed("ada", task.Draft{
		Title: "x", Due: task.Due{Form: task.ByClock, Local: wallclock.FromUTC(start), Zone: "UTC"}, Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY"}, Before: task.DefaultBefore(),
	})
	later := func() time.Time { return start.AddDate(0, 0, 2) } // two were missed
	firer := fire.New(w.Store, nil, suppress.Keys{}, schedule.NewMover(w.Store, later, schedule.MoveRules{}), func() {}, later)
	if fired, err := firer.FireOverdue(t.Context(), task.Revision{TaskID: made.ID, UserID: "ada", ReminderID: made.Reminders[0].ID, Number: 1}); !fired || err != nil {
		t.Fatal(fired, err)
	}
	path := "/api/tasks/" + made.ID.String() + "/occurrences"
	all := functiontest.Decode[history](w, s.As("ada", "GET", path, nil), 200)
	var got []string
	for _, o := range all.Occurrences {
		got = append(got, o.Occurrence+" "+string(o.State))
	}
	if diff := cmp.Diff([]string{"2030-06-03T09:00 told", "2030-06-02T09:00 missed", "2030-06-01T09:00 missed"}, got); diff != "" || all.NextBefore != nil {
		t.Errorf("%s, next %v", diff, all.NextBefore)
	}
	page := functiontest.Decode[history](w, s.As("ada", "GET", path+"?limit=2", nil), 200)
	rest := functiontest.Decode[history](w, s.As("ada", "GET", path+"?limit=2&before="+page.NextBefore.Format(time.RFC3339), nil), 200)
	if len(page.Occurrences) != 2 || len(rest.Occurrences) != 1 || rest.NextBefore != nil {
		t.Errorf("%+v, then %+v", page, rest)
	}
	w.WantProblem(s.As("eve", "GET", path, nil), 404, "not_found", "")
}
