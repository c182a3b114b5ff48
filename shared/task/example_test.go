package task_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/task"
)

// A task has one reminder for each offset. If the task is moved, its armed reminders get a new
// revision, so that a wake-up for the old instant means nothing any more.
func ExamplePlan() {
	now := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	show := func(reminders []task.Reminder) {
		for _, r := range reminders {
			fmt.Printf("%s before: %s at %s, revision %d\n", r.Before, r.State, r.FireAt.Format("15:04"), r.Revision)
		}
	}

	due := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	draft := task.Draft{Title: "Call Ada", DueDate: &due, Before: task.Exactly(0, 30*time.Minute)}
	made := task.Task{Draft: draft, Reminders: task.Plan(nil, draft, now, 24*time.Hour, uuid.New, task.Clock{})}
	show(made.Reminders)

	later := due.Add(time.Hour)
	draft.DueDate = &later
	show(task.Plan(&made, draft, now, 24*time.Hour, uuid.New, task.Clock{}))
	// Output:
	// 30m before: armed at 08:30, revision 1
	// 0s before: armed at 09:00, revision 1
	// 30m before: armed at 09:30, revision 2
	// 0s before: armed at 10:00, revision 2
}

// Of several instants that have passed already, the latest is told at once, and the others are missed.
func ExamplePlan_passed() {
	now := time.Date(2026, 12, 1, 9, 10, 0, 0, time.UTC)
	due := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	draft := task.Draft{Title: "Call Ada", DueDate: &due, Before: task.Exactly(0, 30*time.Minute)}
	for _, r := range task.Plan(nil, draft, now, 24*time.Hour, uuid.New, task.Clock{}) {
		fmt.Println(r.FireAt.Format("15:04"), r.State)
	}
	// Output:
	// 08:30 missed
	// 09:00 armed
}
