package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/store"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestDeadLetters(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for i := range 5 {
		if err := w.Store.KeepMalformed(t.Context(), fmt.Sprint(i), []byte("{"), "no JSON"); err != nil {
			t.Fatal(err)
		}
	}
	admin := func(method, path string) functiontest.Answer {
		return s.Call(method, path, nil, "Authorization", "Bearer "+w.AdminToken())
	}

	var names []string
	path := "/api/dlq?state=dead&limit=2"
	for {
		p := functiontest.Decode[page](w, admin("GET", path), 200)
		for _, l := range p.DeadLetters {
			names = append(names, l.JobName)
		}
		if p.NextCursor == nil {
			break
		}
		path = "/api/dlq?state=dead&limit=2&cursor=" + url.QueryEscape(*p.NextCursor)
	}
	if fmt.Sprint(names) != "[4 3 2 1 0]" {
		t.Errorf("listed %v", names)
	}

	id := functiontest.Decode[page](w, admin("GET", "/api/dlq"), 200).DeadLetters[0].ID.String()
	w.WantProblem(admin("POST", "/api/dlq/"+id+"/replay"), 409, "conflict", "nothing to replay")
	functiontest.Decode[response](w, admin("DELETE", "/api/dlq/"+id), 200)
	if got := functiontest.Decode[page](w, admin("GET", "/api/dlq?state=discarded"), 200).DeadLetters; len(got) != 1 || got[0].State != store.Discarded {
		t.Errorf("discarded: %+v", got)
	}

	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/api/dlq?state=odd", 400, "invalid"},
		{"GET", "/api/dlq?cursor=x", 400, "invalid"},
		{"POST", "/api/dlq/x/replay", 400, "invalid"},
		{"POST", "/api/dlq/" + id + "/replay?force=maybe", 400, "invalid"},
		{"POST", "/api/dlq/" + uuid.NewString() + "/replay", 404, "not_found"},
		{"DELETE", "/api/dlq/" + uuid.NewString(), 404, "not_found"},
		{"GET", "/api/dlq/" + uuid.NewString(), 404, "not_found"},
		{"GET", "/api/dlq/x", 400, "invalid"},
	} {
		w.WantProblem(admin(c.method, c.path), c.status, c.code, "")
	}
	for _, c := range []struct{ method, path string }{{"GET", "/api/dlq"}, {"GET", "/api/dlq/" + id}, {"POST", "/api/dlq/" + id + "/replay"}, {"DELETE", "/api/dlq/" + id}} {
		w.WantProblem(s.As("ada", c.method, c.path, nil), 403, "forbidden", "admin")
		w.WantProblem(s.Call(c.method, c.path, nil), 401, "unauthenticated", "")
	}
}

// A program that acts for an operator does not become an operator.
func TestActingForAnOperator(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for _, path := range []string{"GET /api/dlq", "POST /api/dlq/0198b5f0-0000-7000-8000-000000000000/replay", "DELETE /api/dlq/0198b5f0-0000-7000-8000-000000000000"} {
		method, path, _ := strings.Cut(path, " ")
		w.WantProblem(s.For("operator", method, path, nil), 403, "forbidden", "for operators")
	}
	if a := s.Call("GET", "/api/dlq", nil, "Authorization", "Bearer "+w.AdminToken(), "Duebell-User", "ada"); a.Status != 200 {
		t.Errorf("an operator who names a user: %d %s", a.Status, a.Body)
	}
	both := "Bearer " + w.TokenWith("root", map[string]any{"scope": "admin act"})
	w.WantProblem(s.Call("DELETE", "/api/dlq/0198b5f0-0000-7000-8000-000000000000", nil, "Authorization", both, "Duebell-User", "ada"), 404, "not_found", "")
}
