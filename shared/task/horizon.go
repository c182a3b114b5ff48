package task

import (
	"errors"
	"time"
)

// Horizon says how far ahead reminders are with Dapr. Those due later wait in Postgres
// alone, where a million of them cost nothing, until a sweep finds that they have come
// within the horizon.
type Horizon struct {
	// Ahead is 0 for: all reminders, whenever they are due.
	Ahead time.Duration `env:"REMINDER_HORIZON" envDefault:"24h" help:"how far ahead reminders are given to Dapr; those due later wait in Postgres until a sweep finds that they have come within it. 0: all are given to Dapr at once. The same for every function"`
}

const (
	minHorizon = 10 * time.Minute
	// promotion is how long after a reminder has come within the horizon it may still
	// be without its job and nobody needs to know: some sweeps, of which there is one
	// every minute.
	promotion = 5 * time.Minute
)

// Validate reports what is wrong with the configuration.
func (h Horizon) Validate() error {
	if h.Ahead != 0 && h.Ahead < minHorizon {
		return errors.New("REMINDER_HORIZON must be 0 or at least 10m: reminders come within it by a sweep, of which there is one every minute")
	}
	return nil
}

// never is later than every due date.
var never = time.Date(MaxYear+1, 1, 1, 0, 0, 0, 0, time.UTC)

// Until is the instant up to which reminders are to be with Dapr.
func (h Horizon) Until(now time.Time) time.Time {
	if h.Ahead == 0 {
		return never
	}
	return now.Add(h.Ahead)
}

// Expected is the instant up to which reminders should be with Dapr already. What is
// due later and is not yet is as good as scheduled.
func (h Horizon) Expected(now time.Time) time.Time {
	if h.Ahead == 0 {
		return never
	}
	return now.Add(h.Ahead - promotion)
}
