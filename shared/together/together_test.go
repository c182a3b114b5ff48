package together

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// Who comes while a call is made shares the next one. If that fails, even by a panic, each
// asker's items are carried out alone, and only the trouble itself fails; when everybody
// would have the same, nobody tries.
func TestGroup(t *testing.T) {
	for name, tt := range map[string]struct {
		bad   error // what 7 gets; nil: a panic
		calls int32
	}{
		"a bad one":              {errors.New("bad"), 12},
		"a panic":                {nil, 12},
		"the database goes away": {fault.Unavailable(nil, "away"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				g := Group[int]{Call: func(_ context.Context, items []int) error {
					time.Sleep(time.Second)
					calls.Add(1)
					if !slices.Contains(items, 7) {
						return nil
					}
					if tt.bad == nil {
						panic("seven")
					}
					return tt.bad
				}}
				errs := make([]error, 11)
				for i := range errs {
					go func() { errs[i] = g.Do(t.Context(), i) }()
					synctest.Wait() // they come in this order, the first one alone
				}
				began := time.Now()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := calls.Load(); n != tt.calls {
					t.Errorf("%d calls, want %d", n, tt.calls)
				}
				for i, err := range errs {
					failed := i == 7
					if name == "the database goes away" {
						failed = i > 0
					}
					if (err != nil) != failed {
						t.Errorf("%d: %v", i, err)
					}
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("one after the other: %v", took)
				}
			})
		})
	}
}

// The trouble of one does not hold up those who come after it: each who is alone carries
// its own items out.
func TestAloneHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Group[string]{
			Call: func(_ context.Context, items []string) error {
				if slices.Contains(items, "held") {
					return errors.New("somebody holds it")
				}
				return nil
			},
			Alone: func(context.Context, []string) error {
				time.Sleep(2 * time.Second)
				return errors.New("somebody still holds it")
			},
		}
		began := time.Now()
		go func() {
			if g.Do(t.Context(), "held") == nil {
				t.Error("no error")
			}
		}()
		synctest.Wait()
		for range 10 {
			if err := g.Do(t.Context(), "other"); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("others took %v", took)
		}
		time.Sleep(3 * time.Second)
	})
}

// Who gives up before its call has begun is not carried out, and waits for nobody.
func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done []int
		g := Group[int]{Call: func(_ context.Context, items []int) error {
			time.Sleep(10 * time.Second)
			done = append(done, items...)
			return nil
		}}
		go func() { _ = g.Do(t.Context(), 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := g.Do(ctx, 2); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := g.Do(t.Context(), 3); err != nil {
			t.Error(err)
		}
		if !slices.Equal(done, []int{1, 3}) {
			t.Errorf("carried out: %v", done)
		}
	})
}

// More than the group can keep waiting are refused at once.
func TestTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Group[int]{Call: func(context.Context, []int) error { time.Sleep(time.Second); return nil }}
		var refused atomic.Int32
		for i := range mostWaiting + 10 {
			go func() {
				if err := g.Do(t.Context(), i); fault.CodeOf(err) == fault.CodeUnavailable {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := refused.Load(); n < 9 || n > 10 { // the first call takes those who are there when it begins
			t.Errorf("%d are refused", n)
		}
	})
}
