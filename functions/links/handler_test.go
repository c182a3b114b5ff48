package main

import (
	"bytes"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/link"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/unsubscribe"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const key = "a-key-for-tests-of-at-least-32-characters"

var keys = link.Keys{Keys: []config.Secret{key}}

// links is the function under test, with the world that it runs in.
type links struct {
	*functiontest.World
	*functiontest.Server
	firer *fire.Firer
}

func newLinks(t *testing.T) links {
	w := functiontest.New(t)
	mover := schedule.NewMover(w.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour})
	return links{w, functiontest.Serve(w, New, "LINK_KEY="+key), fire.New(w.Store, fire.Channels{task.Email: {"sendgrid"}}, suppress.Keys{}, mover, func() {}, time.Now)}
}

// told stores a task of ada's whose reminder has fired.
func (l links) told(d task.Draft) task.Task {
	l.Helper()
	stored := l.Seed("ada", d)
	r := stored.Reminders[0]
	if o, err := l.firer.Fire(l.Context(), task.Revision{TaskID: stored.ID, UserID: "ada", ReminderID: r.ID, Number: r.Revision}); err != nil || o.Status != fire.Success {
		l.Fatalf("%+v, %v", o, err)
	}
	return stored
}

func once(title string) task.Draft {
	due := task.Instant(time.Now().Add(-time.Minute))
	return task.Draft{Title: title, DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.InApp, task.Email}}
}

// daily returns a task that is due each day at the current time of day, from today on.
func daily(before ...task.Offset) task.Draft {
	if before == nil {
		before = task.DefaultBefore()
	}
	start := wallclock.FromUTC(time.Now().Add(-time.Minute).Truncate(time.Second))
	return task.Draft{
		Title: "Water the plants", Due: task.Due{Form: task.ByClock, Local: start, Zone: "UTC"}, Before: before, Channels: []task.Channel{task.InApp, task.Email},
		Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY", Skip: "omit", From: "schedule"},
	}
}

// to returns the path of a link in a message about a task with this state.
func to(p link.Purpose, told task.Task) string { return signed(keys, p, told, "ada", time.Now()) }

func signed(keys link.Keys, p link.Purpose, told task.Task, user string, at time.Time) string {
	r := told.Reminders[0]
	l := link.Link{Purpose: p, ReminderID: r.ID, Revision: r.Revision, Series: told.Progress.Series, Occurrence: r.Occurrence}
	return link.Prefix + keys.Token(l, user, told.ID, at)
}

// now returns a task from the database.
func (l links) now(t task.Task) task.Task {
	l.Helper()
	is, err := l.Store.GetTask(l.Context(), "ada", t.ID)
	if err != nil {
		l.Fatal(err)
	}
	return is
}

func (l links) want(a functiontest.Answer, status int, parts ...string) {
	l.Helper()
	h := a.Header
	if a.Status != status || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" ||
		h.Get("X-Content-Type-Options") != "nosniff" || len(h.Values("Set-Cookie")) > 0 ||
		!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
		l.Errorf("%d %v", a.Status, h)
	}
	for _, part := range parts {
		if without, ok := strings.CutPrefix(part, "!"); ok == strings.Contains(a.Body, without) {
			l.Errorf("%q in %s", part, a.Body)
		}
	}
}

const button = `<button name="do" value="done">Mark as done</button>`

// press posts the page's form.
func (l links) press(path, do string) functiontest.Answer {
	l.Helper()
	return l.Call("POST", path, "do="+do, "Content-Type", "application/x-www-form-urlencoded")
}

