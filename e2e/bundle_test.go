package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/api"
)

// Three reminders that fall due within some seconds are one e-mail, which lists them; the inbox has each
// at once. What is completed before is not in it, and each log says what became of it.
func TestBundle(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	p.choose(map[string]any{"bundle": map[string]string{"email": "30s"}, "channels": map[string]bool{"email": true}})
	var tasks []api.Task
	for _, title := range []string{"Pay rent", "Call Bob", "Water plants", "Eat"} {
		tasks = append(tasks, ask[api.Task](p, "POST", "/api/tasks", map[string]any{"title": title, "due_date": time.Now().Add(time.Second)}))
	}
	mail := func(task api.Task) delivery {
		log := p.deliveries(task)
		if i := slices.IndexFunc(log, func(d delivery) bool { return d.Channel == "email" }); i >= 0 {
			return log[i]
		}
		return delivery{}
	}
	p.eventually(soon, "all are in the inbox, and their e-mails bundled", func() bool {
		return len(p.inbox()) == 4 && !slices.ContainsFunc(tasks, func(task api.Task) bool { return mail(task).State != "bundled" })
	})
	if n := p.mails(); n != 0 {
		t.Errorf("%d e-mails at once", n)
	}
	p.patch(tasks[3], map[string]any{"completed": true})
	p.eventually(2*soon, "the bundle is sent", func() bool {
		return mail(tasks[0]).State == "sent" && mail(tasks[1]).State == "sent" && mail(tasks[2]).State == "sent"
	})
	if d := mail(tasks[3]); d.State != "cancelled" {
		t.Errorf("what was completed is %+v", d)
	}
	sent := p.mailsTo(p.name + "@example.com")
	if len(sent) != 1 || !strings.HasPrefix(sent[0], "3 reminders\n") || strings.Contains(sent[0], "Eat") {
		t.Fatalf("the e-mails: %q", sent)
	}
	for _, task := range tasks[:3] {
		if strings.Count(sent[0], task.Title+"\nDue ") != 1 {
			t.Errorf("%q is not in %q", task.Title, sent[0])
		}
	}
}
