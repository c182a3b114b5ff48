package ingress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an ingress before some instances, and what reached them.
type world struct {
	*testing.T
	*ingress.Ingress
	url  string
	seen chan string
}

func newWorld(t *testing.T, instances int) *world {
	w := &world{T: t, seen: make(chan string, 100)}
	urls := make([]*url.URL, instances)
	for n := range urls {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.seen <- fmt.Sprintf("%d: %s %s %s %s", n, r.Method, r.URL.RequestURI(), r.Header.Get("Dapr-Api-Token"), body)
			rw.Header().Set("X-Instance", fmt.Sprint(n))
			rw.WriteHeader(http.StatusAccepted)
			fmt.Fprint(rw, "done")
		}))
		t.Cleanup(server.Close)
		urls[n], _ = url.Parse(server.URL)
	}
	w.Ingress = ingress.New(urls...)
	front := httptest.NewServer(w.Ingress)
	t.Cleanup(func() {
		front.Close()
		w.Close()
	})
	w.url = front.URL
	return w
}

// call makes a callback, and returns its answer; the status is 0 if there is none.
func (w *world) call() (status int, instance, body string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), "POST", w.url+"/job/reminder%2F1?a=b", strings.NewReader("{}"))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("dapr-api-token", "secret")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", ""
	}
	defer resp.Body.Close()
	content, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Instance"), string(content)
}

// reached returns how many callbacks have reached each instance.
func (w *world) reached(want int) map[string]int {
	w.Helper()
	got := map[string]int{}
	for range want {
		select {
		case s := <-w.seen:
			instance, rest, _ := strings.Cut(s, ": ")
			if rest != "POST /job/reminder%2F1?a=b secret {}" {
				w.Errorf("an instance got %q", rest)
			}
			got[instance]++
		case <-time.After(time.Minute):
			w.Fatalf("only %v of %d callbacks arrived", got, want)
		}
	}
	return got
}

func TestPassesOnInTurn(t *testing.T) {
	w := newWorld(t, 2)
	answered := map[string]int{}
	for range 4 {
		status, instance, body := w.call()
		if status != http.StatusAccepted || body != "done" {
			t.Errorf("the answer is %d %q", status, body)
		}
		answered[instance]++
	}
	if got := w.reached(4); got["0"] != 2 || got["1"] != 2 || answered["0"] != 2 {
		t.Errorf("they reached %v and were answered by %v", got, answered)
	}
}

func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault  ingress.Fault
		status int
		want   map[string]int // how often each instance is reached, by two callbacks
	}{
		"answers by itself": {ingress.Fault{Status: 404}, 404, map[string]int{}},
		"holds it back":     {ingress.Fault{Delay: 10 * time.Millisecond}, 202, map[string]int{"0": 1, "1": 1}},
		"everywhere":        {ingress.Fault{Everywhere: true}, 202, map[string]int{"0": 2, "1": 2}},
		"again":             {ingress.Fault{Again: time.Millisecond}, 202, map[string]int{"0": 2, "1": 2}},
		"cuts the answer":   {ingress.Fault{Cut: true}, 0, map[string]int{"0": 1, "1": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.Fail(test.fault)
			for range 2 {
				if status, _, _ := w.call(); status != test.status {
					t.Errorf("the answer is %d", status)
				}
			}
			total := test.want["0"] + test.want["1"]
			if got := w.reached(total); got["0"] != test.want["0"] || got["1"] != test.want["1"] {
				t.Errorf("they reached %v", got)
			}
			w.Heal()
			if status, _, _ := w.call(); status != 202 {
				t.Errorf("healed, the answer is %d", status)
			}
			w.reached(1)
			if got := w.Struck(); got != 2 {
				t.Errorf("%d callbacks are said to have been struck", got)
			}
		})
	}
}

func TestCloseEndsWhatIsStillToCome(t *testing.T) {
	w := newWorld(t, 1)
	w.Fail(ingress.Fault{Again: time.Hour})
	w.call()
	w.reached(1)
	w.Close() // goleak sees what it leaves
}

func TestInstanceThatIsAway(t *testing.T) {
	i := ingress.New(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	front := httptest.NewServer(i)
	defer i.Close()
	defer front.Close()
	w := &world{T: t, url: front.URL}
	if status, _, _ := w.call(); status != 0 {
		t.Errorf("the answer is %d", status)
	}
}

// The function is started by a callback, which waits until it is ready, and stopped when it
// has had nothing to do.
func TestScaleToZero(t *testing.T) {
	w := newWorld(t, 1)
	events := make(chan string, 10)
	ready := make(chan struct{})
	var broken atomic.Bool
	err := w.ScaleToZero(t.Context(), ingress.Scale{
		Start: func(context.Context) error {
			events <- "start"
			if broken.Load() {
				return errors.New("no image")
			}
			<-ready
			return nil
		},
		Stop: func(context.Context) error {
			events <- "stop"
			return nil
		},
		Idle: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		select {
		case got := <-events:
			if got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no %s", want)
		}
	}
	next("stop")

	broken.Store(true)
	if status, _, _ := w.call(); status != http.StatusServiceUnavailable {
		t.Errorf("a function that does not start answers %d", status)
	}
	next("start")
	broken.Store(false)

	answer := make(chan int)
	go func() {
		status, _, _ := w.call()
		answer <- status
	}()
	next("start")
	if len(w.seen) > 0 {
		t.Error("a callback was passed on before the function was ready")
	}
	close(ready)
	if status := <-answer; status != http.StatusAccepted {
		t.Errorf("a callback that was held is answered %d", status)
	}
	w.reached(1)
	next("stop")
	if status, _, _ := w.call(); status != http.StatusAccepted {
		t.Errorf("started again, it answers %d", status)
	}
	w.reached(1)
	next("start")
	next("stop")
	if got := w.Starts(); got != 3 {
		t.Errorf("it was started %d times", got)
	}
}
