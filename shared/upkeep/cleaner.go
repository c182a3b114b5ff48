package upkeep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Inventory is the part of Dapr that a cleanup uses. Package jobs implements it.
type Inventory interface {
	Dapr
	// List returns the names of all jobs.
	List(ctx context.Context) ([]string, error)
	// Remove deletes a job by its name. One that does not exist is no error.
	Remove(ctx context.Context, name string) error
}

// CleanupRules are how long rows are kept, and how much one cleanup does.
type CleanupRules struct {
	DeletedTasks      time.Duration `env:"KEEP_DELETED_TASKS" envDefault:"720h" help:"how long a deleted task is kept, with its reminders and deliveries"`
	History           time.Duration `env:"KEEP_HISTORY" envDefault:"2160h" help:"how long deliveries are kept after they were sent, failed or cancelled, and reminders that a task no longer has"`
	ReadNotifications time.Duration `env:"KEEP_READ_NOTIFICATIONS" envDefault:"2160h" help:"how long a notification is kept after it was read or archived; the latest one of each user is always kept"`
	DeadLetters       time.Duration `env:"KEEP_DEAD_LETTERS" envDefault:"720h" help:"how long a dead letter is kept after it was resolved or discarded; it is deleted earlier if its delivery is"`
	AuditEvents       time.Duration `env:"KEEP_AUDIT_EVENTS" envDefault:"8760h" help:"how long these are kept: events and acts in the audit log, suppressions after they were lifted, and the ids of events that analytics has counted. It must be longer than the broker keeps events"`
	IdempotencyKeys   time.Duration `env:"KEEP_IDEMPOTENCY_KEYS" envDefault:"24h" help:"how long an Idempotency-Key is stored; it is valid for 24h"`

	Horizon task.Horizon

	Budget     time.Duration `env:"CLEANUP_BUDGET" envDefault:"4m" help:"how long one cleanup may take; each step gets its share of what is left"`
	Rows       int           `env:"CLEANUP_ROWS" envDefault:"200000" help:"how many rows or jobs one step handles at most; the next cleanup continues"`
	Concurrent int           `env:"CLEANUP_CONCURRENCY" envDefault:"16" help:"how many calls to Dapr the cleanup makes at a time"`
}

// Validate reports what is wrong with the configuration.
func (r CleanupRules) Validate() error {
	var problems []error
	for name, keep := range map[string]time.Duration{
		"KEEP_DELETED_TASKS": r.DeletedTasks, "KEEP_HISTORY": r.History, "KEEP_READ_NOTIFICATIONS": r.ReadNotifications, "KEEP_DEAD_LETTERS": r.DeadLetters,
	} {
		if keep < time.Hour {
			problems = append(problems, fmt.Errorf("%s must be at least 1h", name))
		}
	}
	if r.AuditEvents < leastAudit {
		problems = append(problems, fmt.Errorf("KEEP_AUDIT_EVENTS must be at least %v: an event that comes again after that is taken for a new one", leastAudit))
	}
	if r.IdempotencyKeys < store.KeysKept {
		problems = append(problems, fmt.Errorf("KEEP_IDEMPOTENCY_KEYS must be at least %v: for that long they count", store.KeysKept))
	}
	if r.Budget < time.Second {
		problems = append(problems, errors.New("CLEANUP_BUDGET must be at least 1s"))
	}
	if r.Rows < 1 {
		problems = append(problems, errors.New("CLEANUP_ROWS must be at least 1"))
	}
	if r.Concurrent < 1 || r.Concurrent > 1000 {
		problems = append(problems, errors.New("CLEANUP_CONCURRENCY must be between 1 and 1000"))
	}
	return errors.Join(problems...)
}

// Cleaner deletes rows and jobs that nobody needs any more, and checks that confirmed jobs exist.
// It is safe for concurrent use, also by several processes.
type Cleaner struct {
	store *store.Store
	dapr  Inventory
	jobs  schedule.Jobs
	now   func() time.Time
	rules CleanupRules
}

// NewCleaner returns a Cleaner. The caller closes s. now is the clock, time.Now outside of tests.
func NewCleaner(s *store.Store, dapr Inventory, now func() time.Time, rules CleanupRules) *Cleaner {
	return &Cleaner{store: s, dapr: dapr, jobs: schedule.NewJobs(s, dapr, now, rules.Concurrent), now: now, rules: rules}
}

