package deliver

import (
	"math/rand/v2"
	"time"
)

const (
	firstWait = time.Second
	maxWait   = 15 * time.Minute
)

// Backoff is how long to wait after the round-th failure of a delivery: one
// second, doubled with each further failure up to a quarter of an hour, less a
// random part of up to a quarter, so that those that failed together don't come
// back together.
func Backoff(round int) time.Duration {
	wait := maxWait
	if n := round - 1; n < 20 {
		wait = min(firstWait<<max(n, 0), maxWait)
	}
	return wait - rand.N(wait/4)
}
