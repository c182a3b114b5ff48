package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/peers"
)

// happening is what a peer prints.
type happening struct{ Event, Title, Detail string }

// startPeer reads a stream with an npm package until the test ends.
func startPeer(t *testing.T, library, url, token string) <-chan happening {
	t.Helper()
	peer := peers.Node(t, "event-stream.mjs", library)
	asked, err := json.Marshal(map[string]string{"library": library, "url": url, "token": token})
	if err != nil {
		t.Fatal(err)
	}
	peer.Stdin = strings.NewReader(string(asked))
	out, err := peer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	happenings := make(chan happening, 100)
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var h happening
			if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
				t.Errorf("%s prints %q", library, lines.Text())
			}
			happenings <- h
		}
	})
	t.Cleanup(func() {
		_ = peer.Process.Kill()
		reading.Wait()
		_ = peer.Wait() // it was killed
	})
	return happenings
}

// cutter is a proxy that cuts connections.
type cutter struct {
	listener net.Listener
	served   sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

// startCutter starts a proxy for a server.
func startCutter(t *testing.T, server string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener}
	c.served.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
			if err != nil {
				t.Error(err)
				_ = client.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, client, backend)
			c.mu.Unlock()
			c.served.Go(func() { _, _ = io.Copy(backend, client) })
			c.served.Go(func() { _, _ = io.Copy(client, backend) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.cut()
		c.served.Wait()
	})
	return c
}

// cut closes all open connections.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// Independent EventSource clients behind a proxy that cuts connections get each notification once.
func TestPeersComeBack(t *testing.T) {
	for _, library := range []string{"eventsource", "event-source-polyfill"} {
		for name, query := range map[string]string{"": "", "with parameters": "?cache=1&after=00000000-0000-0000-0000-000000000000"} {
			t.Run(strings.TrimSpace(library+" "+name), func(t *testing.T) {
				w := functiontest.New(t)
				s := functiontest.Serve(w, New)
				proxy := startCutter(t, s.URL())
				peer := startPeer(t, library, "http://"+proxy.listener.Addr().String()+"/api/notifications/stream"+query, w.Token("ada"))
				want := func(event, title string) {
					t.Helper()
					for {
						select {
						case h := <-peer:
							switch {
							case h.Event == "broken":
								continue // it says so once or more
							case h.Event != event || h.Title != title:
								t.Fatalf("got %+v, want %s %s", h, event, title)
							}
							return
						case <-time.After(30 * time.Second):
							t.Fatalf("%s %s does not come", event, title)
						}
					}
				}
				want("open", "")
				proxy.cut() // before the first
				tell(w, "ada", "0")
				want("open", "")
				want("notification", "0")
				tell(w, "ada", "1")
				want("notification", "1")
				proxy.cut()
				tell(w, "ada", "2")
				tell(w, "ada", "3")
				want("open", "")
				want("notification", "2")
				want("notification", "3")
				// A proxy or the client's storage has spoilt the id.
				other := startPeer(t, library, s.URL()+"/api/notifications/stream?lastEventId=spoilt", w.Token("ada"))
				for _, event := range []string{"open", "reset"} {
					select {
					case h := <-other:
						if h.Event != event {
							t.Errorf("got %+v, want %s", h, event)
						}
					case <-time.After(30 * time.Second):
						t.Errorf("%s does not come", event)
					}
				}
			})
		}
	}
}
