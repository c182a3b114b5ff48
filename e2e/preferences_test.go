package e2e

import (
	"fmt"
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

// A reminder goes to every address that was chosen, and to those alone.
func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	home, work := p.name+"@home.example", p.name+"@work.example"
	p.choose(map[string]any{"emails": []string{home, work}, "channels": map[string]any{"in_app": false}})
	p.create(time.Second)
	p.eventually(soon, "an e-mail to each address", func() bool { return len(p.mailsTo(home)) == 1 && len(p.mailsTo(work)) == 1 })
	if len(p.inbox()) > 0 || p.mails() > 0 {
		t.Errorf("%d in the inbox, %d e-mails to the sign-in's address", len(p.inbox()), p.mails())
	}
}

var linkInText = regexp.MustCompile(`http://\S+/api/unsubscribe\?token=\S+`)

// The link in an e-mail stops them: not when it is looked at, but when its page
// posts. The next reminder comes in-app only.
func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	p.create(time.Second)
	p.told(soon, 1)
	link := linkInText.FindString(p.mailsTo(p.name + "@example.com")[0])

	follow := func(method string) string {
		req, err := http.NewRequestWithContext(t.Context(), method, link, strings.NewReader("List-Unsubscribe=One-Click"))
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
	if page := follow(http.MethodGet); !strings.Contains(page, p.name+"@example.com") {
		t.Errorf("the page does not say who: %s", page)
	}
	p.create(time.Second)
	p.told(soon, 2)

	follow(http.MethodPost)
	follow(http.MethodPost)
	p.create(time.Second)
	p.eventually(soon, "told in-app", func() bool { return len(p.inbox()) == 3 })
	p.quiet(3 * time.Second)
	if p.mails() != 2 {
		t.Errorf("%d e-mails", p.mails())
	}
	status, body := p.call("GET", "/api/preferences", nil)
	if want := `"email":false`; status != http.StatusOK || !strings.Contains(string(body), want) {
		t.Error(fmt.Sprint(status), string(body))
	}
}
