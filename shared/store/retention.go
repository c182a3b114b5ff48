package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Kept is a kind of row that is deleted after a while. Its condition leaves out rows that are still
// needed.
type Kept struct {
	table string
	// age is the column, or expression, from which a row's age is counted. It has an index.
	age string
	// only is a further condition for the rows that may be deleted.
	only string
	// rest, if set, deletes the rows that belong to locked ones. It gets the ids of these, and
	// returns those that can be deleted.
	rest func(context.Context, pgx.Tx, []uuid.UUID) ([]uuid.UUID, error)
	// first, if set, is a statement to run before deleting.
	first string
}

// open is the condition for a reminder r that still has something to do. A leftover job does not
// count: its record is kept without the reminder, and its callback would be skipped.
const open = `(r.state = 'armed'
	or exists (select from deliveries d where d.reminder_id = r.id and ` + isUnsent + `))`

// The kinds.
var (
	// DeletedTasks are tasks that their users deleted, with their reminders, deliveries, dead letters
	// and occurrences.
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
	// FinishedDeliveries are deliveries that are sent or given up. They stay while an operator has
	// yet to settle their dead letter, or the dead letter of their bundle. Their reminders stay:
	// that a reminder has fired is what keeps it from firing again.
	FinishedDeliveries = Kept{
		table: "deliveries", age: "finished_at",
		only: `not exists (select from dead_letters l where l.delivery_id in (k.id, k.bundle_id) and l.state in ('retrying', 'dead'))`,
	}
	// SettledAgendas are agendas that are not armed, and that have no deliveries any more.
	SettledAgendas = Kept{table: "agendas", age: "settled_at", only: "not exists (select from deliveries d where d.agenda_id = k.id)"}
	// Occurrences are the history of recurring tasks.
	Occurrences = Kept{table: "occurrences", age: "settled_at", only: "true"}
	// ReadNotifications are notifications that were read or archived. The latest of each user
	// stays, since readers continue from it.
	ReadNotifications = Kept{
		table: "notifications", age: "least(read_at, archived_at)", // the earlier one, or the only one that is set
		only: `k.seq < (select u.last_seq from users u where u.id = k.user_id)`,
	}
	// SettledDeadLetters are dead letters that are resolved or discarded.
	SettledDeadLetters = Kept{table: "dead_letters", age: "updated_at", only: "state in ('resolved', 'discarded')"}
	// AuditEvents are the events in the audit log. Nothing but retention can delete them.
	AuditEvents = Kept{table: "audit_events", age: "recorded_at", only: "true", first: `set local duebell.retention = 'on'`}
	// AuditActs are the acts in the audit log. Nothing but retention can delete them.
	AuditActs = Kept{table: "audit_acts", age: "recorded_at", only: "true", first: `set local duebell.retention = 'on'`}
	// LiftedSuppressions are suppressions that no longer hold.
	LiftedSuppressions = Kept{table: "suppressions", age: "lifted_at", only: "true"}
	// ReportEvents are the ids of reports about deliveries, kept so that none counts twice. They
	// stay as long as the deliveries.
	ReportEvents = Kept{
		table: "report_events", age: "received_at",
		// A subquery and not a join, so that rows are found in the order of their age.
		only: "delivery_id is not null and (select d.id from deliveries d where d.id = k.delivery_id) is null",
	}
	// CountedEvents are the ids of events that analytics has counted.
	CountedEvents = Kept{table: "counted_events", age: "counted_at", only: "true"}
	// IdempotencyKeys are keys with the answers to their requests.
	IdempotencyKeys = Kept{table: "idempotency_keys", age: "created_at", only: "true"}
	// Verifications are those whose links have expired. They stay as long as their deliveries: a
	// delivery without a reminder is found by its verification.
	Verifications = Kept{
		table: "verifications", age: "created_at",
		only: "k.link_until < now() and not exists (select from deliveries d where d.id = k.id)",
	}
	// VerificationMessages are the messages that the limits on verifications count.
	VerificationMessages = Kept{table: "verification_messages", age: "counted_at", only: "true"}
	// Quotas are the counts of past days.
	Quotas = Kept{table: "quotas", age: "day", only: "true"}
	// InboxTickets are tickets that expired unused.
	InboxTickets = Kept{table: "inbox_tickets", age: "expires_at", only: "true"}
)

// KeysKept is the least time that an idempotency key is kept.
const KeysKept = keysKept

// selection finds up to $2 rows that are older than $1.
func (k Kept) selection(column string) string {
	return fmt.Sprintf(`select k.%[1]s from %[2]s k where %[3]s < now() - $1::interval and %[4]s order by %[3]s limit $2`, column, k.table, k.age, k.only)
}

// deletion deletes by ctid, which does not change while the row is locked.
func (k Kept) deletion() string {
	return fmt.Sprintf(`delete from %s where ctid = any(array(%s for update of k skip locked))`, k.table, k.selection("ctid"))
}

// CountExpired counts the rows that Purge would delete. It stops at limit.
func (s *Store) CountExpired(ctx context.Context, k Kept, age time.Duration, limit int) (n int, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `select count(*) from (`+k.selection("ctid")+`) as expired`, age, limit).Scan(&n)
	})
	return n, err
}

// Purge deletes up to limit rows that are older than age by the database's clock, the oldest first.
// It skips rows that other transactions hold. n counts rows of the kind itself, and not the ones
// that go with them.
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

// deleteOfTasks deletes the reminders, deliveries and occurrences of locked tasks, and returns the
// tasks without any. With the locks held it checks again whether something is still to be done for a task.
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
		`delete from reminders where task_id = any($1)`,
		`delete from occurrences where task_id = any($1)`)
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