func TestDone(t *testing.T) {
	l := newLinks(t)
	told := l.told(once("Pay rent"))
	path := to(link.Done, told)

	// A GET changes nothing, however often it is made.
	for range 3 {
		l.want(l.Call("GET", path, nil), 200, `<html lang="en">`, `<h1 dir="auto">Pay rent</h1>`, "Due ", `<form method="post">`+button)
		if a := l.Call("HEAD", path, nil); a.Status != 200 || a.Body != "" {
			t.Errorf("HEAD: %d %s", a.Status, a.Body)
		}
	}
	if is := l.now(told); is.Completed || is.Version != told.Version {
		t.Fatalf("looking has changed it: %+v", is)
	}
	if n := l.Count(`select count(*) from deliveries where channel = 'email' and state = 'planned'`); n != 1 {
		t.Fatalf("%d e-mails wait: the test shows nothing", n)
	}
	l.want(l.press(path, "done"), 200, "<h1>Done</h1>", "Pay rent", "!<form")
	done := l.now(told)
	if !done.Completed {
		t.Error("it is not done")
	}
	if n := l.Count(`select count(*) from deliveries where channel = 'email' and state = 'cancelled'`); n != 1 {
		t.Error("what was unsent is not cancelled")
	}
	l.want(l.press(path, "done"), 200, "<h1>This is done already</h1>", "!<form")
	l.want(l.Call("GET", path, nil), 200, "<h1>This is done already</h1>", "!<form")
	if is := l.now(told); is.Version != done.Version {
		t.Error("the second click has changed it")
	}
	l.WantProblem(l.Call("PUT", path, nil), 405, "invalid", "POST")
}

// A program posts without a form.
func TestDoneWithoutAForm(t *testing.T) {
	l := newLinks(t)
	told := l.told(once("Pay rent"))
	l.want(l.Call("POST", to(link.Done, told), nil), 200, "<h1>Done</h1>")
	if !l.now(told).Completed {
		t.Error("it is not done")
	}
}

// Of several concurrent clicks one marks the task done.
func TestDoneAtOnce(t *testing.T) {
	l := newLinks(t)
	for _, d := range []task.Draft{once("Pay rent"), daily()} {
		told := l.told(d)
		before := l.now(told).Version
		var group sync.WaitGroup
		var did atomic.Int32
		for range 8 {
			group.Go(func() {
				a := l.press(to(link.Done, told), "done")
				l.want(a, 200, d.Title)
				if strings.Contains(a.Body, "<h1>Done</h1>") {
					did.Add(1)
				}
			})
		}
		group.Wait()
		if is := l.now(told); is.Version != before+1 || did.Load() != 1 {
			t.Errorf("%q was done %d times, and has changed %d times", d.Title, did.Load(), is.Version-before)
		}
	}
}

// Done is for the occurrence that the message was about, and for no other.
func TestDoneOfAnOccurrence(t *testing.T) {
	l := newLinks(t)
	told := l.told(daily())
	path := to(link.Done, told)
	l.want(l.Call("GET", path, nil), 200, button, "Water the plants", "Due ")
	l.want(l.press(path, "done"), 200, "<h1>Done</h1>", "Water the plants")
	l.want(l.press(path, "done"), 200, "<h1>This is done already</h1>")
	l.want(l.Call("GET", path, nil), 200, "<h1>This is done already</h1>")
	is := l.now(told)
	if is.Completed || is.Progress.Through == nil || *is.Progress.Through != *told.Reminders[0].Occurrence || is.Reminders[0].State != task.Armed {
		t.Errorf("%+v", is)
	}
	if is.Reminders[0].Revision == told.Reminders[0].Revision {
		t.Error("it is not armed anew: the test shows nothing")
	}
}

// A reminder ahead of an occurrence is sent while the occurrence before may still be open.
func TestDoneAheadOfTime(t *testing.T) {
	l := newLinks(t)
	start := wallclock.FromUTC(time.Now().Add(30 * time.Minute).Truncate(time.Second))
	draft := daily(task.Offset{Exact: time.Hour})
	draft.Due.Local = start.AddDays(-3)
	stored := l.Seed("ada", draft)
	r := stored.Reminders[0] // armed for tomorrow, as what lies ahead of it
	l.Exec(`update reminders set occurrence = '` + start.String() + `', fire_at = now() - interval '1 minute'`)
	if o, err := l.firer.Fire(l.Context(), task.Revision{TaskID: stored.ID, UserID: "ada", ReminderID: r.ID, Number: r.Revision}); err != nil || o.Status != fire.Success {
		t.Fatalf("%+v, %v", o, err)
	}
	stored.Reminders[0].Occurrence = &start
	path := to(link.Done, stored)
	l.want(l.Call("GET", path, nil), 200, button)
	l.want(l.press(path, "done"), 200, "<h1>Done</h1>")
	if is := l.now(stored); is.Progress.Through == nil || *is.Progress.Through != start {
		t.Errorf("done through %v, want %v", is.Progress.Through, start)
	}
	// An occurrence can't be done before the open ones that precede it.
	later := start.AddDays(5)
	stored.Reminders[0].Occurrence = &later
	l.want(l.press(to(link.Done, stored), "done"), 409, "That is too early")
}

