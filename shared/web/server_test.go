package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// pipes is a listener whose connections are in memory, so that the clock may be
// synctest's.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
	clients sync.WaitGroup // what they send beside the test
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialled:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// client is one connection to a server.
type client struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
}

func (p *pipes) dial(t *testing.T) *client {
	ours, theirs := net.Pipe()
	p.dialled <- theirs
	t.Cleanup(func() { _ = ours.Close() })
	return &client{t, ours, bufio.NewReader(ours)}
}

// send sends a part of a request; a server that has closed the connection is no error.
func (c *client) send(format string, args ...any) { _, _ = fmt.Fprintf(c.conn, format, args...) }

// answer reads an answer, and how long it took to come.
func (c *client) answer() (status int, body string, took time.Duration) {
	c.t.Helper()
	start := time.Now()
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v after %v", err, time.Since(start))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(text), time.Since(start)
}

// ends checks that the server closes the connection before long.
func (c *client) ends(within time.Duration) {
	c.t.Helper()
	start := time.Now()
	if _, err := io.Copy(io.Discard, c.reader); err != nil || time.Since(start) > within {
		c.t.Errorf("the connection ends after %v with %v, want within %v", time.Since(start), err, within)
	}
}

// large is how long an answer is that takes minutes to receive.
const large = 300 << 10

// serving runs a test with a Server that is stopped at its end.
func serving(t *testing.T, test func(t *testing.T, server *web.Server, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := web.NewServer(web.NewMux(web.Routes{
			"POST /refused": failing(fault.Unauthenticated("sign in")),
			"GET /healthz": func(w http.ResponseWriter, _ *http.Request) error {
				return web.WriteJSON(w, http.StatusOK, "ok")
			},
			"POST /json": func(w http.ResponseWriter, r *http.Request) error {
				var in string
				if err := web.ReadJSON(w, r, &in); err != nil {
					return err
				}
				return web.WriteJSON(w, http.StatusOK, len(in))
			},
			"POST /stream": func(w http.ResponseWriter, r *http.Request) error {
				body, _, err := web.Stream(w, r, 1<<20, "text/csv")
				if err != nil {
					return err
				}
				n, err := io.Copy(io.Discard, body)
				if err != nil {
					return err
				}
				return web.WriteJSON(w, http.StatusOK, n)
			},
			// as a proxy: it answers while something else reads
			"POST /proxied": func(_ http.ResponseWriter, r *http.Request) error {
				read := make(chan struct{})
				go func() {
					_, _ = io.Copy(io.Discard, r.Body)
					close(read)
				}()
				if r.URL.Query().Has("refused") {
					time.Sleep(time.Millisecond)
					return fault.Unauthenticated("sign in")
				}
				<-read
				return web.Late(r)
			},
			"GET /large": func(w http.ResponseWriter, _ *http.Request) error {
				return web.WriteJSON(w, http.StatusOK, strings.Repeat("x", large))
			},
			"POST /long": func(w http.ResponseWriter, r *http.Request) error {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return err
				}
				select {
				case <-r.Context().Done():
					return fault.Unavailable(nil, "the caller is taken for gone")
				case <-time.After(time.Hour):
					return web.WriteJSON(w, http.StatusOK, "done")
				}
			},
		}))
		p := &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error)
		go func() { served <- server.Serve(p) }()
		test(t, server, p)
		_ = server.Close()
		<-served
		p.clients.Wait()
	})
}

// Whoever sends a part of a body that nobody wants to read is answered, and let go of.
func TestServerSlowBodyThatNobodyReads(t *testing.T) {
	for request, want := range map[string]int{
		"POST /refused": 401, "POST /nowhere": 404, "POST /healthz": 405, "DELETE /refused": 405, "POST /json": 415, "GET /healthz": 200,
	} {
		for _, length := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
			t.Run(request+" "+length, func(t *testing.T) {
				serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
					c := p.dial(t)
					c.send("%s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n1", request, length)
					if status, body, took := c.answer(); status != want || took > 5*time.Second {
						t.Errorf("%d %s after %v, want %d", status, body, took, want)
					}
					c.ends(5 * time.Second)
				})
			})
		}
	}
}

// So it is if something reads at that time, whatever the client waits for before it sends.
func TestServerSlowBodyThatIsReadMeanwhile(t *testing.T) {
	for target, want := range map[string]int{"/proxied?refused": 401, "/proxied": 408} {
		for _, header := range []string{"", "Expect: 100-continue\r\n"} {
			t.Run(target+" "+header, func(t *testing.T) {
				serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
					c := p.dial(t)
					c.send("POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: 1000\r\n\r\n", target, header)
					status, body, _ := c.answer()
					if status == http.StatusContinue {
						status, body, _ = c.answer()
					}
					if status != want {
						t.Errorf("%d %s, want %d", status, body, want)
					}
					c.ends(5 * time.Second)
				})
			})
		}
	}
}

func TestServerSlowHeaders(t *testing.T) {
	serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
		for _, part := range []string{"", "GET", "GET /healthz HTTP/1.1\r\nHost: x\r\nA: "} {
			c := p.dial(t)
			p.clients.Go(func() {
				for range 100 {
					if c.send("%s", part); part != "" {
						part = "x"
					}
					time.Sleep(time.Second)
				}
			})
			c.ends(15 * time.Second)
		}
		c := p.dial(t) // after a whole request, too
		c.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		c.answer()
		c.send("GET /healthz HTTP/1.1\r\n")
		c.ends(15 * time.Second)
		c = p.dial(t)
		c.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		c.answer()
		c.ends(10 * time.Minute)
		synctest.Wait()
	})
}

