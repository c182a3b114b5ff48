package reminder

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/together"
)

const (
	// mostTogether is how many wake-up calls, or sends, share a transaction.
	mostTogether = 500
	// betweenSends is how long there is between two transactions that lease what is to be
	// sent, or record what was: a send itself takes longer.
	betweenSends = 10 * time.Millisecond
	// mostNeighbours is how many reminders are fired with them before anybody asks: in a
	// spike, those whose calls are on their way.
	mostNeighbours = 500
	// neighbourhood is for how long a reminder has been due at most to be fired as a
	// neighbour. What has waited for longer may be what can't be fired: it is tried by
	// its own call and by the sweep, so that it does not spoil others' transactions.
	neighbourhood = time.Minute
	// spike is for how long calls wait while more and more neighbours are fired. Sends that
	// come after it must still end in the time that a process has to stop.
	spike = 500 * time.Millisecond
)

// firing is a wake-up call, and what came of it.
type firing struct {
	wake    task.Wake
	verdict task.Verdict
	reason  string        // why it is skipped
	ahead   time.Duration // how long it has to wait
	err     error         // nobody could judge it
	open    []store.OpenDelivery
	hinted  <-chan struct{} // closed when those who wait for what was fired are told; nil if nobody is
}

// awaitHint returns when those who wait for what was fired are told. Once a call is
// answered its function may be stopped.
func (c *firing) awaitHint() {
	if c.hinted != nil {
		<-c.hinted
	}
}

// fireTogether judges wake-up calls, and fires what is due of them and of their
// neighbours. While there are more of these than one transaction takes, it goes on: in a
// spike, everybody's inbox comes before anybody's e-mail.
func (f *Firer) fireTogether(ctx context.Context, calls []*firing) {
	calls = slices.DeleteFunc(calls, f.fired.recall)
	if len(calls) == 0 {
		return
	}
	n, err := f.fire(ctx, calls, mostNeighbours)
	if err != nil && fault.CodeOf(err) != fault.CodeUnavailable {
		// One of them is the trouble, or a neighbour: each on its own.
		for _, c := range calls {
			_, _ = f.fire(ctx, []*firing{c}, 0) // its error is the call's
		}
		return
	}
	for end := time.Now().Add(spike); err == nil && n == mostNeighbours && time.Now().Before(end); {
		n, err = f.fire(ctx, nil, mostNeighbours)
	}
}

// fire judges and fires in one transaction, all or nothing. Its error is that of each
// call, too. It returns how many neighbours it has fired.
func (f *Firer) fire(ctx context.Context, calls []*firing, neighbours int) (unasked int, err error) {
	ids := make([]uuid.UUID, len(calls))
	for i, c := range calls {
		ids[i] = c.wake.ReminderID
	}
	began := f.now()
	besides := store.Neighbours{After: began.Add(-neighbourhood), Until: began, Most: neighbours}
	var due []dueCall
	var fired []store.Firing
	err = together.Caught(func() error {
		return f.store.Fire(ctx, ids, besides, func(locked []store.LockedReminder) (_ []store.Firing, err error) {
			due = judge(calls, locked, f.now())
			fired, err = f.firings(due)
			return fired, err
		})
	})
	if err != nil {
		for _, c := range calls {
			c.err = err
		}
		return 0, err
	}
	if len(due) > 0 {
		unasked = f.announce(ctx, due, fired)
	}
	f.findOpen(ctx, calls) // at last: one may be called twice
	return unasked, nil
}

// announce says of what was fired what is to be sent, and tells those who wait for it. It
// returns how many nobody has asked for.
func (f *Firer) announce(ctx context.Context, due []dueCall, fired []store.Firing) (unasked int) {
	now := f.now()
	hinted := make(chan struct{})
	var told []string
	for i, d := range due {
		for _, delivery := range fired[i].Deliveries {
			if delivery.State == store.Planned {
				d.open = append(d.open, store.OpenDelivery{ID: delivery.ID})
			}
		}
		if fired[i].InApp != nil {
			told = append(told, d.wake.UserID)
		}
		if d.hinted = hinted; d.neighbour {
			unasked++
			f.fired.remember(d.firing)
		}
		countFired(now.Sub(fired[i].Due), fired[i].Deliveries)
	}
	slices.Sort(told)
	go func() {
		defer close(hinted)
		f.inboxes.hint(ctx, slices.Compact(told))
	}()
	return unasked
}

// findOpen finds what is still to be sent of those that have fired already.
func (f *Firer) findOpen(ctx context.Context, calls []*firing) {
	var ids []uuid.UUID
	for _, c := range calls {
		if c.verdict == task.Deliver {
			ids = append(ids, c.wake.ReminderID)
		}
	}
	if len(ids) == 0 {
		return
	}
	open, err := f.store.OpenDeliveries(ctx, ids)
	for _, c := range calls {
		if c.verdict == task.Deliver {
			c.open, c.err = open[c.wake.ReminderID], err
		}
	}
}

// dueCall is a reminder to be fired, locked.
type dueCall struct {
	*firing
	store.LockedReminder
	neighbour bool // nobody has asked for it
}

// judge gives each call its verdict and returns those that are due, and the neighbours
// that are, the earliest first.
func judge(calls []*firing, locked []store.LockedReminder, now time.Time) (due []dueCall) {
	asked := map[uuid.UUID][]*firing{}
	for _, c := range calls {
		*c = firing{wake: c.wake, verdict: task.Skip, reason: string(fault.CodeNotFound)}
		asked[c.wake.ReminderID] = append(asked[c.wake.ReminderID], c)
	}
	for _, r := range locked {
		reminderCalls, ok := asked[r.ID]
		if !ok {
			neighbour := &firing{wake: task.Wake{TaskID: r.TaskID, UserID: r.UserID, ReminderID: r.ID, Revision: r.Revision}}
			reminderCalls = []*firing{neighbour}
		}
		for _, c := range reminderCalls {
			if c.wake.TaskID != r.TaskID || c.wake.UserID != r.UserID {
				continue // as if it didn't exist
			}
			c.verdict, c.reason = task.Judge(r.Reminder, c.wake.Revision, now)
			switch c.verdict {
			case task.Fire:
				due = append(due, dueCall{c, r, !ok})
				r.State = task.Fired // for those that ask for the same
			case task.Wait:
				c.ahead = r.FireAt.Sub(now)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b dueCall) int { return a.FireAt.Compare(*b.FireAt) })
	return due
}

// firings says what firing each sets off.
func (f *Firer) firings(due []dueCall) ([]store.Firing, error) {
	all := make([]store.Firing, len(due))
	for i, d := range due {
		if d.Of == nil {
			return nil, fmt.Errorf("reminder %s has no task", d.ID)
		}
		all[i] = store.Firing{ReminderID: d.ID, Due: *d.FireAt}
		if d.Of.UpdatedAt.After(*d.FireAt) {
			all[i].Due = d.Of.UpdatedAt // it was asked for late
		}
		all[i].Deliveries, all[i].InApp = f.plan(d.Reminder, d.Of.Task, d.Of.To)
	}
	return all, nil
}
