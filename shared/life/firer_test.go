package life_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/local/postgres/pgtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Scheduled for 14:30: nothing at 14:29:59, fired at 14:30:00. The clock is
// synctest's, the database real.
func TestFiresAtTheInstant(t *testing.T) {
	url := pgtest.URL(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := newWorldOn(t, s, url, time.Now)
		w.dapr.fire = func(call task.Revision) {
			if _, err := w.firer.Fire(context.Background(), call); err != nil {
				t.Error(err)
			}
		}
		day := time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)
		due := day.Add(14*time.Hour + 30*time.Minute)
		w.create(task.Draft{DueDate: &due})

		time.Sleep(time.Until(due.Add(-time.Second))) // 14:29:59
		synctest.Wait()
		if n := len(w.inbox()) + w.mail.count(); n != 0 {
			t.Fatalf("%d messages at %v", n, time.Now())
		}
		time.Sleep(time.Second) // 14:30:00
		synctest.Wait()
		// What waits on the network is not asleep for synctest: give the firing
		// its round trips.
		for range 20_000 {
			if len(w.inbox()) == 1 && w.mail.count() == 1 {
				break
			}
		}
		if len(w.inbox()) != 1 || w.mail.count() != 1 {
			t.Errorf("at %v: %d in the inbox, %d e-mails, want 1 and 1", time.Now(), len(w.inbox()), w.mail.count())
		}
	})
}

// A callback a moment early waits for the instant; a clock that is far behind
// makes it stale.
func TestEarlyCallback(t *testing.T) {
	url := pgtest.URL(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := newWorldOn(t, s, url, time.Now)
		due := time.Now().Add(time.Minute)
		created := w.create(task.Draft{DueDate: &due})

		time.Sleep(57 * time.Second)
		if o := w.fire(wake(created)); o.Status != fire.Skipped || o.Reason != task.ReasonEarly {
			t.Errorf("3 s early: %+v", o)
		}
		time.Sleep(1500 * time.Millisecond)
		if o := w.fire(wake(created)); o.Status != fire.Success {
			t.Errorf("1.5 s early: %+v", o)
		}
		if time.Now().Before(due) {
			t.Errorf("fired %v early", time.Until(due))
		}
	})
}

func TestFireTellsEveryChannel(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{Title: "Pay rent", Notes: "Bank transfer", DueDate: in(time.Hour)})
	// What is told is what the task says now.
	w.update(created.ID, func(d *task.Draft) { d.Title, d.DueDate = "Pay the rent", in(0) })
	now := w.reload(created.ID)

	if o := w.fire(wake(now)); o.Status != fire.Success {
		t.Fatalf("outcome %+v", o)
	}
	got := w.inbox()
	if len(got) != 1 || got[0].Title != "Pay the rent" || got[0].Body != "Due Mon, 23 Nov 2026 12:00 UTC" || got[0].TaskID != created.ID || got[0].DueDate == nil || !got[0].DueDate.Equal(*now.DueDate) {
		t.Errorf("inbox: %+v", got)
	}
	if w.mail.count() != 1 {
		t.Fatalf("%d e-mails", w.mail.count())
	}
	if m := w.mail.messages[0]; m.To != "ada@example.com" || m.Title != "Pay the rent" || m.Notes != "Bank transfer" {
		t.Errorf("e-mail: %+v", m)
	}
	if diff := cmp.Diff([]string{"email sent", "in_app sent"}, w.deliveries(created.ID)); diff != "" {
		t.Error(diff)
	}
	if s := w.reload(created.ID).Reminders[0].Status(forever); s != "fired" {
		t.Errorf("stored as %s", s)
	}
	if o := w.fire(wake(now)); o.Status != fire.Skipped || o.Reason != fire.ReasonDelivered {
		t.Errorf("the same callback again: %+v", o)
	}
}

