package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/task"
)

// tour shows reminders that are created, moved, cancelled, fired and received on every channel. It
// uses the public API as a user would. Only the audit log is read from the database.
type tour struct {
	url, token string
	db         *pgx.Conn
	out        *screen
}

const clock = "15:04:05.000"

// run takes about fifteen seconds. The error says what did not arrive as it should.
func (t tour) run(ctx context.Context) error {
	if err := t.choose(ctx); err != nil {
		return err
	}
	start := time.Now().Truncate(time.Second).Add(time.Second)
	everywhere, err := t.create(ctx, "Water the plants", start.Add(2*time.Second), task.InApp, task.Email, task.Push, task.SMS, task.Webhook)
	if err != nil {
		return err
	}
	moved, err := t.create(ctx, "Call the bank", start.Add(time.Minute), task.InApp, task.Email)
	if err != nil {
		return err
	}
	deleted, err := t.create(ctx, "Buy milk", start.Add(time.Second), task.InApp, task.Email)
	if err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodDelete, "/api/tasks/"+deleted.ID.String(), nil, nil); err != nil {
		return err
	}
	t.out.line("deleted", "%q", deleted.Title)

	if err := t.arrivesEverywhere(ctx, everywhere); err != nil {
		return err
	}
	if err := t.done(ctx, everywhere); err != nil {
		return err
	}
	if err := t.arrivesInSpiteOf(ctx, sandbox.SendGrid, moved); err != nil {
		return err
	}
	if came, err := t.received(ctx, deleted); err != nil || len(came) != 0 {
		return fmt.Errorf("reminders came for the deleted task: %v (%w)", came, err)
	}
	t.out.line("silent", "%q was deleted, and nothing came", deleted.Title)
	if err := t.snooze(ctx, moved); err != nil {
		return err
	}
	if err := t.arrivesTogether(ctx); err != nil {
		return err
	}
	return t.arrivesAgain(ctx, moved)
}

const phone = "+12025550143"

// choose sets the tour's user's targets on the channels. It verifies the phone's number, as its
// owner would, unless an earlier tour has.
func (t tour) choose(ctx context.Context) error {
	var chosen struct{ Phones []struct{ State string } }
	asked := time.Now()
	err := t.prefer(ctx, nil, &chosen)
	if err != nil || chosen.Phones[0].State == "verified" {
		return err
	}
	code, err := t.code(ctx, asked)
	if err == nil && code == "" { // an earlier tour asked, and ended before the code came
		if err = t.call(ctx, http.MethodPost, "/api/preferences/verify/resend", map[string]any{"address": phone}, nil); err == nil {
			code, err = t.code(ctx, asked)
		}
	}
	if err != nil {
		return err
	}
	if err := t.call(ctx, http.MethodPost, "/api/preferences/verify", map[string]any{"address": phone, "code": code}, nil); err != nil {
		return err
	}
	t.out.line("verified", "%s, by the code %s that came as SMS", phone, code)
	return nil
}

// prefer stores the tour's preferences. bundle says how long bundles gather.
func (t tour) prefer(ctx context.Context, bundle map[string]string, out any) error {
	return t.call(ctx, http.MethodPut, "/api/preferences", map[string]any{
		"phones": []string{phone},
		"devices": []map[string]any{
			{"provider": "fcm", "token": "tour"},
			{"provider": "onesignal", "token": "7f1d3f6e-0c53-4f0c-9a43-8f6c3d0f2b10"},
			{"provider": "webpush", "subscription": sandbox.Subscription(t.url, "tour")},
		},
		"webhook": map[string]string{"url": t.url + sandbox.WebhookPath + "/tour"},
		"bundle":  bundle,
	}, out)
}

var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

// code waits for the code in the message to the phone; "" if none comes.
func (t tour) code(ctx context.Context, since time.Time) (string, error) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		var messages []sandbox.Message
		if err := t.call(ctx, http.MethodGet, "/dev/messages", nil, &messages); err != nil {
			return "", err
		}
		for _, m := range slices.Backward(messages) {
			if m.To == phone && !m.ReceivedAt.Before(since) {
				return sixDigits.FindString(m.Body), nil
			}
		}
	}
	return "", ctx.Err()
}

