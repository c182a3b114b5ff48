package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
)

// operator is somebody who operates a system.
type operator struct {
	person
	dir  string
	dapr *jobs.Dapr
}

// newOperator starts a system without sweeps, in which no function works after its answers. So what
// Dapr did not do in time is left.
func newOperator(t *testing.T) operator {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	own, err := start(t.Context(), dir, func(o *system.Options) {
		o.NoSchedules, o.Env = true, append(o.Env, "SCHEDULE_RETRY_FOR=0s")
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := operator{newPerson(t, own), dir, openJobs(t, own)}
	var swept upkeep.Summary
	if o.invoke("retry-dlq", "", &swept); swept.Sentinel != "made" {
		t.Fatalf("%+v", swept)
	}
	return o
}

// openJobs makes a client of a system's daprd.
func openJobs(t *testing.T, s *system.System) *jobs.Dapr {
	t.Helper()
	env := s.Environment()
	dapr, err := jobs.Open(jobs.Config{
		Endpoint: env["DAPR_GRPC_ENDPOINT"], APIToken: config.Secret(env["DAPR_API_TOKEN"]), RetryInterval: time.Second, MaxRetries: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dapr.Close)
	return dapr
}

// jobs returns the names of all jobs that Dapr holds, but for the sentinel.
func (o operator) jobs() []string {
	o.Helper()
	names, err := o.dapr.List(o.Context())
	if err != nil {
		o.Fatal(err)
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "sentinel-") })
}

func (o operator) wantJobs(want ...string) {
	o.Helper()
	slices.Sort(want)
	if got := o.jobs(); !slices.Equal(got, want) {
		o.Errorf("Dapr holds %q, want %q", got, want)
	}
}

// lose deletes jobs in Dapr directly.
func (o operator) lose(names ...string) {
	o.Helper()
	for _, name := range names {
		if err := o.dapr.Remove(o.Context(), name); err != nil {
			o.Fatal(err)
		}
	}
}

// invoke invokes a function as a PingSource does.
func (o operator) invoke(function, query string, answer any) {
	o.Helper()
	var ports struct{ Functions map[string]int }
	saved, err := os.ReadFile(filepath.Join(o.dir, "ports.json"))
	if err == nil {
		err = json.Unmarshal(saved, &ports)
	}
	if err != nil {
		o.Fatal(err)
	}
	req, err := http.NewRequestWithContext(o.Context(), "POST", "http://"+process.Address(ports.Functions[function])+"/"+query, strings.NewReader(`{"clean":"up"}`))
	if err != nil {
		o.Fatal(err)
	}
	for name, value := range map[string]string{
		"Ce-Id": "1", "Ce-Source": "/apis/v1/namespaces/duebell/pingsources/" + function, "Ce-Specversion": "1.0",
		"Ce-Type": "dev.knative.sources.ping", "Content-Type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil || resp.StatusCode != 200 {
		o.Fatalf("%s: %d, %v", function, resp.StatusCode, err)
	}
}

// clean runs a cleanup, and returns what it counted.
func (o operator) clean(query string) map[string]int {
	o.Helper()
	var report upkeep.Report
	if o.invoke("nightly-cleanup", query, &report); !report.Complete || report.Failed() > 0 {
		o.Fatalf("%+v", report)
	}
	counts := map[string]int{}
	for _, s := range report.Steps {
		if s.Count > 0 {
			counts[s.Name] = s.Count
		}
	}
	return counts
}

// command returns a command of the program duebell, with the variables of dev.env.
func (o operator) command(out *bytes.Buffer, args ...string) *exec.Cmd {
	c := exec.CommandContext(o.Context(), filepath.Join(bin, "duebell"), args...)
	c.Env = os.Environ()
	for name, value := range o.sys.Environment() {
		c.Env = append(c.Env, name+"="+value)
	}
	c.Stdout, c.Stderr = out, out
	return c
}

// run runs a command, and returns its exit status and output.
func (o operator) run(args ...string) (status int, said string) {
	o.Helper()
	var out bytes.Buffer
	c := o.command(&out, args...)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		o.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String()
}

// count returns what a query counts.
func (o operator) count(sql string) (n int) {
	o.Helper()
	c, err := pgx.Connect(context.Background(), o.sys.Environment()["DATABASE_URL"])
	if err != nil {
		o.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		o.Fatal(err)
	}
	return n
}

// job returns the name of the job of a task's only reminder, at a revision.
func job(t api.Task, revision int64) string {
	return task.Revision{ReminderID: t.Reminders[0].ID, Number: revision}.JobName()
}

// A cleanup deletes jobs that changes have left in Dapr while it was away, and a job that no row
// knows. It leaves a foreign one alone. It schedules a lost job again, and the reminder fires on
// time without a sweep.
func TestCleanup(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	live, moved, completed, deleted := o.create(time.Hour), o.create(time.Hour), o.create(time.Hour), o.create(time.Hour)
	withoutDapr := func(change func()) {
		t.Helper()
		daprd := o.sys.Process("daprd")
		if err := daprd.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		change()
		if err := daprd.Start(); err != nil {
			t.Fatal(err)
		}
		back(t, o.sys)
	}
	withoutDapr(func() {
		o.patch(moved, map[string]any{"due_date": time.Now().Add(2 * time.Hour)})
		o.patch(completed, map[string]any{"completed": true})
		ask[any](o.person, "DELETE", "/api/tasks/"+deleted.ID.String(), nil)
	})
	lost := o.create(2 * time.Minute) // a minute is the nearest that the cleanup looks at
	o.lose(job(lost, 1))
	unknown := task.Revision{ReminderID: uuid.New(), TaskID: uuid.New(), UserID: o.name, Number: 3}
	if err := o.dapr.Schedule(t.Context(), unknown, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	const foreign = "somebody-elses-1"
	if err := o.dapr.Keep(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	// As if no call could be scheduling the old jobs any more.
	o.exec(`update leftover_jobs set settled_at = settled_at - interval '10 min'`)

	before := []string{job(live, 1), job(moved, 1), job(completed, 1), job(deleted, 1), unknown.JobName(), foreign}
	want := map[string]int{"leftover_jobs": 3, "unknown_jobs": 1, "vanished_jobs": 1}
	status, said := o.run("cleanup", "--dry-run")
	for name, n := range want {
		if line := regexp.MustCompile(fmt.Sprintf(`(?m)✓ %s .*: %d \(`, name, n)); !line.MatchString(said) {
			t.Errorf("a dry run does not say %d %s", n, name)
		}
	}
	if got := o.clean("?dry_run=true"); status != 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("dry runs: status %d, %v, want %v\n%s", status, got, want, said)
	}
	o.wantJobs(before...)

	if got := o.clean(""); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("cleaned up %v, want %v", got, want)
	}
	after := []string{job(live, 1), job(moved, 2), job(lost, 1), foreign}
	o.wantJobs(after...)
	if n := o.count(`select count(*) from leftover_jobs`); n > 0 {
		t.Errorf("%d leftover jobs are still on record", n)
	}
	status, said = o.run("cleanup")
	if status != 0 || strings.Count(said, ": 0 (") != strings.Count(said, "✓") || strings.Count(said, "✓") < 10 {
		t.Errorf("a second time: status %d, %s", status, said)
	}
	o.wantJobs(after...)

	withoutDapr(func() {
		if status, said := o.run("cleanup"); status != 1 || !strings.Contains(said, "3 of 21 steps failed") {
			t.Errorf("without Dapr: status %d, %s", status, said)
		}
	})
	o.told(4*time.Minute, 1)
	if late := o.inbox()[0].CreatedAt.Sub(*lost.DueDate); late < 0 || late > 20*time.Second { // nothing sweeps
		t.Errorf("the reminder whose job was lost came %v after its time", late)
	}
}

// Everything that was lost is scheduled again, and nothing else.
func TestReconcile(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	first, second, gone := o.create(time.Hour), o.create(4*time.Hour), o.create(time.Hour)
	ask[any](o.person, "DELETE", "/api/tasks/"+gone.ID.String(), nil)
	// Jobs that Dapr is believed to hold and does not, so many that it takes a while.
	const many = 5000
	o.exec(fmt.Sprintf(`
		with made as (
			insert into tasks (id, user_id, title, due_date, created_at, updated_at)
			select gen_random_uuid(), '%s', 'lost', now() + interval '12 h', now(), now() from generate_series(1, %d) returning id, due_date)
		insert into reminders (id, task_id, user_id, before, fire_at, state, revision, confirmed_revision)
		select gen_random_uuid(), id, '%[1]s', '0 s', due_date, 'armed', 1, 1 from made`, o.name, many))
	o.lose(job(first, 1))

	daprd := o.sys.Process("daprd")
	if err := daprd.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	const pending = `select count(*) from reminders where state = 'armed' and confirmed_revision is distinct from revision`
	if status, said := o.run("reconcile"); status != 1 || !strings.Contains(said, "nothing was changed") || o.count(pending) > 0 {
		t.Errorf("without Dapr: status %d, %d pending, %s", status, o.count(pending), said)
	}
	if err := daprd.Start(); err != nil {
		t.Fatal(err)
	}
	back(t, o.sys)

	var out bytes.Buffer
	interrupted := o.command(&out, "reconcile")
	if err := interrupted.Start(); err != nil {
		t.Fatal(err)
	}
	o.eventually(time.Minute, "a job is scheduled again", func() bool { return len(o.jobs()) > 1 })
	if err := interrupted.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = interrupted.Wait()
	if status := interrupted.ProcessState.ExitCode(); status != 130 || !strings.Contains(out.String(), "run it again") {
		t.Errorf("interrupted: status %d, %s", status, out.String())
	}
	t.Logf("interrupted with %d jobs: %s", len(o.jobs()), out.String())
	if status, said := o.run("reconcile"); status != 0 || !strings.Contains(said, fmt.Sprintf("%d reminders scheduled", many+2)) {
		t.Errorf("status %d, %s", status, said)
	}
	names := o.jobs()
	if len(names) != many+2 || !slices.Contains(names, job(first, 1)) || !slices.Contains(names, job(second, 1)) || o.count(pending) > 0 {
		t.Errorf("%d jobs, %d reminders pending", len(names), o.count(pending))
	}
}
