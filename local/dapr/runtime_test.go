package dapr_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/dapr/daprtest"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/task"
)

func TestRuntimeKeepsJobsAcrossARestartOnOtherPorts(t *testing.T) {
	calls := make(chan string, 100)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls <- fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, r.Header.Get("dapr-api-token"))
	}))
	defer app.Close()
	dir := t.TempDir()
	schedule := func(d *daprtest.Dapr, due time.Time) task.Wake {
		t.Helper()
		client, err := jobs.Open(jobs.Config{Endpoint: d.Endpoint(), APIToken: daprtest.APIToken, RetryInterval: time.Second, MaxRetries: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		w := task.Wake{TaskID: uuid.New(), UserID: "ada", ReminderID: uuid.New(), Revision: 1}
		if err := client.Schedule(t.Context(), w, due); err != nil {
			t.Fatal(err)
		}
		return w
	}
	expect := func(w task.Wake) {
		t.Helper()
		select {
		case got := <-calls:
			if want := "POST /job/" + jobs.Name(w) + " " + daprtest.AppToken; got != want {
				t.Fatalf("the app was called with %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s did not fire", jobs.Name(w))
		}
	}

	first := daprtest.Start(t, dir, app.Listener.Addr())
	expect(schedule(first, time.Now().Add(time.Second)))
	due := time.Now().Add(8 * time.Second)
	later := schedule(first, due)
	first.Stop(t)

	second := daprtest.Start(t, dir, app.Listener.Addr())
	defer second.Stop(t)
	if second.SchedulerPorts == first.SchedulerPorts {
		t.Fatal("the ports are the same as before")
	}
	expect(later)
	if early := time.Until(due); early > 0 {
		t.Errorf("the job fired %v early", early)
	}
	expect(schedule(second, time.Now()))
	if len(calls) > 0 {
		t.Errorf("and then the app was called with %q", <-calls)
	}
}
