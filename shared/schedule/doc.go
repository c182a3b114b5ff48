// Package schedule plans the reminders of new and changed tasks, stores them, schedules their jobs
// in Dapr, and deletes leftover jobs. It schedules the jobs of agendas, too.
//
// It promises:
//
//   - A change that was answered is committed, whatever Dapr does.
//   - A reminder whose job Dapr has not confirmed is pending, and the sweep schedules it.
//   - A request waits for Dapr no longer than SCHEDULE_TIMEOUT, and an import no longer than 4 minutes.
package schedule
