package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/function/functiontest"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestCreate(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	due := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)

	a := s.As("ada", "POST", "/api/tasks", map[string]any{
		"title": "Pay rent", "notes": "Bank transfer", "due_date": due, "reminders": []string{"0s", "30m"}, "channels": []string{"in_app"},
	})
	got := functiontest.Decode[map[string]any](w, a, 201)
	if got["id"] == "" || a.Header.Get("Location") != "/api/tasks/"+got["id"].(string) || a.Header.Get("ETag") != `"1"` {
		t.Errorf("headers: %v", a.Header)
	}
	for _, name := range []string{"id", "created_at", "updated_at"} {
		delete(got, name)
	}
	for _, r := range got["reminders"].([]any) {
		delete(r.(map[string]any), "id")
	}
	// Dapr is away in this test: the task is there all the same, and says so.
	want := map[string]any{
		"user_id": "ada", "title": "Pay rent", "notes": "Bank transfer", "due_date": due.Format(time.RFC3339),
		"completed": false, "channels": []any{"in_app"}, "version": 1.0,
		"reminders": []any{
			map[string]any{"before": "30m", "fire_at": due.Add(-30 * time.Minute).Format(time.RFC3339), "state": "pending"},
			map[string]any{"before": "0s", "fire_at": due.Format(time.RFC3339), "state": "pending"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCreateDefaults(t *testing.T) {
	w := functiontest.New(t)
	got := functiontest.Decode[api.Task](w, functiontest.Serve(w, New).As("ada", "POST", "/api/tasks", `{"title":"x","due_date":"2099-01-01T10:00:00+01:00"}`), 201)
	if got.Notes != "" || got.Completed || got.Channels != nil || len(got.Reminders) != 1 || got.Reminders[0].Before != "0s" {
		t.Errorf("got %+v", got)
	}
	if want := time.Date(2099, 1, 1, 9, 0, 0, 0, time.UTC); !got.DueDate.Equal(want) || !got.Reminders[0].FireAt.Equal(want) {
		t.Errorf("due %v, fires at %v", got.DueDate, got.Reminders[0].FireAt)
	}
}

func TestDaprAwayCostsLessThanTwoSeconds(t *testing.T) {
	w := functiontest.New(t)
	// An address that takes connections and never answers.
	s := functiontest.Serve(w, New, "DAPR_GRPC_ENDPOINT="+functiontest.Silent(t))
	offsets := make([]string, 20)
	for i := range offsets {
		offsets[i] = fmt.Sprintf("%dm", i)
	}
	began := time.Now()
	got := functiontest.Decode[api.Task](w, s.As("ada", "POST", "/api/tasks", map[string]any{"title": "x", "due_date": "2099-01-01T00:00:00Z", "reminders": offsets}), 201)
	// The promise itself, not a measure of speed: the time-out is half of it.
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the request waited %v for Dapr", took)
	}
	for _, r := range got.Reminders {
		if r.State != "pending" {
			t.Errorf("%s is %s", r.Before, r.State)
		}
	}
}

func TestBadInput(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	quoted := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	tests := []struct {
		body   string
		status int
		detail string
	}{
		{``, 400, "empty"},
		{`{`, 400, "JSON"},
		{`[]`, 400, "must be an object"},
		{`{}`, 400, "title is empty"},
		{`{"title":null}`, 400, "title is empty"},
		{`{"title":"  "}`, 400, "title is empty"},
		{`{"title":7}`, 400, "/title must be a string"},
		{`{"title":` + quoted(501) + `}`, 400, "501 characters"},
		{`{"title":"x","notes":` + quoted(10001) + `}`, 400, "10001 characters"},
		{`{"title":"x","title":"y"}`, 400, "more than once"},
		{`{"title":"x","colour":"red"}`, 400, "/colour is not known"},
		{`{"title":"a\u0000b"}`, 400, "NUL"},
		{"{\"title\":\"\xff\"}", 400, "UTF-8"},
		{`{"title":"x"} {}`, 400, "JSON"},
		{`{"title":"x","due_date":"tomorrow"}`, 400, "/due_date must be a time with an offset"},
		{`{"title":"x","due_date":"2026-11-23T14:30:00"}`, 400, "/due_date must be a time with an offset"},
		{`{"title":"x","due_date":"10000-01-01T00:00:00Z"}`, 400, "/due_date"},
		{`{"title":"x","due_date":"0001-01-01T00:00:00Z"}`, 400, "due_date must lie"},
		{`{"title":"x","due_date":12}`, 400, "/due_date"},
		{`{"title":"x","reminders":"30m"}`, 400, "/reminders"},
		{`{"title":"x","reminders":["soon"]}`, 400, "/reminders/0 must be an offset"},
		{`{"title":"x","reminders":[{"id":"1"}]}`, 400, `needs "before"`},
		{`{"title":"x","reminders":["-5m"]}`, 400, "negative"},
		{`{"title":"x","reminders":["9000h"]}`, 400, "more than a year"},
		{`{"title":"x","reminders":[30]}`, 400, "/reminders/0"},
		{`{"title":"x","completed":"no"}`, 400, "/completed must be true or false"},
		{`{"title":"x","channels":[]}`, 400, "channels is empty"},
		{`{"title":"x","channels":["pigeon"]}`, 400, "pigeon"},
		{`{"title":"x","id":"0198b5f0-0000-7000-8000-000000000000"}`, 400, "id is set by Duebell"},
		{`{"title":` + quoted(1<<20) + `}`, 413, "larger"},
	}
	for _, tt := range tests {
		a := s.As("ada", "POST", "/api/tasks", tt.body)
		w.WantProblem(a, tt.status, "invalid", tt.detail)
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks", `title=x`, "Content-Type", "application/x-www-form-urlencoded"), 415, "invalid", "application/json")
	w.WantProblem(s.As("ada", "GET", "/api/tasks", nil), 405, "invalid", "POST")
	w.WantProblem(s.As("ada", "POST", "/api/taskz", `{}`), 404, "not_found", "")

	if tasks, _, err := w.Store.ListTasks(t.Context(), "ada", store.Filter{Limit: 10}); err != nil || len(tasks) != 0 {
		t.Errorf("stored %v, %v", tasks, err)
	}
}

func TestSignInIsNeeded(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for _, header := range []string{"", "Bearer", "Bearer garbage", "Basic YWRhOmFkYQ=="} {
		a := s.Call("POST", "/api/tasks", `{"title":"x"}`, "Authorization", header)
		w.WantProblem(a, 401, "unauthenticated", "")
		if a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: no WWW-Authenticate", header)
		}
	}
}

func TestDatabaseAwayIs503(t *testing.T) {
	w := functiontest.New(t)
	w.DatabaseURL = "postgres://duebell:hunter2@127.0.0.1:1/duebell"
	a := functiontest.Serve(w, New).As("ada", "POST", "/api/tasks", `{"title":"x"}`)
	w.WantProblem(a, 503, "unavailable", "try again")
	if strings.Contains(a.Body, "hunter2") || strings.Contains(a.Body, "127.0.0.1") {
		t.Errorf("the answer tells of our insides: %s", a.Body)
	}
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
