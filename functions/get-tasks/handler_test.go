package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/suppress"
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
		// A task that is created between two pages does not shift them.
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
		"completed=yes": "true or false", "limit=5;completed=true": "malformed", "completed=%zz": "malformed", "due_before=2026-11-23T14:30:00%2B24:00": "write it as", "due_after=1795444200": "write it as 2026-11-23T14:30:00Z", "due_before=tomorrow": "due_before must be a time", "limit=0": "from 1 to 500", "limit=501": "from 1 to 500",
		"cursor=nonsense": "cursor", "colour=red": "no parameter", "limit=1&limit=2": "more than once", "limit=%zz": "malformed",
	} {
		w.WantProblem(s.As("ada", "GET", "/api/tasks?"+query, nil), 400, "invalid", detail)
	}
}

// For a bundled delivery the log shows until when it waits, or why its bundle is held, or that the
// bundle is being sent.
func TestBundledDelivery(t *testing.T) {
	w := functiontest.New(t)
	due := time.Date(2099, 1, 1, 9, 0, 0, 0, time.UTC)
	seeded := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "Europe/Berlin" })
	s := functiontest.Serve(w, New)
	w.Exec(fmt.Sprintf(`
		insert into deliveries (id, bundle_id, revision, user_id, channel, target, state, next_attempt_at)
		values ('%[1]s', '%[1]s', 1, 'ada', 'email', 'a@x.org', 'planned', '2099-01-05T06:00:00Z');
		insert into deliveries (id, bundle_id, reminder_id, revision, task_id, user_id, channel, target, state)
		values ('%[2]s', '%[1]s', '%[3]s', 1, '%[4]s', 'ada', 'email', 'a@x.org', 'bundled')`,
		uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), seeded.Reminders[0].ID, seeded.ID))
	for _, c := range []struct{ change, reason, note string }{
		{"", "bundled", "it goes out at 07:00 on Monday, 5 January (Europe/Berlin), in one message with what else falls due for this address until then"},
		{`update deliveries set reason = 'quiet_hours' where id = bundle_id`, "quiet_hours", "your quiet hours hold it until 07:00 on Monday, 5 January (Europe/Berlin)"},
		{`update deliveries set reason = null, attempts = 1`, "bundled", "it is in one message with other reminders, which is being sent"},
	} {
		if c.change != "" {
			w.Exec(c.change)
		}
		log := functiontest.Decode[deliveryLog](w, s.As("ada", "GET", "/api/tasks/"+seeded.ID.String()+"/deliveries", nil), 200).Deliveries
		if len(log) != 1 || log[0].State != "bundled" || log[0].Reason == nil || string(*log[0].Reason) != c.reason || *log[0].Note != c.note ||
			log[0].NextAttemptAt == nil || !log[0].NextAttemptAt.Equal(time.Date(2099, 1, 5, 6, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v", c.change, log)
		}
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
	seeded := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.Exactly(0, time.Hour)})
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
	firer := fire.New(w.Store, nil, suppress.Keys{}, schedule.NewMover(w.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, time.Now)
	if _, err := firer.Fire(context.Background(), task.Revision{TaskID: seeded.ID, UserID: "ada", ReminderID: seeded.Reminders[0].ID, Number: 1}); err != nil {
		t.Fatal(err)
	}
	got := functiontest.Decode[deliveryLog](w, s.As("ada", "GET", path, nil), 200).Deliveries
	if len(got) != 2 || got[0].Channel != task.Email || got[0].State != "failed" || got[0].LastError == "" || got[1].Channel != task.InApp || got[1].State != "sent" || got[1].FinishedAt == nil {
		t.Errorf("got %+v", got)
	}
}

// For a held delivery the log shows why, and until when in the user's language and time zone. For a
// cancelled one it shows why.
func TestHeldDeliveries(t *testing.T) {
	w := functiontest.New(t)
	due := time.Date(2099, 1, 1, 9, 0, 0, 0, time.UTC)
	seeded := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "Europe/Berlin" })
	s := functiontest.Serve(w, New)
	for i, c := range []struct{ state, reason, want, note string }{
		{"planned", "quiet_hours", "held", "your quiet hours hold it until 07:00 on Monday, 5 January (Europe/Berlin)"},
		{"unknown", "quiet_hours", "held", "your quiet hours hold it until 07:00 on Monday, 5 January (Europe/Berlin)"},
		{"planned", "hourly_limit", "held", "you were sent as many messages in this hour as a user may be: it is held until 06:00 UTC"},
		{"cancelled", "replaced", "cancelled", "a newer reminder of this task was held for the same address, and only that one goes out"},
		{"cancelled", "completed", "cancelled", "the task, or this occurrence of it, was completed before it was sent"},
		{"cancelled", "skipped", "cancelled", "this occurrence of the task was skipped before it was sent"},
		{"cancelled", "deleted", "cancelled", "the task was deleted before it was sent"},
		{"cancelled", "acknowledged", "cancelled", "you acknowledged it before it was sent"},
		{"cancelled", "snoozed", "cancelled", "you snoozed it before it was sent"},
		{"cancelled", "unrepeated", "cancelled", "the task was set not to be repeated any more before it was sent"},
		{"cancelled", "moved", "cancelled", "the due date or the reminders of the task were changed before it was sent"},
		{"cancelled", "discarded", "cancelled", "it could not be sent, and an operator has discarded it"},
		{"planned", "", "planned", ""},
	} {
		w.Exec(fmt.Sprintf(`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, reason, provider, attempts, next_attempt_at, finished_at)
			values ('%s', '%s', %d, '%s', 'ada', 'email', 'a@x.org', '%s', nullif('%s', ''), 'smtp', 1, %s)`, uuid.Must(uuid.NewV7()), seeded.Reminders[0].ID, i+1, seeded.ID, c.state, c.reason,
			map[bool]string{true: `null, now()`, false: `'2099-01-05T06:00:00Z', null`}[c.state == "cancelled"]))
		log := functiontest.Decode[deliveryLog](w, s.As("ada", "GET", "/api/tasks/"+seeded.ID.String()+"/deliveries", nil), 200).Deliveries
		d := log[len(log)-1]
		reason, note := "", ""
		if d.Reason != nil && d.Note != nil {
			reason, note = string(*d.Reason), *d.Note
		}
		if string(d.State) != c.want || reason != c.reason || note != c.note || (d.Reason == nil) != (d.Note == nil) {
			t.Errorf("%s, %s: %s, %q, %q", c.state, c.reason, d.State, reason, note)
		}
	}
}

