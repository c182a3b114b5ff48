package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// fireAt fires a task's reminders at the given instant.
func fireAt(w *functiontest.World, made task.Task, now time.Time) {
	w.Helper()
	clock := func() time.Time { return now }
	firer := fire.New(w.Store, nil, suppress.Keys{}, schedule.NewMover(w.Store, clock, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, clock)
	for _, r := range made.Reminders {
		if _, err := firer.FireOverdue(context.Background(), task.Revision{TaskID: made.ID, UserID: made.UserID, ReminderID: r.ID, Number: 1}); err != nil {
			w.Fatal(err)
		}
	}
}

// of returns the events of a timeline that are about deliveries on a channel, as "kind: text". For
// "" it returns the events that are about no delivery.
func (l timeline) of(channel task.Channel) (all []string) {
	for _, e := range l.Events {
		if e.Channel == channel {
			all = append(all, e.Kind+": "+e.Text)
		}
	}
	return all
}

func readTimeline(w *functiontest.World, s *functiontest.Server, id uuid.UUID) timeline {
	w.Helper()
	l := functiontest.Decode[timeline](w, s.As("ada", "GET", "/api/tasks/"+id.String()+"/timeline", nil), 200)
	if !slices.IsSortedFunc(l.Events, func(a, b event) int { return a.At.Compare(b.At) }) {
		w.Errorf("not in the order of time: %+v", l.Events)
	}
	return l
}

// The timeline shows all that happens to a delivery: each attempt with the provider's answer, why
// it was held, an operator's replay, and how it ended.
func TestTimelineOfDeliveries(t *testing.T) {
	w := functiontest.New(t)
	due := task.Instant(time.Now().Add(-time.Minute))
	made := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.InApp}})
	s := functiontest.Serve(w, New)
	fireAt(w, made, time.Now())
	id := uuid.Must(uuid.NewV7())
	w.Exec(fmt.Sprintf(`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, next_attempt_at, due_at)
		values ('%s', '%s', 1, '%s', 'ada', 'email', 'ada@example.com', 'planned', now(), '%s')`, id, made.Reminders[0].ID, made.ID, due.Format(time.RFC3339Nano)))

	wantLast := func(want string) {
		t.Helper()
		if got := readTimeline(w, s, made.ID).of(task.Email); len(got) == 0 || got[len(got)-1] != want {
			t.Errorf("got %q, want %q at the end", got, want)
		}
	}
	var leased *store.Leased
	lease := func(providers ...string) {
		t.Helper()
		w.Exec(`update deliveries set next_attempt_at = now() where state in ('planned', 'unknown')`)
		all, err := w.Store.Lease(t.Context(), store.LeaseRules{For: time.Minute, Providers: map[task.Channel][]string{task.Email: providers}}, store.Wanted{ID: id, UserID: "ada", Channel: task.Email})
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		leased = all[0]
	}
	finish := func(state store.DeliveryState, wait time.Duration, problem string) {
		t.Helper()
		if err := w.Store.Finish(t.Context(), store.Alone, store.Ending{Of: leased, State: state, Wait: wait, Error: problem}); err != nil {
			t.Fatal(err)
		}
	}
	wantLast("waiting: The e-mail to ada@example.com waits to be sent.")
	if err := w.Store.HoldBack(t.Context(), &store.Leased{Delivery: store.Delivery{ID: id, UserID: "ada", TaskID: made.ID}, Over: store.OverHour, HeldUntil: time.Now().Add(time.Hour)}, "over this hour's limit", []store.Instead{{DeliveryID: id, Notification: store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: "ada", TaskID: made.ID, Title: "x"}}}); err != nil {
		t.Fatal(err)
	}
	if got := readTimeline(w, s, made.ID).of(task.Email); !strings.HasPrefix(got[len(got)-1], "held: The e-mail to ada@example.com is not sent yet: you were sent as many messages in this hour") {
		t.Errorf("held by a limit: %q", got)
	}
	lease("sendgrid", "ses")
	wantLast("waiting: The e-mail to ada@example.com is being sent: attempt 1 with sendgrid. If nobody has said by then what came of it, it is tried again.")
	finish(store.Planned, 0, "503 from sendgrid")
	lease("sendgrid", "ses")
	finish(store.Planned, time.Minute, "429 from ses")
	lease("ses")
	finish(store.Exhausted, 0, "still 429")
	wantLast("ended: The e-mail to ada@example.com was given up after attempt 3: still 429.")
	letters, _, err := w.Store.ListDeadLetters(t.Context(), store.DeadLetterFilter{}, uuid.Nil, 10)
	if err != nil || len(letters) != 1 {
		t.Fatal(letters, err)
	}
	if _, err := w.Store.ReplayDeadLetter(t.Context(), letters[0].ID, false); err != nil {
		t.Fatal(err)
	}
	lease("ses")
	finish(store.Unknown, time.Minute, "the connection was cut")
	wantLast("waiting: The e-mail to ada@example.com may have been taken by ses. It is tried again with the same idempotency key.")
	lease("ses")
	finish(store.Sent, 0, "")
	w.Exec(`update deliveries set report = 'bounced', reported_at = now() where channel = 'email'`)

	l := readTimeline(w, s, made.ID)
	want := []string{
		"held: The e-mail to ada@example.com is held: over this hour's limit.",
		"tried: The e-mail to ada@example.com was tried: sendgrid has not taken it, and the next provider has its turn: 503 from sendgrid.",
		"tried: The e-mail to ada@example.com was tried: ses has not taken it: 429 from ses.",
		"tried: The e-mail to ada@example.com was tried: ses has not taken it: still 429.",
		"replayed: The e-mail to ada@example.com was replayed by an operator: all its attempts begin anew.",
		"tried: The e-mail to ada@example.com was tried: nobody can say whether ses has taken it: the connection was cut.",
		"sent: The e-mail to ada@example.com was taken by ses, at attempt 2.",
		"reported: The e-mail to ada@example.com was reported as bounced by ses.",
	}
	if got := l.of(task.Email); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := l.of(task.InApp); len(got) != 1 || got[0] != "sent: The notification in the inbox is there." {
		t.Errorf("in-app: %q", got)
	}
	var first []string
	for _, e := range l.of("") {
		kind, _, _ := strings.Cut(e, ":")
		first = append(first, kind)
	}
	if want := []string{"due", "created", "fired"}; !slices.Equal(first, want) {
		t.Errorf("got %q, want %q", l.of(""), want)
	}
	if len(l.Reminders) != 1 || l.Reminders[0].State != "fired" || l.Reminders[0].Job != nil || l.More || l.Rule != nil {
		t.Errorf("got %+v", l)
	}
	for _, e := range l.Events {
		if e.Kind == ofTry && e.Attempt == 2 && e.Error == "429 from ses" && (e.Provider != "ses" || e.Until == nil || !e.Until.After(e.At)) {
			t.Errorf("got %+v", e)
		}
	}

	// After many attempts the timeline has the latest.
	for i := range 30 {
		w.Exec(`update deliveries set state = 'planned', finished_at = null, next_attempt_at = now(), attempts = 0, round = 0 where channel = 'email'`)
		lease("ses")
		finish(store.Planned, time.Minute, fmt.Sprint("try ", i))
	}
	if got := readTimeline(w, s, made.ID).of(task.Email); len(got) != 22 || !strings.HasPrefix(got[0], "reported") || !strings.HasSuffix(got[1], "try 10.") {
		t.Errorf("%d events: %q", len(got), got)
	}
}

