package life_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/dapr/daprtest"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/task"
)

// persistent has the planner go on with what Dapr has not taken in time.
func (w *world) persistent(dapr schedule.Scheduler, retryFor time.Duration) {
	w.planner = schedule.NewPlanner(w.store, dapr, w.clock, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: 200 * time.Millisecond, RetryFor: retryFor})
}

// eventually waits for something, for longer than it takes on a busy machine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// daprd comes up seconds after tasks were created, imported, moved and deleted: all were
// answered for meanwhile, and then Dapr has what it should, without a sweep.
func TestDaprComesUpAfterTheAnswers(t *testing.T) {
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	d := daprtest.Start(t, t.TempDir(), app.Addr())
	dapr, err := jobs.Open(jobs.Config{Endpoint: d.Endpoint(), APIToken: daprtest.APIToken, RetryInterval: time.Second, MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dapr.Close()
	w := newWorld(t, time.Now)
	w.persistent(dapr, 3*time.Minute)
	due := func(in time.Duration) *time.Time { at := task.Instant(time.Now().Add(in)); return &at }
	far := func() task.Draft {
		return task.Draft{Title: "x", DueDate: due(time.Hour), Before: task.DefaultBefore()}
	}
	moved, deleted := w.create(far()), w.create(far())
	for _, before := range []task.Task{moved, deleted} { // maybe not at once on a busy machine
		eventually(t, "while daprd is there tasks are scheduled", func() bool { return w.reload(before.ID).Reminders[0].Status(forever) == "scheduled" })
	}

	if err := d.Daprd.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	created := []task.Task{w.create(far()), w.create(task.Draft{DueDate: due(58 * time.Second)})}
	many, err := w.planner.CreateAll(t.Context(), ada, slices.Repeat([]task.Draft{far()}, 30), nil)
	if err != nil {
		t.Fatal(err)
	}
	created = append(created, many...)
	created = append(created, w.update(moved.ID, func(d *task.Draft) { d.DueDate = due(2 * time.Hour) }))
	if err := w.planner.Delete(t.Context(), ada.ID, deleted.ID, anyVersion); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("five changes took %v", took)
	}
	var want []string
	for _, c := range created {
		if s := c.Reminders[0].Status(forever); s != "pending" {
			t.Errorf("while daprd is away a task is answered as %s", s)
		}
		want = append(want, wake(c).JobName())
	}

	time.Sleep(3 * time.Second) // some tries fail meanwhile, and nothing says which
	if err := d.Daprd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are scheduled", func() bool {
		return w.column(`select count(*)::text from reminders where state = 'armed' and confirmed_revision is distinct from revision`)[0] == "0"
	})
	slices.Sort(want)
	var names []string
	eventually(t, "the leftover jobs are gone", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		names, err = dapr.List(ctx)
		slices.Sort(names)
		return err == nil && len(names) <= len(want)
	})
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if err := w.planner.Finish(t.Context()); err != nil {
		t.Error(err)
	}
}

// A reminder is moved while its job is tried in the background: Dapr is left with the new one.
func TestMovedWhileItIsTriedInTheBackground(t *testing.T) {
	w := newWorld(t, time.Now)
	dapr := &fakeDapr{}
	away := make(chan struct{})
	dapr.call = func(_ context.Context, effect func()) error {
		select {
		case <-away:
			effect()
			return nil
		default:
			return errors.New("away")
		}
	}
	w.persistent(dapr, time.Minute)
	at := task.Instant(time.Now().Add(time.Hour))
	created := w.create(task.Draft{DueDate: &at})
	later := at.Add(time.Hour)
	moved := w.update(created.ID, func(d *task.Draft) { d.DueDate = &later })
	cancelled := w.create(task.Draft{DueDate: &at})
	w.update(cancelled.ID, func(d *task.Draft) { d.Completed = true })
	close(away)
	eventually(t, "only the job in force is there", func() bool { return slices.Equal(dapr.names(), []string{wake(moved).JobName()}) })
	if err := w.planner.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	if r := w.reload(moved.ID).Reminders[0]; r.Confirmed != r.Revision || !slices.Equal(dapr.names(), []string{wake(moved).JobName()}) {
		t.Errorf("%+v is confirmed, Dapr holds %v", r, dapr.names())
	}
}

// What goes on in the background is bounded in number and ends when the process is told to
// stop: all that is left is pending, for the sweep.
func TestBackgroundIsBounded(t *testing.T) {
	w := newWorld(t, time.Now)
	w.dapr.err = errors.New("away")
	w.persistent(w.dapr, time.Minute)
	at := task.Instant(time.Now().Add(time.Hour))
	before := metricstest.Read(t)
	refused := func() float64 {
		return metricstest.Since(t, before, "duebell_reminders_scheduled_total")[`duebell_reminders_scheduled_total{outcome="refused"}`]
	}
	for range 3 { // a thousand each
		drafts := slices.Repeat([]task.Draft{{Title: "x", DueDate: &at, Before: task.DefaultBefore()}}, 1000)
		if _, err := w.planner.CreateAll(t.Context(), ada, drafts, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := refused(); n != 1000 {
		t.Errorf("%v of 3000 are left to the sweep, want 1000", n)
	}
	if err := w.planner.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	w.create(task.Draft{DueDate: &at}) // a request that has come too late to be gone on with
	if n := refused(); n != 3001 {
		t.Errorf("%v are left to the sweep in the end, want all", n)
	}
	if n := w.column(`select count(*)::text from reminders where pending`)[0]; n != "3001" {
		t.Errorf("%s are pending", n)
	}
}

// A job is counted when Dapr takes it, and a refusal once nobody goes on with it.
func TestSchedulingIsCounted(t *testing.T) {
	w := newWorld(t, time.Now)
	at := task.Instant(time.Now().Add(time.Hour))
	before := metricstest.Read(t)
	w.create(task.Draft{DueDate: &at})
	w.dapr.err = errors.New("away")
	w.create(task.Draft{DueDate: &at})
	w.persistent(w.dapr, time.Minute)
	w.create(task.Draft{DueDate: &at})
	w.dapr.mu.Lock()
	w.dapr.err = nil
	w.dapr.mu.Unlock()
	eventually(t, "the last one is scheduled", func() bool {
		return w.column(`select count(*)::text from reminders where pending`)[0] == "1"
	})
	if err := w.planner.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	want := metricstest.Values{
		`duebell_reminders_scheduled_total{outcome="taken"}`:   2,
		`duebell_reminders_scheduled_total{outcome="refused"}`: 1,
	}
	if diff := cmp.Diff(want, metricstest.Since(t, before, "duebell_reminders_scheduled_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
