package schedule

import (
	"context"
	"encoding/json"
	"errors"
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
// schedules their reminders, while its caller reads the next ones.
type Import struct {
	planner *Planner
	owner   store.User
	release func()         // its place among those that are under way
	until   time.Time      // when Dapr is asked no more
	begun   int            // parts
	parts   errgroup.Group // that are being stored or scheduled
	away    atomic.Bool    // Dapr is: the rest of the import stays pending

	mu     sync.Mutex
	counts Counts
	err    error // the earliest part's
	failed int   // which that was
}

const (
	// partsAtOnce is how many parts may be under way. It also bounds the memory that an
	// import takes.
	partsAtOnce = 3
	// partTime is how long the reminders of one part may be scheduled.
	partTime = 30 * time.Second
	// importTime is how long the reminders of an import may be scheduled while it is
	// stored. A Dapr that is slow must not keep the request from being answered in the
	// 10 minutes that it has; what is left is pending.
	importTime = 4 * time.Minute
)

// Import begins an import, unless too many are under way. Its caller must Wait for its end.
func (p *Planner) Import(ctx context.Context, owner store.User) (*Import, error) {
	release, err := p.imports.take(p.rules.Ceilings, owner.ID)
	if err != nil {
		return nil, err
	}
	if err := p.store.SaveUser(ctx, owner); err != nil {
		release()
		return nil, err
	}
	i := &Import{planner: p, owner: owner, release: release, until: p.now().Add(importTime)}
	i.parts.SetLimit(partsAtOnce)
	return i, nil
}

// Add begins to store valid drafts as new tasks, all or none. If key is not nil and a
// part with the key was stored before, it counts as it did then, and nothing is stored.
// The error is that of an earlier part, or says which ceiling this one would exceed; then
// nothing is begun. Those before it are carried out. Add is for one caller at a time.
func (i *Import) Add(ctx context.Context, drafts []task.Draft, key *store.IdempotencyKey) error {
	habits, err := i.planner.habitsForAll(ctx, i.owner.ID, drafts)
	if err != nil {
		return err
	}
	tasks, err := i.planner.newTasks(i.owner, drafts, habits)
	if err != nil {
		return err
	}
	expected, until := i.planner.Expected(), i.planner.until()
	var once *Once
	if key != nil {
		once = &Once{*key, func(tasks []task.Task) string { return encodeCounts(Count(tasks, expected)) }}
	}
	i.begun++
	n := i.begun
	// Before the next part is begun: one that is refused is the last.
	done, err := i.planner.begin(ctx, i.owner.ID, tasks, until, once, true)
	if err != nil {
		counts, err := answered(err)
		i.settle(n, counts, err)
		return i.failure(n)
	}
	i.parts.Go(func() error {
		if i.failure(n) == nil {
			counts, err := i.part(ctx, tasks, expected, until, once, done)
			i.settle(n, counts, err)
		} else {
			done()
		}
		return nil
	})
	return i.failure(n)
}

// answered returns the counts of a part that was stored before, as the error says, or the
// error if it says something else.
func answered(err error) (counts Counts, _ error) {
	if before, ok := errors.AsType[*store.AnsweredError](err); ok {
		err = json.Unmarshal([]byte(before.Answer), &counts)
	}
	return counts, err
}

// part stores and schedules one part. It calls done when that is stored, or could not be.
func (i *Import) part(ctx context.Context, tasks []task.Task, expected, until time.Time, once *Once, done func()) (counts Counts, err error) {
	e := effort{within: partTime, patient: true}
	if i.away.Load() || i.planner.now().After(i.until) {
		e.within = 0
	}
	pending := len(pendingOf(tasks, until))
	err = i.planner.addOnce(ctx, tasks, until, e, once, done)
	if err != nil {
		return answered(err)
	}
	if pending > 0 && len(pendingOf(tasks, until)) == pending {
		i.away.Store(true)
	}
	return Count(tasks, expected), nil
}

func (i *Import) settle(n int, counts Counts, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.counts.add(counts)
	} else if i.err == nil || n < i.failed {
		i.err, i.failed = err, n
	}
}

// failure is why the nth part is not to be carried out: it, or one before it, has failed.
func (i *Import) failure(n int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failed > n {
		return nil
	}
	return i.err
}

// Wait waits for all parts, and returns what the import has come to. The error is the
// first part's that could not be stored.
func (i *Import) Wait() (Counts, error) {
	_ = i.parts.Wait()
	i.release()
	return i.counts, i.err
}

func encodeCounts(c Counts) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // no value of the type fails
	}
	return string(text)
}
