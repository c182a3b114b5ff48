package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Kept is a kind of rows that are kept for a while only. Nothing of it is ever what
// somebody still works with.
type Kept struct {
	table string
	// age is when a row's time began, by which an index finds it.
	age string
	// only says which rows count at all, alone among those that have an age.
	only string
	// rest, if set, deletes what goes together with rows: it gets the IDs of those
	// that are locked, and returns those that can go.
	rest func(context.Context, pgx.Tx, []uuid.UUID) ([]uuid.UUID, error)
	// first, if set, is what the database wants to hear before it deletes any.
	first string
}

// open says that something is still to be done for a reminder r. That a job of it may
// be left with Dapr does not count: its record outlives the reminder, and should the
// job come, it finds nothing.
const open = `(r.state = 'armed'
	or exists (select from deliveries d where d.reminder_id = r.id and ` + isUnsent + `))`

// The kinds.
var (
	// DeletedTasks are tasks that their users deleted, with all their reminders and
	// deliveries, and what dead letters there are of those.
	DeletedTasks = Kept{
		table: "tasks", age: "deleted_at",
		only: `not exists (select from reminders r where r.task_id = k.id and ` + open + `)`,
		rest: deleteOfTasks,
	}
	// RemovedReminders are reminders whose offsets their tasks no longer have, with
	// their deliveries.
	RemovedReminders = Kept{
		table: "reminders", age: "removed_at",
		only: `not exists (select from reminders r where r.id = k.id and ` + open + `)`,
		rest: deleteOfReminders,
	}
	// FinishedDeliveries are what has been told, but for what somebody has yet to
	// settle. Their reminders stay for as long as their task has them, and it is
	// those, being fired, that keep anything from being told twice. The members of a bundle stay with
	// what somebody has yet to settle of it.
	FinishedDeliveries = Kept{
		table: "deliveries", age: "finished_at",
		only: `not exists (select from dead_letters l where l.delivery_id in (k.id, k.bundle_id) and l.state in ('retrying', 'dead'))`,
	}
	// SettledAgendas are agendas of days that are over, once nothing is kept of what was sent.
	SettledAgendas = Kept{table: "agendas", age: "settled_at", only: "not exists (select from deliveries d where d.agenda_id = k.id)"}
	// Occurrences are what has become of the occurrences of recurring tasks.
	Occurrences = Kept{table: "occurrences", age: "settled_at", only: "true"}
	// ReadNotifications are notifications that their users have read or archived, but for the
	// latest of each user: readers that have seen it go on from there.
	ReadNotifications = Kept{
		table: "notifications", age: "least(read_at, archived_at)", // the one that is there, if it is one
		only: `k.seq < (select u.last_seq from users u where u.id = k.user_id)`,
	}
	// SettledDeadLetters are dead letters that nobody has to look at any more.
	SettledDeadLetters = Kept{table: "dead_letters", age: "updated_at", only: "state in ('resolved', 'discarded')"}
	// AuditEvents are the audit log, from which nothing else can be deleted.
	AuditEvents = Kept{table: "audit_events", age: "recorded_at", only: "true", first: `set local duebell.retention = 'on'`}
	// AuditActs are what was asked for in another user's name, in the audit log as well.
	AuditActs = Kept{table: "audit_acts", age: "recorded_at", only: "true", first: `set local duebell.retention = 'on'`}
	// LiftedSuppressions are what kept addresses from getting anything, and does no more.
	LiftedSuppressions = Kept{table: "suppressions", age: "lifted_at", only: "true"}
	// ReportEvents are what keeps reports about deliveries from counting twice. They stay for as
	// long as those.
	ReportEvents = Kept{
		table: "report_events", age: "received_at",
		// As no join, so that they are found in the order of their age.
		only: "delivery_id is not null and (select d.id from deliveries d where d.id = k.delivery_id) is null",
	}
	// CountedEvents are what keeps events from being counted twice.
	CountedEvents = Kept{table: "counted_events", age: "counted_at", only: "true"}
	// IdempotencyKeys are what was answered to requests.
	IdempotencyKeys = Kept{table: "idempotency_keys", age: "created_at", only: "true"}
	// Verifications are what owners of addresses were asked, once their links are of no use. They
	// stay for as long as their deliveries, which are found by them: a delivery without a reminder
	// is its user's by nothing else that has an index.
	Verifications = Kept{
		table: "verifications", age: "created_at",
		only: "k.link_until < now() and not exists (select from deliveries d where d.id = k.id)",
	}
	// VerificationMessages are what the limits on verifications count.
	VerificationMessages = Kept{table: "verification_messages", age: "counted_at", only: "true"}
	// Quotas are counts of messages on days that are over.
	Quotas = Kept{table: "quotas", age: "day", only: "true"}
	// InboxTickets are tickets that were never used, since they expired.
	InboxTickets = Kept{table: "inbox_tickets", age: "expires_at", only: "true"}
)

