package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// An agenda is one message to a user on one local day:
//
//  1. A change of the preferences arms the user's next agenda, or cancels it. The sweep schedules its
//     job once it is due within the hour.
//  2. The transaction that fires it settles its day, plans a delivery for each address of its channel, and
//     arms the next agenda.
//  3. The sender reads the agenda's content after it has leased a delivery. So each attempt tells what is
//     true at that time.
//
// Steps 1 and 2 lock the user's row first ([Tx.LockPreferences]). So a user never has more than one armed
// agenda, and a settled day stays settled.

// AgendaState is what has become of an agenda.
type AgendaState string

// The states. AgendaTold, AgendaEmpty and AgendaMissed settle the agenda's day.
const (
	AgendaArmed     AgendaState = "armed"
	AgendaTold      AgendaState = "told"
	AgendaEmpty     AgendaState = "empty"  // there was nothing to tell
	AgendaMissed    AgendaState = "missed" // it was too late to tell it
	AgendaCancelled AgendaState = "cancelled"
)

// Agenda is a user's agenda of one local day.
type Agenda struct {
	preferences.AgendaDay
	ID       uuid.UUID
	UserID   string
	State    AgendaState
	Revision int64
	// Release is the release of the time zones by which its instant was derived.
	Release string
}

const agendaColumns = `a.id, a.user_id, a.day, a.fire_at, a.state, a.revision, a.derived_tz`

func scanAgenda(row pgx.CollectableRow) (a Agenda, err error) {
	var day time.Time
	err = row.Scan(&a.ID, &a.UserID, &day, &a.At, &a.State, &a.Revision, &a.Release)
	a.Day = wallclock.FromUTC(day)
	return a, err
}

// FindAgenda returns an agenda of a user whom LockPreferences locked; nil if there is none.
func (tx Tx) FindAgenda(ctx context.Context, userID string, id uuid.UUID) (*Agenda, error) {
	rows, _ := tx.tx.Query(ctx, `select `+agendaColumns+` from agendas a where a.id = $1 and a.user_id = $2`, id, userID)
	a, err := pgx.CollectExactlyOneRow(rows, scanAgenda)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &a, err
}

// settledFor is how far back settled agendas are looked for. Zones are at most 26 hours apart, so
// the agenda of an older day is not armed again.
const settledFor = 7 * 24 * time.Hour

// Agendas returns the armed agenda of a user whom LockPreferences locked, nil if none is armed. settled
// are the settled days of the last week.
func (tx Tx) Agendas(ctx context.Context, userID string) (armed *Agenda, settled []wallclock.Time, err error) {
	rows, _ := tx.tx.Query(ctx, `
		select `+agendaColumns+` from agendas a
		where a.user_id = $1 and (a.state = 'armed' or a.state <> 'cancelled' and a.day > (now() - $2::interval)::date)`, userID, settledFor)
	all, err := pgx.CollectRows(rows, scanAgenda)
	for i, a := range all {
		if a.State == AgendaArmed {
			armed = &all[i]
		} else {
			settled = append(settled, a.Day)
		}
	}
	return armed, settled, err
}

// ArmAgenda cancels the armed agenda that Agendas returned, if there is one, and arms next instead;
// if next is nil, none is armed. It does not arm the agenda of a settled day. It records the job of
// the cancelled agenda as a leftover. release is the release of the time zones by which next was
// derived.
func (tx Tx) ArmAgenda(ctx context.Context, userID string, armed *Agenda, next *preferences.AgendaDay, release string) error {
	var batch pgx.Batch
	if armed != nil {
		batch.Queue(`
			with cancelled as (
				update agendas set state = 'cancelled', settled_at = now() where id = $1
				returning id, revision, next_schedule_at
			)
			insert into leftover_jobs as l (reminder_id, revision, settled_at)
			select id, revision, now() + $2::interval from cancelled where next_schedule_at is not null
			on conflict (reminder_id, revision) do update set settled_at = greatest(l.settled_at, excluded.settled_at)`, armed.ID, settling)
	}
	if next != nil {
		batch.Queue(`
			insert into agendas as a (id, user_id, day, fire_at, state, revision, derived_tz) values ($1, $2, $3, $4, 'armed', 1, $5)
			on conflict (user_id, day) do update set state = 'armed', fire_at = excluded.fire_at, derived_tz = excluded.derived_tz,
				revision = a.revision + 1, next_schedule_at = null, settled_at = null
			where a.state = 'cancelled'`, uuid.Must(uuid.NewV7()), userID, next.Day.UTC(), next.At, release)
	}
	return tx.tx.SendBatch(ctx, &batch).Close()
}

// RenewAgenda records that an armed agenda has the same instant by another release of the time
// zones.
func (tx Tx) RenewAgenda(ctx context.Context, a Agenda, release string) error {
	_, err := tx.tx.Exec(ctx, `update agendas set derived_tz = $2 where id = $1`, a.ID, release)
	return err
}