func TestServerSlowBodyThatIsRead(t *testing.T) {
	for name, every := range map[string]time.Duration{"nothing more": time.Hour, "a byte every 5 s": 5 * time.Second, "a byte a second": time.Second} {
		for _, request := range []string{"POST /json HTTP/1.1\r\nContent-Type: application/json", "POST /stream HTTP/1.1\r\nContent-Type: text/csv"} {
			t.Run(name+" "+request[:12], func(t *testing.T) {
				serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
					c := p.dial(t)
					p.clients.Go(func() {
						c.send("%s\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", request)
						for range 2000 {
							if _, err := io.WriteString(c.conn, "1\r\n1\r\n"); err != nil {
								return
							}
							time.Sleep(every)
						}
					})
					status, body, took := c.answer()
					if status != 408 || !strings.Contains(body, "too slowly") || took > 16*time.Minute {
						t.Errorf("%d %s after %v, want 408", status, body, took)
					}
					_ = c.conn.Close()
				})
			})
		}
	}
}

func TestServerSlowButHonest(t *testing.T) {
	serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
		c := p.dial(t)
		p.clients.Go(func() { // 1 MB at 10 KB a second
			c.send("POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n\"", 1<<20)
			for range 102 {
				c.send("%s", strings.Repeat("x", 10<<10))
				time.Sleep(time.Second)
			}
			c.send("%s\"", strings.Repeat("x", 1<<20-2-102*(10<<10)))
		})
		if status, body, _ := c.answer(); status != 200 {
			t.Errorf("1 MB: %d %s", status, body)
		}
		p.clients.Go(func() { // the same connection: a row every 20 s, for 12 minutes
			c.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 36 {
				c.send("%x\r\n%s\r\n", 40, strings.Repeat("x", 40))
				time.Sleep(20 * time.Second)
			}
			c.send("0\r\n\r\n")
		})
		if status, body, _ := c.answer(); status != 200 || body != "1440\n" {
			t.Errorf("an import: %d %s", status, body)
		}
		p.clients.Go(func() { // the body has come: the rest is up to the handler
			c.send("POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n12")
			time.Sleep(20 * time.Second)
			c.send("3")
		})
		if status, body, _ := c.answer(); status != 200 {
			t.Errorf("a long answer: %d %s", status, body)
		}
		// Nobody reads this one, but it comes: the connection is good for another.
		p.clients.Go(func() {
			c.send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
			time.Sleep(100 * time.Millisecond)
			c.send("2")
		})
		if status, _, _ := c.answer(); status != 401 {
			t.Errorf("refused: %d", status)
		}
		c.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if status, _, _ := c.answer(); status != 200 {
			t.Errorf("the same connection again: %d", status)
		}
	})
}

// A client in the middle of a request does not hold up a server that stops.
// Who does not receive is let go of, and who receives slowly is not.
func TestServerClientsThatDoNotReceive(t *testing.T) {
	serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
		c := p.dial(t)
		c.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(35 * time.Second)
		c.ends(time.Second)
	})
	serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
		c := p.dial(t)
		c.send("GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		start, n := time.Now(), 0
		for piece := make([]byte, 16<<10); ; time.Sleep(20 * time.Second) {
			m, err := io.ReadFull(c.conn, piece)
			if n += m; err != nil {
				break
			}
		}
		if n < large || time.Since(start) < 5*time.Minute {
			t.Errorf("%d bytes have come in %v", n, time.Since(start))
		}
	})
	serving(t, func(t *testing.T, server *web.Server, p *pipes) {
		c := p.dial(t)
		c.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
}

func TestServerShutdown(t *testing.T) {
	serving(t, func(t *testing.T, server *web.Server, p *pipes) {
		half, fresh, unread := p.dial(t), p.dial(t), p.dial(t)
		half.send("POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n1")
		fresh.send("POST /json HT")
		unread.send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n1")
		synctest.Wait()
		for _, c := range []*client{fresh, unread} {
			go func() { _, _ = io.Copy(io.Discard, c.reader) }()
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if status, body, _ := half.answer(); status != 503 || !strings.Contains(body, "stopping") {
				t.Errorf("half a body: %d %s, want 503", status, body)
			}
			half.ends(time.Second)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
		<-answered
	})
}

func TestServerShutdownCutsOffWhatTakesTooLong(t *testing.T) {
	serving(t, func(t *testing.T, server *web.Server, p *pipes) {
		c := p.dial(t)
		c.send("POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err == nil {
			t.Error("stopping did not fail")
		}
		c.ends(time.Second)
	})
}

func TestServerLongHeaders(t *testing.T) {
	serving(t, func(t *testing.T, _ *web.Server, p *pipes) {
		for name, request := range map[string]string{
			"header": "GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 33<<10) + "\r\n\r\n",
			"query":  "GET /healthz?" + strings.Repeat("a", 33<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		} {
			c := p.dial(t)
			c.send("%s", request)
			if status, body, _ := c.answer(); status != 431 || !strings.Contains(body, "32768") {
				t.Errorf("%s: %d %s, want 431", name, status, body)
			}
		}
		c := p.dial(t)
		go c.send("GET /healthz HTTP/1.1\r\nHost: x\r\nA: %s\r\n\r\n", strings.Repeat("a", 200<<10))
		if status, body, _ := c.answer(); status != 431 {
			t.Errorf("%d %s, want net/http's own 431", status, body)
		}
	})
}