// Report is what a cleanup has done, or what a dry run would do.
type Report struct {
	DryRun bool `json:"dry_run"`
	// Complete says that nothing is left to do.
	Complete    bool         `json:"complete"`
	TookSeconds float64      `json:"took_seconds"`
	Steps       []StepReport `json:"steps"`
}

// Failed counts the steps that failed.
func (r Report) Failed() int { return failed(r.Steps) }

// Away returns an unavailable fault if every step failed before it did anything.
func (r Report) Away() error {
	if !nothingDone(r.Steps) {
		return nil
	}
	return fault.Unavailable(errors.New(r.Steps[0].Error), "every step of the cleanup has failed; the log says why")
}

// steps are what a cleanup does, in this order.
func (c *cleanup) steps() []step {
	keep := c.rules
	return []step{
		{"leftover_jobs", "jobs that a change has left over: deleted", 1, c.leftoverJobs},
		{"unknown_jobs", "jobs that no reminder knows: deleted", 1, c.unknownJobs},
		{"stale_sentinels", "sentinel jobs of earlier days: deleted", 1, c.staleSentinels},
		{"vanished_jobs", "reminders of the next 48 hours whose jobs Dapr has lost: scheduled again", 1, c.vanishedJobs},
		// Rows that belong to others are deleted before these, so that a dry run counts each row in
		// the same step.
		{"dead_letters", "dead letters settled long ago: removed", 1, c.purge(store.SettledDeadLetters, keep.DeadLetters)},
		{"occurrences", "what became of occurrences long ago: forgotten", 1, c.purge(store.Occurrences, keep.History)},
		{"finished_deliveries", "deliveries finished long ago: removed", 1, c.purge(store.FinishedDeliveries, keep.History)},
		{"settled_agendas", "agendas settled long ago: removed", 1, c.purge(store.SettledAgendas, keep.History)},
		{"removed_reminders", "reminders that their tasks have not had for long: removed", 1, c.purge(store.RemovedReminders, keep.History)},
		{"deleted_tasks", "tasks deleted long ago: removed with all that is theirs", 1, c.purge(store.DeletedTasks, keep.DeletedTasks)},
		{"read_notifications", "notifications read or archived long ago: removed", 1, c.purge(store.ReadNotifications, keep.ReadNotifications)},
		{"audit_events", "events heard of long ago: removed from the audit log", 1, c.purge(store.AuditEvents, keep.AuditEvents)},
		{"audit_acts", "requests made for others long ago: removed from the audit log", 1, c.purge(store.AuditActs, keep.AuditEvents)},
		{"lifted_suppressions", "suppressions lifted long ago: removed", 1, c.purge(store.LiftedSuppressions, keep.AuditEvents)},
		{"report_events", "that providers reported of deliveries long ago: forgotten", 1, c.purge(store.ReportEvents, keep.History)},
		{"counted_events", "that events were counted long ago: forgotten, and the counts stay", 1, c.purge(store.CountedEvents, keep.AuditEvents)},
		{"idempotency_keys", "idempotency keys that have expired: removed", 1, c.purge(store.IdempotencyKeys, keep.IdempotencyKeys)},
		{"verifications", "what owners of addresses were asked long ago: removed", 1, c.purge(store.Verifications, keep.History)},
		{"verification_messages", "messages that no limit counts any more: removed", 1, c.purge(store.VerificationMessages, store.VerificationMessagesKept)},
		{"quotas", "counts of messages on days that are over: forgotten", 1, c.purge(store.Quotas, store.QuotasKept)},
		{"inbox_tickets", "inbox tickets that have expired: removed", 1, c.purge(store.InboxTickets, 0)},
	}
}

const (
	// leastAudit is how long brokers keep events by default.
	leastAudit = 7 * 24 * time.Hour

	batchTime = 15 * time.Second // for one batch of rows
	listTime  = 30 * time.Second // for the list of all jobs
	lookAhead = 48 * time.Hour   // longer than the time to the next cleanup
	// sentinelAge is how old an unused sentinel job must be to be deleted. A younger one may be
	// about to become the current one.
	sentinelAge = time.Hour
	// unstoredAge is how old a reminder's id must be for its job to be deleted if the reminder is
	// not stored. A younger one may be about to be stored.
	unstoredAge = 2 * time.Hour
)

