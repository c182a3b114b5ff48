package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// choose puts preferences.
func (p person) choose(preferences map[string]any) {
	p.Helper()
	ask[any](p, "PUT", "/api/preferences", preferences)
}

var codeInText = regexp.MustCompile(`\b[0-9]{6}\b`)

// verify enters the code that was sent to an address that was added.
func (p person) verify(address string) {
	p.Helper()
	p.eventually(15*time.Second, "a code at "+address, func() bool { return len(p.mailsTo(address)) == 1 })
	ask[any](p, "POST", "/api/preferences/verify", map[string]any{"address": address, "code": codeInText.FindString(p.mailsTo(address)[0])})
}

func TestTimesAreInTheUsersZone(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	p.choose(map[string]any{"time_zone": "Asia/Kathmandu"})
	created := p.create(2 * time.Second)
	p.told(soon, 1)
	want := "Due " + created.DueDate.In(time.FixedZone("", (5*60+45)*60)).Format("Mon, 2 Jan 2006 15:04:05 UTC-07:00")
	want = strings.Replace(want, ":00 UTC", " UTC", 1) // seconds are not told when there are none
	if got := p.inbox()[0].Body; got != want {
		t.Errorf("in-app: %q, want %q", got, want)
	}
	if got := p.mailsTo(p.name + "@example.com")[0]; !strings.Contains(got, "\n\n"+want+"\n") {
		t.Errorf("e-mail: %q, want %q", got, want)
	}
}

// A reminder goes to every chosen address whose owner has agreed, and to no other.
func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	home, work := p.name+"@home.example", p.name+"@work.example"
	p.choose(map[string]any{"emails": []string{home, work}, "channels": map[string]any{"in_app": false}})
	p.create(0)
	p.eventually(soon, "told in-app instead", func() bool { return len(p.inbox()) == 1 })
	p.verify(home)
	p.verify(work)
	p.create(time.Second)
	p.eventually(soon, "an e-mail to each address", func() bool { return len(p.mailsTo(home)) == 2 && len(p.mailsTo(work)) == 2 })
	if len(p.inbox()) > 1 || p.mails() > 0 {
		t.Errorf("%d in the inbox, %d e-mails to the sign-in's address", len(p.inbox()), p.mails())
	}
}

var linkInText = regexp.MustCompile(`http://\S+/api/unsubscribe\?token=\S+`)

// The link in an e-mail stops e-mails when its page is posted, and not when it is opened. The next
// reminder comes in-app only.
func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	p.create(time.Second)
	p.told(soon, 1)
	link := linkInText.FindString(p.mailsTo(p.name + "@example.com")[0])

	follow := func(method, form string) string {
		req, err := http.NewRequestWithContext(t.Context(), method, link, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %q: %s %s %v", method, link, resp.Status, body, err)
		}
		return string(body)
	}
	if page := follow(http.MethodGet, ""); !strings.Contains(page, p.name+"@example.com") {
		t.Errorf("the page does not say who: %s", page)
	}
	p.create(time.Second)
	p.told(soon, 2)

	const stop, again = "List-Unsubscribe=One-Click", "Duebell=Again"
	follow(http.MethodPost, stop)
	follow(http.MethodPost, stop)
	p.create(time.Second)
	p.eventually(soon, "told in-app", func() bool { return len(p.inbox()) == 3 })
	p.quiet(3 * time.Second)
	if p.mails() != 2 {
		t.Errorf("%d e-mails", p.mails())
	}
	follow(http.MethodPost, again)
	p.create(time.Second)
	p.eventually(soon, "an e-mail again", func() bool { return p.mails() == 3 })
}

// Providers' reports come through the gateway, signed, to the function, and change the next
// reminder.
func TestReports(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	task := p.create(time.Second)
	p.told(soon, 1)
	deliveries := func() (id, report string) {
		_, body := p.call("GET", "/api/tasks/"+task.ID.String()+"/deliveries", nil)
		var log struct {
			Deliveries []struct{ ID, Channel, Report string }
		}
		if err := json.Unmarshal(body, &log); err != nil {
			t.Fatal(err)
		}
		for _, d := range log.Deliveries {
			if d.Channel == "email" {
				id, report = d.ID, d.Report
			}
		}
		return id, report
	}
	id, _ := deliveries()
	for _, event := range []string{"complained", "delivered"} { // the worst stays
		status, body := p.call("POST", "/dev/reports", map[string]string{"provider": "sendgrid", "delivery_id": id, "event": event})
		if status != http.StatusOK || !strings.Contains(string(body), `"status":204`) {
			t.Errorf("%d %s", status, body)
		}
	}
	if _, report := deliveries(); report != "complained" {
		t.Errorf("the delivery log says %q", report)
	}
	p.create(time.Second)
	p.eventually(soon, "told in-app", func() bool { return len(p.inbox()) == 2 })
	p.quiet(3 * time.Second)
	if p.mails() != 1 {
		t.Errorf("%d e-mails", p.mails())
	}
	status, body := p.call("POST", "/dev/reports", map[string]any{"provider": "sendgrid", "delivery_id": id, "event": "bounced", "forge": true})
	if status != http.StatusOK || !strings.Contains(string(body), `"status":403`) {
		t.Errorf("forged: %d %s", status, body)
	}
}
