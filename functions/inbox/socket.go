package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

const (
	// maxIncoming bounds a message from a client. Clients have nothing to send.
	maxIncoming = 512
	// incomingRate and incomingBurst bound what a client sends, in bytes per second: pings,
	// messages and all else. A ping is answered with 6 bytes, a message is not answered.
	incomingRate  = 512
	incomingBurst = 16 << 10
	// closeTimeout is how long a client may take to answer when its socket is closed.
	closeTimeout = time.Second
	// statusUnauthorized is the registered code for an invalid sign-in.
	statusUnauthorized websocket.StatusCode = 3000
)

// socket serves a WebSocket. It sends a text message for each notification, {"change": ...} for
// each change of state, and pings. It ignores what the client sends.
//
// It closes with 1001 when the function stops, with 1013 when the database is away, and with 3000
// when the sign-in has expired. A client that does not receive, or does not answer a ping, is cut
// off. After all of these a client continues with ?after=. A client that sends too much is closed
// with 1008.
func (h handler) socket(w http.ResponseWriter, r *http.Request) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		err := auth.RefuseUserHeader(r)
		if !r.URL.Query().Has("ticket") { // a ticket must not be used up by this
			_, err = h.signIn.User(r)
		}
		if err != nil {
			return err
		}
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		return web.WithStatus(fault.Invalid("this is a WebSocket; for plain HTTP there is GET /api/notifications/stream"), http.StatusUpgradeRequired)
	}
	var after *uuid.UUID
	if seen := resume(r); seen != "" {
		id, err := web.ParseUUID("after", seen)
		if err != nil {
			return err
		}
		after = &id
	}
	user, err := h.streamUser(r)
	if err != nil {
		return err
	}
	client, err := h.hub.Open(r.Context(), user.ID, after)
	if err != nil {
		return err
	}
	defer client.Close()
	taken := &takenOver{ResponseWriter: w}
	conn, err := websocket.Accept(taken, r, &websocket.AcceptOptions{
		// Pages of any origin may connect. A token or a ticket admits a user. Browsers do not add
		// these by themselves, as they do cookies, so a page that has one got it from the user's
		// own page.
		InsecureSkipVerify: true,
	})
	if err != nil {
		return nil // Accept has answered
	}
	conn.SetReadLimit(maxIncoming)

	ctx, gone := context.WithCancel(r.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer func() { _ = conn.CloseNow() }()
	defer gone()
	group.Go(func() { // from here on only a read shows that the client is gone
		defer gone()
		discard(conn)
	})
	out := &socketWire{
		conn: conn, lost: gone, group: &group,
		ctx: func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, h.stream.WriteTimeout) },
	}
	err = h.pump(r.WithContext(ctx), client, user.Expiry, out)
	slog.DebugContext(ctx, "a stream has ended", "reason", err)
	// The library would wait for 5 s, but a function that stops has less time.
	_ = taken.conn.SetDeadline(time.Now().Add(closeTimeout))
	switch {
	case taken.conn.tooMuch.Load():
		_ = conn.Close(websocket.StatusPolicyViolation, "the client sends too much; nothing but answers to pings is asked of it")
	case errors.Is(err, errDraining):
		_ = conn.Close(websocket.StatusGoingAway, err.Error())
	case errors.Is(err, errSignIn):
		_ = conn.Close(statusUnauthorized, err.Error())
	case errors.Is(err, errAway):
		_ = conn.Close(websocket.StatusTryAgainLater, err.Error())
	}
	return nil
}

// takenOver keeps the connection that was taken over from the server.
type takenOver struct {
	http.ResponseWriter
	conn *limited
}

// Hijack implements http.Hijacker.
func (t *takenOver) Hijack() (conn net.Conn, rw *bufio.ReadWriter, err error) {
	conn, rw, err = http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.conn = &limited{Conn: conn, allowed: rate.NewLimiter(incomingRate, incomingBurst)}
	return t.conn, rw, nil
}

// limited is a connection that fails once a client has sent too much.
type limited struct {
	net.Conn
	allowed *rate.Limiter
	tooMuch atomic.Bool
}

var errTooMuch = errors.New("the client sends too much")

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p[:min(len(p), incomingBurst)])
	if !l.allowed.AllowN(time.Now(), n) {
		l.tooMuch.Store(true)
		return 0, errTooMuch
	}
	return n, err
}

// discard reads, and so answers pings, until the client is gone.
func discard(conn *websocket.Conn) {
	for {
		_, message, err := conn.Reader(context.Background())
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		if err != nil {
			return
		}
	}
}

// socketWire writes messages to a WebSocket.
type socketWire struct {
	conn  *websocket.Conn
	ctx   func() (context.Context, context.CancelFunc) // for one write
	lost  func()                                       // called when there is no answer
	group *sync.WaitGroup
}

func (s *socketWire) send(_ uuid.UUID, message []byte) error {
	ctx, cancel := s.ctx()
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, message)
}

func (s *socketWire) change(message []byte) error {
	return s.send(uuid.Nil, fmt.Appendf(nil, `{"change":%s}`, message))
}

func (s *socketWire) flush() error { return nil }

// heartbeat sends a ping. It does not wait for the answer, since notifications would have to wait,
// too.
func (s *socketWire) heartbeat() error {
	s.group.Go(func() {
		ctx, cancel := s.ctx()
		defer cancel()
		if s.conn.Ping(ctx) != nil {
			s.lost()
		}
	})
	return nil
}
