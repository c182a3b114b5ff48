package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/verify"
)

const testPath = path + "/test"

// tried returns the results of a test of a channel, in order, as "target state error".
func tried(w *functiontest.World, a functiontest.Answer) (all []string) {
	w.Helper()
	for _, d := range functiontest.Decode[struct{ Deliveries []result }](w, a, 200).Deliveries {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Target, d.State, d.Error)))
	}
	return all
}

// newTried is like newOwners, with a sender that SEND_URL wakes.
func newTried(t *testing.T, limits quota.Limits) *owners {
	var o *owners
	send := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { o.sender.Wake() }))
	t.Cleanup(send.Close)
	o = newOwners(t, "SEND_URL="+send.URL)
	var channels deliver.Channels = map[task.Channel][]deliver.Provider{
		task.Email: {{Name: "sendgrid", Channel: o}, {Name: "ses", Channel: o}}, task.SMS: {{Name: "twilio", Channel: o}}, task.Webhook: {{Name: "webhook", Channel: o}},
	}
	o.sender = deliver.NewSender(o.Store, channels, deliver.Rules{
		SendTimeout: time.Second, Lease: 10 * time.Second, MaxAttempts: 3, Concurrent: 8, PerUser: 8, Suppression: suppressionKeys, Quota: quota.Rules{Limits: limits},
	}, verify.Links{PublicURL: publicURL, Keys: verifyKeys})
	t.Cleanup(func() { <-o.sender.Wake() })
	return o
}

func (o *owners) failWith(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = err
}

func (o *owners) messages() []notify.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent)
}

// A test goes to all targets of the user on a channel, and to no others. The answer has the result
// of each. Nothing is retried, and nothing is put into the inbox.
func TestTest(t *testing.T) {
	o := newTried(t, quota.Limits{})
	o.Prefer("ada", func(p *preferences.Preferences) {
		p.Emails, p.Language = []string{"ada@example.org", "new@example.org", "stopped@example.org"}, "de"
		p.Webhook = &preferences.Webhook{URL: "https://example.org/hook"}
	})
	o.Exec(`update preferences set verified = '{ada@example.org,stopped@example.org}'`)
	if a := asOperator(o.World, o.Server, "POST", listPath, `{"address":"stopped@example.org","reason":"x"}`); a.Status >= 300 {
		t.Fatal(a.Body)
	}
	test := func(channel string) []string {
		t.Helper()
		return tried(o.World, o.As("ada", "POST", testPath, map[string]string{"channel": channel}))
	}
	got := test("email")
	if len(got) != 3 || got[0] != "ada@example.org sent" || got[1] != "new@example.org unverified "+preferences.UnverifiedProblem || !strings.HasPrefix(got[2], "stopped@example.org suppressed nothing is sent") {
		t.Errorf("got %q", got)
	}
	if len(o.messages()) != 1 || !o.messages()[0].Test || o.messages()[0].Title != "Testnachricht" || o.messages()[0].To != "ada@example.org" || o.messages()[0].Verification != nil || o.messages()[0].Task() != "" {
		t.Errorf("sent %+v", o.messages())
	}

	// Each provider is called once, and its answer is the result.
	for _, refusal := range []error{
		&notify.Error{Kind: notify.Retry, Err: errors.New("503, try later")},
		&notify.Error{Kind: notify.Permanent, Err: errors.New("503, try later")},
		&notify.Error{Kind: notify.Unknown, Err: errors.New("503, try later")},
	} {
		o.failWith(refusal)
		before := len(o.messages())
		if got := test("email"); !strings.HasPrefix(got[0], "ada@example.org failed ") || !strings.Contains(got[0], "503, try later") {
			t.Errorf("%v: got %q", refusal, got)
		}
		want := 1
		if kind, _ := notify.KindOf(refusal); kind == notify.Retry {
			want = 2
		}
		if n := len(o.messages()) - before; n != want {
			t.Errorf("%v: sent %d times, want %d", refusal, n, want)
		}
	}
	o.failWith(nil)
	if got := test("webhook"); !slices.Equal(got, []string{"https://example.org/hook sent"}) {
		t.Errorf("got %q", got)
	}
	for _, nothing := range []string{`deliveries where state in ('planned', 'sending', 'unknown')`, `dead_letters`, `notifications`} {
		if n := o.Count(`select count(*) from ` + nothing); n != 0 {
			t.Errorf("%d %s", n, nothing)
		}
	}
	if got := test("in_app"); !slices.Equal(got, []string{"sent"}) || o.Count(`select count(*) from notifications where user_id = 'ada' and task_id is null`) != 1 {
		t.Errorf("got %q", got)
	}
	// A user without stored preferences gets the test at the address of their sign-in.
	if got := tried(o.World, o.As("eve", "POST", testPath, map[string]string{"channel": "email"})); !slices.Equal(got, []string{"eve@example.com sent"}) {
		t.Errorf("got %q", got)
	}
}

