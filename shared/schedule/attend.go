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

// Which chooses an occurrence of a task; nil if the task does not recur. It gets the task as it is
// now by its user's clock, locked. If it returns an error, nothing is changed. It may be called
// more than once.
type Which func(task.Task) (*wallclock.Time, error)

// CurrentOccurrence is a [Which] that chooses the current occurrence.
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

// Acknowledge marks an occurrence of a user's task as seen: it cancels its repetitions and its
// unsent deliveries on all channels, and marks its notifications. A message that is being sent may
// still arrive. Reminders at offsets that are still to come fire all the same, and so does a
// snooze. Calling it again changes nothing. It returns the task as it is then; its version stays.
func (p *Planner) Acknowledge(ctx context.Context, userID string, id uuid.UUID, which Which) (task.Task, error) {
	return p.attend(ctx, userID, id, uuid.Nil, which, nil)
}

// Snooze acknowledges an occurrence, and tells of it once more when the snooze ends. A second
// snooze of it replaces the first. The error is invalid if the snooze ends in the past or too late.
// It is a conflict if the task is completed or has no due date, or if the occurrence was completed
// or skipped.
func (p *Planner) Snooze(ctx context.Context, userID string, id uuid.UUID, which Which, s task.Snooze) (task.Task, error) {
	return p.attend(ctx, userID, id, uuid.Nil, which, &s)
}

// AcknowledgeNotification does as Acknowledge for the occurrence of a user's notification. If the
// notification's task is gone, or it never had one, it only marks the notification.
func (p *Planner) AcknowledgeNotification(ctx context.Context, userID string, id uuid.UUID) (store.Received, error) {
	return p.attendNotification(ctx, userID, id, nil)
}

// SnoozeNotification does as Snooze for the occurrence of a user's notification. The error is a
// conflict, too, if the notification is about no task.
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

// toldOf returns the occurrence of a notification in the task as it is now. If that task has
// another series by now, it is the current one.
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
		_ = before.Derive(before.Clock) // without a zone it stays as stored
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

// snooze adds the reminder that tells of an occurrence when a snooze ends.
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

// hintTimeout bounds a hint. Streams look by themselves every few seconds, so waiting longer is of
// no use.
const hintTimeout = 500 * time.Millisecond

// hint tells the user's streams that there is a change, even if the caller has hung up.
func (p *Planner) hint(ctx context.Context, userID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hintTimeout)
	defer cancel()
	if err := p.store.Hint(ctx, []string{userID}); err != nil {
		slog.DebugContext(ctx, "a notice was lost", "error", err)
	}
}
