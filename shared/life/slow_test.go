package life_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// stuck is a channel that never answers ada, until the test has ended. The others' messages
// go to next.
type stuck struct {
	next  deliver.Channel
	ended <-chan struct{}
}

func (s stuck) Send(ctx context.Context, m notify.Message) error {
	if m.UserID != ada.ID {
		return s.next.Send(ctx, m)
	}
	select {
	case <-ctx.Done():
	case <-s.ended:
	}
	return &notify.Error{Kind: notify.Unknown, Err: errDown}
}

const (
	// hogSize is how many deliveries ada has that are never answered. One after the other in
	// as many places as there are, they would take an hour.
	hogSize = 400
	// hogTime is how long each of the hog's sends may take. None ends before the test does.
	hogTime = 2 * time.Minute
	// soon is in which time others are told: before the first of the hog's sends ends.
	soon = time.Minute
)

// hog is a world in which ada has hogSize deliveries by a channel that never answers her,
// all in the queue, and senders at work.
type hog struct{ *world }

func newHog(t *testing.T, channel task.Channel) hog {
	t.Helper()
	w := newWorld(t, atNoon)
	channels := byEmail(w.mail)
	channels[task.Webhook] = []deliver.Provider{{Name: "webhook", Channel: w.mail}}
	channels[channel][0].Channel = stuck{w.mail, t.Context().Done()}
	rules := settings
	rules.SendTimeout, rules.Lease, rules.Concurrent, rules.PerUser, rules.Linger = hogTime, 2*hogTime, 16, 4, 5*time.Second
	w.firer = newTeller(w.store, channels, w.clock, rules)
	w.choose(func(p *preferences.Preferences) { p.Webhook = &preferences.Webhook{URL: hook, Secret: "whsec_bmV3"} })
	h := hog{w}
	h.make(ada.ID, hogSize, channel)
	sender := w.firer.newSender()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for { // as the sweep and the firings do
			sender.Wake()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-t.Context().Done():
				_ = sender.Stop(context.Background())
				return
			}
		}
	}()
	t.Cleanup(func() { <-ended })
	w.within(soon, "some of the hog's are under way", func() bool {
		return w.column(`select (count(*) > 0)::text from deliveries where state = 'sending'`)[0] == "true"
	})
	return h
}

// make makes so many reminders of a user and fires them. The callback must not wait for any
// send.
func (h hog) make(user string, n int, channels ...task.Channel) {
	h.Helper()
	owner := store.User{ID: user, Email: ptr(user + "@example.com")}
	var made task.Task
	var mu sync.Mutex
	var creates sync.WaitGroup
	for range n {
		creates.Go(func() {
			t, err := h.planner.Create(h.Context(), owner, task.Draft{Title: "Pay rent", DueDate: in(0), Before: task.DefaultBefore(), Channels: channels}, nil)
			if err != nil {
				h.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			made = t
		})
	}
	creates.Wait()
	began := time.Now()
	if _, err := h.firer.Firer.Fire(h.Context(), wake(made)); err != nil {
		h.Fatal(err)
	}
	if took := time.Since(began); took > soon {
		h.Errorf("a callback took %v", took)
	}
}

// within waits until something holds, for so long at most.
func (w *world) within(d time.Duration, what string, holds func() bool) {
	w.Helper()
	for deadline := time.Now().Add(d); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("not within %v: %s", d, what)
		}
	}
}

// waits is how many of ada's deliveries are still to be sent.
func (h hog) waits() string {
	h.Helper()
	return h.column(`select count(*)::text from deliveries where user_id = 'ada' and finished_at is null`)[0]
}

// One user's webhook accepts and never answers, and hundreds of messages wait for it: others
// are told at once, in the inbox and by e-mail.
func TestHogsWebhookHoldsUpNobody(t *testing.T) {
	h := newHog(t, task.Webhook)
	h.make("bob", 20)
	h.want("in bob's inbox", h.column(`select count(*)::text from notifications where user_id = 'bob'`), "20")
	h.within(soon, "20 e-mails", func() bool { return h.mail.count() == 20 })
	h.want("the hog's that wait", []string{h.waits()}, fmt.Sprint(hogSize))
}

// The same for others' own webhooks, which wait in the same lane.
func TestHogsWebhookHoldsUpNobodyElsesWebhook(t *testing.T) {
	h := newHog(t, task.Webhook)
	h.chooseFor(store.User{ID: "bob"}, func(p *preferences.Preferences) {
		p.Channels, p.Webhook = []task.Channel{task.Webhook}, &preferences.Webhook{URL: "https://bob.example.com/hook", Secret: "whsec_bmV3"}
	})
	h.make("bob", 4)
	h.within(soon, "4 posts", func() bool { return h.mail.count() == 4 })
}

// One user's e-mails hang with their provider: others' e-mails, which wait in the same lane,
// are sent.
func TestHogsMailsHoldUpNobodyElses(t *testing.T) {
	h := newHog(t, task.Email)
	h.make("bob", 20)
	h.within(soon, "20 e-mails", func() bool { return h.mail.count() == 20 })
}