// A stale link changes nothing, and its page shows the current state.
func TestStale(t *testing.T) {
	series := `set recurrence = '{"rule":"FREQ=WEEKLY","skip":"omit","from":"schedule"}', series = series + 1, due_local = '2099-01-31T09:00', time_zone = 'UTC'`
	for name, c := range map[string]struct {
		draft  task.Draft
		sql    string // what has happened since
		status int    // of a POST
		says   []string
	}{
		"deleted":            {once("Pay rent"), `update tasks set deleted_at = now()`, 409, []string{"This task was deleted", "!Pay rent", "!Due "}},
		"recurring, deleted": {daily(), `update tasks set deleted_at = now()`, 409, []string{"This task was deleted", "!Water"}},
		"completed":          {once("Pay rent"), `update tasks set completed = true`, 200, []string{"This is done already", "Pay rent"}},
		"skipped":            {daily(), `update occurrences set state = 'skipped'`, 409, []string{"This was skipped", "Water the plants"}},
		"the series ended":   {daily(), `update tasks set completed = true`, 200, []string{"This is done already"}},
		"another series":     {daily(), `update tasks ` + series, 409, []string{"This task has changed", "Water the plants", "Due Sat, 31 Jan 2099 09:00 UTC"}},
		"it recurs now":      {once("Pay rent"), `update tasks ` + series, 409, []string{"This task has changed", "Due Sat, 31 Jan 2099 09:00 UTC"}},
		"it recurs no more":  {daily(), `update tasks set recurrence = null`, 409, []string{"This task has changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLinks(t)
			told := l.told(c.draft)
			l.Exec(c.sql)
			before := l.Count(`select version from tasks`)
			l.want(l.Call("GET", to(link.Done, told), nil), 200, append(c.says, "!<form")...)
			l.want(l.press(to(link.Done, told), "done"), c.status, append(c.says, "!<form")...)
			if after := l.Count(`select version from tasks`); after != before {
				t.Error("it has changed the task")
			}
		})
	}
}

