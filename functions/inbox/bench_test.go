package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/store"
)

// BenchmarkSSEClients measures one copy of the function with 2,000 clients, each of a
// user of their own: how much memory a client takes, and how long after the commit of
// a notification its event arrives. The clients are another process.
//
//	go test -run '^$' -bench SSEClients -benchtime 10s ./functions/inbox
//
// steady is one notification every 5 ms, spike one for each user as fast as they can
// be written.
func BenchmarkSSEClients(b *testing.B) {
	b.Run("steady", func(b *testing.B) {
		bench := newClientsBench(b)
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		n := 0
		for b.Loop() {
			<-pace.C
			bench.commit(n)
			n++
		}
		bench.report(n)
	})
	b.Run("spike", func(b *testing.B) {
		bench := newClientsBench(b)
		n := 0
		for b.Loop() {
			var group sync.WaitGroup
			for writer := range 8 {
				group.Go(func() {
					for i := writer; i < benchClients; i += 8 {
						bench.commit(n + i)
					}
				})
			}
			group.Wait()
			n += benchClients
			bench.wait(n)
		}
		bench.report(n)
	})
}

const benchClients = 2000

// asClients, in the environment of this program, makes it the clients of the server that it names.
const asClients = "INBOX_TEST_AS_CLIENTS"

type clientsBench struct {
	*functiontest.World
	b      *testing.B
	memory float64

	mu       sync.Mutex
	commits  map[string]time.Time
	arrivals map[string]time.Time
}

func newClientsBench(b *testing.B) *clientsBench {
	w := functiontest.New(b)
	s := functiontest.Serve(w, New)
	bench := &clientsBench{World: w, b: b, commits: map[string]time.Time{}, arrivals: map[string]time.Time{}}
	var tokens bytes.Buffer
	for i := range benchClients {
		fmt.Fprintln(&tokens, w.Token(benchUser(i)))
		if err := w.Store.SaveUser(context.Background(), store.User{ID: benchUser(i)}); err != nil {
			b.Fatal(err)
		}
	}
	before := memory()
	clients := exec.Command(os.Args[0])
	clients.Env, clients.Stdin, clients.Stderr = []string{asClients + "=" + strings.TrimPrefix(s.URL(), "http://")}, &tokens, os.Stderr
	out, err := clients.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		b.Fatal(err)
	}
	connected := make(chan bool)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(connected)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			title, at, _ := strings.Cut(lines.Text(), " ")
			if title == "connected" {
				connected <- true
				continue
			}
			ns, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				b.Error(err)
			}
			bench.mu.Lock()
			bench.arrivals[title] = time.Unix(0, ns)
			bench.mu.Unlock()
		}
	})
	b.Cleanup(func() {
		_ = clients.Process.Kill()
		reading.Wait()
		_ = clients.Wait()
	})
	if !<-connected {
		b.Fatal("the clients did not connect")
	}
	time.Sleep(time.Second) // what connecting took is not what being connected takes
	bench.memory = memory() - before
	return bench
}

func benchUser(i int) string { return fmt.Sprint("user-", i) }

// memory returns the size of the heap and the stacks of this process.
func memory() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// commit writes the i-th notification, as firing does.
func (bench *clientsBench) commit(i int) {
	user, title := benchUser(i%benchClients), strconv.Itoa(i)
	ctx := context.Background()
	err := storetest.Notify(ctx, bench.Store, store.Notification{
		ID: uuid.Must(uuid.NewV7()), UserID: user, TaskID: uuid.New(), Title: title, Body: "Due Mon, 23 Nov 2026 12:00 UTC",
	})
	committed := time.Now()
	if err == nil {
		err = bench.Store.Hint(ctx, []string{user})
	}
	if err != nil {
		bench.b.Error(err)
	}
	bench.mu.Lock()
	defer bench.mu.Unlock()
	bench.commits[title] = committed
}

// wait waits until the first n have arrived.
func (bench *clientsBench) wait(n int) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		bench.mu.Lock()
		arrived := len(bench.arrivals)
		bench.mu.Unlock()
		if arrived >= n {
			return
		}
		if time.Now().After(deadline) {
			bench.b.Fatalf("%d of %d have arrived", arrived, n)
		}
	}
}

func (bench *clientsBench) report(n int) {
	bench.wait(n)
	var took []time.Duration
	for title, at := range bench.arrivals {
		took = append(took, at.Sub(bench.commits[title]))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	bench.b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	bench.b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	bench.b.ReportMetric(bench.memory/benchClients, "B/client")
	bench.b.ReportMetric(float64(n), "events")
	bench.b.ReportMetric(0, "ns/op") // says nothing
}

// clientsMain opens a stream for each token on its standard input, and prints the
// title of each notification and when it arrived.
func clientsMain() {
	address := os.Getenv(asClients)
	var mu sync.Mutex
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(line)
	}
	var connecting, open sync.WaitGroup
	limit := make(chan struct{}, 50)
	tokens := bufio.NewScanner(os.Stdin)
	for tokens.Scan() {
		token := tokens.Text()
		connecting.Add(1)
		limit <- struct{}{}
		open.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET /api/notifications/stream HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\n\r\n", token)
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				at := time.Now()
				switch line := lines.Text(); {
				case strings.HasPrefix(line, "HTTP/1.1 "):
					if !strings.Contains(line, "200") {
						panic(line)
					}
				case strings.HasPrefix(line, "id: 00000000-"):
					connecting.Done()
					<-limit
				case strings.HasPrefix(line, "data: "):
					_, title, _ := strings.Cut(line, `"title":"`)
					title, _, _ = strings.Cut(title, `"`)
					say(title + " " + strconv.FormatInt(at.UnixNano(), 10))
				}
			}
		})
	}
	connecting.Wait()
	say("connected")
	open.Wait()
}
