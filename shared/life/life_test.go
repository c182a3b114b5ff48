package life_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
	"github.com/duebell/duebell/shared/wallclock"
)

// Whatever happens in a reminder's life, in whatever order, and whatever fails on the
// way: in the end it was told once on each channel if it was due, never if it was
// cancelled before, and no job is left with Dapr. Jobs that mean nothing are gone before,
// but for those of a process that died before it could store what they are for.
//
// Time stands still unless a step lets it pass, for the functions and for Postgres. A
// step is what one process does; it can be stopped at any call to Dapr or to the
// provider, before or after that takes effect, for a while or for ever. Others do their
// steps meanwhile.
func TestLife(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	w := newTimeless(t)
	rapid.Check(t, func(t *rapid.T) {
		l := w.newLife(t)
		defer l.end()
		for range rapid.IntRange(4, 24).Draw(t, "steps") {
			rapid.SampledFrom(l.actions()).Draw(t, "action").do()
			l.look()
		}
		l.settleAll()
		l.check()
	})
}

// timeless is a database whose clock a test sets: its sessions find a function now
// that comes before Postgres's own.
type timeless struct {
	store *store.Store
	conn  *pgx.Conn
}

func newTimeless(t *testing.T) timeless {
	_, address := storetest.Open(t)
	conn, err := pgx.Connect(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(context.Background(), `
		create schema clock;
		create table clock.hand (at timestamptz not null);
		insert into clock.hand values (now());
		create function clock.now() returns timestamptz language sql stable as 'select at from clock.hand';
		create function clock.clock_timestamp() returns timestamptz language sql stable as 'select at from clock.hand'`); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "clock,pg_catalog,public")
	u.RawQuery = q.Encode()
	s, err := store.Open(store.Config{URL: config.Secret(u.String()), MaxConns: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return timeless{s, conn}
}

// key is a reminder at one of its revisions.
type key struct {
	reminder uuid.UUID
	revision int64
}

// lived is what is known of a reminder at a revision.
type lived struct {
	fired, cancelled bool // cancelled, or armed anew, before it has fired
}

// sending is what is known of a delivery.
type sending struct {
	key
	channel, state, reason string
	taskID                 uuid.UUID
	due                    time.Time
	sentAs                 uuid.UUID // under which id it is sent: its own, or its bundle's
}

// replaces reports whether a delivery is a newer one of the same task and target.
func (s sending) replaces(other sending) bool {
	return s.taskID == other.taskID && s.channel == other.channel && !s.due.Before(other.due) && s != other
}

// life is one course of events.
type life struct {
	*rapid.T
	timeless
	now     time.Time
	dapr    *fakeDapr
	planner func() *schedule.Planner
	firer   *teller
	sweeper func() sweeper
	cleaner func() *upkeep.Cleaner
	horizon task.Horizon // with which processes begin now
	tasks   []uuid.UUID
	wakes   []task.Revision // all that were ever possible

	zone      string // where ada is
	quiet     quiet.Hours
	unnoticed bool // Dapr has lost its data before the first sweep

	made       map[uuid.UUID]*process // by whom each ID was made, until that has ended
	reminders  map[key]lived
	held       map[uuid.UUID]row // the reminders as they were last seen
	deliveries map[uuid.UUID]sending
	told       map[told]bool

	mu       sync.Mutex
	mails    map[uuid.UUID]int       // sends that the provider took, by delivery
	doubted  map[uuid.UUID]int       // of these, those whose sender may not have learnt it
	contents map[uuid.UUID]string    // the tasks that each told of, by delivery
	senders  map[uuid.UUID]time.Time // when the send began that has not ended, by delivery

	stopped []*stop // steps that wait at a call
	current *process
	zombies sync.WaitGroup
}

type row struct {
	taskID   uuid.UUID
	revision int64
	state    string
	fireAt   *time.Time
	recurs   bool // it waits for an occurrence, or has fired for one
	besides  bool // it is a snooze or a repetition
	goes     bool // it is of no use any more: removed, or its task deleted
}

// process is what carries out one step.
type process struct {
	began  time.Time
	wait   chan struct{} // gets a value when it stops at a call, and is closed when it ends
	still  bool          // it is stopped at a call
	faults []mishap      // of its next calls
}

// processKey is that of the process in the context of its calls.
type processKey struct{}

// stop is a process that waits at a call.
type stop struct {
	*process
	dead bool
	dies bool      // it will be, once the call has taken effect
	goOn chan bool // true: go on; false: the call fails
}

// mishap says what happens to one call.
type mishap int

const (
	none       mishap = iota
	refused           // the call fails
	unanswered        // the call takes effect, and seems to fail
	slowBefore        // the process stops, and the call takes effect later
	slowAfter         // the call takes effect, and the process stops
	diesBefore        // the process stops for ever
	diesAfter
	slowDies // the process stops, the call takes effect later, and the process stops for ever
)

var errFault = errors.New("a fault of this life")

func (w timeless) newLife(t *rapid.T) *life {
	l := &life{
		T: t, timeless: w, now: task.Instant(time.Now()), dapr: &fakeDapr{tooMany: rapid.Bool().Draw(t, "too many jobs to list")},
		made: map[uuid.UUID]*process{}, reminders: map[key]lived{}, held: map[uuid.UUID]row{}, deliveries: map[uuid.UUID]sending{}, told: map[told]bool{},
		mails: map[uuid.UUID]int{}, doubted: map[uuid.UUID]int{}, contents: map[uuid.UUID]string{}, senders: map[uuid.UUID]time.Time{},
	}
	l.setHorizon()
	l.exec(`
		delete from sentinel; delete from leftover_jobs; delete from dead_letters; delete from notifications;
		delete from deliveries; delete from reminders; delete from occurrences; delete from tasks; delete from preferences; delete from users`)
	l.pass(0)
	if err := w.store.SaveUser(context.Background(), ada); err != nil {
		t.Fatal(err)
	}
	l.choose("UTC", quiet.Hours{})
	l.bundle(l.drawBundle())
	clock := func() time.Time { return l.now }
	l.dapr.call = func(ctx context.Context, effect func()) error {
		return l.call(l.caller(ctx), effect, func() {}, func() bool { return true })
	}
	// Nobody asks too late to schedule a job, as the time for that is over.
	l.dapr.onSchedule = func(ctx context.Context) error {
		if l.late(l.caller(ctx)) {
			return errFault
		}
		return nil
	}
	// Each step is a process of its own, which shares nothing with others.
	l.planner = func() *schedule.Planner {
		p := schedule.NewPlanner(w.store, l.dapr, clock, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Minute, Horizon: l.horizon})
		p.Like(rapid.Bool().Draw(t, "it has stored tasks before"), l.newID)
		return p
	}
	l.firer = newTeller(w.store, byEmail(l), clock,
		deliver.Rules{SendTimeout: sendTimeout, Lease: lease, MaxAttempts: 1000, Concurrent: 4, PerUser: 1})
	l.sweeper = func() sweeper {
		return newSweeper(w.store, l.dapr, l.firer, clock, upkeep.SweepRules{Budget: time.Minute, Grace: 5 * time.Second, Concurrent: 1, Calls: 1, Horizon: l.horizon})
	}
	rules := cleanupRules
	rules.DeletedTasks, rules.History, rules.DeadLetters = 2*time.Hour, 2*time.Hour, 2*time.Hour
	rules.Concurrent = 1
	l.cleaner = func() *upkeep.Cleaner {
		rules := rules
		rules.Horizon = l.horizon
		return upkeep.NewCleaner(w.store, l.dapr, clock, rules)
	}
	return l
}

// choose has ada be in a zone from now on, with quiet hours.
func (l *life) choose(zone string, h quiet.Hours) {
	l.zone, l.quiet = zone, h
	l.step(nil, func(ctx context.Context) error {
		return l.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
			p, _, err := tx.LockPreferences(ctx, ada.ID)
			if err != nil {
				return err
			}
			p.TimeZone, p.QuietHours = zone, h
			p.Version++
			return tx.SavePreferences(ctx, ada.ID, p)
		})
	})
}

