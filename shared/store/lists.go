package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
)

// This file lists a user's tasks.

// TaskSort is what a list of tasks is sorted by.
type TaskSort string

// The keys by which a list of tasks is sorted.
const (
	ByCreation TaskSort = "created_at"
	// ByDueDate puts tasks without a due date at the end, in either order.
	ByDueDate TaskSort = "due_date"
)

// Filter narrows and sorts a list of tasks. Fields that are zero do not narrow it, and the zero
// value sorts the newest first.
type Filter struct {
	Completed *bool
	DueBefore *time.Time // due earlier than this
	DueAfter  *time.Time // due at this time or later
	Words     []string   // the title has all of them; upper and lower case are the same
	Sort      TaskSort
	Ascending bool
	After     *ListPlace // where the page before ended
	Limit     int        // at most this many, and at least 1
}

// ListPlace is where a page of a list of tasks ends.
type ListPlace struct {
	ID uuid.UUID
	// Due is the due date by which the task was sorted; nil if it has none, or the list is not by
	// due date.
	Due *time.Time
	// AsOf is when the first page of a list by due date was read. Later pages sort recurring tasks
	// by the due dates of then. So a task whose next occurrence begins between two pages is on
	// exactly one of them.
	AsOf time.Time
}

// dueWithin reports whether a task's due date is within the filter's bounds.
func (f Filter) dueWithin(t task.Task) bool {
	return (f.DueBefore == nil || t.DueDate != nil && t.DueDate.Before(*f.DueBefore)) && (f.DueAfter == nil || t.DueDate != nil && !t.DueDate.Before(*f.DueAfter))
}

// direction returns the SQL words for the list's order, and for what comes later in it.
func (f Filter) direction() (order, later string) {
	if f.Ascending {
		return "asc", ">"
	}
	return "desc", "<"
}

// ListTasks returns a page of a user's tasks, and where the page ends if there are more. The error
// is invalid if the list is by due date and the user has more than mostRecurring recurring tasks.
func (s *Store) ListTasks(ctx context.Context, userID string, f Filter) (tasks []task.Task, next *ListPlace, err error) {
	list := listByCreation
	if f.Sort == ByDueDate {
		list = listByDueDate
	}
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tasks, next, err = list(ctx, tx, userID, f)
		return err
	})
	return tasks, next, err
}

// listed is the condition for a task t of the user that is not deleted, and that matches Completed
// and Words. It contains only the conditions that are asked for: a condition that may be true of
// every row misleads the planner.
//
// Words are compared with the title of each of the user's tasks, which takes a tenth of a second
// for 100,000 tasks. An index of words would need an extension, and would cost everybody who
// creates tasks.
func (f Filter) listed() string {
	condition := `t.user_id = @user and t.deleted_at is null`
	switch { // in the same words as the condition of an index, so that Postgres can use it
	case f.Completed == nil:
	case *f.Completed:
		condition += ` and t.completed`
	default:
		condition += ` and not t.completed`
	}
	if len(f.Words) > 0 {
		condition += ` and t.title ~ all (@words::text[])`
	}
	return condition
}

// listByCreation lists tasks in the order of their ids, which is that of their creation.
func listByCreation(ctx context.Context, tx pgx.Tx, userID string, f Filter) (tasks []task.Task, next *ListPlace, err error) {
	last, most := uuid.Max, f.Limit+1
	if f.Ascending {
		last = uuid.Nil
	}
	if f.After != nil {
		last = f.After.ID
	}
	order, later := f.direction()
	for len(tasks) < most {
		page, err := queryTasks(ctx, tx, fromTasks+`
			where `+f.listed()+`
			  -- A wall-clock due date depends on the user's zone. dueWithin looks at it below.
			  and (@before::timestamptz is null or t.due_date < @before or t.due_local is not null)
			  and (@after::timestamptz is null or t.due_date >= @after or t.due_local is not null)
			  and t.id `+later+` @last
			order by t.id `+order+` limit @limit`,
			pgx.NamedArgs{
				"user": userID, "words": patterns(f.Words), "before": f.DueBefore, "after": f.DueAfter,
				"last": last, "limit": most,
			})
		if err != nil {
			return nil, nil, err
		}
		for _, t := range page {
			if last = t.ID; (!t.Due.Wall() || f.dueWithin(t)) && len(tasks) < most {
				tasks = append(tasks, t)
			}
		}
		if len(page) < most {
			break
		}
	}
	if len(tasks) > f.Limit {
		tasks = tasks[:f.Limit]
		next = &ListPlace{ID: tasks[f.Limit-1].ID}
	}
	return tasks, next, nil
}

