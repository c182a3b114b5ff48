package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
)

// Place is a place in a user's notifications, and in the changes of their state. Notifications with
// a greater Seq come after it, and so do changes with a greater ChangeSeq.
type Place struct {
	ID             uuid.UUID
	Seq, ChangeSeq int64
}

// idSlack is how far the time in a notification's id may be from the time at which it became
// visible: clocks of functions differ, and a transaction takes a while.
const idSlack = time.Minute

// FindPlace returns where a reader of a user's notifications continues: after the notification
// after, before the first if that is uuid.Nil, and after the newest if it is nil. In the changes,
// the place is always after the latest.
//
// For a notification that is gone, FindPlace uses the time in its id. The place is then right, or
// up to a minute too early: nothing is missed, and little is told again. The error is invalid for
// an id that no notification can have.
func (s *Store) FindPlace(ctx context.Context, userID string, after *uuid.UUID) (p Place, err error) {
	place, args := `select id, seq from notifications where user_id = $1 order by seq desc limit 1`, []any{userID}
	switch {
	case after == nil:
	case *after == uuid.Nil:
		place = `select $2::uuid as id, 0 as seq`
		args = append(args, *after)
	default:
		made := time.Unix(after.Time().UnixTime())
		if after.Version() != 7 || made.After(time.Now().Add(idSlack)) {
			return Place{}, fault.Invalid("%s is not the id of a notification; to get all of them, go on after %s", after, uuid.Nil)
		}
		place = `
			select $2::uuid as id, coalesce(
				(select seq from notifications where user_id = $1 and id = $2),
				(select seq from notifications where user_id = $1 and created_at < $3 order by seq desc limit 1),
				0) as seq`
		args = append(args, *after, made.Add(-idSlack))
	}
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `
			select coalesce(p.id, '00000000-0000-0000-0000-000000000000'), coalesce(p.seq, 0),
				coalesce((select last_change from notification_counts where user_id = $1), 0)
			from (values (1)) as one left join (`+place+`) as p on true`, args...).Scan(&p.ID, &p.Seq, &p.ChangeSeq)
	})
	return p, err
}

// Reader is a user, and up to where their notifications and changes were read.
type Reader struct {
	UserID         string
	Seq, ChangeSeq int64
}

// NotificationsAfter returns new and changed notifications of several users, in one exchange with
// the server. came has the first limit notifications of each reader after Seq, in the order of Seq.
// changed has the last limit notifications of each that were changed after ChangeSeq, in the order
// of ChangeSeq and in their present state.
func (s *Store) NotificationsAfter(ctx context.Context, readers []Reader, limit int) (came, changed []Received, err error) {
	users, seqs, changes := make([]string, len(readers)), make([]int64, len(readers)), make([]int64, len(readers))
	for i, r := range readers {
		users[i], seqs[i], changes[i] = r.UserID, r.Seq, r.ChangeSeq
	}
	collect := func(list *[]Received) func(pgx.Rows) error {
		return func(rows pgx.Rows) (err error) {
			*list, err = pgx.CollectRows(rows, scanReceived)
			return err
		}
	}
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		var batch pgx.Batch
		batch.Queue(notificationsAfter, users, seqs, limit).Query(collect(&came))
		batch.Queue(changesAfter, users, changes, limit).Query(collect(&changed))
		return c.SendBatch(ctx, &batch).Close()
	})
	return came, changed, err
}

const (
	notificationsAfter = `
		select ` + receivedColumns + `
		from unnest($1::text[], $2::bigint[]) as r (user_id, seq)
		cross join lateral (
			select * from notifications n where n.user_id = r.user_id and n.seq > r.seq order by n.seq limit $3
		) n order by n.seq`
	changesAfter = `
		select ` + receivedColumns + `
		from unnest($1::text[], $2::bigint[]) as r (user_id, change_seq)
		cross join lateral (
			select * from notifications n where n.user_id = r.user_id and n.change_seq > r.change_seq and n.change_seq > 0
			order by n.change_seq desc limit $3
		) n order by n.change_seq, n.seq`
)

// hints is the channel of NOTIFY.
const hints = "duebell_inbox"

// Hint tells every process that listens that these users have something new. Call it after the
// commit. A hint may be lost; readers find the rows later.
//
// It is a transaction of its own. Postgres commits transactions with a NOTIFY one at a time in the
// whole server, each with its wait for the disk. This one does not wait for the disk.
func (s *Store) Hint(ctx context.Context, userIDs []string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			select set_config('synchronous_commit', 'off', true), pg_notify($1, u) from unnest($2::text[]) u`, hints, userIDs)
		return err
	})
}

// A connection that only listens does not notice that the other side is gone. So it sends a query
// after a quiet while.
const (
	listenPause   = 30 * time.Second
	listenTimeout = 5 * time.Second
)

// Listen calls hint with each user that Hint names. It uses a connection of its own, and returns
// when ctx ends or the connection breaks, with an error that says which. It calls listening when it
// has begun to listen; earlier hints were not heard.
//
// It needs a direct connection to Postgres. Through a pooler in transaction mode nothing is heard.
func (s *Store) Listen(ctx context.Context, listening func(), hint func(userID string)) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return asFault(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, `listen `+hints); err != nil {
		return asFault(err)
	}
	listening()
	for {
		n, err := next(ctx, conn)
		if err != nil {
			return asFault(err)
		}
		if n != nil {
			hint(n.Payload)
		}
	}
}

// next waits for a notification from Postgres. It returns nil if none came for a while and the
// connection is alive.
func next(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	quiet, cancel := context.WithTimeout(ctx, listenPause)
	defer cancel()
	n, err := conn.WaitForNotification(quiet)
	if err == nil || ctx.Err() != nil || !pgconn.Timeout(err) {
		return n, err
	}
	ctx, cancel = context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return nil, fmt.Errorf("the connection that listens is gone: %w", err)
	}
	return nil, nil
}
