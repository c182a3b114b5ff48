package e2e

import (
	"strings"
	"testing"
	"time"
)

// In quiet hours the inbox tells and e-mails are held, except urgent ones; the log says so. When
// the quiet hours are removed, of each task the newest held e-mail is sent.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	now := time.Now().UTC()
	until := now.Add(2 * time.Hour).Truncate(time.Minute)
	choose := func(windows ...map[string]any) {
		t.Helper()
		p.choose(map[string]any{"time_zone": "UTC", "quiet_hours": windows, "channels": map[string]bool{"email": true}})
	}
	choose(map[string]any{"from": now.Add(-2 * time.Hour).Format("15:04"), "to": until.Format("15:04")})
	type delivery struct {
		Channel, State, Reason, Note string
		Attempts                     int
		NextAttemptAt                *time.Time `json:"next_attempt_at"`
	}
	mails := func(task string) (all map[string]delivery) { // by their states
		all = map[string]delivery{}
		for _, d := range ask[struct{ Deliveries []delivery }](p, "GET", "/api/tasks/"+task+"/deliveries", nil).Deliveries {
			if d.Channel == "email" {
				all[d.State] = d
			}
		}
		return all
	}
	created := p.create(2*time.Second, "1s", "0s").ID.String()
	p.eventually(soon, "the later e-mail is held, the earlier replaced", func() bool {
		log := mails(created)
		return log["cancelled"].Reason == "replaced" && log["held"].State != ""
	})
	held := mails(created)["held"]
	if held.Reason != "quiet_hours" || held.Attempts != 0 || held.NextAttemptAt == nil || !held.NextAttemptAt.Equal(until) ||
		!strings.Contains(held.Note, until.Format("15:04 on Monday, 2 January")) {
		t.Errorf("the log: %+v, want until %v", held, until)
	}
	urgent := ask[struct{ ID string }](p, "POST", "/api/tasks", map[string]any{"title": "Urgent", "due_date": time.Now(), "urgent": true}).ID
	p.eventually(soon, "the urgent e-mail is sent", func() bool { return mails(urgent)["sent"].State != "" })
	if n := p.mails(); n != 1 || len(p.inbox()) != 3 {
		t.Errorf("%d e-mails, %d in the inbox", n, len(p.inbox()))
	}
	choose()
	p.eventually(soon, "what was held is sent", func() bool { return mails(created)["sent"].State != "" })
	if n := p.mails(); n != 2 {
		t.Errorf("%d e-mails", n)
	}
	status, body := p.call("PUT", "/api/preferences", map[string]any{"quiet_hours": []map[string]any{{"from": "22:00", "to": "07:00"}}})
	if status != 400 || !strings.Contains(string(body), "give time_zone") {
		t.Errorf("without a time zone: %d %s", status, body)
	}
}