// The timeline shows what is to come as well, and what triggers it.
func TestTimelineOfWhatIsToCome(t *testing.T) {
	w := functiontest.New(t)
	due := task.Instant(time.Now().Add(2 * time.Hour))
	made := w.Seed("ada", task.Draft{Title: "x", DueDate: &due, Before: task.Exactly(0, time.Hour)})
	jobs := func(s *functiontest.Server) (states []jobState) {
		for _, r := range readTimeline(w, s, made.ID).Reminders {
			states = append(states, r.Job.State)
		}
		return states
	}
	s := functiontest.Serve(w, New)
	if got := jobs(s); !slices.Equal(got, []jobState{late, late}) {
		t.Errorf("Dapr was away: %v", got)
	}
	w.Exec(`update reminders set confirmed_revision = revision where before = '1 h'`)
	if got := jobs(s); !slices.Equal(got, []jobState{withDapr, late}) {
		t.Errorf("Dapr has one: %v", got)
	}
	if got := jobs(functiontest.Serve(w, New, "REMINDER_HORIZON=30m")); !slices.Equal(got, []jobState{withDapr, later}) {
		t.Errorf("beyond the horizon: %v", got)
	}
	l := readTimeline(w, s, made.ID)
	var ahead []string
	for _, e := range l.Events {
		if e.At.After(l.AsOf) {
			ahead = append(ahead, e.Text)
		}
	}
	if want := []string{"The reminder 1h before the due date fires.", "The task is due.", "The reminder at the due date fires."}; !slices.Equal(ahead, want) {
		t.Errorf("got %q, want %q", ahead, want)
	}
}

