// Package live gives clients new notifications soon after they were
// committed. One process has thousands of clients, and needs one connection to Postgres
// besides the pool.
//
// As with Dapr jobs, the rows are the truth. A NOTIFY
// from Postgres (store.Hint) carries only a user's id, and may be lost. So the Hub
// also looks for all users every few seconds, and whenever it listens again after its
// connection broke. A lost NOTIFY costs seconds, never a notification.
//
// A user's notifications become visible in the order of their Seq: none appears later
// with a smaller one. So a query for "after Seq n" misses none, and the Hub has to
// remember only one number for each client. Changes of state are ordered in the same
// way, by ChangeSeq. If there are many changes, or a client does not take them, the Hub says only
// that there were some.
package live

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// Source is where notifications come from; *store.Store is one.
type Source interface {
	// FindPlace returns the place from which a reader goes on.
	FindPlace(ctx context.Context, userID string, after *uuid.UUID) (store.Place, error)
	// NotificationsAfter returns for each reader up to limit notifications that came, and the
	// last of those whose state has changed, up to limit as well, each reader's in order.
	NotificationsAfter(ctx context.Context, readers []store.Reader, limit int) (came, changed []store.Received, err error)
	// Listen calls listening once it has begun, and then hint with users for whom there may be
	// something new, until ctx ends or it fails.
	Listen(ctx context.Context, listening func(), hint func(userID string)) error
}

// Rules says how many clients a Hub has, and how often it looks.
type Rules struct {
	MaxClients        int           `env:"STREAM_MAX" envDefault:"10000" help:"how many streams one copy of the function keeps at most"`
	MaxClientsPerUser int           `env:"STREAM_MAX_PER_USER" envDefault:"20" help:"how many streams of one user a copy of the function keeps at most"`
	LookInterval      time.Duration `env:"STREAM_LOOK_INTERVAL" envDefault:"5s" help:"how often streams look for notifications whose NOTIFY was lost"`
}

// Validate reports what is wrong with the configuration.
func (r Rules) Validate() error {
	var problems []error
	if r.MaxClients < 1 {
		problems = append(problems, errors.New("STREAM_MAX must be at least 1"))
	}
	if r.MaxClientsPerUser < 1 {
		problems = append(problems, errors.New("STREAM_MAX_PER_USER must be at least 1"))
	}
	if r.LookInterval < 100*time.Millisecond {
		problems = append(problems, errors.New("STREAM_LOOK_INTERVAL must be at least 100ms"))
	}
	return errors.Join(problems...)
}

// retryAfter is when a client that was refused may try again.
const retryAfter = 5 * time.Second

func tooMany(code fault.Code, message string) error {
	return &fault.Error{Code: code, Message: message, RetryAfter: retryAfter}
}

const (
	// pageSize is how many notifications of one user are read at once.
	pageSize = 100
	// batchSize is how many users one query reads for.
	batchSize = 500
	// maxPending is how many notifications wait for a client in memory. One that
	// falls behind further reads the rest from the database, at its own pace.
	maxPending = 2 * pageSize
	// maxChanged is how many changes wait for a client in memory. One that falls behind further
	// is told to read again.
	maxChanged = pageSize
)