func TestFiftyCallbacksAtOnceSendOnce(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	outcomes := map[fire.Status]int{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			o, err := w.firer.Fire(context.Background(), wake(created))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[o.Status]++
		})
	}
	group.Wait()
	if len(w.inbox()) != 1 || w.mail.count() != 1 {
		t.Errorf("%d in the inbox, %d e-mails", len(w.inbox()), w.mail.count())
	}
	if outcomes[fire.Success] != 1 {
		t.Errorf("outcomes %v, want one success", outcomes)
	}
}

func TestUnknownReminderIsSkipped(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(-time.Hour)}) // too long ago to be fired as a neighbour
	calls := map[string]task.Revision{"unknown": {TaskID: uuid.New(), UserID: "ada", ReminderID: uuid.New(), Number: 1}}
	other := wake(created)
	other.UserID = "eve"
	calls["another user"] = other
	other = wake(created)
	other.TaskID = uuid.New()
	calls["another task"] = other
	for name, call := range calls {
		if o := w.fire(call); o.Status != fire.Skipped || o.Reason != "not_found" {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if len(w.inbox()) > 0 {
		t.Error("fired")
	}
}

// If the process dies after the plan is committed and before anything is sent,
// the repeated callback sends it.
func TestRepeatedCallbackSendsWhatIsPlanned(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	w.exec(`update deliveries set state = 'planned', attempts = 0, next_attempt_at = now(), finished_at = null where channel = 'email'`)
	if o := w.fire(wake(created)); o.Status != fire.InProgress {
		t.Errorf("outcome %+v", o)
	}
	if len(w.inbox()) != 1 || w.mail.count() != 2 {
		t.Errorf("%d in the inbox, %d e-mails", len(w.inbox()), w.mail.count())
	}
}

func TestSenderDiesWhileSending(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	w.exec(`update deliveries set state = 'sending', next_attempt_at = now() + interval '20 s', finished_at = null where channel = 'email'`)
	if o := w.fire(wake(created)); o.Status != fire.InProgress || w.mail.count() != 1 {
		t.Errorf("while the lease holds: %+v, %d e-mails", o, w.mail.count())
	}
	w.exec(`update deliveries set next_attempt_at = now() where channel = 'email'`)
	if o := w.fire(wake(created)); o.Status != fire.InProgress || w.mail.count() != 2 {
		t.Errorf("after the lease: %+v, %d e-mails", o, w.mail.count())
	}
}

// A lease that began long before its holder learns of it is left to run out.
func TestLeaseAnsweredLateIsNotUsed(t *testing.T) {
	w := newWorld(t, atNoon)
	w.exec(`
		create function late() returns trigger language plpgsql as 'begin perform pg_sleep(1.1); return new; end';
		create trigger late before update on deliveries for each row when (new.state = 'sending') execute function late()`)
	w.firer = newTeller(w.store, byEmail(w.mail), w.clock,
		deliver.Rules{SendTimeout: time.Second, Lease: 2 * time.Second, MaxAttempts: 3, Concurrent: 64, PerUser: 64})
	created := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Email}})
	if o := w.fire(wake(created)); o.Status != fire.Success || w.mail.count() != 0 {
		t.Errorf("%+v, %d e-mails", o, w.mail.count())
	}
	w.want("deliveries", w.deliveries(created.ID), "email sending")
}

// The lease was long in coming, so that little of it is left: a send begun now could
// still be under way when the next sender takes the delivery.
func TestLateLeaseIsNotUsed(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Email}})
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	_, _ = w.firer.Fire(t.Context(), wake(created))
	w.exec(`update deliveries set next_attempt_at = now()`)
	rules := settings
	rules.Lease = 2 * time.Second
	slow := &slowChannel{takes: 900 * time.Millisecond}
	w.firer = newTeller(w.store, byEmail(slow), w.clock, rules)

	locked := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		w.hold(`lock table deliveries in exclusive mode`, locked, 1700*time.Millisecond)
	})
	<-locked
	group.Go(w.firer.send)
	time.Sleep(2100 * time.Millisecond) // the lease that was asked for then has run out
	w.firer.send()
	group.Wait()
	if n := slow.sent.Load(); n > 1 {
		t.Errorf("sent %d times", n)
	}
	w.exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
	if w.firer.send(); slow.sent.Load() != 1 {
		t.Errorf("in the end: sent %d times", slow.sent.Load())
	}
}

