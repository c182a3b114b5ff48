package life_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/verify"
)

const notVerified = " unverified " + preferences.UnverifiedProblem

// A reminder goes to no address whose owner has not agreed, and in-app tells instead, once,
// whether or not it is on.
func TestUnverifiedAddresses(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) {
		chosen(p)
		p.Channels = []task.Channel{task.Email, task.SMS}
		p.Emails = append(p.Emails, "Ada@Example.com") // the sign-in's
		p.Verified = []string{"a@x.org"}
	})
	w.everything()
	created := w.create(task.Draft{DueDate: in(0)})
	for range 2 {
		w.fire(wake(created))
		if diff := cmp.Diff([]string{
			"email Ada@Example.com sendgrid sent", "email a@x.org sendgrid sent", "email b@x.org" + notVerified, "in_app sent",
			"sms +15551234567" + notVerified, "sms +15557654321" + notVerified,
		}, w.log(created)); diff != "" {
			t.Error(diff)
		}
	}
	if n := len(w.inbox()); n != 1 || w.mail.count() != 2 {
		t.Errorf("%d in the inbox, %d messages", n, w.mail.count())
	}
	// An address is another user's for nobody else, and what a task asks for changes nothing.
	eve := store.User{ID: "eve", Email: ptr("eve@example.com")}
	w.chooseFor(eve, func(p *preferences.Preferences) { p.Emails, p.Verified = []string{"b@x.org"}, []string{"b@x.org"} })
	asks := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.SMS, task.InApp}})
	w.fire(wake(asks))
	if diff := cmp.Diff([]string{"in_app sent", "sms +15551234567" + notVerified, "sms +15557654321" + notVerified}, w.log(asks)); diff != "" {
		t.Error(diff)
	}
}

// What is not verified any more once it is to be sent is not sent, and told in-app, once.
func TestUnverifiedBeforeSending(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) { chosen(p); p.Channels = []task.Channel{task.Email, task.SMS} })
	w.everything()
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	created := w.create(task.Draft{Title: "Pay rent", DueDate: in(0)})
	_, _ = w.firer.Fire(t.Context(), wake(created))
	before := w.mail.count()
	w.exec(`update preferences set verified = '{a@x.org}'`)
	w.mail.answer = nil
	w.due()
	w.fire(wake(created))
	if diff := cmp.Diff([]string{
		"email a@x.org sendgrid sent", "email b@x.org sendgrid" + notVerified, "in_app sent",
		"sms +15551234567 twilio" + notVerified, "sms +15557654321 twilio" + notVerified,
	}, w.log(created)); diff != "" {
		t.Error(diff)
	}
	if n := w.mail.count() - before; n != 1 {
		t.Errorf("%d messages", n)
	}
	inbox := w.inbox()
	if len(inbox) != 1 || inbox[0].Title != "Pay rent" || inbox[0].TaskID != created.ID || !strings.HasPrefix(inbox[0].Body, "Due ") {
		t.Errorf("in the inbox: %+v", inbox)
	}
	if n := len(w.column(`select id::text from dead_letters where state <> 'resolved'`)); n != 0 {
		t.Errorf("%d dead letters wait", n)
	}
	// One whose task was told in-app already is not told there again.
	w.exec(`update preferences set verified = emails || phones`)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	both := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.InApp, task.SMS}})
	_, _ = w.firer.Fire(t.Context(), wake(both))
	w.exec(`update preferences set verified = '{}'`)
	w.due()
	w.fire(wake(both))
	if n := len(w.inbox()); n != 2 {
		t.Errorf("%d in the inbox, want 2", n)
	}
}

