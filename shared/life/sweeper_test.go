package life_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
)

var sweepRules = upkeep.SweepRules{Budget: 30 * time.Second, Concurrent: 8, Calls: 8}

func (w *world) sweep() upkeep.Summary {
	w.Helper()
	sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules).Sweep(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return sum
}

func TestSweepFiresWhatIsOverdue(t *testing.T) {
	w := newWorld(t, time.Now)
	due := task.Instant(time.Now().Add(-time.Minute))
	for range 3 {
		w.create(task.Draft{DueDate: &due})
	}
	later := task.Instant(time.Now().Add(time.Hour))
	w.create(task.Draft{DueDate: &later})

	sum := w.sweep()
	if diff := cmp.Diff(map[string]int{"success": 3}, sum.Fired); diff != "" || !sum.Complete || sum.OldestWaitingSeconds["firing"] != 0 {
		t.Errorf("%+v", sum)
	}
	if len(w.inbox()) != 3 || w.mail.count() != 3 {
		t.Errorf("%d in the inbox, %d e-mails", len(w.inbox()), w.mail.count())
	}
	if again := w.sweep(); len(again.Fired) != 0 || w.mail.count() != 3 {
		t.Errorf("the second sweep: %+v", again)
	}
}

func TestSweepSendsWhatIsDue(t *testing.T) {
	w := newWorld(t, time.Now)
	due := task.Instant(time.Now().Add(-time.Minute))
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	first, second := w.create(task.Draft{DueDate: &due}), w.create(task.Draft{DueDate: &due})
	for _, created := range []task.Task{first, second} {
		_, _ = w.firer.Fire(t.Context(), wake(created))
	}
	if w.sweep(); w.mail.count() != 2 {
		t.Errorf("before they are due: %d e-mails", w.mail.count())
	}
	// One is due again, the other's sender has died.
	w.exec(`update deliveries set next_attempt_at = now() - interval '1 s' where next_attempt_at is not null`)
	w.exec(`update deliveries set state = 'sending' where task_id = '` + second.ID.String() + `' and channel = 'email'`)
	if w.sweep(); w.mail.count() != 4 {
		t.Errorf("failing again: %d e-mails", w.mail.count())
	}
	w.mail.answer = nil
	w.exec(`update deliveries set next_attempt_at = now() - interval '1 s' where next_attempt_at is not null`)
	w.sweep()
	for _, created := range []task.Task{first, second} {
		w.want("deliveries", w.deliveries(created.ID), "email sent", "in_app sent")
	}
	if len(w.inbox()) != 2 {
		t.Errorf("%d in the inbox", len(w.inbox()))
	}
}

func TestSweepSchedulesWhatIsPending(t *testing.T) {
	w := newWorld(t, time.Now)
	later := task.Instant(time.Now().Add(time.Hour))
	w.dapr.err = errDown
	created := w.create(task.Draft{DueDate: &later, Before: task.Exactly(0, time.Minute)})

	sweeper := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules)
	sum, err := sweeper.Sweep(t.Context())
	if err == nil || sum.Pending != 2 || sum.Scheduled != 0 {
		t.Errorf("while Dapr is away: %+v, %v", sum, err)
	}
	w.dapr.err = nil
	if sum := w.sweep(); sum.Scheduled != 0 {
		t.Errorf("at once again: %+v, it is too early", sum)
	}
	w.exec(`update reminders set next_schedule_at = now()`)
	if sum := w.sweep(); sum.Scheduled != 2 {
		t.Errorf("Dapr is back: %+v", sum)
	}
	for _, r := range w.reload(created.ID).Reminders {
		if r.Status(forever) != "scheduled" {
			t.Errorf("%s before is %s", r.Before, r.Status(forever))
		}
	}
	if sum := w.sweep(); sum.Scheduled != 0 {
		t.Errorf("nothing is pending: %+v", sum)
	}
}

