package upkeep

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/schedule"
)

// sentinelPrefix begins the name of sentinel jobs.
const sentinelPrefix = "sentinel-"

// checkSentinel checks that the sentinel's job exists in Dapr. If it does not, the scheduler has
// lost its data: all confirmations are removed, and a new sentinel is made.
//
// The new job is made first, and its name is recorded last. So the next sweep sees if the scheduler
// loses its data again meanwhile. In between, the recorded name belongs to no job. Then nothing
// that was lost can be confirmed, and if this sweep dies, the next one starts again.
func (s *Sweeper) checkSentinel(ctx context.Context, sum *Summary) error {
	name, err := s.store.Sentinel(ctx)
	if err != nil {
		return err
	}
	if name != "" {
		there, err := s.holds(ctx, name)
		if err != nil {
			return err
		}
		if there {
			sum.Sentinel = "present"
			return nil
		}
		sum.Sentinel = "lost"
		slog.ErrorContext(ctx, "Dapr's scheduler has lost its data: all reminders are scheduled again", "sentinel", name)
	}
	id := uuid.Must(uuid.NewV7()).String() // the id has the time
	next := sentinelPrefix + id
	if err := s.keep(ctx, next); err != nil {
		return err
	}
	if name == "" {
		_, err := s.store.SetSentinel(ctx, "", next)
		if err == nil {
			sum.Sentinel = "made"
		}
		return err
	}
	none := sentinelPrefix + "none-" + id
	if now, err := s.store.SetSentinel(ctx, name, none); err != nil || now != none {
		return err // another sweep was first; if it dies, the next one finds the loss again
	}
	for last, n := uuid.Nil, 1; n > 0; {
		if last, n, err = s.store.Unconfirm(ctx, last, 5000); err != nil {
			return err
		}
		sum.Unconfirmed += n
	}
	now, err := s.store.SetSentinel(ctx, none, next)
	if err == nil && now == next {
		metrics.SchedulerLostData() // counted once, by the sweep that recorded it
	}
	return err
}

func (s *Sweeper) holds(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, schedule.CallTimeout)
	defer cancel()
	return s.dapr.Holds(ctx, name)
}

func (s *Sweeper) keep(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, schedule.CallTimeout)
	defer cancel()
	return s.dapr.Keep(ctx, name)
}
