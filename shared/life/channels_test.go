package life_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/task"
)

const hook = "https://example.com/hook?a=b"

// chosen are preferences with everything on.
func chosen(p *preferences.Preferences) {
	p.Channels = task.Channels
	p.Emails = []string{"a@x.org", "b@x.org"}
	p.Phones = []string{"+15551234567", "+15557654321"}
	p.Devices = []preferences.Device{{Provider: "fcm", Token: "c1:APA91b"}, {Provider: "onesignal", Token: "0198"}, {Provider: "fcm", Token: "c2"}}
	p.Webhook = &preferences.Webhook{URL: hook, Secret: "whsec_bmV3"}
}

// everything has one provider for every channel, all of which are the world's mailbox,
// and FCM alone for push.
func (w *world) everything() {
	channels := deliver.Channels{}
	for c, name := range map[task.Channel]string{task.Email: "sendgrid", task.SMS: "twilio", task.Push: "fcm", task.Webhook: "webhook"} {
		channels[c] = []deliver.Provider{{Name: name, Channel: w.mail}}
	}
	rules := settings
	rules.MaxAttempts = 12
	w.firer = newTeller(w.store, channels, w.clock, rules)
}

// log is the delivery log of a task: channel, target, provider, state and error.
func (w *world) log(t task.Task) []string {
	w.Helper()
	log, err := w.store.ListDeliveries(w.Context(), t.UserID, t.ID)
	if err != nil {
		w.Fatal(err)
	}
	var lines []string
	for _, d := range log {
		lines = append(lines, strings.Join(slices.DeleteFunc([]string{string(d.Channel), d.Target, d.Provider, string(d.State), d.LastError}, func(s string) bool { return s == "" }), " "))
	}
	slices.Sort(lines)
	return lines
}

func TestEveryTarget(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) { chosen(p); p.Language, p.TimeZone = "de-AT", "Europe/Vienna" })
	w.everything()
	created := w.create(task.Draft{DueDate: in(0)})
	for range 2 { // a second time nothing is added
		w.fire(wake(created))
		if diff := cmp.Diff([]string{
			"email a@x.org sendgrid sent", "email b@x.org sendgrid sent", "in_app sent",
			"push fcm:c1:APA91b fcm sent", "push fcm:c2 fcm sent", "push onesignal:0198 failed this device's provider is not set up here",
			"sms +15551234567 twilio sent", "sms +15557654321 twilio sent", "webhook " + hook + " webhook sent",
		}, w.log(created)); diff != "" {
			t.Error(diff)
		}
	}
	var to []string
	for _, m := range w.mail.messages {
		to = append(to, m.To)
		if m.Language != "de-AT" || m.Zone.String() != "Europe/Vienna" {
			t.Errorf("to %s in %q, %s", m.To, m.Language, m.Zone)
		}
		if secrets := len(m.Secrets); (secrets == 1) != (m.To == hook) {
			t.Errorf("%d secrets for %s", secrets, m.To)
		}
	}
	slices.Sort(to)
	if diff := cmp.Diff([]string{"+15551234567", "+15557654321", "a@x.org", "b@x.org", "c1:APA91b", "c2", hook}, to); diff != "" {
		t.Error(diff)
	}
	if got, want := w.inbox()[0].Body, "Fällig am Mo., 23. Nov. 2026, 13:00 CET (UTC+01:00)"; got != want {
		t.Errorf("in the inbox: %q, want %q", got, want)
	}
}