// The scheduler has lost its data: everything armed is scheduled again.
func TestSweepNoticesThatTheSchedulerLostItsData(t *testing.T) {
	w := newWorld(t, time.Now)
	later := task.Instant(time.Now().Add(time.Hour))
	for range 3 {
		w.create(task.Draft{DueDate: &later})
	}
	for _, want := range []string{"made", "present"} {
		if sum := w.sweep(); sum.Sentinel != want || sum.Unconfirmed != 0 {
			t.Errorf("want %s: %+v", want, sum)
		}
	}
	w.dapr.lose()
	if sum := w.sweep(); sum.Sentinel != "lost" || sum.Unconfirmed != 3 || sum.Scheduled != 3 {
		t.Errorf("after the loss: %+v", sum)
	}
	if len(w.dapr.scheduled) != 3 {
		t.Errorf("%d jobs", len(w.dapr.scheduled))
	}
	if sum := w.sweep(); sum.Sentinel != "present" || sum.Scheduled != 0 {
		t.Errorf("after that: %+v", sum)
	}
}

// A sweep that ends while it takes the confirmations back is repeated by the next.
func TestSweepEndsInTheMiddleOfALoss(t *testing.T) {
	w := newWorld(t, time.Now)
	later := task.Instant(time.Now().Add(time.Hour))
	created := w.create(task.Draft{DueDate: &later})
	w.sweep()
	before, err := w.store.Sentinel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.dapr.lose()
	conn, err := pgx.Connect(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{`begin`, `select from reminders for update`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	rules := sweepRules
	rules.Budget = 5 * time.Second // of which the step has less than the wait for a lock
	sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context())
	if now, readErr := w.store.Sentinel(t.Context()); err != nil || readErr != nil || sum.Sentinel != "lost" || sum.Complete || sum.Unconfirmed != 0 || now == before {
		t.Errorf("held up: %+v, %v; %s, %v", sum, err, now, readErr)
	}
	if _, err := conn.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	if sum := w.sweep(); sum.Sentinel != "lost" || sum.Unconfirmed != 1 || sum.Scheduled != 1 {
		t.Errorf("the next: %+v", sum)
	}
	if sum := w.sweep(); sum.Sentinel != "present" {
		t.Errorf("after that: %+v", sum)
	}
	w.want("scheduled again", w.calls(), name(created.Reminders[0].ID, 1))
}

// The scheduler loses its data once more while the loss is being dealt with, and with it
// what was scheduled after it was found: that shows, too.
func TestLossInTheMiddleOfALoss(t *testing.T) {
	w := newWorld(t, time.Now)
	later := task.Instant(time.Now().Add(time.Hour))
	w.sweep()
	w.dapr.lose()
	var created task.Task
	dapr := markedMeanwhile{w.dapr, func() { // before the new sentinel is there
		created = w.create(task.Draft{DueDate: &later})
		w.dapr.lose()
	}}
	if _, err := newSweeper(w.store, dapr, w.firer, w.clock, sweepRules).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	w.want("scheduled again", w.calls(), name(created.Reminders[0].ID, 1))
}

// markedMeanwhile does something while a new sentinel is set.
type markedMeanwhile struct {
	*fakeDapr
	meanwhile func()
}

func (d markedMeanwhile) Keep(ctx context.Context, name string) error {
	d.meanwhile()
	return d.fakeDapr.Keep(ctx, name)
}

// Several sweeps at once, while the callbacks come too: each message once.
func TestSweepsAtTheSameTime(t *testing.T) {
	w := newWorld(t, time.Now)
	due := task.Instant(time.Now().Add(-time.Minute))
	const tasks = 30
	var made []task.Task
	for range tasks {
		made = append(made, w.create(task.Draft{DueDate: &due}))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules).Sweep(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Go(func() {
		for _, each := range made {
			if _, err := w.firer.Fire(context.Background(), wake(each)); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	w.sweep()
	if len(w.inbox()) != tasks || w.mail.count() != tasks {
		t.Errorf("%d in the inbox, %d e-mails, want %d", len(w.inbox()), w.mail.count(), tasks)
	}
}

// letters are the dead letters, as "state attempts".
func (w *world) letters() (out []string) {
	w.Helper()
	list, _, err := w.store.ListDeadLetters(w.Context(), store.DeadLetterFilter{}, uuid.Nil, 100)
	if err != nil {
		w.Fatal(err)
	}
	for _, l := range list {
		out = append(out, fmt.Sprintf("%s %d", l.State, l.Attempts))
	}
	return out
}

func (w *world) letter() store.DeadLetter {
	w.Helper()
	list, _, err := w.store.ListDeadLetters(w.Context(), store.DeadLetterFilter{}, uuid.Nil, 100)
	if err != nil || len(list) != 1 {
		w.Fatalf("%d dead letters, %v", len(list), err)
	}
	return list[0]
}

// dueNow makes what waits due.
func (w *world) dueNow() {
	w.Helper()
	w.exec(`update deliveries set next_attempt_at = now() - interval '1 s' where next_attempt_at is not null`)
}

func TestDeadLetterOfADelivery(t *testing.T) {
	w := newWorld(t, time.Now)
	var again []bool
	w.mail.answer = func(m notify.Message) error {
		again = append(again, m.Again)
		return &notify.Error{Kind: notify.Retry, Err: errDown}
	}
	due := task.Instant(time.Now().Add(-time.Minute))
	created := w.create(task.Draft{DueDate: &due})
	_, _ = w.firer.Fire(t.Context(), wake(created))
	if got := w.letters(); !slices.Equal(got, []string{"retrying 1"}) {
		t.Fatalf("after the first failure: %v", got)
	}
	for range settings.MaxAttempts {
		w.dueNow()
		w.sweep()
	}
	l := w.letter()
	if l.State != store.Dead || l.Attempts != settings.MaxAttempts || !strings.Contains(l.Error, errDown.Error()) || !strings.Contains(l.Data, created.ID.String()) {
		t.Errorf("given up: %+v", l)
	}
	if want := []string{"reminder-alerts " + l.ID.String()}; !slices.Equal(w.dapr.published, want) {
		t.Errorf("published %v, want %v", w.dapr.published, want)
	}

	w.mail.answer = func(m notify.Message) error {
		again = append(again, m.Again)
		return nil
	}
	if _, err := w.store.ReplayDeadLetter(t.Context(), l.ID, false); err != nil {
		t.Fatal(err)
	}
	w.dueNow()
	w.sweep()
	if got := w.letters(); !slices.Equal(got, []string{"resolved 3"}) || !slices.Contains(w.deliveries(created.ID), "email sent") {
		t.Errorf("after the replay: %v, %v", got, w.deliveries(created.ID))
	}
	if want := []bool{false, true, true, true}; !slices.Equal(again, want) {
		t.Errorf("sends again: %v, want %v", again, want)
	}
	w.mail.answer = nil
	sent := w.mail.count()
	if _, err := w.store.ReplayDeadLetter(t.Context(), l.ID, false); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("replaying what was sent: %v", err)
	}
	w.sweep()
	if w.mail.count() != sent {
		t.Error("it was sent again")
	}
	if _, err := w.store.ReplayDeadLetter(t.Context(), l.ID, true); err != nil {
		t.Errorf("forced: %v", err)
	}
	w.dueNow()
	w.sweep()
	if w.mail.count() != sent+1 {
		t.Errorf("forced: %d e-mails, want %d", w.mail.count(), sent+1)
	}
	if len(w.inbox()) != 1 {
		t.Errorf("%d in the inbox", len(w.inbox()))
	}
}

func TestDeadLetterIsResolvedByItself(t *testing.T) {
	for what, c := range map[string]struct {
		then func(*world, task.Task)
		want string
	}{
		"later success": {func(w *world, _ task.Task) { w.mail.answer = nil; w.dueNow(); w.sweep() }, "resolved 1"},
		"cancelled":     {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Completed = true }) }, "resolved 1"},
		"refused for good": {func(w *world, _ task.Task) {
			w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Permanent, Err: errDown} }
			w.dueNow()
			w.sweep()
		}, "resolved 1"},
		"discarded": {func(w *world, _ task.Task) {
			if err := w.store.DiscardDeadLetter(w.Context(), w.letter().ID); err != nil {
				w.Fatal(err)
			}
			w.mail.answer = nil
			w.dueNow()
			w.sweep()
			if w.mail.count() != 1 {
				w.Errorf("sent after it was discarded")
			}
		}, "discarded 1"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, time.Now)
			w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
			due := task.Instant(time.Now().Add(-time.Minute))
			created := w.create(task.Draft{DueDate: &due})
			_, _ = w.firer.Fire(t.Context(), wake(created))
			c.then(w, created)
			if got := w.letters(); !slices.Equal(got, []string{c.want}) {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

func TestPermanentFailureIsNoDeadLetter(t *testing.T) {
	w := newWorld(t, time.Now)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Permanent, Err: errDown} }
	due := task.Instant(time.Now().Add(-time.Minute))
	w.create(task.Draft{DueDate: &due})
	w.sweep()
	w.sweep()
	if got := w.letters(); len(got) != 0 || w.mail.count() != 1 {
		t.Errorf("%v, %d tries", got, w.mail.count())
	}
}

