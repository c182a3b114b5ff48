package deliver

import (
	"math/rand/v2"
	"time"
)

const (
	firstWait = time.Second
	maxWait   = 15 * time.Minute
)

// Backoff returns the wait after a delivery's failure number round: one second, doubled with each
// failure up to 15 minutes, less a random part of up to a quarter. The random part keeps deliveries
// that failed together from being retried together.
func Backoff(round int) time.Duration {
	wait := maxWait
	if n := round - 1; n < 20 {
		wait = min(firstWait<<max(n, 0), maxWait)
	}
	return wait - rand.N(wait/4)
}
