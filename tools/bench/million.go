package main

import (
	"context"
	"fmt"
	"time"
)

// seed puts rows for so many tasks with a reminder each, due beyond the horizon, past
// the code. So many of them were deleted long ago.
func (w *world) seed(ctx context.Context, n, deleted int) error {
	if _, err := w.db.Exec(ctx, everyTask); err != nil {
		return err
	}
	c, err := w.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	// Without the triggers that check foreign keys: what is put here fits.
	for _, sql := range []string{
		`insert into users (id) values ('bench') on conflict do nothing`,
		`set session_replication_role = replica`,
		`set synchronous_commit = off`,
		fmt.Sprintf(`insert into tasks (id, user_id, title, due_date, created_at, updated_at, deleted_at)
			select gen_random_uuid(), 'bench', 'task ' || i, now() + interval '30 d' + i * interval '1 s', now(), now(), case when i <= %d then now() - interval '100 d' end
			from generate_series(1, %d) i`, deleted, n),
		`insert into reminders (id, task_id, user_id, before, fire_at, state, revision, last_scheduling_at)
			select gen_random_uuid(), id, user_id, '0', due_date, case when deleted_at is null then 'armed' else 'cancelled' end, 1, '-infinity' from tasks`,
		`reset session_replication_role`,
		`reset synchronous_commit`,
		`vacuum analyze tasks, reminders`,
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// cleanup measures a nightly cleanup of expired tasks.
func (w *world) cleanup(ctx context.Context, f figures, figure string) error {
	began := time.Now()
	if err := w.sys.Invoke(ctx, "nightly-cleanup"); err != nil {
		return err
	}
	f.add(figure, time.Since(began).Seconds())
	var left int
	if err := w.db.QueryRow(ctx, `select count(*) from tasks where deleted_at is not null`).Scan(&left); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("the cleanup has left %d expired tasks", left)
	}
	return nil
}

func (w *world) smallCleanup(ctx context.Context, f figures) error {
	for range cleanups {
		if err := w.seed(ctx, w.CleanupSmall, w.Expired); err != nil {
			return err
		}
		if err := w.cleanup(ctx, f, "cleanup_10k_of_20k_s"); err != nil {
			return err
		}
	}
	return nil
}

// cleanups is how often a cleanup is measured.
const cleanups = 5

// million measures what a million pending reminders cost: Dapr's scheduler, and a
// cleanup.
func (w *world) million(ctx context.Context, f figures) error {
	if err := w.seed(ctx, w.Pending, w.Expired); err != nil {
		return err
	}
	for range 3 { // sweeps have nothing to promote
		if err := w.sys.Invoke(ctx, "retry-dlq"); err != nil {
			return err
		}
	}
	if err := w.addRSS(f, "scheduler_rss_mb_1m_pending", "scheduler"); err != nil {
		return err
	}
	for range cleanups {
		if err := w.cleanup(ctx, f, "cleanup_10k_of_1m_s"); err != nil {
			return err
		}
		if _, err := w.db.Exec(ctx, fmt.Sprintf(`
			with expired as (update tasks set deleted_at = now() - interval '100 d' where id in (select id from tasks order by id limit %d) returning id)
			update reminders r set state = 'cancelled' from expired e where r.task_id = e.id`, w.Expired)); err != nil {
			return err
		}
	}
	return w.clear(ctx)
}
