package e2e

import (
	"testing"
	"time"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/api"
)

// One user has hundreds of messages to a webhook that accepts them and never answers. Another
// user's reminder, due at the same instant, comes to the inbox and by e-mail all the same. With one
// queue for all, the e-mail would come half a minute later.
func TestHog(t *testing.T) {
	t.Parallel()
	own := startOwn(t, func(o *system.Options) {
		o.Env = append(o.Env, "SEND_CONCURRENCY=16", "SEND_CONCURRENCY_PER_USER=4")
	})
	p := newPerson(t, own)
	hog := person{T: t, sys: own, name: "other", token: own.Environment()["DUEBELL_TOKEN_2"]}
	hog.choose(map[string]any{"channels": map[string]any{"webhook": true}, "webhook": map[string]any{"url": own.URL() + sandbox.HangingPath + "/other"}})
	due := time.Now().Add(8 * time.Second)
	tasks := make([]map[string]any, 300)
	for i := range tasks {
		tasks[i] = map[string]any{"title": "One of many", "due_date": due}
	}
	many := ask[struct{ Tasks []api.Task }](hog, "POST", "/api/tasks/batch", map[string]any{"tasks": tasks}).Tasks
	p.create(time.Until(due))
	p.told(time.Until(due)+20*time.Second, 1)
	hog.eventually(soon, "the hog is told in-app, too", func() bool { return len(hog.inbox()) > 0 })
	open := 0
	for _, task := range many {
		for _, d := range ask[struct {
			Deliveries []struct{ Channel, State string }
		}](hog, "GET", "/api/tasks/"+task.ID.String()+"/deliveries", nil).Deliveries {
			if d.Channel == "webhook" && d.State != "sent" && d.State != "failed" && d.State != "exhausted" {
				open++
			}
		}
	}
	if open < len(many)/2 {
		t.Errorf("only %d of %d messages wait for the webhook: there was no hog", open, len(many))
	}
}
