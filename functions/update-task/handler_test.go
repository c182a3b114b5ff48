package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/task"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var due = time.Date(2099, 1, 1, 9, 0, 0, 0, time.UTC)

// seed stores a task of ada's with reminders at the due date and 30m before.
func seed(w *functiontest.World) task.Task {
	w.Helper()
	d := task.Draft{Title: "Pay rent", Notes: "n", DueDate: &due, Before: task.Exactly(0, 30*time.Minute)}
	return w.Seed("ada", d)
}

func TestPatchMovesAndKeepsTheRest(t *testing.T) {
	w := functiontest.New(t)
	before := seed(w)
	a := functiontest.Serve(w, New).As("ada", "PATCH", "/api/tasks/"+before.ID.String(), `{"due_date":"2099-01-02T09:00:00Z"}`, "Content-Type", "application/merge-patch+json")
	got := functiontest.Decode[api.Task](w, a, 200)
	if got.Title != "Pay rent" || got.Notes != "n" || !got.DueDate.Equal(due.Add(24*time.Hour)) || got.Version != 2 || a.Header.Get("ETag") != `"2"` {
		t.Errorf("got %+v", got)
	}
	for i, r := range got.Reminders {
		if r.ID != before.Reminders[i].ID || r.State != "pending" || !r.FireAt.Equal(before.Reminders[i].FireAt.Add(24*time.Hour)) {
			t.Errorf("reminder %d: %+v", i, r)
		}
	}
}

func TestPutReplacesTheWhole(t *testing.T) {
	w := functiontest.New(t)
	before := seed(w)
	s := functiontest.Serve(w, New)
	got := functiontest.Decode[api.Task](w, s.As("ada", "PUT", "/api/tasks/"+before.ID.String(), `{"title":"Only this"}`), 200)
	if got.Title != "Only this" || got.Notes != "" || got.DueDate != nil || len(got.Reminders) != 1 || got.Reminders[0].State != "cancelled" {
		t.Errorf("got %+v", got)
	}
	w.WantProblem(s.As("ada", "PUT", "/api/tasks/"+before.ID.String(), `{"notes":"no title"}`), 400, "invalid", "title is empty")
}

// A PUT accepts the answer of a GET unchanged.
func TestPutTakesWhatWasAnswered(t *testing.T) {
	w := functiontest.New(t)
	id := seed(w).ID.String()
	s := functiontest.Serve(w, New)
	first := s.As("ada", "PATCH", "/api/tasks/"+id, `{}`)
	second := s.As("ada", "PUT", "/api/tasks/"+id, first.Body)
	a, b := functiontest.Decode[api.Task](w, first, 200), functiontest.Decode[api.Task](w, second, 200)
	if b.Version != a.Version+1 || len(b.Reminders) != 2 || b.Reminders[0].ID != a.Reminders[0].ID || !b.DueDate.Equal(*a.DueDate) {
		t.Errorf("first %+v, then %+v", a, b)
	}
	other := uuid.NewString()
	w.WantProblem(s.As("ada", "PUT", "/api/tasks/"+id, strings.Replace(first.Body, `"id":"`+id, `"id":"`+other, 1)), 400, "invalid", "id")
}

func TestCompleteAndReopen(t *testing.T) {
	w := functiontest.New(t)
	id := seed(w).ID.String()
	s := functiontest.Serve(w, New)
	for _, step := range []struct{ patch, state string }{
		{`{"completed":true}`, "cancelled"}, {`{"completed":false}`, "pending"}, {`{"due_date":null}`, "cancelled"},
	} {
		got := functiontest.Decode[api.Task](w, s.As("ada", "PATCH", "/api/tasks/"+id, step.patch), 200)
		for _, r := range got.Reminders {
			if r.State != step.state {
				t.Errorf("after %s: %+v", step.patch, r)
			}
		}
	}
}

