package e2e

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/api"
)

func TestFires(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	created := p.create(3 * time.Second)
	if s := created.Reminders[0].State; s != "scheduled" {
		t.Errorf("answered %s", s)
	}
	p.told(soon, 1)
	n := p.inbox()[0]
	if n.TaskID != created.ID.String() || n.CreatedAt.Before(*created.DueDate) {
		t.Errorf("told at %v, due at %v: %+v", n.CreatedAt, created.DueDate, n)
	}
	p.quiet(5 * time.Second) // Dapr repeats what it thinks has failed after 2 s
	if s := ask[api.Task](p, "GET", "/api/tasks/"+created.ID.String(), nil).Reminders[0].State; s != "fired" {
		t.Errorf("stored as %s", s)
	}
}

func TestSeveralReminders(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	created := p.create(5*time.Second, "0s", "1s", "2s")
	p.told(soon, 3)
	for i, n := range p.inbox() {
		if r := created.Reminders[i]; n.CreatedAt.Before(*r.FireAt) {
			t.Errorf("%s before: told at %v, not %v", r.Before, n.CreatedAt, r.FireAt)
		}
	}
	p.quiet(3 * time.Second)
}

func TestPastDueFiresAtOnce(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	p.create(-time.Hour, "0s", "30m")
	p.told(soon, 1)
	p.quiet(3 * time.Second)
}

func TestMovedBeforeFiring(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	moved := p.patch(p.create(5*time.Second), map[string]any{"due_date": time.Now().Add(9 * time.Second)})
	p.told(soon, 1)
	if n := p.inbox()[0]; n.CreatedAt.Before(*moved.DueDate) {
		t.Errorf("told at %v, moved to %v", n.CreatedAt, moved.DueDate)
	}
	p.quiet(3 * time.Second)
}

func TestCancelledBeforeFiring(t *testing.T) {
	for how, cancel := range map[string]func(person, api.Task){
		"deleted":          func(p person, task api.Task) { ask[any](p, "DELETE", "/api/tasks/"+task.ID.String(), nil) },
		"completed":        func(p person, task api.Task) { p.patch(task, map[string]any{"completed": true}) },
		"due date removed": func(p person, task api.Task) { p.patch(task, map[string]any{"due_date": nil}) },
	} {
		t.Run(strings.ReplaceAll(how, " ", "-"), func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, sys)
			cancel(p, p.create(3*time.Second))
			p.quiet(6 * time.Second)
		})
	}
}

func TestReopened(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	task := p.create(4 * time.Second)
	p.patch(task, map[string]any{"completed": true})
	p.patch(task, map[string]any{"completed": false})
	p.told(soon, 1)
	p.quiet(3 * time.Second)
}

// One reminder's callback comes fifty times at once, besides Dapr's own.
func TestFiftyCallbacksAtOnce(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	task := p.create(time.Second)
	time.Sleep(time.Until(*task.DueDate)) // so that they meet Dapr's own
	data := map[string]any{"task_id": task.ID, "user_id": p.name, "reminder_id": task.Reminders[0].ID, "revision": 1}
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			status, body := p.call("POST", "/job/again", data, "dapr-api-token", sys.Environment()["APP_API_TOKEN"])
			if status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	group.Wait()
	p.told(soon, 1)
	p.quiet(3 * time.Second)
}

// Two updates at the same moment, several times: one reminder is left, at the due date in the
// database.
func TestUpdatesAtTheSameTime(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	task := p.create(time.Hour)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			p.patch(task, map[string]any{"due_date": time.Now().Add(4*time.Second + time.Duration(i)*100*time.Millisecond)})
		})
	}
	group.Wait()
	stored := ask[api.Task](p, "GET", "/api/tasks/"+task.ID.String(), nil)
	p.told(soon, 1)
	if late := p.inbox()[0].CreatedAt.Sub(*stored.DueDate); late < 0 {
		t.Errorf("told %v before the due date that counts", -late)
	}
	p.quiet(3 * time.Second)
}

