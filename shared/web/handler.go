// Package web is what HTTP looks like in Duebell: handlers that return errors,
// JSON that is read strictly, and errors that become problem+json (RFC 9457).
// It is the only shared package that knows HTTP's statuses.
package web

import (
	"net/http"
	"strings"

	"github.com/duebell/duebell/shared/fault"
)

// Handler serves a request or says why it can't: [WriteProblem] turns the
// error into the answer. An error that comes after the answer has begun cuts
// the connection, so that the caller does not take a part for the whole.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response := Track(w)
	if err := h(response, r); err != nil {
		WriteProblem(response, r, err)
	}
}

// Routes maps patterns of http.ServeMux, such as "GET /api/tasks/{task_id}",
// to handlers.
type Routes map[string]Handler

// NewMux returns a handler that serves the routes, and panics if two of them
// conflict. Everything else is a problem, never a page or a redirect: 405 with
// Allow for a path that knows other methods, 404 for the rest, which includes
// paths that are not in their shortest form (//, /../).
func NewMux(routes Routes) http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range routes {
		mux.Handle(pattern, handler)
	}
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		handler, _ := mux.Handler(r)
		if _, ours := handler.(Handler); ours {
			mux.ServeHTTP(w, r) // sets the path's values
			return nil
		}
		// It is one of the mux's own answers: ask which, and say it our way.
		answer := discarded{header: http.Header{}}
		handler.ServeHTTP(&answer, r)
		if answer.status == http.StatusMethodNotAllowed {
			allow := answer.header.Get("Allow")
			w.Header().Set("Allow", allow)
			return WithStatus(fault.Invalid("%s is not possible here; possible: %s", method(r), allow), answer.status)
		}
		return fault.NotFound("there is nothing at this path")
	})
}

// method returns the request's method for a message: short, whatever was sent.
func method(r *http.Request) string {
	if len(r.Method) > 20 {
		return strings.ToValidUTF8(r.Method[:20], "") + "…"
	}
	return r.Method
}

// discarded is a response of which only the status and headers matter.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }
