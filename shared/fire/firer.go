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

// Channels names the external channels that are set up, and each one's providers: the
// deliveries of others are planned as failed.
type Channels map[task.Channel][]string

// Firer fires reminders. It is safe for concurrent use, also by many processes on one
// reminder.
//
// Firing is one transaction: the reminder is marked, its deliveries are planned, and the
// in-app one is written; one of a recurring task is armed for its next occurrence, and one that is to be
// repeated has its repetition armed. Callbacks that come at the same time share a transaction, which
// also fires what else is due. Those who wait for their inbox are told after the commit,
// and so is the sender of the other channels.
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

	agendas     sync.Mutex  // held by who fires an agenda
	moreAgendas atomic.Bool // a callback for another one came meanwhile
}

// New makes a Firer. wake is called after each commit that has left something to be sent;
// it must return at once. keys are those of the list of suppressed addresses. mover moves what was derived
// from an older clock, before it would be fired by that. now is the Firer's clock, time.Now outside of tests.
func New(s *store.Store, channels Channels, keys suppress.Keys, mover *schedule.Mover, wake func(), now func() time.Time) *Firer {
	f := &Firer{store: s, channels: channels, keys: keys, mover: mover, now: now, wake: wake, inboxes: newHinter(s.Hint)}
	f.fires.Most = mostTogether
	f.fires.Call = func(ctx context.Context, calls []*call) error {
		f.fireTogether(ctx, calls)
		return nil
	}
	return f
}

// Arms has the Firer call arm after each commit that has armed reminders for their next occurrence or
// repetition, before the Firer's first use. arm must return at once, and may do nothing: they are pending,
// and the sweep schedules them.
func (f *Firer) Arms(arm func([]store.Due)) { f.arm = arm }

// Status is how a callback ended.
type Status string

// The statuses.
const (
	Success    Status = "success"     // the reminder has fired
	Skipped    Status = "skipped"     // nothing was to be done
	InProgress Status = "in_progress" // it had fired before, and is still being sent
)

// Outcome is how a callback ended, and why if it was skipped.
type Outcome struct {
	Status Status
	Reason string
}

// ReasonDelivered says that a reminder has fired and all of it is sent.
const ReasonDelivered = "already_delivered"

// Fire does what a callback for a revision asks for. A callback that comes up to
// task.EarlyTolerance early waits. After an error a repeated callback may succeed.
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
		if c.alone { // its row kept the others waiting, or it could not be fired with them
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
		if c.verdict == task.Wait { // a little early, by this clock
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

// mostMoves is how often a reminder is moved in one callback: its user's clock may change again meanwhile.
const mostMoves = 3

// FireTask does the same for every reminder of a user's task that is due, or has
// something unsent.
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

// FireOverdue fires a revision whose callback has not come, in a transaction of its own.
// fired is false if there was nothing to fire: somebody was faster.
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