func TestMalformedCallbackIsKeptOnce(t *testing.T) {
	w := newWorld(t, time.Now)
	for range 3 {
		if err := w.store.KeepMalformed(t.Context(), "x", []byte("\x00\xff{"), "no JSON"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.store.KeepMalformed(t.Context(), "y", bytes.Repeat([]byte("é"), 50_000), "too long"); err != nil {
		t.Fatal(err)
	}
	if got := w.letters(); !slices.Equal(got, []string{"dead 1", "dead 3"}) {
		t.Errorf("%v", got)
	}
	list, _, _ := w.store.ListDeadLetters(t.Context(), store.DeadLetterFilter{State: store.Dead}, uuid.Nil, 10)
	if _, err := w.store.ReplayDeadLetter(t.Context(), list[0].ID, true); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("replayed: %v", err)
	}
	// The broker is away: the operators are told by a later sweep, once.
	w.dapr.err = errDown
	sweeper := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules)
	if sum, _ := sweeper.Sweep(t.Context()); sum.Alerts != 0 || sum.FailedAlerts != 2 {
		t.Errorf("the broker is away: %+v", sum)
	}
	w.dapr.err = nil
	w.sweep()
	w.sweep()
	if len(w.dapr.published) != 2 {
		t.Errorf("published %v", w.dapr.published)
	}
}