// A link also becomes stale if the task changes between the check and the update.
func TestStaleInTheMeantime(t *testing.T) {
	l := newLinks(t)
	for _, c := range []struct {
		draft  task.Draft
		sql    string
		do     string
		status int
		says   string
	}{
		{daily(), `update tasks set deleted_at = now() where id = $`, "done", 409, "This task was deleted"},
		{daily(), `update tasks set completed = true where id = $`, "done", 200, "This is done already"},
		{once("Pay rent"), `update tasks set completed = true where id = $`, "done", 200, "This is done already"},
		{once("Pay rent"), `update tasks set completed = true where id = $`, "acknowledge", 200, "This is done already"},
		{once("Pay rent"), `update tasks set deleted_at = now() where id = $`, "snooze", 409, "This task was deleted"},
		{daily(), `update tasks set series = series + 1 where id = $`, "done", 409, "This task has changed"},
		{daily(), `update tasks set recurrence = null where id = $`, "snooze", 409, "This task has changed"},
		{once("Pay rent"), `update tasks set due_date = null where id = $`, "snooze", 409, "This task has changed"},
		{daily(), `update tasks set title = title where id = $; update occurrences set state = 'skipped' where task_id = $`, "done", 409, "This was skipped"},
		{daily(), `update tasks set title = title where id = $; update occurrences set state = 'completed' where task_id = $`, "done", 200, "This is done already"},
		{daily(), `update tasks set title = title where id = $; update occurrences set state = 'skipped' where task_id = $`, "snooze", 409, "This was skipped"},
		{daily(), `update tasks set title = title where id = $; update occurrences set state = 'completed' where task_id = $`, "snooze", 200, "This is done already"},
	} {
		told := l.told(c.draft)
		commit := l.Hold(strings.ReplaceAll(c.sql, "$", "'"+told.ID.String()+"'"))
		answer := make(chan functiontest.Answer, 1)
		go func() { answer <- l.press(to(link.Any, told), c.do) }()
		for l.Count(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		commit()
		l.want(<-answer, c.status, c.says)
	}
}

// snoozed returns until when a task is snoozed, or the zero time.
func (l links) snoozed(t task.Task) (until time.Time) {
	l.Helper()
	if at := l.now(t).SnoozedUntil(nil); at != nil {
		until = *at
	}
	return until
}

func TestSnooze(t *testing.T) {
	l := newLinks(t)
	l.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "Pacific/Auckland" })
	auckland, _ := zone.Load("Pacific/Auckland")
	for _, d := range []task.Draft{once("Pay rent"), daily()} {
		told := l.told(d)
		version, due := l.now(told).Version, l.now(told).DueDate
		path := to(link.Snooze, told)
		l.want(l.Call("GET", path, nil), 200, `<h1 dir="auto">`+d.Title, `<button name="for" value="10m">In 10 minutes</button>`, `value="1h"`, `value="tomorrow"`, "!"+button)
		if !l.snoozed(told).IsZero() {
			t.Fatal("looking has snoozed it")
		}
		for form, after := range map[string]time.Duration{"": 10 * time.Minute, "do=snooze": 10 * time.Minute, "do=snooze&for=10m": 10 * time.Minute, "do=snooze&for=1h": time.Hour} {
			for range 2 { // which comes to the same, a moment later
				asked := time.Now()
				l.want(l.Call("POST", path, form, "Content-Type", "application/x-www-form-urlencoded"), 200, "<h1>Snoozed</h1>", d.Title, "You will be reminded again on ", "!<form")
				if until := l.snoozed(told); until.Before(asked.Add(after).Truncate(time.Microsecond)) || until.After(time.Now().Add(after)) {
					t.Errorf("%q: snoozed until %s", form, until)
				}
			}
		}
		tomorrow := func() time.Time {
			year, month, day := time.Now().In(auckland).Date()
			return time.Date(year, month, day+1, 9, 0, 0, 0, auckland)
		}
		before := tomorrow()
		l.want(l.Call("POST", path, "do=snooze&for=tomorrow", "Content-Type", "application/x-www-form-urlencoded"), 200, " at 09:00 NZ")
		if until := l.snoozed(told); !until.Equal(before) && !until.Equal(tomorrow()) {
			t.Errorf("tomorrow is %s", until)
		}
		if n := l.Count(`select count(*) from reminders where kind = 'snooze' and state = 'armed' and task_id = '` + told.ID.String() + `'`); n != 1 {
			t.Errorf("%d reminders wait", n)
		}
		for _, form := range []string{"do=snooze&for=1y", "do=snooze&for=-1h", "do=done", "do=acknowledge"} {
			l.want(l.Call("POST", path, form, "Content-Type", "application/x-www-form-urlencoded"), 400, "That did not work")
		}
		if is := l.now(told); is.Version != version || !is.DueDate.Equal(*due) || is.Completed {
			t.Errorf("the task has changed: %+v", is)
		}
		l.want(l.press(to(link.Done, told), "done"), 200, "<h1>Done</h1>")
		if until := l.snoozed(told); !until.IsZero() {
			t.Errorf("done, it is snoozed until %s", until)
		}
		l.want(l.press(path, "snooze"), 200, "<h1>This is done already</h1>")
	}
}