// ask has owners of addresses of ada's asked.
func (w *world) ask(addresses ...string) (refused error) {
	w.Helper()
	asker := verify.NewAsker(links.Keys, verify.Limits{PerUser: 20, PerNetwork: 20}, settings.Suppression)
	err := w.store.InTx(w.Context(), func(ctx context.Context, tx store.Tx) error {
		if _, _, err := tx.LockPreferences(ctx, ada.ID); err != nil {
			return err
		}
		var err error
		_, refused, err = asker.AskAll(ctx, tx, verify.Request{UserID: ada.ID}, addresses)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return refused
}

// unverified are preferences with addresses whose owners have not agreed, and another address
// whose owner has.
func unverified(addresses ...string) func(*preferences.Preferences) {
	return func(p *preferences.Preferences) {
		for _, a := range addresses {
			if strings.Contains(a, "@") {
				p.Emails = append(p.Emails, a)
			} else {
				p.Phones = append(p.Phones, a)
			}
		}
		p.Emails, p.Verified = append(p.Emails, "c@x.org"), []string{"c@x.org"}
	}
}

// A message that asks an owner is tried again while its provider refuses it, with the same code,
// which counts from the latest attempt on.
func TestVerificationIsTriedAgain(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) { unverified("b@x.org", "+15551234567")(p); p.Language = "de-AT" })
	w.everything()
	if refused := w.ask("b@x.org", "+15551234567"); refused != nil {
		t.Fatal(refused)
	}
	for range 2 {
		w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
		w.exec(`update verifications set code_until = now() - interval '1 hour'`)
		w.due()
		w.firer.send()
	}
	w.mail.answer = nil
	w.due()
	w.firer.send()
	w.due()
	w.firer.send()
	codes := map[string]int{}
	for _, m := range w.mail.messages {
		if m.Verification == nil || m.Title+m.Notes != "" || m.DueDate != nil || m.TaskID != uuid.Nil {
			t.Errorf("%+v", m)
			continue
		}
		codes[m.To+" "+m.Verification.Code]++
		if want := "Bitte diese Adresse für Duebell bestätigen"; m.Subject() != want {
			t.Errorf("%q, want %q", m.Subject(), want)
		}
	}
	if len(codes) != 2 || w.mail.count() != 6 {
		t.Errorf("sent: %v", codes)
	}
	if got := w.column(`select distinct state from deliveries`); !slices.Equal(got, []string{"sent"}) {
		t.Errorf("deliveries are %v", got)
	}
	if got := w.column(`select id::text from verifications where code_until < now() + interval '9 minutes'`); len(got) != 0 {
		t.Errorf("%d codes end before their owners had time", len(got))
	}
	if n := len(w.inbox()); n != 0 {
		t.Errorf("%d in the inbox", n)
	}
	if got := w.column(`select state from dead_letters`); slices.ContainsFunc(got, func(s string) bool { return s != "resolved" }) {
		t.Errorf("dead letters: %v", got)
	}
}

// What its provider may have taken is not sent again, whoever failed to say so: the provider or
// a sender that died. It would come more often than the limits say.
func TestVerificationIsNotSentTwice(t *testing.T) {
	for name, lose := range map[string]func(w *world, id uuid.UUID){
		"no answer": func(w *world, _ uuid.UUID) {
			w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Unknown, Err: errDown} }
			w.firer.send()
		},
		"the sender died": func(w *world, id uuid.UUID) {
			if l, err := w.lease(id, time.Millisecond, byEmail(w.mail).Names()); l == nil || err != nil {
				w.Fatal(l, err)
			}
			w.mail.answer = func(notify.Message) error { return nil }
			_ = w.mail.Send(w.Context(), notify.Message{To: "b@x.org"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			w.choose(unverified("b@x.org"))
			if refused := w.ask("b@x.org"); refused != nil {
				t.Fatal(refused)
			}
			lose(w, uuid.MustParse(w.column(`select id::text from deliveries`)[0]))
			w.mail.answer = nil
			for range 2 {
				w.due()
				w.firer.send()
			}
			if got := w.column(`select state || ' ' || last_error from deliveries`)[0]; !strings.HasPrefix(got, "failed permanent: nobody knows whether it was sent") || w.mail.count() != 1 {
				t.Errorf("%q, %d messages", got, w.mail.count())
			}
			if n := len(w.column(`select id::text from dead_letters where state <> 'resolved'`)); n != 0 {
				t.Errorf("%d dead letters wait", n)
			}
			if refused := w.ask("b@x.org"); refused != nil {
				t.Error(refused)
			}
		})
	}
}