func TestTimelineOfRecurring(t *testing.T) {
	w := functiontest.New(t)
	start := time.Date(2030, 6, 1, 9, 0, 0, 0, time.UTC)
	made := w.Seed("ada", task.Draft{
		Title: "x", Due: task.Due{Form: task.ByClock, Local: wallclock.FromUTC(start), Zone: "UTC"}, Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY"}, Before: task.DefaultBefore(),
	})
	fireAt(w, made, start.AddDate(0, 0, 2))
	s := functiontest.Serve(w, New)
	l := readTimeline(w, s, made.ID)
	if l.Rule == nil || !strings.Contains(l.Rule.Text, "Every day") || l.Rule.Occurrence == nil || *l.Rule.Occurrence != "2030-06-01T09:00" {
		t.Errorf("rule %+v", l.Rule)
	}
	states := map[string]store.DeliveryState{}
	for _, e := range l.Events {
		switch e.Kind {
		case ofOccurrence:
			states[*e.Occurrence] = e.State
		case ofSending:
			if e.Occurrence == nil || *e.Occurrence != "2030-06-03T09:00" {
				t.Errorf("sent for %v", e.Occurrence)
			}
		}
	}
	if states["2030-06-01T09:00"] != "missed" || states["2030-06-02T09:00"] != "missed" || states["2030-06-03T09:00"] != "told" {
		t.Errorf("occurrences %v", states)
	}
	if r := l.Reminders[0]; r.Occurrence == nil || *r.Occurrence != "2030-06-04T09:00" || r.Job == nil {
		t.Errorf("reminder %+v", r)
	}
}

// A bundled delivery has the attempts of its bundle. The timeline says how many reminders are in
// the bundle, and why it waits.
func TestTimelineOfABundle(t *testing.T) {
	w := functiontest.New(t)
	due := task.Instant(time.Now().Add(-time.Minute))
	made := w.Seed("ada", task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.InApp}})
	s := functiontest.Serve(w, New)
	fireAt(w, made, time.Now())
	carrier := uuid.Must(uuid.NewV7())
	w.Exec(fmt.Sprintf(`
		with carrier as (
			insert into deliveries (id, bundle_id, revision, user_id, channel, target, state, next_attempt_at, reason, tries)
			values ('%[1]s', '%[1]s', 1, 'ada', 'email', 'ada@example.com', 'planned', now() + interval '1 h', 'quiet_hours',
				'[{"at":"2025-11-23T15:00:00Z","attempt":1,"provider":"ses","state":"planned","error":"503","next":"2025-11-23T15:01:00Z"},
				{"at":"2025-11-23T15:01:00Z","attempt":1,"provider":"ses","state":"held","error":"your quiet hours","next":"2025-11-23T16:01:00Z"}]') returning id
		), bundle as (insert into bundles (id, user_id, channel, target) select id, 'ada', 'email', 'ada@example.com' from carrier)
		insert into deliveries (id, bundle_id, reminder_id, revision, task_id, user_id, channel, target, state, due_at)
		select gen_random_uuid(), '%[1]s', '%[2]s', n, '%[3]s', 'ada', 'email', 'ada@example.com', 'bundled', now() - interval '90 s' from generate_series(1, 2) n`, carrier, made.Reminders[0].ID, made.ID))
	mails := func(revision int64) (all []string) {
		for _, e := range readTimeline(w, s, made.ID).Events {
			if e.Channel == task.Email && e.Revision == revision {
				all = append(all, strings.TrimSpace(fmt.Sprintln(e.Kind, e.State, e.Attempt, e.Reason, e.BundleReminders)))
			}
		}
		return all
	}
	for _, revision := range []int64{1, 2} {
		if got, want := mails(revision), []string{"tried planned 1  2", "held held 1 quiet_hours 2", "held bundled 0 quiet_hours 2"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	w.Exec(`update deliveries set state = 'sent', attempts = 2, provider = 'ses', reason = null, next_attempt_at = null, finished_at = now() where bundle_id is not null`)
	if got := readTimeline(w, s, made.ID).of(task.Email); got[len(got)-1] != "sent: The e-mail to ada@example.com was taken by ses, at attempt 2, with 2 reminders in one message." {
		t.Errorf("got %q", got)
	}
	for _, e := range readTimeline(w, s, made.ID).Events {
		if e.Kind == ofFiring && e.Revision == 2 && (e.LateSeconds == nil || *e.LateSeconds < 60) {
			t.Errorf("not late: %+v", e)
		}
	}
}

// A timeline has a limited size, and only its user can read it.
func TestTimelineIsBounded(t *testing.T) {
	w := functiontest.New(t)
	due := task.Instant(time.Now().Add(-time.Minute))
	made := w.Seed("ada", task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()})
	w.Exec(fmt.Sprintf(`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, last_error, finished_at)
		select gen_random_uuid(), '%s', 1, '%s', 'ada', 'email', i || '@example.com', 'suppressed', 'nothing is sent there', now() from generate_series(1, 500) i`, made.Reminders[0].ID, made.ID))
	s := functiontest.Serve(w, New)
	l := readTimeline(w, s, made.ID)
	if got := l.of(task.Email); len(got) != mostShown || !l.More || !strings.HasSuffix(got[0], "is not sent: nothing is sent there.") {
		t.Errorf("%d events, more: %v, such as %q", len(got), l.More, got[0])
	}
	path := "/api/tasks/" + made.ID.String() + "/timeline"
	w.WantProblem(s.As("eve", "GET", path, nil), 404, "not_found", "no such task")
	w.WantProblem(s.Call("GET", path, nil), 401, "unauthenticated", "")
	w.WantProblem(s.As("ada", "GET", "/api/tasks/nonsense/timeline", nil), 400, "invalid", "UUID")
}
