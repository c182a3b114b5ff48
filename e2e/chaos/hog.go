package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/sandbox"
)

// hog is an additional user, with as much as a user can have: thousands of messages at one instant
// to a webhook that never answers.
const hog = users

// hogFault makes the hog's messages fall due. It removes the webhook when they have been due for
// longer than others' messages may be late.
func hogFault(o options) fault {
	const ahead = 15 * time.Second
	n := min(max(o.reminders, 1000), 2000)
	return fault{name: fmt.Sprintf("hog: a user has %d messages to a webhook that never answers", n), part: "hog", lasts: ahead + 45*time.Second, gentle: true, strike: func(ctx context.Context, run *run) (func(), error) {
		if err := run.chooseWebhook(ctx, hog, true); err != nil {
			return nil, err
		}
		heal := func() { _ = run.chooseWebhook(ctx, hog, false) }
		due := time.Now().Add(ahead)
		if err := run.importMany(ctx, hog, n, func(int) any {
			return map[string]any{"title": "the hog's", "due_date": due, "channels": []string{"in_app", "webhook"}}
		}); err != nil {
			return heal, err
		}
		run.mu.Lock()
		defer run.mu.Unlock()
		run.hogged += n
		return heal, nil
	}}
}

// chooseWebhook gives a user a webhook that never answers, or removes it.
func (run *run) chooseWebhook(ctx context.Context, user int, on bool) error {
	in := map[string]any{"channels": map[string]bool{"in_app": true, "webhook": on, "email": false}}
	if on {
		in["webhook"] = map[string]any{"url": fmt.Sprintf("%s%s/%s", run.sys.URL(), sandbox.HangingPath, nameOf(user))}
	}
	return run.client.must(ctx, http.StatusOK, user, "PUT", "/api/preferences", in)
}

// importMany imports n tasks of a user, in requests of a thousand.
func (run *run) importMany(ctx context.Context, user, n int, task func(i int) any) error {
	for first := 0; first < n; first += 1000 {
		var tasks []any
		for i := first; i < min(first+1000, n); i++ {
			tasks = append(tasks, task(i))
		}
		a, err := run.client.settled(ctx, user, "POST", "/api/tasks/batch", map[string]any{"tasks": tasks}, "Idempotency-Key", uuid.NewString())
		if err != nil {
			return err
		}
		var out struct{ Tasks []struct{} }
		if err := a.into(&out); err != nil || len(out.Tasks) != len(tasks) {
			return fmt.Errorf("importing: %d %.500s", a.status, a.body)
		}
	}
	return nil
}

// judgeHog checks that each of the hog's reminders came to its inbox once.
func (run *run) judgeHog(ctx context.Context, t *tally) error {
	var came, different int
	err := run.db.QueryRow(ctx, `select count(*), count(distinct task_id) from notifications where user_id = $1`, nameOf(hog)).Scan(&came, &different)
	if different != run.hogged {
		t.find(nil, "lost", "%d of the hog's %d reminders came to its inbox", different, run.hogged)
	}
	if came != different {
		t.find(nil, "duplicate", "%d of the hog's notifications were not the first of their reminders", came-different)
	}
	return err
}