// The limits hold for what arrives: messages that waited while their provider was away count
// when they are sent, not when they were asked for.
func TestVerificationsThatWaited(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(unverified("b@x.org"))
	down := func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	asked := func(n int) (planned int) {
		for range n {
			if w.ask("b@x.org") == nil {
				planned++
			}
		}
		return planned
	}
	if n := asked(4); n != verify.AddressDaily {
		t.Fatalf("%d messages are planned", n)
	}
	w.exec(`update verification_messages set counted_at = counted_at - interval '25 hours'`)
	if n := asked(4); n != 0 {
		t.Errorf("%d more are planned while %d wait", n, verify.AddressDaily)
	}
	w.mail.answer = down
	w.firer.send()
	if n := asked(4); n != 0 {
		t.Errorf("%d more are planned while %d are tried again", n, verify.AddressDaily)
	}
	before := w.mail.count()
	w.mail.answer = nil
	w.due()
	w.firer.send()
	if n := asked(4); n != 0 || w.mail.count()-before != verify.AddressDaily {
		t.Errorf("%d sent, and %d more planned on the same day", w.mail.count()-before, n)
	}
	w.exec(`update verification_messages set counted_at = counted_at - interval '25 hours'`)
	if n := asked(4); n != verify.AddressDaily {
		t.Errorf("%d messages are planned a day later", n)
	}
}

// Whatever has made a message needless or unwanted before it is sent keeps it from being sent.
func TestVerificationIsNotSentInVain(t *testing.T) {
	hash := verify.AddressHashes(settings.Suppression, "b@x.org")
	for name, tt := range map[string]struct {
		change func(w *world)
		want   string
	}{
		"nothing":       {func(*world) {}, "sent"},
		"verified":      {func(w *world) { w.exec(`update preferences set verified = '{b@x.org}'`) }, "failed permanent: the address is verified already"},
		"taken out":     {func(w *world) { w.choose(func(p *preferences.Preferences) { p.Emails = p.Emails[1:] }) }, "failed permanent: it is not in your preferences any more"},
		"e-mail is off": {func(w *world) { w.exec(`update preferences set unsubscribed = true, channels = '{in_app}'`) }, "sent"},
		"refused":       {func(w *world) { w.refuse(hash) }, "cancelled"},
		"refused meanwhile": {func(w *world) {
			w.refuse(hash)
			w.exec(`update deliveries set state = 'planned', next_attempt_at = now(), finished_at = null`)
		}, "failed permanent: the address's owner wants no such messages"},
		"no provider": {func(w *world) { w.firer = newTeller(w.store, deliver.Channels{}, w.clock, settings) }, "failed permanent: this channel is not set up here"},
		"no link": {func(w *world) {
			w.firer.newSender = func() *deliver.Sender { return deliver.NewSender(w.store, byEmail(w.mail), settings, verify.Links{}) }
		}, "failed permanent: addresses can't be verified here: PUBLIC_URL and VERIFY_KEY are not set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atNoon)
			w.choose(unverified("b@x.org"))
			if refused := w.ask("b@x.org"); refused != nil {
				t.Fatal(refused)
			}
			tt.change(w)
			w.firer.send()
			if got := strings.Join(w.column(`select concat_ws(' ', state, last_error) from deliveries`), "; "); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if want := map[bool]int{true: 1}[tt.want == "sent"]; w.mail.count() != want {
				t.Errorf("%d messages, want %d", w.mail.count(), want)
			}
		})
	}
}

func (w *world) refuse(hashes [][]byte) {
	w.Helper()
	if err := w.store.InTx(w.Context(), func(ctx context.Context, tx store.Tx) error { return tx.RefuseVerifications(ctx, hashes) }); err != nil {
		w.Fatal(err)
	}
}

