package auth

import (
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
)

// Limit is how many requests a user may make, and others may make for them. It holds for each process on its
// own: a user of a function that runs in three copies may have three times as many.
// The zero value is no limit.
type Limit struct {
	PerSecond float64 `env:"RATE_LIMIT" envDefault:"100" help:"how many requests by a user, or for one, each copy of a function takes in a second; 0: any number"`
	Burst     int     `env:"RATE_BURST" envDefault:"1000" help:"how many requests a user may make at once after a pause"`
}

// Validate says what is wrong with the configuration.
func (l Limit) Validate() error {
	var problems []error
	if !(l.PerSecond >= 0) || math.IsInf(l.PerSecond, 1) {
		problems = append(problems, errors.New("RATE_LIMIT must be 0 or more"))
	}
	if l.Burst < 1 && l.PerSecond > 0 {
		problems = append(problems, errors.New("RATE_BURST must be at least 1"))
	}
	return errors.Join(problems...)
}

// limiter keeps a token bucket for each user who has made a request lately. It is
// safe for concurrent use.
type limiter struct {
	limit Limit

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	swept   time.Time
}

// sweepInterval is how often the buckets of users without recent requests are dropped.
const sweepInterval = time.Minute

func newLimiter(limit Limit) *limiter {
	return &limiter{limit: limit, buckets: map[string]*rate.Limiter{}, swept: time.Now()}
}

// take counts a request of a user, or for one. The error is rate_limited. It says which
// requests are too many, and when the next one may come.
func (l *limiter) take(user, tooMany string) error {
	if l.limit.PerSecond == 0 {
		return nil
	}
	reservation := l.bucket(user).Reserve()
	wait := reservation.Delay()
	if wait == 0 {
		return nil
	}
	reservation.Cancel()
	metrics.RateLimited()
	return &fault.Error{
		Code: fault.CodeRateLimited, RetryAfter: wait,
		Message: tooMany + "; wait for as long as Retry-After says",
	}
}

func (l *limiter) bucket(user string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.swept) > sweepInterval {
		l.swept = now
		for name, b := range l.buckets {
			if b.TokensAt(now) >= float64(l.limit.Burst) { // full: as good as new
				delete(l.buckets, name)
			}
		}
	}
	b := l.buckets[user]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(l.limit.PerSecond), l.limit.Burst)
		l.buckets[user] = b
	}
	return b
}
