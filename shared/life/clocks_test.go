package life_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
	"github.com/duebell/duebell/shared/zone/zonetest"
)

// moves has ada be in another zone.
func (w *world) moves(zone string) {
	w.Helper()
	w.choose(func(p *preferences.Preferences) { p.TimeZone = zone })
}

// floating makes a task of ada's that is due at an instant, and wherever she is then.
func (w *world) floating(due time.Time, before ...task.Offset) task.Task {
	w.Helper()
	zoneName := w.column(`select time_zone from preferences where user_id = 'ada'`)[0]
	return w.create(task.Draft{Due: task.Due{Form: task.ByClock, Local: wallclock.At(due, preferences.Zone(zoneName))}, Before: before})
}

// atDue is the callback at a task's due date.
func atDue(t task.Task) task.Revision {
	r := t.Reminders[slices.IndexFunc(t.Reminders, func(r task.Reminder) bool { return r.Before == task.Offset{} })]
	return task.Revision{TaskID: t.ID, UserID: t.UserID, ReminderID: r.ID, Number: r.Revision}
}

// row shows a task's reminders.
func (w *world) row(t task.Task) string {
	w.Helper()
	return fmt.Sprint(w.column(`select concat(state, '/', revision, ' ', to_char(fire_at at time zone 'UTC', 'MM-DD HH24:MI'))
		from reminders where task_id = '` + t.ID.String() + `' order by before_days, before`))
}

