package schedule

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/zone"
)

// MoveRules are the rules for moving tasks with their users' clocks.
type MoveRules struct {
	PastGrace time.Duration `env:"REMINDER_PAST_GRACE" envDefault:"24h" help:"how far in the past a reminder may be when its task is stored, and still fire at once; older ones are missed"`
}

// Validate reports what is wrong with the configuration.
func (r MoveRules) Validate() error {
	if r.PastGrace < 0 {
		return errors.New("REMINDER_PAST_GRACE must not be negative")
	}
	return nil
}

// Mover derives tasks anew after their user's clock or the time zones have changed. It does not
// call Dapr: reminders that it arms are pending. It is safe for concurrent use, also by several
// processes for one task.
type Mover struct {
	store *store.Store
	zones *zone.Data // nil: the embedded release
	now   func() time.Time
	rules MoveRules
}

// NewMover returns a Mover. now is its clock, time.Now outside of tests.
func NewMover(s *store.Store, now func() time.Time, rules MoveRules) *Mover {
	return &Mover{store: s, now: now, rules: rules}
}

// By sets other time zones than the embedded ones. It is for tests. Call it before the first use.
func (m *Mover) By(zones *zone.Data) { m.zones = zones }

// Clock returns the clock of a user with these preferences.
func (m *Mover) Clock(p preferences.Preferences) task.Clock {
	c := p.Habits().Clock
	c.Zones = m.zones
	return c
}

// Move derives a user's task anew, in one transaction, and returns how many of its reminders it has
// armed anew. A task that is gone is no error.
func (m *Mover) Move(ctx context.Context, userID string, taskID uuid.UUID) (moved int, err error) {
	err = m.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		moved = 0
		before, habits, err := tx.LockTask(ctx, userID, taskID)
		if store.IsGone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		habits.Clock.Zones = m.zones
		now := task.Instant(m.now())
		after, changed := task.Follow(before, habits.Clock, now, m.rules.PastGrace)
		if !changed {
			return nil
		}
		for i, r := range after.Reminders {
			if r.Revision != before.Reminders[i].Revision {
				moved++
			}
		}
		return tx.MoveTask(ctx, before, after)
	})
	return moved, err
}

// Release returns the release of the Mover's time zones.
func (m *Mover) Release() string {
	if m.zones == nil {
		return zone.Release()
	}
	return m.zones.Release()
}
