// Package upkeep repairs what has failed elsewhere. The sweep finds in Postgres what should have
// happened and has not. The cleanup deletes what nobody needs any more. A reconciliation schedules
// all jobs in Dapr again.
//
// It promises:
//
//   - By the next sweep after a fault is over, overdue reminders are fired and pending ones are
//     scheduled.
//   - Each step has its own share of the time, so a step that hangs delays no other. A step that was
//     cut short says what it waited for.
//
// Any number of sweeps and cleanups may run at the same time.
package upkeep
