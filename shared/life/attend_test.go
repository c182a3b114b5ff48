package life_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// noisy makes a world with a clock that can be set, and a task of ada's that is repeated.
func noisy(t *testing.T, times int, before ...time.Duration) (*world, *hands, task.Task) {
	t.Helper()
	h := &hands{time.Date(2030, 6, 1, 8, 0, 0, 0, time.UTC)}
	w := newWorld(t, h.now)
	due := h.at.Add(time.Hour)
	return w, h, w.create(task.Draft{DueDate: &due, Before: task.Exactly(append(before, 0)...), Repeat: &task.Repeat{Every: 10 * time.Minute, Times: times}})
}

// next sets the clock to when the task's next reminder is due, and returns its callback. ok is false if
// none waits.
func (h *hands) next(w *world, id uuid.UUID) (call task.Revision, ok bool) {
	w.Helper()
	var at *time.Time
	for _, r := range w.reload(id).Reminders {
		if r.State == task.Armed && (at == nil || r.FireAt.Before(*at)) {
			at, ok = r.FireAt, true
			call = task.Revision{TaskID: id, UserID: "ada", ReminderID: r.ID, Number: r.Revision}
		}
	}
	if ok {
		h.at = *at
	}
	return call, ok
}

// run fires all that is still to come of a task, and returns when.
func (h *hands) run(w *world, id uuid.UUID) (told []string) {
	w.Helper()
	for range 100 {
		call, ok := h.next(w, id)
		if !ok {
			return told
		}
		if o := w.fire(call); o.Status != fire.Success {
			w.Fatalf("%+v", o)
		}
		told = append(told, h.at.Format("15:04"))
	}
	w.Fatal("it never ends")
	return nil
}

// besides are the task's snoozes and repetitions.
func (w *world) besides(id uuid.UUID) string {
	w.Helper()
	return fmt.Sprint(w.column(`select concat(kind, ' ', state, ' ', to_char(fire_at at time zone 'UTC', 'DD HH24:MI')) from reminders
		where task_id = '` + id.String() + `' and kind <> 'due' and removed_at is null order by kind desc, fire_at`))
}

func (w *world) acknowledge(id uuid.UUID) task.Task {
	w.Helper()
	t, err := w.planner.Acknowledge(w.Context(), "ada", id, w.planner.CurrentOccurrence)
	if err != nil {
		w.Fatal(err)
	}
	return t
}

func (w *world) snooze(id uuid.UUID, d time.Duration) task.Task {
	w.Helper()
	t, err := w.planner.Snooze(w.Context(), "ada", id, w.planner.CurrentOccurrence, task.Snooze{For: task.Offset{Exact: d}})
	if err != nil {
		w.Fatal(err)
	}
	return t
}

// A reminder is repeated as often as its task says, and each time is told once on each channel.
func TestRepeat(t *testing.T) {
	w, h, made := noisy(t, 3, 25*time.Minute)
	if got := fmt.Sprint(h.run(w, made.ID)); got != "[08:35 08:45 08:55 09:00 09:05 09:10 09:20 09:30]" {
		t.Errorf("told at %s", got)
	}
	if got := w.besides(made.ID); got != "[repeat fired 01 09:05 repeat fired 01 09:30]" {
		t.Errorf("%s", got)
	}
	kinds := map[task.Kind]int{}
	for _, n := range w.inbox() {
		kinds[n.Kind]++
		if n.ReminderID == uuid.Nil || n.AcknowledgedAt != nil {
			t.Errorf("%+v", n)
		}
	}
	if kinds[task.KindDue] != 2 || kinds[task.KindRepeat] != 6 || len(kinds) != 2 || w.mail.count() != 8 {
		t.Errorf("in the inbox %v, by mail %d", kinds, w.mail.count())
	}
}

