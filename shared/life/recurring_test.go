package life_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// hands are the hands of a clock that a test sets.
type hands struct{ at time.Time }

func (h *hands) now() time.Time { return h.at }

// recurring makes a world with a clock that can be set, and a task of ada's that begins on a wall clock in
// a zone.
func recurring(t *testing.T, now time.Time, rule, zone, start string, before ...task.Offset) (*world, *hands, task.Task) {
	t.Helper()
	h := &hands{now}
	w := newWorld(t, h.now)
	local, err := wallclock.Parse(start)
	if err != nil {
		t.Fatal(err)
	}
	made := w.create(task.Draft{
		Due: task.Due{Form: task.ByClock, Local: local, Zone: zone}, Recurrence: &recurrence.Definition{Rule: rule}, Before: before,
	})
	return w, h, made
}

// at sets the clock to when a reminder fires, and returns its callback.
func (h *hands) to(w *world, id task.Task, before task.Offset) task.Revision {
	w.Helper()
	t := w.reload(id.ID)
	i := slices.IndexFunc(t.Reminders, func(r task.Reminder) bool { return r.Before == before })
	r := t.Reminders[i]
	if r.State != task.Armed {
		w.Fatalf("it is %s", r.State)
	}
	h.at = *r.FireAt
	return task.Revision{TaskID: t.ID, UserID: t.UserID, ReminderID: r.ID, Number: r.Revision}
}

// history is what has become of a task's occurrences, the oldest first.
func (w *world) history(t task.Task) (list []string) {
	w.Helper()
	return w.column(`select concat(to_char(occurrence, 'MM-DD HH24:MI'), ' ', state) from occurrences where task_id = '` + t.ID.String() + `' order by series, occurrence`)
}

// settle is what to do with an occurrence.
func (w *world) settleAs(t task.Task, to task.Settled, local string) (task.Task, error) {
	return w.planner.Close(w.Context(), ada, t.ID, to, func(t task.Task) (wallclock.Time, error) { return t.ParseOccurrence(local) })
}

// A year of 02:30 each day in New York: 365 times, each once, at the right instant.
func TestYearOfDailyReminders(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY", "America/New_York", "2030-01-01T02:30")
	location := preferences.Zone("America/New_York")
	for day := range 365 {
		call := h.to(w, made, task.Offset{})
		shown := h.at.In(location)
		want := "02:30"
		if day == 68 { // 10 March, when clocks go from 02:00 to 03:00
			want = "03:30"
		}
		if shown.Format("15:04") != want || shown.YearDay() != day+1 {
			t.Fatalf("day %d: %v", day, shown)
		}
		if o := w.fire(call); o.Status != fire.Success {
			t.Fatalf("day %d: %+v", day, o)
		}
		if o := w.fire(call); o.Status != fire.Skipped {
			t.Fatalf("day %d, once more: %+v", day, o)
		}
	}
	if n := len(w.inbox()); n != 365 {
		t.Errorf("she was told %d times", n)
	}
	if got := w.column(`select state from occurrences group by state having count(*) = 365`); fmt.Sprint(got) != "[told]" {
		t.Errorf("history: %v", got)
	}
	if got := w.inbox()[68]; got.Occurrence != "2030-03-10T02:30" || got.DueDate == nil || !got.DueDate.Equal(time.Date(2030, 3, 10, 7, 30, 0, 0, time.UTC)) {
		t.Errorf("the notification is of %s, due %v", got.Occurrence, got.DueDate)
	}
}

// After an outage the latest occurrence that has passed is told, and those before it are missed.
func TestOutageTellsTheLatest(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY", "Europe/Paris", "2030-06-01T09:00", task.Offset{}, task.Offset{Days: 1})
	w.fire(h.to(w, made, task.Offset{}))
	h.at = time.Date(2030, 6, 5, 12, 0, 0, 0, time.UTC)
	for _, r := range w.reload(made.ID).Reminders {
		if fired, err := w.firer.FireOverdue(t.Context(), task.Revision{TaskID: made.ID, UserID: "ada", ReminderID: r.ID, Number: r.Revision}); !fired || err != nil {
			t.Errorf("%s: %v, %v", r.Before, fired, err)
		}
	}
	if got := fmt.Sprint(w.history(made)); got != "[06-01 09:00 told 06-02 09:00 missed 06-03 09:00 missed 06-04 09:00 missed 06-05 09:00 told 06-06 09:00 told]" {
		t.Errorf("history: %s", got)
	}
	if n := len(w.inbox()); n != 3 {
		t.Errorf("she was told %d times", n)
	}
	if got := w.row(made); got != "[armed/3 06-06 07:00 armed/2 06-06 07:00]" {
		t.Errorf("armed: %s", got)
	}
}

