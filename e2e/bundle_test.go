package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/api"
)

// Three reminders that fall due together are one e-mail, which lists them. The log of each says
// that it was sent, and the inbox has each of them.
func TestBundle(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	// Shorter than SEND_LINGER, since nothing sweeps here.
	p.choose(map[string]any{"bundle": map[string]string{"email": "12s"}, "channels": map[string]bool{"email": true}})
	due := time.Now().Add(3 * time.Second)
	var tasks []api.Task
	for _, title := range []string{"Pay rent", "Call Bob", "Water plants"} {
		tasks = append(tasks, ask[api.Task](p, "POST", "/api/tasks", map[string]any{"title": title, "due_date": due}))
	}
	p.eventually(soon, "the bundle is sent", func() bool {
		return !slices.ContainsFunc(tasks, func(task api.Task) bool {
			return !slices.ContainsFunc(p.deliveries(task), func(d delivery) bool { return d.Channel == "email" && d.State == "sent" })
		})
	})
	if n := len(p.inbox()); n != 3 {
		t.Errorf("%d in the inbox", n)
	}
	sent := p.mailsTo(p.name + "@example.com")
	if len(sent) != 1 || !strings.HasPrefix(sent[0], "3 reminders\n") {
		t.Fatalf("the e-mails: %q", sent)
	}
	for _, task := range tasks {
		if strings.Count(sent[0], task.Title+"\nDue ") != 1 {
			t.Errorf("%q is not in %q", task.Title, sent[0])
		}
	}
}
