package fire

import (
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// bundled reports whether what a reminder sends on a channel waits for others to the same address, as
// its user has chosen. What its user wants to be told at once does not.
func bundled(r task.Reminder, t task.Task, to store.Recipient, c task.Channel) bool {
	switch {
	case t.Urgent, r.Kind == task.KindSnooze:
		return false
	default:
		return to.Bundle[c] > 0
	}
}