func TestTestRefuses(t *testing.T) {
	o := newTried(t, quota.Limits{})
	o.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "UTC" })
	for body, detail := range map[string]string{`{"channel":"pigeon"}`: "must be one of", `{}`: "must be one of", `{"channel":"event"}`: "must be one of"} {
		o.WantProblem(o.As("ada", "POST", testPath, body), 400, "invalid", detail)
	}
	for channel, detail := range map[string]string{"sms": "no phone number", "push": "no device", "webhook": "no webhook"} {
		o.WantProblem(o.As("ada", "POST", testPath, map[string]string{"channel": channel}), 409, "conflict", detail)
	}
	o.Prefer("ada", func(p *preferences.Preferences) {
		p.Channels = []task.Channel{task.InApp}
		p.Webhook = &preferences.Webhook{URL: "https://example.org/hook", Gone: true}
	})
	o.Exec(`update preferences set unsubscribed = true`)
	o.WantProblem(o.As("ada", "POST", testPath, `{"channel":"email"}`), 409, "conflict", "unsubscribed")
	o.WantProblem(o.As("ada", "POST", testPath, `{"channel":"webhook"}`), 409, "conflict", "gone")
	o.WantProblem(o.Call("POST", testPath, `{"channel":"email"}`), 401, "unauthenticated", "")
	if len(o.messages()) > 0 {
		t.Errorf("sent %+v", o.messages())
	}
}

// Test messages count in the limits like other messages, but are never held. They have a low hourly
// limit of their own.
func TestTestIsLimited(t *testing.T) {
	storetest.WithinHour(2 * time.Minute)
	o := newTried(t, quota.Limits{PerHour: quota.PerChannel{task.Email: 2}})
	o.Prefer("ada", func(p *preferences.Preferences) { p.Webhook = &preferences.Webhook{URL: "https://example.org/hook"} })
	email := func() []string {
		t.Helper()
		return tried(o.World, o.As("ada", "POST", testPath, map[string]string{"channel": "email"}))
	}
	for range 2 {
		if got := email(); !slices.Equal(got, []string{"ada@example.com sent"}) {
			t.Errorf("got %q", got)
		}
	}
	if got := email(); len(got) != 1 || !strings.HasPrefix(got[0], "ada@example.com refused refused: you were sent 2 e-mails in this hour") {
		t.Errorf("over the quota: %q", got)
	}
	for range testsInHour - 3 {
		if got := tried(o.World, o.As("ada", "POST", testPath, map[string]string{"channel": "webhook"})); !slices.Equal(got, []string{"https://example.org/hook sent"}) {
			t.Fatalf("got %q", got)
		}
	}
	a := o.As("ada", "POST", testPath, map[string]string{"channel": "webhook"})
	o.WantProblem(a, 429, "rate_limited", "20 test messages")
	if a.Header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
	o.Exec(`update deliveries set created_at = created_at - interval '1 h' where test and id = (select min(id::text)::uuid from deliveries where test)`)
	if got := tried(o.World, o.As("ada", "POST", testPath, map[string]string{"channel": "webhook"})); !slices.Equal(got, []string{"https://example.org/hook sent"}) {
		t.Errorf("an hour after the first: %q", got)
	}
}

// A test is not sent if its target is not verified any more, or is suppressed, when it is sent, nor
// if the request has ended.
func TestTestIsJudgedWhenItIsSent(t *testing.T) {
	o := newOwners(t) // where send can't be reached
	o.Prefer("ada", func(p *preferences.Preferences) {
		p.Emails = []string{"a@example.org", "b@example.org", "c@example.org", "d@example.org"}
	})
	for _, target := range []string{"a", "b", "c", "d"} {
		created := "now()"
		if target == "d" {
			created = "now() - interval '6 min'"
		}
		o.Exec(`insert into deliveries (id, revision, user_id, channel, target, state, next_attempt_at, test, created_at) values (gen_random_uuid(), 1, 'ada', 'email', '` + target + `@example.org', 'planned', now(), true, ` + created + `)`)
	}
	o.Exec(`update preferences set verified = '{a@example.org,c@example.org,d@example.org}'`)
	if a := asOperator(o.World, o.Server, "POST", listPath, `{"address":"c@example.org","reason":"x"}`); a.Status >= 300 {
		t.Fatal(a.Body)
	}
	sent := o.sendDue()
	if len(sent) != 1 || sent[0].To != "a@example.org" {
		t.Errorf("sent %+v", sent)
	}
	for target, state := range map[string]string{"a": "sent", "b": "unverified", "c": "suppressed", "d": "failed"} {
		if o.Count(`select count(*) from deliveries where target = '`+target+`@example.org' and state = '`+state+`'`) != 1 {
			t.Errorf("%s is not %s", target, state)
		}
	}
	if n := o.Count(`select count(*) from notifications`); n != 0 {
		t.Errorf("%d notifications", n)
	}
}
