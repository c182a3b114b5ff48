package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/unsubscribe"
	"github.com/duebell/duebell/shared/verify"
)

const key = "a-key-for-tests-of-at-least-32-characters"

var suppressionKeys = suppress.Keys{Keys: []config.Secret{key}}

// link returns the path of the link in an e-mail to an address of a user.
func link(user, address string) string {
	return unsubscribe.Path + "?token=" + unsubscribe.Keys{Keys: []config.Secret{key}}.Token(user, address)
}

// oneClick posts like mail programs do.
func oneClick(s *functiontest.Server, path string) functiontest.Answer {
	return s.Call("POST", path, "List-Unsubscribe=One-Click", "Content-Type", "application/x-www-form-urlencoded")
}

func wantPage(t *testing.T, a functiontest.Answer, parts ...string) {
	t.Helper()
	wantPageOf(t, 200, a, parts...)
}

func wantPageOf(t *testing.T, status int, a functiontest.Answer, parts ...string) {
	t.Helper()
	h := a.Header
	if a.Status != status || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Cache-Control") != "no-store" ||
		h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") || len(h.Values("Set-Cookie")) > 0 {
		t.Errorf("%d %v", a.Status, h)
	}
	for _, part := range parts {
		if !strings.Contains(a.Body, part) {
			t.Errorf("%q is missing in %s", part, a.Body)
		}
	}
}

func TestUnsubscribe(t *testing.T) {
	w, s := serve(t)
	w.Seed("ada", task.Draft{Title: "x"})
	path := link("ada", "ada@example.com")

	// A GET changes nothing, however often it is made.
	for _, method := range []string{"GET", "HEAD", "GET"} {
		a := s.Call(method, path, nil)
		if method == "GET" {
			wantPage(t, a, "ada@example.com", `<form method="post">`, "<button>Unsubscribe</button>", "<button>Send me reminders again</button>")
		} else if a.Status != 200 {
			t.Errorf("HEAD: %d", a.Status)
		}
	}
	wantSuppressed(w, "ada@example.com", false)
	const multipart = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n"
	for name, post := range map[string]func() functiontest.Answer{
		"one click": func() functiontest.Answer { return oneClick(s, path) },
		"in parts": func() functiontest.Answer {
			return s.Call("POST", path, multipart, "Content-Type", "multipart/form-data; boundary=b")
		},
		"nothing at all":        func() functiontest.Answer { return s.Call("POST", path, nil) },
		"more than anybody has": func() functiontest.Answer { return post(s, path, "Duebell=Again&x="+strings.Repeat("x", 10_000)) },
		"in the URL":            func() functiontest.Answer { return post(s, path+"&Duebell=Again", "List-Unsubscribe=One-Click") },
		"something else":        func() functiontest.Answer { return post(s, path, "Duebell=again") },
		"however it is written": func() functiontest.Answer { return oneClick(s, link("eve", "Ada@Example.com")) },
	} {
		for range 2 {
			wantPage(t, post(), "no more reminders to ", "<button>Send me reminders again</button>")
			wantSuppressed(w, "ada@example.com", true)
		}
		for range 2 {
			if a := again(s, path); a.Status != 200 || !strings.Contains(a.Body, "may send reminders to ada@example.com again") {
				t.Errorf("%s: undone: %d %s", name, a.Status, a.Body)
			}
			wantSuppressed(w, "ada@example.com", false)
		}
	}
	// The user's preferences are not changed.
	want(t, "preferences", s.As("ada", "GET", "/api/preferences", nil), byDefault, `"0"`)
}

// again posts the page's other form.
func again(s *functiontest.Server, path string) functiontest.Answer {
	return post(s, path, "Duebell=Again")
}

func post(s *functiontest.Server, path, form string) functiontest.Answer {
	return s.Call("POST", path, form, "Content-Type", "application/x-www-form-urlencoded")
}

func wantSuppressed(w *functiontest.World, address string, want bool) {
	w.Helper()
	found, err := w.Store.Suppressed(w.Context(), []suppress.Address{suppressionKeys.Hashes(task.Email, address)})
	if err != nil || (len(found) > 0) != want {
		w.Errorf("%s suppressed: %v, %v", address, found, err)
	}
}

// On some servers ada@ and ada+eve@ are mailboxes of different owners. Each owner's stop is for
// both addresses, and each can undo only their own stop.
func TestAnotherAddressDoesNotUndo(t *testing.T) {
	w, s := serve(t)
	mine, others := link("ada", "ada@example.com"), link("eve", "ada+eve@example.com")
	oneClick(s, others)
	oneClick(s, mine)
	again(s, others)
	wantSuppressed(w, "ada@example.com", true)
	wantSuppressed(w, "ada+eve@example.com", true)
	again(s, mine)
	wantSuppressed(w, "ada@example.com", false)
}