// bundle has ada's e-mails be bundled from now on; nil: not any more.
func (l *life) bundle(b preferences.Bundle) {
	l.step(nil, func(ctx context.Context) error {
		return l.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
			p, _, err := tx.LockPreferences(ctx, ada.ID)
			if err != nil {
				return err
			}
			p.Bundle = b
			p.Version++
			return tx.SavePreferences(ctx, ada.ID, p)
		})
	})
}

func (l *life) drawBundle() preferences.Bundle {
	return rapid.SampledFrom([]preferences.Bundle{nil, {task.Email: 8 * time.Second}, {task.Email: 15 * time.Minute}}).Draw(l.T, "bundle")
}

// drawQuietHours draws quiet hours of less than two, about now.
func (l *life) drawQuietHours() quiet.Hours {
	if rapid.Bool().Draw(l.T, "no quiet hours") {
		return quiet.Hours{}
	}
	from := wallclock.At(l.now, preferences.Zone(l.zone)).Add(-rapid.SampledFrom([]time.Duration{0, 30 * time.Minute, -time.Minute}).Draw(l.T, "since"))
	from = from.Add(-from.SinceMidnight() % time.Minute)
	to := from.Add(rapid.SampledFrom([]time.Duration{time.Minute, 35 * time.Minute, 110 * time.Minute}).Draw(l.T, "for"))
	h, err := quiet.Parse([]quiet.Window{{From: from.ClockString(), To: to.ClockString()}})
	if err != nil {
		l.Fatal(err)
	}
	return h
}

// newID makes an ID as old as the test says.
func (l *life) newID() uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	for i, ms := 5, l.now.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[id] = l.current
	return id
}