// One that is told late is repeated from then on, and never catches up.
func TestRepeatAfterAnOutage(t *testing.T) {
	w, h, made := noisy(t, 2)
	for range 3 {
		call, ok := h.next(w, made.ID)
		if !ok {
			t.Fatal("nothing waits")
		}
		h.at = h.at.Add(3 * time.Hour)
		w.fire(call)
	}
	if got := w.besides(made.ID); got != "[repeat fired 01 15:20]" || len(w.inbox()) != 3 {
		t.Errorf("%s, told %d times", got, len(w.inbox()))
	}
}

// What ends repetitions, and what does not.
func TestWhatEndsRepetitions(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(*world, task.Task)
		want string // told after it
	}{
		"nothing":       {func(*world, task.Task) {}, "[09:20 09:30]"},
		"acknowledged":  {func(w *world, t task.Task) { w.acknowledge(t.ID) }, "[]"},
		"snoozed":       {func(w *world, t task.Task) { w.snooze(t.ID, time.Hour) }, "[10:10 10:20 10:30 10:40]"},
		"completed":     {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Completed = true }) }, "[]"},
		"read":          {func(w *world, t task.Task) { w.exec(`update notifications set read_at = now()`) }, "[09:20 09:30]"},
		"another title": {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Title = "x" }) }, "[09:20 09:30]"},
		"another offset": {func(w *world, t task.Task) {
			w.update(t.ID, func(d *task.Draft) { d.Before = task.Exactly(0, time.Minute) })
		}, "[09:20 09:30]"},
		"no such offset": {func(w *world, t task.Task) {
			w.update(t.ID, func(d *task.Draft) { d.Before = task.Exactly(time.Minute) })
		}, "[]"},
		"no repeat": {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Repeat = nil }) }, "[]"},
		"fewer":     {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Repeat.Times = 2 }) }, "[09:20]"},
		"slower":    {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Repeat.Every = time.Hour }) }, "[09:20 10:20]"},
		"moved": {func(w *world, t task.Task) {
			w.update(t.ID, func(d *task.Draft) { d.DueDate = ptr(d.DueDate.Add(2 * time.Hour)) })
		}, "[11:00 11:10 11:20 11:30]"},
	} {
		t.Run(name, func(t *testing.T) {
			w, h, made := noisy(t, 3)
			for range 2 { // at 09:00 and 09:10
				call, _ := h.next(w, made.ID)
				w.fire(call)
			}
			tt.do(w, made)
			if got := fmt.Sprint(h.run(w, made.ID)); got != tt.want {
				t.Errorf("told at %s, want %s", got, tt.want)
			}
			w.settle()
			w.sweep()
			if got := w.leftovers(); len(got) != 0 {
				t.Errorf("left over: %v", got)
			}
		})
	}
}

// toldOf returns what the inbox was told, each with its occurrence's time and its kind.
func (w *world) toldOf() string {
	var of []string
	for _, n := range w.inbox() {
		of = append(of, n.Occurrence[11:]+" "+string(n.Kind))
	}
	return strings.Join(of, ", ")
}

// A repetition waits through an outage, until after the next occurrence: whichever is fired first, it is told once at most,
// and nothing of it is left.
func TestRepetitionAfterAnOutage(t *testing.T) {
	for first, want := range map[task.Kind]string{task.KindDue: "09:00 due, 12:00 due", task.KindRepeat: "09:00 due, 09:00 repeat, 12:00 due"} {
		h := &hands{time.Date(2030, 6, 1, 8, 0, 0, 0, time.UTC)}
		w := newWorld(t, h.now)
		made := w.create(hourly(task.Repeat{Every: 25 * time.Minute, Times: 50}, 10))
		call, _ := h.next(w, made.ID)
		w.fire(call)
		h.at = h.at.Add(3*time.Hour + 10*time.Minute)
		waiting := w.reload(made.ID).Reminders
		for _, now := range []bool{true, false} {
			for _, r := range waiting {
				if (r.Kind == first) != now {
					continue
				}
				if _, err := w.firer.FireOverdue(t.Context(), task.Revision{TaskID: made.ID, UserID: "ada", ReminderID: r.ID, Number: r.Revision}); err != nil {
					t.Error(err)
				}
			}
		}
		if got := w.toldOf(); got != want {
			t.Errorf("%s first: told of %s, want %s", first, got, want)
		}
		if got := w.besides(made.ID); got != "[repeat armed 01 12:35]" {
			t.Errorf("%s first: besides %s", first, got)
		}
	}
}

