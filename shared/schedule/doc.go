// Package schedule stores what users ask for and has Dapr wake Duebell up for it: it plans
// the reminders of new and changed tasks, gives their jobs to Dapr, and deletes jobs that
// mean nothing any more. Everything that speaks with Dapr about reminders' jobs is here.
//
// It promises that a task which was answered for is committed, whatever Dapr does; that a
// reminder of which Dapr has not confirmed the job is pending, so that the sweep
// schedules it; and that no request waits longer for Dapr than it is told to.
package schedule