// The e-mail provider is away while a hog's messages wait: once it is back nobody's e-mail
// waits for the hog.
func TestHogAndAnOutage(t *testing.T) {
	h := newHog(t, task.Webhook)
	h.mail.fail(&notify.Error{Kind: notify.Retry, Err: errDown})
	h.make("bob", 20)
	h.within(soon, "each e-mail was refused", func() bool { return h.mail.count() >= 20 })
	h.mail.fail(nil)
	sent := `select count(*)::text from deliveries where user_id = 'bob' and channel = 'email' and state = 'sent'`
	h.within(soon, "20 e-mails", func() bool { return h.column(sent)[0] == "20" })
	h.want("the hog's that wait", []string{h.waits()}, fmt.Sprint(hogSize))
}

// One user has thousands of reminders at one instant. What falls due for somebody else just
// after it is not fired after all of them.
func TestHogsSpikeHoldsUpNobodyElses(t *testing.T) {
	w := newWorld(t, atNoon)
	made := make([]task.Task, 2000)
	var creates sync.WaitGroup
	for i := range made {
		creates.Go(func() {
			made[i] = w.create(task.Draft{DueDate: in(-time.Second), Channels: []task.Channel{task.InApp}})
		})
	}
	creates.Wait()
	bob := store.User{ID: "bob"}
	if _, err := w.planner.Create(t.Context(), bob, task.Draft{Title: "Pay rent", DueDate: in(0), Before: task.DefaultBefore()}, nil); err != nil {
		t.Fatal(err)
	}
	w.fire(wake(made[0]))
	before := w.column(`
		select count(*)::text from reminders r where user_id = 'ada' and state = 'fired'
		and fired_at < (select fired_at from reminders where user_id = 'bob')`)
	w.want("of the hog's before bob's", before, "501") // the callback's, and a page
}

// fail has every message answered with an error, or accepted.
func (m *mailbox) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = func(notify.Message) error { return err }
}

// Somebody who stands still while he holds a reminder's row holds up nobody else's request.
func TestHeldReminderHoldsUpNobodyElsesCreate(t *testing.T) {
	w := newWorld(t, time.Now)
	locked := make(chan func(), 1)
	var once sync.Once
	w.dapr.onSchedule = func(context.Context) error {
		once.Do(func() { // the first reminder's row is taken as soon as Dapr has its job
			locked <- w.holdOpen(`select from reminders for update`)
		})
		return nil
	}
	due := task.Instant(time.Now().Add(50 * time.Second))
	held := make(chan struct{})
	go func() {
		defer close(held)
		w.create(task.Draft{Title: "held", DueDate: &due})
	}()
	release := <-locked
	w.waiting(1, held)
	other := w.create(task.Draft{Title: "other", DueDate: &due})
	if r := w.reload(other.ID).Reminders[0]; r.Confirmed != r.Revision || other.Reminders[0].Confirmed != r.Revision {
		t.Errorf("another task's reminder waits in vain for the row, too: %+v", r)
	}
	release()
	<-held
}

// Nor does somebody who holds a delivery's row hold up anybody else's e-mail.
func TestHeldDeliveryHoldsUpNobodyElsesEmail(t *testing.T) {
	w := newWorld(t, atNoon)
	w.mail.fail(&notify.Error{Kind: notify.Retry, Err: errDown})
	held := w.onlyMail()
	w.fire(wake(held))
	w.mail.fail(nil)
	w.due()
	release := w.holdOpen(fmt.Sprintf(`select from deliveries where task_id = '%s' for update`, held.ID))
	before := w.mail.count()
	other := w.onlyMail()
	if _, err := w.firer.Firer.Fire(t.Context(), wake(other)); err != nil {
		t.Fatal(err)
	}
	done := w.firer.newSender().Wake()
	w.within(soon, "the other e-mail is sent", func() bool { return w.mail.count() > before })
	release()
	<-done
	w.due()
	w.firer.send()
	w.want("the held one in the end", w.deliveries(held.ID), "email sent")
}

