package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
)

// Received is a notification in a user's inbox.
type Received struct {
	Notification
	Seq       int64 // its place in the user's order
	CreatedAt time.Time
	ReadAt    *time.Time
}

const receivedColumns = `n.id, n.user_id, n.seq, coalesce(n.task_id, '00000000-0000-0000-0000-000000000000'), n.title, n.body, n.created_at, n.read_at, coalesce(n.occurrence, '')`

func scanReceived(row pgx.CollectableRow) (n Received, err error) {
	err = row.Scan(&n.ID, &n.UserID, &n.Seq, &n.TaskID, &n.Title, &n.Body, &n.CreatedAt, &n.ReadAt, &n.Occurrence)
	return n, err
}

// ListNotifications returns a user's notifications, the newest last: the first
// limit ones after the given one, all of them counting if that is uuid.Nil; or,
// if after is nil, the newest limit ones. A user's notifications become visible
// in this order, so going on after the last one seen misses none.
func (s *Store) ListNotifications(ctx context.Context, userID string, after *uuid.UUID, limit int) (list []Received, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		if after == nil {
			rows, _ := c.Query(ctx, `select `+receivedColumns+` from notifications n where n.user_id = $1 order by n.seq desc limit $2`, userID, limit)
			list, err = pgx.CollectRows(rows, scanReceived)
			slices.Reverse(list)
			return err
		}
		var seq int64
		if *after != uuid.Nil {
			err := c.QueryRow(ctx, `select seq from notifications where user_id = $1 and id = $2`, userID, *after).Scan(&seq)
			if errors.Is(err, pgx.ErrNoRows) {
				return fault.Invalid("after: you have no notification %s; start again without it", after)
			}
			if err != nil {
				return err
			}
		}
		rows, _ := c.Query(ctx, `select `+receivedColumns+` from notifications n where n.user_id = $1 and n.seq > $2 order by n.seq limit $3`, userID, seq, limit)
		list, err = pgx.CollectRows(rows, scanReceived)
		return err
	})
	return list, err
}

// MarkRead marks a user's notification as read, now if it was not before, and
// returns it.
func (s *Store) MarkRead(ctx context.Context, userID string, id uuid.UUID) (n Received, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			update notifications n set read_at = coalesce(n.read_at, now())
			where n.id = $1 and n.user_id = $2 returning `+receivedColumns, id, userID)
		n, err = pgx.CollectExactlyOneRow(rows, scanReceived)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.NotFound("there is no such notification; GET /api/notifications lists yours")
		}
		return err
	})
	return n, err
}
