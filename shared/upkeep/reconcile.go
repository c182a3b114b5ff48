package upkeep

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/schedule"
)

// Progress is how far a reconciliation has come: how many reminders it has made pending, and how
// many it has scheduled, others included.
type Progress struct {
	Unconfirmed, Scheduled int
	// Left is how many are still pending. It is counted now and then.
	Left int
}

const (
	// countUpTo is where counting pending reminders stops.
	countUpTo = 1_000_000
	// patience is how long a reconciliation waits while Dapr takes nothing.
	patience = 20 * time.Second
)

// Reconcile schedules all reminders within the horizon again, whatever Dapr is believed to hold.
// Jobs that exist stay as they are. It calls progress now and then. It can be interrupted and run
// again; the sweep schedules what is left pending. While Dapr is away it changes nothing.
func (c *Cleaner) Reconcile(ctx context.Context, progress func(Progress)) error {
	if err := c.reach(ctx); err != nil {
		return fmt.Errorf("nothing was changed, because Dapr does not answer: %w", err)
	}
	var p Progress
	for last, n := uuid.Nil, 1; n > 0; {
		var err error
		if last, n, err = c.store.Unconfirm(ctx, last, 2000); err != nil {
			return err
		}
		p.Unconfirmed += n
		p.Left = p.Unconfirmed
		progress(p)
	}
	left, err := c.store.CountPending(ctx, c.rules.Horizon.Until(c.now()), countUpTo)
	if err != nil {
		return err
	}
	for worked := time.Now(); ; {
		claimed, scheduled, err := c.jobs.SchedulePending(ctx, c.rules.Horizon.Until(c.now()))
		if err != nil {
			return err
		}
		p.Scheduled += scheduled
		p.Left = max(left-p.Scheduled, 0)
		progress(p)
		if scheduled > 0 {
			worked = time.Now()
			continue
		}
		if claimed == 0 {
			// None may be tried right now, since all were tried a moment ago.
			if p.Left, err = c.store.CountPending(ctx, c.rules.Horizon.Until(c.now()), countUpTo); err != nil || p.Left == 0 {
				progress(p)
				return err
			}
		}
		if time.Since(worked) > patience {
			return fmt.Errorf("%d reminders stay pending: Dapr does not take their jobs", p.Left)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reach looks up a job, and returns an error if Dapr does not answer.
func (c *Cleaner) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, schedule.CallTimeout)
	defer cancel()
	_, err := c.dapr.Holds(ctx, sentinelPrefix+"of-nobody")
	return err
}