// setHorizon sets how far ahead reminders are with Dapr from now on.
func (l *life) setHorizon() {
	l.horizon.Ahead = rapid.SampledFrom([]time.Duration{0, 30 * time.Minute, 24 * time.Hour}).Draw(l.T, "horizon")
}

// sendTimeout is longer than a real one, as a call can't be cut here while time
// stands still, and shorter than the lease.
const sendTimeout = 10 * time.Second

const lease = 20 * time.Second

const (
	// slowest is how long a process may be stopped and begin another call that schedules,
	// or die of one: less than leftover jobs take to settle.
	slowest = 4 * time.Minute
	// forgotten is how long a process may be stopped at all: less than rows are kept.
	forgotten = time.Hour
)

// caller is the process whose call has a context: one that was stopped may still make calls
// side by side with the one that it is stopped at, when others have their turn.
func (l *life) caller(ctx context.Context) *process {
	p, _ := ctx.Value(processKey{}).(*process)
	return p
}

// late reports whether a process began too long ago.
func (l *life) late(p *process) bool { return p != nil && l.now.Sub(p.began) > slowest }

func (l *life) exec(sql string, args ...any) {
	if _, err := l.conn.Exec(context.Background(), sql, args...); err != nil {
		l.Fatal(err)
	}
}

// pass lets time pass. Calls that would be under way for too long are given up.
func (l *life) pass(d time.Duration) {
	for _, s := range slices.Clone(l.stopped) {
		if stopped := l.now.Add(d).Sub(s.began); !s.dead && (stopped > forgotten || s.dies && stopped > slowest) {
			l.goOn(s, false, nil)
		}
	}
	l.now = l.now.Add(d)
	l.exec(`update clock.hand set at = $1`, l.now)
}

// step has a process do something, until it ends or is stopped.
func (l *life) step(faults []mishap, do func(context.Context) error) {
	p := &process{began: l.now, wait: make(chan struct{}), faults: faults}
	l.current = p
	l.zombies.Add(1)
	go func() {
		defer l.zombies.Done()
		if err := do(context.WithValue(context.Background(), processKey{}, p)); err != nil && !errors.Is(err, errFault) && fault.CodeOf(err) != fault.CodeUnavailable && fault.CodeOf(err) != fault.CodeNotFound {
			l.Errorf("%v", err)
		}
		l.mu.Lock()
		maps.DeleteFunc(l.made, func(_ uuid.UUID, by *process) bool { return by == p })
		l.mu.Unlock()
		close(p.wait)
	}()
	l.await(p)
}

func (l *life) await(p *process) {
	if _, stopped := <-p.wait; stopped {
		time.Sleep(time.Millisecond) // for calls of its own that were made side by side
	}
	l.mu.Lock()
	p.faults, l.current = nil, nil
	l.mu.Unlock()
}

// goOn lets a stopped process go on, or its call fail.
func (l *life) goOn(s *stop, effect bool, faults []mishap) {
	l.stopped = slices.DeleteFunc(l.stopped, func(other *stop) bool { return other == s })
	l.mu.Lock()
	s.faults, l.current, s.still = faults, s.process, false
	l.mu.Unlock()
	s.goOn <- effect
	l.await(s.process)
}

// call carries out one call of a process, with its mishap. doubt is told
// when it took effect and the process may not learn it; inTime says whether it can
// still take effect after the process was stopped.
func (l *life) call(p *process, effect, doubt func(), inTime func() bool) error {
	l.mu.Lock()
	f := none
	if p != nil && len(p.faults) > 0 {
		f, p.faults = p.faults[0], p.faults[1:]
	}
	if f >= slowBefore {
		if p.still {
			f = refused // one call at a time
		}
		p.still = true
	}
	l.mu.Unlock()
	switch f {
	case refused:
		return errFault
	case unanswered:
		effect()
		doubt()
		return errFault
	case slowBefore, diesBefore:
		if !l.stop(p, f == diesBefore, false) || !inTime() {
			return errFault
		}
		effect()
	case slowDies:
		if !l.stop(p, false, true) || !inTime() {
			return errFault
		}
		effect()
		doubt()
		l.stop(p, true, false)
		return errFault
	case slowAfter, diesAfter:
		effect()
		doubt()
		if !l.stop(p, f == diesAfter, false) {
			return errFault
		}
	default:
		effect()
	}
	return nil
}

func (l *life) stop(p *process, dead, dies bool) bool {
	s := &stop{process: p, dead: dead, dies: dies, goOn: make(chan bool)}
	l.mu.Lock()
	l.stopped = append(l.stopped, s)
	l.mu.Unlock()
	p.wait <- struct{}{}
	return <-s.goOn
}

// isSnooze reports whether a delivery is that of a snooze, whose time its user has chosen.
func (l *life) isSnooze(delivery uuid.UUID) (snooze bool) {
	ctx := context.Background()
	c, err := pgx.ConnectConfig(ctx, l.conn.Config()) // l.conn may be in use
	if err != nil {
		l.Fatal(err)
	}
	defer c.Close(ctx)
	err = c.QueryRow(ctx, `select r.kind = 'snooze' from deliveries d join reminders r on r.id = d.reminder_id where d.id = $1`, delivery).Scan(&snooze)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // a bundle's delivery has no reminder
		l.Fatal(err)
	}
	return snooze
}