// cleanup is one run.
type cleanup struct {
	*Cleaner
	dryRun bool
	// names are the names of all jobs. They are read once.
	names []string
	// unlisted is the error of reading them.
	unlisted error
	asked    bool
}

// Cleanup runs one cleanup. A step that fails does not stop the others. A dry run changes nothing,
// and counts what would be done.
func (c *Cleaner) Cleanup(ctx context.Context, dryRun bool) Report {
	began := time.Now()
	run := &cleanup{Cleaner: c, dryRun: dryRun}
	report := Report{DryRun: dryRun}
	report.Steps, report.Complete = runSteps(ctx, "cleanup", c.rules.Budget, run.steps())
	report.TookSeconds = time.Since(began).Seconds()
	return report
}

// list returns the names of all jobs. The first step that asks reads them, in its own time.
func (c *cleanup) list(ctx context.Context) ([]string, error) {
	if !c.asked {
		ctx, cancel := context.WithTimeout(ctx, listTime)
		defer cancel()
		c.names, c.unlisted = c.dapr.List(ctx)
		c.asked = true
	}
	return c.names, c.unlisted
}

// ours returns the names of all jobs, and the sentinel's. If the sentinel is not among them, it
// returns an error: this may be the Dapr of another database, whose jobs we must not delete.
func (c *cleanup) ours(ctx context.Context) (names []string, sentinel string, err error) {
	if names, err = c.list(ctx); err != nil {
		return nil, "", err
	}
	if sentinel, err = c.store.Sentinel(ctx); err != nil {
		return nil, "", err
	}
	if !slices.Contains(names, sentinel) {
		return nil, "", errors.New("nothing was deleted, because Dapr does not hold this database's sentinel job: " +
			"if DATABASE_URL and DAPR_GRPC_ENDPOINT belong together, the next sweep makes a new one")
	}
	return names, sentinel, nil
}

// purge returns a step that deletes old rows in batches.
func (c *cleanup) purge(kind store.Kept, age time.Duration) func(context.Context) (int, bool, error) {
	return func(ctx context.Context) (count int, complete bool, err error) {
		if c.dryRun {
			count, err = c.store.CountExpired(ctx, kind, age, c.rules.Rows)
			return count, count < c.rules.Rows, err
		}
		for ctx.Err() == nil && count < c.rules.Rows {
			limit := min(page, c.rules.Rows-count)
			one, cancel := context.WithTimeout(ctx, batchTime)
			n, err := c.store.Purge(one, kind, age, limit)
			cancel()
			count += n
			if err != nil || n < limit {
				return count, true, err
			}
		}
		return count, false, nil
	}
}

// leftoverJobs deletes the recorded leftover jobs.
func (c *cleanup) leftoverJobs(ctx context.Context) (count int, complete bool, err error) {
	if c.dryRun {
		count, err = c.store.CountLeftovers(ctx, c.rules.Rows)
		return count, count < c.rules.Rows, err
	}
	for ctx.Err() == nil && count < c.rules.Rows {
		left, err := c.store.Leftovers(ctx, min(page, c.rules.Rows-count))
		if err != nil || len(left.Jobs) == 0 {
			return count, true, err
		}
		deleted, err := c.jobs.Delete(ctx, left)
		if dropErr := c.store.DropLeftovers(ctx, deleted); dropErr != nil {
			return count, false, dropErr
		}
		count += len(deleted.Jobs)
		if err != nil {
			return count, false, err
		}
	}
	return count, false, nil
}

// unknownJobs deletes jobs of reminders that no row knows. They are there, for example, after an
// old database was restored. A name is never used for two instants, so no valid job can be deleted.
func (c *cleanup) unknownJobs(ctx context.Context) (count int, complete bool, err error) {
	names, _, err := c.ours(ctx)
	if err != nil {
		return 0, false, err
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, task.JobPrefix) })
	for some := range slices.Chunk(names, page) {
		if ctx.Err() != nil {
			return count, false, nil
		}
		unknown, err := c.unknown(ctx, some)
		if err != nil {
			return count, false, err
		}
		n, all, err := c.remove(ctx, unknown, c.rules.Rows-count)
		count += n
		if err != nil || !all {
			return count, false, err
		}
	}
	return count, true, nil
}