// SettleAgenda records what has become of an armed agenda, and stores its deliveries and its in-app notification, if
// there are any. If there are deliveries, it cancels the unsent ones of the user's earlier agendas: the new agenda
// tells all that they would tell.
func (tx Tx) SettleAgenda(ctx context.Context, a Agenda, state AgendaState, deliveries []Delivery, inApp *Notification, trace string) error {
	var batch pgx.Batch
	batch.Queue(`update agendas set state = $2, settled_at = now() where id = $1`, a.ID, state)
	for _, d := range deliveries {
		batch.Queue(`
			insert into deliveries (id, agenda_id, revision, user_id, channel, target, state, last_error, due_at, traceparent, next_attempt_at, finished_at)
			values ($1, $2, $3, $4, $5, $6, $7::text, nullif($8, ''), $9, nullif($10, ''), case when $7 = 'planned' then now() end, case when $7 <> 'planned' then now() end)`,
			d.ID, a.ID, a.Revision, a.UserID, d.Channel, d.Target, d.State, d.LastError, a.At, trace)
	}
	if err := tx.tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	if inApp != nil {
		if err := tx.notify(ctx, *inApp); err != nil {
			return err
		}
	}
	if len(deliveries) == 0 {
		return nil
	}
	return tx.cancelAgendas(ctx, a.UserID, a.ID, ReasonReplaced)
}

// StopAgendas cancels the unsent deliveries of a user's agendas.
func (tx Tx) StopAgendas(ctx context.Context, userID string) error {
	return tx.cancelAgendas(ctx, userID, uuid.Nil, ReasonAgendaOff)
}

// cancelAgendas cancels the unsent deliveries of a user's agendas, except those of the agenda but. It skips
// deliveries that another transaction has locked: a sender is leasing them, or recording how their send ended.
func (tx Tx) cancelAgendas(ctx context.Context, userID string, but uuid.UUID, reason Reason) error {
	_, err := tx.tx.Exec(ctx, `
		with chosen as materialized (
			select d.id from deliveries d where d.agenda_id is not null and d.agenda_id in (select id from agendas where user_id = $1 and id <> $2 and settled_at > now() - $4::interval)
			and d.state in ('planned', 'sending', 'unknown', 'exhausted') order by d.id for update skip locked
		), cancelled as (
			update deliveries d set state = 'cancelled', reason = $3, next_attempt_at = null, finished_at = now()
			from chosen where d.id = chosen.id and d.state <> 'exhausted'
		)
		update dead_letters l set state = 'resolved', updated_at = now()
		from chosen where l.delivery_id = chosen.id and l.state in ('retrying', 'dead')`, userID, but, reason, settledFor)
	return err
}

// OverdueAgendas returns up to limit armed agendas that are due up to until, the earliest first. It continues
// behind the given one.
func (s *Store) OverdueAgendas(ctx context.Context, until time.Time, after Due, limit int) (due []Due, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select user_id, id, revision, fire_at from agendas
			where state = 'armed' and fire_at <= $1 and (fire_at, id) > ($2, $3) order by fire_at, id limit $4`, until, after.FireAt, after.ReminderID, limit)
		due, err = pgx.CollectRows(rows, dueAgenda)
		return err
	})
	return due, err
}

func dueAgenda(row pgx.CollectableRow) (d Due, err error) {
	d.Agenda = true
	err = row.Scan(&d.UserID, &d.ReminderID, &d.Number, &d.FireAt)
	return d, err
}

// agendaWait is how long after a claim an agenda may be claimed again, if Dapr has not taken its
// job.
const agendaWait = 30 * time.Second

// ClaimAgendas claims up to limit armed agendas that are due up to until and whose jobs Dapr has not confirmed,
// as ClaimPending does with reminders. It leaves out those that are due already: the sweep fires them.
func (s *Store) ClaimAgendas(ctx context.Context, until time.Time, limit int) (pending []Due, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			update agendas set next_schedule_at = now() + $3::interval where id in (
				select id from agendas
				where state = 'armed' and confirmed_revision is distinct from revision and fire_at > now() and fire_at <= $1
				  and (next_schedule_at is null or next_schedule_at <= now())
				order by fire_at limit $2 for no key update skip locked)
			returning user_id, id, revision, fire_at`, until, limit, agendaWait)
		pending, err = pgx.CollectRows(rows, dueAgenda)
		return err
	})
	return pending, err
}

// ConfirmAgendas records that Dapr holds the jobs of these revisions. If an agenda was moved or cancelled meanwhile,
// that change has recorded its job as a leftover already.
func (s *Store) ConfirmAgendas(ctx context.Context, taken []task.Revision) error {
	ids, revisions := columns(taken)
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			update agendas set confirmed_revision = t.revision from (
				select a.id, a.revision from unnest($1::uuid[], $2::bigint[]) as n (id, revision) join agendas a on a.id = n.id and a.revision = n.revision
				order by a.id for no key update of a) t
			where agendas.id = t.id`, ids, revisions)
		return err
	})
}

// StaleAgendas returns up to limit armed agendas that were derived by an earlier release of the time zones than the
// given one. They are in the order of their ids, from behind the given id on.
func (s *Store) StaleAgendas(ctx context.Context, release string, after uuid.UUID, limit int) (stale []Due, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select user_id, id, revision, fire_at from agendas
			where state = 'armed' and derived_tz < $1 and id > $2 order by id limit $3`, release, after, limit)
		stale, err = pgx.CollectRows(rows, dueAgenda)
		return err
	})
	return stale, err
}

