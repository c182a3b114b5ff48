package life_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/task"
)

// counted is what has been counted since of firings, callbacks and deliveries.
func counted(t *testing.T, before metricstest.Values) metricstest.Values {
	t.Helper()
	return metricstest.Since(t, before, "duebell_reminders_fired_total", "duebell_reminder_lateness_seconds_count",
		"duebell_callbacks_skipped_total", "duebell_deliveries_total", "duebell_delivery_send_duration_seconds_count")
}

// However many calls come for it, a reminder is counted once, and so is each of its
// deliveries.
func TestFiringIsCountedOnce(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	before := metricstest.Read(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { _, _ = w.firer.Fire(context.Background(), wake(created)) })
	}
	group.Wait()
	got := counted(t, before)
	delete(got, `duebell_callbacks_skipped_total{reason="already_delivered"}`) // those that came last
	want := metricstest.Values{
		`duebell_reminders_fired_total`:                                 1,
		`duebell_reminder_lateness_seconds_count`:                       1,
		`duebell_deliveries_total{channel="in_app",outcome="sent"}`:     1,
		`duebell_deliveries_total{channel="email",outcome="sent"}`:      1,
		`duebell_delivery_send_duration_seconds_count{channel="email"}`: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSkippedCallsAreCountedByReason(t *testing.T) {
	w := newWorld(t, atNoon)
	delivered := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(delivered))
	moved := w.create(task.Draft{DueDate: in(time.Hour)})
	w.update(moved.ID, func(d *task.Draft) { d.DueDate = in(2 * time.Hour) })
	early := w.create(task.Draft{DueDate: in(time.Hour)})
	cancelled := w.create(task.Draft{DueDate: in(time.Hour)})
	w.update(cancelled.ID, func(d *task.Draft) { d.Completed = true })
	missed := w.create(task.Draft{DueDate: in(-48 * time.Hour)})

	before := metricstest.Read(t)
	for _, call := range []task.Revision{
		wake(delivered), wake(delivered), wake(moved), wake(early), wake(cancelled), wake(missed),
		{TaskID: uuid.New(), UserID: "ada", ReminderID: uuid.New(), Number: 1},
	} {
		w.fire(call)
	}
	if _, err := w.firer.FireTask(t.Context(), "ada", uuid.New()); err != nil {
		t.Fatal(err)
	}
	want := metricstest.Values{
		`duebell_callbacks_skipped_total{reason="already_delivered"}`: 2,
		`duebell_callbacks_skipped_total{reason="superseded"}`:        1,
		`duebell_callbacks_skipped_total{reason="early"}`:             1,
		`duebell_callbacks_skipped_total{reason="cancelled"}`:         1,
		`duebell_callbacks_skipped_total{reason="missed"}`:            1,
		`duebell_callbacks_skipped_total{reason="not_found"}`:         1,
		`duebell_callbacks_skipped_total{reason="nothing_due"}`:       1,
	}
	if diff := cmp.Diff(want, counted(t, before)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTriesAreCountedByOutcome(t *testing.T) {
	tests := map[string]struct {
		answer error
		calls  int
		want   metricstest.Values
	}{
		"sent":            {nil, 1, metricstest.Values{"sent": 1}},
		"failed":          {&notify.Error{Kind: notify.Permanent, Err: errDown}, 1, metricstest.Values{"failed": 1}},
		"planned":         {&notify.Error{Kind: notify.Retry, Err: errDown}, 1, metricstest.Values{"planned": 1}},
		"unknown":         {errDown, 1, metricstest.Values{"unknown": 1}},
		"until exhausted": {&notify.Error{Kind: notify.Retry, Err: errDown}, 5, metricstest.Values{"planned": 2, "exhausted": 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			w.mail.answer = func(notify.Message) error { return tt.answer }
			created := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Email}})
			before := metricstest.Read(t)
			for range tt.calls {
				_, _ = w.firer.Fire(t.Context(), wake(created))
				w.exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
			}
			got := metricstest.Values{}
			for sample, n := range metricstest.Since(t, before, `duebell_deliveries_total{channel="email"`) {
				_, outcome, _ := strings.Cut(sample, `outcome="`)
				got[strings.TrimSuffix(outcome, `"}`)] = n
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What was sent and could not be recorded is not counted as sent: it will be sent
// again.
func TestUnrecordedTryIsCounted(t *testing.T) {
	w := newWorld(t, atNoon)
	w.mail.answer = func(notify.Message) error {
		w.exec(`alter table deliveries add constraint none_is_sent check (state <> 'sent')`)
		return nil
	}
	created := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Email}})
	before := metricstest.Read(t)
	w.fire(wake(created))
	want := metricstest.Values{`duebell_deliveries_total{channel="email",outcome="unrecorded"}`: 1}
	if diff := cmp.Diff(want, metricstest.Since(t, before, "duebell_deliveries_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A channel that can't be used is on record as failed, and in the count.
func TestDeliveriesThatCantBeSentAreCounted(t *testing.T) {
	w := newWorld(t, atNoon)
	w.firer = newTeller(w.store, nil, w.clock, settings)
	created := w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Email}})
	before := metricstest.Read(t)
	w.fire(wake(created))
	want := metricstest.Values{
		`duebell_deliveries_total{channel="email",outcome="failed"}`: 1,
		`duebell_deliveries_total{channel="in_app",outcome="sent"}`:  1,
	}
	if diff := cmp.Diff(want, metricstest.Since(t, before, "duebell_deliveries_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Lateness is Duebell's, not that of somebody who asks for an instant that has
// passed.
func TestLateness(t *testing.T) {
	now := noon
	w := newWorld(t, func() time.Time { return now })
	late := w.create(task.Draft{DueDate: in(time.Minute)})
	now = noon.Add(3 * time.Minute)
	askedForLate := w.create(task.Draft{DueDate: in(-12 * time.Hour)})
	now = now.Add(40 * time.Millisecond)
	for created, want := range map[*task.Task]float64{&late: 120.04, &askedForLate: 0.04} {
		before := metricstest.Read(t)
		w.fire(wake(*created))
		got := metricstest.Since(t, before, "duebell_reminder_lateness_seconds_sum")["duebell_reminder_lateness_seconds_sum"]
		if got < want-0.001 || got > want+0.001 {
			t.Errorf("%v s late, want %v", got, want)
		}
	}
}

func TestSweepIsCounted(t *testing.T) {
	w := newWorld(t, time.Now)
	w.exec(`insert into dead_letters (id, state, job_name, data, error, attempts) values
		(gen_random_uuid(), 'dead', 'a', '', '', 1), (gen_random_uuid(), 'dead', 'b', '', '', 1), (gen_random_uuid(), 'discarded', 'c', '', '', 1)`)
	w.dapr.err = errDown
	due, later := task.Instant(time.Now().Add(-time.Minute)), task.Instant(time.Now().Add(time.Hour))
	w.create(task.Draft{DueDate: &due})
	w.create(task.Draft{DueDate: &later})

	before := metricstest.Read(t)
	sweeper := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules)
	if _, err := sweeper.Sweep(t.Context()); err == nil {
		t.Error("no error, with Dapr away")
	}
	want := metricstest.Values{
		`duebell_sweeps_total{result="failed"}`:                           1,
		`duebell_sweep_duration_seconds_count`:                            1,
		`duebell_sweep_outcomes_total{outcome="success",work="fire"}`:     1,
		`duebell_sweep_outcomes_total{outcome="pending",work="schedule"}`: 1,
	}
	if diff := cmp.Diff(want, metricstest.Since(t, before, "duebell_sweeps_total", "duebell_sweep_duration_seconds_count", "duebell_sweep_outcomes_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	now := metricstest.Read(t)
	for sample, want := range map[string]float64{
		`duebell_oldest_waiting_seconds{of="firing"}`: 0,
		`duebell_dead_letters{state="dead"}`:          2,
		`duebell_dead_letters{state="discarded"}`:     1,
	} {
		if got, shown := now[sample]; !shown || got != want {
			t.Errorf("%s is %v (shown: %v), want %v", sample, got, shown, want)
		}
	}
	if age := float64(time.Now().Unix()) - now["duebell_sweep_last_timestamp_seconds"]; age > 60 {
		t.Errorf("the last sweep was %v s ago", age)
	}

	w.dapr.err = nil
	w.exec(`update reminders set next_schedule_at = now()`)
	before = metricstest.Read(t)
	w.sweep()
	want = metricstest.Values{
		`duebell_sweeps_total{result="complete"}`:                           1,
		`duebell_sweep_outcomes_total{outcome="scheduled",work="schedule"}`: 1,
	}
	if diff := cmp.Diff(want, metricstest.Since(t, before, "duebell_sweeps_total", "duebell_sweep_outcomes_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatWaitsIsShown(t *testing.T) {
	w := newWorld(t, time.Now)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	due := task.Instant(time.Now().Add(-time.Minute))
	created := w.create(task.Draft{DueDate: &due})
	_, _ = w.firer.Fire(t.Context(), wake(created))
	// Due for an hour, and the sender has not sent it yet when the sweep looks.
	w.exec(`update deliveries set next_attempt_at = now() - interval '1 h' where channel = 'email'`)
	w.sweep()
	shown := metricstest.Read(t)
	if got := shown[`duebell_oldest_waiting_seconds{of="providers"}`]; got < 3600 || got > 3700 {
		t.Errorf("the oldest has waited %v s, want an hour", got)
	}
	for _, other := range []string{"firing", "hosts", "events"} {
		if got, there := shown[`duebell_oldest_waiting_seconds{of="`+other+`"}`]; !there || got != 0 {
			t.Errorf("%s: %v s, %v", other, got, there)
		}
	}
}

// However many sweeps find the loss, it is one.
func TestSchedulersLossIsCountedOnce(t *testing.T) {
	w := newWorld(t, time.Now)
	w.sweep()
	w.dapr.lose()
	before := metricstest.Read(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules).Sweep(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	w.sweep()
	if n := metricstest.Since(t, before, "duebell_scheduler")["duebell_scheduler_data_losses_total"]; n != 1 {
		t.Errorf("counted %v times", n)
	}
}