// A message that was given up is an operator's matter, who can't have its old code sent.
func TestVerificationGivenUp(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(unverified("b@x.org"))
	w.ask("b@x.org")
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	for range settings.MaxAttempts {
		w.due()
		w.firer.send()
	}
	letters, _, err := w.store.ListDeadLetters(t.Context(), store.DeadLetterFilter{State: store.Dead}, uuid.Nil, 10)
	if err != nil || len(letters) != 1 || letters[0].JobName != "verification-"+letters[0].DeliveryID.String() {
		t.Fatalf("%+v, %v", letters, err)
	}
	for _, force := range []bool{false, true} {
		if _, err := w.store.ReplayDeadLetter(t.Context(), letters[0].ID, force); fault.CodeOf(err) != fault.CodeConflict {
			t.Errorf("replayed: %v", err)
		}
	}
	if err := w.store.DiscardDeadLetter(t.Context(), letters[0].ID); err != nil {
		t.Error(err)
	}
}

// Addresses that were there before anybody asked are written to until some time after their
// owners were asked. No reminder is lost by that, or late.
func TestGrace(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Language = []task.Channel{task.Email, task.SMS}, "de"
		p.Emails, p.Phones = []string{"b@x.org", "Ada@Example.com"}, []string{"+15551234567"}
	})
	w.exec(`update preferences set verified = '{}', grace = emails || phones`) // as the migration does
	w.everything()
	rules := sweepRules
	rules.VerifyGrace, rules.Suppression = 14*24*time.Hour, settings.Suppression
	reminded := func(want ...string) {
		t.Helper()
		created := w.create(task.Draft{DueDate: in(0)})
		w.fire(wake(created))
		if diff := cmp.Diff(want, w.log(created)); diff != "" {
			t.Error(diff)
		}
	}
	sweep := func(keys verify.Keys, asked int) {
		t.Helper()
		rules.Verify = keys
		sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context())
		if err != nil || sum.Asked != asked {
			t.Errorf("asked for %d users, want %d; %v", sum.Asked, asked, err)
		}
	}
	all := []string{"email Ada@Example.com sendgrid sent", "email b@x.org sendgrid sent", "sms +15551234567 twilio sent"}
	reminded(all...)
	sweep(verify.Keys{}, 0) // nobody can be asked
	if n := len(w.inbox()); n != 0 || w.mail.count() != 3 {
		t.Errorf("%d in the inbox, %d messages", n, w.mail.count())
	}
	sweep(links.Keys, 1)
	sweep(links.Keys, 0)
	var asked []string
	for _, m := range w.mail.messages[3:] {
		if m.Verification == nil {
			t.Errorf("%+v", m)
		}
		asked = append(asked, m.To)
	}
	slices.Sort(asked)
	if diff := cmp.Diff([]string{"+15551234567", "b@x.org"}, asked); diff != "" {
		t.Error(diff)
	}
	inbox := w.inbox()
	if len(inbox) != 1 || inbox[0].TaskID != uuid.Nil || inbox[0].Title != "Bitte die eigenen Adressen bestätigen" || strings.Contains(inbox[0].Body, "{") {
		t.Errorf("%+v", inbox)
	}
	reminded(all...)
	// The link in that message counts for as long as the grace; its code, for as long as any.
	w.exec(`update verifications set code_until = code_until - interval '13 days', link_until = link_until - interval '13 days'`)
	id := w.column(`select id::text from verifications where address = 'b@x.org'`)[0]
	if v, err := w.store.FindVerification(t.Context(), uuid.MustParse(id)); err != nil || v.CodeGood || !v.LinkGood {
		t.Errorf("%+v, %v", v, err)
	}
	w.exec(`update preferences set grace_until = now() - interval '1 second'`)
	reminded(all...) // until the sweep has ended it
	sweep(links.Keys, 0)
	reminded("email Ada@Example.com sendgrid sent", "email b@x.org"+notVerified, "in_app sent", "sms +15551234567"+notVerified)
	if got := w.column(`select format('%s %s', cardinality(grace), grace_until) from preferences`); got[0] != "0 " {
		t.Errorf("after the grace: %q", got)
	}
}

