package reminder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Counts say what has become of many tasks.
type Counts struct {
	Created   int `json:"created"`
	Scheduled int `json:"scheduled_reminders"`
	Pending   int `json:"pending_reminders"`
}

func (c *Counts) add(more Counts) {
	c.Created += more.Created
	c.Scheduled += more.Scheduled
	c.Pending += more.Pending
}

// Count counts tasks, and their reminders that are scheduled or pending. expected is up
// to when they should be with Dapr.
func Count(tasks []task.Task, expected time.Time) (c Counts) {
	c.Created = len(tasks)
	for _, t := range tasks {
		for _, r := range t.Reminders {
			switch r.Status(expected) {
			case "scheduled":
				c.Scheduled++
			case "pending":
				c.Pending++
			}
		}
	}
	return c
}

// Import stores many tasks of one user, part by part, each in one transaction, and
// schedules the reminders of a part while the next ones are stored.
type Import struct {
	planner *Planner
	owner   store.User
	parts   errgroup.Group // that are being scheduled
	away    atomic.Bool    // Dapr is: the rest of the import stays pending

	mu     sync.Mutex
	counts Counts
}

const (
	// partsAtOnce is how many parts may be with Dapr while another one is stored. It
	// also bounds the memory that an import takes.
	partsAtOnce = 2
	// partTime is how long the reminders of one part may be scheduled.
	partTime = 30 * time.Second
)

// Import begins an import. Its caller must Wait for its end.
func (p *Planner) Import(ctx context.Context, owner store.User) (*Import, error) {
	if err := p.store.SaveUser(ctx, owner); err != nil {
		return nil, err
	}
	i := &Import{planner: p, owner: owner}
	i.parts.SetLimit(partsAtOnce)
	return i, nil
}

// Add stores valid drafts as new tasks, all or none. If key is not nil and a part with
// the key was stored before, it counts as it did then, and nothing is stored.
func (i *Import) Add(ctx context.Context, drafts []task.Draft, key *store.IdempotencyKey) error {
	tasks, err := i.planner.insert(ctx, i.owner, drafts, func(ctx context.Context, tx store.Tx, tasks []task.Task) error {
		if key == nil {
			return nil
		}
		return tx.ClaimKey(ctx, *key, encodeCounts(Count(tasks, i.planner.Expected())))
	})
	if before, ok := errors.AsType[*store.AnsweredError](err); ok {
		var counts Counts
		if err := json.Unmarshal([]byte(before.Answer), &counts); err != nil {
			return fmt.Errorf("read the kept answer: %w", err)
		}
		i.count(counts)
		return nil
	}
	if err != nil {
		return err
	}
	i.parts.Go(func() error {
		i.schedule(context.WithoutCancel(ctx), tasks, key)
		return nil
	})
	return nil
}

func (i *Import) schedule(ctx context.Context, tasks []task.Task, key *store.IdempotencyKey) {
	expected := i.planner.Expected()
	before := Count(tasks, expected)
	if before.Pending > 0 && !i.away.Load() {
		i.planner.tellDapr(ctx, tasks, store.Leftovers{}, partTime)
	}
	counts := Count(tasks, expected)
	i.count(counts)
	if counts == before {
		i.away.Store(counts.Pending > 0)
		return
	}
	if key == nil {
		return
	}
	if err := i.planner.store.KeepAnswer(ctx, *key, encodeCounts(counts)); err != nil {
		slog.Warn("a repeated request will be told that its reminders are pending", "error", err)
	}
}

func (i *Import) count(more Counts) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.counts.add(more)
}

// Wait returns what the import has come to, once Dapr has been told of all that was
// added.
func (i *Import) Wait() Counts {
	_ = i.parts.Wait()
	return i.counts
}

func encodeCounts(c Counts) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // no value of the type fails
	}
	return string(text)
}
