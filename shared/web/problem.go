package web

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
)

// StatusClientClosed is what the log says of a request whose caller hung up
// before the answer. Nobody receives it.
const StatusClientClosed = 499

// defaultRetryAfter is told with 429 and 503 when the error doesn't say.
const defaultRetryAfter = time.Second

// problem is the body of an error's answer (RFC 9457).
type problem struct {
	Type      string     `json:"type"`
	Title     string     `json:"title"`
	Status    int        `json:"status"`
	Detail    string     `json:"detail"`
	Code      fault.Code `json:"code"`
	RequestID string     `json:"request_id,omitempty"`
}

// kinds holds the status and title of each code.
var kinds = map[fault.Code]struct {
	status int
	title  string
}{
	fault.CodeInvalid:         {http.StatusBadRequest, "The request is not valid"},
	fault.CodeUnauthenticated: {http.StatusUnauthorized, "You are not signed in"},
	fault.CodeForbidden:       {http.StatusForbidden, "You may not do this"},
	fault.CodeNotFound:        {http.StatusNotFound, "There is no such thing"},
	fault.CodeConflict:        {http.StatusConflict, "The request conflicts with the current state"},
	fault.CodeRateLimited:     {http.StatusTooManyRequests, "Too many requests"},
	fault.CodeUnavailable:     {http.StatusServiceUnavailable, "Temporarily unavailable"},
	fault.CodeInternal:        {http.StatusInternalServerError, "Internal error"},
}

type statusError struct {
	error
	status int
}

func (e *statusError) Unwrap() error { return e.error }

// WithStatus returns err with an HTTP status other than its code's, for what
// HTTP tells apart and the codes do not: 405, 412, 413, 415 and their like.
func WithStatus(err error, status int) error {
	return &statusError{err, status}
}

// Status returns the HTTP status that [WriteProblem] answers err with.
func Status(err error) int {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status
	}
	if kind, ok := kinds[fault.CodeOf(err)]; ok {
		return kind.status
	}
	return http.StatusInternalServerError
}

type requestIDKey struct{}

// WithRequestID returns a context in which [RequestID] is id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id that answers and log lines of this request carry,
// or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WriteProblem answers r with err as problem+json (RFC 9457), and logs it:
// server errors at error level, others at debug. The caller sees the message
// of a [fault.Error], never its cause; an error that is none, or an internal
// one, is shown only as a sentence with the request's id.
//
// If the answer has begun already, it panics with http.ErrAbortHandler, which
// cuts the connection.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, r, err, "application/problem+json", func(p problem) []byte {
		body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
		if err != nil {
			panic(err) // a problem is nothing but strings and a number
		}
		return body
	})
}

func writeProblem(w http.ResponseWriter, r *http.Request, err error, contentType string, encode func(problem) []byte) {
	response := Track(w)
	status := Status(err)
	id := RequestID(r.Context())
	if id == "" && status >= http.StatusInternalServerError {
		id = uuid.Must(uuid.NewV7()).String()
	}

	level := slog.LevelDebug
	// A body that does not come in time ends the context, too, but not its caller.
	gone := errors.Is(r.Context().Err(), context.Canceled) && !errors.Is(err, errStopping)
	switch {
	case gone && status >= http.StatusInternalServerError:
		status, level = StatusClientClosed, slog.LevelInfo
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	slog.LogAttrs(r.Context(), level, "request failed",
		slog.String("method", method(r)), slog.String("path", LoggedPath(r)), slog.Int("status", status),
		slog.String("request_id", id), slog.Any("error", err))

	if response.Status() != 0 {
		panic(http.ErrAbortHandler)
	}
	if status == StatusClientClosed {
		response.WriteHeader(status)
		return
	}
	for _, name := range []string{"Content-Length", "Content-Encoding", "Cache-Control", "Etag", "Last-Modified", "Location"} {
		response.Header().Del(name) // set for the answer that did not come about
	}
	p := describe(err, status, id)
	setHeaders(response.Header(), r, err, p)
	writeBody(response, status, contentType, encode(p))
}

func describe(err error, status int, requestID string) problem {
	code := fault.CodeOf(err)
	kind, known := kinds[code]
	if !known {
		code, kind = fault.CodeInternal, kinds[fault.CodeInternal]
	}
	p := problem{
		Type:      "urn:duebell:problem:" + string(code),
		Title:     kind.title,
		Status:    status,
		Code:      code,
		RequestID: requestID,
	}
	if status != kind.status {
		p.Type, p.Title = "about:blank", http.StatusText(status)
	}
	if e, ok := errors.AsType[*fault.Error](err); ok && code != fault.CodeInternal {
		p.Detail = e.Message
	} else {
		p.Detail = "Something went wrong here, and it was not your request. Try again; if that does not help, report the request_id."
	}
	return p
}

// setHeaders sets the headers that an error and its status call for.
func setHeaders(h http.Header, r *http.Request, err error, p problem) {
	var after time.Duration // RFC 9110, section 10.2.3
	if e, ok := errors.AsType[*fault.Error](err); ok {
		after = e.RetryAfter
	}
	switch p.Status {
	case http.StatusUnauthorized: // RFC 6750, section 3
		challenge := `Bearer realm="duebell"`
		if r.Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	case http.StatusForbidden: // RFC 6750, section 3.1
		h.Set("WWW-Authenticate", `Bearer realm="duebell", error="insufficient_scope"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		after = max(after, defaultRetryAfter)
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not wanted
	}
	if after > 0 {
		h.Set("Retry-After", strconv.FormatFloat(math.Ceil(after.Seconds()), 'f', 0, 64))
	}
}
