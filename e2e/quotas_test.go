package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/local/system"
)

// A user's second e-mail of the hour is held, and the third of the day is refused. Both are told in
// the inbox, and the delivery log says why. A number that gets no text messages can't be added.
func TestLimits(t *testing.T) {
	t.Parallel()
	storetest.WithinHour(2 * time.Minute)
	own := startOwn(t, func(o *system.Options) {
		o.Env = append(o.Env, "QUOTA_PER_HOUR=email=1,push=0,sms=0,webhook=0", "QUOTA_PER_DAY=email=2,push=0,sms=0,webhook=0", "SMS_ALLOWED_PREFIXES=+1,+49")
	})
	p := newPerson(t, own)
	type delivery struct {
		Channel, State string
		Attempts       int
		LastError      string     `json:"last_error"`
		NextAttemptAt  *time.Time `json:"next_attempt_at"`
	}
	for n, want := range []struct{ state, why string }{{"sent", ""}, {"held", "held until "}, {"refused", "refused: you were to be sent more than 2 e-mails today"}} {
		task := p.create(0)
		var email delivery
		p.eventually(soon, "the e-mail comes to "+want.state, func() bool {
			for _, d := range ask[struct{ Deliveries []delivery }](p, "GET", "/api/tasks/"+task.ID.String()+"/deliveries", nil).Deliveries {
				if d.Channel == "email" && d.State == want.state && strings.HasPrefix(d.LastError, want.why) {
					email = d
					return true
				}
			}
			return false
		})
		if held := want.state == "held"; held != (email.NextAttemptAt != nil) || held && !email.NextAttemptAt.Equal(time.Now().UTC().Truncate(time.Hour).Add(time.Hour)) {
			t.Errorf("%s: the next attempt is at %v", want.state, email.NextAttemptAt)
		}
		if tried := n == 0; tried != (email.Attempts == 1) {
			t.Errorf("%s: %d attempts", want.state, email.Attempts)
		}
		p.eventually(soon, "the inbox tells", func() bool { return len(p.inbox()) == n+1 })
	}
	if p.mails() != 1 {
		t.Errorf("%d e-mails", p.mails())
	}
	status, body := p.call("PUT", "/api/preferences", map[string]any{"phones": []string{"+447700900000"}})
	if status != 400 || !strings.Contains(string(body), "begin with +1, +49") {
		t.Errorf("a number that is not allowed: %d %s", status, body)
	}
	ask[struct{}](p, "PUT", "/api/preferences", map[string]any{"phones": []string{"+15551234567"}})
}