func TestNoTarget(t *testing.T) {
	for name, tt := range map[string]struct {
		choose func(*preferences.Preferences)
		want   []string
	}{
		"nothing named": {
			func(p *preferences.Preferences) { p.Channels = []task.Channel{task.Push, task.SMS, task.Webhook} },
			[]string{
				"in_app sent", "push failed your preferences name no device", "sms failed your preferences name no phone number",
				"webhook failed your preferences name no webhook",
			},
		},
		"no device of a provider that is set up": {
			func(p *preferences.Preferences) {
				p.Channels, p.Devices = []task.Channel{task.Push}, []preferences.Device{{Provider: "onesignal", Token: "0198"}}
			},
			[]string{"in_app sent", "push onesignal:0198 failed this device's provider is not set up here"},
		},
		"the longest there may be": {
			func(p *preferences.Preferences) {
				p.Channels = []task.Channel{task.Push, task.Webhook}
				p.Devices = []preferences.Device{{Provider: "fcm", Token: long(4096)}, {Provider: "fcm", Token: long(4095)}}
				p.Webhook = &preferences.Webhook{URL: "https://example.com/" + long(1980)}
			},
			[]string{"push fcm:" + long(4095) + " fcm sent", "push fcm:" + long(4096) + " fcm sent", "webhook https://example.com/" + long(1980) + " webhook sent"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			w.choose(tt.choose)
			w.everything()
			created := w.create(task.Draft{DueDate: in(0)})
			w.fire(wake(created))
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, w.log(created)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// long is a text that does not compress well.
func long(n int) string {
	var b strings.Builder
	for i := uint32(1); b.Len() < n; i++ {
		fmt.Fprintf(&b, "%x", i*2654435761)
	}
	return b.String()[:n]
}

// One channel that fails holds up none of the others, whichever way it fails, and only
// what may still work out is tried again.
func TestOneChannelFails(t *testing.T) {
	for kind, again := range map[notify.Kind]bool{notify.Permanent: false, notify.Retry: true, notify.Unknown: true} {
		w := newWorld(t, atNoon)
		w.choose(chosen)
		w.everything()
		w.mail.answer = func(m notify.Message) error {
			if m.To == "b@x.org" {
				return &notify.Error{Kind: kind, Err: errDown}
			}
			return nil
		}
		created := w.create(task.Draft{DueDate: in(0)})
		_, _ = w.firer.Fire(t.Context(), wake(created))
		if n := w.mail.count(); n != 7 || len(w.inbox()) != 1 {
			t.Errorf("%s: %d messages, %d in the inbox: %v", kind, n, len(w.inbox()), w.log(created))
		}
		w.due()
		w.mail.answer = nil
		w.fire(wake(created))
		want := map[bool]int{true: 8, false: 7}[again]
		if n := w.mail.count(); n != want || w.mail.messages[n-1].To != map[bool]string{true: "b@x.org", false: w.mail.messages[6].To}[again] {
			t.Errorf("%s: %d messages, want %d", kind, n, want)
		}
	}
}

// What is not in the preferences any more when it is sent is not sent.
func TestTargetTakenOutBeforeSending(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(chosen)
	w.everything()
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	created := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Email, task.Push, task.SMS, task.Webhook}})
	_, _ = w.firer.Fire(t.Context(), wake(created))
	before := w.mail.count()
	w.choose(func(p *preferences.Preferences) {
		p.Channels = []task.Channel{task.InApp} // which is no reason: the task names its own
		p.Emails, p.Phones, p.Devices = p.Emails[1:], p.Phones[1:], p.Devices[2:]
		p.Webhook = &preferences.Webhook{URL: hook + "&c=d", Secret: "whsec_b3RoZXI="}
	})
	w.mail.answer = nil
	w.due()
	w.fire(wake(created))
	const out = " failed permanent: it is not in your preferences any more"
	if diff := cmp.Diff([]string{
		"email a@x.org sendgrid" + out, "email b@x.org sendgrid sent",
		"push fcm:c1:APA91b fcm" + out, "push fcm:c2 fcm sent", "push onesignal:0198 failed this device's provider is not set up here",
		"sms +15551234567 twilio" + out, "sms +15557654321 twilio sent", "webhook " + hook + " webhook" + out,
	}, w.log(created)); diff != "" {
		t.Error(diff)
	}
	if n := w.mail.count() - before; n != 3 {
		t.Errorf("%d sends to what is left, want 3", n)
	}
}

// A device that is gone is taken out of the preferences, and a webhook is switched
// off for good: no task can ask for it until its user switches it on again.
func TestGone(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(chosen)
	w.everything()
	w.mail.answer = func(m notify.Message) error {
		if m.To == hook || m.To == "c1:APA91b" || m.To == "+15551234567" {
			return &notify.Error{Kind: notify.Permanent, Gone: true, Err: errDown}
		}
		return nil
	}
	w.fire(wake(w.create(task.Draft{DueDate: in(0)})))
	p, err := w.store.GetPreferences(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	var want preferences.Preferences
	chosen(&want)
	want.AllDayAt, want.Language, want.Version = task.DefaultAllDayAt, "en", 3
	want.Verified, want.Grace = want.Addresses(), []string{}
	want.Channels = []task.Channel{task.InApp, task.Email, task.Push, task.SMS}
	want.Devices = slices.Delete(want.Devices, 0, 1)
	want.Webhook = &preferences.Webhook{URL: hook, KeepSecret: true, Gone: true}
	if diff := cmp.Diff(want, p, cmp.AllowUnexported(quiet.Hours{})); diff != "" {
		t.Error(diff)
	}
	if secret := w.column(`select webhook_secret from preferences`); len(secret) != 1 || secret[0] != "whsec_bmV3" {
		t.Errorf("the secret on record is %v", secret)
	}

	told := w.mail.count()
	asks := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Webhook}})
	w.fire(wake(asks))
	if diff := cmp.Diff([]string{"in_app sent", "webhook failed your webhook has answered that it is gone; switch it on again in your preferences"}, w.log(asks)); diff != "" {
		t.Error(diff)
	}
	w.choose(func(p *preferences.Preferences) {
		earlier := *p
		p.Channels = []task.Channel{task.Webhook}
		p.Follow(earlier)
		p.Version--
	})
	w.mail.answer = nil
	w.fire(wake(w.create(task.Draft{DueDate: in(0)})))
	if n := w.mail.count() - told; n != 1 {
		t.Errorf("switched on again: %d messages", n)
	}
}

