package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/api"
)

// tour shows real reminders being created, moved, cancelled, fired and received,
// through the public API, as any user would.
type tour struct {
	url, token string
	out        *screen
}

const clock = "15:04:05.000"

// run takes about five seconds. The error says what did not arrive as it should.
func (t tour) run(ctx context.Context) error {
	start := time.Now().Truncate(time.Second).Add(time.Second)
	fires, err := t.create(ctx, "Water the plants", start.Add(2*time.Second))
	if err != nil {
		return err
	}
	moved, err := t.create(ctx, "Call the bank", start.Add(time.Second))
	if err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodPatch, "/api/tasks/"+moved.ID.String(), map[string]any{"due_date": start.Add(3 * time.Second)}, &moved); err != nil {
		return err
	}
	t.out.line("moved", "%q to %s", moved.Title, moved.DueDate.Format(clock))
	deleted, err := t.create(ctx, "Buy milk", start.Add(time.Second))
	if err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodDelete, "/api/tasks/"+deleted.ID.String(), nil, nil); err != nil {
		return err
	}
	t.out.line("deleted", "%q", deleted.Title)

	for _, task := range []api.Task{fires, moved} {
		if err := t.arrives(ctx, task); err != nil {
			return err
		}
	}
	if n, _, err := t.received(ctx, deleted); err != nil || n != 0 {
		return fmt.Errorf("%d reminders came for the deleted task (%w)", n, err)
	}
	t.out.line("silent", "%q was deleted, and nothing came", deleted.Title)
	return nil
}

func (t tour) create(ctx context.Context, title string, due time.Time) (created api.Task, err error) {
	if err := t.call(ctx, http.MethodPost, "/api/tasks", map[string]any{"title": title, "due_date": due}, &created); err != nil {
		return created, err
	}
	t.out.line("created", "%q, due at %s, %s", title, due.UTC().Format(clock), created.Reminders[0].State)
	return created, nil
}

// arrives waits for a task's reminder, in the inbox and as an e-mail.
func (t tour) arrives(ctx context.Context, task api.Task) error {
	ctx, cancel := context.WithDeadline(ctx, task.DueDate.Add(10*time.Second))
	defer cancel()
	for {
		n, inboxAt, err := t.received(ctx, task)
		if err != nil {
			return err
		}
		mails, mailAt, err := t.mailed(ctx, task)
		if err != nil {
			return err
		}
		if n > 1 || mails > 1 {
			return fmt.Errorf("%q came %d times to the inbox and %d times as e-mail", task.Title, n, mails)
		}
		if n == 1 && mails == 1 {
			t.out.line("received", "%q in the inbox %d ms after its time, as e-mail after %d ms", task.Title,
				inboxAt.Sub(*task.DueDate).Milliseconds(), mailAt.Sub(*task.DueDate).Milliseconds())
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%q did not arrive: %d in the inbox, %d e-mails", task.Title, n, mails)
		}
	}
}

// received counts a task's notifications in the inbox, and says when the last
// one was written.
func (t tour) received(ctx context.Context, task api.Task) (n int, at time.Time, err error) {
	var inbox struct {
		Notifications []struct {
			TaskID    string    `json:"task_id"`
			CreatedAt time.Time `json:"created_at"`
		}
	}
	err = t.call(ctx, http.MethodGet, "/api/notifications", nil, &inbox)
	for _, each := range inbox.Notifications {
		if each.TaskID == task.ID.String() {
			n, at = n+1, each.CreatedAt
		}
	}
	return n, at, err
}

// mailed counts the e-mails that the sandbox has caught for a task in this run.
func (t tour) mailed(ctx context.Context, task api.Task) (n int, at time.Time, err error) {
	var messages []sandbox.Message
	err = t.call(ctx, http.MethodGet, "/dev/messages", nil, &messages)
	for _, m := range messages {
		if strings.Contains(m.Subject, task.Title) && m.ReceivedAt.After(task.CreatedAt) {
			n, at = n+1, m.ReceivedAt
		}
	}
	return n, at, err
}

// call makes a request as the tour's user, and reads the answer into out.
func (t tour) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, t.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		var problem struct{ Detail string }
		_ = json.NewDecoder(resp.Body).Decode(&problem)
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, problem.Detail)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
