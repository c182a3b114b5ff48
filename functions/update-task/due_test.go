package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// A PATCH with one form of the due date replaces the other forms. It ignores fields that are
// derived from the due date.
func TestPatchOfDueForms(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "America/New_York" })
	type forms struct{ Date, Local, On, Zone string }
	instant := "2099-01-01T09:00:00Z"
	first := seed(w)
	now := forms{Date: instant}
	for _, step := range []struct {
		patch string
		want  forms
	}{
		{`{"due_local":"2099-07-01T09:00"}`, forms{"2099-07-01T13:00:00Z", "2099-07-01T09:00", "", ""}},
		{`{"title":"y"}`, forms{"2099-07-01T13:00:00Z", "2099-07-01T09:00", "", ""}},
		{`{"time_zone":"Europe/Paris"}`, forms{"2099-07-01T07:00:00Z", "2099-07-01T09:00", "", "Europe/Paris"}},
		{`{"due_local":"2099-07-02T10:00","due_date":"2030-01-01T00:00:00Z"}`, forms{"2099-07-02T08:00:00Z", "2099-07-02T10:00", "", "Europe/Paris"}},
		{`{"time_zone":null}`, forms{"2099-07-02T14:00:00Z", "2099-07-02T10:00", "", ""}},
		{`{"due_on":"2099-07-03"}`, forms{"2099-07-03T13:00:00Z", "", "2099-07-03", ""}},
		{`{"due_local":null}`, forms{"2099-07-03T13:00:00Z", "", "2099-07-03", ""}},
		{`{"due_date":"2099-01-01T09:00:00Z"}`, forms{instant, "", "", ""}},
		{`{"due_on":"2099-07-03"}`, forms{"2099-07-03T13:00:00Z", "", "2099-07-03", ""}},
		{`{"due_on":null}`, forms{}},
		{`{"due_local":"2099-07-02T10:00","time_zone":"UTC"}`, forms{"2099-07-02T10:00:00Z", "2099-07-02T10:00", "", "UTC"}},
		{`{"due_date":null}`, forms{}},
	} {
		got := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", "/api/tasks/"+first.ID.String(), step.patch), 200)
		text := func(s *string) string {
			if s == nil {
				return ""
			}
			return *s
		}
		is := forms{"", text(got.DueLocal), text(got.DueOn), text(got.TimeZone)}
		if got.DueDate != nil {
			is.Date = got.DueDate.Format(time.RFC3339)
		}
		if is != step.want {
			t.Errorf("%+v, then %s: %+v, want %+v", now, step.patch, is, step.want)
		}
		for _, r := range got.Reminders {
			if (r.FireAt == nil) != (got.DueDate == nil) || r.Before == "0s" && r.FireAt != nil && !r.FireAt.Equal(*got.DueDate) {
				t.Errorf("%s: %+v", step.patch, r)
			}
		}
		now = is
	}
}

// A PUT with the answer of GET changes nothing: no offset of any kind, and no revision.
func TestPutOfWhatGetGave(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "America/New_York" })
	for name, due := range map[string]task.Due{
		"floating": {Form: task.ByClock, Local: wallclock.New(2099, 3, 8, 2, 30, 0)},
		"in Paris": {Form: task.ByClock, Local: wallclock.New(2099, 3, 8, 2, 30, 0), Zone: "Europe/Paris"},
		"a day":    {Form: task.ByDay, Local: wallclock.New(2099, 3, 8, 0, 0, 0)},
	} {
		seeded := w.Seed("ada", task.Draft{Title: "x", Due: due, Before: []task.Offset{{Days: 1}, {Exact: 24 * time.Hour}, {Days: -1}, {}}})
		revisions := func() int {
			return w.Count(`select sum(revision) from reminders where task_id = '` + seeded.ID.String() + `'`)
		}
		path, before := "/api/tasks/"+seeded.ID.String(), revisions()
		first := s.As("ada", "PATCH", path, `{}`)
		again := s.As("ada", "PUT", path, first.Body)
		var was, is map[string]any
		if first.Status != 200 || again.Status != 200 || json.Unmarshal([]byte(first.Body), &was) != nil || json.Unmarshal([]byte(again.Body), &is) != nil {
			t.Fatalf("%s: %s, then %d %s", name, first.Body, again.Status, again.Body)
		}
		for _, changing := range []string{"version", "updated_at"} {
			delete(was, changing)
			delete(is, changing)
		}
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if after := revisions(); after != before || before != 4 {
			t.Errorf("%s: revisions were %d, and are %d", name, before, after)
		}
	}
}
