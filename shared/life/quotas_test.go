package life_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// limited has what is sent be counted, and begins when no hour is about to turn.
func limited(t *testing.T, rules quota.Rules) *world {
	t.Helper()
	storetest.WithinHour(time.Minute)
	w := newWorld(t, atNoon)
	w.limit(rules)
	return w
}

func (w *world) limit(rules quota.Rules) {
	channels := deliver.Channels{task.Email: {{Name: "sendgrid", Channel: w.mail}}, task.SMS: {{Name: "twilio", Channel: w.mail}}}
	settings := settings
	settings.Quota, settings.MaxAttempts = rules, 12
	w.firer = newTeller(w.store, channels, w.clock, settings)
}

// anHourLater has it be another hour, as far as counts are concerned.
func (w *world) anHourLater() {
	w.Helper()
	w.exec(`update quotas set hour = hour - interval '1 h'`)
	w.due()
	w.firer.send()
}

// perUser are limits for one user's e-mails.
func perUser(hour, day int) quota.Rules {
	return quota.Rules{Limits: quota.Limits{PerHour: quota.PerChannel{task.Email: hour}, PerDay: quota.PerChannel{task.Email: day}}}
}

// short has of each line only what comes before a colon.
func short(lines []string) []string {
	for i, line := range lines {
		lines[i], _, _ = strings.Cut(line, ":")
	}
	return lines
}

// What is over the hour is held and sent in the next one, what is over the day is refused; both
// by name, and told in-app at once, even if that is off, and once.
func TestHeldAndRefused(t *testing.T) {
	w := limited(t, perUser(1, 2))
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Emails = []task.Channel{task.Email}, []string{"a@x.org", "b@x.org", "c@x.org"}
	})
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	until := time.Now().UTC().Truncate(time.Hour).Add(time.Hour).Format("15:04")
	log := w.log(created)
	for what, want := range map[string]string{
		"held":    "planned held until " + until + " UTC: you were sent 1 e-mails in this hour, as many as a user may be (QUOTA_PER_HOUR)",
		"refused": "refused refused: you were to be sent more than 2 e-mails today",
		"sent":    "sendgrid sent", "in-app": "in_app sent",
	} {
		if n := len(slices.DeleteFunc(slices.Clone(log), func(line string) bool { return !strings.Contains(line, want) })); n != 1 {
			t.Errorf("%s: %d times in\n%s", what, n, strings.Join(log, "\n"))
		}
	}
	if w.mail.count() != 1 || len(w.inbox()) != 1 {
		t.Errorf("%d sent, %d notifications", w.mail.count(), len(w.inbox()))
	}
	w.anHourLater()
	if got := short(w.log(created)); w.mail.count() != 2 || len(w.inbox()) != 1 {
		t.Errorf("an hour later: %d sent, %d notifications\n%s", w.mail.count(), len(w.inbox()), strings.Join(got, "\n"))
	}
	if tries := w.column(`select distinct state || ' ' || attempts from deliveries where channel = 'email' order by 1`); !slices.Equal(tries, []string{"refused 0", "sent 1"}) {
		t.Errorf("to be held or refused has counted as a try: %v", tries)
	}
	if dead := w.column(`select error from dead_letters`); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
}

// Where in-app is on it has told already, and does not again.
func TestHeldIsToldOnce(t *testing.T) {
	w := limited(t, perUser(1, 1))
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Emails = []task.Channel{task.InApp, task.Email}, []string{"a@x.org", "b@x.org", "c@x.org"}
	})
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	if n := len(w.inbox()); n != 1 {
		t.Errorf("%d notifications: %v", n, w.log(created))
	}
}

