package dapr_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/dapr/go-sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/process"
)

const (
	apiToken = "token-of-daprd"
	appToken = "token-of-the-app"
)

// jobs are a scheduler and a daprd, and what the app was called with.
type jobs struct {
	scheduler, daprd *process.Process
	schedulerPorts   dapr.SchedulerPorts
	daprdPorts       dapr.DaprdPorts
	client           client.Client
}

func (j *jobs) stop(t *testing.T) {
	t.Helper()
	j.client.Close()
	for _, p := range []*process.Process{j.daprd, j.scheduler} {
		started := time.Now()
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		t.Logf("%s took %v to stop", p.Name(), time.Since(started).Round(time.Millisecond))
	}
}

func startJobs(t *testing.T, runtime dapr.Runtime, dir string, app net.Addr) *jobs {
	t.Helper()
	ports, err := process.FreePorts(make([]int, 7)...)
	if err != nil {
		t.Fatal(err)
	}
	j := &jobs{
		schedulerPorts: dapr.SchedulerPorts{API: ports[0], Health: ports[1], EtcdClient: ports[2], EtcdPeer: ports[3]},
		daprdPorts:     dapr.DaprdPorts{GRPC: ports[4], HTTP: ports[5], Internal: ports[6]},
	}
	j.scheduler, err = dapr.StartScheduler(dapr.SchedulerOptions{
		Runtime: runtime, Dir: filepath.Join(dir, "scheduler"), Ports: j.schedulerPorts,
		LogFile: filepath.Join(dir, "scheduler.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.scheduler.Stop(context.Background()) })
	j.daprd, err = dapr.StartDaprd(dapr.DaprdOptions{
		Runtime: runtime, Dir: filepath.Join(dir, "daprd"), AppID: "duebell",
		AppPort: app.(*net.TCPAddr).Port, Ports: j.daprdPorts,
		APIToken: apiToken, AppToken: appToken, SchedulerPort: ports[0],
		LogFile: filepath.Join(dir, "daprd.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.daprd.Stop(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, p := range []*process.Process{j.scheduler, j.daprd} {
		started := time.Now()
		if err := p.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s was ready after another %v", p.Name(), time.Since(started).Round(time.Millisecond))
	}
	connection, err := grpc.NewClient("passthrough:///"+process.Address(ports[4]),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, "dapr-api-token", apiToken), method, req, reply, cc, opts...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	j.client = client.NewClientWithConnection(connection)
	return j
}

func (j *jobs) schedule(t *testing.T, name string, due time.Time) {
	t.Helper()
	dueTime := due.UTC().Format(time.RFC3339Nano)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := j.client.ScheduleJob(ctx, &client.Job{
		Name: name, DueTime: &dueTime, Data: &anypb.Any{Value: []byte(`{}`)},
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRuntimeKeepsJobsAcrossARestartOnOtherPorts(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the Dapr runtime")
	}
	calls := make(chan string, 100)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls <- fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, r.Header.Get("dapr-api-token"))
	}))
	defer app.Close()
	runtime, err := dapr.Find(t.Context(), dapr.FindOptions{Report: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	expect := func(job string) {
		t.Helper()
		select {
		case got := <-calls:
			if want := "POST /job/" + job + " " + appToken; got != want {
				t.Fatalf("the app was called with %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("job %s did not fire", job)
		}
	}

	first := startJobs(t, runtime, dir, app.Listener.Addr())
	first.schedule(t, "soon", time.Now().Add(time.Second))
	expect("soon")
	due := time.Now().Add(8 * time.Second)
	first.schedule(t, "later", due)
	first.stop(t)

	second := startJobs(t, runtime, dir, app.Listener.Addr())
	defer second.stop(t)
	if second.schedulerPorts == first.schedulerPorts {
		t.Fatal("the ports are the same as before")
	}
	t.Logf("restarted %v before the second job is due", time.Until(due).Round(time.Millisecond))
	expect("later")
	if early := time.Until(due); early > 0 {
		t.Errorf("the job fired %v early", early)
	}
	second.schedule(t, "last", time.Now())
	expect("last")
	if len(calls) > 0 {
		t.Errorf("and then the app was called with %q", <-calls)
	}
}