// An owner who unsubscribes gets no e-mail of any user. Only the owner can undo that.
func TestUnsubscribeHoldsForEverybody(t *testing.T) {
	w, s := serve(t)
	due := task.Instant(time.Now().Add(-time.Minute))
	draft := task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.Email}}
	mail := &mailbox{err: errDown}
	channels := deliver.Channels{task.Email: {{Name: "sendgrid", Channel: mail}}}
	sender := deliver.NewSender(w.Store, channels, deliver.Rules{
		SendTimeout: time.Second, Lease: 10 * time.Second, MaxAttempts: 3, Concurrent: 8, PerUser: 8, Suppression: suppressionKeys,
	}, verify.Links{})
	firer := fire.New(w.Store, fire.Channels(channels.Names()), suppressionKeys, schedule.NewMover(w.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, time.Now)
	tell := func(t task.Task) string {
		_, _ = firer.Fire(w.Context(), task.Revision{TaskID: t.ID, UserID: t.UserID, ReminderID: t.Reminders[0].ID, Number: 1})
		w.Exec(`update deliveries set next_attempt_at = now() where state = 'planned'`)
		<-sender.Wake()
		log, err := w.Store.ListDeliveries(w.Context(), t.UserID, t.ID)
		if err != nil {
			w.Fatal(err)
		}
		var states []string
		for _, d := range log {
			states = append(states, string(d.Channel)+" "+string(d.State))
		}
		return strings.Join(states, ",")
	}
	agreed := func(user string) {
		t.Helper()
		a := s.Call("PUT", "/api/preferences", `{"emails":[{"address":"owner@example.org","verified":true}]}`, "Authorization", "Bearer "+w.ServiceToken(), "Duebell-User", user)
		if a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	agreed("ada")
	agreed("eve")
	before, others := w.Seed("ada", draft), w.Seed("eve", draft)
	tell(before)
	tell(others)
	mail.err = nil
	tried := len(mail.to)
	wantPage(t, oneClick(s, link("ada", "owner@example.org")))
	for _, body := range []string{`{"emails":["owner@example.org"],"channels":{"email":true}}`, `{"emails":["Owner+x@example.org"],"channels":{"email":true}}`} {
		for what, c := range map[string]task.Task{"planned before": before, "another user's": others, "fired after": w.Seed("ada", draft), "by another": w.Seed("eve", draft)} {
			if got := tell(c); got != "email suppressed,in_app sent" {
				t.Errorf("%s: %s", what, got)
			}
		}
		for _, user := range []string{"ada", "eve"} { // who sends does not undo it
			if a := s.As(user, "PUT", "/api/preferences", body); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
	}
	if len(mail.to) != tried {
		t.Errorf("e-mails tried: %v", mail.to[tried:])
	}
	a := s.As("ada", "GET", "/api/preferences", nil)
	if want := `"emails":[{"address":"Owner+x@example.org","state":"suppressed","suppressed_since":"2`; !strings.Contains(a.Body, want) {
		t.Errorf("what users see: %s", a.Body)
	}
	if back := s.As("ada", "PUT", "/api/preferences", a.Body); back.Status != 200 {
		t.Errorf("what GET gave is not taken: %d %s", back.Status, back.Body)
	}
	if asked := w.Count(`select count(*) from deliveries where reminder_id is null`); asked != 0 {
		t.Errorf("%d messages ask to verify it", asked)
	}
	again(s, link("ada", "owner@example.org"))
	agreed("eve")
	if got := tell(w.Seed("eve", draft)); got != "email sent" {
		t.Errorf("when its owner wants them again: %s", got)
	}
}

// An owner unsubscribed before unsubscribing suppressed the address. If the user, who is not the
// owner, switches e-mail on again, the address gets a verification first, and no reminder.
func TestEarlierUnsubscribeIsNotUndoneByTheSender(t *testing.T) {
	o := newOwners(t)
	o.Seed("ada", task.Draft{Title: "x"})
	o.Exec(`insert into preferences (user_id, time_zone, language, channels, emails, phones, devices, unsubscribed, grace, version)
		values ('ada', 'UTC', 'en', '{in_app}', '{owner@example.org,Ada@Example.com}', '{+15551234567}', '[]', true, '{owner@example.org,Ada@Example.com,+15551234567}', 1)`)
	put := `{"emails":["owner@example.org","Ada@Example.com"],"phones":["+15551234567"],"channels":{"email":true,"in_app":false}}`
	if a := o.As("ada", "PUT", path, put); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	due := task.Instant(time.Now().Add(-time.Second))
	remind := func() (to []string) {
		created := o.Seed("ada", task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.Email, task.SMS}})
		if _, err := o.firer.Fire(o.Context(), task.Revision{TaskID: created.ID, UserID: "ada", ReminderID: created.Reminders[0].ID, Number: 1}); err != nil {
			t.Fatal(err)
		}
		for _, m := range o.sendDue() {
			if m.Verification == nil {
				to = append(to, m.To)
			}
		}
		slices.Sort(to)
		return to
	}
	// That did not unsubscribe text messages, and the address of the sign-in is the user's own.
	if to, want := remind(), []string{"+15551234567", "Ada@Example.com"}; !slices.Equal(to, want) {
		t.Errorf("sent to %v, want %v", to, want)
	}
	if got := o.state("ada", "owner@example.org"); got != "unverified" {
		t.Error(got)
	}
	if a := o.resend("ada", "owner@example.org"); a.Status != 202 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	wantPage(t, o.click(o.asked("owner@example.org").Verification.Link, ""), "Confirmed")
	if to, want := remind(), []string{"+15551234567", "Ada@Example.com", "owner@example.org"}; !slices.Equal(to, want) {
		t.Errorf("when its owner has agreed: sent to %v, want %v", to, want)
	}
}

