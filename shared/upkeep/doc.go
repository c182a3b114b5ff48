// Package upkeep makes the promises hold when something else has failed: the sweep finds in
// Postgres what should have happened and has not, the cleanup removes what nobody needs,
// and a reconciliation gives Dapr all jobs again.
//
// It promises that what is overdue is fired, and what is pending is scheduled, by the next
// sweep after whatever was in the way is gone. Each step has a share of the time, so that a
// part that hangs costs only its own step, and a step that was cut short says by what. Any
// number of sweeps and cleanups may run at one time.
package upkeep
