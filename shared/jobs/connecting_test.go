package jobs

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/shared/task"
)

// serve answers every call to an address, and counts the calls.
func serve(t *testing.T, address string, calls *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		calls.Add(1)
		if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		return stream.SendMsg(&emptypb.Empty{})
	}))
	t.Cleanup(server.Stop)
	go func() { _ = server.Serve(listener) }()
}

// nowhere returns an address on which only the test may listen.
func nowhere(t *testing.T) string {
	t.Helper()
	ports, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	return process.Address(ports[0])
}

func open(t *testing.T, address string) *Dapr {
	t.Helper()
	client, err := Open(Config{Endpoint: address, APIToken: "x", RetryInterval: time.Second, MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func someJob() task.Revision { return task.Revision{ReminderID: uuid.New(), Number: 1} }

// A call waits until daprd is there, and is then made once.
func TestCallsWaitForAConnection(t *testing.T) {
	address := nowhere(t)
	client := open(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- client.Schedule(ctx, someJob(), time.Now()) }()
	for state := client.conn.GetState(); state != connectivity.TransientFailure; state = client.conn.GetState() { // until a first try has failed
		if !client.conn.WaitForStateChange(ctx, state) {
			t.Fatal("it does not try to connect")
		}
	}
	var calls atomic.Int32
	serve(t, address, &calls)
	if err := <-done; err != nil || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}

// A call waits for a daprd that stays away until its deadline, but at most for 2 s. The error says
// that daprd is away.
func TestCallsWaitForNoLongerThanTheyMay(t *testing.T) {
	client := open(t, nowhere(t))
	for name, most := range map[string]time.Duration{"none": 0, "short": 300 * time.Millisecond, "long": time.Hour, "without a limit": -1} {
		ctx, cancel := t.Context(), context.CancelFunc(func() {})
		if most >= 0 {
			ctx, cancel = context.WithTimeout(ctx, most)
		}
		began := time.Now()
		err := client.Schedule(ctx, someJob(), time.Now())
		cancel()
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it waited %v", name, took)
		}
	}
}

// After daprd has been away for a while, calls fail at once. They wait again after one has reached
// it.
func TestCallsDoNotWaitForADaprdThatIsReallyAway(t *testing.T) {
	address := nowhere(t)
	client := open(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_ = client.Schedule(ctx, someJob(), time.Now())
	since := client.connecting.since.Load()
	if since == 0 {
		t.Fatal("a call that has not reached daprd is not remembered")
	}
	client.connecting.since.Store(since - int64(longAway))
	began := time.Now()
	if err := client.Schedule(t.Context(), someJob(), time.Now()); status.Code(err) != codes.Unavailable || time.Since(began) >= maxWait {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	var calls atomic.Int32
	serve(t, address, &calls)
	for deadline := time.Now().Add(time.Minute); calls.Load() == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		_ = client.Schedule(t.Context(), someJob(), time.Now())
	}
	if since := client.connecting.since.Load(); calls.Load() == 0 || since != 0 {
		t.Errorf("it is back: %d calls, away since %d", calls.Load(), since)
	}
}
