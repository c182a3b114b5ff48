package e2e

import (
	"context"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/duebell/duebell/local/ingress"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/api"
)

// outage is how long a part is away in these tests. The promise holds for any
// length; -outage=60s takes its time.
var outage = flag.Duration("outage", 8*time.Second, "how long a part of the system is away in the tests of faults")

// startOwn starts a system that the test may break.
func startOwn(t *testing.T, change func(*system.Options)) *system.System {
	t.Helper()
	own, err := start(t.Context(), filepath.Join(t.TempDir(), "data"), change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return own
}

// Each part of the system is away while reminders fall due, and while others are created or moved.
// When it is back, all reminders arrive once, soon.
func TestPartsAway(t *testing.T) {
	t.Parallel()
	own := startOwn(t, asItIs)
	for _, name := range []string{"trigger-reminder", "send", "daprd", "scheduler", "postgres"} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t, own)
			part := own.Process(name)
			before := p.create(*outage + time.Minute) // scheduled before, and due when the part is back
			during := []api.Task{p.create(2 * time.Second), p.create(*outage / 2)}
			if err := part.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			stopped := time.Now()
			if name != "postgres" { // without it there is no answering
				during = append(during, p.create(*outage/2))
				p.patch(before, map[string]any{"due_date": time.Now().Add(*outage + 3*time.Second)})
			} else {
				if status, body := p.call("POST", "/api/tasks", map[string]any{"title": "x"}); status != 503 {
					t.Errorf("without Postgres: %d %s", status, body)
				}
			}
			time.Sleep(time.Until(stopped.Add(*outage))) // how long it is away is what the promise is about
			if err := part.Start(); err != nil {
				t.Fatal(err)
			}
			ended := time.Now()
			back(t, own)
			readyAfter := time.Since(ended)
			want := len(during)
			if name != "postgres" {
				want++
			}
			p.told(90*time.Second, want)
			var worst time.Duration
			for _, n := range p.inbox() {
				worst = max(worst, n.CreatedAt.Sub(ended))
			}
			t.Logf("%s away for %v: ready again after %v, the last reminder was told %v after the end of the outage",
				name, *outage, readyAfter.Round(time.Millisecond), worst.Round(time.Millisecond))
			p.quiet(6 * time.Second)
		})
	}
}

// A proxy between Dapr and the function answers: 404, as an ingress that does not know the route
// yet, which Dapr takes for success; or 500. Whether Dapr has deleted the job or repeats it, all
// reminders arrive, once.
func TestIngressAnswersForTheFunction(t *testing.T) {
	t.Parallel()
	own := startOwn(t, func(o *system.Options) { o.Ingress = true })
	for _, status := range []int{http.StatusNotFound, http.StatusInternalServerError} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			p := newPerson(t, own)
			tasks := []api.Task{p.create(time.Second), p.create(*outage / 2), p.create(*outage - time.Second), p.create(*outage + 2*time.Second)}
			struck := own.Ingress().Struck()
			own.Ingress().Fail(ingress.Fault{Status: status})
			time.Sleep(*outage) // as above
			own.Ingress().Heal()
			if own.Ingress().Struck() == struck {
				t.Error("no callback came while it answered")
			}
			p.told(soon, len(tasks))
			p.quiet(6 * time.Second)
			var worst time.Duration
			for _, n := range p.inbox() {
				i := slices.IndexFunc(tasks, func(task api.Task) bool { return task.ID.String() == n.TaskID })
				worst = max(worst, n.CreatedAt.Sub(*tasks[i].DueDate))
			}
			t.Logf("%d for %v: the latest of %d reminders was %v late", status, *outage, len(tasks), worst.Round(time.Millisecond))
		})
	}
}

// Every e-mail provider is away. The reminder is in the inbox at once. The e-mail is a dead letter
// until a provider is back, and is then sent once.
func TestProvidersAway(t *testing.T) {
	t.Parallel()
	own := startOwn(t, asItIs)
	p := newPerson(t, own)
	for provider, status := range map[string]int{sandbox.SendGrid: 503, sandbox.SES: 503, sandbox.SMTP: 451} {
		own.Sandbox().Fail(sandbox.Fault{Provider: provider, Status: status})
	}
	p.create(time.Second)
	letters := func(state string) int {
		admin := p
		admin.token = own.Environment()["DUEBELL_ADMIN_TOKEN"]
		return len(ask[struct {
			DeadLetters []any `json:"dead_letters"`
		}](admin, "GET", "/api/dlq?state="+state, nil).DeadLetters)
	}
	p.eventually(soon, "told in-app, with a dead letter", func() bool { return len(p.inbox()) == 1 && letters("retrying") == 1 })
	if status, body := p.call("GET", "/api/dlq", nil); status != 403 {
		t.Errorf("a user sees the dead letters: %d %s", status, body)
	}
	own.Sandbox().Heal()
	p.told(soon, 1)
	p.eventually(soon, "the dead letter resolved", func() bool { return letters("resolved") == 1 })
	p.quiet(3 * time.Second)
}

// The scheduler's data is gone: reminders that it held fire all the same.
func TestSchedulerLosesItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	own, err := start(t.Context(), dir, asItIs)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := own.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	p := newPerson(t, own)
	p.eventually(soon, "the sweep has set its sentinel", func() bool {
		return p.number(`select count(*) from sentinel where $1 <> ''`) == 1
	})
	for i := range 5 {
		p.create(time.Duration(20+i) * time.Second)
	}
	scheduler := own.Process("scheduler")
	if err := scheduler.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "scheduler")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "scheduler"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := scheduler.Start(); err != nil {
		t.Fatal(err)
	}
	back(t, own)
	p.told(90*time.Second, 5)
	p.quiet(3 * time.Second)
	t.Logf("the latest was %v late", worstLateness(p).Round(time.Millisecond))
}

// worstLateness returns the greatest lateness of a person's reminders.
func worstLateness(p person) (worst time.Duration) {
	p.Helper()
	due := map[string]time.Time{}
	for _, task := range ask[struct{ Tasks []api.Task }](p, "GET", "/api/tasks", nil).Tasks {
		due[task.ID.String()] = *task.DueDate
	}
	for _, n := range p.inbox() {
		worst = max(worst, n.CreatedAt.Sub(due[n.TaskID]))
	}
	return worst
}
