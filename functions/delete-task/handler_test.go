package main

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestDelete(t *testing.T) {
	w := functiontest.New(t)
	due := time.Date(2099, 1, 1, 9, 0, 0, 0, time.UTC)
	id := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()}).ID
	s := functiontest.Serve(w, New)

	w.WantProblem(s.As("eve", "DELETE", "/api/tasks/"+id.String(), nil), 404, "not_found", "no such task")
	w.WantProblem(s.Call("DELETE", "/api/tasks/"+id.String(), nil), 401, "unauthenticated", "")
	w.WantProblem(s.As("ada", "DELETE", "/api/tasks/"+id.String(), nil, "If-Match", `"9"`), 412, "conflict", "")
	w.WantProblem(s.As("ada", "DELETE", "/api/tasks/seven", nil), 400, "invalid", "UUID")
	if _, err := w.Store.GetTask(t.Context(), "ada", id); err != nil {
		t.Fatalf("a refused deletion deleted: %v", err)
	}

	got := functiontest.Decode[map[string]string](w, s.As("ada", "DELETE", "/api/tasks/"+id.String(), nil), 200)
	if len(got) != 1 || got["message"] != "Task deleted" {
		t.Errorf("got %v", got)
	}
	if _, err := w.Store.GetTask(t.Context(), "ada", id); fault.CodeOf(err) != fault.CodeNotFound {
		t.Errorf("after the deletion: %v", err)
	}
	w.WantProblem(s.As("ada", "DELETE", "/api/tasks/"+id.String(), nil), 404, "not_found", "no such task")
	w.WantProblem(s.As("ada", "DELETE", "/api/tasks/"+uuid.NewString(), nil), 404, "not_found", "no such task")
}
