package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
)

// Received is a notification as its user sees it, in the inbox or archived.
type Received struct {
	Notification
	Seq        int64 // its place among the user's notifications
	CreatedAt  time.Time
	ReadAt     *time.Time
	ArchivedAt *time.Time
	// AcknowledgedAt is when the user acknowledged it, or another notification of the same
	// occurrence.
	AcknowledgedAt *time.Time
	// SnoozedUntil is until when its occurrence is snoozed; nil: it is not snoozed now.
	SnoozedUntil *time.Time
	// ChangeSeq numbers the latest change of its state among the user's changes; 0: it was never
	// changed.
	ChangeSeq int64
}

const receivedColumns = `n.id, n.user_id, n.seq, coalesce(n.task_id, '00000000-0000-0000-0000-000000000000'), n.title, n.body, n.created_at, n.read_at, n.archived_at, n.change_seq, coalesce(n.occurrence, ''),
	n.kind, coalesce(n.reminder_id, '00000000-0000-0000-0000-000000000000'), n.due_date, n.acknowledged_at,
	(select r.fire_at from reminders r where r.task_id = n.task_id and r.kind = 'snooze' and r.state = 'armed' and r.occurrence is not distinct from n.occurrence::timestamp)`

func scanReceived(row pgx.CollectableRow) (n Received, err error) {
	err = row.Scan(&n.ID, &n.UserID, &n.Seq, &n.TaskID, &n.Title, &n.Body, &n.CreatedAt, &n.ReadAt, &n.ArchivedAt, &n.ChangeSeq, &n.Occurrence,
		&n.Kind, &n.ReminderID, &n.DueDate, &n.AcknowledgedAt, &n.SnoozedUntil)
	return n, err
}

// InboxState is the state of a notification. An archived one is not in the inbox, and is not
// unread.
type InboxState string

// The states by which notifications are listed.
const (
	InInbox  InboxState = "" // read or not
	Unread   InboxState = "unread"
	Archived InboxState = "archived"
)

// condition is the SQL condition for a notification n in this state. Each has a partial index.
func (s InboxState) condition() string {
	switch s {
	case Unread:
		return `n.read_at is null and n.archived_at is null`
	case Archived:
		return `n.archived_at is not null`
	}
	return `n.archived_at is null`
}

// page is the statement that lists up to $3 notifications of the user $1, from the place $2 on or
// back from there.
func (s InboxState) page(direction string) string {
	return `select ` + receivedColumns + ` from notifications n where n.user_id = $1 and ` + s.condition() + ` and n.seq ` + direction + ` limit $3`
}

const (
	onwards = `> $2 order by n.seq`
	back    = `< $2 order by n.seq desc`
)

// InboxPage selects a page of a user's notifications.
type InboxPage struct {
	State InboxState
	// After is the notification that the page begins after; uuid.Nil: begin with the first; nil:
	// the page has the newest ones.
	After *uuid.UUID
	// Before is the notification that the page ends before; nil: the page ends with the newest. It
	// is ignored if After is set.
	Before *uuid.UUID
	Limit  int // how many at most
	// NewestFirst reverses the order of the page.
	NewestFirst bool
}

// ListNotifications returns a page of a user's notifications. Notifications become visible in the
// order of their numbers, so a reader that continues after the last one it has seen misses none.
// The error is invalid if the user has no notification After or Before.
func (s *Store) ListNotifications(ctx context.Context, userID string, p InboxPage) (list []Received, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		place := func(name string, id *uuid.UUID, otherwise int64) (seq int64, err error) {
			if id == nil {
				return otherwise, nil
			}
			err = c.QueryRow(ctx, `select seq from notifications where user_id = $1 and id = $2`, userID, *id).Scan(&seq)
			if errors.Is(err, pgx.ErrNoRows) {
				return 0, fault.Invalid("%s: you have no notification %s; start again without it", name, id)
			}
			return seq, err
		}
		read := func(bound string, seq int64) error {
			rows, _ := c.Query(ctx, p.State.page(bound), userID, seq, p.Limit)
			list, err = pgx.CollectRows(rows, scanReceived)
			return err
		}
		if p.After != nil {
			after := p.After
			if *after == uuid.Nil {
				after = nil
			}
			seq, err := place("after", after, 0)
			if err == nil {
				err = read(onwards, seq)
			}
			if p.NewestFirst {
				slices.Reverse(list)
			}
			return err
		}
		seq, err := place("before", p.Before, math.MaxInt64)
		if err == nil {
			err = read(back, seq)
		}
		if !p.NewestFirst {
			slices.Reverse(list)
		}
		return err
	})
	return list, err
}