// unknown returns the names that no row knows, without those whose reminder may be about to be
// stored.
func (c *cleanup) unknown(ctx context.Context, names []string) (unknown []string, err error) {
	known := make(map[string]bool, len(names))
	var asked []task.Revision
	for _, name := range names {
		r, ok := task.ParseJobName(name)
		if ok && r.Number == 1 && c.now().Sub(born(r.ReminderID)) < unstoredAge {
			known[name] = true
		} else if ok {
			asked = append(asked, r)
		}
	}
	jobs, err := c.store.KnownJobs(ctx, asked)
	for _, r := range jobs {
		known[r.JobName()] = true
	}
	for _, name := range names {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown, err
}

// staleSentinels deletes sentinel jobs that were replaced.
func (c *cleanup) staleSentinels(ctx context.Context) (count int, complete bool, err error) {
	names, current, err := c.ours(ctx)
	if err != nil {
		return 0, false, err
	}
	var stale []string
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, sentinelPrefix)
		id, _ := uuid.Parse(rest)
		if ok && name != current && c.now().Sub(born(id)) > sentinelAge {
			stale = append(stale, name)
		}
	}
	return c.remove(ctx, stale, c.rules.Rows)
}

// born returns the time in an id; the zero time if it has none.
func born(id uuid.UUID) time.Time {
	if id.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime())
}

// remove deletes up to limit jobs by their names. It returns how many, and whether that was all.
func (c *cleanup) remove(ctx context.Context, names []string, limit int) (count int, all bool, err error) {
	some := names[:min(len(names), limit)]
	all = len(some) == len(names)
	if c.dryRun {
		return len(some), all, nil
	}
	count, err = schedule.CallAll(ctx, c.rules.Concurrent, some, c.dapr.Remove)
	return count, all, err
}

// vanishedJobs checks that the confirmed jobs of the next 48 hours exist. It makes the reminders of
// missing ones pending.
func (c *cleanup) vanishedJobs(ctx context.Context) (count int, complete bool, err error) {
	listed := map[string]bool{}
	names, _ := c.list(ctx) // if there is no list, each job is looked up
	for _, name := range names {
		listed[name] = true
	}
	looked := 0
	for last := (store.Due{}); ; {
		if ctx.Err() != nil || looked >= c.rules.Rows {
			break
		}
		soon, err := c.store.ConfirmedSoon(ctx, lookAhead, last, page)
		if err != nil {
			return count, false, err
		}
		if len(soon) == 0 {
			complete = true
			break
		}
		looked, last = looked+len(soon), soon[len(soon)-1]
		n, err := c.unconfirmVanished(ctx, slices.DeleteFunc(soon, func(d store.Due) bool { return listed[d.JobName()] }))
		count += n
		if err != nil {
			return count, false, err
		}
	}
	if c.dryRun {
		return count, complete, nil
	}
	for ctx.Err() == nil {
		claimed, scheduled, err := c.jobs.SchedulePending(ctx, c.rules.Horizon.Until(c.now()))
		if err != nil || scheduled < claimed || claimed == 0 {
			return count, complete && claimed == 0, err
		}
	}
	return count, false, nil
}

// unconfirmVanished looks up the jobs of reminders one by one, and makes those reminders pending
// whose jobs do not exist. It returns how many.
func (c *cleanup) unconfirmVanished(ctx context.Context, due []store.Due) (int, error) {
	var mu sync.Mutex
	var vanished []task.Revision
	_, err := schedule.CallAll(ctx, c.rules.Concurrent, due, func(ctx context.Context, d store.Due) error {
		there, err := c.dapr.Holds(ctx, d.JobName())
		if err == nil && !there {
			mu.Lock()
			defer mu.Unlock()
			vanished = append(vanished, d.Revision)
		}
		return err
	})
	if c.dryRun || len(vanished) == 0 {
		return len(vanished), err
	}
	n, unconfirmErr := c.store.UnconfirmJobs(ctx, vanished)
	return n, errors.Join(unconfirmErr, err)
}