// Send is the e-mail channel.
func (l *life) Send(_ context.Context, m notify.Message) error {
	began := l.now
	if until := l.quiet.Until(began, preferences.Zone(l.zone)); until.After(began) && !strings.HasPrefix(m.Title, urgent) && !l.isSnooze(m.ID) {
		l.Errorf("delivery %s is sent within quiet hours, which last until %v", m.ID, until)
	}
	of := fmt.Sprint(m.TaskID)
	for _, b := range m.Bundle {
		of += fmt.Sprint(" ", b.TaskID)
	}
	l.mu.Lock()
	if before := l.contents[m.ID]; before != "" && before != of {
		l.Errorf("delivery %s told of the tasks %s, and now of %s", m.ID, before, of)
	}
	l.contents[m.ID] = of
	p := l.current // a sender sends one of a user's after the other
	if other, there := l.senders[m.ID]; there && began.Sub(other) < lease {
		l.Errorf("delivery %s is sent while another sender has it, since %v", m.ID, began.Sub(other))
	}
	l.senders[m.ID] = began
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.senders[m.ID].Equal(began) {
			delete(l.senders, m.ID)
		}
	}()
	count := func(in map[uuid.UUID]int) func() {
		return func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			in[m.ID]++
		}
	}
	if err := l.call(p, count(l.mails), count(l.doubted), func() bool { return l.now.Sub(began) < sendTimeout }); err != nil {
		return &notify.Error{Kind: notify.Unknown, Err: err}
	}
	return nil
}

// end ends what is stopped for ever, once nothing is looked at any more.
func (l *life) end() {
	for _, s := range l.stopped {
		s.goOn <- false
	}
	l.zombies.Wait()
}

// action is something that can happen.
type action struct {
	name string
	do   func()
}

func (a action) String() string { return a.name }