// mailbox is an e-mail channel that records the addresses of the messages.
type mailbox struct {
	to  []string
	err error
}

var errDown = &notify.Error{Kind: notify.Retry, After: time.Hour, Err: errors.New("down")}

func (m *mailbox) Send(_ context.Context, message notify.Message) error {
	m.to = append(m.to, message.To)
	return m.err
}

func TestBadUnsubscribeTokens(t *testing.T) {
	w, s := serve(t)
	w.Seed("ada", task.Draft{Title: "x"})
	good := link("ada", "ada@example.com")
	other := unsubscribe.Path + "?token=" + unsubscribe.Keys{Keys: []config.Secret{"another-key-of-at-least-32-characters"}}.Token("ada", "ada@example.com")
	answers := map[string]bool{}
	for _, path := range []string{
		unsubscribe.Path, unsubscribe.Path + "?token=", unsubscribe.Path + "?token=x", unsubscribe.Path + "?token=%00%ff", unsubscribe.Path + "?token=%zz",
		unsubscribe.Path + "?token=" + strings.Repeat("A", 5000), good[:len(good)-1], good + "A", good[:len(good)-2] + "AA", strings.Replace(good, "token=", "token=A", 1),
		strings.Replace(good, "token=", "TOKEN=", 1), other,
	} {
		for _, a := range []functiontest.Answer{s.Call("GET", path, nil), oneClick(s, path)} {
			wantPageOf(t, 400, a, "<h1>That did not work</h1>", "this link is not valid", "latest reminder")
			answers[a.Body] = true
		}
		// A program that asks for JSON gets JSON.
		w.WantProblem(s.Call("POST", path, nil, "Accept", "application/json"), 400, "invalid", "this link is not valid")
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	if n := w.Count(`select count(*) from suppressions`); n != 0 {
		t.Errorf("%d suppressions", n)
	}
	// The user does not exist, or not any more.
	wantPage(t, oneClick(s, link("nobody", "nobody@example.com")))
	w.WantProblem(s.Call("PUT", good, nil), 405, "invalid", "POST")
	// Without a key every link is invalid.
	wantPageOf(t, 400, oneClick(functiontest.Serve(w, New), good), "not valid")
}

func TestUnsubscribePageEscapes(t *testing.T) {
	_, s := serve(t)
	for _, a := range []functiontest.Answer{s.Call("GET", link("ada", `"<script>alert(1)</script>"@x.org`), nil), oneClick(s, link("ada", `"<script>alert(1)</script>"@x.org`))} {
		wantPage(t, a, "&lt;script&gt;")
		if strings.Contains(a.Body, "<script") {
			t.Error(a.Body)
		}
	}
}

func TestUnsubscribeWhileTheDatabaseIsAway(t *testing.T) {
	w := functiontest.New(t)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	s := functiontest.Serve(w, New, "UNSUBSCRIBE_KEY="+key, "SUPPRESSION_KEY="+key)
	wantPage(t, s.Call("GET", link("ada", "ada@example.com"), nil))
	away := oneClick(s, link("ada", "ada@example.com"))
	wantPageOf(t, 503, away, "<h1>That did not work</h1>", "try again")
	if away.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
}
