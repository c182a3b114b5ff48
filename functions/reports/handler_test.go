package main

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/verify"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	key       = "a-key-for-tests-of-at-least-32-characters"
	publicURL = "https://api.example.com"
	address   = "ada@example.org"
	phone     = "+15551234567"
)

var keys = suppress.Keys{Keys: []config.Secret{key}}

// world is the whole path: the real channels send reminders to the sandbox, which sends reports to
// the function by real HTTP.
type world struct {
	*functiontest.World
	*functiontest.Server
	sandbox *sandbox.Sandbox
	firer   *fire.Firer
	sender  *deliver.Sender
	environ []string
}

func newWorld(t *testing.T, emailBy string) *world {
	t.Helper()
	w := &world{World: functiontest.New(t), sandbox: sandbox.New()}
	server := httptest.NewServer(w.sandbox.Handler())
	t.Cleanup(server.Close)
	variables := w.sandbox.Environment(server.URL)
	maps.Copy(variables, map[string]string{
		"PUBLIC_URL": publicURL, "UNSUBSCRIBE_KEY": key, "SUPPRESSION_KEY": key, "EMAIL_FROM": "x@example.com", "EMAIL_PROVIDERS": emailBy, "SMS_PROVIDERS": "twilio",
	})
	var environ []string
	for name, value := range variables {
		environ = append(environ, name+"="+value)
	}
	w.environ = environ
	w.Server = functiontest.Serve(w.World, New, environ...)
	w.sandbox.ReportTo(publicURL, w.URL())
	cfg, err := config.Parse[providers.Config](environ)
	if err != nil {
		t.Fatal(err)
	}
	channels, err := providers.Open(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	delete(channels, task.Event)
	w.sender = deliver.NewSender(w.Store, channels, deliver.Rules{
		SendTimeout: 5 * time.Second, Lease: 20 * time.Second, MaxAttempts: 3, Concurrent: 8, PerUser: 8, Suppression: keys,
	}, verify.Links{})
	w.firer = fire.New(w.Store, fire.Channels(channels.Names()), keys, schedule.NewMover(w.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, time.Now)
	return w
}

// remind fires a reminder of a user by e-mail and SMS. It returns the task, and the deliveries that
// the sandbox has received, by channel.
func (w *world) remind(user string) (task.Task, map[task.Channel]store.Delivery) {
	w.Helper()
	return w.remindAt(user, address)
}

// remindAt does the same with another e-mail address.
func (w *world) remindAt(user, address string) (task.Task, map[task.Channel]store.Delivery) {
	w.Helper()
	if err := w.Store.InTx(w.Context(), func(ctx context.Context, tx store.Tx) error {
		p, _, err := tx.LockPreferences(ctx, user)
		if err != nil {
			return err
		}
		p.Channels, p.Emails, p.Phones = []task.Channel{task.Email, task.SMS}, []string{address}, []string{phone}
		p.Verified = p.Addresses()
		p.Version++
		return tx.SavePreferences(ctx, user, p)
	}); err != nil {
		w.Fatal(err)
	}
	due := task.Instant(time.Now().Add(-time.Minute))
	t := w.Seed(user, task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
	if _, err := w.firer.Fire(w.Context(), task.Revision{TaskID: t.ID, UserID: user, ReminderID: t.Reminders[0].ID, Number: 1}); err != nil {
		w.Fatal(err)
	}
	<-w.sender.Wake()
	return t, w.deliveries(t)
}

func (w *world) deliveries(t task.Task) map[task.Channel]store.Delivery {
	w.Helper()
	log, err := w.Store.ListDeliveries(w.Context(), t.UserID, t.ID)
	if err != nil {
		w.Fatal(err)
	}
	by := map[task.Channel]store.Delivery{}
	for _, d := range log {
		by[d.Channel] = d
	}
	return by
}

// report has the sandbox send a report, and checks the status of the answer.
func (w *world) report(want int, r sandbox.Report) {
	w.Helper()
	if status, err := w.sandbox.SendReport(w.Context(), r); err != nil || status != want {
		w.Errorf("%+v: answered %d, %v, want %d", r, status, err, want)
	}
}

func (w *world) wantSuppressed(channel task.Channel, to string, want bool) {
	w.Helper()
	found, err := w.Store.Suppressed(w.Context(), []suppress.Address{keys.Hashes(channel, to)})
	if err != nil || (len(found) > 0) != want {
		w.Errorf("%s suppressed: %v, %v", to, found, err)
	}
}

// good is the function's success status for each provider.
var good = map[string]int{sandbox.SendGrid: 204, sandbox.SES: 204, sandbox.Twilio: 200}

func channelOf(provider string) task.Channel {
	if provider == sandbox.Twilio {
		return task.SMS
	}
	return task.Email
}

// For each provider and event: the delivery gets the reported state, and its address is suppressed
// for all users or not. A forged report changes nothing.
func TestReports(t *testing.T) {
	for _, provider := range []string{sandbox.SendGrid, sandbox.SES, sandbox.Twilio} {
		for event, want := range map[string]struct {
			outcome    store.Outcome
			suppressed bool
		}{
			"delivered": {store.Delivered, false}, "soft": {store.Bounced, false}, "bounced": {store.Bounced, true}, "complained": {store.Complained, true},
		} {
			if provider == sandbox.Twilio && event == "complained" {
				continue // nobody complains of SMS but by STOP
			}
			t.Run(provider+" "+event, func(t *testing.T) {
				t.Parallel()
				emailBy := provider
				if provider == sandbox.Twilio {
					emailBy = sandbox.SendGrid
				}
				w, channel := newWorld(t, emailBy), channelOf(provider)
				w.Seed("ada", task.Draft{Title: "x"})
				w.Seed("eve", task.Draft{Title: "x"})
				reminded, sent := w.remind("ada")
				if sent[task.Email].State != store.Sent || sent[task.SMS].State != store.Sent {
					t.Fatalf("%+v", sent)
				}
				to := sent[channel].Target
				r := sandbox.Report{Provider: provider, DeliveryID: sent[channel].ID.String(), Event: event, EventID: uuid.NewString()}
				forged := r
				forged.Forge = true
				w.report(403, forged)
				if now := w.deliveries(reminded)[channel]; now.Report != "" {
					t.Errorf("forged: %s", now.Report)
				}
				w.wantSuppressed(channel, to, false)
				for range 2 {
					w.report(good[provider], r)
				}
				now := w.deliveries(reminded)
				if now[channel].Report != want.outcome || now[channel].ReportedAt == nil {
					t.Errorf("%q, want %q", now[channel].Report, want.outcome)
				}
				for other, d := range now {
					if other != channel && d.Report != "" {
						t.Errorf("%s has learned %s", other, d.Report)
					}
				}
				w.wantSuppressed(channel, to, want.suppressed)
				_, others := w.remind("eve")
				if (others[channel].State == store.SuppressedState) != want.suppressed {
					t.Errorf("another user's: %s", others[channel].State)
				}
				// A report that is replayed after an operator has lifted the suppression does not
				// suppress again.
				if want.suppressed {
					w.lift(channel, to)
					w.report(good[provider], r)
					w.wantSuppressed(channel, to, false)
				}
			})
		}
	}
}

// A user lists a nonexistent address that looks like another one, such as ada+nobody@ for ada@. Its
// bounce suppresses this address, and not the other one. An owner's stop suppresses both.
func TestBounceOfAnAddressThatLooksLikeAnothers(t *testing.T) {
	for _, looksLike := range []string{"ada+nobody@example.org", "ａda@example.org"} {
		w := newWorld(t, sandbox.SendGrid)
		w.Seed("ada", task.Draft{Title: "x"})
		w.Seed("eve", task.Draft{Title: "x"})
		_, bounces := w.remindAt("eve", looksLike)
		bounced := sandbox.Report{Provider: sandbox.SendGrid, DeliveryID: bounces[task.Email].ID.String(), Event: "bounced", EventID: uuid.NewString()}
		w.report(204, bounced)
		w.wantSuppressed(task.Email, looksLike, true)
		w.wantSuppressed(task.Email, address, false)
		if _, sent := w.remind("ada"); sent[task.Email].State != store.Sent {
			t.Errorf("%s has bounced, and what goes to %s is %s", looksLike, address, sent[task.Email].State)
		}
		found, _, err := w.Store.ListSuppressions(t.Context(), store.SuppressionFilter{Of: new(keys.Hashes(task.Email, looksLike)), Limit: 9})
		if err != nil || len(found) != 1 {
			t.Errorf("listed: %+v, %v", found, err)
		}
		// An owner's stop replaces a bounce, but not the other way round.
		w.report(204, sandbox.Report{Provider: sandbox.SendGrid, DeliveryID: bounced.DeliveryID, Event: "complained", EventID: uuid.NewString()})
		w.wantSuppressed(task.Email, address, true)
		w.report(204, sandbox.Report{Provider: sandbox.SendGrid, DeliveryID: bounced.DeliveryID, Event: "bounced", EventID: uuid.NewString()})
		w.wantSuppressed(task.Email, address, true)
		w.lift(task.Email, looksLike)
		w.wantSuppressed(task.Email, address, false)
		w.wantSuppressed(task.Email, looksLike, false)
		// An operator can lift a bounce, too.
		w.report(204, sandbox.Report{Provider: sandbox.SendGrid, DeliveryID: bounced.DeliveryID, Event: "bounced", EventID: uuid.NewString()})
		if err := w.Store.InTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
			_, err := tx.LiftAll(ctx, keys.Hashes(task.Email, looksLike), "operator", "x")
			return err
		}); err != nil {
			t.Error(err)
		}
		w.wantSuppressed(task.Email, looksLike, false)
	}
}

// Of a stop and a bounce at the same time the stop is kept, in either order.
func TestStopAndBounceAtOnce(t *testing.T) {
	w := newWorld(t, sandbox.SendGrid)
	for i := range 20 {
		written, other := fmt.Sprintf("o%d+tag@example.org", i), fmt.Sprintf("o%d@example.org", i)
		var group sync.WaitGroup
		for _, reason := range []store.SuppressionReason{store.ReasonBounced, store.ReasonUnsubscribed} {
			group.Go(func() {
				if err := w.Store.InTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
					_, _, err := tx.Suppress(ctx, keys.Hashes(task.Email, written), store.Suppression{Channel: task.Email, Reason: reason, By: "x"})
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		w.wantSuppressed(task.Email, other, true)
	}
	if n := w.Count(`select count(*) from suppressions where lifted_at is null`); n != 20 {
		t.Errorf("%d are in force, want 20", n)
	}
}

func (w *world) lift(channel task.Channel, to string) {
	w.Helper()
	if err := w.Store.InTx(w.Context(), func(ctx context.Context, tx store.Tx) error {
		return tx.Lift(ctx, keys.Hashes(channel, to))
	}); err != nil {
		w.Fatal(err)
	}
}

// A report that names no delivery, one of another channel, or one that was never sent is ignored,
// although it is signed.
func TestReportsOfWhatIsNotOurs(t *testing.T) {
	w := newWorld(t, sandbox.SendGrid)
	w.Seed("ada", task.Draft{Title: "x"})
	_, sent := w.remind("ada")
	w.Exec(`update deliveries set attempts = 0 where channel = 'email'`)
	for _, id := range []string{uuid.NewString(), "", "x", sent[task.SMS].ID.String(), sent[task.Email].ID.String()} {
		for _, provider := range []string{sandbox.SendGrid, sandbox.SES} {
			w.report(204, sandbox.Report{Provider: provider, DeliveryID: id, Event: "complained"})
		}
	}
	if n := w.Count(`select count(*) from deliveries where report is not null`) + w.Count(`select count(*) from suppressions`) + w.Count(`select count(*) from report_events`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestStopAndStart(t *testing.T) {
	w := newWorld(t, sandbox.SendGrid)
	say := func(want int, from, body string, forge bool) string {
		r := sandbox.Report{Provider: sandbox.Twilio, From: from, Body: body, EventID: uuid.NewString(), Forge: forge}
		w.report(want, r)
		return r.EventID
	}
	say(403, phone, "STOP", true)
	say(200, phone, "Thank you!", false)
	w.wantSuppressed(task.SMS, phone, false)
	stop := say(200, phone, "Stop", false)
	w.wantSuppressed(task.SMS, phone, true)
	say(403, phone, "START", true)
	say(200, "+15557654321", "START", false)
	w.wantSuppressed(task.SMS, phone, true)
	start := say(200, phone, "START", false)
	w.wantSuppressed(task.SMS, phone, false)
	w.report(200, sandbox.Report{Provider: sandbox.Twilio, From: phone, Body: "STOP", EventID: stop})
	w.wantSuppressed(task.SMS, phone, false)
	say(200, phone, "STOP", false)
	w.report(200, sandbox.Report{Provider: sandbox.Twilio, From: phone, Body: "START", EventID: start})
	w.wantSuppressed(task.SMS, phone, true)
	if n := w.Count(`select count(*) from suppressions where reason = 'stopped' and added_by = 'the address''s owner'`); n != 2 {
		t.Errorf("%d suppressions by the owner", n)
	}
}

func TestSubscriptionIsConfirmed(t *testing.T) {
	w := newWorld(t, sandbox.SES)
	w.report(403, sandbox.Report{Provider: sandbox.SES, Event: "subscribed", EventID: "forged", Forge: true})
	w.report(204, sandbox.Report{Provider: sandbox.SES, Event: "subscribed", EventID: "token"})
	if got := w.sandbox.Confirmed(); len(got) != 1 || got[0] != "token" {
		t.Errorf("confirmed %v", got)
	}
}

// Without a key no address can be suppressed. So an owner's stop is not accepted: the provider has
// to send it again.
func TestReportsWithoutAKey(t *testing.T) {
	w := newWorld(t, sandbox.SendGrid)
	keyless := functiontest.Serve(w.World, New, append(w.environ, "SUPPRESSION_KEY=", "UNSUBSCRIBE_KEY=")...)
	w.sandbox.ReportTo(publicURL, keyless.URL())
	w.report(404, sandbox.Report{Provider: sandbox.Twilio, From: phone, Body: "STOP", EventID: "stop"})
	w.WantProblem(keyless.Call("POST", "/api/reports/twilio", ""), 404, "not_found", "SUPPRESSION_KEY")
	w.sandbox.ReportTo(publicURL, w.URL())
	w.report(200, sandbox.Report{Provider: sandbox.Twilio, From: phone, Body: "STOP", EventID: "stop"})
	w.wantSuppressed(task.SMS, phone, true)
}

func TestBadReports(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for _, provider := range []string{"sendgrid", "ses", "twilio"} {
		path := "/api/reports/" + provider
		w.WantProblem(s.Call("POST", path, `[]`), 404, "not_found", "not set up here")
		w.WantProblem(s.Call("POST", path, strings.Repeat("x", 1<<20+1)), 413, "invalid", "larger")
		w.WantProblem(s.Call("GET", path, nil), 405, "invalid", "POST")
	}
}

// The result is the same for every order and repetition of reports.
func TestReportsInAnyOrder(t *testing.T) {
	w := newWorld(t, sandbox.SendGrid)
	w.Seed("ada", task.Draft{Title: "x"})
	reminded, sent := w.remind("ada")
	of := sent[task.Email]
	rapid.Check(t, func(t *rapid.T) {
		w.Exec(`update deliveries set report = null, reported_at = null; truncate report_events, suppressions`)
		ranks := []store.Outcome{"", store.Delivered, store.Bounced, store.Complained}
		var all []store.Report
		worst, stopped := 0, false
		for i := range rapid.IntRange(1, 4).Draw(t, "events") {
			rank := rapid.IntRange(0, 3).Draw(t, "rank")
			r := store.Report{Provider: "sendgrid", EventID: fmt.Sprint(i), Channel: task.Email, Delivery: of.ID, Outcome: ranks[rank]}
			if rapid.Bool().Draw(t, "stop") {
				r.Stop, stopped = store.ReasonBounced, true
			}
			worst = max(worst, rank)
			all = append(all, r)
		}
		for range 2 { // and again, in another order and in other parts
			rest := rapid.Permutation(all).Draw(t, "order")
			for len(rest) > 0 {
				n := rapid.IntRange(1, len(rest)).Draw(t, "together")
				if err := w.Store.TakeReports(context.Background(), append(rest[:n:n], rest[0]), keys.Hashes); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
		}
		if got := w.deliveries(reminded)[task.Email].Report; got != ranks[worst] {
			t.Fatalf("%q, want %q", got, ranks[worst])
		}
		found, err := w.Store.Suppressed(context.Background(), []suppress.Address{keys.Hashes(task.Email, of.Target)})
		if err != nil || (len(found) > 0) != stopped {
			t.Fatalf("suppressed %v, %v", found, err)
		}
	})
}

// A report settles a delivery whose result was unknown: the provider has accepted the message, so
// it is not sent again.
func TestReportsOfWhatNobodyAnsweredFor(t *testing.T) {
	for name, settle := range map[string]string{"tried again later": "", "given up": `update deliveries set state = 'exhausted', next_attempt_at = null, finished_at = now() where state = 'unknown'`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.SendGrid)
			w.sandbox.Fail(sandbox.Fault{Provider: sandbox.SendGrid, Cut: sandbox.CutAfter, Times: 1})
			w.Seed("ada", task.Draft{Title: "x"})
			reminded, sent := w.remind("ada")
			if sent[task.Email].State != store.Unknown {
				t.Fatalf("it is %s", sent[task.Email].State)
			}
			if settle != "" {
				w.Exec(settle)
			}
			w.report(204, sandbox.Report{Provider: sandbox.SendGrid, DeliveryID: sent[task.Email].ID.String(), Event: "delivered"})
			w.Exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
			<-w.sender.Wake()
			if now := w.deliveries(reminded)[task.Email]; now.State != store.Sent || now.Report != store.Delivered || now.Attempts != 1 {
				t.Errorf("%+v", now)
			}
			if n := w.Count(`select count(*) from dead_letters where state <> 'resolved'`); n != 0 {
				t.Errorf("%d dead letters wait", n)
			}
		})
	}
}