func (l *life) actions() []action {
	list := []action{
		{"time passes", func() {
			l.pass(rapid.SampledFrom([]time.Duration{time.Second, 8 * time.Second, 30 * time.Second, time.Minute, 6 * time.Minute, time.Hour}).Draw(l.T, "how long"))
		}},
		{"sweep", func() { l.step(l.drawFaults(), l.sweep) }},
		{"a sweep, when all is settled", func() {
			l.pass(6 * time.Minute)
			l.step(nil, l.sweep)
		}},
		{"cleanup", func() { l.step(l.drawFaults(), l.cleanup) }},
		{"another horizon", l.setHorizon},
		{"another zone", func() {
			l.choose(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York"}).Draw(l.T, "zone"), l.quiet)
		}},
		{"other bundles", func() { l.bundle(l.drawBundle()) }},
		{"other quiet hours", func() { l.choose(l.zone, l.drawQuietHours()) }},
	}
	if len(l.tasks) < 3 {
		list = append(list, action{"create", func() { l.create(l.drawFaults()) }}, action{"create", func() { l.create(l.drawFaults()) }},
			action{"a change overtakes a schedule", l.overtake})
	}
	if len(l.tasks) > 0 {
		change := func(do func(uuid.UUID)) func() {
			return func() { do(rapid.SampledFrom(l.tasks).Draw(l.T, "task")) }
		}
		list = append(list, action{"update", change(l.update)}, action{"update", change(l.update)}, action{"delete", change(l.remove)},
			action{"close an occurrence", change(l.closeOccurrence)}, action{"close an occurrence", change(l.closeOccurrence)},
			action{"snooze", change(l.snooze)}, action{"acknowledge", change(l.acknowledge)}, action{"acknowledge", change(l.acknowledge)},
			action{"callback", l.callback}, action{"senders meet", l.meet})
	}
	if due := l.dapr.due(l.now); len(due) > 0 {
		fire := action{"a job fires", func() { l.fireJob(rapid.SampledFrom(due).Draw(l.T, "job"), l.drawFaults()) }}
		list = append(list, fire, fire, action{"Dapr gives up a job", func() {
			delete(l.dapr.jobs, rapid.SampledFrom(due).Draw(l.T, "job").JobName())
		}})
	}
	if slow := slices.DeleteFunc(slices.Clone(l.stopped), func(s *stop) bool { return s.dead }); len(slow) > 0 {
		goOn := action{"a stopped process goes on", func() {
			s := slow[rapid.IntRange(0, len(slow)-1).Draw(l.T, "which")]
			faults := l.drawFaults()
			if l.now.Sub(s.began) > slowest {
				faults = l.drawRefusal()
			}
			l.goOn(s, true, faults)
		}}
		list = append(list, goOn, goOn, goOn)
	}
	if len(l.dapr.jobs) > 0 {
		list = append(list, action{"Dapr loses its data", func() {
			l.unnoticed = l.unnoticed || l.count(`sentinel`) == 0
			clear(l.dapr.jobs)
		}})
	}
	return list
}

// drawFaults says what happens to a step's first calls.
func (l *life) drawFaults() []mishap {
	if rapid.Bool().Draw(l.T, "all goes well") {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom([]mishap{none, refused, unanswered, slowBefore, slowAfter, slowDies, diesBefore, diesAfter}), 1, 3).Draw(l.T, "mishaps")
}

// drawRefusal says whether a step's first call fails.
func (l *life) drawRefusal() []mishap {
	return rapid.SampledFrom([][]mishap{nil, {refused}}).Draw(l.T, "refused")
}

// sweep makes a sweep. A step may fail by what a fault does to Dapr, and by nothing else.
func (l *life) sweep(ctx context.Context) error {
	sum, _ := l.sweeper().Sweep(ctx)
	for _, s := range sum.Steps {
		if s.Error != "" && !strings.Contains(s.Error, errFault.Error()) && !strings.Contains(s.Error, "Dapr has taken none") {
			return fmt.Errorf("%s: %s", s.Name, s.Error)
		}
	}
	return nil
}

func (l *life) cleanup(ctx context.Context) error {
	l.cleaner().Cleanup(ctx, false)
	return nil
}

// draft changes what is to be reminded of.
func (l *life) draft(d *task.Draft) {
	due := l.now.Add(rapid.SampledFrom([]time.Duration{-48 * time.Hour, -time.Minute, 10 * time.Second, time.Minute, time.Hour, 72 * time.Hour}).Draw(l.T, "due in"))
	d.DueDate, d.Due, d.Recurrence = &due, task.Due{}, nil
	switch rapid.SampledFrom([]string{"an instant", "where she is", "recurring"}).Draw(l.T, "form") {
	case "where she is":
		d.DueDate, d.Due = nil, task.Due{Form: task.ByClock, Local: wallclock.At(due, preferences.Zone(l.zone))}
	case "recurring":
		d.DueDate, d.Due = nil, task.Due{Form: task.ByClock, Local: wallclock.At(due, preferences.Zone(l.zone))}
		d.Recurrence = &recurrence.Definition{
			Rule: rapid.SampledFrom([]string{"FREQ=HOURLY;COUNT=3", "FREQ=HOURLY;INTERVAL=2;COUNT=2"}).Draw(l.T, "rule"),
			Skip: recurrence.Omit, From: rapid.SampledFrom([]recurrence.From{recurrence.Schedule, recurrence.Schedule, recurrence.Completion}).Draw(l.T, "from"),
		}
	}
	d.Before = rapid.SampledFrom([][]task.Offset{task.Exactly(0), task.Exactly(0, 30*time.Minute)}).Draw(l.T, "before")
	d.Repeat = rapid.SampledFrom([]*task.Repeat{nil, nil, {Every: time.Minute, Times: 2}}).Draw(l.T, "repeat")
}

func (l *life) create(faults []mishap) {
	d := task.Draft{Title: "x"}
	if d.Urgent = rapid.Bool().Draw(l.T, "urgent"); d.Urgent {
		d.Title = urgent
	}
	l.draft(&d)
	l.step(faults, func(ctx context.Context) error {
		_, err := l.planner().Create(ctx, ada, d, nil)
		return err
	})
}

// urgent is what titles of urgent tasks begin with.
const urgent = "!"

// overtake creates a task that is scheduled slowly, at once or by a later sweep, and
// mostly changes it meanwhile.
func (l *life) overtake() {
	before := slices.Clone(l.tasks)
	slow := rapid.SampledFrom([]mishap{slowBefore, slowAfter, slowDies}).Draw(l.T, "how")
	if rapid.Bool().Draw(l.T, "at once") {
		l.create([]mishap{slow})
	} else {
		l.create([]mishap{refused, refused})
		l.pass(6 * time.Minute)
		l.step([]mishap{none, slow}, l.sweep) // the first call is about the sentinel
	}
	l.look()
	for _, id := range l.tasks {
		if !slices.Contains(before, id) {
			rapid.SampledFrom([]func(uuid.UUID){l.update, l.remove, func(uuid.UUID) {}}).Draw(l.T, "then")(id)
		}
	}
}

// meet has a sweep fire what is overdue, and a callback send it, slowly, before the
// sweep does.
func (l *life) meet() {
	l.step([]mishap{slowBefore}, l.sweep) // at the first call after firing
	l.look()
	for _, w := range l.wakes {
		if r := l.held[w.ReminderID]; r.state == "fired" && r.revision == w.Number {
			l.step([]mishap{rapid.SampledFrom([]mishap{none, refused, slowBefore, slowAfter}).Draw(l.T, "the send")}, func(ctx context.Context) error { return l.fire(ctx, w) })
		}
	}
}

func (l *life) update(id uuid.UUID) {
	var change func(*task.Draft)
	switch rapid.SampledFrom([]string{"move", "complete", "reopen", "no due date", "title", "urgent"}).Draw(l.T, "change") {
	case "move":
		var to task.Draft
		l.draft(&to)
		change = func(d *task.Draft) {
			d.DueDate, d.Due, d.Recurrence, d.Before, d.Repeat = to.DueDate, to.Due, to.Recurrence, to.Before, to.Repeat
		}
	case "complete":
		change = func(d *task.Draft) { d.Completed = true }
	case "reopen":
		change = func(d *task.Draft) { d.Completed = false }
	case "no due date":
		change = func(d *task.Draft) { d.DueDate, d.Due, d.Recurrence = nil, task.Due{}, nil }
	case "title":
		change = func(d *task.Draft) { d.Title += "x" }
	case "urgent":
		change = func(d *task.Draft) {
			if d.Urgent = !d.Urgent; d.Urgent {
				d.Title = urgent + d.Title
			} else {
				d.Title = strings.TrimPrefix(d.Title, urgent) + "x" // it must not be empty
			}
		}
	}
	l.step(l.drawFaults(), func(ctx context.Context) error {
		_, err := l.planner().Update(ctx, ada, id, func(t task.Task) (task.Draft, error) {
			change(&t.Draft)
			return t.Draft, nil
		})
		return err
	})
}

// errNothingToClose is why nothing was closed.
var errNothingToClose = fault.NotFound("no occurrence is open")

// closeOccurrence completes or skips the current occurrence of a recurring task.
func (l *life) closeOccurrence(id uuid.UUID) {
	to := rapid.SampledFrom([]task.Settled{task.Completed, task.Skipped}).Draw(l.T, "to")
	l.step(l.drawFaults(), func(ctx context.Context) error {
		_, err := l.planner().Close(ctx, ada, id, to, func(t task.Task) (local wallclock.Time, err error) {
			if current, _ := t.Current(t.Clock, l.now); current != nil {
				return current.Local, nil
			}
			return local, errNothingToClose
		})
		return err
	})
}

// which is the current occurrence of a task.
func (l *life) which(t task.Task) (*wallclock.Time, error) {
	if !t.Recurs() {
		return nil, nil
	}
	if current, _ := t.Current(t.Clock, l.now); current != nil {
		return &current.Local, nil
	}
	return nil, errNothingToClose
}

// snooze snoozes the current occurrence, if there is anything to be told.
func (l *life) snooze(id uuid.UUID) {
	s := task.Snooze{For: task.Offset{Exact: rapid.SampledFrom([]time.Duration{time.Minute, time.Hour}).Draw(l.T, "for")}}
	l.step(l.drawFaults(), func(ctx context.Context) error {
		_, err := l.planner().Snooze(ctx, ada.ID, id, l.which, s)
		if fault.CodeOf(err) == fault.CodeConflict {
			return nil // it is completed, or has no due date
		}
		return err
	})
}

// acknowledge acknowledges the current occurrence. If nothing has happened since, nothing of it is still to
// be sent or repeated.
func (l *life) acknowledge(id uuid.UUID) {
	var of *wallclock.Time
	acknowledged, stopped := false, len(l.stopped)
	l.step(l.drawFaults(), func(ctx context.Context) error {
		_, err := l.planner().Acknowledge(ctx, ada.ID, id, func(t task.Task) (_ *wallclock.Time, err error) {
			of, err = l.which(t)
			return of, err
		})
		acknowledged = err == nil
		return err
	})
	if len(l.stopped) > stopped || !acknowledged {
		return
	}
	occurrence := "null"
	if of != nil {
		occurrence = fmt.Sprintf("timestamp '%s'", of.UTC().Format(time.DateTime))
	}
	for _, left := range []string{
		`reminders where kind = 'repeat' and state = 'armed'`,
		`deliveries d join tasks t on t.id = d.task_id and t.series = coalesce(d.series, t.series) where d.state in ('planned', 'sending', 'unknown')`,
		`notifications n join deliveries d on d.id = n.id join tasks t on t.id = d.task_id and t.series = coalesce(d.series, t.series) where n.acknowledged_at is null`,
	} {
		of := "d."
		if strings.HasPrefix(left, "reminders") {
			of = ""
		}
		if n := l.count(fmt.Sprintf(`%s and %stask_id = '%s' and %soccurrence is not distinct from %s`, left, of, id, of, occurrence)); n > 0 {
			l.Errorf("%d are left of what was acknowledged: %s", n, left)
		}
	}
}

func (l *life) remove(id uuid.UUID) {
	l.step(l.drawFaults(), func(ctx context.Context) error { return l.planner().Delete(ctx, ada.ID, id, anyVersion) })
}

// callback is one that Dapr should not make: a second one, one that is
// stale, one that comes too early.
func (l *life) callback() {
	if len(l.wakes) == 0 {
		return
	}
	w := rapid.SampledFrom(l.wakes).Draw(l.T, "callback")
	if r := l.held[w.ReminderID]; r.state == "armed" && r.fireAt.After(l.now) && r.fireAt.Sub(l.now) <= task.EarlyTolerance {
		return // it would wait, and time stands still
	}
	l.step(l.drawFaults(), func(ctx context.Context) error { return l.fire(ctx, w) })
}

// fire makes a callback. One for an old revision does nothing, and is told so.
func (l *life) fire(ctx context.Context, w task.Revision) error {
	r, there := l.held[w.ReminderID]
	o, err := l.firer.Fire(ctx, w)
	if !there && (o.Status != fire.Skipped || err != nil) {
		l.Errorf("a callback for what is not there: %+v, %v", o, err)
	}
	if there && (r.recurs || r.besides) && r.revision > w.Number && o.Status == fire.InProgress && l.reminders[key{w.ReminderID, w.Number}].fired {
		return err // it waits for its next occurrence or repetition, and something of this one is still to be sent
	}
	if there && r.revision != w.Number && (o != fire.Outcome{Status: fire.Skipped, Reason: task.ReasonSuperseded} || err != nil) {
		l.Errorf("a callback for revision %d of %+v: %+v, %v", w.Number, r, o, err)
	}
	return err
}

// fireJob is what Dapr does with a job that is due: it is done with it if the answer
// is a good one, and comes again if not.
func (l *life) fireJob(w task.Revision, faults []mishap) {
	if r := l.held[w.ReminderID]; r.state == "armed" && r.fireAt.After(l.now) && r.fireAt.Sub(l.now) <= task.EarlyTolerance {
		return
	}
	l.step(faults, func(ctx context.Context) error {
		err := l.fire(ctx, w)
		if err == nil {
			l.dapr.mu.Lock()
			defer l.dapr.mu.Unlock()
			delete(l.dapr.jobs, w.JobName())
		}
		return err
	})
}

// look notes what has become of everything, and that nothing has that never may.
func (l *life) look() {
	ctx := context.Background()
	l.tasks = nil
	seen := map[uuid.UUID]row{}
	rows, _ := l.conn.Query(ctx, `
		select r.id, r.task_id, r.revision, r.state, r.fire_at, r.occurrence is not null, r.kind <> 'due', r.removed_at is not null or t.deleted_at is not null, t.deleted_at is null
		from reminders r join tasks t on t.id = r.task_id order by r.id`)
	var id uuid.UUID
	var r row
	var there bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &r.taskID, &r.revision, &r.state, &r.fireAt, &r.recurs, &r.besides, &r.goes, &there}, func() error {
		seen[id] = r
		if there && !slices.Contains(l.tasks, r.taskID) {
			l.tasks = append(l.tasks, r.taskID)
		}
		if r.revision == 0 {
			return nil
		}
		k := key{id, r.revision}
		known, old := l.reminders[k]
		if !old {
			l.wakes = append(l.wakes, task.Revision{TaskID: r.taskID, UserID: ada.ID, ReminderID: id, Number: r.revision})
		}
		if r.state == "fired" && !known.fired {
			if known.cancelled {
				l.Errorf("%v has fired after it was cancelled", k)
			}
			if r.fireAt.After(l.now) {
				l.Errorf("%v has fired %v early", k, r.fireAt.Sub(l.now))
			}
			known.fired = true
		}
		if !known.fired && (r.state == "cancelled" || r.state == "missed") {
			known.cancelled = true
		}
		l.reminders[k] = known
		return nil
	}); err != nil {
		l.Fatal(err)
	}
	l.lookAtDeliveries()
	for k, known := range l.reminders {
		now, there := seen[k.reminder]
		if there && now.revision > k.revision && !known.fired {
			known.cancelled = true
			l.reminders[k] = known
		}
	}
	for id, r := range l.held {
		if _, there := seen[id]; !there && !r.goes {
			l.Errorf("reminder %s is gone, and was of use: %+v", id, r)
		}
	}
	l.held = seen
}

