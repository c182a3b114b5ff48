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

// What it may be sorted by.
const (
	ByCreation TaskSort = "created_at"
	// ByDueDate puts tasks without a due date at the end, in either order.
	ByDueDate TaskSort = "due_date"
)

// Filter narrows and sorts a list of tasks. The zero value of each field means any, and the newest first.
type Filter struct {
	Completed *bool
	DueBefore *time.Time // due earlier than this
	DueAfter  *time.Time // due at this time or later
	Words     []string   // the title has each of them, in upper or lower case
	Sort      TaskSort
	Ascending bool
	After     *ListPlace // where the page before has ended
	Limit     int        // at most this many, and at least 1
}

// ListPlace is where a page of a list of tasks ends.
type ListPlace struct {
	ID uuid.UUID
	// Due is by what the task was sorted in a list by due date; nil if it has none.
	Due *time.Time
	// AsOf is when the first page of a list by due date was read. The due dates of recurring tasks are
	// sorted as they were then, so that one whose next occurrence comes up between two pages is on one of them.
	AsOf time.Time
}

// dueWithin reports whether a task is due within what the filter asks for.
func (f Filter) dueWithin(t task.Task) bool {
	return (f.DueBefore == nil || t.DueDate != nil && t.DueDate.Before(*f.DueBefore)) && (f.DueAfter == nil || t.DueDate != nil && !t.DueDate.Before(*f.DueAfter))
}

// direction is how SQL says in which order the list is, and what comes later in it.
func (f Filter) direction() (order, later string) {
	if f.Ascending {
		return "asc", ">"
	}
	return "desc", "<"
}

// ListTasks returns a user's tasks, and where the page ends if there are more. The error is a fault with
// code invalid if so many tasks recur that they are not sorted by due date.
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

// listed is the condition for a task t that is a live one of the user's, is completed or not as is asked for, and has
// the words in its title. It has no more than that: a condition that may mean nothing hides from the planner how many there are.
//
// Words are looked for in all of a user's tasks by their index, which takes a tenth of a second for 100,000 tasks.
// An index of words would need an extension, and be paid for by everybody who creates tasks.
func (f Filter) listed() string {
	condition := `t.user_id = @user and t.deleted_at is null`
	switch { // in words that the condition of an index has
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
			  -- A due date that clocks show is where the user is now, which is looked at below.
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

// patterns are regular expressions for titles that have words, in upper or lower case. The database is not
// asked to ignore case: what that is to it depends on its locale.
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

// listByDueDate lists tasks in the order of the due dates that they have by their user's clock now, and
// of their ids. The database has the due dates that were derived when a task was written; they
// are right for instants, nearly right for wall-clock times, and far off for recurring tasks.
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

// most is how many tasks are enough: one tells that there are more.
func (l dueList) most() int { return l.filter.Limit + 1 }

// compare orders two places with due dates as the list has them.
func (l dueList) compare(a, b ListPlace) int {
	order := cmp.Or(a.Due.Compare(*b.Due), bytes.Compare(a.ID[:], b.ID[:]))
	if l.filter.Ascending {
		return order
	}
	return -order
}

// Tasks with a due date t, by how far what the database has may be from the due date now.
const (
	atInstant   = `t.due_local is null`
	onWall      = `t.due_local is not null and (t.recurrence is null or t.completed)`
	isRecurring = `t.recurrence is not null and not t.completed`
)

// wallSlack is more than a wall-clock time moves when its user's zone, the time of day of whole days, and
// the time-zone data change.
const wallSlack = 72 * time.Hour

// mostRecurring is how many recurring tasks of a user are sorted: each has to be asked where it is.
const mostRecurring = 10_000

// dated returns tasks with a due date, which are enough if there are so many.
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

// recurring reads so many of the recurring tasks at most.
func (l dueList) recurring(ctx context.Context, most int) ([]placed, error) {
	return l.query(ctx, `select `+placeColumns+` from tasks t where `+l.filter.listed()+` and `+isRecurring+` limit @limit`, pgx.NamedArgs{"limit": most})
}

// merge returns what comes first in the list of recurring tasks, which were read, and of the others.
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

// The due dates that there may be.
var (
	earliestDue = time.Date(task.MinYear, 1, 1, 0, 0, 0, 0, time.UTC)
	afterAllDue = time.Date(task.MaxYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
)

// scan reads tasks of one kind in the order of the due dates that the database has. Those that the tasks have
// now are at most slack from these. It stops when enough of those that come first are known.
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
		// What is still to be read comes after this.
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

// placed is a task as far as its place in the list needs it.
type placed struct {
	task.Task
	stored time.Time // the due date that the database has
}

const placeColumns = `t.id, t.due_date, t.completed, t.due_local, t.due_all_day, coalesce(t.time_zone, ''), t.recurrence::text, t.series, t.through, t.open_occurrence, t.occurrence_number`

// query reads tasks of placeColumns, and derives their due dates.
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

// wanted returns the places of those tasks that the filter asks for, and that the page before has not had.
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

// read returns the tasks of places.
func (l dueList) read(ctx context.Context, places []ListPlace) ([]task.Task, error) {
	ids := make([]uuid.UUID, len(places))
	for i, p := range places {
		ids[i] = p.ID
	}
	tasks, err := queryTasks(ctx, l.tx, fromTasks+`where t.id = any($1)`, pgUUIDs(ids))
	slices.SortFunc(tasks, func(a, b task.Task) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	return tasks, err
}
