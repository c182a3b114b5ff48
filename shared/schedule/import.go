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

// Counts is the result of storing many tasks.
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

// Count counts tasks, and their reminders that are scheduled or pending. expected is
// [Planner.Expected].
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

// Import stores many tasks of one user in parts. Each part is one transaction. Parts are stored and
// scheduled in the background, while the caller reads the next tasks.
type Import struct {
	planner *Planner
	owner   store.User
	release func()         // gives back its place
	until   time.Time      // when it stops asking Dapr
	begun   int            // how many parts were begun
	parts   errgroup.Group // the parts in the background
	away    atomic.Bool    // Dapr is away: the rest stays pending

	mu     sync.Mutex
	counts Counts
	err    error // of the earliest part that failed
	failed int   // which part that was
}

const (
	// partsAtOnce is how many parts are in the background at a time. It also limits the memory of
	// an import.
	partsAtOnce = 3
	// partTime is how long the reminders of one part may take to schedule.
	partTime = 30 * time.Second
	// importTime is how long an import schedules reminders at all. A request must be answered
	// within 10 minutes, also if Dapr is slow. Further reminders stay pending.
	importTime = 4 * time.Minute
)

// Import begins an import. The error says that too many are running. The caller must call Wait in
// the end.
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

// Add begins to store valid drafts as new tasks, all or none. If key is set and a part with it was
// stored before, nothing is stored, and the part counts as it did then. The error is that of an
// earlier part, or says which ceiling this part would exceed. In either case this part is not
// begun, and earlier ones go on. Add is not safe for concurrent use.
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
	// The ceilings are checked before the part begins in the background, so that a refused part is
	// the last.
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

// answered returns the counts of a part that was stored before, if err says that it was. It returns
// any other error as it is.
func answered(err error) (counts Counts, _ error) {
	if before, ok := errors.AsType[*store.AnsweredError](err); ok {
		err = json.Unmarshal([]byte(before.Answer), &counts)
	}
	return counts, err
}

// part stores and schedules one part. It calls done when the part is stored or given up.
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

// failure returns the error of part n or of an earlier one.
func (i *Import) failure(n int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failed > n {
		return nil
	}
	return i.err
}

// Wait waits for all parts, and returns the result of the import. The error is that of the first
// part that could not be stored.
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
