package function

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/web"
)

// newName is a function's name. The framework keeps them for good, and takes none twice.
func newName() string { return "probed-" + rand.Text() }

func TestChecksRunSideBySideAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after := func(d time.Duration, err error) func(context.Context) error {
			return func(ctx context.Context) error {
				select {
				case <-time.After(d):
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		start := time.Now()
		got := runAll(t.Context(), []Check{
			{"quick", after(time.Second, nil)},
			{"broken", after(time.Second, errors.New("no"))},
			{"panics", func(context.Context) error { panic("oh") }},
			{"hangs", after(time.Hour, nil)},
			{"deaf", func(context.Context) error { time.Sleep(time.Minute); return nil }},
		})
		want := []result{
			{"quick", true, ""},
			{"broken", false, "not available"},
			{"panics", false, "not available"},
			{"hangs", false, "no answer in time"},
			{"deaf", false, "no answer in time"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took != checkTimeout {
			t.Errorf("took %v, want %v", took, checkTimeout)
		}
		time.Sleep(time.Minute) // the deaf one ends too
	})
}

// Knative's probes hang up after 100 ms. A database that always takes longer still makes the
// function ready: the checks go on, one at a time, and what they say answers who asks next. That
// somebody has hung up is no warning.
func TestProbesThatHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		defer slog.SetDefault(slog.Default())
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		runs, atOnce, most := 0, 0, 0
		slow := Check{Name: "database", Func: func(ctx context.Context) error {
			runs++
			atOnce++
			most = max(most, atOnce)
			defer func() { atOnce-- }()
			select {
			case <-time.After(320 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		s, err := newServer(newName(), web.CORS{}, &Function{Handler: http.NotFoundHandler(), Ready: []Check{slow}})
		if err != nil {
			t.Fatal(err)
		}
		probe := func() (status int) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
			if ctx.Err() != nil {
				return 0 // it has hung up
			}
			return w.Code
		}
		answered := 0
		for range 60 {
			switch status := probe(); status {
			case http.StatusOK:
				answered++
			case 0:
			default:
				t.Errorf("a probe got %d", status)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if answered == 0 || runs == 0 || most != 1 {
			t.Errorf("%d probes of 60 were answered, %d runs, %d at once", answered, runs, most)
		}
		if log.Len() > 0 {
			t.Errorf("logged: %s", &log)
		}
		time.Sleep(checkTimeout)
	})
}

// A failure answers nobody who asks later: the next probe looks again. That all is well answers
// for a second.
func TestReadinessIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		ready := readiness{checks: []Check{{"database", func(context.Context) error { return err }}}}
		want := func(when string, want bool) {
			t.Helper()
			if got, ok := ready.look(t.Context()); !ok || allOK(got) != want {
				t.Errorf("%s: %v, %v", when, got, ok)
			}
		}
		err = errors.New("away")
		want("away", false)
		err = nil
		want("back", true)
		err = errors.New("away")
		want("away again, within a second", true)
		time.Sleep(readyFor)
		want("away again", false)
	})
}

func TestNotReadyWhileDraining(t *testing.T) {
	s, err := newServer(newName(), web.CORS{}, &Function{Handler: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != want {
			t.Errorf("readyz: %d, want %d", w.Code, want)
		}
		if want == http.StatusOK {
			if err := s.drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDrainingOutsideAFunction(t *testing.T) {
	if Draining(t.Context()) != nil {
		t.Error("Draining is not nil")
	}
}
