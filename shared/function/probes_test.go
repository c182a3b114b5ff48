package function

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/web"
)

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

func TestNotReadyWhileDraining(t *testing.T) {
	s, err := newServer("probed", web.CORS{}, &Function{Handler: http.NotFoundHandler()})
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