// slowChannel is a channel whose provider takes its time, and every message.
type slowChannel struct {
	takes time.Duration
	sent  atomic.Int32
}

func (c *slowChannel) Send(context.Context, notify.Message) error {
	c.sent.Add(1)
	time.Sleep(c.takes)
	return nil
}

func TestFailedSends(t *testing.T) {
	refused := errors.New("refused")
	tests := map[string]struct {
		answer    error
		wantState string
	}{
		"permanent":            {&notify.Error{Kind: notify.Permanent, Err: refused}, "email failed"},
		"transient":            {&notify.Error{Kind: notify.Retry, Err: refused}, "email planned"},
		"retry much later":     {&notify.Error{Kind: notify.Retry, After: time.Hour, Err: refused}, "email planned"},
		"no answer":            {&notify.Error{Kind: notify.Unknown, Err: refused}, "email unknown"},
		"an error of any kind": {refused, "email unknown"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			w.mail.answer = func(notify.Message) error { return tt.answer }
			created := w.create(task.Draft{DueDate: in(0)})
			if o := w.fire(wake(created)); o.Status != fire.Success {
				t.Errorf("got %+v", o)
			}
			if diff := cmp.Diff([]string{tt.wantState, "in_app sent"}, w.deliveries(created.ID)); diff != "" {
				t.Error(diff)
			}
			if len(w.inbox()) != 1 {
				t.Errorf("%d in the inbox: a failing channel must not stop another", len(w.inbox()))
			}
			// Not due yet: nothing is sent, whoever asks.
			w.mail.answer = nil
			again, want := fire.Outcome{Status: fire.InProgress}, "email sent"
			if tt.wantState == "email failed" {
				again, want = fire.Outcome{Status: fire.Skipped, Reason: fire.ReasonDelivered}, "email failed"
			}
			if o := w.fire(wake(created)); o != again || w.mail.count() != 1 {
				t.Errorf("at once again: %d e-mails, %+v", w.mail.count(), o)
			}
			w.exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
			if o := w.fire(wake(created)); o != again {
				t.Errorf("when due: %+v", o)
			}
			if got := w.deliveries(created.ID); !slices.Contains(got, want) {
				t.Errorf("in the end: %v, want %s", got, want)
			}
			if len(w.inbox()) != 1 {
				t.Errorf("%d in the inbox", len(w.inbox()))
			}
		})
	}
}

func TestGivesUpAfterMaxAttempts(t *testing.T) {
	w := newWorld(t, atNoon)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	created := w.create(task.Draft{DueDate: in(0)})
	for range settings.MaxAttempts + 2 {
		_, _ = w.firer.Fire(t.Context(), wake(created))
		w.exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
	}
	if w.mail.count() != settings.MaxAttempts {
		t.Errorf("%d tries, want %d", w.mail.count(), settings.MaxAttempts)
	}
	if got := w.deliveries(created.ID); !slices.Contains(got, "email exhausted") {
		t.Errorf("ended as %v", got)
	}
}

// Cancelling a task stops what has fired and is still unsent.
func TestCancellingStopsUnsentDeliveries(t *testing.T) {
	for what, change := range map[string]func(*task.Draft){
		"completed":        func(d *task.Draft) { d.Completed = true },
		"due date removed": func(d *task.Draft) { d.DueDate = nil },
		"moved":            func(d *task.Draft) { d.DueDate = in(time.Hour) },
		"offset removed":   func(d *task.Draft) { d.Before = task.Exactly(time.Minute) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, atNoon)
			w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
			created := w.create(task.Draft{DueDate: in(0)})
			_, _ = w.firer.Fire(t.Context(), wake(created))
			w.update(created.ID, change)
			w.mail.answer = nil
			if o := w.fire(wake(created)); o.Status != fire.Skipped {
				t.Errorf("outcome %+v", o)
			}
			if w.mail.count() != 1 || !slices.Contains(w.deliveries(created.ID), "email cancelled") {
				t.Errorf("%d e-mails tried, %v", w.mail.count(), w.deliveries(created.ID))
			}
		})
	}
}