// What is due where the user is moves when they do: what is armed gets another revision, and its job
// is one of another name; what has fired stays as it is. So does what is not due where they are.
func TestRemindersMoveWithTheirUser(t *testing.T) {
	w := newWorld(t, atNoon)
	w.moves("Europe/Berlin")
	morning := time.Date(noon.Year(), noon.Month(), noon.Day()+1, 8, 0, 0, 0, time.UTC)
	day := morning.Format("01-02")
	lunch := w.floating(morning, task.Offset{Exact: time.Hour}, task.Offset{})
	abroad := w.create(task.Draft{Due: task.Due{Form: task.ByClock, Local: wallclock.At(morning, preferences.Zone("Asia/Tokyo")), Zone: "Asia/Tokyo"}})
	instant := w.create(task.Draft{DueDate: &morning})
	told := w.floating(noon)
	w.fireNow(told)
	whole := w.create(task.Draft{Due: task.Due{Form: task.ByDay, Local: wallclock.FromUTC(morning).Midnight()}})
	toldBefore := w.row(told)

	w.moves("America/New_York")
	sum := w.sweep()
	if sum.Moved != 3 {
		t.Errorf("%d have moved", sum.Moved)
	}
	_, berlin := morning.In(preferences.Zone("Europe/Berlin")).Zone()
	_, newYork := morning.In(preferences.Zone("America/New_York")).Zone()
	later := morning.Add(time.Duration(berlin-newYork) * time.Second)
	if got, want := w.row(lunch), fmt.Sprintf("[armed/2 %s %s armed/2 %s %s]", day, later.Format("15:04"), day, later.Add(-time.Hour).Format("15:04")); got != want {
		t.Errorf("where she is: %s, want %s", got, want)
	}
	for name, of := range map[string]task.Task{"abroad": abroad, "an instant": instant} {
		if got, want := w.row(of), fmt.Sprintf("[armed/1 %s 08:00]", day); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := w.row(told); got != toldBefore {
		t.Errorf("what has fired: %s, was %s", got, toldBefore)
	}
	if due := w.reload(lunch.ID).DueDate; !due.Equal(later) {
		t.Errorf("it is due at %v, want %v", due, later)
	}
	w.choose(func(p *preferences.Preferences) { p.AllDayAt = 18 * time.Hour })
	if sum := w.sweep(); sum.Moved != 1 {
		t.Errorf("with another time for whole days %d have moved", sum.Moved)
	}
	if r := w.reload(whole.ID).Reminders[0]; r.Revision != 3 || wallclock.At(*r.FireAt, preferences.Zone("America/New_York")).ClockString() != "18:00" {
		t.Errorf("the whole day: %+v", r)
	}
	if sum := w.sweep(); sum.Moved != 0 {
		t.Errorf("once more %d have moved", sum.Moved)
	}
	// They are looked at for some minutes more, for the sake of what was planned before and is stored late.
	if n := len(w.column(`select user_id from preferences where clock_changed_at is not null`)); n != 1 {
		t.Errorf("%d users are still looked at", n)
	}
	w.exec(`update preferences set clock_changed_at = now() - interval '6 min'`)
	w.sweep()
	if n := len(w.column(`select user_id from preferences where clock_changed_at is not null`)); n != 0 {
		t.Errorf("%d users are looked at for ever", n)
	}
}

// A callback at the old instant, before any sweep, tells nobody: the reminder is moved then.
func TestCallbackBeforeTheMove(t *testing.T) {
	w := newWorld(t, atNoon)
	w.moves("Europe/Berlin")
	due := w.floating(noon)
	w.moves("America/New_York")
	if o := w.fire(wake(due)); o != (fire.Outcome{Status: fire.Skipped, Reason: task.ReasonSuperseded}) {
		t.Errorf("the callback: %+v", o)
	}
	if r := w.reload(due.ID).Reminders[0]; r.State != task.Armed || r.Revision != 2 || !r.FireAt.After(noon) {
		t.Errorf("the reminder: %+v", r)
	}
	// One whose instant is the same in the other zone fires, and so do two that the sweep finds.
	w.moves("Europe/Paris")
	same := w.floating(noon)
	swept := w.floating(noon)
	w.moves("Europe/Rome")
	if o := w.fire(wake(same)); o.Status != fire.Success {
		t.Errorf("at the same instant: %+v", o)
	}
	if fired, err := w.firer.FireOverdue(t.Context(), wake(swept)); !fired || err != nil {
		t.Errorf("by the sweep: %v, %v", fired, err)
	}
}

// Of those that have passed by the move, the latest is told, at once.
func TestMoveIntoThePast(t *testing.T) {
	w := newWorld(t, atNoon)
	w.moves("America/New_York")
	due := w.floating(noon.Add(2*time.Hour), task.Offset{Exact: time.Hour}, task.Offset{})
	w.moves("Europe/Berlin")
	w.sweep() // moves
	w.sweep() // fires
	if got := w.column(`select state from reminders where task_id = '` + due.ID.String() + `' order by before`); fmt.Sprint(got) != "[fired missed]" {
		t.Errorf("%v", got)
	}
	if n := len(w.inbox()); n != 1 {
		t.Errorf("she was told %d times", n)
	}
}

// A task that was planned by the clock before, and is stored when all others have moved and are
// settled, is found.
func TestPlannedBeforeTheMoveStoredAfter(t *testing.T) {
	w := newWorld(t, atNoon)
	w.moves("Europe/Berlin")
	due := w.floating(noon.Add(time.Hour))
	w.moves("America/New_York")
	w.sweep()
	w.exec(`update preferences set clock_changed_at = null`)
	late := due
	late.ID = uuid.Must(uuid.NewV7())
	late.Reminders = append([]task.Reminder(nil), due.Reminders...)
	late.Reminders[0].ID = uuid.Must(uuid.NewV7())
	if _, err := w.store.InsertTasks(t.Context(), store.Alone, nil, []task.Task{late}, nil, forever, 0); err != nil {
		t.Fatal(err)
	}
	if sum := w.sweep(); sum.Moved != 1 {
		t.Errorf("%d have moved", sum.Moved)
	}
}

// A sweep that is broken off leaves the rest to the next one, and what one user has too much of does
// not keep others from moving.
func TestMovesAreBounded(t *testing.T) {
	w := newWorld(t, atNoon)
	const many = 250
	w.moves("Europe/Berlin")
	drafts := make([]task.Draft, many)
	for i := range drafts {
		drafts[i] = task.Draft{Title: "x", Due: task.Due{Form: task.ByClock, Local: wallclock.FromUTC(noon.Add(5 * time.Hour))}, Before: task.DefaultBefore()}
	}
	if _, err := w.planner.CreateAll(t.Context(), ada, drafts, nil); err != nil {
		t.Fatal(err)
	}
	bob := store.User{ID: "bob"}
	w.chooseFor(bob, func(p *preferences.Preferences) { p.TimeZone = "Europe/Berlin" })
	if _, err := w.planner.Create(t.Context(), bob, drafts[0], nil); err != nil {
		t.Fatal(err)
	}
	w.moves("America/New_York")
	w.chooseFor(bob, func(p *preferences.Preferences) { p.TimeZone = "America/New_York" })
	const stale = `select r.user_id from reminders r join preferences p using (user_id) where r.derived_clock < p.clock_version`

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules).Sweep(ended)
	if n := len(w.column(stale)); n != many+1 {
		t.Errorf("%d are left by a sweep that was broken off at once", n)
	}
	release := w.holdOpen(`select from tasks where id = (select min(id::text)::uuid from tasks where user_id = 'ada') for update`)
	sum, _ := newSweeper(w.store, w.dapr, w.firer, w.clock, sweepRules).Sweep(t.Context())
	release()
	if got := w.column(stale); len(got) != 1 || got[0] != "ada" || sum.Complete {
		t.Errorf("%d are left, though one was held; complete: %v", len(got), sum.Complete)
	}
	w.sweep()
	if n := len(w.column(stale)); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// With a later release of the time zones reminders follow. A function that still has the earlier one
// leaves what the later one has derived.
func TestLaterTimeZones(t *testing.T) {
	w := newWorld(t, atNoon)
	earlier := zonetest.Release(t, "2030a", map[string]time.Duration{"Test/Here": time.Hour, "Test/There": 3 * time.Hour})
	later := zonetest.Release(t, "2030b", map[string]time.Duration{"Test/Here": 2 * time.Hour, "Test/There": 3 * time.Hour})
	with := func(zones *zone.Data) (*schedule.Planner, *teller) {
		planner := schedule.NewPlanner(w.store, w.dapr, w.clock, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second})
		planner.By(zones)
		firer := newTeller(w.store, byEmail(w.mail), w.clock, settings)
		firer.mover.By(zones)
		return planner, firer
	}
	sweep := func(firer *teller) upkeep.Summary {
		t.Helper()
		sum, err := newSweeper(w.store, w.dapr, firer, w.clock, sweepRules).Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	oldPlanner, oldFirer := with(earlier)
	_, newFirer := with(later)
	create := func(p *schedule.Planner, zone string, at time.Time) task.Task {
		t.Helper()
		made, err := p.Create(t.Context(), ada, task.Draft{Title: zone, Due: task.Due{Form: task.ByClock, Local: wallclock.FromUTC(at), Zone: zone}, Before: []task.Offset{{}, {Days: 1}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	tomorrow := noon.Add(48 * time.Hour)
	here, there := create(oldPlanner, "Test/Here", tomorrow), create(oldPlanner, "Test/There", tomorrow)
	due := create(oldPlanner, "Test/Here", noon.Add(2*time.Hour)) // an hour from now; by the later release now
	told := create(oldPlanner, "Test/Here", noon)
	if o, err := oldFirer.Fire(t.Context(), atDue(told)); err != nil || o.Status != fire.Success {
		t.Fatal(o, err)
	}
	if sum := sweep(oldFirer); sum.Moved != 0 {
		t.Errorf("with the same release %d have moved", sum.Moved)
	}
	// The function that still has the earlier release would take it to be early.
	if o, err := newFirer.Fire(t.Context(), atDue(due)); err != nil || o.Reason != task.ReasonEarly {
		t.Errorf("before the sweep: %+v, %v", o, err)
	}
	sum := sweep(newFirer)
	if sum.Moved != 3 {
		t.Errorf("with the later release %d have moved", sum.Moved)
	}
	for _, tt := range []struct {
		of    task.Task
		ahead time.Duration
		at    time.Time
	}{{here, 2 * time.Hour, tomorrow}, {there, 3 * time.Hour, tomorrow}} {
		for _, r := range w.reload(tt.of.ID).Reminders {
			if want := tt.at.Add(-tt.ahead).AddDate(0, 0, -r.Before.Days); !r.FireAt.Equal(want) {
				t.Errorf("%s, %s: %v, want %v", tt.of.Title, r.Before, r.FireAt, want)
			}
		}
	}
	if sum := sweep(oldFirer); sum.Moved != 0 {
		t.Errorf("the earlier release has moved %d back", sum.Moved)
	}
	edited, err := oldPlanner.Update(t.Context(), ada, here.ID, func(t task.Task) (task.Draft, error) {
		t.Title = "edited"
		return t.Draft, nil
	})
	if err != nil || edited.Reminders[0].Revision != 2 {
		t.Errorf("an edit by the function with the earlier release: %+v, %v", edited.Reminders, err)
	}
	if n := len(w.column(`select state from reminders where state = 'fired' and task_id = '` + told.ID.String() + `' and before_days = 0`)); n != 1 {
		t.Error("what has fired has moved")
	}
}
