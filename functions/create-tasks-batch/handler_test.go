package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/store"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestBatch(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := `{"tasks":[{"title":"a","due_date":"2099-01-01T00:00:00Z","reminders":["0s","1h"]},{"title":""},{"title":"b"},{"titel":"c"},7,{"title":"d","id":"x"}]}`
	got := functiontest.Decode[response](w, s.As("ada", "POST", "/api/tasks/batch", body), 200)
	if len(got.Tasks) != 2 || got.Tasks[0].Title != "a" || got.Tasks[1].Title != "b" || got.ScheduledReminders != 0 || got.PendingReminders != 2 {
		t.Errorf("%+v", got)
	}
	var indexes []int
	for _, f := range got.Failed {
		indexes = append(indexes, f.Index)
		if f.Error == "" {
			t.Errorf("%d failed without a reason", f.Index)
		}
	}
	if fmt.Sprint(indexes) != "[1 3 4 5]" {
		t.Errorf("failed: %+v", got.Failed)
	}
	if tasks, _, err := w.Store.ListTasks(t.Context(), "ada", store.Filter{Limit: 10}); err != nil || len(tasks) != 2 {
		t.Errorf("%d stored, %v", len(tasks), err)
	}
}

// A batch with a task that names another user is refused as a whole. In a stream only the line is
// refused.
func TestUserInTheBody(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := `{"tasks":[{"title":"x"},{"title":"y","user_id":"eve"},{"title":""}]}`
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", body), 403, "forbidden", "/tasks/1: user_id is another user")
	w.WantProblem(s.For("ada", "POST", "/api/tasks/batch", `{"tasks":[{"title":"y","user_id":"service"}]}`), 403, "forbidden", "/tasks/0: user_id is another user")
	if n := w.Count(`select count(*) from tasks`); n != 0 {
		t.Errorf("%d tasks are stored", n)
	}
	got := functiontest.Decode[response](w, s.For("ada", "POST", "/api/tasks/batch", `{"tasks":[{"title":"y","user_id":"ada"}]}`), 200)
	if len(got.Tasks) != 1 || got.Tasks[0].UserID != "ada" {
		t.Errorf("%+v", got)
	}
	lines := s.As("ada", "POST", "/api/tasks/batch", `{"title":"x","user_id":"eve"}`+"\n"+`{"title":"y","user_id":"ada"}`+"\n", "Content-Type", ndjson)
	if lines.Status != 200 || !strings.Contains(lines.Body, `"index":0`) || !strings.Contains(lines.Body, "user_id is another user") || !strings.Contains(lines.Body, `"created":1`) {
		t.Errorf("%d %s", lines.Status, lines.Body)
	}
	if n := w.Count(`select count(*) from tasks where user_id <> 'ada' or title <> 'y'`); n != 0 {
		t.Errorf("%d tasks are stored of what was refused", n)
	}
}

func TestBatchOnce(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := `{"tasks":[{"title":"a","due_date":"2099-01-01T00:00:00Z"},{"title":""}]}`
	first := s.As("ada", "POST", "/api/tasks/batch", body, "Idempotency-Key", "k")
	again := s.As("ada", "POST", "/api/tasks/batch", body, "Idempotency-Key", "k")
	if first.Status != 200 || again.Status != 200 || first.Body != again.Body {
		t.Errorf("first %d %s, then %d %s", first.Status, first.Body, again.Status, again.Body)
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", `{"tasks":[{"title":"b"}]}`, "Idempotency-Key", "k"), 409, "conflict", "another request")
	if tasks, _, err := w.Store.ListTasks(t.Context(), "ada", store.Filter{Limit: 10}); err != nil || len(tasks) != 1 {
		t.Errorf("%d stored, %v", len(tasks), err)
	}
}

func TestBatchLimits(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	many := func(n int) string {
		return `{"tasks":[` + strings.TrimSuffix(strings.Repeat(`{"title":"x"},`, n), ",") + `]}`
	}
	if got := functiontest.Decode[response](w, s.As("ada", "POST", "/api/tasks/batch", many(maxTasks)), 200); len(got.Tasks) != maxTasks {
		t.Errorf("%d created", len(got.Tasks))
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", many(maxTasks+1)), 400, "invalid", "more than 1000 entries")
	for body, detail := range map[string]string{`{"tasks":[]}`: "no entries", `{}`: "no entries", `{"tasks":null}`: "no entries", `{"tasks":[{]}`: "not valid JSON", `[]`: "must be an object", `{"tasks":7}`: "/tasks"} {
		w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", body), 400, "invalid", detail)
	}
	w.WantProblem(s.Call("POST", "/api/tasks/batch", many(1)), 401, "unauthenticated", "")
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", "title\nx", "Content-Type", "text/html"), 415, "invalid", "application/json, text/csv")
}
