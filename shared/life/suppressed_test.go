package life_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/verify"
)

// suppress has an address get nothing more, as its owner's stop does.
func (w *world) suppress(address string) {
	w.Helper()
	w.list(address, func(ctx context.Context, tx store.Tx, channel task.Channel, hashes suppress.Address) error {
		_, _, err := tx.Suppress(ctx, hashes, store.Suppression{Channel: channel, Reason: store.ReasonUnsubscribed, By: store.ByOwner})
		return err
	})
}

// lift undoes that, as the owner's link does.
func (w *world) lift(address string) {
	w.Helper()
	w.list(address, func(ctx context.Context, tx store.Tx, _ task.Channel, hashes suppress.Address) error {
		return tx.Lift(ctx, hashes)
	})
}

func (w *world) list(address string, change func(context.Context, store.Tx, task.Channel, suppress.Address) error) {
	w.Helper()
	channel, err := suppress.Channel(address)
	if err != nil {
		w.Fatal(err)
	}
	if err := w.store.InTx(context.Background(), func(ctx context.Context, tx store.Tx) error {
		return change(ctx, tx, channel, settings.Suppression.Hashes(channel, address))
	}); err != nil {
		w.Fatal(err)
	}
}

// sinceToday is what a delivery log says of what is not sent.
func sinceToday() string {
	return "suppressed " + store.SuppressedProblem(time.Now().UTC())
}

// What is not sent to a suppressed address is in the log, and told in-app, even if that is
// off; what goes elsewhere goes.
func TestSuppressedWhenPlanned(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) {
		p.Channels = []task.Channel{task.Email, task.SMS}
		p.Emails, p.Phones = []string{"a@x.org", "B+reminders@x.org"}, []string{"+15551234567"}
	})
	w.everything()
	w.suppress("b@x.org")
	w.suppress("+15551234567")
	for range 2 { // for as long as nobody lifts it
		created := w.create(task.Draft{DueDate: in(0)})
		w.fire(wake(created))
		if diff := cmp.Diff([]string{
			"email B+reminders@x.org " + sinceToday(), "email a@x.org sendgrid sent", "in_app sent", "sms +15551234567 " + sinceToday(),
		}, w.log(created)); diff != "" {
			t.Error(diff)
		}
	}
	w.lift("b@x.org")
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	if log := strings.Join(w.log(created), "; "); !strings.Contains(log, "B+reminders@x.org sendgrid sent") || !strings.Contains(log, "sms +15551234567 suppressed") {
		t.Errorf("after one was lifted: %s", log)
	}
	if n := len(w.inbox()); n != 3 {
		t.Errorf("%d notifications", n)
	}
}

