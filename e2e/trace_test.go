package e2e

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/duebell/duebell/local/system"
)

// spans collects what functions send, as an OpenTelemetry collector does.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	names map[string][]string // by trace, as "function: span"
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, from := range r.GetResourceSpans() {
		function := ""
		for _, a := range from.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				function = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range from.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				s.names[id] = append(s.names[id], function+": "+span.GetName())
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s *spans) of(trace string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names[trace])
}

// One trace leads from a caller's request through Dapr's job to each delivery.
func TestTraceFollowsAReminder(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := &spans{names: map[string][]string{}}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, seen)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	own := startOwn(t, func(o *system.Options) {
		o.NoSchedules = true
		o.Env = append(o.Env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+listener.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY=100")
	})
	p := newPerson(t, own)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	status, body := p.call("POST", "/api/tasks", map[string]any{"title": "x", "due_date": time.Now().Add(2 * time.Second)},
		"traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	if status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	p.told(soon, 1)
	for _, want := range []string{"create-task: POST /api/tasks", "trigger-reminder: fire reminder", "send: deliver", "send: send email"} {
		p.eventually(soon, want, func() bool { return slices.Contains(seen.of(trace), want) })
	}
}
