package upkeep

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/store"
)

// mostClocks is how many users with a changed clock one sweep looks at.
const mostClocks = 1000

// turn is how many reminders of a user are moved before it is the next user's turn.
const turn = 100

// followClocks derives reminders anew after their user's clock has changed, or that were derived by
// an earlier release of the time zones. What a sweep does not finish is left to the next one. A
// reminder that fires before that is derived anew when it fires.
func (s *Sweeper) followClocks(ctx context.Context, sum *Summary) (moved int, complete bool, err error) {
	m := mover{sweeper: s, sum: sum}
	err = m.users(ctx)
	if err == nil {
		err = m.release(ctx)
	}
	return sum.Moved, err == nil && m.left == 0 && ctx.Err() == nil, err
}

// mover is the state of one sweep's step.
type mover struct {
	sweeper *Sweeper
	sum     *Summary
	mu      sync.Mutex
	left    int // tasks that could not be moved
}

// users moves the reminders of users whose clock has changed, some of each user in turn.
func (m *mover) users(ctx context.Context) error {
	s := m.sweeper
	users, err := s.store.ClocksChanged(ctx, mostClocks)
	if err != nil || len(users) == 0 {
		return err
	}
	after := make(map[string]uuid.UUID, len(users))
	for waiting := slices.Clone(users); len(waiting) > 0 && ctx.Err() == nil; {
		var next []string
		for _, user := range waiting {
			tasks, last, err := s.store.StaleByClock(ctx, user, s.mover.Release(), after[user], turn)
			if err != nil {
				return err
			}
			after[user] = last
			of := make([]store.OfRelease, len(tasks))
			for i, t := range tasks {
				of[i] = store.OfRelease{TaskID: t, UserID: user}
			}
			m.move(ctx, of)
			if len(tasks) == turn {
				next = append(next, user)
			}
		}
		waiting = next
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the next sweep continues
	}
	return s.store.SettleClocks(ctx, users, s.mover.Release())
}

// release moves the reminders that were derived by an earlier release of the time zones.
func (m *mover) release(ctx context.Context) error {
	s := m.sweeper
	var last store.OfRelease
	for ctx.Err() == nil {
		stale, err := s.store.StaleByRelease(ctx, s.mover.Release(), last, page)
		if err != nil || len(stale) == 0 {
			return err
		}
		last = stale[len(stale)-1]
		m.move(ctx, stale)
	}
	return nil
}

// move moves the tasks of these reminders, each task once.
func (m *mover) move(ctx context.Context, of []store.OfRelease) {
	var group errgroup.Group
	group.SetLimit(m.sweeper.rules.Concurrent)
	seen := make(map[uuid.UUID]bool, len(of))
	for _, r := range of {
		if seen[r.TaskID] || ctx.Err() != nil {
			continue
		}
		seen[r.TaskID] = true
		group.Go(func() error {
			n, err := m.sweeper.mover.Move(ctx, r.UserID, r.TaskID)
			if err != nil {
				slog.WarnContext(ctx, "a task is left where it is, for the next sweep to move", "task_id", r.TaskID, "error", err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.sum.Moved += n
			if err != nil {
				m.left++
			}
			return nil
		})
	}
	_ = group.Wait()
}
