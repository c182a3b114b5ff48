package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// bury stores a fired task and the dead letters of its deliveries, one for each target, which were
// given up age ago.
func bury(w *functiontest.World, channel task.Channel, provider string, age time.Duration, targets ...string) (made task.Task) {
	w.Helper()
	due := task.Instant(time.Now().Add(-time.Minute))
	made = w.Seed("ada", task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()})
	w.Exec(`update reminders set state = 'fired', fired_at = now() where task_id = '` + made.ID.String() + `'`)
	for _, target := range targets {
		delivery := uuid.Must(uuid.NewV7())
		letter := uuid.Must(uuid.NewV7())
		ms := time.Now().Add(-age).UnixMilli()
		for i := range 6 {
			letter[i] = byte(ms >> (8 * (5 - i)))
		}
		w.Exec(fmt.Sprintf(`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, attempts, provider, last_error, finished_at)
			values ('%s', '%s', 1, '%s', 'ada', '%s', '%s', 'exhausted', 12, '%s', 'down', now())`, delivery, made.Reminders[0].ID, made.ID, channel, target, provider))
		w.Exec(fmt.Sprintf(`insert into dead_letters (id, state, job_name, data, error, attempts, delivery_id) values ('%s', 'dead', 'x', '{}', 'down', 12, '%s')`, letter, delivery))
	}
	return made
}

func TestFilterDeadLetters(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	bury(w, task.Webhook, "webhook", 3*time.Hour, "old")
	bury(w, task.Webhook, "webhook", time.Minute, "new")
	bury(w, task.Email, "ses", time.Minute, "ses")
	bury(w, task.Email, "sendgrid", time.Minute, "sendgrid")
	if err := w.Store.KeepMalformed(t.Context(), "malformed", []byte("{"), "no JSON"); err != nil {
		t.Fatal(err)
	}
	hourAgo := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for query, want := range map[string]int{
		"": 5, "channel=webhook": 2, "channel=email": 2, "channel=sms": 0, "provider=ses": 1, "channel=webhook&provider=ses": 0,
		"since=" + hourAgo: 4, "until=" + hourAgo: 1, "channel=webhook&since=" + hourAgo: 1, "state=retrying": 0, "state=dead&channel=email&provider=sendgrid": 1,
	} {
		got := functiontest.Decode[page](w, s.Call("GET", "/api/dlq?"+query, nil, "Authorization", "Bearer "+w.AdminToken()), 200).DeadLetters
		if len(got) != want {
			t.Errorf("%s: %d, want %d", query, len(got), want)
		}
	}
	for _, query := range []string{"channel=pigeon", "channel=in_app", "provider=a%00b", "since=yesterday"} {
		w.WantProblem(s.Call("GET", "/api/dlq?"+query, nil, "Authorization", "Bearer "+w.AdminToken()), 400, "invalid", "")
	}
}