// trigger-reminder and send die after the deliveries are planned and before the e-mail is sent. The
// sweep wakes send, which sends it.
func TestKilledBetweenPlanningAndSending(t *testing.T) {
	p := newPerson(t, sys)
	// Leasing hangs for this person's deliveries, until the test ends that.
	p.exec(`create function hang() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
		create trigger hang before update on deliveries for each row when (old.user_id = '` + p.name + `') execute function hang()`)
	p.create(time.Second)
	p.eventually(soon, "planned, and told in-app", func() bool { return len(p.inbox()) == 1 })
	sys.Process("trigger-reminder").Kill()
	sys.Process("send").Kill()
	p.exec(`select pg_terminate_backend(pid) from pg_stat_activity where query like '%update deliveries d%' and pid <> pg_backend_pid()`)
	p.exec(`drop trigger hang on deliveries; drop function hang`)
	if p.mails() != 0 {
		t.Fatal("the e-mail was sent before the kill: the test shows nothing")
	}
	back(t, sys)
	if err := sys.Invoke(t.Context(), "retry-dlq"); err != nil { // as a cluster does every minute
		t.Fatal(err)
	}
	p.told(soon, 1)
	p.quiet(5 * time.Second)
}

// daprd is away while a task is created: it is stored all the same, and pending. Dapr gets its
// job when it is back, without a sweep and without another request.
// Once daprd is back, the next change of the task schedules it, and it fires.
func TestDaprAwayWhileCreating(t *testing.T) {
	p := newPerson(t, sys)
	daprd := sys.Process("daprd")
	if err := daprd.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	created := p.create(8 * time.Second)
	read := ask[api.Task](p, "GET", "/api/tasks/"+created.ID.String(), nil)
	for how, task := range map[string]api.Task{"answered": created, "stored": read} {
		if s := task.Reminders[0].State; s != "pending" {
			t.Errorf("%s as %s", how, s)
		}
	}
	if err := daprd.Start(); err != nil {
		t.Fatal(err)
	}
	back(t, sys)
	p.eventually(soon, "scheduled", func() bool { return p.state(created) != "pending" })
	p.told(soon, 1)
	p.quiet(3 * time.Second)
}

// daprd accepts calls and does not answer: no request waits for it for long, and the reminders are
// pending.
func TestDaprHangs(t *testing.T) {
	p := newPerson(t, sys)
	sys.Process("daprd").Pause()
	began := time.Now()
	created := p.create(time.Hour, "0s", "1m", "2m")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the request waited %v", took)
	}
	sys.Process("daprd").Continue()
	back(t, sys)
	for _, r := range created.Reminders {
		if r.State != "pending" {
			t.Errorf("%s before is %s", r.Before, r.State)
		}
	}
	// daprd is back, and has the jobs soon.
	p.eventually(soon, "scheduled", func() bool { return p.state(created) == "scheduled" })
}

// trigger-reminder is away at the due time, for longer than Dapr's default policy retries.
func TestTriggerAwayAtTheDueTime(t *testing.T) {
	p := newPerson(t, sys)
	trigger := sys.Process("trigger-reminder")
	if err := trigger.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.create(time.Second)
	time.Sleep(*outage)
	if err := trigger.Start(); err != nil {
		t.Fatal(err)
	}
	p.told(soon, 1)
	p.quiet(4 * time.Second)
	back(t, sys)
}

// A second system is stopped while a reminder waits, and started again: the reminder fires.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first, err := start(t.Context(), dir, asItIs)
	if err != nil {
		t.Fatal(err)
	}
	p := newPerson(t, first)
	p.create(4 * time.Second)
	later := p.create(12 * time.Second)
	if err := first.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(later.CreatedAt.Add(5 * time.Second))) // the first reminder's instant passes
	second, err := start(t.Context(), dir, asItIs)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := second.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	p = newPerson(t, second)
	p.eventually(soon, "told of both", func() bool { return len(p.inbox()) >= 2 && p.mails() >= 2 })
	p.quiet(3 * time.Second)
	if len(p.inbox()) != 2 {
		t.Errorf("%d in the inbox", len(p.inbox()))
	}
}

func TestUsersSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	task := p.create(time.Hour)
	eve := p
	eve.token = sys.Environment()["DUEBELL_TOKEN_2"]
	for _, c := range []struct{ method, path string }{
		{"GET", ""}, {"GET", "/deliveries"}, {"PATCH", ""}, {"DELETE", ""},
	} {
		if status, body := eve.call(c.method, "/api/tasks/"+task.ID.String()+c.path, map[string]any{}); status != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	due := time.Now().Add(3 * time.Second)
	got := ask[struct {
		Tasks              []api.Task
		ScheduledReminders int `json:"scheduled_reminders"`
		Failed             []any
	}](p, "POST", "/api/tasks/batch", map[string]any{"tasks": []map[string]any{{"title": "a", "due_date": due}, {"title": ""}, {"title": "b", "due_date": due}}})
	if len(got.Tasks) != 2 || got.ScheduledReminders != 2 || len(got.Failed) != 1 {
		t.Errorf("%+v", got)
	}
	p.told(soon, 2)
	p.quiet(3 * time.Second)
}