// patterns turns words into regular expressions that match upper and lower case. Postgres's own
// matching without regard to case depends on the database's locale.
func patterns(words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		var p strings.Builder
		for _, r := range word {
			letters := string(r)
			for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
				letters += string(other)
			}
			switch {
			case letters != string(r):
				p.WriteString("[" + letters + "]")
			case unicode.IsPunct(r) || unicode.IsSymbol(r):
				p.WriteString(`\` + letters)
			default:
				p.WriteString(letters)
			}
		}
		all[i] = p.String()
	}
	return all
}

// listByDueDate lists tasks in the order of their due dates as they are by their user's clock now,
// and then of their ids. The column due_date has what was derived when the task was written. That
// is right for instants, may be off by up to wallSlack for wall-clock times, and may be far off for
// recurring tasks.
func listByDueDate(ctx context.Context, tx pgx.Tx, userID string, f Filter) ([]task.Task, *ListPlace, error) {
	habits, err := getHabits(ctx, tx, userID)
	if err != nil {
		return nil, nil, err
	}
	l := dueList{tx: tx, user: userID, filter: f, clock: habits.Clock, asOf: time.Now()}
	if f.After != nil {
		l.asOf = f.After.AsOf
	}
	var places []ListPlace
	if f.After == nil || f.After.Due != nil {
		if places, err = l.dated(ctx); err != nil {
			return nil, nil, err
		}
	}
	if len(places) <= f.Limit && f.DueBefore == nil && f.DueAfter == nil {
		undated, err := l.undated(ctx)
		if err != nil {
			return nil, nil, err
		}
		places = append(places, undated...)
	}
	var next *ListPlace
	if len(places) > f.Limit {
		places = places[:f.Limit]
		next = &places[f.Limit-1]
	}
	tasks, err := l.read(ctx, places)
	return tasks, next, err
}

// dueList is one page of a list by due date.
type dueList struct {
	tx     pgx.Tx
	user   string
	filter Filter
	clock  task.Clock
	asOf   time.Time
}

// most is how many tasks to find: one more than the page shows that there are more.
func (l dueList) most() int { return l.filter.Limit + 1 }

// compare compares two places in the order of the list.
func (l dueList) compare(a, b ListPlace) int {
	order := cmp.Or(a.Due.Compare(*b.Due), bytes.Compare(a.ID[:], b.ID[:]))
	if l.filter.Ascending {
		return order
	}
	return -order
}

// Conditions for tasks t with a due date, by how far the column due_date may be from the due date
// now.
const (
	atInstant   = `t.due_local is null`
	onWall      = `t.due_local is not null and (t.recurrence is null or t.completed)`
	isRecurring = `t.recurrence is not null and not t.completed`
)

// wallSlack bounds how far a wall-clock due date moves when its user's zone, all_day_at or the
// time-zone data change.
const wallSlack = 72 * time.Hour

// mostRecurring is how many recurring tasks of a user are sorted: for each the current occurrence
// has to be computed.
const mostRecurring = 10_000

// dated returns the first tasks with a due date, as many as most.
func (l dueList) dated(ctx context.Context) ([]ListPlace, error) {
	recurring, err := l.recurring(ctx, mostRecurring+1)
	if err != nil {
		return nil, err
	}
	if len(recurring) > mostRecurring {
		return nil, fault.Invalid("more than %d of these tasks recur, and so many are not sorted by due_date: narrow the list with q or completed, or use sort=created_at", mostRecurring)
	}
	return l.merge(ctx, recurring)
}

// recurring reads the recurring tasks, as many as most.
func (l dueList) recurring(ctx context.Context, most int) ([]placed, error) {
	return l.query(ctx, `select `+placeColumns+` from tasks t where `+l.filter.listed()+` and `+isRecurring+` limit @limit`, pgx.NamedArgs{"limit": most})
}

// merge returns the first places of the list: it merges the recurring tasks, which were read before,
// with the others.
func (l dueList) merge(ctx context.Context, recurring []placed) ([]ListPlace, error) {
	instants, err := l.scan(ctx, atInstant, 0)
	if err != nil {
		return nil, err
	}
	walls, err := l.scan(ctx, onWall, wallSlack)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(instants, walls, l.wanted(recurring))
	slices.SortFunc(all, l.compare)
	return all[:min(len(all), l.most())], nil
}

// The earliest and latest possible due date.
var (
	earliestDue = time.Date(task.MinYear, 1, 1, 0, 0, 0, 0, time.UTC)
	afterAllDue = time.Date(task.MaxYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
)

// scan reads tasks of one kind in the order of the column due_date, which is off by slack at most.
// It stops once the first ones of the list are certain.
func (l dueList) scan(ctx context.Context, kind string, slack time.Duration) (found []ListPlace, err error) {
	f := l.filter
	low, high := earliestDue, afterAllDue
	if f.DueAfter != nil {
		low = *f.DueAfter
	}
	if f.DueBefore != nil {
		high = *f.DueBefore
	}
	low, high = low.Add(-slack), high.Add(slack)
	last, lastID, ahead := low, uuid.Nil, slack
	if !f.Ascending {
		last, lastID, ahead = high, uuid.Max, -slack
	}
	if f.After != nil {
		last = f.After.Due.Add(-ahead)
		if slack == 0 {
			lastID = f.After.ID
		}
	}
	order, later := f.direction()
	sql := `select ` + placeColumns + ` from tasks t where ` + f.listed() + ` and ` + kind + `
		and t.due_date >= @low and t.due_date < @high and (t.due_date, t.id) ` + later + ` (@last, @last_id)
		order by t.due_date ` + order + `, t.id ` + order + ` limit @limit`
	for limit := l.most(); ; limit = min(2*limit, mostRead) {
		rows, err := l.query(ctx, sql, pgx.NamedArgs{"low": low, "high": high, "last": last, "last_id": lastID, "limit": limit})
		if err != nil {
			return nil, err
		}
		found = append(found, l.wanted(rows)...)
		if len(rows) < limit {
			return found, nil
		}
		last, lastID = rows[limit-1].stored, rows[limit-1].ID
		// Tasks that are still to be read come after this place.
		front := ListPlace{ID: lastID, Due: new(last.Add(-ahead))}
		known := 0
		for _, p := range found {
			if l.compare(p, front) <= 0 {
				known++
			}
		}
		if known >= l.most() {
			return found, nil
		}
	}
}

// mostRead is how many tasks are read at a time.
const mostRead = 10_000

// placed is a task, as far as sorting needs it.
type placed struct {
	task.Task
	stored time.Time // the column due_date
}

const placeColumns = `t.id, t.due_date, t.completed, t.due_local, t.due_all_day, coalesce(t.time_zone, ''), t.recurrence::text, t.series, t.through, t.open_occurrence, t.occurrence_number`

// query reads tasks by their placeColumns, and derives their due dates.
func (l dueList) query(ctx context.Context, sql string, args pgx.NamedArgs) ([]placed, error) {
	args["user"], args["words"] = l.user, patterns(l.filter.Words)
	rows, _ := l.tx.Query(ctx, sql, args)
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p placed, err error) {
		var row taskRow
		if err := r.Scan(&row.ID, &row.DueDate, &row.Completed, &row.local, &row.allDay, &row.Due.Zone, &row.recurrence, &row.Progress.Series, &row.through, &row.open, &row.Progress.Number); err != nil {
			return p, err
		}
		p.Task, err = row.task()
		if p.DueDate != nil {
			p.stored = *p.DueDate
			derive(&p.Task, l.clock, l.asOf)
		}
		return p, err
	})
}

// wanted returns the places of the tasks that match the filter and were not on an earlier page.
func (l dueList) wanted(tasks []placed) (places []ListPlace) {
	for _, t := range tasks {
		if p := l.place(t); l.filter.dueWithin(t.Task) && (l.filter.After == nil || l.compare(p, *l.filter.After) > 0) {
			places = append(places, p)
		}
	}
	return places
}

func (l dueList) place(t placed) ListPlace { return ListPlace{ID: t.ID, Due: t.DueDate, AsOf: l.asOf} }

// undated returns tasks without a due date.
func (l dueList) undated(ctx context.Context) (places []ListPlace, err error) {
	last := uuid.Max
	if l.filter.Ascending {
		last = uuid.Nil
	}
	if l.filter.After != nil && l.filter.After.Due == nil {
		last = l.filter.After.ID
	}
	order, later := l.filter.direction()
	tasks, err := l.query(ctx, `select `+placeColumns+` from tasks t where `+l.filter.listed()+` and t.due_date is null and t.id `+later+` @last order by t.id `+order+` limit @limit`,
		pgx.NamedArgs{"last": last, "limit": l.most()})
	for _, t := range tasks {
		places = append(places, l.place(t))
	}
	return places, err
}

// read returns the tasks at places.
func (l dueList) read(ctx context.Context, places []ListPlace) ([]task.Task, error) {
	ids := make([]uuid.UUID, len(places))
	for i, p := range places {
		ids[i] = p.ID
	}
	tasks, err := queryTasks(ctx, l.tx, fromTasks+`where t.id = any($1)`, pgUUIDs(ids))
	slices.SortFunc(tasks, func(a, b task.Task) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	return tasks, err
}