func TestAcknowledge(t *testing.T) {
	l := newLinks(t)
	for _, d := range []task.Draft{once("Pay rent"), daily()} {
		told := l.told(d)
		path := to(link.Acknowledge, told)
		const button = `<button name="do" value="acknowledge">I have seen it</button>`
		l.want(l.Call("GET", path, nil), 200, button, "!done", "!snooze")
		id := `task_id = '` + told.ID.String() + `'`
		if n := l.Count(`select count(*) from notifications where acknowledged_at is not null and ` + id); n != 0 {
			t.Fatal("looking has acknowledged it")
		}
		for range 2 {
			l.want(l.press(path, "acknowledge"), 200, "<h1>Seen: this is not repeated</h1>", d.Title, "!<form")
			if n := l.Count(`select count(*) from notifications where acknowledged_at is not null and ` + id); n != 1 {
				t.Error("it is not acknowledged")
			}
			if n := l.Count(`select count(*) from deliveries where state = 'cancelled' and channel = 'email' and ` + id); n != 1 {
				t.Error("what was unsent is not cancelled")
			}
		}
	}
}

// A newer revision alone does not make a link stale: the task was moved, or its reminder was armed
// again.
func TestMoved(t *testing.T) {
	l := newLinks(t)
	told := l.told(once("Pay rent"))
	l.Exec(`update tasks set due_date = '2099-01-31T09:00Z'`)
	l.Exec(`update reminders set revision = revision + 1, state = 'armed', fired_at = null, fire_at = '2099-01-31T09:00Z'`)
	path := to(link.Done, told)
	l.want(l.Call("GET", path, nil), 200, "Pay rent", "Due Sat, 31 Jan 2099 09:00 UTC", button)
	l.want(l.press(path, "done"), 200, "<h1>Done</h1>")
	if is := l.now(told); !is.Completed || is.Reminders[0].State != task.Cancelled {
		t.Errorf("%+v", is)
	}
}

// The answer to an invalid, expired or forged link reveals nothing about tasks.
func TestBadLinks(t *testing.T) {
	l := newLinks(t)
	told := l.told(once("Pay rent"))
	good := to(link.Done, told)
	other := told
	other.ID = uuid.Must(uuid.NewV7())
	gone := told
	gone.Reminders = []task.Reminder{{ID: uuid.Must(uuid.NewV7()), Revision: 1}}
	stop := unsubscribe.Keys{Keys: []config.Secret{key}}.Token("ada", "ada@example.com")
	for path, want := range map[string]struct {
		status int
		says   string
	}{
		link.Prefix + "x":                     {404, "not valid"},
		link.Prefix + strings.Repeat("A", 58): {404, "not valid"},
		link.Prefix + "%00%ff":                {404, "not valid"},
		good[:len(good)-1]:                    {404, "not valid"},
		good + "A":                            {404, "not valid"},
		signed(link.Keys{Keys: []config.Secret{"another-key-of-at-least-32-characters"}}, link.Done, told, "ada", time.Now()): {404, "not valid"},
		signed(keys, link.Done, told, "eve", time.Now()):                                                                      {404, "not valid"},
		signed(keys, link.Done, other, "ada", time.Now()):                                                                     {404, "not valid"},
		signed(keys, link.Done, gone, "ada", time.Now()):                                                                      {410, "too old"},
		signed(keys, link.Done, told, "ada", time.Now().Add(-link.Lasts-2*time.Hour)):                                         {410, "too old"},
		link.Prefix + stop: {404, "not valid"},
	} {
		for _, a := range []functiontest.Answer{l.Call("GET", path, nil), l.press(path, "done")} {
			l.want(a, want.status, want.says, `<html lang="en">`, "!Pay rent", "!"+told.ID.String(), "!<form", "!ada")
		}
		l.want(l.Call("GET", path, nil, "Accept-Language", "de-AT,en;q=0.5"), want.status, `<html lang="de">`, "<h1>Dieser Link ist ")
		l.WantProblem(l.Call("POST", path, nil, "Accept", "application/json"), want.status, "not_found", "this link is "+want.says)
	}
	if l.now(told).Completed {
		t.Error("one of them is good")
	}
	// A link is valid until it expires, also after a change of keys, as long as the old key is
	// configured.
	rotated := functiontest.Serve(l.World, New, "LINK_KEY=another-key-of-at-least-32-characters,"+key)
	l.want(rotated.Call("GET", signed(keys, link.Done, told, "ada", time.Now().Add(-link.Lasts+time.Minute)), nil), 200, button)
	// Without a key every link is invalid.
	l.want(functiontest.Serve(l.World, New).Call("POST", good, nil), 404, "not valid")
}

