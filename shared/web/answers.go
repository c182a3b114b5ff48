package web

import (
	"net"
	"sync"
	"time"
)

const (
	// answerPause is how long a client may take to receive answerPiece bytes of an answer.
	answerPause = 30 * time.Second
	answerPiece = 16 << 10
)

// listener accepts connections whose clients can't hold them by not receiving.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, pause: answerPause}, nil
}

// conn is a connection that gives up on a client who does not receive, unless whoever
// writes has set a deadline of their own.
type conn struct {
	net.Conn

	mu    sync.Mutex
	pause time.Duration
	own   bool // the deadline is the writer's
}

// Write implements io.Writer. It writes piece by piece, as an answer may take any time as a
// whole.
func (c *conn) Write(p []byte) (n int, err error) {
	for {
		if err := c.expect(); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:min(len(p), n+answerPiece)])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// expect has the next piece received in time.
func (c *conn) expect() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own {
		return nil
	}
	return c.Conn.SetWriteDeadline(time.Now().Add(c.pause))
}

// hurry has each piece received within d, the one that is being written, too.
func (c *conn) hurry(d time.Duration) {
	c.mu.Lock()
	c.pause = d
	c.mu.Unlock()
	_ = c.expect()
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = !t.IsZero()
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

// CloseWrite is what net/http does with a connection before it closes it.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
