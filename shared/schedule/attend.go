package schedule

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// Which says which occurrence of a task is meant; nil if the task does not recur. It gets the task as
// it is now by its user's clock, locked. Its error leaves all as it is. It may be called more than once.
type Which func(task.Task) (*wallclock.Time, error)

// CurrentOccurrence is [Which] for the occurrence that the task is at.
func (p *Planner) CurrentOccurrence(t task.Task) (*wallclock.Time, error) {
	if !t.Recurs() {
		return nil, nil
	}
	current, _ := t.Current(t.Clock, p.now())
	if current == nil {
		return nil, fault.Conflict("the task has no occurrence that is open")
	}
	return &current.Local, nil
}

// Acknowledge stops, on all channels, the repetitions of an occurrence of a user's task and what is unsent
// of it, and marks its notifications. What began to be sent may still arrive; offsets whose instants are to
// come still fire, and so does a snooze. To do it again changes nothing. The task is returned as it is then,
// with its version as it was.
func (p *Planner) Acknowledge(ctx context.Context, userID string, id uuid.UUID, which Which) (task.Task, error) {
	return p.attend(ctx, userID, id, uuid.Nil, which, nil)
}

// Snooze does as Acknowledge, and has the occurrence told once more when the snooze ends. A second snooze
// takes the first one's place. The error is invalid if the snooze ends in the past or too late, and a conflict if
// the task is completed or has no due date, or the occurrence was completed or skipped.
func (p *Planner) Snooze(ctx context.Context, userID string, id uuid.UUID, which Which, s task.Snooze) (task.Task, error) {
	return p.attend(ctx, userID, id, uuid.Nil, which, &s)
}

// AcknowledgeNotification does as Acknowledge for the occurrence that a user's notification tells of. One
// that is about no task, or one that is gone, is only marked.
func (p *Planner) AcknowledgeNotification(ctx context.Context, userID string, id uuid.UUID) (store.Received, error) {
	return p.attendNotification(ctx, userID, id, nil)
}

// SnoozeNotification does as Snooze for the occurrence that a user's notification tells of. The error is
// also a conflict if the notification is about no task.
func (p *Planner) SnoozeNotification(ctx context.Context, userID string, id uuid.UUID, s task.Snooze) (store.Received, error) {
	return p.attendNotification(ctx, userID, id, &s)
}

func (p *Planner) attendNotification(ctx context.Context, userID string, id uuid.UUID, s *task.Snooze) (n store.Received, err error) {
	read := func() error {
		return p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
			n, err = tx.GetNotification(ctx, userID, id)
			return err
		})
	}
	if err := read(); err != nil {
		return n, err
	}
	gone := n.TaskID == uuid.Nil
	if !gone {
		_, err = p.attend(ctx, userID, n.TaskID, id, func(t task.Task) (*wallclock.Time, error) { return p.toldOf(t, n) }, s)
		gone = store.IsGone(err)
	}
	switch {
	case gone && s != nil:
		return n, fault.Conflict("the notification is about no task, or one that was deleted, so there is nothing to snooze")
	case gone:
		err = p.acknowledgeAlone(ctx, userID, id)
	}
	if err != nil {
		return n, err
	}
	return n, read()
}

// toldOf is the occurrence that a notification tells of, in the task as it is now: the current one if
// it has become another since.
func (p *Planner) toldOf(t task.Task, n store.Received) (*wallclock.Time, error) {
	if t.Recurs() && n.Occurrence != "" {
		if local, err := t.ParseOccurrence(n.Occurrence); err == nil {
			return &local, nil
		}
	}
	return p.CurrentOccurrence(t)
}

func (p *Planner) acknowledgeAlone(ctx context.Context, userID string, id uuid.UUID) error {
	changed := false
	err := p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		changed, err = tx.AttendAlone(ctx, userID, id)
		return err
	})
	if err == nil && changed {
		p.hint(ctx, userID)
	}
	return err
}

// attend acknowledges an occurrence, and snoozes it if s is not nil.
func (p *Planner) attend(ctx context.Context, userID string, id, notification uuid.UUID, which Which, s *task.Snooze) (after task.Task, err error) {
	var left store.Leftovers
	var changed bool
	until := p.until()
	done := func() {}
	defer func() { done() }()
	err = p.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		done()
		done = func() {}
		before, habits, err := tx.LockTask(ctx, userID, id)
		if err != nil {
			return err
		}
		before.Clock = habits.Clock
		before.Clock.Zones = p.zones
		_ = before.Derive(before.Clock) // without a zone it stays what it was
		of, err := which(before)
		if err != nil {
			return err
		}
		after = task.Acknowledge(before, of)
		if s != nil {
			if after, err = p.snooze(ctx, tx, before, of, *s); err != nil {
				return err
			}
			if done, err = p.admit(ctx, userID, ofChange(before, after, until), until, tx.Usage, 0); err != nil {
				return err
			}
		}
		left, changed, err = tx.Attend(ctx, before, after, store.Attention{Occurrence: of, Notification: notification, Snoozed: s != nil}, until)
		return err
	})
	if err != nil {
		return task.Task{}, err
	}
	if changed {
		p.hint(ctx, userID)
	}
	p.tellDapr(ctx, []task.Task{after}, until, left, p.request())
	after.DropRemoved()
	return after, nil
}

// snooze has an occurrence told once more when a snooze ends.
func (p *Planner) snooze(ctx context.Context, tx store.Tx, t task.Task, of *wallclock.Time, s task.Snooze) (task.Task, error) {
	if of != nil {
		settled, err := tx.SettledAs(ctx, t.ID, t.Progress.Series, *of)
		if err != nil {
			return t, err
		}
		if settled == task.Completed || settled == task.Skipped {
			return t, fault.Conflict("the occurrence was %s before, so there is nothing to snooze", settled)
		}
	}
	at, err := s.At(t, p.now())
	if err != nil {
		return t, err
	}
	return task.SnoozeUntil(t, of, at, p.newID)
}

// hintTimeout bounds a hint, which is not worth more: streams look by themselves every few seconds.
const hintTimeout = 500 * time.Millisecond

// hint tells the user's streams that there is a change, even if the caller has gone.
func (p *Planner) hint(ctx context.Context, userID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hintTimeout)
	defer cancel()
	if err := p.store.Hint(ctx, []string{userID}); err != nil {
		slog.DebugContext(ctx, "a notice was lost", "error", err)
	}
}
