package jobs_test

import (
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/metrics/metricstest"
)

// Every job that Dapr was asked to hold is counted once, by what it said. One that
// it holds already counts as taken.
func TestSchedulingIsCounted(t *testing.T) {
	answers := []error{
		nil, nil, status.Error(codes.AlreadyExists, "it is there"),
		status.Error(codes.Unauthenticated, "who are you"),
	}
	calls := 0
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		calls++
		if err := answers[calls-1]; err != nil {
			return err
		}
		return stream.SendMsg(&emptypb.Empty{})
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	client, err := jobs.Open(jobs.Config{Endpoint: listener.Addr().String(), APIToken: "x", RetryInterval: time.Second, MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	before := metricstest.Read(t)
	for range answers {
		_ = client.Schedule(t.Context(), newWake(), time.Now())
	}
	server.Stop() // and now it is away
	_ = client.Schedule(t.Context(), newWake(), time.Now())

	want := metricstest.Values{
		`duebell_reminders_scheduled_total{outcome="taken"}`:   3,
		`duebell_reminders_scheduled_total{outcome="refused"}`: 2,
	}
	if diff := cmp.Diff(want, metricstest.Since(t, before, "duebell_reminders_scheduled_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
