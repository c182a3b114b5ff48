package life_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
	"github.com/duebell/duebell/shared/verify"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// recorder is a Scheduler that keeps what it was asked for.
type recorder struct {
	mu        sync.Mutex
	scheduled []call
	deleted   []string // as named by name
	published []string
	kept      []string               // jobs that are to be there for ever
	err       error                  // what both calls answer
	onCall    func(context.Context)  // runs in each call, outside the lock
	fire      func(task.Revision)    // if set, called at each instant
	timers    map[string]*time.Timer // by name
}

// call is a callback that was asked for.
type call struct {
	task.Revision
	At time.Time
}

// name says which callback is meant, as a job's name does.
func name(reminderID uuid.UUID, revision int64) string {
	return fmt.Sprintf("%s %d", reminderID, revision)
}

func (r *recorder) Schedule(ctx context.Context, w task.Revision, at time.Time) error {
	if r.onCall != nil {
		r.onCall(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.scheduled = append(r.scheduled, call{w, at})
	if r.fire != nil {
		if r.timers == nil {
			r.timers = map[string]*time.Timer{}
		}
		r.timers[name(w.ReminderID, w.Number)] = time.AfterFunc(time.Until(at), func() { r.fire(w) })
	}
	return nil
}

func (r *recorder) Delete(_ context.Context, w task.Revision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.deleted = append(r.deleted, name(w.ReminderID, w.Number))
	if t := r.timers[name(w.ReminderID, w.Number)]; t != nil {
		t.Stop()
	}
	return nil
}

// mailbox is a channel that keeps what it was given.
type mailbox struct {
	mu       sync.Mutex
	messages []notify.Message
	answer   func(notify.Message) error // nil: accept
}

func (m *mailbox) Send(_ context.Context, msg notify.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(m.messages, msg)
	if m.answer != nil {
		return m.answer(msg)
	}
	return nil
}

func (m *mailbox) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.messages)
}

// world is everything but Dapr and the providers, for real.
type world struct {
	*testing.T
	url     string
	store   *store.Store
	dapr    *recorder
	mail    *mailbox
	clock   func() time.Time
	planner *schedule.Planner
	firer   *teller
}

// links are what owners of addresses are asked by.
var links = verify.Links{PublicURL: "https://api.example.com", Keys: verify.Keys{Keys: []config.Secret{"a-key-for-tests-of-at-least-32-characters"}}}

var settings = deliver.Rules{
	Suppression: suppress.Keys{Keys: []config.Secret{"a-key-for-tests-of-at-least-32-characters"}},
	SendTimeout: time.Second, Lease: 10 * time.Second, MaxAttempts: 3, Concurrent: 64, PerUser: 64,
}

// teller fires reminders, and sends what they have planned, each time like a process of
// its own.
type teller struct {
	*fire.Firer
	newSender func() *deliver.Sender
	mover     *schedule.Mover
	woken     atomic.Int64 // how often a sender was to be woken
}

func newTeller(s *store.Store, channels deliver.Channels, clock func() time.Time, rules deliver.Rules) *teller {
	t := &teller{newSender: func() *deliver.Sender { return deliver.NewSender(s, channels, rules, links) }}
	t.mover = schedule.NewMover(s, clock, schedule.MoveRules{PastGrace: 24 * time.Hour})
	t.Firer = fire.New(s, fire.Channels(channels.Names()), rules.Suppression, t.mover, func() { t.woken.Add(1) }, clock)
	return t
}

// Fire fires a reminder, as its callback does, and has what is due sent.
func (t *teller) Fire(ctx context.Context, r task.Revision) (fire.Outcome, error) {
	o, err := t.Firer.Fire(ctx, r)
	t.send()
	return o, err
}

// send sends what is due.
func (t *teller) send() { <-t.newSender().Wake() }

// sweeper sweeps, and sends what is due.
type sweeper struct {
	*upkeep.Sweeper
	teller *teller
}

func newSweeper(s *store.Store, dapr upkeep.Dapr, t *teller, clock func() time.Time, rules upkeep.SweepRules) sweeper {
	var firer *fire.Firer
	mover := schedule.NewMover(s, clock, schedule.MoveRules{PastGrace: 24 * time.Hour})
	wake := func(context.Context) error { return nil }
	if t != nil {
		firer, mover = t.Firer, t.mover
		wake = func(context.Context) error { t.woken.Add(1); return nil }
	}
	return sweeper{upkeep.NewSweeper(s, dapr, firer, mover, wake, clock, rules), t}
}

// Sweep returns what the failed steps said as an error.
func (s sweeper) Sweep(ctx context.Context) (upkeep.Summary, error) {
	sum := s.Sweeper.Sweep(ctx)
	if s.teller != nil {
		s.teller.send()
	}
	var errs []error
	for _, step := range sum.Steps {
		if step.Error != "" && !step.CutShort {
			errs = append(errs, fmt.Errorf("%s: %s", step.Name, step.Error))
		}
	}
	return sum, errors.Join(errs...)
}

func newWorld(t *testing.T, clock func() time.Time) *world {
	t.Helper()
	s, url := storetest.Open(t)
	return newWorldOn(t, s, url, clock)
}

