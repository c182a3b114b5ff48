package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// Any POST starts a sweep: a plain one, or a CloudEvent in either form. While Dapr is away the
// answer says so; the other steps are done.
func TestAnyPostSweeps(t *testing.T) {
	for what, header := range map[string][]string{
		"plain":                  nil,
		"CloudEvent, binary":     {"Ce-Id", "1", "Ce-Source", "/ping", "Ce-Type", "dev.knative.sources.ping", "Ce-Specversion", "1.0"},
		"CloudEvent, structured": {"Content-Type", "application/cloudevents+json"},
	} {
		t.Run(what, func(t *testing.T) {
			w := functiontest.New(t)
			due := task.Instant(time.Now().Add(-time.Minute))
			w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
			a := functiontest.Serve(w, New).Call("POST", "/", `{"specversion":"1.0","id":"1","source":"/ping","type":"t"}`, header...)
			if got := functiontest.Decode[upkeep.Summary](w, a, 200); got.Fired["success"] != 1 || got.Complete || got.Sentinel != "unknown" {
				t.Errorf("%s", a.Body)
			}
			if list, err := w.Store.ListNotifications(t.Context(), "ada", store.InboxPage{Limit: 10}); err != nil || len(list) != 1 {
				t.Errorf("%d notifications, %v", len(list), err)
			}
		})
	}
}

// If there is nothing to send, the sender is not woken.
func TestSenderIsLeftAlone(t *testing.T) {
	asked := make(chan struct{}, 10)
	sender := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	t.Cleanup(sender.Close)
	w := functiontest.New(t)
	got := functiontest.Decode[upkeep.Summary](w, functiontest.Serve(w, New, "SEND_URL="+sender.URL).Call("POST", "/", nil), 200)
	if i := slices.IndexFunc(got.Steps, func(r upkeep.StepReport) bool { return r.Name == "wake_sender" }); i < 0 || !got.Steps[i].Complete || len(asked) > 0 {
		t.Errorf("asked %d times: %+v", len(asked), got.Steps)
	}
}

// While the sender starts from zero or hangs, the sweep does its other steps. It reports whether
// the sender was woken, and does not cancel the request when it stops waiting.
func TestSenderIsSlow(t *testing.T) {
	for what, c := range map[string]struct {
		start time.Duration
		heard bool
	}{"starts": {4 * time.Second, true}, "hangs": {time.Hour, false}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			gone := make(chan struct{}, 100)
			sender := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(c.start):
				case <-r.Context().Done():
					gone <- struct{}{}
				}
			}))
			t.Cleanup(sender.Close)
			w := functiontest.New(t)
			due := task.Instant(time.Now().Add(-time.Minute))
			told := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.InApp}})
			w.Exec(`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, next_attempt_at)
				values (gen_random_uuid(), '` + told.Reminders[0].ID.String() + `', 1, '` + told.ID.String() + `', 'ada', 'email', 'ada@example.com', 'planned', now())`)
			got := functiontest.Decode[upkeep.Summary](w, functiontest.Serve(w, New, "SEND_URL="+sender.URL).Call("POST", "/", nil), 200)
			if got.Fired["success"] != 1 {
				t.Errorf("fired %v", got.Fired)
			}
			i := slices.IndexFunc(got.Steps, func(r upkeep.StepReport) bool { return r.Name == "wake_sender" })
			if i < 0 || got.Steps[i].Complete != c.heard {
				t.Errorf("the steps are %+v", got.Steps)
			}
			if len(gone) > 0 {
				t.Error("the hint was taken back")
			}
		})
	}
}

func TestDatabaseAway(t *testing.T) {
	w := functiontest.New(t)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	w.WantProblem(functiontest.Serve(w, New).Call("POST", "/", nil), 503, "unavailable", "database")
}

func TestOnlyPost(t *testing.T) {
	w := functiontest.New(t)
	w.WantProblem(functiontest.Serve(w, New).Call("GET", "/", nil), 405, "invalid", "POST")
}
