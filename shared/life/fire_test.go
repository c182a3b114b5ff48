package life_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// spike makes so many tasks of two users, due a while ago.
func (w *world) spike(n int, ago time.Duration, channels ...task.Channel) (tasks []task.Task) {
	w.Helper()
	tasks = make([]task.Task, n)
	var creates sync.WaitGroup
	for i := range tasks {
		user := []string{"ada", "bob"}[i*2/n]
		creates.Go(func() {
			due := task.Instant(w.clock().Add(-ago - time.Duration(n-i)*time.Microsecond))
			draft := task.Draft{Title: fmt.Sprint(i), DueDate: &due, Before: task.DefaultBefore(), Channels: channels}
			var err error
			if tasks[i], err = w.planner.Create(w.Context(), store.User{ID: user, Email: ptr(user + "@example.com")}, draft, nil); err != nil {
				w.Error(err)
			}
		})
	}
	creates.Wait()
	return tasks
}

// told is how many notifications each user has, and whether they are numbered one by
// one, the earliest reminder first.
func (w *world) told() (counts []string) {
	w.Helper()
	return w.column(`
		select format('%s %s %s', user_id, count(*), bool_and(ordered)) from (
			select n.user_id, n.seq = row_number() over (partition by n.user_id order by r.fire_at, r.id)  as ordered
			from notifications n join reminders r on r.task_id = n.task_id) numbered
		group by user_id order by user_id`)
}

