package trace_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/duebell/duebell/shared/trace"
)

const (
	id     = "0af7651916cd43dd8448eb211c80319c"
	parent = "00-" + id + "-b7ad6b7169203331-01"
)

// record has spans recorded while the test runs.
func record(t *testing.T) *tracetest.SpanRecorder {
	t.Helper()
	before, recorder := otel.GetTracerProvider(), tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	return recorder
}

// What begins with a caller's request goes on after a job, and its log has the trace.
func TestOneTrace(t *testing.T) {
	recorder := record(t)
	r := httptest.NewRequest("POST", "/api/tasks", nil)
	r.Header.Set("traceparent", parent)
	ctx, end := trace.Serve(r)
	var logged strings.Builder
	log := slog.New(trace.Handler(slog.NewJSONHandler(&logged, nil))).With("a", 1).WithGroup("g")
	log.InfoContext(ctx, "hello")
	carried := trace.Parent(ctx)
	end("POST /api/tasks", 503)

	ctx, endFire := trace.Continue(context.Background(), carried, "fire")
	err := trace.Do(ctx, "send", map[string]string{"k": "v"}, func(context.Context) error { return errors.New("the secret") })
	endFire()
	if err == nil {
		t.Error("the error is lost")
	}
	var names []string
	for _, span := range recorder.Ended() {
		names = append(names, span.Name()+" "+span.Status().Code.String())
		if span.SpanContext().TraceID().String() != id {
			t.Errorf("%s is of the trace %s", span.Name(), span.SpanContext().TraceID())
		}
		if span.Status().Description != "" {
			t.Errorf("%s tells %q", span.Name(), span.Status().Description)
		}
	}
	if got := strings.Join(names, ", "); got != "POST /api/tasks Error, send Error, fire Unset" {
		t.Errorf("the spans are %s", got)
	}
	if !strings.Contains(logged.String(), `"trace_id":"`+id+`"`) {
		t.Errorf("the log is %s", logged.String())
	}
}

// A request's span and log say who makes it and for whom, once that is known.
func TestIdentities(t *testing.T) {
	recorder := record(t)
	var logged strings.Builder
	log := slog.New(trace.Handler(slog.NewJSONHandler(&logged, nil)))
	ctx, end := trace.Serve(httptest.NewRequest("GET", "/api/tasks", nil))
	log.InfoContext(ctx, "before")
	if strings.Contains(logged.String(), "caller") || trace.ForAnother(ctx) {
		t.Errorf("before anybody has signed in: %s", logged.String())
	}
	trace.Identify(ctx, "service", "service")
	if trace.ForAnother(ctx) {
		t.Error("a caller is taken for another")
	}
	trace.Identify(ctx, "ada", "service")
	log.InfoContext(ctx, "after")
	end("GET /api/tasks", 200)
	if !strings.Contains(logged.String(), `"user":"ada","caller":"service"`) || !trace.ForAnother(ctx) {
		t.Errorf("the log is %s", logged.String())
	}
	attributes := map[string]string{}
	for _, a := range recorder.Ended()[0].Attributes() {
		attributes[string(a.Key)] = a.Value.AsString()
	}
	if attributes["duebell.user"] != "ada" || attributes["duebell.caller"] != "service" {
		t.Errorf("the span has %v", attributes)
	}
	trace.Identify(context.Background(), "ada", "service") // outside of a request
	if trace.ForAnother(context.Background()) {
		t.Error("nobody's request is for somebody else")
	}
}

// What a job carries may make no sense, and a request may come from nowhere.
func TestNoTrace(t *testing.T) {
	if got := trace.Parent(context.Background()); got != "" {
		t.Errorf("without a trace a job carries %q", got)
	}
	recorder := record(t)
	for _, nonsense := range []string{"", "x", strings.Repeat("00-", 100), "00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01"} {
		_, end := trace.Continue(context.Background(), nonsense, "fire")
		end()
	}
	for _, span := range recorder.Ended() {
		if span.Parent().IsValid() || !span.SpanContext().IsValid() {
			t.Errorf("a span has the parent %v", span.Parent())
		}
	}
}

func TestOffByDefault(t *testing.T) {
	before := otel.GetTracerProvider()
	stop, err := trace.Start(trace.Config{}, "f")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if otel.GetTracerProvider() != before {
		t.Error("something is recorded")
	}
}

// What can't be read of OpenTelemetry's variables is left out and named, and not told: the
// headers hold a key.
func TestVariablesAreNotTold(t *testing.T) {
	if os.Getenv("TRACE_TEST_CHILD") != "" {
		stop, err := trace.Start(trace.Config{Endpoint: "http://127.0.0.1:1"}, "test")
		if err != nil {
			t.Fatal(err)
		}
		stop()
		return
	}
	for _, headers := range []string{"hunter2", "api key=hunter2", "key=hunter2%zz"} {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVariablesAreNotTold$")
		child.Env = append(os.Environ(), "TRACE_TEST_CHILD=1", "OTEL_EXPORTER_OTLP_HEADERS="+headers)
		out, err := child.CombinedOutput()
		if err != nil || strings.Contains(string(out), "hunter2") || !strings.Contains(string(out), "OpenTelemetry's variables") {
			t.Errorf("%s: %v\n%s", headers, err, out)
		}
	}
}
