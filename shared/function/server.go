package function

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/trace"
	"github.com/duebell/duebell/shared/web"
)

// server stands between the framework and the function's handler: request ids,
// the request log, panics, probes, metrics and draining.
type server struct {
	handler  http.Handler
	draining chan struct{} // closed when it begins
	inFlight sync.WaitGroup
	http     *web.Server
}

func newServer(name string, cors web.CORS, f *Function) (*server, error) {
	s := &server{draining: make(chan struct{})}
	scrape := metrics.Handler()
	probes := web.NewMux(web.Routes{
		"GET /healthz": s.healthz,
		"GET /readyz":  s.readyz(f.Ready),
		"GET /metrics": func(w http.ResponseWriter, r *http.Request) error {
			scrape.ServeHTTP(w, r)
			return nil
		},
	})
	s.handler = cors.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isProbe(r) {
			probes.ServeHTTP(w, r)
			return
		}
		f.Handler.ServeHTTP(w, r)
	}))
	h, err := framework(name, s)
	if err != nil {
		return nil, err
	}
	s.http = web.NewServer(h)
	return s, nil
}

// isProbe reports whether the platform asks, not a user of the function.
func isProbe(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return true
	}
	return false
}

type drainingKey struct{}

// Draining returns a channel that is closed when the process is about to stop.
// Handlers that would go on for long, such as streams, return then. It is nil
// for a context that no function's request gave.
func Draining(ctx context.Context) <-chan struct{} {
	draining, _ := ctx.Value(drainingKey{}).(chan struct{})
	return draining
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Done()

	start := time.Now()
	id := requestID(r)
	traced, endSpan := r.Context(), func(string, int) {}
	if !isProbe(r) {
		traced, endSpan = trace.Serve(r)
	}
	ctx := context.WithValue(web.WithRequestID(traced, id), drainingKey{}, s.draining)
	r = r.WithContext(ctx)
	r.Pattern = "" // the framework's; the handler sets its own
	response := web.Track(w)
	response.Header().Set(requestIDHeader, id)

	cut := s.serve(response, r)
	endSpan(r.Pattern, response.Status())

	took := time.Since(start)
	if !isProbe(r) {
		metrics.Served(metrics.Request{Pattern: r.Pattern, Method: r.Method, Status: response.Status(), Cut: cut, Took: took})
	}
	level := slog.LevelDebug
	if response.Status() >= http.StatusInternalServerError || trace.ForAnother(ctx) {
		level = slog.LevelInfo
	}
	slog.LogAttrs(ctx, level, "request",
		slog.String("method", r.Method), slog.String("path", web.LoggedPath(r)), // the query may hold a ticket
		slog.Int("status", response.Status()), slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("request_id", id))
}

// serve calls the handler and turns a panic into a 500, or, if the answer has
// begun, into a cut connection, which it reports.
func (s *server) serve(w *web.Response, r *http.Request) (wasCut bool) {
	// The framework would write an answer of its own for http.ErrAbortHandler,
	// instead of letting net/http cut the connection.
	defer func() {
		if abort := recover(); abort != nil {
			wasCut = true
			cut(w.ResponseWriter)
		}
	}()
	defer func() {
		switch value := recover(); value {
		case nil:
		case http.ErrAbortHandler:
			panic(value)
		default:
			web.WriteProblem(w, r, &panicError{value: value, stack: string(debug.Stack())})
		}
	}()
	s.handler.ServeHTTP(w, r)
	if w.Status() == 0 {
		w.WriteHeader(http.StatusOK) // as net/http does
	}
	return false
}

// cut ends the connection in the middle of an answer, so that the caller knows
// it is not whole.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// drain stops taking requests and waits for those that are being served, on
// hijacked connections too, until ctx ends.
func (s *server) drain(ctx context.Context) error {
	close(s.draining)
	if err := s.http.Shutdown(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		s.inFlight.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// panicError is a panic as an error that the log shows with its stack.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func (e *panicError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("panic", fmt.Sprint(e.value)), slog.String("stack", e.stack))
}

const requestIDHeader = "X-Request-Id"

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._:/+=@-]{1,128}$`)

// requestID returns the caller's id of the request if it has a sane one, else a
// new one.
func requestID(r *http.Request) string {
	if id := r.Header.Get(requestIDHeader); saneRequestID.MatchString(id) {
		return id
	}
	return uuid.Must(uuid.NewV7()).String()
}
