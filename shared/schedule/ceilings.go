package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Ceilings limit what one user may have, so that nobody uses up what all share. They are far beyond
// what a person needs. 0 means no ceiling.
type Ceilings struct {
	Tasks       int `env:"MAX_TASKS_PER_USER" envDefault:"100000" help:"how many tasks a user may have, without deleted ones; 0: any number"`
	InMinute    int `env:"MAX_REMINDERS_PER_MINUTE" envDefault:"10000" help:"how many armed reminders of a user may be due in one minute; 0: any number"`
	Jobs        int `env:"MAX_JOBS_PER_USER" envDefault:"100000" help:"how many armed reminders of a user may be within REMINDER_HORIZON, each a job in Dapr; 0: any number"`
	ImportRows  int `env:"MAX_IMPORT_ROWS_PER_HOUR" envDefault:"200000" help:"how many tasks a user may import in an hour, by batches and streams; 0: any number"`
	AnswerBytes int `env:"MAX_KEPT_ANSWERS_PER_USER" envDefault:"67108864" help:"how many bytes of answers are stored for a user's Idempotency-Keys of the last 24 hours; 0: any number"`
	Imports     int `env:"MAX_IMPORTS_PER_USER" envDefault:"2" help:"how many streamed imports of a user each copy of the function runs at a time; 0: any number"`
	AllImports  int `env:"MAX_IMPORTS" envDefault:"16" help:"how many streamed imports of all users each copy of the function runs at a time; 0: any number"`
}

// Validate reports what is wrong with the configuration.
func (c Ceilings) Validate() error {
	var problems []error
	for name, n := range map[string]int{
		"MAX_TASKS_PER_USER": c.Tasks, "MAX_REMINDERS_PER_MINUTE": c.InMinute, "MAX_JOBS_PER_USER": c.Jobs, "MAX_IMPORT_ROWS_PER_HOUR": c.ImportRows,
		"MAX_KEPT_ANSWERS_PER_USER": c.AnswerBytes, "MAX_IMPORTS_PER_USER": c.Imports, "MAX_IMPORTS": c.AllImports,
	} {
		if n < 0 || n > 1<<30 {
			problems = append(problems, fmt.Errorf("%s must be between 0, which means any number, and %d", name, 1<<30))
		}
	}
	return errors.Join(problems...)
}

// what names the thing that a ceiling limits.
type what int

const (
	ofTasks what = iota
	ofJobs
	ofMinute
	ofAnswers
)

// amount is how much more of a thing a user is about to have.
type amount struct {
	user   string
	of     what
	minute int64 // for ofMinute: the minute's beginning, in Unix seconds
	n      int
}

// meter remembers how much the users of one process have. Counting in the database is slow, so the
// meter counts seldom. With a ceiling of 20,000 rows, each new row is counted with a chance of one
// in 100, a two-hundredth of the ceiling. After a count, the meter takes further rows without
// counting, for a minute and up to a twentieth of the ceiling. So a user may exceed a ceiling by
// some thousandths with one process, and by up to a twentieth for each process with several.
//
// Rows that are being stored during a count may be in it or not. The meter assumes that they are
// not. If there is no room for this reason only, the answer is in doubt: see [Planner.admit].
type meter struct {
	mu      sync.Mutex
	known   map[amount]*count // its keys have n 0
	changed chan struct{}     // closed when rows that were being stored are done; nil: nobody waits
}

// count is what is known of one thing of one user.
type count struct {
	at       time.Time     // when it was counted
	left     int           // how many more may be taken without a count
	full     int           // how many there were when the ceiling was met; 0: it was not
	again    time.Duration // if it was met: when there may be room again
	underWay int           // taken rows that are being stored
	done     int           // taken rows that are stored, or were given up
	counting int           // how many counts are running
}

const (
	countsLast = time.Minute
	// fullLasts is how long a user who has met a ceiling is refused without a new count.
	fullLasts = time.Second
	// maxCounts is how many counts are kept before old ones are removed.
	maxCounts = 10_000
	// doubtLasts is how long to wait for rows that are being stored, if there is room only without
	// them.
	doubtLasts = time.Second
)

// answer is the meter's answer for an amount.
type answer int

const (
	taken answer = iota
	unsure
	refused
)