// A reminder waits for its next occurrence while e-mails of the one before are still unsent: its callback
// says so, they are sent, and only completing that occurrence stops them.
func TestUnsentOfAnEarlierOccurrence(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY", "Europe/Paris", "2030-06-01T09:00")
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	first := h.to(w, made, task.Offset{})
	w.fire(first)
	second := h.to(w, made, task.Offset{})
	w.fire(second)
	for _, r := range []task.Revision{first, second} {
		if o := w.fire(r); o.Status != fire.InProgress {
			t.Errorf("revision %d: %+v", r.Number, o)
		}
	}
	if o, err := w.firer.FireTask(t.Context(), "ada", made.ID); err != nil || o.Status != fire.InProgress {
		t.Errorf("the whole task: %+v, %v", o, err)
	}
	states := func() string {
		return fmt.Sprint(w.column(`select concat(to_char(occurrence, 'DD'), ' ', state) from deliveries where channel = 'email' order by occurrence`))
	}
	if got := states(); got != "[01 planned 02 planned]" {
		t.Errorf("%s", got)
	}
	w.update(made.ID, func(d *task.Draft) { d.Title = "another" })
	if _, err := w.settleAs(made, task.Completed, "2030-06-01T09:00"); err != nil {
		t.Fatal(err)
	}
	if got := states(); got != "[01 cancelled 02 planned]" {
		t.Errorf("after completing the first: %s", got)
	}
	// The message is about its own occurrence.
	w.mail.answer = nil
	w.exec(`update deliveries set next_attempt_at = now() where state = 'planned'`)
	w.firer.send()
	last := w.mail.messages[len(w.mail.messages)-1]
	if got := states(); got != "[01 cancelled 02 sent]" || !last.DueDate.Equal(time.Date(2030, 6, 2, 7, 0, 0, 0, time.UTC)) {
		t.Errorf("%s, and the mail says %v", got, last.DueDate)
	}
	if o := w.fire(first); o != (fire.Outcome{Status: fire.Skipped, Reason: task.ReasonSuperseded}) {
		t.Errorf("in the end: %+v", o)
	}
}

// Completing and skipping can be repeated, advance what waits for the occurrence and nothing else, and
// end the series with its last one.
func TestCompleteAndSkip(t *testing.T) {
	day := task.Offset{Exact: 24 * time.Hour}
	w, h, made := recurring(t, time.Date(2030, 5, 31, 0, 0, 0, 0, time.UTC), "FREQ=DAILY;COUNT=4", "UTC", "2030-06-01T09:00", task.Offset{}, task.Offset{Exact: -time.Hour}, day)
	if got := w.row(made); got != "[armed/1 06-01 10:00 armed/1 06-01 09:00 armed/1 05-31 09:00]" {
		t.Fatalf("%s", got)
	}
	w.fire(h.to(w, made, day))
	w.fire(h.to(w, made, task.Offset{}))
	for range 2 { // the nudge after the due date goes with its occurrence
		done, err := w.settleAs(made, task.Completed, "2030-06-01T09:00")
		if err != nil || done.Completed || done.Version != 2 {
			t.Errorf("%+v, %v", done, err)
		}
		if got := w.row(made); got != "[armed/2 06-02 10:00 armed/2 06-02 09:00 armed/3 06-02 09:00]" {
			t.Errorf("%s", got)
		}
	}
	if _, err := w.settleAs(made, task.Skipped, "2030-06-01T09:00"); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("skipping what is completed: %v", err)
	}
	for _, wrong := range []string{"2030-06-03T09:00", "2030-06-02T09:01", "2029-06-02T09:00"} {
		if _, err := w.settleAs(made, task.Completed, wrong); fault.CodeOf(err) != fault.CodeInvalid || !strings.Contains(err.Error(), `"2030-06-02T09:00"`) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	// Early, it is skipped before it is due.
	if _, err := w.settleAs(made, task.Skipped, "2030-06-02T09:00"); err != nil {
		t.Error(err)
	}
	if got := w.row(made); got != "[armed/3 06-03 10:00 armed/3 06-03 09:00 armed/3 06-02 09:00]" {
		t.Errorf("%s", got)
	}
	h.at = time.Date(2030, 6, 4, 12, 0, 0, 0, time.UTC)
	if _, err := w.settleAs(made, task.Completed, "2030-06-04T09:00"); err != nil {
		t.Error(err)
	}
	if got := w.reload(made.ID); !got.Completed {
		t.Errorf("the last one is completed, and the task is not")
	}
	if got := fmt.Sprint(w.history(made)); got != "[06-01 09:00 completed 06-02 09:00 skipped 06-04 09:00 completed]" {
		t.Errorf("%s", got)
	}
	for _, r := range w.reload(made.ID).Reminders {
		if r.State == task.Armed {
			t.Errorf("%s is armed", r.Before)
		}
	}
}