// ReadAgenda returns the content of a user's agenda for a local day, as it is at the instant now.
func (tx Tx) ReadAgenda(ctx context.Context, userID string, day wallclock.Time, clock task.Clock, now time.Time) (notify.Agenda, error) {
	return readAgenda(ctx, tx.tx, userID, day, clock, now)
}

// ReadAgenda returns the content of the agenda that a delivery carries, as it is now by the
// database's clock.
func (s *Store) ReadAgenda(ctx context.Context, deliveryID uuid.UUID) (a notify.Agenda, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var user string
		var day, now time.Time
		if err := tx.QueryRow(ctx, `
			select a.user_id, a.day, clock_timestamp() from deliveries d join agendas a on a.id = d.agenda_id where d.id = $1`, deliveryID).Scan(&user, &day, &now); err != nil {
			return err
		}
		habits, err := getHabits(ctx, tx, user)
		if err == nil {
			a, err = readAgenda(ctx, tx, user, wallclock.FromUTC(day), habits.Clock, now)
		}
		return err
	})
	return a, err
}

// readAgenda counts a user's open tasks that are due before the end of a day. It lists up to notify.MostBundled of
// them: first those that are due on that day, then those of earlier days, the latest first. If there are more, tasks
// that do not recur are counted by the column due_date, which may be out of date for floating ones.
func readAgenda(ctx context.Context, tx pgx.Tx, userID string, day wallclock.Time, clock task.Clock, now time.Time) (a notify.Agenda, err error) {
	begins, ends := preferences.DayIn(day, clock.Location())
	today, _ := preferences.DayIn(wallclock.At(now, clock.Location()).Midnight(), clock.Location())
	a.Day = day.DateString()
	open := Filter{Completed: new(false), Limit: notify.MostBundled}
	l := dueList{tx: tx, user: userID, filter: open, clock: clock, asOf: now}
	recurring, err := l.recurring(ctx, mostRecurring)
	if err != nil {
		return a, err
	}
	var first []ListPlace
	for _, of := range []Filter{{DueAfter: &begins, DueBefore: &ends, Ascending: true}, {DueBefore: &begins}} {
		of.Completed, of.Limit = open.Completed, open.Limit
		l.filter = of
		places, err := l.merge(ctx, recurring)
		if err != nil {
			return a, err
		}
		first = append(first, places...)
	}
	complete := len(first) <= notify.MostBundled
	first = first[:min(len(first), notify.MostBundled)]
	if err := l.name(ctx, first, &a, today, now); err != nil || complete {
		return a, err
	}
	if err := tx.QueryRow(ctx, `
		select count(*) filter (where not late), count(*) filter (where late) from (
			select t.due_date < case when t.due_all_day then $3::timestamptz else $4 end as late from tasks t
			where t.user_id = $1 and t.deleted_at is null and not t.completed and t.due_date < $2 and t.recurrence is null) t`,
		userID, ends, today, now).Scan(&a.Today, &a.Overdue); err != nil {
		return a, err
	}
	for _, t := range recurring {
		if t.DueDate != nil && t.DueDate.Before(ends) {
			a.Count(isLate(*t.DueDate, t.Due.Form == task.ByDay, today, now))
		}
	}
	return a, nil
}

// isLate reports whether a task is overdue. A task that is due on a whole day is overdue once that
// day is over.
func isLate(due time.Time, allDay bool, today, now time.Time) bool {
	if allDay {
		return due.Before(today)
	}
	return due.Before(now)
}

// name adds the tasks at places to an agenda, overdue ones after the others, and counts them.
func (l dueList) name(ctx context.Context, places []ListPlace, a *notify.Agenda, today, now time.Time) error {
	ids := make(pgtype.FlatArray[pgtype.UUID], len(places))
	for i, p := range places {
		ids[i] = pgUUID(p.ID)
	}
	rows, _ := l.tx.Query(ctx, `select id, title, due_all_day from tasks where id = any($1)`, ids)
	type named struct {
		title  string
		allDay bool
	}
	of := map[uuid.UUID]named{}
	var id uuid.UUID
	var n named
	if _, err := pgx.ForEachRow(rows, []any{&id, &n.title, &n.allDay}, func() error { of[id] = n; return nil }); err != nil {
		return err
	}
	var overdue []notify.Bundled
	for _, p := range places {
		t := notify.Bundled{TaskID: p.ID, Title: of[p.ID].title, DueDate: p.Due, Overdue: isLate(*p.Due, of[p.ID].allDay, today, now)}
		a.Count(t.Overdue)
		if t.Overdue {
			overdue = append(overdue, t)
		} else {
			a.Tasks = append(a.Tasks, t)
		}
	}
	a.Tasks = append(a.Tasks, overdue...)
	return nil
}
