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

// Ceilings are how much one user may have, so that nobody takes up what is everybody's. They
// are far beyond what a person needs; 0 is no ceiling.
type Ceilings struct {
	Tasks       int `env:"MAX_TASKS_PER_USER" envDefault:"100000" help:"how many tasks one user may have that are not deleted; 0: any number"`
	InMinute    int `env:"MAX_REMINDERS_PER_MINUTE" envDefault:"10000" help:"how many reminders of one user may wait for the same minute; 0: any number"`
	Jobs        int `env:"MAX_JOBS_PER_USER" envDefault:"100000" help:"how many reminders of one user may wait within REMINDER_HORIZON, each a job with Dapr; 0: any number"`
	ImportRows  int `env:"MAX_IMPORT_ROWS_PER_HOUR" envDefault:"200000" help:"how many tasks one user may import in an hour, with batches and streams; 0: any number"`
	AnswerBytes int `env:"MAX_KEPT_ANSWERS_PER_USER" envDefault:"67108864" help:"how many bytes of answers may be kept for one user's Idempotency-Keys of the last 24 hours; 0: any number"`
	Imports     int `env:"MAX_IMPORTS_PER_USER" envDefault:"2" help:"how many streamed imports of one user each copy of the function carries out at a time; 0: any number"`
	AllImports  int `env:"MAX_IMPORTS" envDefault:"16" help:"how many streamed imports each copy of the function carries out at a time, of all users together; 0: any number"`
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

// what names a ceiling on what a user has.
type what int

const (
	ofTasks what = iota
	ofJobs
	ofMinute
	ofAnswers
)

// amount is so much of something that a user is about to have more.
type amount struct {
	user   string
	of     what
	minute int64 // which one, for ofMinute: its beginning in Unix time
	n      int
}

// meter knows, as well as one process needs to, how much its users have. Counting is what
// costs, so it counts seldom: each new row has one chance in a two-hundredth of the ceiling to
// be counted before; and once there is a count it serves for a minute, and for a twentieth of
// the ceiling. So one process lets a user overshoot by some thousandths as a rule, and
// several by a twentieth each at most.
//
// What is under way while it counts may be in the count or not. It is taken for not; if there
// is no room then, and else there is, that is in doubt: see [Planner.admit].
type meter struct {
	mu      sync.Mutex
	known   map[amount]*count // by amounts whose n is 0
	changed chan struct{}     // closed when something that was under way is done; nil: nobody waits for that
}

// count is what is known of one thing that one user has.
type count struct {
	at       time.Time     // when it was counted, or was found to be at its ceiling
	left     int           // how many more there may be until it is counted again
	full     int           // how many there were when there was no room, or 0
	again    time.Duration // then: when there may be room
	underWay int           // of those there may be some that no count has seen
	done     int           // how many were under way and are not any more
	counting int           // how many are counting now
}

const (
	countsLast = time.Minute
	// fullLasts is how long who met a ceiling is refused without another count.
	fullLasts = time.Second
	// maxCounts is how many counts are kept before those that do not serve any more are removed.
	maxCounts = 10_000
	// doubtLasts is how long is waited for what is under way if without it there is room.
	doubtLasts = time.Second
)

// answer is what the meter says of an amount.
type answer int

const (
	taken answer = iota
	unsure
	refused
)

func (c Ceilings) of(w what) int {
	return [...]int{ofTasks: c.Tasks, ofJobs: c.Jobs, ofMinute: c.InMinute, ofAnswers: c.AnswerBytes}[w]
}

// take takes an amount if there is room for it as far as is known.
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

// begin says of amounts that they are about to be counted, and returns how many of each are
// done, which the count sees.
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

// end says that amounts were counted, and returns how many of each the count may not have seen.
func (m *meter) end(all []amount, seen []int, now time.Time) (unseen []int) {
	for i, a := range all {
		c := m.count(a, now)
		c.counting--
		unseen = append(unseen, c.underWay+c.done-seen[i])
	}
	return unseen
}

// idle reports whether nothing of what the amounts are of is under way.
func (m *meter) idle(all []amount, now time.Time) bool {
	return !slices.ContainsFunc(all, func(a amount) bool { return m.count(a, now).underWay > 0 })
}

// wait waits until something that was under way is done, for so long at most, and reports
// whether it is. It unlocks the meter meanwhile.
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

// settle takes an amount if there is room for it beside what was counted and what may not have
// been, and returns how many there were.
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

// done says of amounts that were taken that they are stored, or will not be.
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

// forget removes what does not serve any more.
func (m *meter) forget(now time.Time) {
	kept := map[amount]*count{}
	for a, c := range m.known {
		if c.underWay > 0 || c.counting > 0 || now.Sub(c.at) < countsLast {
			kept[a] = c
		}
	}
	m.known = kept
}

// counting counts what a user has.
type counting func(ctx context.Context, userID string, q store.UsageQuery) (store.Usage, error)

// admit takes room for what a user is about to have, or says which ceiling that would
// exceed. done is to be called once it is stored, or is not going to be.
//
// Whether there is room may be in doubt, as what is being stored meanwhile may have been
// counted or not. Then it counts again when some of that is stored, within patience; after
// that there is none.
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

// query asks how much there is of what amounts are of.
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

// used is how much there is of what each amount is of.
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

// inDoubt reports whether there is room for all amounts only if what a count may not have seen
// was seen by it, or is not stored in the end.
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

// takeKnown takes the amounts for which there is room as far as is known, and returns those
// that need a count.
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

// tooMany says which ceiling an amount would exceed.
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

// Room reports whether a user may create any tasks at all, as far as is known, so that a
// request need not be read to its end.
func (p *Planner) Room(ctx context.Context, userID string) error {
	done, err := p.admit(ctx, userID, []amount{{of: ofTasks, n: 1}}, time.Time{}, p.store.Usage, doubtLasts)
	done()
	return err
}

// ofNew are the amounts of new tasks. The answer of one that is carried out once is about as
// large as the texts in it.
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

// ofChange are the amounts by which a changed task has more than before.
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

// takeRows counts tasks that a user is about to import, or says that there were too many of
// them in an hour.
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

// places bound the imports that are under way.
type places struct {
	mu    sync.Mutex
	all   int
	users map[string]int
}

// take takes a place for an import. Its release is to be called at the import's end.
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

// waitForPlace is what Retry-After says to who found no place for an import.
const waitForPlace = 5 * time.Second
