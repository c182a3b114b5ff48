package jobs_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/duebell/duebell/local/dapr/daprtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/task"
)

// app is the application that Dapr calls. It records the calls, and answers as the test says.
type app struct {
	mu     sync.Mutex
	calls  map[string][]string // job name to the bodies that came
	answer func(job string, nth int) int
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	job, isJob := strings.CutPrefix(r.URL.Path, "/job/")
	if !isJob {
		return
	}
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[job] = append(a.calls[job], string(body))
	if a.answer != nil {
		w.WriteHeader(a.answer(job, len(a.calls[job])))
	}
}

func (a *app) bodies(w task.Revision) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[w.JobName()]
}

func (a *app) wait(t *testing.T, w task.Revision, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(a.bodies(w)) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s came %d times, want %d", w.JobName(), len(a.bodies(w)), n)
		}
	}
}

func newWake() task.Revision {
	return task.Revision{TaskID: uuid.New(), UserID: "ada \"quoted\" é", ReminderID: uuid.New(), Number: 7}
}

// TestDaprJobs checks what Duebell relies on in Dapr Jobs, with real Dapr.
func TestDaprJobs(t *testing.T) {
	a := &app{calls: map[string][]string{}}
	server := httptest.NewServer(a)
	defer server.Close()
	d := daprtest.Start(t, t.TempDir(), server.Listener.Addr())
	open := func(token string) *jobs.Dapr {
		client, err := jobs.Open(jobs.Config{Endpoint: "http://" + d.Endpoint(), APIToken: config.Secret(token), RetryInterval: time.Second, MaxRetries: 5})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	client := open(daprtest.APIToken)
	schedule := func(w task.Revision, at time.Time) {
		t.Helper()
		if err := client.Schedule(t.Context(), w, at); err != nil {
			t.Fatal(err)
		}
	}

	once, deleted, again, gone := newWake(), newWake(), newWake(), newWake()
	a.mu.Lock()
	a.answer = func(job string, nth int) int {
		switch {
		case job == again.JobName() && nth < 3:
			return http.StatusInternalServerError
		case job == gone.JobName():
			return http.StatusNotFound
		}
		return http.StatusOK
	}
	a.mu.Unlock()

	due := time.Now().Add(1500 * time.Millisecond)
	for range 3 { // asking again is no error, and no second job
		schedule(once, due)
	}
	before := time.Now().Add(8 * time.Second) // which a busy machine may take to delete it
	schedule(deleted, before)
	if there, err := client.Holds(t.Context(), deleted.JobName()); err != nil || !there {
		t.Errorf("a job that is there: %v, %v", there, err)
	}
	schedule(again, due)
	schedule(gone, due)
	for range 2 { // nor is deleting what isn't there
		if err := client.Delete(t.Context(), deleted); err != nil {
			t.Error(err)
		}
	}

	if there, err := client.Holds(t.Context(), deleted.JobName()); err != nil || there {
		t.Errorf("a job that was deleted: %v, %v", there, err)
	}

	a.wait(t, once, 1)
	if early := time.Until(due); early > 0 {
		t.Errorf("%v early", early)
	}
	want := fmt.Sprintf(`{"task_id":%q,"user_id":"ada \"quoted\" é","reminder_id":%q,"revision":7}`, once.TaskID, once.ReminderID)
	if got := a.bodies(once)[0]; got != want {
		t.Errorf("the callback carries %s, want %s", got, want)
	}
	a.wait(t, again, 3) // 500: it comes again, after the interval
	a.wait(t, gone, 1)

	// An instant in the past fires at once.
	past := newWake()
	schedule(past, time.Now().Add(-time.Hour))
	a.wait(t, past, 1)

	time.Sleep(max(0, time.Until(before)) + 3*time.Second) // longer than the retry interval
	for what, c := range map[string]struct {
		task.Revision
		times int
	}{"plain": {once, 1}, "past": {past, 1}, "deleted": {deleted, 0}, "answered 500 twice": {again, 3}, "answered 404, which counts as done": {gone, 1}} {
		if n := len(a.bodies(c.Revision)); n != c.times {
			t.Errorf("%s: came %d times, want %d", what, n, c.times)
		}
	}

	if err := open("wrong").Schedule(t.Context(), newWake(), due); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with a wrong API token: %v", err)
	}

	// While daprd is restarted calls wait; then they succeed.
	if err := d.Daprd.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Schedule(t.Context(), newWake(), due); status.Code(err) != codes.Unavailable {
		t.Errorf("while daprd is away: %v", err)
	}
	if err := d.Daprd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := d.Daprd.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := newWake()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err := client.Schedule(t.Context(), back, time.Now()); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	a.wait(t, back, 1)
}

// List returns more jobs than fit into a message of 4 MiB, the default limit of daprd and gRPC.
func TestList(t *testing.T) {
	server := httptest.NewServer(&app{})
	defer server.Close()
	d := daprtest.Start(t, t.TempDir(), server.Listener.Addr())
	client, err := jobs.Open(jobs.Config{Endpoint: d.Endpoint(), APIToken: daprtest.APIToken, RetryInterval: time.Second, MaxRetries: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	const many = 25_000
	due := time.Now().Add(24 * time.Hour)
	calls, ctx := errgroup.WithContext(t.Context())
	calls.SetLimit(128)
	for range many {
		calls.Go(func() error { return client.Schedule(ctx, newWake(), due) })
	}
	if err := calls.Wait(); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../manifests/dapr/daprd.yaml")
	if want := fmt.Sprintf("dapr.io/max-body-size: %dMi ", jobs.MaxAnswer>>20); err != nil || !strings.Contains(string(manifest), want) {
		t.Errorf("manifests/dapr/daprd.yaml has no %s(%v)", want, err)
	}
	names, err := client.List(t.Context())
	if err != nil || len(names) != many {
		t.Errorf("%d of %d jobs are listed: %v", len(names), many, err)
	}
}

func TestConfig(t *testing.T) {
	err := jobs.Config{Endpoint: "x:1", RetryInterval: 0, MaxRetries: 0}.Validate()
	if err == nil || !strings.Contains(err.Error(), "JOB_RETRY_INTERVAL") || !strings.Contains(err.Error(), "JOB_MAX_RETRIES") {
		t.Errorf("got %v", err)
	}
}
