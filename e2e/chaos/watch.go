package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/shared/task"
)

// follow reads a user's inbox continuously, as a client does that keeps the last id.
func (run *run) follow(ctx context.Context, user int) {
	last := uuid.Nil
	for {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
		more, err := run.client.inbox(ctx, user, last)
		if err != nil {
			continue
		}
		if len(more) > 0 {
			last = more[len(more)-1].ID
		}
		run.mu.Lock()
		run.read[user] = append(run.read[user], more...)
		run.mu.Unlock()
	}
}

// report prints the progress now and then.
func (run *run) report(ctx context.Context) {
	for {
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return
		}
		run.mu.Lock()
		inbox := 0
		for _, r := range run.read {
			inbox += len(r)
		}
		run.mu.Unlock()
		run.say("%d requests, %d without an answer; %d in inboxes, %d messages at the provider",
			run.client.requests.Load(), run.client.unanswered.Load(), inbox, len(run.sys.Sandbox().Messages()))
	}
}

// jobless is a reminder's revision that is said to be scheduled while Dapr does not have the job.
// Only the sweep would fire it.
type jobless = task.Revision

// audit looks for jobless reminders now and then, until ctx ends.
func (run *run) audit(ctx context.Context, found map[jobless]bool) {
	for {
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return
		}
		missing, err := run.joblessNow(ctx)
		if err != nil {
			continue // a part is away
		}
		for _, j := range missing {
			found[j] = true
		}
	}
}

// joblessNow returns reminders that are jobless both before and after reading Dapr's jobs. After
// the scheduler's data was deleted all of them are, until a sweep has noticed. In that time it
// returns none.
func (run *run) joblessNow(ctx context.Context) (missing []jobless, err error) {
	confirmed := func() (all map[jobless]bool, err error) {
		all = map[jobless]bool{}
		rows, err := run.db.Query(ctx, `
			select task_id, user_id, id, revision from reminders
			where state = 'armed' and confirmed_revision = revision and fire_at > now() + interval '5 seconds'`)
		if err != nil {
			return nil, err
		}
		var j jobless
		_, err = pgx.ForEachRow(rows, []any{&j.TaskID, &j.UserID, &j.ReminderID, &j.Number}, func() error {
			all[j] = true
			return nil
		})
		return all, err
	}
	// Read first: a sweep that has noticed records a name without a job, removes all confirmations,
	// and then records the new sentinel.
	var noticed time.Time
	if err := run.db.QueryRow(ctx, `select coalesce((select created_at from sentinel where name not like 'sentinel-none-%'), 'epoch')`).Scan(&noticed); err != nil {
		return nil, err
	}
	before, err := confirmed()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second) // daprd may be paused
	defer cancel()
	names, err := run.dapr.List(ctx)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, name := range names {
		held[name] = true
	}
	after, err := confirmed()
	if err != nil {
		return nil, err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	for j := range before {
		if after[j] && !held[j.JobName()] && noticed.After(run.wiped) {
			missing = append(missing, j)
		}
	}
	return missing, nil
}