// A browser's subscription reaches its provider alone, and one that is gone is taken out. The
// delivery log doesn't show it.
func TestBrowsers(t *testing.T) {
	w := newWorld(t, atNoon)
	browser := func(name string) preferences.Device {
		return preferences.NewBrowser(subscription.Subscription{Endpoint: "https://push.example.com/capability-" + name, Keys: subscription.Keys{P256dh: "key-" + name, Auth: "auth"}})
	}
	one, two := browser("one"), browser("two")
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Devices = []task.Channel{task.Push}, []preferences.Device{one, {Provider: "fcm", Token: "c1"}, two}
	})
	w.firer = newTeller(w.store, deliver.Channels{task.Push: {{Name: "fcm", Channel: w.mail}, {Name: preferences.WebPush, Channel: w.mail}}}, w.clock, settings)
	w.mail.answer = func(m notify.Message) error {
		if m.Subscription != nil && *m.Subscription == *two.Subscription {
			return &notify.Error{Kind: notify.Permanent, Gone: true, Err: errDown}
		}
		return nil
	}
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	log := w.log(created)
	if diff := cmp.Diff([]string{
		"push fcm:c1 fcm sent", "push " + one.String() + " webpush sent", "push " + two.String() + " webpush failed permanent: " + errDown.Error(),
	}, log); diff != "" {
		t.Error(diff)
	}
	if text := strings.Join(log, "\n"); strings.Contains(text, "capability") || !strings.Contains(text, "webpush:https://push.example.com/"+one.ID()) {
		t.Errorf("the log is %s", text)
	}
	subscriptions := map[string]subscription.Subscription{}
	for _, m := range w.mail.messages {
		if m.Subscription != nil {
			subscriptions[m.To] = *m.Subscription
		} else if m.To != "c1" {
			t.Errorf("to %s without a subscription", m.To)
		}
	}
	if diff := cmp.Diff(map[string]subscription.Subscription{one.Token: *one.Subscription, two.Token: *two.Subscription}, subscriptions); diff != "" {
		t.Error(diff)
	}
	p, err := w.store.GetPreferences(t.Context(), ada)
	if diff := cmp.Diff([]preferences.Device{one, {Provider: "fcm", Token: "c1"}}, p.Devices); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// Several devices of one user turn out to be gone at the same time, while the user