// One that is cancelled in mid-send and reaches its recipient is on record as
// sent; one that fails is not tried again.
func TestCancelledInMidSend(t *testing.T) {
	for want, answer := range map[string]error{"email sent": nil, "email cancelled": &notify.Error{Kind: notify.Retry, Err: errDown}} {
		t.Run(want, func(t *testing.T) {
			w := newWorld(t, atNoon)
			created := w.create(task.Draft{DueDate: in(0)})
			w.mail.answer = func(notify.Message) error {
				w.update(created.ID, func(d *task.Draft) { d.Completed = true })
				return answer
			}
			_, _ = w.firer.Fire(t.Context(), wake(created))
			if got := w.deliveries(created.ID); !slices.Contains(got, want) {
				t.Errorf("got %v, want %s", got, want)
			}
		})
	}
}

func TestChannelsOfATask(t *testing.T) {
	tests := map[string]struct {
		channels []task.Channel
		owner    store.User
		noMail   bool
		want     []string
	}{
		"preferences":                          {nil, ada, false, []string{"email sent", "in_app sent"}},
		"no address":                           {nil, store.User{ID: "ada"}, false, []string{"in_app sent"}},
		"e-mail not set up":                    {nil, ada, true, []string{"in_app sent"}},
		"in-app only":                          {[]task.Channel{task.InApp}, ada, false, []string{"in_app sent"}},
		"e-mail only":                          {[]task.Channel{task.Email}, ada, false, []string{"email sent"}},
		"e-mail only, no address: in-app":      {[]task.Channel{task.Email}, store.User{ID: "ada"}, false, []string{"email failed", "in_app sent"}},
		"e-mail only, not set up: in-app":      {[]task.Channel{task.Email}, ada, true, []string{"email failed", "in_app sent"}},
		"both asked for, no address: one told": {[]task.Channel{task.Email, task.InApp}, store.User{ID: "ada"}, false, []string{"email failed", "in_app sent"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			if tt.noMail {
				w.firer = newTeller(w.store, nil, w.clock, settings)
			}
			created, err := w.planner.Create(t.Context(), tt.owner, task.Draft{Title: "x", DueDate: in(0), Before: task.DefaultBefore(), Channels: tt.channels}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if o := w.fire(wake(created)); o.Status != fire.Success {
				t.Errorf("outcome %+v", o)
			}
			if diff := cmp.Diff(tt.want, w.deliveries(created.ID)); diff != "" {
				t.Error(diff)
			}
			wantInbox := 0
			if slices.Contains(tt.want, "in_app sent") {
				wantInbox = 1
			}
			if len(w.inbox()) != wantInbox {
				t.Errorf("%d in the inbox, want %d", len(w.inbox()), wantInbox)
			}
		})
	}
}

// The channels and addresses are those of the preferences, unless the task names
// channels of its own; what can't be used is on record, and somebody is told.
// Where events are set up, each fired reminder is one, whatever its user has chosen. It
// tells no user: one who can't be told otherwise is told in-app.
func TestEveryFiredReminderIsAnEvent(t *testing.T) {
	for name, tt := range map[string]struct {
		channels []task.Channel
		owner    store.User
		want     []string
	}{
		"preferences":             {nil, ada, []string{"email sent", "event sent", "in_app sent"}},
		"e-mail only":             {[]task.Channel{task.Email}, ada, []string{"email sent", "event sent"}},
		"e-mail only, no address": {[]task.Channel{task.Email}, store.User{ID: "ada"}, []string{"email failed", "event sent", "in_app sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			broker := &mailbox{}
			w.firer = newTeller(w.store, deliver.Channels{task.Email: {{Name: "sendgrid", Channel: w.mail}}, task.Event: {{Name: "dapr", Channel: broker}}}, w.clock, settings)
			created, err := w.planner.Create(t.Context(), tt.owner, task.Draft{Title: "Pay rent", DueDate: in(0), Before: task.DefaultBefore(), Channels: tt.channels}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if o := w.fire(wake(created)); o.Status != fire.Success {
				t.Errorf("outcome %+v", o)
			}
			if diff := cmp.Diff(tt.want, w.deliveries(created.ID)); diff != "" {
				t.Error(diff)
			}
			m := broker.messages[0]
			if broker.count() != 1 || m.TaskID != created.ID || m.UserID != "ada" || m.To != "" || m.Title != "Pay rent" || !m.DueDate.Equal(*created.DueDate) {
				t.Errorf("published %+v", broker.messages)
			}
			if id := w.column(`select id::text from deliveries where channel = 'event' and due_at = '` + created.DueDate.Format(time.RFC3339Nano) + `'`); len(id) != 1 || id[0] != m.ID.String() {
				t.Errorf("the event's id is %s, the delivery's %v", m.ID, id)
			}
		})
	}
}

// A broker that is away stops nothing else: the user is told, and the event waits for it.
func TestBrokerAway(t *testing.T) {
	w := newWorld(t, atNoon)
	away := true
	broker := &mailbox{answer: func(notify.Message) error {
		if away {
			return &notify.Error{Kind: notify.Unknown, Err: errors.New("no answer")}
		}
		return nil
	}}
	w.firer = newTeller(w.store, deliver.Channels{task.Email: {{Name: "sendgrid", Channel: w.mail}}, task.Event: {{Name: "dapr", Channel: broker}}}, w.clock, settings)
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	if diff := cmp.Diff([]string{"email sent", "event unknown", "in_app sent"}, w.deliveries(created.ID)); diff != "" {
		t.Error(diff)
	}
	away = false
	w.exec(`update deliveries set next_attempt_at = now() where channel = 'event'`)
	w.firer.send()
	if broker.count() != 2 || broker.messages[0].ID != broker.messages[1].ID || w.mail.count() != 1 || len(w.inbox()) != 1 {
		t.Errorf("published %d times, %d e-mails, %d in the inbox", broker.count(), w.mail.count(), len(w.inbox()))
	}
}

// What becomes of a task afterwards does not undo that its reminder has fired: an event
// that waits for the broker is published all the same.
func TestEventOutlivesItsReminder(t *testing.T) {
	for what, change := range map[string]func(*world, task.Task){
		"completed": func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Completed = true }) },
		"moved":     func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.DueDate = in(time.Hour) }) },
		"deleted":   func(w *world, t task.Task) { w.remove(t.ID) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, atNoon)
			broker := &mailbox{answer: func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }}
			w.mail.answer = broker.answer
			w.firer = newTeller(w.store, deliver.Channels{task.Email: {{Name: "sendgrid", Channel: w.mail}}, task.Event: {{Name: "dapr", Channel: broker}}}, w.clock, settings)
			created := w.create(task.Draft{DueDate: in(0)})
			_, _ = w.firer.Fire(t.Context(), wake(created))
			change(w, created)
			broker.answer = nil
			w.exec(`update deliveries set next_attempt_at = now() where state = 'planned'`)
			w.firer.send()
			w.want("deliveries", w.column(`select channel || ' ' || state from deliveries order by 1`), "email cancelled", "event sent", "in_app sent")
			if n := broker.count(); n != 2 {
				t.Errorf("published %d times", n)
			}
		})
	}
}