// Nor does somebody who holds as many deliveries' rows as a sender has places.
func TestHeldDeliveriesLeavePlacesToOthers(t *testing.T) {
	w := newWorld(t, atNoon)
	rules := settings
	rules.Concurrent, rules.PerUser = 4, 1
	w.firer = newTeller(w.store, byEmail(w.mail), w.clock, rules)
	plan := func(user string) task.Task {
		made, err := w.planner.Create(t.Context(), store.User{ID: user, Email: ptr(user + "@example.com")},
			task.Draft{Title: "Pay rent", DueDate: in(0), Before: task.DefaultBefore(), Channels: []task.Channel{task.Email}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.firer.Firer.Fire(t.Context(), wake(made)); err != nil {
			t.Fatal(err)
		}
		return made
	}
	for i := range 60 { // one round of a lane takes two of them
		plan(fmt.Sprint("held", i))
	}
	release := w.holdOpen(`select from deliveries for update`)
	plan("bob")
	done := w.firer.newSender().Wake()
	w.within(soon, "the e-mail that nobody holds is sent", func() bool { return w.mail.count() == 1 })
	release()
	<-done
	w.firer.send()
	w.want("e-mails that wait", w.column(`select user_id from deliveries where state <> 'sent'`))
}

// Somebody stands still while he holds a user's row, and many callbacks of this user come: those
// of others are answered.
func TestHeldUserHoldsUpNobodyElsesCallback(t *testing.T) {
	w := newWorld(t, atNoon)
	plan := func(user string) task.Task {
		made, err := w.planner.Create(t.Context(), store.User{ID: user}, task.Draft{Title: "Pay rent", DueDate: in(0), Before: task.DefaultBefore()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	many := make([]task.Task, 100)
	for i := range many {
		many[i] = plan("ada")
	}
	other := plan("bob")
	release := w.holdOpen(`select from users where id = 'ada' for update`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // as Dapr gives up
	defer cancel()
	var callbacks sync.WaitGroup
	for _, m := range many {
		callbacks.Go(func() { _, _ = w.firer.Firer.Fire(ctx, wake(m)) })
	}
	time.Sleep(time.Second) // so that they wait for the row: in how many sessions is the firer's own affair
	began := time.Now()
	if o, err := w.firer.Firer.Fire(t.Context(), wake(other)); err != nil || o.Status != fire.Success {
		t.Errorf("%+v, %v", o, err)
	}
	if took := time.Since(began); took > 10*time.Second { // in which half of the others have waited in vain
		t.Errorf("another's callback took %v", took)
	}
	release()
	callbacks.Wait()
	for _, m := range many { // as Dapr repeats it
		w.fire(wake(m))
	}
	w.want("in the held inbox, once the row is free", w.column(`select count(*)::text from notifications where user_id = 'ada'`), "100")
}

// The same for a sweep that finds many overdue reminders of this user before those of others.
func TestHeldUserHoldsUpNobodyElsesOverdue(t *testing.T) {
	h := newHouse(t)
	for range 200 {
		h.add(-time.Minute)
	}
	due := task.Instant(time.Now().Add(-30 * time.Second))
	if _, err := h.planner.Create(t.Context(), store.User{ID: "bob"}, task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()}, nil); err != nil {
		t.Fatal(err)
	}
	release := h.holdOpen(`select from users where id = 'ada' for update`)
	defer release()
	rules := sweepRules
	rules.Budget = 20 * time.Second
	sum, _ := newSweeper(h.store, h.dapr, h.firer, h.clock, rules).Sweep(t.Context())
	h.want("in the other's inbox", h.column(`select title from notifications where user_id = 'bob'`), "Pay rent")
	if sum.Complete || sum.Fired["error"] != 200 {
		t.Errorf("%+v", sum)
	}
}

// takes has Dapr take every job after a while.
func (d *fakeDapr) takes(while time.Duration) {
	d.onSchedule = func(ctx context.Context) error {
		select {
		case <-time.After(while):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// However slow Dapr is, a sweep has the sender woken and fires what is overdue, and says
// which of its steps had no time.
func TestSweepWhileDaprIsSlow(t *testing.T) {
	for name, tt := range map[string]struct {
		slow      func(*fakeDapr)
		scheduled bool // some are
	}{
		"0.8 s a job":      {func(d *fakeDapr) { d.takes(800 * time.Millisecond) }, true},
		"10 s a job":       {func(d *fakeDapr) { d.takes(10 * time.Second) }, false},
		"it never answers": {func(d *fakeDapr) { d.call = hang }, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.dapr.err = errDown
			for range 100 {
				h.add(time.Hour)
			}
			h.mail.fail(notNow)
			unsent := h.add(-2 * time.Minute)
			h.fire(wake(unsent))
			h.mail.fail(nil)
			h.due()
			overdue := h.add(-time.Minute)
			h.dapr.err = nil
			tt.slow(h.dapr)
			woken := h.firer.woken.Load()
			h.exec(`update reminders set next_schedule_at = null`)
			rules := sweepRules
			rules.Budget = 12 * time.Second
			began := time.Now()
			sum, _ := newSweeper(h.store, h.dapr, h.firer, h.clock, rules).Sweep(t.Context())
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			h.want("of the overdue one", h.deliveries(overdue.ID), "email sent", "in_app sent")
			h.want("of the unsent one", h.deliveries(unsent.ID), "email sent", "in_app sent")
			if n := h.firer.woken.Load() - woken; n < 2 {
				t.Errorf("the sender was woken %d times: not by the sweep and by the firing", n)
			}
			if (sum.Scheduled > 0) != tt.scheduled || sum.Complete {
				t.Errorf("%+v", sum)
			}
			for _, s := range sum.Steps {
				if s.Name == "schedule_pending" && (s.Complete || s.Error == "" && !s.CutShort) {
					t.Errorf("it does not say why: %+v", s)
				}
				if s.Name == "look_what_waits" && !s.Complete {
					t.Errorf("no time was left for the last step: %+v", s)
				}
			}
		})
	}
}