// A reminder of a recurring task is repeated until it fires for its next occurrence.
func TestRepeatOfARecurringTask(t *testing.T) {
	h := &hands{time.Date(2030, 6, 1, 8, 0, 0, 0, time.UTC)}
	w := newWorld(t, h.now)
	made := w.create(hourly(task.Repeat{Every: 25 * time.Minute, Times: 50}, 3))
	if call, _ := h.next(w, made.ID); w.fire(call).Status != fire.Success {
		t.Fatal("it has not fired")
	}
	if got := w.besides(made.ID); got != "[repeat armed 01 09:25]" {
		t.Errorf("%s", got)
	}
	told := []string{}
	for range 6 {
		call, _ := h.next(w, made.ID)
		w.fire(call)
		told = append(told, h.at.Format("15:04"))
	}
	if got := fmt.Sprint(told); got != "[09:25 09:50 10:00 10:25 10:50 11:00]" {
		t.Errorf("told at %s", got)
	}
	if got := w.toldOf(); got != "09:00 due, 09:00 repeat, 09:00 repeat, 10:00 due, 10:00 repeat, 10:00 repeat, 11:00 due" {
		t.Errorf("of %s", got)
	}
	// Completing an occurrence ends its own, and no other's.
	if _, err := w.settleAs(made, task.Completed, "2030-06-01T10:00"); err != nil {
		t.Fatal(err)
	}
	if got := w.besides(made.ID); got != "[repeat armed 01 11:25]" {
		t.Errorf("after completing the one before: %s", got)
	}
	if _, err := w.settleAs(made, task.Completed, "2030-06-01T11:00"); err != nil {
		t.Fatal(err)
	}
	if got := w.besides(made.ID); got != "[repeat cancelled 01 11:25]" {
		t.Errorf("after completing it: %s", got)
	}
	w.settle()
	w.sweep()
	if got := w.leftovers(); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

// hourly is a task that comes each hour from 09:00 on.
func hourly(repeat task.Repeat, count int) task.Draft {
	return task.Draft{
		Due:        task.Due{Form: task.ByClock, Local: wallclock.New(2030, 6, 1, 9, 0, 0), Zone: "UTC"},
		Recurrence: &recurrence.Definition{Rule: fmt.Sprintf("FREQ=HOURLY;COUNT=%d", count)}, Repeat: &repeat,
	}
}

// Acknowledging cancels what is unsent on all channels, says why in the log, and marks all that was told of
// the occurrence, once. It leaves events, and offsets that are to come.
func TestAcknowledge(t *testing.T) {
	w, h, made := noisy(t, 3, 30*time.Minute)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	call, _ := h.next(w, made.ID)
	w.fire(call)
	w.exec(`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, next_attempt_at)
		select gen_random_uuid(), reminder_id, revision, task_id, user_id, 'event', 'planned', now() from deliveries where channel = 'email'`)
	first := w.acknowledge(made.ID)
	if first.Version != 1 || !first.UpdatedAt.Equal(made.UpdatedAt) {
		t.Errorf("%+v", first)
	}
	const log = `select concat(channel, ' ', state, ' ', reason) from deliveries order by channel`
	if got := fmt.Sprintf("%q", w.column(log)); got != `["email cancelled acknowledged" "event planned " "in_app sent "]` {
		t.Errorf("%s", got)
	}
	if got := w.column(`select state from dead_letters`); fmt.Sprint(got) != "[resolved]" {
		t.Errorf("dead letters: %v", got)
	}
	n := w.inbox()[0]
	if n.AcknowledgedAt == nil || n.ChangeSeq != 1 || n.ReadAt != nil {
		t.Errorf("%+v", n)
	}
	w.acknowledge(made.ID)
	if _, err := w.planner.AcknowledgeNotification(t.Context(), "ada", n.ID); err != nil {
		t.Error(err)
	}
	if again := w.inbox()[0]; again.ChangeSeq != 1 || !again.AcknowledgedAt.Equal(*n.AcknowledgedAt) {
		t.Errorf("once more: %+v", again)
	}
	if got := fmt.Sprint(h.run(w, made.ID)); got != "[09:00 09:10 09:20 09:30]" {
		t.Errorf("the other offset: %s", got)
	}
	if all := w.inbox(); all[1].AcknowledgedAt != nil {
		t.Errorf("what came later: %+v", all[1])
	}
	// By one of them, all are.
	if got, err := w.planner.AcknowledgeNotification(t.Context(), "ada", w.inbox()[3].ID); err != nil || got.AcknowledgedAt == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if slices.ContainsFunc(w.inbox(), func(n store.Received) bool { return n.AcknowledgedAt == nil }) {
		t.Errorf("%+v", w.inbox())
	}
}

// What is another user's is not there, and stays as it is.
func TestAttendingToWhatIsAnothers(t *testing.T) {
	w, h, made := noisy(t, 3)
	call, _ := h.next(w, made.ID)
	w.fire(call)
	n := w.inbox()[0].ID
	s := task.Snooze{For: task.Offset{Exact: time.Hour}}
	for name, err := range map[string]error{
		"acknowledge":                second(w.planner.Acknowledge(t.Context(), "eve", made.ID, w.planner.CurrentOccurrence)),
		"snooze":                     second(w.planner.Snooze(t.Context(), "eve", made.ID, w.planner.CurrentOccurrence, s)),
		"acknowledge a notification": second(w.planner.AcknowledgeNotification(t.Context(), "eve", n)),
		"snooze a notification":      second(w.planner.SnoozeNotification(t.Context(), "eve", n, s)),
		"no such":                    second(w.planner.SnoozeNotification(t.Context(), "ada", uuid.New(), s)),
	} {
		if fault.CodeOf(err) != fault.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := w.besides(made.ID); got != "[repeat armed 01 09:10]" || w.inbox()[0].AcknowledgedAt != nil {
		t.Errorf("%s, %+v", got, w.inbox()[0])
	}
}

func second[T any](_ T, err error) error { return err }

// A notification of a task that was deleted is acknowledged alone, and not snoozed.
func TestAttendingToWhatIsGone(t *testing.T) {
	w, h, made := noisy(t, 1)
	call, _ := h.next(w, made.ID)
	w.fire(call)
	w.remove(made.ID)
	n := w.inbox()[0].ID
	if _, err := w.planner.SnoozeNotification(t.Context(), "ada", n, task.Snooze{For: task.Offset{Days: 1}}); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("snooze: %v", err)
	}
	if got, err := w.planner.AcknowledgeNotification(t.Context(), "ada", n); err != nil || got.AcknowledgedAt == nil || got.ChangeSeq != 1 {
		t.Errorf("acknowledge: %+v, %v", got, err)
	}
}

// A snooze tells once more, and leaves the due date and other offsets. A second one takes its place.
func TestSnooze(t *testing.T) {
	h := &hands{time.Date(2030, 6, 1, 8, 0, 0, 0, time.UTC)}
	w := newWorld(t, h.now)
	due := h.at.Add(time.Hour)
	made := w.create(task.Draft{DueDate: &due, Before: task.Exactly(30*time.Minute, 0)})
	first, _ := h.next(w, made.ID)
	w.fire(first)
	n := w.inbox()[0].ID
	for i, d := range []time.Duration{2 * time.Hour, 3 * time.Hour, 10 * time.Minute} {
		got, err := w.planner.SnoozeNotification(t.Context(), "ada", n, task.Snooze{For: task.Offset{Exact: d}})
		if err != nil || !got.SnoozedUntil.Equal(h.at.Add(d)) || got.AcknowledgedAt == nil || got.ChangeSeq != int64(i+1) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if got := w.reload(made.ID); !got.DueDate.Equal(due) || got.Version != 1 || got.SnoozedUntil(nil) == nil {
		t.Errorf("%+v", got)
	}
	asked := slices.ContainsFunc(w.dapr.scheduled, func(c fakeJob) bool { return c.At.Equal(h.at.Add(10 * time.Minute)) })
	if !asked || w.reload(made.ID).Reminders[2].Pending(forever) {
		t.Error("Dapr was not asked")
	}
	if got := fmt.Sprint(h.run(w, made.ID)); got != "[08:40 09:00]" {
		t.Errorf("told at %s", got)
	}
	if all := w.inbox(); all[1].Kind != task.KindSnooze || all[0].SnoozedUntil != nil || w.mail.count() != 3 {
		t.Errorf("%+v, by mail %d", all, w.mail.count())
	}
	w.snooze(made.ID, time.Minute) // once more, after it was told
	if got := fmt.Sprint(h.run(w, made.ID)); got != "[09:01]" {
		t.Errorf("told at %s", got)
	}
	if got := w.besides(made.ID); got != "[snooze fired 01 09:01]" {
		t.Errorf("%s", got)
	}
}

// If Dapr is away a snooze is pending, and the sweep schedules it.
func TestSnoozeWhileDaprIsAway(t *testing.T) {
	w, h, made := noisy(t, 1)
	call, _ := h.next(w, made.ID)
	w.fire(call)
	w.dapr.err = errDown
	snoozed := w.snooze(made.ID, time.Hour)
	waits := func(t task.Task) bool {
		i := slices.IndexFunc(t.Reminders, func(r task.Reminder) bool { return r.Kind == task.KindSnooze })
		return t.Reminders[i].Pending(forever)
	}
	if !waits(snoozed) || !waits(w.reload(made.ID)) {
		t.Error("it is not pending")
	}
	w.dapr.err = nil
	w.sweep()
	if waits(w.reload(made.ID)) {
		t.Error("the sweep has left it")
	}
}

// What ends a snooze, and what does not.
func TestWhatEndsSnoozes(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(*world, task.Task)
		want string // told after it
	}{
		"nothing":       {func(*world, task.Task) {}, "[10:00]"},
		"acknowledged":  {func(w *world, t task.Task) { w.acknowledge(t.ID) }, "[10:00]"},
		"another title": {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Title = "x" }) }, "[10:00]"},
		"completed":     {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Completed = true }) }, "[]"},
		"reopened": {func(w *world, t task.Task) {
			w.update(t.ID, func(d *task.Draft) { d.Completed = true })
			w.update(t.ID, func(d *task.Draft) { d.Completed = false })
		}, "[]"},
		"no due date": {func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.DueDate = nil }) }, "[]"},
		"moved": {func(w *world, t task.Task) {
			w.update(t.ID, func(d *task.Draft) { d.DueDate = ptr(d.DueDate.Add(3 * time.Hour)) })
		}, "[12:00]"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{time.Date(2030, 6, 1, 9, 0, 0, 0, time.UTC)}
			w := newWorld(t, h.now)
			made := w.create(task.Draft{DueDate: ptr(h.at)})
			w.fire(wake(made))
			w.snooze(made.ID, time.Hour)
			tt.do(w, made)
			if got := fmt.Sprint(h.run(w, made.ID)); got != tt.want {
				t.Errorf("told at %s, want %s", got, tt.want)
			}
			w.settle()
			w.sweep()
			if got := w.leftovers(); len(got) != 0 {
				t.Errorf("left over: %v", got)
			}
		})
	}
}