func (t tour) create(ctx context.Context, title string, due time.Time, channels ...task.Channel) (created api.Task, err error) {
	if err := t.call(ctx, http.MethodPost, "/api/tasks", map[string]any{"title": title, "due_date": due, "channels": channels}, &created); err != nil {
		return created, err
	}
	t.out.line("created", "%q, due at %s, %s", title, due.UTC().Format(clock), created.Reminders[0].State)
	return created, nil
}

// arrivesEverywhere waits until a reminder has come on every channel.
func (t tour) arrivesEverywhere(ctx context.Context, reminded api.Task) error {
	ways := []struct{ by, text string }{
		{inbox, fmt.Sprintf("%q in the inbox", reminded.Title)},
		{sandbox.SendGrid, "... as e-mail, through SendGrid"},
		{sandbox.FCM, "... as push message, through FCM"},
		{sandbox.OneSignal, "... as push message, through OneSignal"},
		{sandbox.WebPush, "... as push message, to a browser"},
		{sandbox.Twilio, "... as SMS, through Twilio"},
		{sandbox.Webhook, "... as a post to a webhook"},
		{auditLog, "... as an event, which audit-log recorded"},
	}
	came, err := t.arrives(ctx, reminded, len(ways))
	if err != nil {
		return err
	}
	for _, way := range ways {
		at, there := came[way.by]
		if !there {
			return fmt.Errorf("%q came by %v, but not by %s", reminded.Title, slices.Sorted(maps.Keys(came)), way.by)
		}
		t.out.line("received", "%-42s %4d ms after its time", way.text, at.Sub(*reminded.DueDate).Milliseconds())
	}
	return nil
}

var doneLink = regexp.MustCompile(`(?m)^Done: (\S+)$`)

