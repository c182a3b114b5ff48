package reminder

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

const (
	// mostTogether is how many wake-up calls, or sends, share a transaction.
	mostTogether = 500
	// mostNeighbours is how many reminders are fired with them before anybody asks: in a
	// spike, those whose calls are on their way.
	mostNeighbours = 500
	// neighbourhood is for how long a reminder has been due at most to be fired as a
	// neighbour. What has waited for longer may be what can't be fired: it is tried by
	// its own call and by the sweep, so that it does not spoil others' transactions.
	neighbourhood = time.Minute
)

// firing is a wake-up call, and what came of it.
type firing struct {
	wake    task.Wake
	verdict task.Verdict
	reason  string        // why it is skipped
	ahead   time.Duration // how long it has to wait
	err     error         // nobody could judge it
	// planned is what is to be sent, unless the verdict is Deliver and it is not known.
	planned []store.OpenDelivery
	known   bool
	hinted  <-chan struct{} // closed when those who wait for what was fired are told; nil if nobody is
}

// awaitHint returns when those who wait for what was fired are told. Once a call is
// answered its function may be stopped.
func (c *firing) awaitHint() {
	if c.hinted != nil {
		<-c.hinted
	}
}

// fireTogether judges wake-up calls and fires what is due of them, and of their
// neighbours, in one transaction. If one of them is the trouble, each is judged on its
// own.
func (f *Firer) fireTogether(ctx context.Context, calls []*firing, neighbours int) {
	calls = slices.DeleteFunc(calls, f.fired.recall)
	if len(calls) == 0 {
		return
	}
	err := f.fire(ctx, calls, neighbours)
	alone := err == nil || fault.CodeOf(err) == fault.CodeUnavailable || len(calls) == 1 && neighbours == 0
	for _, c := range calls {
		if c.err = err; !alone {
			c.err = f.fire(ctx, []*firing{c}, 0)
		}
	}
}

// fire does so, all or nothing.
func (f *Firer) fire(ctx context.Context, calls []*firing, neighbours int) error {
	ids := make([]uuid.UUID, len(calls))
	for i, c := range calls {
		ids[i] = c.wake.ReminderID
	}
	var due []dueCall
	var fired []store.Firing
	err := f.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		since := f.now().Add(-neighbourhood)
		locked, err := tx.LockReminders(ctx, ids, store.Neighbours{After: since, Until: since.Add(neighbourhood), Most: neighbours})
		if err != nil {
			return err
		}
		if due = judge(calls, locked, f.now()); len(due) == 0 {
			return nil
		}
		if fired, err = f.firings(ctx, tx, due); err != nil {
			return err
		}
		return tx.FireReminders(ctx, fired)
	})
	if err != nil || len(due) == 0 {
		return err
	}

	now := f.now()
	hinted := make(chan struct{})
	var told []string
	for i, d := range due {
		for _, delivery := range fired[i].Deliveries {
			if delivery.State == store.Planned {
				d.planned = append(d.planned, store.OpenDelivery{ID: delivery.ID})
			}
		}
		if fired[i].InApp != nil {
			told = append(told, d.wake.UserID)
		}
		if d.hinted = hinted; d.neighbour {
			f.fired.remember(d.firing)
		}
		countFired(now.Sub(fired[i].Due), fired[i].Deliveries)
	}
	slices.Sort(told)
	go func() {
		defer close(hinted)
		f.inboxes.hint(ctx, slices.Compact(told))
	}()
	return nil
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
		c.verdict, c.reason, c.planned, c.known, c.hinted = task.Skip, string(fault.CodeNotFound), nil, false, nil
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
func (f *Firer) firings(ctx context.Context, tx store.Tx, due []dueCall) ([]store.Firing, error) {
	var ids []uuid.UUID
	for _, d := range due {
		ids = append(ids, d.TaskID)
	}
	tasks, err := tx.TasksToFire(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make([]store.Firing, len(due))
	for i, d := range due {
		t := tasks[d.TaskID]
		all[i] = store.Firing{ReminderID: d.ID, Due: *d.FireAt}
		if t.UpdatedAt.After(*d.FireAt) {
			all[i].Due = t.UpdatedAt // it was asked for late
		}
		all[i].Deliveries, all[i].InApp = f.plan(d.Reminder, t.Task, t.To)
	}
	return all, nil
}
