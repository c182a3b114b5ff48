package main

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/store"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const path = "/events/task-reminders"

// published stores the deliveries of n published events, and returns the events' ids.
func published(w *functiontest.World, n int) (ids []string) {
	w.Helper()
	for range n {
		e := store.Event{ID: uuid.New(), TaskID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000002"), UserID: "ada"}
		storetest.Publish(w, w.DatabaseURL, e)
		ids = append(ids, e.ID.String())
	}
	return ids
}

// event is a CloudEvent as daprd publishes it. wrapped is the form in which another daprd delivers
// it.
func event(id, title string) string {
	return fmt.Sprintf(`{"data":{"task_id":"0197a3c2-7f00-7000-8000-000000000002","user_id":"ada","task_title":%q,"due_date":"2026-11-23T14:30:00Z"},
		"datacontenttype":"application/json","id":%q,"pubsubname":"kafka-pubsub","source":"duebell","specversion":"1.0","time":"2026-11-23T14:30:00Z",
		"topic":"task-reminders","traceid":"","type":"com.dapr.event.sent"}`, title, id)
}

func wrapped(message string) string {
	return fmt.Sprintf(`{"data_base64":%q,"datacontenttype":"application/octet-stream","id":%q,"pubsubname":"kafka-pubsub","source":"Dapr",
		"specversion":"1.0","topic":"task-reminders","type":"com.dapr.event.sent"}`, base64.StdEncoding.EncodeToString([]byte(message)), uuid.NewString())
}

func bring(s *functiontest.Server, body string) functiontest.Answer {
	return s.Call("POST", path, body, "Content-Type", "application/cloudevents+json", "dapr-api-token", functiontest.AppToken)
}

// An event is recorded once, even if it is delivered many times and concurrently.
func TestEachEventIsRecordedOnce(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	before := metricstest.Read(t)
	ids := published(w, 2)
	first, second := ids[0], ids[1]
	var group sync.WaitGroup
	for range 30 {
		for _, body := range []string{wrapped(event(first, "Pay rent")), event(second, "Stretch")} {
			group.Go(func() {
				if a := bring(s, body); a.Status != 200 || strings.TrimSpace(a.Body) != `{"status":"SUCCESS"}` {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			})
		}
	}
	group.Wait()
	for id, title := range map[string]string{first: "Pay rent", second: "Stretch"} {
		if n := w.Count(`select count(*) from audit_events where event_id = '` + id + `' and task_id = '0197a3c2-7f00-7000-8000-000000000002'
			and user_id = 'ada' and task_title = '` + title + `' and due_date = '2026-11-23T14:30:00Z'`); n != 1 {
			t.Errorf("%s: %d rows", title, n)
		}
	}
	if n := w.Count(`select count(*) from audit_events`); n != 2 {
		t.Errorf("%d rows", n)
	}
	grown := metricstest.Since(t, before, "duebell_events_received_total")
	if grown[`duebell_events_received_total{outcome="taken"}`] != 2 || grown[`duebell_events_received_total{outcome="repeated"}`] != 58 {
		t.Errorf("counted %v", grown)
	}
}

// bulk is the form in which daprd delivers several events at a time.
func bulk(messages ...string) string {
	entries := make([]string, len(messages))
	for i, m := range messages {
		entries[i] = fmt.Sprintf(`{"entryId":"%d","event":%q,"metadata":{},"contentType":"application/octet-stream"}`, i, base64.StdEncoding.EncodeToString([]byte(m)))
	}
	return `{"entries":[` + strings.Join(entries, ",") + `],"id":"` + uuid.NewString() + `","metadata":{},"pubsubname":"kafka-pubsub","topic":"task-reminders","type":"com.dapr.event.sent.bulk"}`
}

// In a bulk, a malformed event is dropped alone, and the others are recorded once. While the
// database is away, all events are redelivered.
func TestBulk(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	before := metricstest.Read(t)
	ids := published(w, 2)
	first, second := event(ids[0], "Pay rent"), event(ids[1], "Stretch")
	// A publisher with access to the topic may forge an event, or name another user.
	forged := strings.Replace(event(ids[1], "Forged"), `"user_id":"ada"`, `"user_id":"eve"`, 1)
	body := bulk(first, "no JSON", forged, second, first, "", event("17", "x"), event(uuid.NewString(), "Forged"))
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			const want = `{"statuses":[{"entryId":"0","status":"SUCCESS"},{"entryId":"1","status":"DROP"},{"entryId":"2","status":"DROP"},{"entryId":"3","status":"SUCCESS"},` +
				`{"entryId":"4","status":"SUCCESS"},{"entryId":"5","status":"DROP"},{"entryId":"6","status":"DROP"},{"entryId":"7","status":"DROP"}]}`
			if a := bring(s, body); a.Status != 200 || strings.TrimSpace(a.Body) != want {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	group.Wait()
	if n := w.Count(`select count(*) from audit_events where task_title <> 'Forged'`); n != 2 {
		t.Errorf("%d rows", n)
	}
	grown := metricstest.Since(t, before, "duebell_events_received_total")
	for outcome, want := range map[string]float64{"taken": 2, "repeated": 58, "malformed": 60, "refused": 40} {
		if got := grown[`duebell_events_received_total{outcome="`+outcome+`"}`]; got != want {
			t.Errorf("%v %s, want %v", got, outcome, want)
		}
	}
	if a := bring(s, bulk("no JSON")); a.Status != 200 || !strings.Contains(a.Body, "DROP") {
		t.Errorf("nothing but garbage: %d %s", a.Status, a.Body)
	}
	w.WantProblem(bring(s, body[:len(body)-3]), 400, "invalid", "bulk")
	w.WantProblem(s.Call("POST", path, body, "dapr-api-token", "wrong-token-of-some-length"), 401, "unauthenticated", "dapr-api-token")
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	w.WantProblem(bring(functiontest.Serve(w, New), body), 503, "unavailable", "database")
	if got := metricstest.Since(t, before, "duebell_events_received_total")[`duebell_events_received_total{outcome="failed"}`]; got != 5 {
		t.Errorf("%v failed", got)
	}
}

// A malformed event is dropped: a redelivery would never succeed.
func TestMalformedEventsAreDropped(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	good := event(published(w, 1)[0], "x")
	swap := func(old, with string) string {
		changed := strings.Replace(good, old, with, 1)
		if changed == good {
			t.Fatal(old)
		}
		return changed
	}
	bodies := map[string]string{
		"nothing": "", "no JSON": "{", "no object": "[]", "another event": `{"id":"` + uuid.NewString() + `","data":{"hello":"world"}}`,
		"no data": `{"id":"` + uuid.NewString() + `"}`, "data that is text": `{"id":"` + uuid.NewString() + `","data":"x"}`,
		"an id that is none": event("17", "x"), "no id": event(uuid.Nil.String(), "x"),
		"no title": event(uuid.NewString(), ""), "a title that is too long": event(uuid.NewString(), strings.Repeat("x", 501)),
		"NUL in the title": swap(`"task_title":"x"`, `"task_title":"\u0000"`), "no user": swap(`"user_id":"ada"`, `"user_id":""`),
		"a user that is too long": swap(`"user_id":"ada"`, `"user_id":"`+strings.Repeat("x", 256)+`"`),
		"no task":                 swap(`"task_id":"0197a3c2-7f00-7000-8000-000000000002",`, ``),
		"no date":                 swap(`2026-11-23T14:30:00Z"}`, `soon"}`), "a date far off": swap(`2026-11-23T14:30:00Z"}`, `9999-12-31T23:59:59-10:00"}`),
		"too much": swap(`"task_title":"x"`, `"task_title":"`+strings.Repeat("x", 1<<20)+`"`),
	}
	before := metricstest.Read(t)
	for what, body := range bodies {
		for _, sent := range []string{body, wrapped(body)} {
			if a := bring(s, sent); a.Status != 200 || strings.TrimSpace(a.Body) != `{"status":"DROP"}` {
				t.Errorf("%s: %d %s", what, a.Status, a.Body)
			}
		}
	}
	if n := w.Count(`select count(*) from audit_events`); n != 0 {
		t.Errorf("%d rows", n)
	}
	if n := metricstest.Since(t, before, "duebell_events_received_total")[`duebell_events_received_total{outcome="malformed"}`]; n != float64(2*len(bodies)) {
		t.Errorf("%v counted, of %d", n, 2*len(bodies))
	}
	// Fields of a later version are ignored.
	if a := bring(s, wrapped(swap(`"user_id":"ada"`, `"user_id":"ada","priority":1`))); !strings.Contains(a.Body, "SUCCESS") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// While the database is away, the answer makes Dapr redeliver the event.
func TestDatabaseAway(t *testing.T) {
	w := functiontest.New(t)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	a := bring(functiontest.Serve(w, New), wrapped(event(uuid.NewString(), "x")))
	w.WantProblem(a, 503, "unavailable", "database")
}

func TestOnlyDaprMayBringEvents(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for _, header := range [][]string{nil, {"dapr-api-token", "wrong-token-of-some-length"}, {"Authorization", "Bearer " + w.AdminToken()}} {
		w.WantProblem(s.Call("POST", path, event(uuid.NewString(), "x"), header...), 401, "unauthenticated", "dapr-api-token")
	}
	if n := w.Count(`select count(*) from audit_events`); n != 0 {
		t.Errorf("%d rows", n)
	}
	w.WantProblem(s.Call("GET", path, nil), 405, "invalid", "POST")
}
