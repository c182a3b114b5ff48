package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/api"
)

// The agenda is one e-mail that says what is overdue and what is due today. It does not come before its time. If it
// is moved to a time that has just passed, it comes at once.
func TestAgenda(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	now := time.Now().UTC()
	zone := "UTC" // a zone in which it is about noon, so that no time of the test is near midnight
	if behind := now.Hour() - 12; behind != 0 {
		zone = fmt.Sprintf("Etc/GMT%+d", behind) // the sign in these names is reversed: Etc/GMT+5 is five hours behind UTC
	}
	local := now.Add(-time.Duration(now.Hour()-12) * time.Hour)
	choose := func(at time.Time) {
		t.Helper()
		p.choose(map[string]any{"time_zone": zone, "agenda": map[string]any{"channel": "email", "at": at.Format("15:04")}, "channels": map[string]bool{"email": false}})
	}
	choose(local.Add(time.Hour))
	create := func(title, key, due string) api.Task {
		t.Helper()
		return ask[api.Task](p, "POST", "/api/tasks", map[string]any{"title": title, key: due, "reminders": []string{}})
	}
	create("Pay rent", "due_on", local.Format(time.DateOnly))
	create("Call Bob", "due_local", local.AddDate(0, 0, -1).Format("2006-01-02T15:04"))
	create("Go to bed", "due_on", local.AddDate(0, 0, 1).Format(time.DateOnly))
	done := create("Eat out", "due_on", local.Format(time.DateOnly))
	p.call("POST", "/api/tasks/"+done.ID.String()+"/complete", map[string]any{})
	sweep := func() {
		t.Helper()
		if err := sys.Invoke(t.Context(), "retry-dlq"); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if n := p.mails(); n != 0 {
		t.Errorf("%d e-mails before its time", n)
	}
	choose(local.Add(-10 * time.Minute))
	p.eventually(soon, "the agenda is sent", func() bool { sweep(); return p.mails() > 0 })
	sweep()
	sent := p.mailsTo(p.name + "@example.com")
	if len(sent) != 1 || !strings.HasPrefix(sent[0], "1 due today, 1 overdue\n\nPay rent\nDue ") || !strings.Contains(sent[0], "\n\nCall Bob\nOverdue since ") ||
		strings.Contains(sent[0], "Go to bed") || strings.Contains(sent[0], "Eat out") {
		t.Errorf("the e-mails: %q", sent)
	}
}
