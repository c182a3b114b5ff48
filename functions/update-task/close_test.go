package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// daily stores a task of ada's that is due each day at 09:00, since so many days ago.
func daily(w *functiontest.World, ago int) task.Task {
	w.Helper()
	start := wallclock.FromUTC(time.Now()).Midnight().AddDays(-ago).Add(9 * time.Hour)
	return w.Seed("ada", task.Draft{
		Title: "Water the plants", Due: task.Due{Form: task.ByClock, Local: start, Zone: "UTC"}, Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY", Skip: "omit", From: "schedule"}, Before: task.DefaultBefore(),
	})
}

func TestComplete(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	seeded := daily(w, 10)
	path := "/api/tasks/" + seeded.ID.String()
	now := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{}`), 200)
	if now.Occurrence == nil || now.NextOccurrence == nil || now.DueDate.After(time.Now()) {
		t.Fatalf("%+v", now)
	}
	w.WantProblem(s.As("ada", "POST", path+"/complete", `{}`), 400, "invalid", `the current one is "`+*now.Occurrence+`"`)
	w.WantProblem(s.As("ada", "POST", path+"/skip", `{"occurrence":"`+*now.NextOccurrence+`"}`), 400, "invalid", `must be the current one, "`+*now.Occurrence+`"`)
	w.WantProblem(s.As("ada", "POST", path+"/skip", `{"occurrence":"tomorrow"}`), 400, "invalid", `occurrence must be a local time`)
	w.WantProblem(s.As("eve", "POST", path+"/complete", `{"occurrence":"`+*now.Occurrence+`"}`), 404, "not_found", "")

	body := `{"occurrence":"` + *now.Occurrence + `"}`
	first := functiontest.Decode[api.Task](w, s.As("ada", "POST", path+"/complete", body), 200)
	again := functiontest.Decode[api.Task](w, s.As("ada", "POST", path+"/complete", body), 200)
	if diff := cmp.Diff(first, again); diff != "" || *first.Occurrence != *now.NextOccurrence || first.Completed {
		t.Errorf("once more: %s; now at %v", diff, *first.Occurrence)
	}
	w.WantProblem(s.As("ada", "POST", path+"/skip", body), 409, "conflict", "was completed before")
	w.WantProblem(s.As("ada", "POST", path+"/skip", `{"occurrence":"`+*first.Occurrence+`"}`, "If-Match", `"1"`), 412, "conflict", "")
	skipped := functiontest.Decode[api.Task](w, s.As("ada", "POST", path+"/skip", `{"occurrence":"`+*first.Occurrence+`"}`), 200)
	if *skipped.Occurrence != *first.NextOccurrence {
		t.Errorf("%+v", skipped)
	}
	// The whole series.
	if ended := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{"completed":true}`), 200); ended.Occurrence != nil || ended.Reminders[0].State != "cancelled" {
		t.Errorf("%+v", ended)
	}
}

func TestCompleteWhatDoesNotRecur(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	path := "/api/tasks/" + seed(w).ID.String()
	w.WantProblem(s.As("ada", "POST", path+"/skip", `{}`), 400, "invalid", "does not recur")
	if got := functiontest.Decode[api.Task](w, s.As("ada", "POST", path+"/complete", `{}`), 200); !got.Completed {
		t.Errorf("%+v", got)
	}
}

// A PUT accepts the answer of a GET for a recurring task, and the series continues.
func TestPutOfARecurringTask(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	seeded := daily(w, 3)
	path := "/api/tasks/" + seeded.ID.String()
	first := s.As("ada", "PATCH", path, `{}`)
	again := s.As("ada", "PUT", path, first.Body)
	var was, is map[string]any
	if again.Status != 200 || json.Unmarshal([]byte(first.Body), &was) != nil || json.Unmarshal([]byte(again.Body), &is) != nil {
		t.Fatalf("%d %s", again.Status, again.Body)
	}
	for _, changing := range []string{"version", "updated_at"} {
		delete(was, changing)
		delete(is, changing)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Error(diff)
	}
	if n := w.Count(`select series + (select sum(revision) from reminders) from tasks`); n != 2 {
		t.Errorf("series and revision are %d, want 1 and 1", n)
	}
	// A due date of another form replaces it.
	moved := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{"due_on":"2099-01-31","recurrence":{"rule":"FREQ=MONTHLY"}}`), 200)
	if *moved.Occurrence != "2099-01-31" || *moved.NextOccurrence != "2099-03-31" || moved.DueLocal != nil {
		t.Errorf("%+v", moved)
	}
	once := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", path, `{"recurrence":null}`), 200)
	if once.Recurrence != nil || once.Occurrence != nil || len(once.Reminders) != 1 {
		t.Errorf("%+v", once)
	}
	w.WantProblem(s.As("ada", "PATCH", path, `{"due_date":"2099-01-31T00:00:00Z","time_zone":null,"recurrence":{"rule":"FREQ=DAILY"}}`), 400, "invalid", "needs a wall clock")
}
