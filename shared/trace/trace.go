// Package trace follows a reminder with OpenTelemetry: from the request that asks for it,
// through Dapr's job, to each delivery. Without an endpoint nothing is recorded or sent.
package trace

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where traces go.
type Config struct {
	// The SDK reads it, too, like the other variables that OpenTelemetry defines.
	Endpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"the collector of traces, by OTLP over gRPC, like http://collector:4317; unset: no traces. OpenTelemetry's other variables, such as OTEL_TRACES_SAMPLER, hold as well"`
}

const (
	name = "github.com/duebell/duebell"
	// flushTimeout is how long the last spans of a function that stops may take to be sent.
	flushTimeout = 2 * time.Second
)

var propagator = propagation.TraceContext{}

func tracer() trace.Tracer { return otel.Tracer(name) }

// Start begins to send the traces of a function. It connects when there is
// something to send. The caller must call stop, which sends what is left.
func Start(cfg Config, function string) (stop func(), err error) {
	if cfg.Endpoint == "" {
		return func() {}, nil
	}
	otel.SetLogger(logr.New(sink{}))
	ctx := context.Background()
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", function), attribute.String("service.namespace", "duebell")), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	otel.SetTracerProvider(provider)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		slog.Warn("traces could not be sent", "error", err)
	}))
	return func() {
		ctx, cancel := context.WithTimeout(ctx, flushTimeout)
		defer cancel()
		_ = provider.Shutdown(ctx) // nobody waits for a trace
	}, nil
}

// sink logs that OpenTelemetry can't read one of its variables, without its value, which
// may be a key (OTEL_EXPORTER_OTLP_HEADERS).
type sink struct{}

// Error implements logr.LogSink.
func (sink) Error(_ error, message string, _ ...any) {
	slog.Warn("one of OpenTelemetry's variables can't be read, and is left out", "step", message)
}

// Init implements logr.LogSink.
func (sink) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink.
func (sink) Enabled(int) bool { return false }

// Info implements logr.LogSink.
func (sink) Info(int, string, ...any) {}

// WithValues implements logr.LogSink.
func (s sink) WithValues(...any) logr.LogSink { return s }

// WithName implements logr.LogSink.
func (s sink) WithName(string) logr.LogSink { return s }

// identity is the caller of a request, and the user whom it is for.
type identity struct{ user, caller string }

type identityKey struct{}

// Identify sets the user whom the request in ctx is made for, and its caller. From then on the request's span and
// the records that are logged with its context have both. Without a request in ctx it does nothing.
func Identify(ctx context.Context, user, caller string) {
	if of, ok := ctx.Value(identityKey{}).(*atomic.Pointer[identity]); ok {
		of.Store(&identity{user, caller})
		trace.SpanFromContext(ctx).SetAttributes(attribute.String("duebell.user", user), attribute.String("duebell.caller", caller))
	}
}

// identified returns what Identify has set, or nil.
func identified(ctx context.Context) *identity {
	if of, ok := ctx.Value(identityKey{}).(*atomic.Pointer[identity]); ok {
		return of.Load()
	}
	return nil
}

// ForAnother reports whether the request of ctx is made for a user by somebody else.
func ForAnother(ctx context.Context) bool {
	who := identified(ctx)
	return who != nil && who.user != who.caller
}

// Serve begins the span of a request, within the caller's trace if it names one. end is
// called when the request was answered: then its pattern is known.
func Serve(r *http.Request) (ctx context.Context, end func(pattern string, status int)) {
	ctx = context.WithValue(r.Context(), identityKey{}, &atomic.Pointer[identity]{})
	ctx = propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
	ctx, span := tracer().Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, func(pattern string, status int) {
		if pattern != "" {
			span.SetName(pattern)
		}
		span.SetAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", pattern), attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Parent returns the trace in ctx as a job carries it, for Continue; "" if there is no trace.
func Parent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// Continue begins a span within the trace that Parent has returned, with a link to the trace
// in ctx. A malformed parent is ignored.
func Continue(ctx context.Context, parent, what string) (_ context.Context, end func()) {
	link := trace.LinkFromContext(ctx)
	if parent != "" {
		ctx = propagator.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
	}
	ctx, span := tracer().Start(ctx, what, trace.WithLinks(link))
	return ctx, func() { span.End() }
}

// Do runs do within a span, and marks the span if do fails. The span does not hold the error's text.
func Do(ctx context.Context, what string, about map[string]string, do func(context.Context) error) error {
	ctx, span := tracer().Start(ctx, what, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	for key, value := range about {
		span.SetAttributes(attribute.String(key, value))
	}
	err := do(ctx)
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	return err
}

// Handler adds the trace of their context to log records, and who made the request and for
// whom.
func Handler(h slog.Handler) slog.Handler { return handler{h} }

type handler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	if who := identified(ctx); who != nil {
		r.AddAttrs(slog.String("user", who.user), slog.String("caller", who.caller))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