// KeysKept is for how long an idempotency key counts, at least.
const KeysKept = keysKept

// selection finds rows whose time began longer than $1 ago, $2 at most.
func (k Kept) selection(column string) string {
	return fmt.Sprintf(`select k.%[1]s from %[2]s k where %[3]s < now() - $1::interval and %[4]s order by %[3]s limit $2`, column, k.table, k.age, k.only)
}

// deletion deletes rows by where they lie, which their locks keep as it is.
func (k Kept) deletion() string {
	return fmt.Sprintf(`delete from %s where ctid = any(array(%s for update of k skip locked))`, k.table, k.selection("ctid"))
}

// CountExpired counts the rows that Purge would delete, up to a limit.
func (s *Store) CountExpired(ctx context.Context, k Kept, age time.Duration, limit int) (n int, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `select count(*) from (`+k.selection("ctid")+`) as expired`, age, limit).Scan(&n)
	})
	return n, err
}

// Purge deletes rows whose time began longer ago than their age, by the database's
// clock, the oldest first: so many at most. Rows that somebody else has locked are
// left for another time. It returns how many rows there were to delete; those that
// go with them are not counted.
func (s *Store) Purge(ctx context.Context, k Kept, age time.Duration, limit int) (n int, err error) {
	err = s.inTx(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		if k.first != "" {
			if _, err := tx.Exec(ctx, k.first); err != nil {
				return err
			}
		}
		if k.rest == nil {
			tag, err := tx.Exec(ctx, k.deletion(), age, limit)
			n = int(tag.RowsAffected())
			return err
		}
		ids, err := collectIDs(tx.Query(ctx, k.selection("id")+` for update of k skip locked`, age, limit))
		if err != nil || len(ids) == 0 {
			return err
		}
		if ids, err = k.rest(ctx, tx, ids); err != nil {
			return err
		}
		n = len(ids)
		return execAll(ctx, tx, ids, `delete from `+k.table+` where id = any($1)`)
	})
	return n, err
}

// deleteOfTasks deletes the reminders and deliveries of locked tasks, and returns the
// tasks that have none left. It looks once more, behind the locks, whether something
// is to be done for one.
func deleteOfTasks(ctx context.Context, tx pgx.Tx, tasks []uuid.UUID) (done []uuid.UUID, err error) {
	if err := execAll(ctx, tx, tasks,
		`select from reminders where task_id = any($1) order by id for update`,
		`select from deliveries where task_id = any($1) order by id for update`); err != nil {
		return nil, err
	}
	done, err = collectIDs(tx.Query(ctx, `
		select t.id from tasks t where t.id = any($1)
		and not exists (select from reminders r where r.task_id = t.id and `+open+`)`, tasks))
	if err != nil {
		return nil, err
	}
	return done, execAll(ctx, tx, done,
		`delete from deliveries where task_id = any($1)`,
		`delete from reminders where task_id = any($1)`)
}

// deleteOfReminders does the same for locked reminders.
func deleteOfReminders(ctx context.Context, tx pgx.Tx, reminders []uuid.UUID) (done []uuid.UUID, err error) {
	if err := execAll(ctx, tx, reminders, `select from deliveries where reminder_id = any($1) order by id for update`); err != nil {
		return nil, err
	}
	done, err = collectIDs(tx.Query(ctx, `select r.id from reminders r where r.id = any($1) and not `+open, reminders))
	if err != nil {
		return nil, err
	}
	return done, execAll(ctx, tx, done, `delete from deliveries where reminder_id = any($1)`)
}

func collectIDs(rows pgx.Rows, _ error) ([]uuid.UUID, error) {
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// execAll runs statements, one after the other, on the same keys.
func execAll(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql, ids); err != nil {
			return err
		}
	}
	return nil
}