// An edit of the title touches nothing. One of the rule begins a new series, armed from now on; what is
// unsent of the one before is not sent.
func TestEditsOfRecurringTasks(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY", "Europe/Paris", "2030-06-01T09:00")
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	w.fire(h.to(w, made, task.Offset{}))
	before := w.row(made)
	if after := w.update(made.ID, func(d *task.Draft) { d.Title, d.Notes = "x", "y" }); after.Progress.Series != 1 || w.row(made) != before {
		t.Errorf("a title: %s, was %s", w.row(made), before)
	}
	after := w.update(made.ID, func(d *task.Draft) { d.Recurrence = &recurrence.Definition{Rule: "FREQ=WEEKLY"} })
	if got := w.row(made); after.Progress.Series != 2 || got != "[armed/3 06-08 07:00]" {
		t.Errorf("a rule: series %d, %s", after.Progress.Series, got)
	}
	if got := w.column(`select state from deliveries where channel = 'email'`); fmt.Sprint(got) != "[cancelled]" {
		t.Errorf("what was unsent: %v", got)
	}
	w.update(made.ID, func(d *task.Draft) { d.Completed = true })
	if got := w.row(made); !strings.HasPrefix(got, "[cancelled") {
		t.Errorf("completed: %s", got)
	}
	w.update(made.ID, func(d *task.Draft) { d.Completed = false })
	if got := w.row(made); got != "[armed/4 06-08 07:00]" {
		t.Errorf("reopened: %s", got)
	}
	once := w.update(made.ID, func(d *task.Draft) { d.Recurrence = nil; d.Due.Local = wallclock.New(2030, 7, 1, 9, 0, 0) })
	if got := w.row(made); got != "[armed/5 07-01 07:00]" || once.Reminders[0].Occurrence != nil {
		t.Errorf("once: %s", got)
	}
}

// A rule that counts from completion arms nothing until the occurrence is completed.
func TestFromCompletion(t *testing.T) {
	h := &hands{time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)}
	w := newWorld(t, h.now)
	made := w.create(task.Draft{
		Due:        task.Due{Form: task.ByClock, Local: wallclock.New(2030, 6, 1, 9, 0, 0), Zone: "UTC"},
		Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY;INTERVAL=3;COUNT=2", From: recurrence.Completion},
	})
	w.fire(h.to(w, made, task.Offset{}))
	if got := w.row(made); got != "[fired/1 06-01 09:00]" {
		t.Errorf("%s", got)
	}
	h.at = time.Date(2030, 6, 10, 22, 0, 0, 0, time.UTC)
	for range 2 {
		if _, err := w.settleAs(made, task.Completed, "2030-06-01T09:00"); err != nil {
			t.Error(err)
		}
		if got := w.row(made); got != "[armed/2 06-13 09:00]" {
			t.Errorf("completed: %s", got)
		}
	}
	w.fire(h.to(w, made, task.Offset{}))
	if _, err := w.settleAs(made, task.Completed, "2030-06-13T09:00"); err != nil {
		t.Error(err)
	}
	if got := w.reload(made.ID); !got.Completed {
		t.Error("the second of two is completed, and the task is not")
	}
}

// What floats moves with its user, and keeps its occurrence; what was told before is not told again.
func TestRecurringTasksMoveWithTheirUser(t *testing.T) {
	h := &hands{time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)}
	w := newWorld(t, h.now)
	w.moves("Europe/Berlin")
	made := w.create(task.Draft{
		Due:        task.Due{Form: task.ByClock, Local: wallclock.New(2030, 6, 1, 9, 0, 0)},
		Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY"},
	})
	w.fire(h.to(w, made, task.Offset{}))
	old := h.to(w, made, task.Offset{})
	w.moves("America/New_York")
	if o := w.fire(old); o.Status == fire.Success { // before any sweep
		t.Errorf("at the old instant: %+v", o)
	}
	if got := w.row(made); got != "[armed/3 06-02 13:00]" {
		t.Errorf("moved: %s", got)
	}
	w.fire(h.to(w, made, task.Offset{}))
	w.moves("Asia/Tokyo") // where the next one has passed already
	h.at = time.Date(2030, 6, 3, 1, 0, 0, 0, time.UTC)
	w.sweep()
	if got := w.row(made); got != "[armed/5 06-03 00:00]" {
		t.Errorf("moved into the past: %s", got)
	}
	if fired, err := w.firer.FireOverdue(t.Context(), wake(w.reload(made.ID))); !fired || err != nil {
		t.Errorf("%v, %v", fired, err)
	}
	if got := fmt.Sprint(w.history(made)); got != "[06-01 09:00 told 06-02 09:00 told 06-03 09:00 told]" {
		t.Errorf("%s", got)
	}
	if n := len(w.inbox()); n != 3 {
		t.Errorf("she was told %d times", n)
	}
}