// A replay of many is counted first. Then at most the confirmed number is replayed, the oldest
// first, spread over time. Dead letters of tasks that are finished, or locked by another
// transaction, are left.
func TestReplayMany(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	ask := func(body string) functiontest.Answer {
		return s.Call("POST", "/api/dlq/replay", body, "Authorization", "Bearer "+w.AdminToken())
	}
	var targets []string
	for i := range 7 {
		targets = append(targets, fmt.Sprint(i))
	}
	bury(w, task.Webhook, "webhook", 3*time.Hour, "old")
	bury(w, task.Webhook, "webhook", time.Minute, targets...)
	bury(w, task.Email, "ses", time.Minute, "mail")
	w.Exec(`update deliveries set reason = 'hourly_limit' where target = '0'`) // it was held once
	completed := bury(w, task.Webhook, "webhook", time.Minute, "completed")
	w.Exec(`update tasks set completed = true where id = '` + completed.ID.String() + `'`)
	if err := w.Store.KeepMalformed(t.Context(), "malformed", []byte("{"), "no JSON"); err != nil {
		t.Fatal(err)
	}
	since := time.Now().Add(-2 * time.Hour).UTC().Format(time.RFC3339)
	filter := `"channel":"webhook","since":"` + since + `"`
	if got := functiontest.Decode[counted](w, ask(`{`+filter+`}`), 200); got != (counted{Count: 7}) {
		t.Errorf("counted %+v", got)
	}
	if got := functiontest.Decode[counted](w, ask(`{}`), 200); got != (counted{Count: 9}) {
		t.Errorf("all: counted %+v", got)
	}
	if n := w.Count(`select count(*) from deliveries where state = 'planned'`); n != 0 {
		t.Errorf("to count has replayed %d", n)
	}
	if got := functiontest.Decode[replayed](w, ask(`{`+filter+`,"confirm":5,"per_second":2}`), 200); got.Replayed != 5 {
		t.Errorf("replayed %+v", got)
	}
	// Two become due in each second: at 0, 0.5, 1, 1.5 and 2 s.
	if n := w.Count(`select count(*) from (select target, extract(epoch from next_attempt_at - min(next_attempt_at) over ()) as after from deliveries where state = 'planned') d where after = target::int * 0.5`); n != 5 {
		t.Errorf("%d are due when they should be", n)
	}
	if n := w.Count(`select count(*) from deliveries where state = 'planned' and attempts = 0 and tries->0->>'state' = 'replayed' and reason is null`); n != 5 {
		t.Errorf("%d are planned anew", n)
	}
	if got := functiontest.Decode[counted](w, ask(`{`+filter+`}`), 200); got.Count != 2 {
		t.Errorf("then %+v are left", got)
	}
	// A task is locked: its dead letters are skipped without waiting.
	commit := w.Hold(`select from tasks where id = (select task_id from deliveries where target = 'old') for update`)
	if got := functiontest.Decode[replayed](w, ask(`{"confirm":10000,"per_second":1000}`), 200); got.Replayed != 3 {
		t.Errorf("replayed %+v", got)
	}
	commit()
	if got := functiontest.Decode[replayed](w, ask(`{"confirm":10000}`), 200); got.Replayed != 1 {
		t.Errorf("replayed %+v", got)
	}
	if got := functiontest.Decode[counted](w, ask(`{"state":"retrying"}`), 200); got.Count != 9 {
		t.Errorf("retrying: %+v", got)
	}
	for body, detail := range map[string]string{
		`{"state":"resolved"}`: "dead or retrying", `{"confirm":0}`: "from 1 to 10000", `{"confirm":10001}`: "from 1 to 10000", `{"per_second":0}`: "from 1 to 1000",
		`{"channel":"pigeon"}`: "channel must be one of", `{"since":"yesterday"}`: "since", `{"force":true}`: "force",
	} {
		w.WantProblem(ask(body), 400, "invalid", detail)
	}
	w.WantProblem(s.As("ada", "POST", "/api/dlq/replay", `{}`), 403, "forbidden", "admin")
}

// Each attempt is in a dead letter's history, with what the provider answered.
func TestHistory(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	bury(w, task.Email, "ses", time.Minute, "mail")
	w.Exec(`update deliveries set tries = '[{"at":"2026-11-23T15:00:00+01:00","attempt":1,"provider":"ses","state":"planned","error":"503","next":"2026-11-23T15:01:00+01:00"},
		{"at":"2026-11-23T15:01:00+01:00","attempt":2,"provider":"ses","state":"exhausted","error":"still 503","next":null}]'`)
	if err := w.Store.KeepMalformed(t.Context(), "malformed", []byte("{"), "no JSON"); err != nil {
		t.Fatal(err)
	}
	admin := func(path string) functiontest.Answer {
		return s.Call("GET", path, nil, "Authorization", "Bearer "+w.AdminToken())
	}
	at := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	want := map[string][]store.Try{
		"malformed": {},
		"x":         {{At: at, Attempt: 1, Provider: "ses", State: "planned", Error: "503", Next: new(at.Add(time.Minute))}, {At: at.Add(time.Minute), Attempt: 2, Provider: "ses", State: "exhausted", Error: "still 503"}},
	}
	for _, l := range functiontest.Decode[page](w, admin("/api/dlq"), 200).DeadLetters {
		got := functiontest.Decode[history](w, admin("/api/dlq/"+l.ID.String()), 200)
		if diff := cmp.Diff(want[l.JobName], got.Tries); diff != "" || got.DeadLetter.ID != l.ID {
			t.Errorf("%s: %+v (-want +got):\n%s", l.JobName, got.DeadLetter, diff)
		}
	}
}
