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

// Place is a place in the order of a user's notifications: behind the one with this
// ID, and before all with a greater Seq. It is one in the order of their changes, too: all
// with a greater ChangeSeq are later.
type Place struct {
	ID             uuid.UUID
	Seq, ChangeSeq int64
}

// idSlack is how far the time in a notification's id may be from the one at which
// it became visible: the clocks of functions differ, and a transaction takes a while.
const idSlack = time.Minute

// FindPlace returns where a reader of a user's notifications goes on: behind the
// given one; before the first if that is uuid.Nil; behind the newest if it is nil. Of the
// changes it is always behind the latest.
//
// A notification that is no longer there has a place too, as its id tells the time:
// it is before everything that came later, or up to a minute earlier, so that
// nothing is missed and little is told again. The error is invalid for an id that
// no notification can have.
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

// Reader is a user, and how far their notifications and the changes of those have been read.
type Reader struct {
	UserID         string
	Seq, ChangeSeq int64
}

// NotificationsAfter returns what came for some users, and whose state has changed. For each
// of them that is the first limit notifications after their Seq, in the order of Seq; and the
// last limit of those that were changed after their ChangeSeq, as they are now, in the order
// of ChangeSeq. It is one exchange with the server.
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

// hints is the name under which Postgres passes on whom something came for.
const hints = "duebell_inbox"

// Hint tells all that Listen that there is something new for these users. It is to
// be called after the commit, and may be lost: the rows are what counts.
//
// It is never a part of a transaction that does anything else. Postgres lets
// transactions with a notice commit only one at a time in the whole server, each
// with its wait for the disk; so this one does not wait for the disk.
func (s *Store) Hint(ctx context.Context, userIDs []string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			select set_config('synchronous_commit', 'off', true), pg_notify($1, u) from unnest($2::text[]) u`, hints, userIDs)
		return err
	})
}

// A connection that only listens would not notice that the other side is gone, so
// it asks when it has been quiet for a while.
const (
	listenPause   = 30 * time.Second
	listenTimeout = 5 * time.Second
)

// Listen calls hint with each user that Hint names, on a connection of its own,
// until ctx ends or the connection breaks; the error says which. It calls listening
// once it listens: whatever came before that was not heard.
//
// It needs a connection that reaches Postgres itself: through a pooler that gives
// each transaction another one, nothing is heard.
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

// next waits for a notice. It returns nil after a pause in which none came and the
// connection proved to be alive.
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
