package jobs_test

import (
	"context"
	"net"
	"testing"

	runtime "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/duebell/duebell/shared/jobs"
)

// daprd gives the same answer for every job.
type daprd struct {
	runtime.UnimplementedDaprServer
	err error
}

func (d *daprd) GetJob(context.Context, *runtime.GetJobRequest) (*runtime.GetJobResponse, error) {
	return &runtime.GetJobResponse{Job: &runtime.Job{Name: "sentinel-1"}}, d.err
}

// Only the answer that this very job is not found means that the scheduler has lost it.
func TestHolds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fake, server := &daprd{}, grpc.NewServer()
	runtime.RegisterDaprServer(server, fake)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	client, err := jobs.Open(jobs.Config{Endpoint: listener.Addr().String(), APIToken: "token"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const is = "failed to get job due to: rpc error: code = NotFound desc = "
	for _, test := range []struct {
		code    codes.Code
		message string
		want    string // "there", "gone", or "" for an error
	}{
		{codes.OK, "", "there"},
		{codes.Internal, is + "job not found: sentinel-1", "gone"}, // as Dapr 1.18.1 says it
		{codes.NotFound, "job not found: sentinel-1", "gone"},
		{codes.Internal, is + "job not found: sentinel-12", ""},
		{codes.Internal, is + "namespace not found", ""},
		{codes.Internal, "failed to get job due to: rpc error: code = Unavailable desc = name resolver error: host dapr-scheduler-server not found", ""},
		{codes.Internal, "etcdserver: member not found", ""},
		{codes.NotFound, "app not found", ""},
		{codes.Internal, "etcdserver: request timed out", ""},
		{codes.Unavailable, "job not found: sentinel-1", ""},
		{codes.Unimplemented, "unknown method GetJob", ""},
	} {
		fake.err = status.Error(test.code, test.message)
		got := ""
		switch there, err := client.Holds(t.Context(), "sentinel-1"); {
		case err == nil && there:
			got = "there"
		case err == nil:
			got = "gone"
		}
		if got != test.want {
			t.Errorf("%v %s: %q, want %q", test.code, test.message, got, test.want)
		}
	}
}