// done follows the link "done" in the e-mail of a task's reminder, without a sign-in, as its reader
// would.
func (t tour) done(ctx context.Context, reminded api.Task) error {
	var messages []sandbox.Message
	if err := t.call(ctx, http.MethodGet, "/dev/messages", nil, &messages); err != nil {
		return err
	}
	i := slices.IndexFunc(messages, func(m sandbox.Message) bool {
		return m.Provider == sandbox.SendGrid && strings.Contains(m.Subject, reminded.Title) && m.ReceivedAt.After(reminded.CreatedAt)
	})
	if i < 0 {
		return fmt.Errorf("there is no e-mail about %q", reminded.Title)
	}
	link := doneLink.FindStringSubmatch(messages[i].Body)
	if link == nil {
		return fmt.Errorf("the e-mail about %q has no link Done: %s", reminded.Title, messages[i].Body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, link[1], http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if err := t.call(ctx, http.MethodGet, "/api/tasks/"+reminded.ID.String(), nil, &reminded); err != nil {
		return err
	}
	if !reminded.Completed {
		return fmt.Errorf("%q is not done by the link in its e-mail, which answers %s", reminded.Title, resp.Status)
	}
	t.out.line("done", "%q, by the link in its e-mail", reminded.Title)
	return nil
}

// arrivesInSpiteOf makes an e-mail provider refuse messages and moves a task. It waits until the
// reminder has come to the inbox, as an e-mail and as an event.
func (t tour) arrivesInSpiteOf(ctx context.Context, provider string, reminded api.Task) error {
	if err := t.call(ctx, http.MethodPost, "/dev/faults", map[string]any{"provider": provider, "status": http.StatusServiceUnavailable, "times": 1}, nil); err != nil {
		return err
	}
	soon := time.Now().Truncate(time.Second).Add(2 * time.Second)
	if err := t.call(ctx, http.MethodPatch, "/api/tasks/"+reminded.ID.String(), map[string]any{"due_date": soon}, &reminded); err != nil {
		return err
	}
	t.out.line("moved", "%q to %s", reminded.Title, reminded.DueDate.Format(clock))
	came, err := t.arrives(ctx, reminded, 3)
	if err != nil {
		return err
	}
	after := func(by string) int64 { return came[by].Sub(*reminded.DueDate).Milliseconds() }
	for by := range came {
		if by != inbox && by != auditLog {
			t.out.line("received", "%q in the inbox %d ms after its time, as e-mail after %d ms: %s was told to refuse it, and %s took it",
				reminded.Title, after(inbox), after(by), provider, by)
		}
	}
	return nil
}

// snooze puts off a task whose reminder has come.
func (t tour) snooze(ctx context.Context, reminded api.Task) error {
	if err := t.call(ctx, http.MethodPost, "/api/tasks/"+reminded.ID.String()+"/snooze", map[string]string{"for": "3s"}, nil); err != nil {
		return err
	}
	t.out.line("snoozed", "%q for 3 s", reminded.Title)
	return nil
}

// arrivesAgain waits until a snoozed task is told once more in the inbox.
func (t tour) arrivesAgain(ctx context.Context, snoozed api.Task) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		told, err := t.told(ctx, snoozed)
		if err != nil {
			return err
		}
		if len(told) == 2 {
			t.out.line("received", "%q once more, %.1f s after it came first: its snooze is over", snoozed.Title, told[1].Sub(told[0]).Seconds())
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%q was snoozed, and did not come again", snoozed.Title)
}

// arrivesTogether bundles e-mails for two seconds, and waits for the one e-mail with three
// reminders.
func (t tour) arrivesTogether(ctx context.Context) error {
	if err := t.prefer(ctx, map[string]string{"email": "2s"}, nil); err != nil {
		return err
	}
	due := time.Now().Truncate(time.Second).Add(2 * time.Second)
	var tasks []api.Task
	for _, title := range []string{"Pay the rent", "Feed the cat", "Book a table"} {
		created, err := t.create(ctx, title, due, task.Email)
		if err != nil {
			return err
		}
		tasks = append(tasks, created)
	}
	for end := due.Add(20 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		var messages []sandbox.Message
		if err := t.call(ctx, http.MethodGet, "/dev/messages", nil, &messages); err != nil {
			return err
		}
		for _, m := range messages {
			missing := slices.ContainsFunc(tasks, func(of api.Task) bool {
				return !strings.Contains(m.Body, of.Title) || m.ReceivedAt.Before(of.CreatedAt)
			})
			if !missing {
				t.out.line("received", "%q: one e-mail, as e-mails are bundled for 2 s", m.Subject)
				return t.prefer(ctx, nil, nil)
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("no e-mail came that tells of %q and two others", tasks[0].Title)
}

// arrives waits until a task's reminder has come by that many ways, and returns when it came by each.
func (t tour) arrives(ctx context.Context, reminded api.Task, ways int) (map[string]time.Time, error) {
	ctx, cancel := context.WithDeadline(ctx, reminded.DueDate.Add(10*time.Second))
	defer cancel()
	for {
		came, err := t.received(ctx, reminded)
		if err != nil || len(came) >= ways {
			return came, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%q came only by %v", reminded.Title, slices.Sorted(maps.Keys(came)))
		}
	}
}

// The ways by which a reminder comes besides the providers in the sandbox.
const (
	inbox    = "inbox"
	auditLog = "audit-log"
)

// received returns when a task's reminder came by each way. The error says which came twice.
func (t tour) received(ctx context.Context, reminded api.Task) (map[string]time.Time, error) {
	came := map[string]time.Time{}
	var twice error
	add := func(by string, at time.Time) {
		if _, before := came[by]; before {
			twice = fmt.Errorf("%q came twice by %s", reminded.Title, by)
		}
		came[by] = at
	}

	told, err := t.told(ctx, reminded)
	if err != nil {
		return nil, err
	}
	for _, at := range told {
		add(inbox, at)
	}

	var messages []sandbox.Message
	if err := t.call(ctx, http.MethodGet, "/dev/messages", nil, &messages); err != nil {
		return nil, err
	}
	for _, m := range messages {
		if strings.Contains(m.Subject+m.Body, reminded.Title) && m.ReceivedAt.After(reminded.CreatedAt) {
			add(m.Provider, m.ReceivedAt)
		}
	}

	rows, _ := t.db.Query(ctx, `select recorded_at from audit_events where task_id = $1`, reminded.ID)
	recorded, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	for _, at := range recorded {
		add(auditLog, at)
	}
	return came, twice
}

// told says when the inbox was told of a task, the earliest first.
func (t tour) told(ctx context.Context, reminded api.Task) (at []time.Time, err error) {
	var inbox struct {
		Notifications []struct {
			TaskID    string    `json:"task_id"`
			CreatedAt time.Time `json:"created_at"`
		}
	}
	if err := t.call(ctx, http.MethodGet, "/api/notifications", nil, &inbox); err != nil {
		return nil, err
	}
	for _, n := range inbox.Notifications {
		if n.TaskID == reminded.ID.String() {
			at = append(at, n.CreatedAt)
		}
	}
	return at, nil
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