// lookAtDeliveries notes the deliveries. Those of an occurrence, and of repetitions, are all that shows that
// the reminder has fired, if that waits for the next by now. What is told is repeated, if its task says so.
func (l *life) lookAtDeliveries() {
	rows, _ := l.conn.Query(context.Background(), `
		select d.id, d.reminder_id, d.revision, d.channel, d.state, coalesce(d.reason, ''), d.task_id, d.due_at, coalesce(d.bundle_id, d.id), case when d.occurrence is null then '' else format('%s %s', d.series, d.occurrence) end, r.kind <> 'due',
			r.kind <> 'repeat' and t.repeat_every is not null and not exists (select from reminders again where again.repeats = r.id)
		from deliveries d join reminders r on r.id = d.reminder_id join tasks t on t.id = r.task_id`)
	var id uuid.UUID
	var s sending
	var occurrence string
	var besides, silent bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &s.reminder, &s.revision, &s.channel, &s.state, &s.reason, &s.taskID, &s.due, &s.sentAs, &occurrence, &besides, &silent}, func() error {
		_, old := l.deliveries[id]
		l.deliveries[id] = s
		if !old && silent {
			l.Errorf("%v is not repeated", s.key)
		}
		if occurrence == "" && !besides || old {
			return nil
		}
		known := l.reminders[s.key]
		if known.cancelled {
			l.Errorf("%v has fired after it was cancelled", s.key)
		}
		known.fired = true
		l.reminders[s.key] = known
		if besides {
			return nil
		}
		of := told{s.reminder, s.channel, occurrence}
		if l.told[of] {
			l.Errorf("%+v was told twice", of)
		}
		l.told[of] = true
		return nil
	}); err != nil {
		l.Fatal(err)
	}
}

