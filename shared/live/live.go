// Package live brings notifications to those who wait for them, soon after they were
// committed: thousands of clients on one process, with one connection to Postgres
// besides the pool.
//
// It follows the rule that Dapr jobs follow, too. The rows are the truth; a notice
// from Postgres (store.Hint) only says whom to look for, and may be lost. So the Hub
// also looks for everybody every few seconds, and whenever it listens anew after its
// connection broke: a lost notice costs seconds, never a notification.
//
// A user's notifications become visible in the order of their Seq, which has no
// gaps that are filled later. So "after Seq n" misses none, and all that the Hub must
// keep of a client is how far it has come. Changes of their state have an order of the same
// kind, ChangeSeq. Of many changes, and for a client that does not take them, the Hub says only
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
	// FindPlace returns where a reader goes on.
	FindPlace(ctx context.Context, userID string, after *uuid.UUID) (store.Place, error)
	// NotificationsAfter returns for each reader up to limit notifications that came, and the
	// last of those whose state has changed, up to limit as well, each reader's in order.
	NotificationsAfter(ctx context.Context, readers []store.Reader, limit int) (came, changed []store.Received, err error)
	// Listen calls hint with users for whom there may be something new, until ctx
	// ends or it can't go on, and listening once it has begun to.
	Listen(ctx context.Context, listening func(), hint func(userID string)) error
}

// Rules says how many clients a Hub has, and how often it looks.
type Rules struct {
	MaxClients        int           `env:"STREAM_MAX" envDefault:"10000" help:"how many streams one copy of the function keeps at most"`
	MaxClientsPerUser int           `env:"STREAM_MAX_PER_USER" envDefault:"20" help:"how many streams of one user a copy of the function keeps at most"`
	LookInterval      time.Duration `env:"STREAM_LOOK_INTERVAL" envDefault:"5s" help:"how often to look for notifications whose notice was lost"`
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
	// batchSize is for how many users one query looks.
	batchSize = 500
	// maxPending is how many notifications wait for a client in memory. One that
	// falls behind further reads the rest from the database, at its own pace.
	maxPending = 2 * pageSize
	// maxChanged is how many changes wait for a client in memory. One that falls behind further
	// is told to read again.
	maxChanged = pageSize
)