// One callback fires all that is due, in as many transactions as that takes. The others find
// that theirs has fired.
func TestOneCallFiresItsNeighbours(t *testing.T) {
	w := newWorld(t, atNoon)
	tasks := w.spike(1200, time.Second, task.InApp, task.Email)
	later := w.create(task.Draft{DueDate: in(time.Second)})
	if o := w.fire(wake(tasks[0])); o.Status != fire.Success {
		t.Errorf("%+v", o)
	}
	w.want("told", w.told(), "ada 600 t", "bob 600 t")
	if r := w.reload(later.ID).Reminders[0]; r.State != task.Armed {
		t.Errorf("fired before its time: %+v", r)
	}

	// In this process, and in another one.
	stranger := newTeller(w.store, byEmail(w.mail), w.clock, settings)
	var calls sync.WaitGroup
	for i, each := range tasks[1:] {
		firer := []*teller{w.firer, stranger}[i%2]
		calls.Go(func() {
			if o, err := firer.Fire(t.Context(), wake(each)); err != nil || o.Status == fire.Success {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
	calls.Wait()
	w.want("told", w.told(), "ada 600 t", "bob 600 t")
	sent := map[string]bool{}
	for _, m := range w.mail.messages {
		sent[m.TaskID.String()] = true
	}
	if len(sent) != 1200 || w.mail.count() != 1200 {
		t.Errorf("%d e-mails, of %d tasks", w.mail.count(), len(sent))
	}
	for _, each := range tasks[:10] {
		if o, err := stranger.Fire(t.Context(), wake(each)); err != nil || o.Reason != fire.ReasonDelivered {
			t.Errorf("once more: %+v, %v", o, err)
		}
	}
}

// What is not to be fired is not fired by a neighbour either, and what somebody holds is
// not waited for.
func TestNeighboursThatAreLeftAlone(t *testing.T) {
	w := newWorld(t, atNoon)
	tasks := w.spike(10, time.Second, task.InApp)
	long := w.create(task.Draft{DueDate: in(-2 * time.Minute), Channels: []task.Channel{task.InApp}})
	w.update(tasks[1].ID, func(d *task.Draft) { d.Completed = true })
	w.update(tasks[2].ID, func(d *task.Draft) { d.DueDate = in(time.Hour) })
	if err := w.planner.Delete(t.Context(), "ada", tasks[3].ID, anyVersion); err != nil {
		t.Fatal(err)
	}
	release := w.holdOpen(fmt.Sprintf(`select from reminders where task_id = '%s' for update`, tasks[4].ID))
	w.fire(wake(tasks[0])) // and the others with it, which are not if one of them was waited for in vain
	w.want("told", w.told(), "ada 1 t", "bob 5 t")
	release()
	w.fire(wake(tasks[4]))
	w.fire(wake(long))
	if n := len(w.inbox()); n != 3 {
		t.Errorf("in the end: %d", n)
	}
}

// A reminder that can't be fired spoils nobody else's.
func TestNeighbourThatCannotBeFired(t *testing.T) {
	w := newWorld(t, atNoon)
	tasks := w.spike(10, time.Second, task.InApp)
	bad := tasks[7]
	w.exec(fmt.Sprintf(`
		create function refuse() returns trigger language plpgsql as $$ begin raise 'no' using errcode = 'check_violation'; end $$;
		create trigger refuse before insert on notifications for each row when (new.task_id = '%s') execute function refuse()`, bad.ID))
	w.fire(wake(tasks[0]))
	w.want("alone", w.told(), "ada 1 t")
	var calls sync.WaitGroup
	for _, each := range tasks {
		calls.Go(func() {
			if _, err := w.firer.Fire(t.Context(), wake(each)); (err != nil) != (each.ID == bad.ID) {
				t.Errorf("%s: %v", each.Title, err)
			}
		})
	}
	calls.Wait()
	if got := w.column(`select format('%s %s', user_id, count(*)) from notifications group by user_id order by user_id`); !slices.Equal(got, []string{"ada 5", "bob 4"}) {
		t.Errorf("told: %q", got)
	}
	w.exec(`drop trigger refuse on notifications`)
	if o := w.fire(wake(bad)); o.Status != fire.Success {
		t.Errorf("mended: %+v", o)
	}
}

// A task was completed after its reminder had fired as a neighbour, and before its callback.
func TestNeighbourThatIsCancelledSince(t *testing.T) {
	w := newWorld(t, atNoon)
	tasks := w.spike(4, time.Second, task.InApp, task.Email)
	w.firer.Firer.Fire(t.Context(), wake(tasks[0])) // nothing is sent yet
	w.update(tasks[1].ID, func(d *task.Draft) { d.Completed = true })
	w.fire(wake(tasks[1]))
	if n := w.mail.count(); n != 3 {
		t.Errorf("%d e-mails", n)
	}
	// Armed anew, it is another revision, which has not fired.
	moved := w.update(tasks[1].ID, func(d *task.Draft) { d.Completed, d.DueDate = false, in(0) })
	if o := w.fire(wake(moved)); o.Status != fire.Success || w.mail.count() != 4 {
		t.Errorf("%+v, %d e-mails", o, w.mail.count())
	}
}

// The process ends after its neighbours have fired and before their calls: their
// deliveries are due, and found.
func TestNeighboursOfAProcessThatDies(t *testing.T) {
	w := newWorld(t, time.Now)
	tasks := w.spike(6, 10*time.Second, task.InApp, task.Email)
	w.mail.answer = func(m notify.Message) error { return nil }
	w.fire(wake(tasks[0]))
	w.exec(`update deliveries set next_attempt_at = next_attempt_at - interval '1 min' where next_attempt_at is not null`)
	sweeper := newSweeper(w.store, w.dapr, newTeller(w.store, byEmail(w.mail), w.clock, settings), w.clock, sweepRules)
	if _, err := sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.mail.count(); n != 6 {
		t.Errorf("%d e-mails", n)
	}
	for _, each := range tasks {
		w.fire(wake(each))
	}
	if n := w.mail.count(); n != 6 {
		t.Errorf("%d e-mails after the calls", n)
	}
}

// Somebody holds a user's row: others' reminders do not wait for that.
func TestUserWhoseRowIsHeld(t *testing.T) {
	w := newWorld(t, atNoon)
	tasks := w.spike(10, time.Second, task.InApp)
	release := w.holdOpen(`select from users where id = 'bob' for update`)
	w.fire(wake(tasks[0]))
	w.want("told", w.told(), "ada 1 t")
	release()
	w.fire(wake(tasks[1]))
	w.want("told in the end", w.told(), "ada 5 t", "bob 5 t")
}

// One reminder is called twice at the same time: the second call does not take it for
// delivered while the first one sends.
func TestCalledTwiceAtTheSameTime(t *testing.T) {
	w := newWorld(t, atNoon)
	answered := make(chan struct{}) // both calls
	sent := 0
	w.mail.answer = func(notify.Message) error { sent++; <-answered; return nil }
	held := w.create(task.Draft{DueDate: in(-2 * time.Minute), Channels: []task.Channel{task.InApp}})
	twice := w.create(task.Draft{DueDate: in(-2 * time.Minute), Channels: []task.Channel{task.Email}})
	locked := make(chan struct{})
	go w.hold(fmt.Sprintf(`select from reminders where task_id = '%s' for update`, held.ID), locked, time.Second)
	<-locked
	var calls sync.WaitGroup
	calls.Go(func() { _, _ = w.firer.Fire(t.Context(), wake(held)) }) // the others wait behind it
	w.waiting(1)
	outcomes := make([]fire.Outcome, 2)
	var answers sync.WaitGroup
	for i := range outcomes {
		answers.Add(1)
		calls.Go(func() {
			outcomes[i], _ = w.firer.Firer.Fire(t.Context(), wake(twice))
			answers.Done()
			w.firer.send()
		})
	}
	answers.Wait()
	close(answered)
	calls.Wait()
	slices.SortFunc(outcomes, func(a, b fire.Outcome) int { return len(a.Status) - len(b.Status) })
	if outcomes[0].Status != fire.Success || outcomes[1].Status != fire.InProgress || sent != 1 {
		t.Errorf("%+v, sent %d times", outcomes, sent)
	}
}
