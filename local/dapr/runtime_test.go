package dapr_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	runtime "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

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
	schedule := func(d *daprtest.Dapr, due time.Time) task.Revision {
		t.Helper()
		client, err := jobs.Open(jobs.Config{Endpoint: d.Endpoint(), APIToken: daprtest.APIToken, RetryInterval: time.Second, MaxRetries: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		w := task.Revision{TaskID: uuid.New(), UserID: "ada", ReminderID: uuid.New(), Number: 1}
		if err := client.Schedule(t.Context(), w, due); err != nil {
			t.Fatal(err)
		}
		return w
	}
	expect := func(w task.Revision) {
		t.Helper()
		select {
		case got := <-calls:
			if want := "POST /job/" + w.JobName() + " " + daprtest.AppToken; got != want {
				t.Fatalf("the app was called with %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s did not fire", w.JobName())
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

// daprd does what Duebell needs of it, for whoever has the token, and nothing else.
func TestDaprdServesJobsAndPublishingOnly(t *testing.T) {
	app := httptest.NewServer(http.NotFoundHandler())
	defer app.Close()
	d := daprtest.Start(t, t.TempDir(), app.Listener.Addr())
	conn, err := grpc.NewClient("passthrough:///"+d.Endpoint(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := runtime.NewDaprClient(conn)
	signedIn := metadata.AppendToOutgoingContext(t.Context(), "dapr-api-token", daprtest.APIToken)
	due := "9999-12-31T00:00:00Z"
	for name, test := range map[string]struct {
		call func(context.Context) error
		want codes.Code
	}{
		"schedule a job": {func(ctx context.Context) error {
			_, err := client.ScheduleJob(ctx, &runtime.ScheduleJobRequest{Job: &runtime.Job{Name: "one", DueTime: &due}})
			return err
		}, codes.OK},
		"list jobs": {func(ctx context.Context) error {
			_, err := client.ListJobs(ctx, &runtime.ListJobsRequest{})
			return err
		}, codes.OK},
		"publish": {func(ctx context.Context) error { // allowed, and there is no such component
			_, err := client.BulkPublishEvent(ctx, &runtime.BulkPublishRequest{PubsubName: "none", Topic: "t"})
			return err
		}, codes.InvalidArgument},
		"invoke an app": {func(ctx context.Context) error {
			_, err := client.InvokeService(ctx, &runtime.InvokeServiceRequest{Id: "duebell"})
			return err
		}, codes.Unimplemented},
		"read a secret": {func(ctx context.Context) error {
			_, err := client.GetSecret(ctx, &runtime.GetSecretRequest{StoreName: "kubernetes", Key: "k"})
			return err
		}, codes.Unimplemented},
		"end it": {func(ctx context.Context) error {
			_, err := client.Shutdown(ctx, &runtime.ShutdownRequest{})
			return err
		}, codes.Unimplemented},
	} {
		if err := test.call(signedIn); status.Code(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		want := codes.Unauthenticated
		if test.want == codes.Unimplemented {
			want = test.want
		}
		if err := test.call(t.Context()); status.Code(err) != want {
			t.Errorf("%s without the token: %v, want %s", name, err, want)
		}
	}
	for path, want := range map[string]int{"/v1.0/secrets/kubernetes/bulk": 404, "/v1.0/invoke/duebell/method/job/x": 404, "/v1.0-alpha1/jobs/one": 404} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", d.DaprdPorts.HTTP, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("dapr-api-token", daprtest.APIToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