// changes other things: nothing gets lost, and nothing deadlocks.
func TestGoneAtTheSameTime(t *testing.T) {
	w := newWorld(t, atNoon)
	w.choose(func(p *preferences.Preferences) {
		p.Channels = []task.Channel{task.Push}
		for i := range 10 {
			p.Devices = append(p.Devices, preferences.Device{Provider: "fcm", Token: fmt.Sprint(i)})
		}
	})
	w.everything()
	w.mail.answer = func(m notify.Message) error {
		if m.To == "3" {
			return nil
		}
		return &notify.Error{Kind: notify.Permanent, Gone: true, Err: errDown}
	}
	var group sync.WaitGroup
	for range 3 {
		created := w.create(task.Draft{DueDate: in(0)})
		group.Go(func() {
			if _, err := w.firer.Fire(t.Context(), wake(created)); err != nil { // it may be another's neighbour
				t.Error(err)
			}
		})
		group.Go(func() {
			w.choose(func(p *preferences.Preferences) { p.Phones = append(p.Phones, "+15551234567") })
		})
	}
	group.Wait()
	p, err := w.store.GetPreferences(t.Context(), ada)
	if err != nil || len(p.Devices) != 1 || p.Devices[0].Token != "3" || len(p.Phones) != 3 {
		t.Errorf("%+v, %v", p, err)
	}
}

// A webhook's posts are signed with the secret before the latest one, too, for a day.
func TestSecretsOfAWebhook(t *testing.T) {
	type step struct {
		webhook *preferences.Webhook
		want    string // the secrets of the next post, the newest first
	}
	give := func(url string, secret config.Secret) *preferences.Webhook {
		return &preferences.Webhook{URL: url, Secret: secret}
	}
	keep := &preferences.Webhook{URL: hook, KeepSecret: true}
	for name, steps := range map[string][]step{
		"none":                       {{give(hook, ""), ""}, {keep, ""}},
		"one":                        {{give(hook, "1"), "1"}, {keep, "1"}},
		"a new one":                  {{give(hook, "1"), "1"}, {give(hook, "2"), "2 1"}, {keep, "2 1"}},
		"the same one again":         {{give(hook, "1"), "1"}, {give(hook, "2"), "2 1"}, {give(hook, "2"), "2 1"}},
		"two new ones":               {{give(hook, "1"), "1"}, {give(hook, "2"), "2 1"}, {give(hook, "3"), "3 2"}},
		"back again":                 {{give(hook, "1"), "1"}, {give(hook, "2"), "2 1"}, {give(hook, "1"), "1 2"}},
		"the first one":              {{give(hook, ""), ""}, {give(hook, "1"), "1"}},
		"taken away":                 {{give(hook, "1"), "1"}, {give(hook, "2"), "2 1"}, {give(hook, ""), ""}},
		"another URL":                {{give(hook, "1"), "1"}, {give(hook+"&x", "2"), "2"}},
		"another URL, none":          {{give(hook, "1"), "1"}, {give(hook, "2"), "2 1"}, {&preferences.Webhook{URL: hook + "&x", KeepSecret: true}, ""}},
		"no webhook, and back again": {{give(hook, "1"), "1"}, {nil, "-"}, {keep, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atNoon)
			w.everything()
			for i, s := range steps {
				w.choose(func(p *preferences.Preferences) { p.Channels, p.Webhook = []task.Channel{task.Webhook}, s.webhook })
				if got := w.signedWith(); got != s.want {
					t.Errorf("step %d: signed with %q, want %q", i, got, s.want)
				}
			}
			w.exec(`update preferences set webhook_old_secret_until = webhook_old_secret_until - interval '24 hours 1 second'`)
			want, _, _ := strings.Cut(steps[len(steps)-1].want, " ")
			if got := w.signedWith(); got != want {
				t.Errorf("a day later: signed with %q, want %q", got, want)
			}
		})
	}
}

// signedWith fires a reminder and says with which secrets its post was to be signed;
// "-" if there was none.
func (w *world) signedWith() string {
	w.Helper()
	before := w.mail.count()
	w.fire(wake(w.create(task.Draft{DueDate: in(0)})))
	if w.mail.count() == before {
		return "-"
	}
	var secrets []string
	for _, s := range w.mail.messages[before].Secrets {
		secrets = append(secrets, s.Reveal())
	}
	return strings.Join(secrets, " ")
}