// Each occurrence of a recurring task is snoozed by itself. Completing or skipping one ends its own snooze.
func TestSnoozeOfARecurringTask(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY;COUNT=3", "UTC", "2030-06-01T09:00")
	for day := range 2 {
		call, _ := h.next(w, made.ID)
		w.fire(call)
		n := w.inbox()[day]
		if _, err := w.planner.SnoozeNotification(t.Context(), "ada", n.ID, task.Snooze{For: task.Offset{Days: 3 - day}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.besides(made.ID); got != "[snooze armed 04 09:00 snooze armed 04 09:00]" {
		t.Errorf("%s", got)
	}
	if _, err := w.settleAs(made, task.Skipped, "2030-06-01T09:00"); err != nil {
		t.Fatal(err)
	}
	if got := w.besides(made.ID); got != "[snooze cancelled 04 09:00 snooze armed 04 09:00]" && got != "[snooze armed 04 09:00 snooze cancelled 04 09:00]" {
		t.Errorf("one was skipped: %s", got)
	}
	if _, err := w.planner.SnoozeNotification(t.Context(), "ada", w.inbox()[0].ID, task.Snooze{For: task.Offset{Days: 1}}); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("snoozing what is skipped: %v", err)
	}
	if got := fmt.Sprint(h.run(w, made.ID)); got != "[09:00 09:00]" {
		t.Errorf("told at %s", got)
	}
	all := w.inbox()
	if last := all[len(all)-1]; last.Kind != task.KindSnooze || last.Occurrence != "2030-06-02T09:00" {
		t.Errorf("the snooze has told of %+v", last)
	}
	if got := fmt.Sprint(w.history(made)); got != "[06-01 09:00 skipped 06-02 09:00 told 06-03 09:00 told]" {
		t.Errorf("%s", got)
	}
	// The row of one that is over serves another.
	if _, err := w.planner.SnoozeNotification(t.Context(), "ada", all[2].ID, task.Snooze{For: task.Offset{Exact: time.Hour}}); err != nil {
		t.Error(err)
	}
	if got := len(w.column(`select id::text from reminders where kind = 'snooze'`)); got != 2 {
		t.Errorf("%d rows", got)
	}
	if _, err := w.settleAs(made, task.Completed, "2030-06-03T09:00"); err != nil {
		t.Error(err)
	}
	if got := h.run(w, made.ID); got != nil {
		t.Errorf("after the last one was completed: %v", got)
	}
}

// Acknowledging and a firing that arms a repetition, in the same moment: whichever comes first, nothing more
// goes out. The firing waits for its user's row with all it does still unseen, or the acknowledgement for a
// delivery's; the other one waits for it.
func TestAcknowledgingWhileItFires(t *testing.T) {
	for name, tt := range map[string]struct {
		repetition   bool // it is one that fires, and not what it repeats
		acknowledged bool // first
	}{
		"it fires first":                     {false, false},
		"a repetition fires first":           {true, false},
		"acknowledged before the repetition": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, h, made := noisy(t, 3)
			w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
			call, _ := h.next(w, made.ID)
			if tt.repetition {
				w.fire(call)
				call, _ = h.next(w, made.ID)
			}
			held := `select from users for update`
			if tt.acknowledged {
				held = `select from deliveries where channel = 'email' for update`
			}
			release := w.holdOpen(held)
			var both sync.WaitGroup
			fires := func() {
				if fired, err := w.firer.FireOverdue(t.Context(), call); err != nil || fired == tt.acknowledged {
					t.Errorf("fired: %v, %v", fired, err)
				}
			}
			acknowledges := func() {
				if _, err := w.planner.Acknowledge(t.Context(), "ada", made.ID, w.planner.CurrentOccurrence); err != nil {
					t.Error(err)
				}
			}
			first, then := fires, acknowledges
			if tt.acknowledged {
				first, then = then, first
			}
			both.Go(first)
			w.waiting(1)
			both.Go(then)
			w.waiting(2)
			release()
			both.Wait()
			if got := h.run(w, made.ID); got != nil {
				t.Errorf("told afterwards: %v", got)
			}
			if got := w.column(`select state from deliveries where channel = 'email' and state <> 'cancelled'`); len(got) > 0 {
				t.Errorf("e-mails are %v", got)
			}
			if slices.ContainsFunc(w.inbox(), func(n store.Received) bool { return n.AcknowledgedAt == nil }) {
				t.Errorf("%+v", w.inbox())
			}
			if o := w.fire(call); o.Status != fire.Skipped {
				t.Errorf("a late callback: %+v", o)
			}
		})
	}
}