// One recipient's limit is that of all users together, however the address is written.
func TestRecipientOfMany(t *testing.T) {
	w := limited(t, quota.Rules{Limits: quota.Limits{PerRecipient: quota.PerChannel{task.Email: 2}}})
	for i, address := range []string{"owner@x.org", "Owner+1@x.org", "owner+2@X.org"} {
		u := store.User{ID: fmt.Sprint("user ", i)}
		w.chooseFor(u, func(p *preferences.Preferences) { p.Channels, p.Emails = []task.Channel{task.Email}, []string{address} })
		created, err := w.planner.Create(t.Context(), u, task.Draft{Title: "x", DueDate: in(0), Before: task.DefaultBefore()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.fire(wake(created))
		if log := strings.Join(w.log(created), "; "); (i == 2) != strings.Contains(log, "refused: as many e-mails were sent to this address today") ||
			(i == 2) != strings.Contains(log, "in_app sent") {
			t.Errorf("%s: %s", address, log)
		}
	}
	if w.mail.count() != 2 {
		t.Errorf("%d sent", w.mail.count())
	}
}

// Text messages go to numbers that are allowed, and for as much money as they may cost; of
// verifications that holds, too.
func TestTextMessages(t *testing.T) {
	w := limited(t, quota.Rules{Prefixes: quota.Prefixes{Allowed: []string{"+1", "+49"}}, Prices: quota.Prices{"*": 4, "+49": 6}, Ceiling: quota.Ceiling{Daily: 10}})
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Phones = []task.Channel{task.SMS}, []string{"+15551234567", "+491512345678", "+447700900000"}
	})
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	if diff := cmp.Diff([]string{
		"in_app sent",
		"sms +15551234567 twilio sent", "sms +447700900000 twilio refused no text messages are sent to +447700900000", "sms +491512345678 twilio sent",
	}, short(w.log(created))); diff != "" {
		t.Error(diff)
	}
	again := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(again))
	for _, line := range w.log(again) {
		if strings.Contains(line, "+4915") && !strings.Contains(line, "have cost as much today as they may") || strings.Contains(line, "twilio sent") {
			t.Errorf("with nothing left: %s", line)
		}
	}
	if spent, err := w.store.Spent(t.Context()); err != nil || spent != 10 {
		t.Errorf("spent %d, %v", spent, err)
	}
	w.exec(`insert into verifications (id, user_id, address, address_hash, code_until, link_until) values ('01a20dd0-b585-7d53-8b12-7a2c1c952027', 'ada', '+15551234567', '\x00112233445566778899aabbccddeeff', now(), now())`)
	w.exec(`insert into deliveries (id, revision, user_id, channel, target, state, due_at, next_attempt_at)
		values ('01a20dd0-b585-7d53-8b12-7a2c1c952027', 1, 'ada', 'sms', '+15551234567', 'planned', now(), now())`)
	sent := w.mail.count()
	w.firer.send()
	if got := w.column(`select state from deliveries where reminder_id is null`); w.mail.count() != sent || !slices.Equal(got, []string{"refused"}) {
		t.Errorf("a verification is %v, %d sent", got, w.mail.count()-sent)
	}
}

// A further try is not counted again, nor one after the death of the sender that was to make
// the first; whoever dies before it could say that a delivery is over a limit loses nothing.
func TestCountedOnce(t *testing.T) {
	w := limited(t, perUser(2, 3))
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Emails = []task.Channel{task.Email}, []string{"a@x.org"}
	})
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	tried := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(tried))

	dies := func(want store.Limit) task.Task {
		t.Helper()
		created := w.create(task.Draft{DueDate: in(0)})
		if _, err := w.firer.Firer.Fire(t.Context(), wake(created)); err != nil {
			t.Fatal(err)
		}
		log, err := w.store.ListDeliveries(t.Context(), ada.ID, created.ID)
		if err != nil || len(log) != 1 {
			t.Fatal(log, err)
		}
		leased, err := w.store.Lease(t.Context(), store.LeaseRules{For: time.Minute, Limits: perUser(2, 3).Limits},
			store.Wanted{ID: log[0].ID, UserID: ada.ID, Channel: task.Email})
		if err != nil || len(leased) != 1 || leased[0].Over != want {
			t.Fatalf("%+v, %v", leased, err)
		}
		return created
	}
	died, over, refused := dies(""), dies(store.OverHour), dies(store.OverDay)
	w.mail.answer = nil
	w.due()
	w.firer.send()
	for created, want := range map[*task.Task]string{&tried: "sent", &died: "sent", &over: "held until", &refused: "refused: you"} {
		if log := strings.Join(w.log(*created), "; "); !strings.Contains(log, want) || strings.Contains(want, ":") != strings.Contains(log, "refused:") {
			t.Errorf("%s, want %s", log, want)
		}
	}
	if n := len(w.inbox()); n != 2 {
		t.Errorf("%d notifications", n)
	}
	w.anHourLater()
	if log := strings.Join(w.log(over), "; "); !strings.Contains(log, "sendgrid sent") {
		t.Errorf("an hour later: %s", log)
	}
}

// Cancelled is what is held, too.
func TestHeldIsCancelled(t *testing.T) {
	w := limited(t, perUser(1, 9))
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Emails = []task.Channel{task.Email}, []string{"a@x.org"}
	})
	for range 2 {
		w.fire(wake(w.onlyMail()))
	}
	held := w.column(`select task_id::text from deliveries where state = 'planned'`)
	if len(held) != 1 {
		t.Fatalf("held: %v", held)
	}
	w.update(uuid.MustParse(held[0]), func(d *task.Draft) { d.Completed = true })
	w.anHourLater()
	if w.mail.count() != 1 {
		t.Errorf("%d sent", w.mail.count())
	}
}
