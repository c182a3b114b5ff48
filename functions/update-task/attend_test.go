package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
)

func TestSnooze(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "America/New_York" })
	path := "/api/tasks/" + seed(w).ID.String()
	tomorrow := time.Now().AddDate(0, 0, 1).Truncate(time.Hour).UTC()
	for body, want := range map[string]time.Time{
		`{"for":"10m"}`: time.Now().Add(10 * time.Minute),
		`{"until":"` + tomorrow.Format(time.RFC3339) + `"}`:                                                                        tomorrow,
		`{"until_local":"` + tomorrow.In(preferences.Zone("America/New_York")).Format("2006-01-02T15:04") + `","occurrence":null}`: tomorrow,
	} {
		a := s.As("ada", "POST", path+"/snooze", body)
		got := functiontest.Decode[api.Task](w, a, 200)
		if got.SnoozedUntil == nil || got.SnoozedUntil.Sub(want).Abs() > time.Minute || !got.DueDate.Equal(due) || got.Version != 1 || a.Header.Get("ETag") != `"1"` {
			t.Errorf("%s: %s", body, a.Body)
		}
		if i := slices.IndexFunc(got.Reminders, func(r api.Reminder) bool { return r.Kind == task.KindSnooze }); len(got.Reminders) != 3 || i != 2 || got.Reminders[i].State != "pending" {
			t.Errorf("%s: %+v", body, got.Reminders)
		}
	}
	for body, detail := range map[string]string{
		`{}`:                         "one of",
		`{"for":"10m","until":null}`: "",
		`{"for":"10m","until_local":"2099-01-01T09:00"}`: "one of",
		`{"for":"ten"}`:                           `for must be how long from now, such as "10m"`,
		`{"for":"0s"}`:                            "must end later than now",
		`{"for":"-10m"}`:                          "must end later than now",
		`{"for":600}`:                             "/for must be a string",
		`{"for":"367d"}`:                          "within 366 days",
		`{"until":"2020-01-01T00:00:00Z"}`:        "must end later than now",
		`{"until":"2099-01-01T00:00:00Z"}`:        "366 days at most",
		`{"until":"2099-01-01T00:00:00"}`:         "until must be a time with an offset",
		`{"until_local":"2099-01-01"}`:            "until_local must be a local time",
		`{"until_local":"2020-01-01T09:00"}`:      "must end later than now",
		`{"for":"10m","occurrence":"x","more":1}`: "/more",
	} {
		if detail != "" {
			w.WantProblem(s.As("ada", "POST", path+"/snooze", body), 400, "invalid", detail)
		}
	}
	w.WantProblem(s.As("eve", "POST", path+"/snooze", `{"for":"10m"}`), 404, "not_found", "no such task")
	w.WantProblem(s.Call("POST", path+"/snooze", `{"for":"10m"}`), 401, "unauthenticated", "")
	if n := w.Count(`select count(*) from reminders where kind = 'snooze'`); n != 1 {
		t.Errorf("there are %d snoozes", n)
	}

	// The answer of a GET can be sent back, and the snooze is kept.
	shown := s.As("ada", "PATCH", path, `{}`)
	again := s.As("ada", "PUT", path, shown.Body)
	var was, is map[string]any
	if again.Status != 200 || json.Unmarshal([]byte(shown.Body), &was) != nil || json.Unmarshal([]byte(again.Body), &is) != nil {
		t.Fatalf("%s, then %d %s", shown.Body, again.Status, again.Body)
	}
	for _, changing := range []string{"version", "updated_at"} {
		delete(was, changing)
		delete(is, changing)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Error(diff)
	}
	moved := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{"due_date":"2099-02-01T09:00:00Z"}`), 200)
	if moved.SnoozedUntil != nil || len(moved.Reminders) != 2 {
		t.Errorf("moved: %+v", moved)
	}
	functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{"completed":true}`), 200)
	w.WantProblem(s.As("ada", "POST", path+"/snooze", `{"for":"10m"}`), 409, "conflict", "completed")
	functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{"completed":false,"due_date":null}`), 200)
	w.WantProblem(s.As("ada", "POST", path+"/snooze", `{"for":"10m"}`), 409, "conflict", "no due date")
}

// If the user's time zone is not known, a snooze until a local time is refused.
func TestSnoozeUntilWhereNobodyKnows(t *testing.T) {
	w := functiontest.New(t)
	path := "/api/tasks/" + seed(w).ID.String()
	w.WantProblem(functiontest.Serve(w, New).As("ada", "POST", path+"/snooze", `{"until_local":"2099-01-01T09:00"}`), 400, "invalid", "set time_zone in your preferences")
}

func TestAcknowledge(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	path := "/api/tasks/" + seed(w).ID.String() + "/acknowledge"
	for _, body := range []any{nil, `{}`, `{"occurrence":null}`} {
		if got := functiontest.Decode[api.Task](w, s.As("ada", "POST", path, body), 200); got.Version != 1 || len(got.Reminders) != 2 {
			t.Errorf("%+v", got)
		}
	}
	w.WantProblem(s.As("ada", "POST", path, `{"for":"10m"}`), 400, "invalid", "/for")
	w.WantProblem(s.As("eve", "POST", path, `{}`), 404, "not_found", "no such task")
	w.WantProblem(s.Call("POST", path, `{}`), 401, "unauthenticated", "")
}

// For a recurring task the request can name an occurrence, which must exist.
func TestAttendingToOccurrences(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	path := "/api/tasks/" + daily(w, 3).ID.String()
	now := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{}`), 200)
	for _, action := range []string{"/acknowledge", "/snooze"} {
		body := func(occurrence string) string {
			if action == "/snooze" {
				return `{"for":"1d","occurrence":` + occurrence + `}`
			}
			return `{"occurrence":` + occurrence + `}`
		}
		for _, named := range []string{`null`, `"` + *now.Occurrence + `"`, `"` + *now.NextOccurrence + `"`} {
			if a := s.As("ada", "POST", path+action, body(named)); a.Status != 200 {
				t.Errorf("%s of %s: %s", action, named, a.Body)
			}
		}
		for wrong, detail := range map[string]string{`"2001-01-01T09:00"`: "the current one is", `"` + *now.Occurrence + `:30"`: "the current one is", `"tomorrow"`: "occurrence must be a local time"} {
			w.WantProblem(s.As("ada", "POST", path+action, body(wrong)), 400, "invalid", detail)
		}
	}
	if n := w.Count(`select count(*) from reminders where kind = 'snooze' and state = 'armed'`); n != 2 {
		t.Errorf("%d are snoozed", n)
	}
	done := `{"occurrence":"` + *now.Occurrence + `"}`
	if closed := functiontest.Decode[api.Task](w, s.As("ada", "POST", path+"/complete", done), 200); len(closed.Reminders) != 2 || closed.SnoozedUntil == nil {
		t.Errorf("%+v", closed)
	}
	w.WantProblem(s.As("ada", "POST", path+"/snooze", `{"for":"1d","occurrence":"`+*now.Occurrence+`"}`), 409, "conflict", "was completed before")
}

