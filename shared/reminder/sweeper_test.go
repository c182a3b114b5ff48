package reminder_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/task"
)

// kept are the jobs that a recorder is to hold for ever.
func (r *recorder) Keep(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.kept = append(r.kept, name)
	return nil
}

func (r *recorder) Holds(_ context.Context, name string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.kept, name), r.err
}

var sweepRules = reminder.SweepRules{Budget: 30 * time.Second, Concurrent: 8}

func (w *world) sweep() reminder.Summary {
	w.Helper()
	sum, err := reminder.NewSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules).Sweep(w.Context())
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
	if diff := cmp.Diff(map[string]int{"success": 3}, sum.Fired); diff != "" || !sum.Complete || sum.OldestWaitingSeconds != 0 {
		t.Errorf("%+v", sum)
	}
	if len(w.inbox()) != 3 || w.mail.count() != 3 {
		t.Errorf("%d in the inbox, %d e-mails", len(w.inbox()), w.mail.count())
	}
	if again := w.sweep(); len(again.Fired)+len(again.Deliveries) != 0 {
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
	if sum := w.sweep(); len(sum.Deliveries) != 0 {
		t.Errorf("before they are due: %+v", sum)
	}
	// One is due again, the other's sender has died.
	w.exec(`update deliveries set next_attempt_at = now() - interval '1 s' where next_attempt_at is not null`)
	w.exec(`update deliveries set state = 'sending' where task_id = '` + second.ID.String() + `' and channel = 'email'`)
	if sum := w.sweep(); sum.Deliveries["planned"] != 2 {
		t.Errorf("failing again: %+v", sum)
	}
	w.mail.answer = nil
	w.exec(`update deliveries set next_attempt_at = now() - interval '1 s' where next_attempt_at is not null`)
	if sum := w.sweep(); sum.Deliveries["sent"] != 2 {
		t.Errorf("in the end: %+v", sum)
	}
	if len(w.inbox()) != 2 {
		t.Errorf("%d in the inbox", len(w.inbox()))
	}
}

func TestSweepSchedulesWhatIsPending(t *testing.T) {
	w := newWorld(t, time.Now)
	later := task.Instant(time.Now().Add(time.Hour))
	w.dapr.err = errDown
	created := w.create(task.Draft{DueDate: &later, Before: []time.Duration{0, time.Minute}})

	sweeper := reminder.NewSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules)
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
		if r.Status() != "scheduled" {
			t.Errorf("%s before is %s", r.Before, r.Status())
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
	w.dapr.kept, w.dapr.scheduled = nil, nil
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

// noKeeping is a Dapr that holds what it holds and takes no sentinel.
type noKeeping struct{ *recorder }

func (noKeeping) Keep(context.Context, string) error { return errDown }

// A sweep that ends between taking the confirmations back and setting a new sentinel
// is repeated by the next.
func TestSweepEndsInTheMiddleOfALoss(t *testing.T) {
	w := newWorld(t, time.Now)
	later := task.Instant(time.Now().Add(time.Hour))
	w.create(task.Draft{DueDate: &later})
	w.sweep()
	w.dapr.kept, w.dapr.scheduled = nil, nil
	sum, err := reminder.NewSweeper(w.store, noKeeping{w.dapr}, w.firer, w.clock, sweepRules).Sweep(t.Context())
	if err == nil || sum.Sentinel != "lost" || sum.Unconfirmed != 1 {
		t.Errorf("without a new sentinel: %+v, %v", sum, err)
	}
	if sum := w.sweep(); sum.Sentinel != "lost" {
		t.Errorf("the next: %+v", sum)
	}
	if sum := w.sweep(); sum.Sentinel != "present" {
		t.Errorf("after that: %+v", sum)
	}
	if len(w.dapr.scheduled) == 0 || w.dapr.scheduled[0].TaskID == uuid.Nil {
		t.Errorf("scheduled again: %v", w.dapr.scheduled)
	}
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
			if _, err := reminder.NewSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules).Sweep(context.Background()); err != nil {
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