func TestPlanHonoursPreferences(t *testing.T) {
	on := func(channels ...task.Channel) func(*preferences.Preferences) {
		return func(p *preferences.Preferences) { p.Channels = channels }
	}
	both := on(task.InApp, task.Email)
	tests := map[string]struct {
		choose  func(*preferences.Preferences)
		task    []task.Channel
		noEmail bool // at the sign-in
		noMail  bool // no e-mail channel is set up
		want    []string
	}{
		"both on":              {both, nil, false, false, []string{"email ada@example.com sent", "in_app  sent"}},
		"e-mail off":           {on(task.InApp), nil, false, false, []string{"in_app  sent"}},
		"in-app off":           {on(task.Email), nil, false, false, []string{"email ada@example.com sent"}},
		"all off: in-app":      {on(), nil, false, false, []string{"in_app  sent"}},
		"the task's own":       {on(task.InApp), []task.Channel{task.Email}, false, false, []string{"email ada@example.com sent"}},
		"the task's own, less": {both, []task.Channel{task.InApp}, false, false, []string{"in_app  sent"}},
		"several addresses": {
			func(p *preferences.Preferences) { both(p); p.Emails = []string{"a@x.org", "b@x.org"} }, nil, false, false,
			[]string{"email a@x.org sent", "email b@x.org sent", "in_app  sent"},
		},
		"addresses, none at the sign-in": {
			func(p *preferences.Preferences) { on(task.Email)(p); p.Emails = []string{"a@x.org"} }, nil, true, false,
			[]string{"email a@x.org sent"},
		},
		"addresses, for the task's own": {
			func(p *preferences.Preferences) { on()(p); p.Emails = []string{"a@x.org"} },
			[]task.Channel{task.Email},
			false, false,
			[]string{"email a@x.org sent"},
		},
		"e-mail on, no address": {
			both, nil, true, false,
			[]string{"email  failed: your sign-in has no verified e-mail address, and your preferences name none", "in_app  sent"},
		},
		"e-mail on, not set up, nothing else": {
			on(task.Email), nil, false, true,
			[]string{"email  failed: this channel is not set up here", "in_app  sent"},
		},
		"channels without a sender": {on(task.Channels...), nil, false, false, []string{
			"email ada@example.com sent", "in_app  sent", "push  failed: this channel is not set up here",
			"sms  failed: this channel is not set up here", "webhook  failed: this channel is not set up here",
		}},
		"one without a sender, by the task": {
			both,
			[]task.Channel{task.SMS},
			false, false,
			[]string{"in_app  sent", "sms  failed: this channel is not set up here"},
		},
		"unsubscribed, and the task asks for e-mail": {
			func(p *preferences.Preferences) { on(task.InApp)(p); p.Unsubscribed = true },
			[]task.Channel{task.Email},
			false, false,
			[]string{"email  failed: you have unsubscribed from e-mail; switch it on again in your preferences", "in_app  sent"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atNoon)
			w.choose(tt.choose)
			if tt.noMail {
				w.firer = newTeller(w.store, nil, w.clock, settings)
			}
			owner := ada
			if tt.noEmail {
				owner.Email = nil
			}
			created, err := w.planner.Create(t.Context(), owner, task.Draft{Title: "x", DueDate: in(0), Before: task.DefaultBefore(), Channels: tt.task}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // a second time nothing is added
				w.fire(wake(created))
				log, err := w.store.ListDeliveries(t.Context(), ada.ID, created.ID)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, d := range log {
					line := fmt.Sprintf("%s %s %s", d.Channel, d.Target, d.State)
					if d.LastError != "" {
						line += ": " + d.LastError
					}
					got = append(got, line)
				}
				slices.Sort(got)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
			wantInbox := 0
			if slices.Contains(tt.want, "in_app  sent") {
				wantInbox = 1
			}
			if len(w.inbox()) != wantInbox {
				t.Errorf("%d in the inbox, want %d", len(w.inbox()), wantInbox)
			}
		})
	}
}

