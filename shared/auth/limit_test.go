package auth

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics/metricstest"
)

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limit{PerSecond: 2, Burst: 3})
		for i := range 3 {
			if err := l.take("ada", "too many"); err != nil {
				t.Fatalf("request %d of the burst: %v", i, err)
			}
		}
		before := metricstest.Read(t)
		for range 2 { // being refused costs nothing
			e, ok := errors.AsType[*fault.Error](l.take("ada", "too many"))
			if !ok || e.Code != fault.CodeRateLimited || e.RetryAfter != 500*time.Millisecond {
				t.Errorf("past the burst: %v", e)
			}
		}
		if err := l.take("bob", "too many"); err != nil {
			t.Errorf("another user: %v", err)
		}
		const refused = "duebell_http_requests_rate_limited_total"
		if n := metricstest.Since(t, before, refused)[refused]; n != 2 {
			t.Errorf("%v refusals counted, want 2", n)
		}
		time.Sleep(500 * time.Millisecond)
		if err := l.take("ada", "too many"); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

func TestLimitForgetsUsersWhoHaveGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limit{PerSecond: 1, Burst: 10})
		for i := range 1000 {
			_ = l.take(fmt.Sprint(i), "too many")
		}
		time.Sleep(2 * sweepInterval)
		_ = l.take("ada", "too many")
		if n := len(l.buckets); n != 1 {
			t.Errorf("%d users are kept", n)
		}
	})
}
