package fire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/together"
	"github.com/duebell/duebell/shared/trace"
)

// Channels are the configured external channels with the names of their providers. Deliveries on
// other channels are planned as failed.
type Channels map[task.Channel][]string

// Firer fires reminders. It is safe for concurrent use, also by several processes for one reminder.
//
// Firing is one transaction. It marks the reminder as fired, plans its deliveries, and writes the
// in-app notification. It arms a reminder of a recurring task for its next occurrence, and the
// repetition of one that is repeated. Callbacks that come at the same time share a transaction,
// which also fires other due reminders. After the commit the Firer hints to the open inboxes, and
// wakes the sender.
type Firer struct {
	store    *store.Store
	channels Channels
	keys     suppress.Keys
	mover    *schedule.Mover
	now      func() time.Time
	wake     func()
	arm      func([]store.Due)
	inboxes  *hinter
	fires    together.Group[*call]
	turns    turns

	agendas     sync.Mutex  // locked while an agenda is fired
	moreAgendas atomic.Bool // a callback for another agenda came meanwhile
}

// New returns a Firer. It calls wake after each commit with deliveries to send; wake must return at
// once. keys are those of suppressions. mover moves tasks that were derived from an older clock,
// before they fire. now is the clock, time.Now outside of tests.
func New(s *store.Store, channels Channels, keys suppress.Keys, mover *schedule.Mover, wake func(), now func() time.Time) *Firer {
	f := &Firer{store: s, channels: channels, keys: keys, mover: mover, now: now, wake: wake, inboxes: newHinter(s.Hint)}
	f.fires.Most = mostTogether
	f.fires.Call = func(ctx context.Context, calls []*call) error {
		f.fireTogether(ctx, calls)
		return nil
	}
	return f
}

// Arms sets the function that is called after each commit with the reminders that it armed for
// their next occurrence or repetition. Call Arms before the first use of the Firer. arm must return
// at once. It may do nothing: the reminders are pending, and the sweep schedules them.
func (f *Firer) Arms(arm func([]store.Due)) { f.arm = arm }

// Status is how a callback ended.
type Status string

// The statuses.
const (
	Success    Status = "success"     // the reminder has fired
	Skipped    Status = "skipped"     // nothing was to be done
	InProgress Status = "in_progress" // it had fired before, and has unsent deliveries
)

// Outcome is how a callback ended. Reason is set if it was skipped.
type Outcome struct {
	Status Status
	Reason string
}

// ReasonDelivered says that the reminder has fired and nothing is left to be sent.
const ReasonDelivered = "already_delivered"

// Fire handles a callback for a revision. If it comes early, by up to task.EarlyTolerance, Fire
// waits. After an error, a repeated callback may succeed.
func (f *Firer) Fire(ctx context.Context, r task.Revision) (outcome Outcome, err error) {
	defer func() {
		if err == nil && outcome.Status == Skipped {
			metrics.Skipped(outcome.Reason)
		}
	}()
	for moved := 0; ; {
		c := &call{revision: r, trace: trace.Parent(ctx)}
		if err := f.fires.Do(ctx, c); err != nil {
			return Outcome{}, err
		}
		if c.alone { // its row delayed the others, or it could not be fired with them
			f.fireInTurn(ctx, c)
		}
		if c.err != nil {
			return Outcome{}, c.err
		}
		if c.stale {
			if moved++; moved > mostMoves {
				return Outcome{}, fmt.Errorf("reminder %s does not follow its user's clock", r.ReminderID)
			}
			if _, err := f.mover.Move(ctx, r.UserID, r.TaskID); err != nil {
				return Outcome{}, err
			}
			continue
		}
		if c.verdict == task.Wait { // the callback is early by this clock
			select {
			case <-time.After(c.ahead):
				continue
			case <-ctx.Done():
				return Outcome{}, ctx.Err()
			}
		}
		c.awaitHint()
		return c.outcome(), nil
	}
}

// mostMoves is how often one callback moves a reminder: its user's clock may change again
// meanwhile.
const mostMoves = 3

// FireTask handles a callback for each reminder of a user's task that is due or has unsent
// deliveries.
func (f *Firer) FireTask(ctx context.Context, userID string, taskID uuid.UUID) (Outcome, error) {
	due, err := f.store.DueReminders(ctx, userID, taskID)
	if err != nil {
		return Outcome{}, err
	}
	total := Outcome{Skipped, "nothing_due"}
	if len(due) == 0 {
		metrics.Skipped(total.Reason)
	}
	var failed error
	for _, r := range due {
		o, err := f.Fire(ctx, r)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case o.Status == Success, o.Status == InProgress && total.Status == Skipped:
			total = o
		}
	}
	return total, failed
}

// FireOverdue fires a revision whose callback has not come, in a transaction of its own. fired is
// false if nothing was left to fire, because a callback came first.
func (f *Firer) FireOverdue(ctx context.Context, r task.Revision) (fired bool, err error) {
	c := &call{revision: r}
	f.fireAlone(ctx, c)
	if c.stale {
		if _, err := f.mover.Move(ctx, r.UserID, r.TaskID); err != nil {
			return false, err
		}
		f.fireAlone(ctx, c)
	}
	c.awaitHint()
	return c.err == nil && c.verdict == task.Fire, c.err
}
