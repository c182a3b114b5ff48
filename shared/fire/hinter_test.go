package fire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A thousand firings during one hint share the next hint.
func TestHintsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls [][]string
		running := 0
		h := newHinter(func(_ context.Context, users []string) error {
			if running++; running > 1 {
				t.Error("two at a time")
			}
			time.Sleep(time.Millisecond)
			running--
			calls = append(calls, users)
			return errors.New("lost") // which changes nothing
		})
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				time.Sleep(time.Duration(i%2) * 100 * time.Microsecond)
				h.hint(t.Context(), []string{fmt.Sprint(i)})
			})
		}
		group.Wait()
		if len(calls) > 3 {
			t.Errorf("%d calls", len(calls))
		}
		users := slices.Concat(calls...)
		slices.Sort(users)
		if len(slices.Compact(users)) != 1000 || len(users) != 1000 {
			t.Errorf("%d users were named", len(users))
		}
	})
}

func TestHintsDoNotHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHinter(func(ctx context.Context, _ []string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() { h.hint(t.Context(), []string{"ada"}) })
			group.Go(func() { h.hint(gone, []string{"ada"}) })
		}
		group.Wait()
		if took := time.Since(start); took > 2*hintTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// Without users no hint is sent.
func TestNobodyToHint(t *testing.T) {
	calls := 0
	h := newHinter(func(context.Context, []string) error { calls++; return nil })
	h.hint(t.Context(), nil)
	if calls != 0 {
		t.Errorf("%d notices", calls)
	}
}
