package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

const (
	// headerTimeout is how long a request's headers may take, from the connection's
	// or the request's first moment on.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection is kept that has no request. It is longer
	// than what most clients keep theirs.
	idleTimeout = 5 * time.Minute
	// maxHeader bounds a request's headers together with its address.
	maxHeader = 32 << 10

	// bodyPause is how long the reader of a body waits for the next bodyProgress bytes.
	bodyPause    = 30 * time.Second
	bodyProgress = 32
	// bodyTimeout and longBodyTimeout bound the whole of a body, from the start of the
	// request: 1 MB may come at 9 KB a second.
	bodyTimeout     = 2 * time.Minute
	longBodyTimeout = 15 * time.Minute
	// unwantedTimeout is how long what is left of a body may take once the answer has
	// begun. If it has come by then, the connection serves another request.
	unwantedTimeout = time.Second
	// stoppingTimeout is how long headers and bodies may still take once the server
	// stops.
	stoppingTimeout = 2 * time.Second
)

// Server is an http.Server that clients can't hold by being slow:
//
//   - Headers have to come within 10 seconds.
//   - A body that a handler reads has to bring 32 bytes every 30 seconds, and its end
//     within 2 minutes of the start of the request, or 15 if the handler has called
//     [LongBody]. Then reading fails, which [ReadJSON] and [Stream] answer with 408.
//   - A body that nobody reads may take a second more than the answer.
//   - A client has to receive 16 KB of an answer every 30 seconds.
//   - A connection without a request is closed after 5 minutes.
//
// Answers as a whole may take any time, so streams and WebSockets go on.
//
// Headers of more than 32 KB are answered with 431.
type Server struct {
	*http.Server

	mu       sync.Mutex
	stopping bool
	conns    map[net.Conn]struct{} // all that serve HTTP
	fresh    map[net.Conn]struct{} // that have not sent a whole request's headers yet
	bodies   map[*body]struct{}    // of the requests being served
}

// NewServer returns a Server that serves h.
func NewServer(h http.Handler) *Server {
	s := &Server{conns: map[net.Conn]struct{}{}, fresh: map[net.Conn]struct{}{}, bodies: map[*body]struct{}{}}
	s.Server = &http.Server{
		Handler:           s.guard(h),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    2 * maxHeader, // beyond that net/http answers, in plain text
		ConnState:         s.track,
	}
	return s
}

// Serve serves who connects to l, until Shutdown or Close, and returns why it ends.
func (s *Server) Serve(l net.Listener) error { return s.Server.Serve(listener{l}) }

// Shutdown stops taking requests and waits for those being served, until ctx ends: then
// it cuts them off, and returns the context's error. A client that is still sending a
// request, or does not receive its answer, is waited for 2 seconds at most.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for c := range s.conns {
		if c, ok := c.(*conn); ok {
			c.hurry(stoppingTimeout)
		}
	}
	for conn := range s.fresh {
		_ = conn.SetReadDeadline(time.Now().Add(stoppingTimeout))
	}
	for b := range s.bodies {
		b.endWithin(stoppingTimeout)
	}
	s.mu.Unlock()
	if err := s.Server.Shutdown(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

func (s *Server) track(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[conn], s.fresh[conn] = struct{}{}, struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, conn)
		delete(s.fresh, conn)
	default:
		delete(s.fresh, conn)
	}
}

func (s *Server) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := Track(w)
		if r.Body != nil && r.Body != http.NoBody {
			b := s.enter(response, r.Body)
			defer s.leave(b)
			r = r.WithContext(r.Context()) // a copy: net/http knows its own body
			r.Body = b
		}
		if n := headerBytes(r); n > maxHeader {
			err := fault.Invalid("the request's address and headers are %d bytes long, and %d are read here: shorten them; long ones are often tokens and cookies", n, maxHeader)
			WriteProblem(response, r, WithStatus(err, http.StatusRequestHeaderFieldsTooLarge))
			return
		}
		h.ServeHTTP(response, r)
	})
}

func headerBytes(r *http.Request) int {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return n
}

func (s *Server) enter(w *Response, unread io.ReadCloser) *body {
	b := &body{ReadCloser: unread, control: http.NewResponseController(w), start: time.Now(), reading: make(chan struct{}, 1), rest: bodyPause}
	b.end = b.start.Add(bodyTimeout)
	w.onAnswer = func() { b.endWithin(unwantedTimeout) }
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[b] = struct{}{}
	if s.stopping {
		b.endWithin(stoppingTimeout)
	}
	return b
}

func (s *Server) leave(b *body) {
	s.mu.Lock()
	delete(s.bodies, b)
	s.mu.Unlock()
	b.endWithin(unwantedTimeout) // the server itself reads what is left of it
	// The server would cut short who still reads, as a proxy does, and forget the deadline.
	b.reading <- struct{}{}
	defer func() { <-b.reading }()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

// LongBody lets the request's body take 15 minutes, for a handler that works on it
// while it comes.
func LongBody(r *http.Request) {
	if b, ok := r.Body.(*body); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.hurried {
			b.end = b.start.Add(longBodyTimeout)
		}
	}
}

// Late returns what to answer to a request whose body has not come in time, as [ReadJSON] and
// [Stream] do, and nil if that is not so. It is for who has had the body read by something
// else, such as a proxy.
func Late(r *http.Request) error {
	b, ok := r.Body.(*body)
	if !ok {
		return nil
	}
	if r.Context().Err() != nil { // which can be known before who reads knows why
		b.reading <- struct{}{}
		defer func() { <-b.reading }()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late == nil {
		return nil
	}
	return unread(b.late, 0)
}

// body is a request's body whose reader does not wait for ever.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	start   time.Time

	// Of the reader. The time between two reads does not count.
	reading chan struct{} // has room for one
	rest    time.Duration // how long it may still wait for progress
	fresh   int           // bytes that came since there was progress

	mu      sync.Mutex
	end     time.Time
	hurried bool  // by endWithin
	over    bool  // its end was read, or reading has failed
	late    error // why reading has failed, if it has not come in time
	left    bool  // by its handler: the connection may serve another request
}

// These are why reading a body fails that has not come in time.
var (
	errSlow     = errors.New("the body has not come in time")
	errStopping = errors.New("the server stops, and the body has not come")
)

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.reading <- struct{}{}
	defer func() { <-b.reading }()
	began := time.Now()
	b.mu.Lock()
	left := b.left
	b.setDeadline(began.Add(b.rest))
	b.mu.Unlock()
	if left {
		return 0, http.ErrBodyReadAfterClose
	}

	n, err := b.ReadCloser.Read(p)

	b.rest -= time.Since(began)
	if b.fresh += n; b.fresh >= bodyProgress {
		b.rest, b.fresh = bodyPause, 0
	}
	if err == nil {
		return n, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	switch {
	case errors.Is(err, io.EOF):
		// From here on the server reads, to see whether the caller hangs up: past a
		// deadline it would take the time-out for that.
		b.setDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded) && b.hurried:
		b.late, err = errStopping, errStopping
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.late, err = errSlow, errSlow
	}
	return n, err
}

// endWithin has the rest of the body come soon, or not at all.
func (b *body) endWithin(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	if soon := time.Now().Add(d); soon.Before(b.end) {
		b.end = soon
	}
	b.hurried = true
	b.setDeadline(b.end)
}

// setDeadline sets until when a read may take, no longer than the body itself; for ever
// if that is zero.
func (b *body) setDeadline(t time.Time) {
	if b.left {
		return
	}
	if b.end.Before(t) {
		t = b.end
	}
	_ = b.control.SetReadDeadline(t) // on what is no connection there is none
}