func TestTimesAreInTheUsersZone(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) { p.TimeZone = "Asia/Kathmandu" })
	w.fire(wake(w.create(task.Draft{DueDate: in(0)})))
	const want = "Due Mon, 23 Nov 2026 17:45 UTC+05:45"
	if got := w.inbox()[0].Body; got != want {
		t.Errorf("in-app: %q", got)
	}
	if got := w.mail.messages[0]; got.Due() != want || got.UserID != "ada" {
		t.Errorf("e-mail: %q to %q", got.Due(), got.UserID)
	}
}

func TestFireTask(t *testing.T) {
	w := newWorld(t, time.Now)
	due := task.Instant(time.Now().Add(-time.Minute))
	created := w.create(task.Draft{DueDate: &due})
	later := task.Instant(time.Now().Add(time.Hour))
	notYet := w.create(task.Draft{DueDate: &later})

	fireTask := func(user string, id uuid.UUID) fire.Outcome {
		o, err := w.firer.FireTask(t.Context(), user, id)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := fireTask("eve", created.ID); o.Status != fire.Skipped {
		t.Errorf("another user: %+v", o)
	}
	if o := fireTask("ada", notYet.ID); o.Status != fire.Skipped {
		t.Errorf("not due: %+v", o)
	}
	if o := fireTask("ada", created.ID); o.Status != fire.Success {
		t.Errorf("due: %+v", o)
	}
	if o := fireTask("ada", created.ID); o.Status != fire.InProgress { // its e-mail is unsent
		t.Errorf("again: %+v", o)
	}
	w.firer.send()
	if o := fireTask("ada", created.ID); o.Status != fire.Skipped {
		t.Errorf("once more: %+v", o)
	}
	if len(w.inbox()) != 1 {
		t.Errorf("%d in the inbox", len(w.inbox()))
	}
}

// Many reminders of one user fire at once while a reader goes on from the last
// one it saw: it sees each once, in one order.
func TestInboxReaderMissesNothing(t *testing.T) {
	w := newWorld(t, atNoon)
	const reminders = 60
	calls := make([]task.Revision, reminders)
	for i := range calls {
		calls[i] = wake(w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.InApp}}))
	}
	var group sync.WaitGroup
	for _, call := range calls {
		group.Go(func() {
			if _, err := w.firer.Fire(context.Background(), call); err != nil {
				t.Error(err)
			}
		})
	}
	seen := map[uuid.UUID]bool{}
	last := uuid.Nil
	deadline := time.Now().Add(time.Minute)
	for len(seen) < reminders && time.Now().Before(deadline) {
		page, err := w.store.ListNotifications(t.Context(), "ada", store.InboxPage{After: &last, Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page {
			if seen[n.ID] {
				t.Fatalf("%s came twice", n.ID)
			}
			seen[n.ID] = true
			last = n.ID
		}
	}
	group.Wait()
	if len(seen) != reminders {
		t.Errorf("saw %d of %d", len(seen), reminders)
	}
}

// Updates and firings of the same tasks take the same locks in the same order.
func TestUpdatesAndFiringsDontDeadlock(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0), Before: task.Exactly(0, time.Minute, 2*time.Minute)})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 10 {
				_, err := w.planner.Update(context.Background(), store.User{ID: "ada", Email: ptr(strings.Repeat("a", i+1) + "@example.com")}, created.ID,
					func(t task.Task) (task.Draft, error) {
						t.DueDate = in(-time.Duration(n) * time.Second)
						return t.Draft, nil
					})
				if err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
		group.Go(func() {
			for range 10 {
				for _, r := range w.reload(created.ID).Reminders {
					call := task.Revision{TaskID: created.ID, UserID: "ada", ReminderID: r.ID, Number: r.Revision}
					if _, err := w.firer.Fire(context.Background(), call); err != nil {
						t.Errorf("fire: %v", err)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for attempts, limit := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 11: 15 * time.Minute, 40: 15 * time.Minute, 1000: 15 * time.Minute} {
		for range 100 {
			if got := deliver.Backoff(attempts); got > limit || got < limit*3/4 {
				t.Errorf("attempt %d: %v, want between %v and %v", attempts, got, limit*3/4, limit)
			}
		}
	}
}

func TestDatabaseAwayIsUnavailable(t *testing.T) {
	s, err := store.Open(store.Config{URL: "postgres://duebell@127.0.0.1:1/duebell", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.GetTask(t.Context(), "ada", uuid.New())
	if fault.CodeOf(err) != fault.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}
