package schedule

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// background is the planner's work after requests were answered, because Dapr was slow or away. It
// is limited to mostBehind jobs, and ends soon.
type background struct {
	mu    sync.Mutex
	jobs  int // jobs that are still to be scheduled or deleted
	ended bool
	works sync.WaitGroup
	end   context.Context //nolint:containedctx // ends all of the work
	stop  context.CancelFunc
}

const (
	// mostBehind is how many jobs are tried in the background. Further ones are left to the sweep.
	mostBehind = 2000
	// finishTime is how long a process that stops continues with them.
	finishTime = 3 * time.Second
)

// take reserves room for up to n jobs, and returns for how many there was.
func (b *background) take(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n = min(n, mostBehind-b.jobs); b.ended || n <= 0 {
		return 0
	}
	b.jobs += n
	b.works.Add(1)
	return n
}

func (b *background) done(n int) {
	b.mu.Lock()
	b.jobs -= n
	b.mu.Unlock()
	b.works.Done()
}

// Finish waits for the work in the background, for some seconds at most, and ends the rest. Its
// reminders stay pending, and the sweep schedules them. The planner may be used afterwards, but
// without a background.
func (p *Planner) Finish(ctx context.Context) error {
	p.behind.mu.Lock()
	p.behind.ended = true
	p.behind.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.behind.works.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(finishTime):
	}
	p.behind.stop()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}

// goOn retries in the background what Dapr has not taken or deleted, the earliest first, as far as
// there is room. The rest is left to the sweep. refusal is Dapr's error.
func (p *Planner) goOn(ctx context.Context, pending []store.Due, left store.Leftovers, e effort, refusal error) {
	n := 0
	if !e.patient && p.rules.RetryFor > 0 {
		n = p.behind.take(len(pending) + len(left.Jobs))
	}
	slices.SortFunc(pending, func(a, b store.Due) int { return a.FireAt.Compare(b.FireAt) })
	schedule := min(n, len(pending))
	stayPending(ctx, pending[schedule:], refusal)
	stayWithDapr(ctx, len(left.Jobs)-(n-schedule), refusal)
	if n == 0 {
		return
	}
	pending, left.Jobs = pending[:schedule], left.Jobs[:n-schedule]
	go func() {
		defer p.behind.done(n)
		p.tryOn(context.WithoutCancel(ctx), pending, left)
	}()
}

// tryOn schedules pending reminders and deletes leftover jobs, until all is done or
// SCHEDULE_RETRY_FOR is over. Reminders may change meanwhile. Then confirming finds their jobs to
// be stale, and they are deleted.
func (p *Planner) tryOn(ctx context.Context, pending []store.Due, left store.Leftovers) {
	ctx, cancel := context.WithTimeout(ctx, p.rules.RetryFor)
	defer cancel()
	defer context.AfterFunc(p.behind.end, cancel)()
	var calls sync.WaitGroup
	calls.Go(func() {
		var refusal error
		again(ctx, p.rules.RetryFor, func() (anywhere, all bool) {
			asked := p.now()
			var taken []task.Revision
			taken, pending, refusal = p.jobs.schedule(ctx, pending)
			p.record(ctx, taken, asked)
			return len(taken) > 0, len(pending) == 0
		})
		stayPending(ctx, pending, refusal)
	})
	var refusal error
	again(ctx, p.rules.RetryFor, func() (anywhere, all bool) {
		before := len(left.Jobs)
		left, refusal = p.deleteJobs(ctx, left)
		return len(left.Jobs) < before, len(left.Jobs) == 0
	})
	stayWithDapr(ctx, len(left.Jobs), refusal)
	calls.Wait()
}