func (c Ceilings) of(w what) int {
	return [...]int{ofTasks: c.Tasks, ofJobs: c.Jobs, ofMinute: c.InMinute, ofAnswers: c.AnswerBytes}[w]
}

// take takes an amount if the meter knows, or assumes, that there is room. If it answers unsure, a
// count is needed.
func (m *meter) take(a amount, most int, now time.Time) (answer, *count) {
	c := m.count(a, now)
	age := now.Sub(c.at)
	switch {
	case c.full > 0 && age < fullLasts:
		return refused, c
	case c.full == 0 && age < countsLast && a.n <= c.left:
		c.left -= a.n
	case c.full == 0 && age < countsLast, rand.IntN(max(1, most/200)) < a.n: //nolint:gosec // who guesses it gains nothing
		return unsure, c
	}
	c.underWay += a.n
	return taken, c
}

// begin notes that a count of these amounts begins. seen is how many rows of each are done by now:
// the count includes these.
func (m *meter) begin(all []amount, now time.Time) (seen []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range all {
		c := m.count(a, now)
		c.counting++
		seen = append(seen, c.done)
	}
	return seen
}

// end notes that a count has ended. unseen is how many rows of each it may not include.
func (m *meter) end(all []amount, seen []int, now time.Time) (unseen []int) {
	for i, a := range all {
		c := m.count(a, now)
		c.counting--
		unseen = append(unseen, c.underWay+c.done-seen[i])
	}
	return unseen
}

// idle reports whether no rows of these things are being stored.
func (m *meter) idle(all []amount, now time.Time) bool {
	return !slices.ContainsFunc(all, func(a amount) bool { return m.count(a, now).underWay > 0 })
}

// wait waits until rows that were being stored are done, or for most. It reports whether they are.
// It unlocks the meter while it waits.
func (m *meter) wait(ctx context.Context, most time.Duration) bool {
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	changed := m.changed
	m.mu.Unlock()
	defer m.mu.Lock()
	select {
	case <-changed:
		return true
	case <-time.After(most):
	case <-ctx.Done():
	}
	return false
}

// settle takes an amount after a count, if there is room. It adds the rows that the count may not
// include. used is that sum.
func (m *meter) settle(a amount, most, counted, unseen int, again time.Duration, now time.Time) (ok bool, used int) {
	c := m.count(a, now)
	used = counted + unseen
	c.at, c.full, c.left, c.again = now, 0, 0, again
	if used+a.n > most {
		if used >= most {
			c.full = used
		}
		return false, used
	}
	c.left = min(most/20, most-used) - a.n
	c.underWay += a.n
	return true, used
}

