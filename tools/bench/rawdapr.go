package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	runtime "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/process"
)

// rawDapr is a daprd of its own at the system's scheduler, whose app does nothing but
// note when it was called.
type rawDapr struct {
	daprd  *process.Process
	conn   *grpc.ClientConn
	client runtime.DaprClient
	token  string
	server *http.Server

	// The system's own daprd, for deleting its jobs.
	sysConn   *grpc.ClientConn
	sysClient runtime.DaprClient
	sysToken  string

	mu     sync.Mutex
	called map[string]time.Time // by the job's name
}

func startRawDapr(ctx context.Context, w *world) (r *rawDapr, err error) {
	r = &rawDapr{token: "raw-dapr-token", sysToken: w.environment["DAPR_API_TOKEN"], called: map[string]time.Time{}}
	found, err := dapr.Find(ctx, dapr.FindOptions{})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		now := time.Now()
		if name := filepath.Base(req.URL.Path); req.Method == http.MethodPost {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.called[name] = now
		}
	})}
	go func() { _ = r.server.Serve(l) }()
	ports, err := process.FreePorts(0, 0, 0)
	if err != nil {
		return nil, err
	}
	own := dapr.DaprdPorts{GRPC: ports[0], HTTP: ports[1], Internal: ports[2]}
	r.daprd, err = dapr.StartDaprd(dapr.DaprdOptions{
		Name: "daprd-raw", Runtime: found, Dir: filepath.Join(w.dir, "daprd-raw"), AppID: "raw", AppPort: l.Addr().(*net.TCPAddr).Port, Ports: own,
		APIToken: r.token, AppToken: "unused", SchedulerPort: w.ports.Scheduler.API, LogFile: filepath.Join(w.dir, "daprd-raw.log"),
		OnEvent: func(e process.Event) { fmt.Fprintln(os.Stderr, e.Name, e.Err) },
	})
	if err != nil {
		return nil, err
	}
	if err := r.daprd.Ready(ctx); err != nil {
		return r, err
	}
	for own.AppIsConnected(ctx) != nil && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
	if r.conn, err = grpc.NewClient(process.Address(own.GRPC), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return r, err
	}
	if r.sysConn, err = grpc.NewClient(w.environment["DAPR_GRPC_ENDPOINT"], grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return r, err
	}
	r.client, r.sysClient = runtime.NewDaprClient(r.conn), runtime.NewDaprClient(r.sysConn)
	return r, ctx.Err()
}

func (r *rawDapr) stop() error {
	_ = r.server.Close()
	for _, c := range []*grpc.ClientConn{r.conn, r.sysConn} {
		if c != nil {
			_ = c.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return r.daprd.Stop(ctx)
}

func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "dapr-api-token", token)
}

// deleteAll deletes all jobs, Duebell's too.
func (r *rawDapr) deleteAll(ctx context.Context) error {
	for _, prefix := range []string{"raw-", "loop-"} {
		if _, err := r.client.DeleteJobsByPrefix(as(ctx, r.token), &runtime.DeleteJobsByPrefixRequest{NamePrefix: &prefix}); err != nil {
			return fmt.Errorf("delete the jobs: %w", err)
		}
	}
	prefix := "reminder-"
	_, err := r.sysClient.DeleteJobsByPrefix(as(ctx, r.sysToken), &runtime.DeleteJobsByPrefixRequest{NamePrefix: &prefix})
	return err
}

func (r *rawDapr) schedule(ctx context.Context, name string, at time.Time) error {
	due := at.UTC().Format(time.RFC3339Nano)
	_, err := r.client.ScheduleJob(as(ctx, r.token), &runtime.ScheduleJobRequest{Job: &runtime.Job{
		Name: name, DueTime: &due, Data: &anypb.Any{Value: []byte(`{"task_id":"01a20dd0-b585-7d53-8b12-7a2c1c952027","user_id":"bench","reminder_id":"01a20dd0-b585-7d5c-a9c3-b669dfb18640","revision":1}`)},
	}})
	return err
}

// many schedules n jobs, so many at a time, each due at its own instant.
func (r *rawDapr) many(ctx context.Context, n, concurrent int, at func(i int) time.Time) (time.Duration, error) {
	began := time.Now()
	err := parallel(n, concurrent, func(i int) error { return r.schedule(ctx, fmt.Sprintf("raw-%d", i), at(i)) })
	return time.Since(began), err
}

// arrivals waits until n jobs have called, and returns for each how late it was, in
// seconds.
func (r *rawDapr) arrivals(ctx context.Context, n int, at func(i int) time.Time) ([]float64, error) {
	deadline := at(n - 1).Add(2 * time.Minute)
	for {
		r.mu.Lock()
		got := len(r.called)
		r.mu.Unlock()
		if got == n {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fmt.Errorf("of %d calls Dapr has made %d", n, got)
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	late := make([]float64, n)
	for i := range late {
		late[i] = r.called[fmt.Sprintf("raw-%d", i)].Sub(at(i)).Seconds()
	}
	clear(r.called)
	return late, nil
}
