package fire

import (
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// bundled reports whether a reminder's delivery on a channel goes into a bundle, as its user has
// chosen. Urgent tasks and snoozes are never bundled.
func bundled(r task.Reminder, t task.Task, to store.Recipient, c task.Channel) bool {
	switch {
	case t.Urgent, r.Kind == task.KindSnooze:
		return false
	default:
		return to.Bundle[c] > 0
	}
}