// told is what a reminder has told of an occurrence on a channel.
type told struct {
	reminder            uuid.UUID
	channel, occurrence string
}

// settleAll lets everything come to its end, without further faults.
func (l *life) settleAll() {
	for _, s := range slices.Clone(l.stopped) {
		if !s.dead {
			l.goOn(s, rapid.Bool().Draw(l.T, "it goes on"), l.drawRefusal())
			l.look()
		}
	}
	l.pass(6 * time.Minute)
	l.step(nil, l.sweep) // it needs no list of all jobs
	l.look()
	for _, name := range l.dapr.names() {
		job, ours := task.ParseJobName(name)
		if l.made[job.ReminderID] != nil && job.Number == 1 {
			continue // its process died before it was stored, or may have: it will find nothing, if so
		}
		if l.reminders[key{job.ReminderID, job.Number}].fired {
			continue // its callback is still to come, and finds that done
		}
		if r := l.held[job.ReminderID]; ours && (r.revision != job.Number || r.state != "armed" && r.state != "fired") {
			l.Errorf("%s means nothing and was left with Dapr: %+v", name, r)
		}
	}
	for id, r := range l.held {
		w := task.Revision{ReminderID: id, Number: r.revision}
		if r.state == "armed" && r.fireAt.After(l.now) && !r.fireAt.After(l.horizon.Until(l.now)) && !l.unnoticed && !slices.Contains(l.dapr.names(), w.JobName()) {
			l.Errorf("%s lies ahead, and is not with Dapr", w.JobName())
		}
	}
	l.pass(80 * time.Hour) // everything is due, also five hours to the west
	for range 12 {
		for _, w := range l.dapr.due(l.now) {
			l.fireJob(w, nil)
			l.look()
		}
		l.step(nil, l.sweep)
		l.look()
		l.pass(20 * time.Minute)
	}
	l.step(nil, l.cleanup)
	l.look()
}

