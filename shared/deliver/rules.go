package deliver

import (
	"errors"
	"time"

	"github.com/duebell/duebell/shared/link"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/suppress"
)

// Rules are the rules for sending.
type Rules struct {
	SendTimeout time.Duration `env:"DELIVERY_SEND_TIMEOUT" envDefault:"6s" help:"how long one send may take"`
	Lease       time.Duration `env:"DELIVERY_LEASE" envDefault:"20s" help:"how long a sender's lease of a delivery lasts; if the sender dies, another one sends the delivery after it"`
	MaxAttempts int           `env:"DELIVERY_MAX_ATTEMPTS" envDefault:"12" help:"how many rounds of attempts a delivery has before it is given up; a round goes through the providers of its channel"`
	Concurrent  int           `env:"SEND_CONCURRENCY" envDefault:"128" help:"how many deliveries of each lane one process sends at a time; the lanes are the hosts that users choose, the providers, and events"`
	PerUser     int           `env:"SEND_CONCURRENCY_PER_USER" envDefault:"8" help:"how many of these may be one user's; there is no such limit for events"`
	Suppression suppress.Keys
	Quota       quota.Rules
	Links       link.Links    // for the messages of reminders
	Linger      time.Duration `env:"SEND_LINGER" envDefault:"15s" help:"how far ahead a delivery may be due for the sender to stay and wait for it; the sweep wakes the sender for later ones"`
}

// Validate reports what is wrong with the configuration.
func (r Rules) Validate() error {
	var problems []error
	if r.SendTimeout < 100*time.Millisecond {
		problems = append(problems, errors.New("DELIVERY_SEND_TIMEOUT must be at least 100ms"))
	}
	if r.Lease < r.SendTimeout+5*time.Second {
		problems = append(problems, errors.New("DELIVERY_LEASE must be at least 5s longer than DELIVERY_SEND_TIMEOUT, or two senders could hold one delivery"))
	}
	if r.MaxAttempts < 1 {
		problems = append(problems, errors.New("DELIVERY_MAX_ATTEMPTS must be at least 1"))
	}
	if r.Concurrent < 4 || r.Concurrent > 1000 {
		problems = append(problems, errors.New("SEND_CONCURRENCY must be between 4 and 1000"))
	}
	if r.PerUser < 1 || r.PerUser > r.Concurrent {
		problems = append(problems, errors.New("SEND_CONCURRENCY_PER_USER must be between 1 and SEND_CONCURRENCY"))
	}
	if r.Linger < 0 || r.Linger > time.Minute {
		problems = append(problems, errors.New("SEND_LINGER must be between 0s and 1m"))
	}
	return errors.Join(problems...)
}
