package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// This file plans test messages.

// TestMessage is a test message to plan.
type TestMessage struct {
	ID      uuid.UUID
	UserID  string
	Channel task.Channel
	Target  string
	Trace   string
}

// PlanTests plans test messages of a user whom LockPreferences locked, due at once. An in-app one
// counts as sent; the caller writes its notification. If the user would have more than mostInHour
// within an hour, it plans none. wait is then how long until there is room for these.
func (tx Tx) PlanTests(ctx context.Context, messages []TestMessage, mostInHour int) (wait time.Duration, err error) {
	if len(messages) == 0 {
		return 0, nil
	}
	rows, _ := tx.tx.Query(ctx, `
		select created_at + interval '1 h' - now() from deliveries
		where test and user_id = $1 and created_at > now() - interval '1 h' order by created_at`, messages[0].UserID)
	waits, err := pgx.CollectRows(rows, pgx.RowTo[time.Duration])
	if err != nil {
		return 0, err
	}
	if over := len(waits) + len(messages) - mostInHour; over > 0 && len(waits) > 0 {
		return waits[min(over, len(waits))-1], nil
	}
	var batch pgx.Batch
	for _, m := range messages {
		batch.Queue(`
			insert into deliveries (id, revision, user_id, channel, target, due_at, traceparent, test, state, next_attempt_at, finished_at)
			select $1, 1, $2, $3::text, $4, now(), nullif($5, ''), true,
				case when $3 = 'in_app' then 'sent' else 'planned' end, case when $3 <> 'in_app' then now() end, case when $3 = 'in_app' then now() end`, m.ID, m.UserID, m.Channel, m.Target, m.Trace)
	}
	return 0, tx.tx.SendBatch(ctx, &batch).Close()
}

// Notify writes a notification into its user's inbox.
func (tx Tx) Notify(ctx context.Context, n Notification) error { return tx.notify(ctx, n) }

// GetDeliveries returns some deliveries, in the order of their ids.
func (s *Store) GetDeliveries(ctx context.Context, ids []uuid.UUID) (all []Delivery, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `select `+deliveryColumns+` from deliveries d where d.id = any ($1) order by d.id`, pgUUIDs(ids))
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d Delivery, err error) {
			err = row.Scan(d.fields()...)
			return d, err
		})
		return err
	})
	return all, err
}