// check looks whether all is as it should be in the end.
func (l *life) check() {
	notifications := map[uuid.UUID]int{}
	rows, _ := l.conn.Query(context.Background(), `select id from notifications`)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		l.Fatal(err)
	}
	for _, id := range ids {
		notifications[id]++
	}
	planned := map[key]map[string]int{}
	for id, d := range l.deliveries {
		if planned[d.key] == nil {
			planned[d.key] = map[string]int{}
		}
		planned[d.key][d.channel]++
		mails, doubted := l.mails[d.sentAs], l.doubted[d.sentAs]
		switch {
		case d.channel == "in_app" && (d.state != "sent" || notifications[id] != 1):
			l.Errorf("%v is %s and %d times in the inbox", d, d.state, notifications[id])
		case d.channel == "in_app":
		case d.state == "sent" && mails < 1, mails > 1+doubted:
			l.Errorf("%v: the provider took %d, %d of them in doubt", d, mails, doubted)
		case d.reason == "replaced" && !slices.ContainsFunc(slices.Collect(maps.Values(l.deliveries)), func(n sending) bool { return n.replaces(d) && n.reason != "replaced" }):
			l.Errorf("%v was replaced by nothing", d)
		case d.state != "sent" && d.state != "cancelled":
			l.Errorf("%v is not done", d)
		}
	}
	for k, r := range l.reminders {
		want := 0
		if r.fired {
			want = 1
		} else if !r.cancelled {
			l.Errorf("%v was neither fired nor cancelled: %+v", k, l.held[k.reminder])
		}
		if planned[k]["in_app"] != want || planned[k]["email"] != want {
			l.Errorf("%v (%+v) has deliveries %v", k, r, planned[k])
		}
	}
	if n := l.count(`leftover_jobs`); n != 0 {
		l.Errorf("%d leftover jobs are still recorded", n)
	}
	for _, name := range l.dapr.names() {
		if _, ours := task.ParseJobName(name); ours || !l.dapr.tooMany && l.count(`sentinel where name = '`+name+`'`) == 0 {
			l.Errorf("%s was left with Dapr", name)
		}
	}
}

func (l *life) count(from string) (n int) {
	if err := l.conn.QueryRow(context.Background(), `select count(*) from `+from).Scan(&n); err != nil {
		l.Fatal(err)
	}
	return n
}
