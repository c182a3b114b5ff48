package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/unsubscribe"
)

const key = "a-key-for-tests-of-at-least-32-characters"

// link is the path of the link in an e-mail to one of a user's addresses.
func link(user, address string) string {
	return unsubscribe.Path + "?token=" + unsubscribe.Keys{Keys: []config.Secret{key}}.Token(user, address)
}

// oneClick posts as mail programs do.
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
	w.Seed("eve", task.Draft{Title: "x"})
	path := link("ada", "ada@example.com")

	// Looking changes nothing, however often.
	for _, method := range []string{"GET", "HEAD", "GET"} {
		a := s.Call(method, path, nil)
		if method == "GET" {
			wantPage(t, a, "ada@example.com", `<form method="post">`, "<button>Unsubscribe</button>")
		} else if a.Status != 200 {
			t.Errorf("HEAD: %d", a.Status)
		}
	}
	want(t, "after GET", s.As("ada", "GET", "/api/preferences", nil), byDefault, `"0"`)

	off := strings.Replace(byDefault, `"email":true`, `"email":false`, 1)
	for range 3 {
		wantPage(t, oneClick(s, path), "no more reminders to ada@example.com")
		want(t, "after POST", s.As("ada", "GET", "/api/preferences", nil), off, `"1"`)
	}
	want(t, "another user", s.As("eve", "GET", "/api/preferences", nil), byDefault, `"0"`)

	// Nothing but the user's own word switches it on again.
	const on = `{"channels":{"email":true}}`
	for _, silent := range []string{`{}`, `{"channels":null}`, `{"channels":{"email":null,"in_app":true}}`} {
		if a := s.As("ada", "PUT", "/api/preferences", silent); a.Status != 200 || a.Body != off {
			t.Errorf("after %s: %d %s", silent, a.Status, a.Body)
		}
	}
	want(t, "on again", s.As("ada", "PUT", "/api/preferences", on), byDefault, `"5"`)
	// Off by a program that posts in another way.
	wantPage(t, s.Call("POST", path, "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n",
		"Content-Type", "multipart/form-data; boundary=b"))
	want(t, "off again", s.As("ada", "GET", "/api/preferences", nil), off, `"6"`)
	// Other changes leave it at that.
	want(t, "another zone", s.As("ada", "PUT", "/api/preferences", strings.Replace(off, "UTC", "Etc/UTC", 1)), strings.Replace(off, "UTC", "Etc/UTC", 1), `"7"`)
	want(t, "no change", oneClickThenGet(s, path), strings.Replace(off, "UTC", "Etc/UTC", 1), `"7"`)
}

func oneClickThenGet(s *functiontest.Server, path string) functiontest.Answer {
	oneClick(s, path)
	return s.As("ada", "GET", "/api/preferences", nil)
}

func TestUnsubscribeOneOfSeveralAddresses(t *testing.T) {
	_, s := serve(t)
	withSecret := strings.Replace(full, `a=b"}`, `a=b","secret":"`+secret+`"}`, 1)
	want(t, "PUT", s.As("ada", "PUT", "/api/preferences", withSecret), full, `"1"`)
	one := strings.Replace(full, `"ada@example.org",`, ``, 1)
	want(t, "the first", oneClickThenGet(s, link("ada", "Ada@example.org")), one, `"2"`)
	want(t, "one that is not used", oneClickThenGet(s, link("ada", "old@example.org")), one, `"2"`)
	none := strings.Replace(strings.Replace(one, `"lovelace@example.org"`, ``, 1), `"email":true`, `"email":false`, 1)
	want(t, "the last", oneClickThenGet(s, link("ada", "lovelace@example.org")), none, `"3"`)
}

// What is planned and unsent goes nowhere either, and a task that asks for e-mail
// gets none.
func TestUnsubscribeHoldsForTasks(t *testing.T) {
	w, s := serve(t)
	due := task.Instant(time.Now().Add(-time.Minute))
	draft := task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.Email}}
	mail := &mailbox{err: errDown}
	channels := deliver.Channels{task.Email: {{Name: "sendgrid", Channel: mail}}}
	sender := deliver.NewSender(w.Store, channels, deliver.Rules{SendTimeout: time.Second, Lease: 10 * time.Second, MaxAttempts: 3, Concurrent: 8, PerUser: 8})
	firer := fire.New(w.Store, fire.Channels(channels.Names()), func() {}, time.Now)
	tell := func(t task.Task) []string {
		_, _ = firer.Fire(w.Context(), task.Revision{TaskID: t.ID, UserID: t.UserID, ReminderID: t.Reminders[0].ID, Number: 1})
		<-sender.Wake()
		log, err := w.Store.ListDeliveries(w.Context(), t.UserID, t.ID)
		if err != nil {
			w.Fatal(err)
		}
		var states []string
		for _, d := range log {
			states = append(states, string(d.Channel)+" "+string(d.State))
		}
		return states
	}
	before, others := w.Seed("ada", draft), w.Seed("eve", draft)
	tell(before)
	tell(others)
	wantPage(t, oneClick(s, link("ada", "ada@example.com")))
	mail.err = nil
	for what, c := range map[string]struct {
		task task.Task
		want string
	}{
		"planned before": {before, "email cancelled"},
		"another user's": {others, "email planned"},
		"fired after":    {w.Seed("ada", draft), "email failed,in_app sent"},
	} {
		if got := strings.Join(tell(c.task), ","); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	if len(mail.to) != 2 {
		t.Errorf("e-mails tried: %v", mail.to)
	}
	if a := s.As("ada", "PUT", "/api/preferences", `{"channels":{"email":true}}`); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if got := strings.Join(tell(w.Seed("ada", draft)), ","); got != "email sent" {
		t.Errorf("switched on again: %s", got)
	}
}

// mailbox is an e-mail channel that keeps whom it was to write to.
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
		// Programs that ask for JSON get it.
		w.WantProblem(s.Call("POST", path, nil, "Accept", "application/json"), 400, "invalid", "this link is not valid")
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	want(t, "unchanged", s.As("ada", "GET", "/api/preferences", nil), byDefault, `"0"`)
	// A user who isn't there, or no longer: there is nobody to write to.
	wantPage(t, oneClick(s, link("nobody", "nobody@example.com")))
	w.WantProblem(s.Call("PUT", good, nil), 405, "invalid", "POST")
	// Without a key no link is good.
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
	s := functiontest.Serve(w, New, "UNSUBSCRIBE_KEY="+key)
	wantPage(t, s.Call("GET", link("ada", "ada@example.com"), nil))
	away := oneClick(s, link("ada", "ada@example.com"))
	wantPageOf(t, 503, away, "<h1>That did not work</h1>", "try again")
	if away.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
}
