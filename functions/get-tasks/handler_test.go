package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/function/functiontest"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/store/storetest"
	"github.com/duebell/duebell/shared/task"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type list struct {
	Tasks      []api.Task
	NextCursor *string `json:"next_cursor"`
}

func titles(tasks []api.Task) (out []string) {
	for _, t := range tasks {
		out = append(out, t.Title)
	}
	return out
}

func TestPages(t *testing.T) {
	w := functiontest.New(t)
	for i := range 7 {
		w.Seed("ada", task.Draft{Title: fmt.Sprint(i), Before: task.DefaultBefore()})
	}
	w.Seed("eve", task.Draft{Title: "eve's"})
	s := functiontest.Serve(w, New)

	var got []string
	pages, path := 0, "/api/tasks?limit=3"
	for {
		page := functiontest.Decode[list](w, s.As("ada", "GET", path, nil), 200)
		got = append(got, titles(page.Tasks)...)
		pages++
		if page.NextCursor == nil {
			break
		}
		// What is created in between does not shift the pages.
		w.Seed("ada", task.Draft{Title: "new"})
		path = "/api/tasks?limit=3&cursor=" + url.QueryEscape(*page.NextCursor)
	}
	if want := []string{"6", "5", "4", "3", "2", "1", "0"}; pages != 3 || !slices.Equal(got, want) {
		t.Errorf("%d pages: %v, want %v", pages, got, want)
	}
	empty := s.As("nobody", "GET", "/api/tasks", nil)
	if empty.Body != `{"tasks":[],"next_cursor":null}`+"\n" {
		t.Errorf("no tasks: %s", empty.Body)
	}
}

func TestFilters(t *testing.T) {
	w := functiontest.New(t)
	at := func(day int) *time.Time { d := time.Date(2099, 1, day, 9, 0, 0, 0, time.UTC); return &d }
	w.Seed("ada", task.Draft{Title: "none"})
	w.Seed("ada", task.Draft{Title: "first", DueDate: at(1)})
	w.Seed("ada", task.Draft{Title: "second", DueDate: at(2), Completed: true})
	w.Seed("ada", task.Draft{Title: "third", DueDate: at(3)})
	s := functiontest.Serve(w, New)
	for query, want := range map[string][]string{
		"":                                {"third", "second", "first", "none"},
		"completed=true":                  {"second"},
		"completed=false":                 {"third", "first", "none"},
		"due_before=2099-01-02T09:00:00Z": {"first"},
		"due_after=2099-01-02T09:00:00Z":  {"third", "second"},
		"due_after=2099-01-02T09:00:00Z&due_before=2099-01-03T00:00:00Z&completed=true": {"second"},
		"due_after=2099-01-02T10%3A00%3A00%2B01%3A00&limit=1":                           {"third"},
	} {
		if got := titles(functiontest.Decode[list](w, s.As("ada", "GET", "/api/tasks?"+query, nil), 200).Tasks); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	for query, detail := range map[string]string{
		"completed=yes": "true or false", "due_before=tomorrow": "due_before must be a time", "limit=0": "from 1 to 500", "limit=501": "from 1 to 500",
		"cursor=nonsense": "cursor", "colour=red": "no parameter", "limit=1&limit=2": "more than once", "limit=%zz": "malformed",
	} {
		w.WantProblem(s.As("ada", "GET", "/api/tasks?"+query, nil), 400, "invalid", detail)
	}
}

func TestDescription(t *testing.T) {
	w := functiontest.New(t)
	got := functiontest.Decode[map[string]any](w, functiontest.Serve(w, New).Call("GET", "/api/openapi.json", nil), 200)
	if got["openapi"] != "3.1.0" {
		t.Errorf("openapi: %v", got["openapi"])
	}
}

func TestGet(t *testing.T) {
	w := functiontest.New(t)
	due := time.Date(2099, 1, 1, 9, 0, 0, 0, time.UTC)
	seeded := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: []time.Duration{0, time.Hour}})
	s := functiontest.Serve(w, New)
	a := s.As("ada", "GET", "/api/tasks/"+seeded.ID.String(), nil)
	got := functiontest.Decode[api.Task](w, a, 200)
	if got.ID != seeded.ID || got.Title != "Pay rent" || len(got.Reminders) != 2 || got.Reminders[0].Before != "1h" || a.Header.Get("ETag") != `"1"` {
		t.Errorf("got %+v", got)
	}
	for _, path := range []string{"", "/deliveries"} {
		w.WantProblem(s.As("eve", "GET", "/api/tasks/"+seeded.ID.String()+path, nil), 404, "not_found", "no such task")
		w.WantProblem(s.As("ada", "GET", "/api/tasks/"+uuid.NewString()+path, nil), 404, "not_found", "no such task")
		w.WantProblem(s.As("ada", "GET", "/api/tasks/nonsense"+path, nil), 400, "invalid", "UUID")
		w.WantProblem(s.Call("GET", "/api/tasks/"+seeded.ID.String()+path, nil), 401, "unauthenticated", "")
	}
}

func TestDeliveries(t *testing.T) {
	w := functiontest.New(t)
	due := task.Instant(time.Now().Add(-time.Minute))
	seeded := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.Email}})
	s := functiontest.Serve(w, New)
	path := "/api/tasks/" + seeded.ID.String() + "/deliveries"
	if a := s.As("ada", "GET", path, nil); a.Body != `{"deliveries":[]}`+"\n" {
		t.Errorf("before firing: %s", a.Body)
	}
	// No e-mail channel is set up, so the log shows why, and the fallback.
	firer := fire.New(w.Store, nil, func() {}, time.Now)
	if _, err := firer.Fire(context.Background(), task.Revision{TaskID: seeded.ID, UserID: "ada", ReminderID: seeded.Reminders[0].ID, Number: 1}); err != nil {
		t.Fatal(err)
	}
	got := functiontest.Decode[deliveryLog](w, s.As("ada", "GET", path, nil), 200).Deliveries
	if len(got) != 2 || got[0].Channel != task.Email || got[0].State != "failed" || got[0].LastError == "" || got[1].Channel != task.InApp || got[1].State != "sent" || got[1].FinishedAt == nil {
		t.Errorf("got %+v", got)
	}
}