// done notes that taken amounts are stored, or were given up.
func (m *meter) done(all []amount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range all {
		key := a
		key.n = 0
		if c := m.known[key]; c != nil {
			c.done += a.n
			if c.underWay -= a.n; c.underWay <= 0 && c.counting == 0 && c.at.IsZero() {
				delete(m.known, key)
			}
		}
	}
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

func (m *meter) count(a amount, now time.Time) *count {
	a.n = 0
	c := m.known[a]
	if c == nil {
		if m.known == nil || len(m.known) > maxCounts {
			m.forget(now)
		}
		c = &count{}
		m.known[a] = c
	}
	return c
}

// forget removes old counts.
func (m *meter) forget(now time.Time) {
	kept := map[amount]*count{}
	for a, c := range m.known {
		if c.underWay > 0 || c.counting > 0 || now.Sub(c.at) < countsLast {
			kept[a] = c
		}
	}
	m.known = kept
}

// counting counts what a user has in the database.
type counting func(ctx context.Context, userID string, q store.UsageQuery) (store.Usage, error)

// admit takes room for what a user is about to have. Its error says which ceiling that would
// exceed. The caller calls done once the rows are stored, or are given up.
//
// There may be room only if rows that are being stored are in the count already, or are given up.
// Then admit waits until some of them are done, and counts again. After patience it refuses.
func (p *Planner) admit(ctx context.Context, userID string, more []amount, until time.Time, counted counting, patience time.Duration) (done func(), err error) {
	var got []amount
	done = func() { p.meter.done(got) }
	defer func() {
		if err != nil {
			done()
			done = func() {}
		}
	}()
	got, open, err := p.takeKnown(userID, more)
	if err != nil || len(open) == 0 {
		return done, err
	}
	q := p.query(open, until)
	for end := time.Now().Add(patience); ; {
		seen := p.meter.begin(open, p.now())
		usage, err := counted(ctx, userID, q)
		p.meter.mu.Lock()
		unseen := p.meter.end(open, seen, p.now())
		if err != nil {
			p.meter.mu.Unlock()
			return done, err
		}
		have := used(open, usage)
		if left := time.Until(end); left > 0 && p.inDoubt(open, have, unseen) && (p.meter.idle(open, p.now()) || p.meter.wait(ctx, left)) {
			p.meter.mu.Unlock()
			continue
		}
		defer p.meter.mu.Unlock()
		for i, a := range open {
			ok, n := p.meter.settle(a, p.rules.Ceilings.of(a.of), have[i], unseen[i], usage.AnswersGo, p.now())
			if !ok {
				return done, p.tooMany(a, n, usage.AnswersGo)
			}
			got = append(got, a)
		}
		return done, nil
	}
}

// query returns what to count for these amounts.
func (p *Planner) query(open []amount, until time.Time) (q store.UsageQuery) {
	c := p.rules.Ceilings
	for _, a := range open {
		switch a.of {
		case ofTasks:
			q.Tasks = c.Tasks + 1
		case ofJobs:
			q.Jobs, q.JobsUntil = c.Jobs+1, until
		case ofMinute:
			q.InMinute, q.Minutes = c.InMinute+1, append(q.Minutes, time.Unix(a.minute, 0))
		case ofAnswers:
			q.AnswerBytes = c.AnswerBytes
		}
	}
	return q
}

// used returns the count for each amount.
func used(open []amount, usage store.Usage) (all []int) {
	minutes := usage.InMinute
	for _, a := range open {
		var n int
		switch a.of {
		case ofTasks:
			n = usage.Tasks
		case ofJobs:
			n = usage.Jobs
		case ofMinute:
			n, minutes = minutes[0], minutes[1:]
		case ofAnswers:
			n = usage.AnswerBytes
		}
		all = append(all, n)
	}
	return all
}

// inDoubt reports whether there is room for all amounts only if unseen rows are in the count, or
// are not stored in the end.
func (p *Planner) inDoubt(open []amount, have, unseen []int) (doubt bool) {
	for i, a := range open {
		most := p.rules.Ceilings.of(a.of)
		if have[i]+a.n > most {
			return false
		}
		doubt = doubt || have[i]+unseen[i]+a.n > most
	}
	return doubt
}

// takeKnown takes the amounts for which no count is needed. It returns these, and those that need
// one.
func (p *Planner) takeKnown(userID string, more []amount) (got, open []amount, err error) {
	p.meter.mu.Lock()
	defer p.meter.mu.Unlock()
	for _, a := range more {
		a.user = userID
		most := p.rules.Ceilings.of(a.of)
		if most == 0 || a.n == 0 {
			continue
		}
		switch said, c := p.meter.take(a, most, p.now()); said {
		case refused:
			return got, nil, p.tooMany(a, c.full, c.again)
		case unsure:
			open = append(open, a)
		default:
			got = append(got, a)
		}
	}
	return got, open, nil
}

// tooMany returns the error for the ceiling that an amount would exceed.
func (p *Planner) tooMany(a amount, used int, answersGo time.Duration) error {
	c := p.rules.Ceilings
	switch a.of {
	case ofTasks:
		return fault.Conflict("you have %d tasks, and one user may have %d (MAX_TASKS_PER_USER): there is no room for %d more; delete some first", used, c.Tasks, a.n)
	case ofJobs:
		return fault.Conflict("%d of your reminders wait to be told soon, and one user may have %d (MAX_JOBS_PER_USER): there is no room for %d more; complete or delete some tasks, or move them to a later day",
			used, c.Jobs, a.n)
	case ofMinute:
		return fault.Conflict("%d of your reminders are due in the minute from %s, and one user may have %d (MAX_REMINDERS_PER_MINUTE): there is no room for %d more; spread them, or complete or delete some of those tasks",
			used, time.Unix(a.minute, 0).UTC().Format(time.RFC3339), c.InMinute, a.n)
	default:
		return rateLimited(answersGo, "%d bytes of answers are kept for your Idempotency-Keys of the last 24 hours, and one user may have %d (MAX_KEPT_ANSWERS_PER_USER): send fewer requests with a key, or this one without",
			used, c.AnswerBytes)
	}
}

func rateLimited(again time.Duration, format string, args ...any) error {
	return &fault.Error{Code: fault.CodeRateLimited, Message: fmt.Sprintf(format, args...), RetryAfter: max(again, time.Second)}
}

// Room returns the error of a user who is known to have met the ceiling on tasks, so that a large
// request need not be read.
func (p *Planner) Room(ctx context.Context, userID string) error {
	done, err := p.admit(ctx, userID, []amount{{of: ofTasks, n: 1}}, time.Time{}, p.store.Usage, doubtLasts)
	done()
	return err
}

// ofNew returns the amounts of new tasks. A stored answer is assumed to be as large as the texts in
// it.
func ofNew(tasks []task.Task, until time.Time, once *Once) []amount {
	more := []amount{{of: ofTasks, n: len(tasks)}, {of: ofJobs, n: len(pendingOf(tasks, until))}}
	minutes := map[int64]int{}
	bytes := 0
	for _, t := range tasks {
		bytes += len(t.Title) + len(t.Notes) + 300 + 120*len(t.Reminders)
		for _, r := range t.Reminders {
			if r.State == task.Armed {
				minutes[minuteOf(*r.FireAt)]++
			}
		}
	}
	if once != nil {
		more = append(more, amount{of: ofAnswers, n: bytes})
	}
	return append(more, ofMinutes(minutes)...)
}

// ofChange returns how much more a changed task has than before.
func ofChange(before, after task.Task, until time.Time) []amount {
	minutes, more := map[int64]int{}, 0
	for _, r := range after.Reminders {
		if r.State != task.Armed {
			continue
		}
		var old task.Reminder
		if i := slices.IndexFunc(before.Reminders, func(old task.Reminder) bool { return old.ID == r.ID }); i >= 0 {
			old = before.Reminders[i]
		}
		if old.State != task.Armed || minuteOf(*old.FireAt) != minuteOf(*r.FireAt) {
			minutes[minuteOf(*r.FireAt)]++
		}
		if !r.FireAt.After(until) && (old.State != task.Armed || old.FireAt.After(until)) {
			more++
		}
	}
	return append(ofMinutes(minutes), amount{of: ofJobs, n: more})
}

func minuteOf(at time.Time) int64 { return at.Truncate(time.Minute).Unix() }

func ofMinutes(minutes map[int64]int) (more []amount) {
	for minute, n := range minutes {
		more = append(more, amount{of: ofMinute, minute: minute, n: n})
	}
	return more
}

// takeRows counts tasks that a user is about to import. Its error says that there were too many
// within an hour.
func (p *Planner) takeRows(ctx context.Context, userID string, n int) error {
	most := p.rules.Ceilings.ImportRows
	if most == 0 {
		return nil
	}
	ok, used, again, err := p.store.TakeImportRows(ctx, userID, n, most)
	if err == nil && !ok {
		err = rateLimited(again, "you have imported %d tasks within an hour, and one user may import %d (MAX_IMPORT_ROWS_PER_HOUR): these are %d more; send them when Retry-After says so", used, most, n)
	}
	return err
}

// places limits how many imports run at the same time.
type places struct {
	mu    sync.Mutex
	all   int
	users map[string]int
}

// take takes a place for an import. The caller calls release when the import ends.
func (p *places) take(c Ceilings, userID string) (release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.Imports > 0 && p.users[userID] >= c.Imports:
		return nil, rateLimited(waitForPlace, "%d imports of yours are under way, and one user may have %d at a time (MAX_IMPORTS_PER_USER): send this one when one of them has ended", p.users[userID], c.Imports)
	case c.AllImports > 0 && p.all >= c.AllImports:
		return nil, rateLimited(waitForPlace, "%d imports are under way here, which is as many as there may be (MAX_IMPORTS): send this one again in a moment", p.all)
	}
	if p.users == nil {
		p.users = map[string]int{}
	}
	p.all++
	p.users[userID]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.users[userID]--; p.users[userID] == 0 {
			delete(p.users, userID)
		}
	}, nil
}

// waitForPlace is the Retry-After for an import that found no place.
const waitForPlace = 5 * time.Second