// A provider that hangs must not keep anybody from their inbox, nor the sweep from
// the rest of its work.
func TestHangingProviderDoesNotHoldUpTheInbox(t *testing.T) {
	w := newWorld(t, time.Now)
	due := task.Instant(time.Now().Add(-time.Minute))
	for range 100 {
		w.create(task.Draft{DueDate: &due})
	}
	w.firer = newTeller(w.store, byEmail(&slowChannel{takes: time.Second}), w.clock, settings)
	rules := sweepRules
	rules.Budget = 15 * time.Second
	sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context())
	if n := len(w.inbox()); n != 100 {
		t.Errorf("%d of 100 in the inbox after a sweep of %v: %+v %v", n, rules.Budget, sum, err)
	}
}

// A sweep whose time is up has not failed. What Dapr has taken by then is marked.
func TestSweepRunsOutOfTime(t *testing.T) {
	w := newWorld(t, time.Now)
	w.dapr.err = errDown
	due := time.Now().Add(time.Hour)
	for range 40 {
		w.create(task.Draft{DueDate: &due})
	}
	w.dapr.err, w.dapr.scheduled = nil, nil
	w.dapr.takes(300 * time.Millisecond)
	rules := sweepRules
	rules.Budget, rules.Calls = 4*time.Second, 1
	sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(t.Context())
	if err != nil || sum.Complete || sum.Scheduled == 0 || sum.Scheduled+sum.Pending != 40 {
		t.Errorf("%+v, %v", sum, err)
	}
	marked := w.column(`select count(*)::text from reminders where confirmed_revision = revision`)
	if n := fmt.Sprint(len(w.calls())); marked[0] != n || fmt.Sprint(sum.Scheduled) != n {
		t.Errorf("Dapr has taken %s, of which %s are marked, and the summary says %d", n, marked[0], sum.Scheduled)
	}

	// Nor has one whose time is up before it begins.
	ended, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if sum, err := newSweeper(w.store, w.dapr, w.firer, w.clock, rules).Sweep(ended); err != nil || sum.Complete || sum.Sentinel != "unknown" {
		t.Errorf("%+v, %v", sum, err)
	}
}
