package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/task"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// bring delivers the event of a task's reminder.
func bring(s *functiontest.Server, id, task uuid.UUID) functiontest.Answer {
	return s.Call("POST", "/events/task-reminders", fmt.Sprintf(`{"id":%q,"data":{"task_id":%q,"user_id":"ada","task_title":"Pay rent","due_date":null}}`,
		id, task), "Content-Type", "application/cloudevents+json", "dapr-api-token", functiontest.AppToken)
}

// Each event is counted once, with the deliveries of its reminder.
func TestCounts(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	due := task.Instant(time.Date(2025, 11, 23, 14, 30, 0, 0, time.UTC))
	made := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
	event := uuid.New()
	for channel, id := range map[string]uuid.UUID{"event": event, "in_app": uuid.New(), "email": uuid.New()} {
		w.Exec(fmt.Sprintf(`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, provider, created_at, due_at, finished_at)
			values ('%s', '%s', 1, '%s', 'ada', '%s', 'sent', 'some', '2025-11-23T14:30:02Z', '2025-11-23T14:30:00Z', now())`, id, made.Reminders[0].ID, made.ID, channel))
	}
	forged := uuid.New() // no delivery is known of it
	for range 3 {
		for _, id := range []uuid.UUID{event, forged} {
			want := map[uuid.UUID]string{event: "SUCCESS", forged: "DROP"}[id]
			if a := bring(s, id, made.ID); a.Status != 200 || !strings.Contains(a.Body, want) {
				t.Errorf("%d %s, want %s", a.Status, a.Body, want)
			}
		}
	}
	admin := func(query string) functiontest.Answer {
		return s.Call("GET", "/api/analytics"+query, nil, "Authorization", "Bearer "+w.AdminToken())
	}
	past := day{"2025-11-23", 1, []count{{task.Email, "under_10s", 1}, {task.InApp, "under_10s", 1}}}
	for query, want := range map[string][]day{
		"?from=2025-11-23&to=2025-11-23": {past},
		"?from=2025-11-01&to=2025-11-30": {past},
		"?to=2025-12-22":                 {past},
		"?to=2025-12-23":                 {},
		"?from=2025-11-24&to=2025-11-30": {},
	} {
		if diff := cmp.Diff(want, functiontest.Decode[response](w, admin(query), 200).Days); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	today := functiontest.Decode[response](w, admin(""), 200).Days
	if len(today) != 0 {
		t.Errorf("today: %+v", today)
	}
	for query, detail := range map[string]string{
		"?from=yesterday": "such as 2026-11-23", "?to=2025-02-30": "such as", "?from=2025-11-24&to=2025-11-23": "must not be after",
		"?from=2024-01-01&to=2025-01-01": "366 days", "?day=2025-11-23": "there is no parameter",
	} {
		w.WantProblem(admin(query), 400, "invalid", detail)
	}
	if a := admin("?from=2024-01-01&to=2024-12-31"); a.Status != 200 {
		t.Errorf("a whole leap year: %d %s", a.Status, a.Body)
	}
}

func TestOnlyOperatorsSeeCounts(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	w.WantProblem(s.As("ada", "GET", "/api/analytics", nil), 403, "forbidden", "admin")
	w.WantProblem(s.Call("GET", "/api/analytics", nil), 401, "unauthenticated", "")
	w.WantProblem(s.Call("POST", "/events/task-reminders", "{}", "Authorization", "Bearer "+w.AdminToken()), 401, "unauthenticated", "dapr-api-token")
	w.WantProblem(s.Call("POST", "/api/analytics", "{}"), 405, "invalid", "GET")
}

func TestDatabaseAway(t *testing.T) {
	w := functiontest.New(t)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	s := functiontest.Serve(w, New)
	w.WantProblem(bring(s, uuid.New(), uuid.New()), 503, "unavailable", "database")
	w.WantProblem(s.Call("GET", "/api/analytics", nil, "Authorization", "Bearer "+w.AdminToken()), 503, "unavailable", "database")
}
