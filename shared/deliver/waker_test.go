package deliver_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/shared/deliver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sender stands in for the function send. It counts the requests that wake it.
type sender struct {
	http.Handler
	woken atomic.Int32
	ended atomic.Int32 // answers
	gone  atomic.Int32 // callers who left before their answer had ended
	open  atomic.Int32 // connections
}

func (s *sender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.woken.Add(1)
	s.Handler.ServeHTTP(w, r)
	if r.Context().Err() != nil {
		s.gone.Add(1)
	}
	s.ended.Add(1)
}

// serve starts a sender, and a Waker for it. The test closes the Waker.
func serve(t *testing.T, answer http.HandlerFunc) (*sender, *deliver.Waker) {
	t.Helper()
	s := &sender{Handler: answer}
	server := httptest.NewUnstartedServer(s)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.open.Add(1)
		case http.StateClosed:
			s.open.Add(-1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return s, deliver.NewWaker(deliver.WakerConfig{URL: server.URL})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// within fails the test if do hangs.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
	}
}

// forEver goes on with the answer until the caller leaves.
func forEver(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// All hints during a request share the next request.
func TestWakesAreShared(t *testing.T) {
	release := make(chan struct{})
	s, w := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	w.Wake()
	eventually(t, "a request", func() bool { return s.woken.Load() == 1 })
	within(t, "Wake", func() {
		for range 1000 {
			w.Wake()
		}
	})
	close(release)
	eventually(t, "a second request", func() bool { return s.woken.Load() == 2 })
	w.Close()
	if n := s.woken.Load(); n != 2 {
		t.Errorf("%d requests, want one, and one for all that asked meanwhile", n)
	}
}

// No hint waits for the end of an answer.
func TestAnswerThatGoesOn(t *testing.T) {
	s, w := serve(t, forEver)
	within(t, "WakeNow", func() {
		if err := w.WakeNow(t.Context()); err != nil {
			t.Error(err)
		}
	})
	w.Wake()
	eventually(t, "another request", func() bool { return s.woken.Load() == 2 })
	if n := s.gone.Load(); n != 0 {
		t.Errorf("%d answers were not read to their end", n)
	}
	w.Close()
	eventually(t, "both answers let go of", func() bool { return s.gone.Load() == 2 })
}

// The caller's context limits the time until the answer begins, not the rest of the answer.
func TestAnswerOutlivesItsCaller(t *testing.T) {
	end := make(chan struct{})
	s, w := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-end
	})
	ctx, cancel := context.WithCancel(t.Context())
	if err := w.WakeNow(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	time.Sleep(50 * time.Millisecond) // for the server to notice, if it were so
	close(end)
	eventually(t, "the end of the answer", func() bool { return s.ended.Load() == 1 })
	w.Close()
	if n := s.gone.Load(); n != 0 {
		t.Error("the answer was cut off with its caller's context")
	}
}

// The sender can't be reached at first: its route is not there yet, or its copy is starting.
func TestSenderAwayAtFirst(t *testing.T) {
	t.Run("it refuses", func(t *testing.T) {
		var s *sender
		s, w := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			switch s.woken.Load() {
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				panic(http.ErrAbortHandler)
			}
		})
		defer w.Close()
		w.Wake()
		eventually(t, "a third request", func() bool { return s.woken.Load() == 3 })
	})
	t.Run("nobody listens", func(t *testing.T) {
		ports, err := process.FreePorts(0)
		if err != nil {
			t.Fatal(err)
		}
		address := process.Address(ports[0])
		w := deliver.NewWaker(deliver.WakerConfig{URL: "http://" + address})
		defer w.Close()
		if err := w.WakeNow(t.Context()); err == nil {
			t.Fatal("somebody answers")
		}
		w.Wake()
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		var woken atomic.Int32
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { woken.Add(1) })}
		defer server.Close()
		go func() { _ = server.Serve(listener) }()
		eventually(t, "a request", func() bool { return woken.Load() == 1 })
	})
}

// WakeNow returns an error if the sender can't be woken: the sweep reports it.
func TestWakeNowSaysWhatIsWrong(t *testing.T) {
	_, refusing := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	defer refusing.Close()
	if err := refusing.WakeNow(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("refused: %v", err)
	}
	silent, hanging := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	defer hanging.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	within(t, "WakeNow", func() {
		if err := hanging.WakeNow(ctx); err == nil {
			t.Error("it has heard from a sender that says nothing")
		}
	})
	eventually(t, "the request let go of", func() bool { return silent.gone.Load() == 1 })
}

// Close waits until a request that is under way is answered. It does not wait for a sender that
// never answers.
func TestClose(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		s, w := serve(t, func(http.ResponseWriter, *http.Request) {})
		w.Wake()
		w.Close()
		if n := s.woken.Load(); n != 1 {
			t.Errorf("%d requests have come", n)
		}
	})
	for what, answer := range map[string]http.HandlerFunc{
		"silent":          func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"never done":      forEver,
		"always refusing": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
	} {
		t.Run(what, func(t *testing.T) {
			s, w := serve(t, answer)
			w.Wake()
			eventually(t, "a request", func() bool { return s.woken.Load() > 0 })
			w.Wake()
			within(t, "Close", w.Close)
			eventually(t, "all that was under way has come", func() bool { return s.open.Load() == 0 })
			came := s.woken.Load()
			w.Wake()
			within(t, "Close, again", w.Close)
			if n := s.woken.Load(); n != came {
				t.Errorf("%d requests came after Close", n-came)
			}
		})
	}
}

func TestWakerConfig(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://send.duebell.svc.cluster.local": true, "https://send.example.com:8443": true, "http://127.0.0.1:8080/": true,
		"": false, "send": false, "send:8080": false, "http://": false, "ftp://send": false, "http://%zz": false,
	} {
		err := deliver.WakerConfig{URL: url}.Validate()
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "SEND_URL") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