func TestRepeat(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	path := "/api/tasks/" + seed(w).ID.String()
	for _, step := range []struct {
		patch string
		want  *api.Repeat
	}{
		{`{"repeat":{"every":"10m","times":3}}`, &api.Repeat{Every: "10m", Times: 3}},
		{`{"title":"y"}`, &api.Repeat{Every: "10m", Times: 3}},
		{`{"repeat":{"every":"90m","times":50}}`, &api.Repeat{Every: "1h30m", Times: 50}},
		{`{"repeat":null}`, nil},
	} {
		if got := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, step.patch), 200); cmp.Diff(got.Repeat, step.want) != "" {
			t.Errorf("%s: %+v", step.patch, got.Repeat)
		}
	}
	for repeat, detail := range map[string]string{
		`{"every":"59s","times":3}`:         "every must be between 1m and 24h",
		`{"every":"25h","times":3}`:         "every must be between 1m and 24h",
		`{"every":"1d","times":3}`:          "every must be between 1m and 24h",
		`{"every":"90500ms","times":3}`:     "whole seconds",
		`{"every":"10m","times":0}`:         "times must be between 1 and 50",
		`{"every":"10m","times":51}`:        "times must be between 1 and 50",
		`{"every":"10m"}`:                   `repeat needs "every" and "times"`,
		`{"every":"10m","times":"3"}`:       "/repeat/times",
		`{"every":"10m","times":3,"for":1}`: "/repeat/for",
		`"10m"`:                             "/repeat",
	} {
		w.WantProblem(s.As("ada", "PATCH", path, `{"repeat":`+repeat+`}`), 400, "invalid", detail)
	}
}