// The address of the sign-in, which is on by default, is no exception, and another user's
// message to the same address is none either.
func TestSuppressedForEverybody(t *testing.T) {
	w := newWorld(t, atNoon)
	w.suppress(*ada.Email)
	eve := store.User{ID: "eve", Email: ptr("Ada+eve@example.com")}
	for _, user := range []store.User{ada, eve} {
		created, err := w.planner.Create(t.Context(), user, task.Draft{Title: "x", DueDate: in(0), Before: task.DefaultBefore()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.fire(wake(created))
		if diff := cmp.Diff([]string{"email " + *user.Email + " " + sinceToday(), "in_app sent"}, w.log(created)); diff != "" {
			t.Errorf("%s: %s", user.ID, diff)
		}
	}
	if w.mail.count() != 0 {
		t.Errorf("sent: %v", w.mail.messages)
	}
}

// What was planned before the stop is not sent after it, and told in-app instead, once.
func TestSuppressedWhenSent(t *testing.T) {
	for name, channels := range map[string][]task.Channel{"alone": {task.Email}, "besides": {task.InApp, task.Email}} {
		w := newWorld(t, atNoon)
		w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
		w.choose(func(p *preferences.Preferences) { p.Channels, p.Emails = channels, []string{"a@x.org", "b@x.org"} })
		created := w.create(task.Draft{DueDate: in(0)})
		w.fire(wake(created))
		tried := w.mail.count()
		w.suppress("a@x.org")
		w.suppress("b@x.org")
		w.mail.answer = nil
		for range 2 {
			w.due()
			w.firer.send()
		}
		if diff := cmp.Diff([]string{"email a@x.org sendgrid " + sinceToday(), "email b@x.org sendgrid " + sinceToday(), "in_app sent"}, w.log(created)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if in := w.inbox(); w.mail.count() != tried || len(in) != 1 || in[0].DueDate == nil || !in[0].DueDate.Equal(*created.DueDate) {
			t.Errorf("%s: sent %v, notifications %+v", name, w.mail.messages[tried:], in)
		}
	}
}

// What a provider answers to a send about its address holds for everybody: its owner has said
// STOP to the provider, or there is no such address.
func TestProviderKnowsThatAnAddressIsSuppressed(t *testing.T) {
	for _, stop := range []notify.Stop{notify.OwnerStopped, notify.NoSuchAddress} {
		w := newWorld(t, atNoon)
		w.choose(func(p *preferences.Preferences) {
			p.Channels, p.Phones = []task.Channel{task.SMS}, []string{"+15551234567"}
		})
		w.everything()
		w.mail.answer = func(notify.Message) error {
			return &notify.Error{Kind: notify.Permanent, Stop: stop, Err: errors.New("21610 unsubscribed recipient")}
		}
		for _, want := range []string{"sms +15551234567 twilio " + sinceToday(), "sms +15551234567 " + sinceToday()} {
			created := w.create(task.Draft{DueDate: in(0)})
			w.fire(wake(created))
			if diff := cmp.Diff([]string{"in_app sent", want}, w.log(created)); diff != "" {
				t.Errorf("%s: %s", stop, diff)
			}
		}
		if n := len(w.inbox()); n != 2 || w.mail.count() != 1 {
			t.Errorf("%s: %d notifications, %d messages", stop, n, w.mail.count())
		}
		if got := w.column(`select reason || ' by ' || added_by from suppressions where lifted_at is null`); !slices.Equal(got, []string{string(stop) + " by twilio"}) {
			t.Errorf("suppressed: %v", got)
		}
		w.mail.answer = nil
		w.lift("+15551234567")
		created := w.create(task.Draft{DueDate: in(0)})
		w.fire(wake(created))
		if diff := cmp.Diff([]string{"sms +15551234567 twilio sent"}, w.log(created)); diff != "" {
			t.Errorf("%s: %s", stop, diff)
		}
	}
}

// While a key is changed, what was stored by the old one holds.
func TestSuppressedByAnOldKey(t *testing.T) {
	w := newWorld(t, atNoon)
	w.suppress(*ada.Email)
	rules := settings
	rules.Suppression.Keys = append([]config.Secret{"a-newer-key-for-tests-of-at-least-32-characters"}, rules.Suppression.Keys...)
	w.firer = newTeller(w.store, byEmail(w.mail), w.clock, rules)
	created := w.onlyMail()
	w.fire(wake(created))
	if log := strings.Join(w.log(created), "; "); !strings.Contains(log, "suppressed") || w.mail.count() != 0 {
		t.Errorf("%s, %d sent", log, w.mail.count())
	}
}

// Whatever others do: an address gets nothing after its owner has said stop, and until its
// owner says otherwise.
func TestStopIsStop(t *testing.T) {
	w := newWorld(t, atNoon)
	w.everything()
	addresses := []string{"owner@x.org", "Owner+other@X.org", "+15551234567"}
	users := []store.User{ada, {ID: "eve", Email: ptr("owner@x.org")}, {ID: "mallory"}}
	rapid.Check(t, func(t *rapid.T) {
		w.exec(`truncate suppressions, dead_letters, notifications, deliveries, reminders, tasks, preferences, verifications, verification_messages, verification_refusals, users cascade`)
		w.mail.answer = nil
		stopped := map[string]string{} // and the mailboxes that they lead to
		user := func(t *rapid.T) store.User { return rapid.SampledFrom(users).Draw(t, "user") }
		send := func(t *rapid.T) {
			before := w.mail.count()
			w.firer.send()
			for _, m := range w.mail.messages[before:] {
				if slices.Contains(slices.Collect(maps.Values(stopped)), preferences.Mailbox(m.To)) {
					t.Fatalf("sent to %s, which has said stop", m.To)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"chooses": func(t *rapid.T) {
				w.chooseFor(user(t), func(p *preferences.Preferences) {
					p.Channels = []task.Channel{task.Email, task.SMS}
					p.Unsubscribed = false
					p.Emails = rapid.SliceOfNDistinct(rapid.SampledFrom(addresses[:2]), 0, 2, rapid.ID).Draw(t, "emails")
					p.Phones = rapid.SliceOfNDistinct(rapid.SampledFrom(addresses[2:]), 0, 1, rapid.ID).Draw(t, "phones")
				})
			},
			"fires": func(t *rapid.T) {
				due := task.Instant(w.clock())
				created, err := w.planner.Create(context.Background(), user(t), task.Draft{
					Title: "x", DueDate: &due, Before: task.DefaultBefore(),
					Channels: rapid.SampledFrom([][]task.Channel{nil, {task.Email}, {task.SMS, task.InApp}}).Draw(t, "channels"),
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.firer.Firer.Fire(context.Background(), wake(created)); err != nil { // and sends nothing yet
					t.Fatal(err)
				}
			},
			"asks": func(t *rapid.T) { // the owner to agree
				u := user(t)
				if err := w.store.SaveUser(context.Background(), u); err != nil {
					t.Fatal(err)
				}
				if err := w.store.InTx(context.Background(), func(ctx context.Context, tx store.Tx) error {
					if _, _, err := tx.LockPreferences(ctx, u.ID); err != nil {
						return err
					}
					asker := verify.NewAsker(links.Keys, verify.Limits{PerUser: 20, PerNetwork: 20}, settings.Suppression)
					_, _, err := asker.AskAll(ctx, tx, verify.Request{UserID: u.ID}, []string{rapid.SampledFrom(addresses).Draw(t, "address")})
					return err
				}); err != nil {
					t.Fatal(err)
				}
			},
			"sends": send,
			"fails": func(t *rapid.T) {
				w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
				send(t)
				w.mail.answer = nil
				w.due()
			},
			"stops": func(t *rapid.T) {
				address := rapid.SampledFrom(addresses).Draw(t, "address")
				w.suppress(address)
				stopped[preferences.AddressKey(address)] = preferences.Mailbox(address)
			},
			"again": func(t *rapid.T) {
				address := rapid.SampledFrom(addresses).Draw(t, "address")
				w.lift(address)
				delete(stopped, preferences.AddressKey(address))
			},
			// Nothing is lost in silence.
			"": func(t *rapid.T) {
				if untold := w.column(`
					select d.target from deliveries d where d.state = 'suppressed' and d.reminder_id is not null
					and not exists (select from deliveries i where i.reminder_id = d.reminder_id and i.channel = 'in_app' and i.state = 'sent')`); len(untold) > 0 {
					t.Fatalf("told nowhere, and to have been sent to %v", untold)
				}
			},
		})
		send(t)
	})
}
