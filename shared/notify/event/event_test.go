package event_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	runtime "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/event"
	"github.com/duebell/duebell/shared/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daprd answers each call as the test says.
type daprd struct {
	runtime.UnimplementedDaprServer
	published []*runtime.BulkPublishRequest
	answer    func(context.Context) error
}

// daprd must get one call at a time: the channel makes no concurrent ones.
func (d *daprd) BulkPublishEvent(ctx context.Context, r *runtime.BulkPublishRequest) (*runtime.BulkPublishResponse, error) {
	d.published = append(d.published, r)
	return &runtime.BulkPublishResponse{}, d.answer(ctx)
}

func serve(t *testing.T, answer func(context.Context) error) (*daprd, *grpc.Server, *event.Channel) {
	t.Helper()
	d, server := &daprd{answer: answer}, grpc.NewServer()
	runtime.RegisterDaprServer(server, d)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return d, server, open(t, listener.Addr().String())
}

func open(t *testing.T, address string) *event.Channel {
	t.Helper()
	client, err := jobs.Open(jobs.Config{Endpoint: address, APIToken: "x", RetryInterval: time.Second, MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return event.New(client)
}

func message() notify.Message {
	due := time.Date(2026, 11, 23, 14, 30, 0, 123456000, time.UTC)
	return notify.Message{
		ID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000001"), TaskID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000002"),
		UserID: "ada", Title: "Pay \"rent\" é", Notes: "private", DueDate: &due,
	}
}

func TestPublishes(t *testing.T) {
	d, _, channel := serve(t, func(context.Context) error { return nil })
	dateless := message()
	dateless.DueDate = nil
	for _, m := range []notify.Message{message(), dateless} {
		if err := channel.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for i, due := range []string{`"2026-11-23T14:30:00.123456Z"`, "null"} {
		call := d.published[i]
		if len(call.GetEntries()) != 1 {
			t.Fatalf("published %v", call)
		}
		got := call.GetEntries()[0]
		want := `{"task_id":"0197a3c2-7f00-7000-8000-000000000002","user_id":"ada","task_title":"Pay \"rent\" é","due_date":` + due + `}`
		if diff := cmp.Diff(want, string(got.GetEvent())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		id := map[string]string{"cloudevent.id": "0197a3c2-7f00-7000-8000-000000000001"}
		if call.GetPubsubName() != "kafka-pubsub" || call.GetTopic() != "task-reminders" || got.GetContentType() != "application/json" ||
			!maps.Equal(got.GetMetadata(), id) {
			t.Errorf("published %v", call)
		}
	}
}

// Events that are sent during a call share the next call, each with its own trace. If that call
// fails, each event is published alone, as one of them may be the cause.
func TestPublishesTogether(t *testing.T) {
	const n = 150
	all := make(chan struct{}) // are being sent
	d, _, channel := serve(t, func(ctx context.Context) error {
		<-all
		return status.Error(codes.Internal, "one of them is too large")
	})
	traceparent := func(i int) string { return fmt.Sprintf("00-0af7651916cd43dd8448eb211c8%05d-b7ad6b7169203331-01", i) }
	send := func(i int, again bool) error {
		ctx, end := trace.Continue(t.Context(), traceparent(i), "fire")
		defer end()
		return channel.Send(ctx, notify.Message{ID: uuid.MustParse(fmt.Sprintf("0197a3c2-7f00-7000-8000-%012d", i)), Again: again})
	}
	var began, ended sync.WaitGroup
	for i := range n {
		began.Add(1)
		ended.Go(func() {
			began.Done()
			check(t, send(i, false), notify.Unknown, "one of them")
		})
	}
	began.Wait()
	close(all)
	ended.Wait()

	traces := map[string]string{} // by the events' ids
	for _, call := range d.published {
		for _, e := range call.GetEntries() {
			traces[e.GetMetadata()["cloudevent.id"]] = e.GetMetadata()["cloudevent.traceparent"]
		}
	}
	for i := range n {
		if got := traces[fmt.Sprintf("0197a3c2-7f00-7000-8000-%012d", i)]; got != traceparent(i) {
			t.Errorf("event %d has the trace %q", i, got)
		}
	}
	if calls := len(d.published); len(traces) != n || calls >= n {
		t.Errorf("%d events in %d calls", len(traces), calls)
	}

	d.published = nil
	for i := range 3 {
		check(t, send(i, true), notify.Unknown, "one of them")
	}
	for _, call := range d.published {
		if len(call.GetEntries()) != 1 {
			t.Errorf("they were published again together: %v", call)
		}
	}
}

// An event that waited for a call until too little of its time was left is not published, and does
// not shorten the time of the others.
func TestLate(t *testing.T) {
	held, hold := make(chan struct{}, 3), make(chan struct{})
	d, _, channel := serve(t, func(ctx context.Context) error {
		held <- struct{}{}
		select {
		case <-hold:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	ended := map[string]chan error{}
	send := func(ctx context.Context, name string) {
		result := make(chan error, 1)
		ended[name] = result
		go func() { result <- channel.Send(ctx, notify.Message{ID: uuid.New()}) }()
	}
	send(t.Context(), "first")
	<-held
	short, cancelShort := context.WithTimeout(t.Context(), time.Second)
	defer cancelShort()
	long, cancelLong := context.WithTimeout(t.Context(), time.Minute)
	defer cancelLong()
	send(short, "short")
	send(long, "long")
	time.Sleep(900 * time.Millisecond) // short has less than half of its time left, or none
	close(hold)
	for name, err := range ended {
		switch err := <-err; name {
		case "first", "long":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		default:
			check(t, err, notify.Retry, "nothing")
		}
	}
	if len(d.published) != 2 {
		t.Errorf("published %v", d.published)
	}
}

// A failure before the broker can have received the event is Retry; a later one is Unknown. No
// failure is Permanent.
func TestFailures(t *testing.T) {
	const secret = "dial tcp 10.1.2.3:9092"
	fail := func(code codes.Code) func(context.Context) error {
		return func(context.Context) error { return status.Error(code, secret) }
	}
	for name, tt := range map[string]struct {
		answer func(context.Context) error
		want   notify.Kind
	}{
		"no such component":    {fail(codes.InvalidArgument), notify.Retry},
		"no component at all":  {fail(codes.FailedPrecondition), notify.Retry},
		"not for this app":     {fail(codes.PermissionDenied), notify.Retry},
		"wrong API token":      {fail(codes.Unauthenticated), notify.Retry},
		"component gone since": {fail(codes.NotFound), notify.Retry},
		"the broker's failure": {fail(codes.Internal), notify.Unknown},
		"daprd going away":     {fail(codes.Unavailable), notify.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, channel := serve(t, tt.answer)
			check(t, channel.Send(t.Context(), message()), tt.want, secret)
		})
	}
	t.Run("no answer in time", func(t *testing.T) {
		_, _, channel := serve(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // in which it is published on a busy machine, too
		defer cancel()
		check(t, channel.Send(ctx, message()), notify.Unknown, secret)
	})
	t.Run("daprd dies with the event", func(t *testing.T) {
		began := make(chan struct{})
		_, server, channel := serve(t, func(ctx context.Context) error {
			close(began)
			<-ctx.Done()
			return ctx.Err()
		})
		go func() {
			<-began
			server.Stop()
		}()
		check(t, channel.Send(t.Context(), message()), notify.Unknown, secret)
	})
	t.Run("daprd is away", func(t *testing.T) {
		check(t, open(t, "127.0.0.1:1").Send(t.Context(), message()), notify.Retry, secret)
	})
	t.Run("daprd hangs before it takes the connection", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		check(t, open(t, listener.Addr().String()).Send(ctx, message()), notify.Retry, secret)
	})
}

func check(t *testing.T, err error, want notify.Kind, secret string) {
	t.Helper()
	if _, typed := errors.AsType[*notify.Error](err); !typed {
		t.Fatalf("%T: %v", err, err)
	}
	if kind, _ := notify.KindOf(err); kind != want {
		t.Errorf("%s, want %s: %v", kind, want, err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("it tells users of the operator's network: %v", err)
	}
}