// A crash in a firing leaves neither what it tells nor its repetition; both come when it fires again.
func TestRepetitionIsArmedWithItsFiring(t *testing.T) {
	w, h, made := noisy(t, 2)
	for i := range 3 {
		call, ok := h.next(w, made.ID)
		before := w.row(made)
		if !ok {
			t.Fatal("nothing waits")
		}
		w.exec(`alter table notifications add constraint broken check (title <> 'Pay rent') not valid`) // the last statement fails
		if _, err := w.firer.Fire(t.Context(), call); err == nil {
			t.Fatal("it has fired")
		}
		if got := w.row(made); got != before || len(w.inbox()) != i {
			t.Errorf("%s, want %s", got, before)
		}
		w.exec(`alter table notifications drop constraint broken`)
		if o := w.fire(call); o.Status != fire.Success || len(w.inbox()) != i+1 {
			t.Errorf("%+v, told %d times", o, len(w.inbox()))
		}
		if o := w.fire(call); o.Status != fire.Skipped || len(w.inbox()) != i+1 {
			t.Errorf("once more: %+v", o)
		}
	}
}

// A repetition comes while a send of the one before hangs. Each arrives once, and acknowledging stops
// what has not begun.
func TestRepetitionWhileASendHangs(t *testing.T) {
	w, h, made := noisy(t, 3)
	hangs := hung{began: make(chan struct{}), goOn: make(chan struct{}), mail: w.mail}
	call, _ := h.next(w, made.ID)
	var slow sync.WaitGroup
	slow.Go(func() {
		if _, err := newTeller(w.store, byEmail(hangs), h.now, settings).Fire(t.Context(), call); err != nil {
			t.Error(err)
		}
	})
	<-hangs.began
	next, _ := h.next(w, made.ID)
	w.fire(next)
	if got := w.deliveries(made.ID); fmt.Sprint(got) != "[email sending email sent in_app sent in_app sent]" {
		t.Errorf("%v", got)
	}
	w.acknowledge(made.ID)
	close(hangs.goOn)
	slow.Wait()
	if got := w.deliveries(made.ID); fmt.Sprint(got) != "[email sent email sent in_app sent in_app sent]" || w.mail.count() != 2 {
		t.Errorf("%v, by mail %d", got, w.mail.count())
	}
	if got := h.run(w, made.ID); got != nil {
		t.Errorf("told afterwards: %v", got)
	}
}

// hung is a channel that takes a message, and does not answer.
type hung struct {
	began, goOn chan struct{}
	mail        *mailbox
}

func (h hung) Send(ctx context.Context, m notify.Message) error {
	close(h.began)
	<-h.goOn
	return h.mail.Send(ctx, m)
}

// Dapr is told of a repetition by who has fired.
func TestRepetitionIsScheduled(t *testing.T) {
	w, h, made := noisy(t, 2)
	armer := schedule.NewArmer(w.store, w.dapr, h.now, task.Horizon{})
	w.firer.Arms(armer.Arm)
	for range 3 {
		call, _ := h.next(w, made.ID)
		w.fire(call)
		armer.Finish()
	}
	for _, r := range w.reload(made.ID).Reminders {
		if r.Pending(forever) {
			t.Errorf("%+v", r)
		}
	}
	if n := len(w.dapr.scheduled); n != 3 {
		t.Errorf("Dapr was asked %d times", n)
	}
}