// An address that has changed at the issuer is used from the user's next request on, whatever its
// route. An older token does not bring back the older address. If nothing has changed, nothing is
// written.
func TestAddressOfTheSignIn(t *testing.T) {
	w := functiontest.New(t)
	w.Seed("ada", task.Draft{Title: "x"})
	now := time.Now().Unix()
	token := func(user string, issued int64, email any, verified bool) string {
		return w.TokenWith(user, map[string]any{"iat": issued, "email": email, "email_verified": verified})
	}
	read := func(s *functiontest.Server, token string) {
		t.Helper()
		if a := s.Call("GET", "/api/tasks", nil, "Authorization", "Bearer "+token); a.Status != 200 {
			t.Fatal(a.Status, a.Body)
		}
	}
	s := functiontest.Serve(w, New)
	same := token("ada", now-1000, "ada@example.com", true)
	read(s, same)
	written := w.Count(`select xmin::text::bigint from users where id = 'ada'`)
	for _, again := range []string{same, token("ada", now-990, "ada@example.com", true), token("ada", now-2000, "before@example.com", true)} {
		read(s, again)
		read(functiontest.Serve(w, New), again)
	}
	if w.Count(`select xmin::text::bigint from users where id = 'ada'`) != written {
		t.Error("the same address was written anew")
	}
	newer, older := token("ada", now-50, "new@example.com", true), token("ada", now-90, "old@example.com", true)
	none := token("ada", now-40, nil, true)
	unverified := token("ada", now-10, "next@example.com", false)
	for _, step := range []struct{ token, want string }{
		{newer, "new@example.com"},
		{older, "new@example.com"},
		{same, "new@example.com"},
		{none, "new@example.com"},
		{unverified, "none"},
		{newer, "none"},
		{token("ada", now-5, []string{"list@example.com"}, true), "none"},
		{token("ada", now, "last@example.com", true), "last@example.com"},
		{unverified, "last@example.com"},
	} {
		// Another copy of the function has not seen the tokens.
		for _, server := range []*functiontest.Server{s, functiontest.Serve(w, New)} {
			read(server, step.token)
			if n := w.Count(`select count(*) from users where id = 'ada' and coalesce(email, 'none') = '` + step.want + `'`); n != 1 {
				t.Errorf("the address is not %s", step.want)
			}
		}
	}

	// A user without tasks gets no row. When they get one, its address is current at once.
	eve := token("eve", now-50, "new@example.com", true)
	read(s, eve)
	if n := w.Count(`select count(*) from users where id = 'eve'`); n != 0 {
		t.Error("to read makes a user")
	}
	w.Exec(`insert into users (id, email, email_as_of) values ('eve', 'old@example.com', '2001-01-01Z')`)
	read(s, eve)
	if n := w.Count(`select count(*) from users where id = 'eve' and email = 'new@example.com'`); n != 1 {
		t.Error("eve's address is not the one that her token tells")
	}
}

// Operators and programs read as a user: they get that user's tasks.
func TestActingForUsers(t *testing.T) {
	w := functiontest.New(t)
	w.Seed("ada", task.Draft{Title: "ada's"})
	s := functiontest.Serve(w, New)
	for _, token := range []string{w.AdminToken(), w.ServiceToken()} {
		own := functiontest.Decode[list](w, s.Call("GET", "/api/tasks", nil, "Authorization", "Bearer "+token), 200)
		hers := functiontest.Decode[list](w, s.Call("GET", "/api/tasks", nil, "Authorization", "Bearer "+token, "Duebell-User", "ada"), 200)
		if len(own.Tasks) != 0 || !slices.Equal(titles(hers.Tasks), []string{"ada's"}) {
			t.Errorf("own %v, hers %v", own, hers)
		}
		if a := s.Call("GET", "/api/tasks", nil, "Authorization", "Bearer "+token, "Duebell-User", "nobody"); a.Status != 200 {
			t.Errorf("for somebody who has never signed in: %d %s", a.Status, a.Body)
		}
	}
	w.WantProblem(s.As("eve", "GET", "/api/tasks", nil, "Duebell-User", "ada"), 403, "forbidden", "scope act")
	w.WantProblem(s.Call("GET", "/api/tasks", nil, "Duebell-User", "ada"), 401, "unauthenticated", "sign in")
}