// A link allows the action that it is for, and no other.
func TestPurposes(t *testing.T) {
	l := newLinks(t)
	told := l.told(once("Pay rent"))
	for p, others := range map[link.Purpose][]string{link.Acknowledge: {"done", "snooze"}, link.Done: {"acknowledge", "snooze", "delete"}, link.Snooze: {"done", "acknowledge"}, link.Any: {"", "delete"}} {
		for _, do := range others {
			l.want(l.press(to(p, told), do), 400, "That did not work")
		}
	}
	if n := l.Count(`select (select count(*) from tasks where completed) + (select count(*) from reminders where kind <> 'due') + (select count(*) from notifications where acknowledged_at is not null)`); n != 0 {
		t.Fatal("one of them has done something")
	}
	path := to(link.Any, told)
	l.want(l.Call("GET", path, nil), 200, button, `value="tomorrow"`, `value="acknowledge"`)
	l.want(l.press(path, "acknowledge"), 200, "Seen")
	l.want(l.press(path, "snooze"), 200, "Snoozed")
	l.want(l.press(path, "done"), 200, "<h1>Done</h1>")
}

// The page is in the user's language and time zone, and shows users' texts as text.
func TestPage(t *testing.T) {
	l := newLinks(t)
	l.Prefer("ada", func(p *preferences.Preferences) { p.Language, p.TimeZone = "de-AT", "Europe/Vienna" })
	draft := once(`<script>alert("rent")</script>`)
	due := time.Now().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	if time.Since(due) > 23*time.Hour { // else it would be missed
		due = due.Add(12 * time.Hour)
	}
	draft.DueDate = &due
	told := l.told(draft)
	vienna, _ := zone.Load("Europe/Vienna")
	path := to(link.Done, told)
	l.want(l.Call("GET", path, nil, "Accept-Language", "en"), 200, `<html lang="de">`, "&lt;script&gt;alert(&#34;rent&#34;)", "!<script", "Fällig am ", due.In(vienna).Format("15:04 MST"), "Als erledigt markieren")
	l.want(l.press(path, "done"), 200, "<h1>Erledigt</h1>", "&lt;script&gt;", "!<script")
}

// Links are not logged: everybody who reads the log could use them.
func TestLinksAreNotLogged(t *testing.T) {
	var logged bytes.Buffer
	var mu sync.Mutex
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&guarded{&mu, &logged}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	l := newLinks(t)
	told := l.told(once("Pay rent"))
	path := to(link.Done, told)
	token := strings.TrimPrefix(path, link.Prefix)
	l.press(path, "done")
	for _, p := range []string{path + "A", "/" + path, path + "/", "/x" + path, "/m/" + url.PathEscape("a/"+token)} {
		l.Call("GET", p, nil)
		l.Call("PUT", p, nil)
	}
	mu.Lock()
	defer mu.Unlock()
	if text := logged.String(); strings.Contains(text, token) || !strings.Contains(text, "path=/m/***") || !strings.Contains(text, "link followed") {
		t.Errorf("the log: %s", text)
	}
}

type guarded struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

func TestDatabaseAway(t *testing.T) {
	w := functiontest.New(t)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	l := links{w, functiontest.Serve(w, New, "LINK_KEY="+key), nil}
	path := to(link.Done, task.Task{ID: uuid.Must(uuid.NewV7()), Reminders: []task.Reminder{{ID: uuid.Must(uuid.NewV7()), Revision: 1}}})
	for _, a := range []functiontest.Answer{l.Call("GET", path, nil), l.press(path, "done")} {
		l.want(a, 503, "<h1>That did not work</h1>", "Try again")
		if a.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to try again")
		}
	}
	l.want(l.Call("GET", path+"A", nil), 404, "not valid")
}
