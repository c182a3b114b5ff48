// Package link is a slow network between two parts of the local system: answers of one part reach
// the other late, or not before the link is healed.
package link

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/duebell/duebell/local/process"
)

// Link passes TCP connections on to a port of this machine. It is safe for concurrent use.
type Link struct {
	listener net.Listener
	to       string
	serving  sync.WaitGroup

	mu      sync.Mutex
	delay   time.Duration
	changed chan struct{} // closed when delay is another
	open    map[net.Conn]bool
	closed  bool
}

// New makes a Link to a port, which need not listen yet.
func New(port int) (*Link, error) {
	listener, err := net.Listen("tcp4", process.Address(0))
	if err != nil {
		return nil, err
	}
	l := &Link{listener: listener, to: process.Address(port), changed: make(chan struct{}), open: map[net.Conn]bool{}}
	l.serving.Go(l.serve)
	return l, nil
}

// Port is where the link itself listens.
func (l *Link) Port() int { return l.listener.Addr().(*net.TCPAddr).Port }

// Slow delays all answers, also on open connections and those under way.
func (l *Link) Slow(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = by
	close(l.changed)
	l.changed = make(chan struct{})
}

// Heal ends the delay.
func (l *Link) Heal() { l.Slow(0) }

// Close closes all connections, and accepts no more.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	for c := range l.open {
		_ = c.Close()
	}
	l.mu.Unlock()
	_ = l.listener.Close()
	l.serving.Wait()
}

func (l *Link) serve() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return // it is closed
		}
		l.serving.Go(func() { l.pass(from) })
	}
}

// pass connects a caller to the port. It returns when either end has hung up.
func (l *Link) pass(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp4", l.to)
	if err != nil {
		return // as if nothing listened here
	}
	defer to.Close()
	if !l.keep(from, to) {
		return
	}
	defer l.forget(from, to)
	gone := make(chan struct{})
	l.serving.Go(func() {
		defer close(gone)
		_, _ = io.Copy(to, from)
		_ = to.Close()
	})
	l.answer(from, to, gone)
	_ = from.Close()
	<-gone
}

// keep registers connections, unless the link is closed.
func (l *Link) keep(connections ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range connections {
		l.open[c] = true
	}
	return !l.closed
}

func (l *Link) forget(connections ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range connections {
		delete(l.open, c)
	}
}

// piece is a part of an answer, and when it came.
type piece struct {
	came time.Time
	data []byte
}

// answer passes on the port's answers, each piece at its time, until they end or the caller is
// gone.
func (l *Link) answer(from, to net.Conn, gone <-chan struct{}) {
	pieces := make(chan piece, 1000)
	l.serving.Go(func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 16<<10)
			n, err := to.Read(buffer)
			if n > 0 {
				select {
				case pieces <- piece{time.Now(), buffer[:n]}:
				case <-gone:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		if !l.wait(p.came, gone) {
			return
		}
		if _, err := from.Write(p.data); err != nil {
			return
		}
	}
}

// wait returns true when it is time to pass on a piece, and false if the caller is gone by then.
func (l *Link) wait(came time.Time, gone <-chan struct{}) bool {
	for {
		l.mu.Lock()
		delay, changed := l.delay, l.changed
		l.mu.Unlock()
		if delay == 0 {
			return true
		}
		select {
		case <-time.After(time.Until(came.Add(delay))):
			return true
		case <-changed:
		case <-gone:
			return false
		}
	}
}