// Dapr is told of the next occurrence by who has fired, if it lies within the horizon; if Dapr is away, it
// is pending, and the sweep tells it.
func TestNextOccurrenceIsScheduled(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY", "Europe/Paris", "2030-06-01T09:00")
	for _, tt := range []struct {
		horizon task.Horizon
		away    error
		pending bool
	}{{task.Horizon{}, nil, false}, {task.Horizon{}, errDown, true}, {task.Horizon{Ahead: time.Hour}, nil, true}} {
		armer := schedule.NewArmer(w.store, w.dapr, h.now, tt.horizon)
		w.firer.Arms(armer.Arm)
		w.dapr.err = tt.away
		w.fire(h.to(w, made, task.Offset{}))
		armer.Finish()
		w.dapr.err = nil
		r := w.reload(made.ID).Reminders[0]
		asked := slices.ContainsFunc(w.dapr.scheduled, func(c fakeJob) bool { return c.ReminderID == r.ID && c.Number == r.Revision && c.At.Equal(*r.FireAt) })
		if r.Pending(forever) != tt.pending || asked == tt.pending {
			t.Errorf("%+v: %+v, asked: %v", tt, r, asked)
		}
		w.exec(`update reminders set next_schedule_at = next_schedule_at - interval '30 s'`) // as long as the sweep leaves them to the Firer
		if w.sweep(); w.reload(made.ID).Reminders[0].Pending(forever) {
			t.Errorf("%+v: the sweep has left it", tt)
		}
	}
}

// A crash at any commit of a firing neither loses an occurrence nor repeats one: what is not committed is
// fired once more, and what is, is armed for the next.
func TestFiringARecurringReminderIsAllOrNothing(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY", "Europe/Paris", "2030-06-01T09:00")
	call := h.to(w, made, task.Offset{})
	w.exec(`alter table notifications add constraint broken check (title <> 'Pay rent') not valid`) // the last statement fails
	if _, err := w.firer.Fire(t.Context(), call); err == nil {
		t.Fatal("it has fired")
	}
	if got := w.row(made); got != "[armed/1 06-01 07:00]" || len(w.history(made)) != 0 {
		t.Errorf("%s, %v", got, w.history(made))
	}
	w.exec(`alter table notifications drop constraint broken`)
	if o := w.fire(call); o.Status != fire.Success || len(w.inbox()) != 1 {
		t.Errorf("%+v, told %d times", o, len(w.inbox()))
	}
}

// A dead letter of an occurrence can be replayed though the reminder waits for the next, and not once the
// occurrence is completed.
func TestReplayOfAnEarlierOccurrence(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC), "FREQ=DAILY", "Europe/Paris", "2030-06-01T09:00")
	rules := settings
	rules.MaxAttempts = 1
	w.firer = newTeller(w.store, byEmail(w.mail), w.clock, rules)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	w.fire(h.to(w, made, task.Offset{}))
	w.mail.answer = nil
	letters, _, err := w.store.ListDeadLetters(t.Context(), store.DeadLetterFilter{State: store.Dead}, uuid.Nil, 10)
	if err != nil || len(letters) != 1 {
		t.Fatal(letters, err)
	}
	if _, err := w.store.ReplayDeadLetter(t.Context(), letters[0].ID, false); err != nil {
		t.Errorf("replay: %v", err)
	}
	if _, err := w.settleAs(made, task.Completed, "2030-06-01T09:00"); err != nil {
		t.Error(err)
	}
	if _, err := w.store.ReplayDeadLetter(t.Context(), letters[0].ID, false); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("replay once it is completed: %v", err)
	}
}

// Two occurrences that a gap brings to one instant are told in one message, and the history has both.
func TestTwoOccurrencesAtOneInstant(t *testing.T) {
	w, h, made := recurring(t, time.Date(2030, 3, 10, 6, 30, 0, 0, time.UTC), "FREQ=HOURLY", "America/New_York", "2030-03-10T00:00")
	w.fire(h.to(w, made, task.Offset{}))
	if n := len(w.inbox()); n != 1 {
		t.Errorf("she was told %d times", n)
	}
	if got := fmt.Sprint(w.history(made)); got != "[03-10 02:00 told 03-10 03:00 told]" {
		t.Errorf("%s", got)
	}
	if got := w.row(made); got != "[armed/2 03-10 08:00]" {
		t.Errorf("%s", got)
	}
}
