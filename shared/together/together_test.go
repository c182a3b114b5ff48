package together

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// Who comes while a call is made is carried out together. One that is the trouble, even
// by a panic, has it alone; when everybody has the same, nobody waits for the others'.
func TestGroup(t *testing.T) {
	for name, tt := range map[string]struct {
		bad   error // what 7 gets; nil: a panic
		calls int
	}{
		"a bad one":                 {errors.New("bad"), 12},
		"a panic":                   {nil, 12},
		"the database goes away":    {fault.Unavailable(nil, "away"), 2},
		"a bad one, and it is away": {errors.New("away from then on"), 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls int
				var away error
				g := Group[int]{Call: func(_ context.Context, items []int) error {
					time.Sleep(time.Second)
					calls++
					for _, item := range items {
						if item == 3 && len(items) == 1 && strings.HasSuffix(name, "it is away") {
							away = fault.Unavailable(nil, "away")
						}
						if item == 7 && away == nil {
							if tt.bad == nil {
								panic("seven")
							}
							return tt.bad
						}
					}
					return away
				}}
				errs := make([]error, 11)
				for i := range errs {
					go func() { errs[i] = g.Do(t.Context(), i) }()
					synctest.Wait() // they come in this order, the first one alone
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if calls != tt.calls {
					t.Errorf("%d calls, want %d", calls, tt.calls)
				}
				for i, err := range errs {
					var failed bool
					switch name {
					case "the database goes away":
						failed = i > 0
					case "a bad one, and it is away":
						failed = i >= 3
					default:
						failed = i == 7
					}
					if (err != nil) != failed {
						t.Errorf("%d: %v", i, err)
					}
				}
			})
		})
	}
}
