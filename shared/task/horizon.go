package task

import (
	"errors"
	"time"
)

// Horizon is how far ahead reminders have jobs in Dapr. Later ones are in Postgres only, until a
// sweep finds them within the horizon. There, a million of them cost nothing.
type Horizon struct {
	// Ahead is the horizon's length; 0: all reminders have jobs.
	Ahead time.Duration `env:"REMINDER_HORIZON" envDefault:"24h" help:"how far ahead reminders have jobs in Dapr; a sweep schedules later ones when they come within it. 0: all have jobs at once. The same for every function"`
}

const (
	minHorizon = 10 * time.Minute
	// promotion is how long a reminder that has come within the horizon may be without a job before
	// it shows as pending. The sweep schedules it within minutes.
	promotion = 5 * time.Minute
)

// Validate reports what is wrong with the configuration.
func (h Horizon) Validate() error {
	if h.Ahead != 0 && h.Ahead < minHorizon {
		return errors.New("REMINDER_HORIZON must be 0 or at least 10m: reminders come within it by a sweep, of which there is one every minute")
	}
	return nil
}

// never is later than any due date.
var never = time.Date(MaxYear+1, 1, 1, 0, 0, 0, 0, time.UTC)

// Until returns the instant up to which reminders are scheduled.
func (h Horizon) Until(now time.Time) time.Time {
	if h.Ahead == 0 {
		return never
	}
	return now.Add(h.Ahead)
}

// Expected returns the instant up to which reminders should be confirmed by now. Later ones show as
// scheduled, confirmed or not.
func (h Horizon) Expected(now time.Time) time.Time {
	if h.Ahead == 0 {
		return never
	}
	return now.Add(h.Ahead - promotion)
}