// Who was unsubscribed before addresses were suppressed by that is not asked: they have said stop.
func TestGraceAfterAnEarlierUnsubscribe(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Emails, p.Phones, p.Unsubscribed = []task.Channel{task.SMS}, []string{"b@x.org"}, []string{"+15551234567"}, true
	})
	w.exec(`update preferences set verified = '{}', grace = emails || phones`)
	w.everything()
	rules := sweepRules
	rules.Verify, rules.Suppression, rules.VerifyGrace = links.Keys, settings.Suppression, time.Hour
	if _, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if got := w.column(`select target from deliveries`); !slices.Equal(got, []string{"+15551234567"}) {
		t.Errorf("asked: %v", got)
	}
}

// One user with whom it fails keeps no other one waiting, and no reminder.
func TestGraceOfOneUserFails(t *testing.T) {
	w := newWorld(t, atNoon)
	for _, user := range []string{"a", "b", "c"} {
		w.chooseFor(store.User{ID: user}, func(p *preferences.Preferences) { p.Emails = []string{user + "@x.org"} })
	}
	w.exec(`update preferences set verified = '{}', grace = emails`)
	w.exec(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
		create trigger refuse before insert on verifications for each row when (new.user_id = 'a') execute function refuse()`)
	rules := sweepRules
	rules.Verify, rules.Suppression, rules.VerifyGrace = links.Keys, settings.Suppression, time.Hour
	sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context())
	if sum.Asked != 2 || err == nil || !strings.Contains(err.Error(), "not this one") {
		t.Errorf("asked for %d users; %v", sum.Asked, err)
	}
	if got := w.column(`select user_id from preferences where grace_until is null`); !slices.Equal(got, []string{"a"}) {
		t.Errorf("not asked for %v", got)
	}
}

// What the limits count is kept for as long as they need it.
func TestVerificationsAreKept(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(unverified("b@x.org", "d@x.org", "e@x.org"))
	w.ask("b@x.org", "d@x.org", "e@x.org")
	w.firer.send()
	w.exec(`update verification_messages m set counted_at = now() - interval '365 days 1 hour' from verifications v where v.id = m.id and v.address <> 'b@x.org'`)
	w.exec(`update verification_messages m set counted_at = now() - interval '367 days' from verifications v where v.id = m.id and v.address = 'e@x.org'`)
	w.exec(`update verifications set created_at = now() - interval '100 days', code_until = now() - interval '1 hour', link_until = case when address = 'b@x.org' then now() + interval '1 hour' else now() - interval '1 hour' end`)
	for kind, age := range map[*store.Kept]time.Duration{&store.Verifications: 90 * 24 * time.Hour, &store.VerificationMessages: store.VerificationMessagesKept} {
		if _, err := w.store.Purge(t.Context(), *kind, age, 100); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.column(`select address from verifications order by address`); !slices.Equal(got, []string{"b@x.org", "d@x.org", "e@x.org"}) {
		t.Errorf("kept beside their deliveries: %v", got)
	}
	w.exec(`delete from deliveries`)
	if _, err := w.store.Purge(t.Context(), store.Verifications, 90*24*time.Hour, 100); err != nil {
		t.Fatal(err)
	}
	if got := w.column(`select address from verifications`); !slices.Equal(got, []string{"b@x.org"}) {
		t.Errorf("kept: %v", got)
	}
	if n := len(w.column(`select id::text from verification_messages`)); n != 2 {
		t.Errorf("%d messages are counted, want 2", n)
	}
	var limited *fault.Error
	if refused := w.ask("b@x.org"); refused != nil || errors.As(refused, &limited) {
		t.Errorf("%v", refused)
	}
}