func newWorldOn(t *testing.T, s *store.Store, url string, clock func() time.Time) *world {
	w := &world{T: t, url: url, store: s, dapr: &recorder{}, mail: &mailbox{}, clock: clock}
	w.planner = schedule.NewPlanner(s, w.dapr, clock, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second})
	w.firer = newTeller(s, byEmail(w.mail), clock, settings)
	return w
}

// byEmail is e-mail with one provider.
func byEmail(p deliver.Channel) deliver.Channels {
	return deliver.Channels{task.Email: {{Name: "sendgrid", Channel: p}}}
}

// forever is up to when reminders are with Dapr without a horizon.
var forever = task.Horizon{}.Until(time.Time{})

var ada = store.User{ID: "ada", Email: ptr("ada@example.com")}

func anyVersion(task.Task) error { return nil }

func ptr[T any](v T) *T { return &v }

func (w *world) create(d task.Draft) task.Task {
	w.Helper()
	if d.Title == "" {
		d.Title = "Pay rent"
	}
	if d.Before == nil {
		d.Before = task.DefaultBefore()
	}
	if err := d.Validate(); err != nil {
		w.Fatal(err)
	}
	created, err := w.planner.Create(w.Context(), ada, d, nil)
	if err != nil {
		w.Fatal(err)
	}
	return created
}

func (w *world) update(id uuid.UUID, change func(*task.Draft)) task.Task {
	w.Helper()
	updated, err := w.planner.Update(w.Context(), ada, id, func(t task.Task) (task.Draft, error) {
		change(&t.Draft)
		return t.Draft, t.Validate()
	})
	if err != nil {
		w.Fatal(err)
	}
	return updated
}

// wake is the callback for a task's first reminder.
func wake(t task.Task) task.Revision {
	r := t.Reminders[0]
	return task.Revision{TaskID: t.ID, UserID: t.UserID, ReminderID: r.ID, Number: r.Revision}
}

// email returns the id of the one delivery by e-mail.
func (w *world) email() uuid.UUID {
	w.Helper()
	return uuid.MustParse(w.column(`select id::text from deliveries where channel = 'email'`)[0])
}

// lease takes a delivery, nil if there is nothing to take.
func (w *world) lease(id uuid.UUID, d time.Duration, providers map[task.Channel][]string) (*store.Leased, error) {
	leased, err := w.store.Lease(w.Context(), store.LeaseRules{For: d, Providers: providers}, store.Wanted{ID: id})
	if err != nil || len(leased) == 0 {
		return nil, err
	}
	return leased[0], nil
}

func (w *world) fire(wake task.Revision) fire.Outcome {
	w.Helper()
	o, err := w.firer.Fire(w.Context(), wake)
	if err != nil {
		w.Fatal(err)
	}
	return o
}

func (w *world) inbox() []store.Received {
	w.Helper()
	list, err := w.store.ListNotifications(w.Context(), ada.ID, store.InboxPage{Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	return list
}

// choose stores ada's preferences.
func (w *world) choose(change func(*preferences.Preferences)) { w.Helper(); w.chooseFor(ada, change) }

// chooseFor stores a user's preferences. Owners of addresses have agreed to them, unless
// something is said about that.
func (w *world) chooseFor(user store.User, change func(*preferences.Preferences)) {
	w.Helper()
	if err := w.store.SaveUser(w.Context(), user); err != nil {
		w.Fatal(err)
	}
	err := w.store.InTx(w.Context(), func(ctx context.Context, tx store.Tx) error {
		p, _, err := tx.LockPreferences(ctx, user.ID)
		if err != nil {
			return err
		}
		before := p
		change(&p)
		if slices.Equal(p.Verified, before.Verified) {
			p.Verified = p.Addresses()
		}
		p.Version++
		if err := tx.SavePreferences(ctx, user.ID, p); err != nil {
			return err
		}
		return schedule.MoveAgenda(ctx, tx, user.ID, before, p, w.firer.mover.Clock(p), w.clock())
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) reload(id uuid.UUID) task.Task {
	w.Helper()
	t, err := w.store.GetTask(w.Context(), ada.ID, id)
	if err != nil {
		w.Fatal(err)
	}
	return t
}

// exec runs SQL as a fault would: past the code.
func (w *world) exec(sql string) {
	w.Helper()
	c, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), sql); err != nil {
		w.Fatal(err)
	}
}

// hold takes locks by SQL, says so, keeps them for a while, and closes the channel.
func (w *world) hold(sql string, taken chan<- struct{}, while time.Duration) {
	w.Helper()
	defer close(taken) // once the connection is, and the locks are gone
	c, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Error(err)
		return
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), "begin; "+sql); err != nil {
		w.Error(err)
		return
	}
	taken <- struct{}{}
	time.Sleep(while)
}

// column returns what a query gives, past the code.
func (w *world) column(sql string) []string {
	w.Helper()
	c, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close(context.Background())
	rows, _ := c.Query(context.Background(), sql)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.Fatal(err)
	}
	return list
}

func (w *world) deliveries(id uuid.UUID) (states []string) {
	w.Helper()
	log, err := w.store.ListDeliveries(w.Context(), ada.ID, id)
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range log {
		states = append(states, fmt.Sprintf("%s %s", d.Channel, d.State))
	}
	slices.Sort(states)
	return states
}

var errDown = errors.New("connection refused")
