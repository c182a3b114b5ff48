package main

import (
	"strings"
	"testing"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// While Dapr is away, the steps that need it fail; the others succeed.
func TestOneFailingStepDoesNotStopTheOthers(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	w.Exec(`insert into users (id) values ('ada');
		insert into idempotency_keys (user_id, key, request, answer, created_at)
		select 'ada', 'k' || n, sha256('x'), '', now() - interval '25 hours' * n from generate_series(0, 3) n`)
	dry := s.Call("POST", "/?dry_run=true", nil)
	if dry.Status != 200 || !strings.Contains(dry.Body, "idempotency") {
		t.Fatalf("%d %s", dry.Status, dry.Body)
	}
	wet := s.Call("POST", "/", `{"specversion":"1.0"}`, "Content-Type", "application/cloudevents+json")
	if wet.Status != 200 {
		t.Errorf("%d %s", wet.Status, wet.Body)
	}
	left := w.Count(`select count(*) from idempotency_keys`)
	if left != 1 {
		t.Errorf("%d keys are left, want the one that still counts", left)
	}
	w.WantProblem(s.Call("GET", "/", nil), 405, "invalid", "POST")
	w.WantProblem(s.Call("POST", "/?dry_run=maybe", nil), 400, "invalid", "dry_run")
}

// Without the database every step fails, and the answer says so.
func TestDatabaseAwayIs503(t *testing.T) {
	w := functiontest.New(t)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	for _, path := range []string{"/", "/?dry_run=true"} {
		w.WantProblem(functiontest.Serve(w, New, "CLEANUP_BUDGET=2s").Call("POST", path, nil), 503, "unavailable", "every step of the cleanup has failed")
	}
}