func TestIfMatch(t *testing.T) {
	w := functiontest.New(t)
	id := seed(w).ID.String()
	s := functiontest.Serve(w, New)
	if a := s.As("ada", "PATCH", "/api/tasks/"+id, `{"title":"a"}`, "If-Match", `"1"`); a.Status != 200 {
		t.Errorf("current: %d %s", a.Status, a.Body)
	}
	w.WantProblem(s.As("ada", "PATCH", "/api/tasks/"+id, `{"title":"b"}`, "If-Match", `"1"`), 412, "conflict", "GET it again")
	if got, err := w.Store.GetTask(t.Context(), "ada", uuid.MustParse(id)); err != nil || got.Title != "a" {
		t.Errorf("stored %q, %v", got.Title, err)
	}
}

// A body whose read-only fields differ from the task is refused.
func TestBodyThatContradicts(t *testing.T) {
	w := functiontest.New(t)
	id := seed(w).ID.String()
	s := functiontest.Serve(w, New)
	path := "/api/tasks/" + id
	for _, method := range []string{"PUT", "PATCH"} {
		for member, want := range map[string]struct {
			status       int
			code, detail string
		}{
			`"user_id":"eve"`:                 {403, "forbidden", "user_id is another user"},
			`"user_id":{}`:                    {400, "invalid", "/user_id must be a string"},
			`"id":"` + uuid.NewString() + `"`: {400, "invalid", "id in the body"},
			`"id":"7"`:                        {400, "invalid", "id in the body"},
			`"version":2`:                     {412, "conflict", "GET it again"},
			`"version":0`:                     {412, "conflict", "GET it again"},
			`"version":"1"`:                   {400, "invalid", "/version must be a whole number"},
			`"version":1.5`:                   {400, "invalid", "/version must be a whole number"},
		} {
			w.WantProblem(s.As("ada", method, path, `{"title":"x",`+member+`}`), want.status, want.code, want.detail)
		}
	}
	w.WantProblem(s.For("ada", "PATCH", path, `{"title":"x","user_id":"service"}`), 403, "forbidden", "Duebell-User")
	w.WantProblem(s.For("eve", "PATCH", path, `{"title":"x"}`), 404, "not_found", "no such task")
	for i, body := range []string{
		`{"title":"x","version":1,"id":"` + strings.ToUpper(id) + `","user_id":"ada"}`,
		`{"title":"x","version":2,"id":null,"user_id":null}`, `{"title":"x","version":null}`,
	} {
		if got := functiontest.Decode[api.Task](w, s.For("ada", "PATCH", path, body), 200); got.Version != int64(i+2) {
			t.Errorf("%s leaves version %d", body, got.Version)
		}
	}
}

func TestRefusals(t *testing.T) {
	w := functiontest.New(t)
	id := seed(w).ID.String()
	s := functiontest.Serve(w, New)
	w.WantProblem(s.As("eve", "PATCH", "/api/tasks/"+id, `{"title":"mine"}`), 404, "not_found", "no such task")
	w.WantProblem(s.As("ada", "PATCH", "/api/tasks/"+uuid.NewString(), `{"title":"x"}`), 404, "not_found", "no such task")
	w.WantProblem(s.As("ada", "PATCH", "/api/tasks/7", `{"title":"x"}`), 400, "invalid", "UUID")
	w.WantProblem(s.As("ada", "PATCH", "/api/tasks/"+id, `{"titel":"x"}`), 400, "invalid", "/titel")
	w.WantProblem(s.As("ada", "PATCH", "/api/tasks/"+id, `{"title":null}`), 400, "invalid", "title is empty")
	w.WantProblem(s.As("ada", "POST", "/api/tasks/"+id, `{}`), 405, "invalid", "PATCH")
	w.WantProblem(s.Call("PATCH", "/api/tasks/"+id, `{}`), 401, "unauthenticated", "")
	if got, err := w.Store.GetTask(t.Context(), "ada", uuid.MustParse(id)); err != nil || got.Version != 1 {
		t.Errorf("a refused change left version %d, %v", got.Version, err)
	}
}