// Counts says how many notifications are in a user's inbox, and how many of these are unread.
type Counts struct {
	Unread int64 `json:"unread"`
	Total  int64 `json:"total"`
}

const selectCounts = `
	select u.last_seq - coalesce(c.seen, 0), u.last_seq - coalesce(c.gone, 0)
	from users u left join notification_counts c on c.user_id = u.id where u.id = $1`

// CountNotifications returns a user's counts. They always agree with the rows. It reads two rows,
// however many notifications there are.
func (s *Store) CountNotifications(ctx context.Context, userID string) (n Counts, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(ctx, selectCounts, userID).Scan(&n.Unread, &n.Total)
		if errors.Is(err, pgx.ErrNoRows) { // the user has never been told anything
			return nil
		}
		return err
	})
	return n, err
}

// InboxChange is a change of a notification's state.
type InboxChange struct{ set, unless string }

// The changes. Archiving keeps whether the notification was read, so taking it back restores that.
var (
	MarkRead   = InboxChange{set: `read_at = now()`, unless: `n.read_at is not null`}
	MarkUnread = InboxChange{set: `read_at = null`, unless: `n.read_at is null`}
	Archive    = InboxChange{set: `archived_at = now()`, unless: `n.archived_at is not null`}
	Unarchive  = InboxChange{set: `archived_at = null`, unless: `n.archived_at is null`}
)

// statement applies the change to the notifications of the user $1 that match selection, and gives
// all of them the user's next change_seq. It locks notifications first and then the counts, as
// retention does, so a user's changes commit in the order of change_seq. A trigger keeps the
// counts.
func (c InboxChange) statement(selection string) string {
	return fmt.Sprintf(`
		with changed as (
			select n.id from notifications n where n.user_id = $1 and not (%s) and %s for no key update
		), change as (
			insert into notification_counts as c (user_id, last_change)
			select $1, 1 from (select count(*) as count from changed) all_locked where count > 0
			on conflict (user_id) do update set last_change = c.last_change + 1
			returning c.last_change
		)
		update notifications n set %s, change_seq = change.last_change from changed, change where n.id = changed.id`,
		c.unless, selection, c.set)
}

// Selections for [InboxChange.statement].
const (
	theOne  = `n.id = $2`
	allUpTo = `n.archived_at is null and n.seq <= $2 order by n.seq limit $3`
)

// ChangeNotification changes the state of one of a user's notifications, and returns it. changed is
// false if it had that state already; if changed is true, call Hint.
func (s *Store) ChangeNotification(ctx context.Context, userID string, id uuid.UUID, change InboxChange) (n Received, changed bool, err error) {
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		batch.Queue(change.statement(theOne), userID, id).Exec(func(tag pgconn.CommandTag) error {
			changed = tag.RowsAffected() > 0
			return nil
		})
		batch.Queue(`select `+receivedColumns+` from notifications n where n.user_id = $1 and n.id = $2`, userID, id).Query(func(rows pgx.Rows) (err error) {
			n, err = pgx.CollectExactlyOneRow(rows, scanReceived)
			if errors.Is(err, pgx.ErrNoRows) {
				return errNoNotification
			}
			return err
		})
	})
	return n, changed && err == nil, err
}

var errNoNotification = fault.NotFound("there is no such notification; GET /api/notifications lists yours")

// readAtOnce is how many notifications one transaction marks as read.
const readAtOnce = 2000

// ReadAll marks a user's unread notifications as read, up to and including upTo. It works in
// transactions of limited size, the oldest first; after an error, call it again. If changed is
// true, call Hint, also after an error.
func (s *Store) ReadAll(ctx context.Context, userID string, upTo uuid.UUID) (changed bool, err error) {
	var last int64
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(ctx, `select seq from notifications where user_id = $1 and id = $2`, userID, upTo).Scan(&last)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoNotification
		}
		return err
	})
	for n := int64(1); err == nil && n > 0; {
		err = s.exchange(ctx, func(batch *pgx.Batch) {
			batch.Queue(MarkRead.statement(allUpTo), userID, last, readAtOnce).
				Exec(func(tag pgconn.CommandTag) error {
					n = tag.RowsAffected()
					return nil
				})
		})
		changed = changed || err == nil && n > 0
	}
	return changed, err
}
