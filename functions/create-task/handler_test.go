package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/store"
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
	// Dapr is away in this test. The task is stored all the same, and the answer says so.
	want := map[string]any{
		"user_id": "ada", "title": "Pay rent", "notes": "Bank transfer", "due_date": due.Format(time.RFC3339), "due_local": nil, "due_on": nil, "time_zone": nil,
		"recurrence": nil, "occurrence": nil, "next_occurrence": nil, "repeat": nil, "snoozed_until": nil, "urgent": false,
		"completed": false, "channels": []any{"in_app"}, "version": 1.0,
		"reminders": []any{
			map[string]any{"before": "30m", "kind": "due", "fire_at": due.Add(-30 * time.Minute).Format(time.RFC3339), "state": "pending"},
			map[string]any{"before": "0s", "kind": "due", "fire_at": due.Format(time.RFC3339), "state": "pending"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Reminders beyond the horizon, which is one day by default, are not scheduled with Dapr. So the
// task is created as usual while Dapr is away.
func TestFarRemindersNeedNoDapr(t *testing.T) {
	w := functiontest.New(t)
	for horizon, want := range map[string]string{"": "scheduled", "48h": "pending", "0": "pending"} {
		s := functiontest.Serve(w, New, "REMINDER_HORIZON="+horizon)
		got := functiontest.Decode[api.Task](w, s.As("ada", "POST", "/api/tasks", map[string]any{"title": "x", "due_date": time.Now().Add(36 * time.Hour)}), 201)
		if state := got.Reminders[0].State; state != want {
			t.Errorf("REMINDER_HORIZON=%s: %s, want %s", horizon, state, want)
		}
		near := functiontest.Decode[api.Task](w, s.As("ada", "POST", "/api/tasks", map[string]any{"title": "x", "due_date": time.Now().Add(12 * time.Hour)}), 201)
		if state := near.Reminders[0].State; state != "pending" {
			t.Errorf("REMINDER_HORIZON=%s, within it: %s", horizon, state)
		}
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

func TestCallsToDaprShareATimeOut(t *testing.T) {
	w := functiontest.New(t)
	// The address accepts connections and never answers.
	s := functiontest.Serve(w, New, "DAPR_GRPC_ENDPOINT="+functiontest.Silent(t), "SCHEDULE_TIMEOUT=", "SCHEDULE_RETRY_FOR=")
	offsets := make([]string, 20)
	for i := range offsets {
		offsets[i] = fmt.Sprintf("%dm", i)
	}
	began := time.Now()
	got := functiontest.Decode[api.Task](w, s.As("ada", "POST", "/api/tasks", map[string]any{"title": "x", "due_date": "2099-01-01T00:00:00Z", "reminders": offsets}), 201)
	// All 20 share the time-out of 1 s; one after another they would take 20.
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the request waited %v for Dapr", took)
	}
	for _, r := range got.Reminders {
		if r.State != "pending" {
			t.Errorf("%s is %s", r.Before, r.State)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := `{"title":"x","due_date":"2099-01-01T00:00:00Z"}`
	first := s.As("ada", "POST", "/api/tasks", body, "Idempotency-Key", "k1")
	again := s.As("ada", "POST", "/api/tasks", `{ "due_date": "2099-01-01T00:00:00Z", "title": "x" }`, "Idempotency-Key", "k1")
	if first.Status != 201 || again.Status != 201 || first.Body != again.Body ||
		first.Header.Get("Location") != again.Header.Get("Location") || first.Header.Get("ETag") != again.Header.Get("ETag") {
		t.Errorf("first %d %s, then %d %s", first.Status, first.Body, again.Status, again.Body)
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks", `{"title":"y"}`, "Idempotency-Key", "k1"), 409, "conflict", "another request")
	if a := s.As("eve", "POST", "/api/tasks", body, "Idempotency-Key", "k1"); a.Status != 201 || a.Body == first.Body {
		t.Errorf("another user's key: %d %s", a.Status, a.Body)
	}
	for _, key := range []string{"", strings.Repeat("k", 256), "two words", "é"} {
		w.WantProblem(s.As("ada", "POST", "/api/tasks", body, "Idempotency-Key", key), 400, "invalid", "Idempotency-Key")
	}
	// A refused request does not use up its key.
	w.WantProblem(s.As("ada", "POST", "/api/tasks", `{}`, "Idempotency-Key", "k2"), 400, "invalid", "title")
	if a := s.As("ada", "POST", "/api/tasks", body, "Idempotency-Key", "k2"); a.Status != 201 {
		t.Errorf("after a refusal: %d %s", a.Status, a.Body)
	}
	// After a day the key can be used again.
	w.Exec(`update idempotency_keys set created_at = now() - interval '24 hours 1 second'`)
	if a := s.As("ada", "POST", "/api/tasks", body, "Idempotency-Key", "k1"); a.Status != 201 || a.Body == first.Body {
		t.Errorf("a day later: %d %s", a.Status, a.Body)
	}
}

// A request whose key is used by a running request is refused at once, whatever the result of that
// one is.
func TestIdempotencyKeyInUse(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	const copies = 20
	answers := make([]functiontest.Answer, copies)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i] = s.As("ada", "POST", "/api/tasks", `{"title":"x"}`, "Idempotency-Key", "k") })
	}
	group.Wait()
	ids := map[string]bool{}
	for _, a := range answers {
		switch a.Status {
		case 201:
			ids[a.Header.Get("Location")] = true
		case 409:
			w.WantProblem(a, 409, "conflict", "being carried out")
			if a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		default:
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if tasks, _, err := w.Store.ListTasks(t.Context(), "ada", store.Filter{Limit: 50}); err != nil || len(tasks) != 1 || len(ids) != 1 {
		t.Errorf("%d tasks, %d locations, %v", len(tasks), len(ids), err)
	}

	release := w.Hold(`select pg_advisory_xact_lock(hashtextextended('ada' || chr(1) || 'held', 0))`)
	a := s.As("ada", "POST", "/api/tasks", `{"title":"x"}`, "Idempotency-Key", "held")
	w.WantProblem(a, 409, "conflict", "being carried out")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	release()
	if a := s.As("ada", "POST", "/api/tasks", `{"title":"x"}`, "Idempotency-Key", "held"); a.Status != 201 {
		t.Errorf("once it is free: %d %s", a.Status, a.Body)
	}
}

func TestTooManyRequests(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "RATE_LIMIT=0.1", "RATE_BURST=3")
	for range 3 {
		if a := s.As("ada", "POST", "/api/tasks", `{"title":"x"}`); a.Status != 201 {
			t.Fatalf("within the limit: %d %s", a.Status, a.Body)
		}
	}
	a := s.As("ada", "POST", "/api/tasks", `{"title":"x"}`)
	w.WantProblem(a, 429, "rate_limited", "Retry-After")
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 10 {
		t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
	}
	if a := s.As("eve", "POST", "/api/tasks", `{"title":"x"}`); a.Status != 201 {
		t.Errorf("another user: %d %s", a.Status, a.Body)
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
		{`{"title":"x","reminders":["-9000h"]}`, 400, "within 366 days"},
		{`{"title":"x","reminders":["9000h"]}`, 400, "within 366 days"},
		{`{"title":"x","reminders":[30]}`, 400, "/reminders/0"},
		{`{"title":"x","completed":"no"}`, 400, "/completed must be true or false"},
		{`{"title":"x","channels":[]}`, 400, "channels is empty"},
		{`{"title":"x","channels":["pigeon"]}`, 400, "pigeon"},
		{`{"title":"x","id":"0198b5f0-0000-7000-8000-000000000000"}`, 400, "id is set by Duebell"},
		{`{"title":"x","id":7}`, 400, "id is set by Duebell"},
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

// A body that names another user is refused, whoever sends it.
func TestUserInTheBody(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for _, another := range []string{`"eve"`, `""`, `"Ada"`, `"ada "`} {
		w.WantProblem(s.As("ada", "POST", "/api/tasks", `{"title":"x","user_id":`+another+`}`), 403, "forbidden", "Duebell-User")
	}
	w.WantProblem(s.Call("POST", "/api/tasks", `{"title":"x","user_id":"ada"}`, "Authorization", "Bearer "+w.ServiceToken()), 403, "forbidden", "Duebell-User")
	w.WantProblem(s.For("ada", "POST", "/api/tasks", `{"title":"x","user_id":"service"}`), 403, "forbidden", "Duebell-User")
	w.WantProblem(s.As("ada", "POST", "/api/tasks", `{"title":"x","user_id":7}`), 400, "invalid", "/user_id must be a string")
	for _, same := range []string{`"ada"`, `"\u0061da"`, `null`} {
		if a := s.As("ada", "POST", "/api/tasks", `{"title":"own","user_id":`+same+`,"version":7,"created_at":"whenever"}`); a.Status != 201 {
			t.Errorf("%s: %d %s", same, a.Status, a.Body)
		}
	}
	if n := w.Count(`select count(*) from tasks where title <> 'own'`); n != 0 {
		t.Errorf("%d tasks that were refused are stored", n)
	}
}

// A program creates tasks for users, even before they have ever signed in. Its own e-mail address
// is not stored for them.
func TestActingForUsers(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	got := functiontest.Decode[api.Task](w, s.For("new|user", "POST", "/api/tasks", `{"title":"x","user_id":"new|user"}`, "Idempotency-Key", "k"), 201)
	if got.UserID != "new|user" {
		t.Errorf("it is %s's", got.UserID)
	}
	// Each user has their own idempotency keys; the program has none.
	if a := s.For("ada", "POST", "/api/tasks", `{"title":"y"}`, "Idempotency-Key", "k"); a.Status != 201 {
		t.Errorf("another user's key: %d %s", a.Status, a.Body)
	}
	service := w.TokenWith("service", map[string]any{"scope": "act", "email": "service@example.com", "email_verified": true})
	if a := s.Call("POST", "/api/tasks", `{"title":"z"}`, "Authorization", "Bearer "+service, "Duebell-User", "bob"); a.Status != 201 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if n := w.Count(`select count(*) from users where email is not null or id = 'service'`); n != 0 {
		t.Errorf("%d users have got an address", n)
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks", `{"title":"x"}`, "Duebell-User", "eve"), 403, "forbidden", "scope act")
	w.WantProblem(s.Call("POST", "/api/tasks", `{"title":"x"}`, "Authorization", "Bearer "+w.AdminToken(), "Duebell-User", "eve"), 403, "forbidden", "only read")
	if n := w.Count(`select count(*) from tasks where user_id = 'eve'`); n != 0 {
		t.Errorf("eve has %d tasks", n)
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
