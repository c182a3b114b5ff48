package reminder_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/task"
)

var cleanupRules = reminder.CleanupRules{
	DeletedTasks: 30 * 24 * time.Hour, History: 90 * 24 * time.Hour, ReadNotifications: 90 * 24 * time.Hour,
	DeadLetters: 30 * 24 * time.Hour, IdempotencyKeys: 24 * time.Hour,
	Budget: time.Minute, Rows: 100_000, Concurrent: 8,
}

// house is a world with a Dapr whose jobs can be listed.
type house struct {
	*world
	dapr    *fakeDapr
	cleaner *reminder.Cleaner
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{world: newWorld(t, time.Now), dapr: &fakeDapr{}}
	h.planner = reminder.NewPlanner(h.store, h.dapr, h.clock, reminder.PlannerRules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second})
	h.cleaner = h.withRules(func(*reminder.CleanupRules) {})
	return h
}

func (h *house) withRules(change func(*reminder.CleanupRules)) *reminder.Cleaner {
	rules := cleanupRules
	change(&rules)
	return reminder.NewCleaner(h.store, h.dapr, h.clock, rules)
}

func (h *house) add(in time.Duration) task.Task {
	h.Helper()
	due := task.Instant(time.Now().Add(in))
	return h.create(task.Draft{DueDate: &due})
}

// counts are what the steps of a cleanup counted, those that counted something.
func counts(r reminder.Report) map[string]int {
	out := map[string]int{}
	for _, s := range r.Steps {
		if s.Count > 0 {
			out[s.Name] = s.Count
		}
	}
	return out
}

func failures(r reminder.Report) (out []string) {
	for _, s := range r.Steps {
		if s.Error != "" {
			out = append(out, s.Name)
		}
	}
	return out
}

// clutter makes one of everything that a cleanup has to do with, and returns what it
// is to count.
func (h *house) clutter() (untouched task.Task, vanished task.Task, want map[string]int) {
	h.Helper()
	untouched, vanished = h.add(time.Hour), h.add(2*time.Hour)
	h.add(100 * time.Hour) // too far ahead for anybody to look
	lost := h.add(99 * time.Hour)
	delete(h.dapr.jobs, wake(lost).JobName())
	left := h.add(3 * time.Hour)
	h.dapr.call = func(func()) error { return errDown }
	h.remove(left.ID)
	h.dapr.call = nil
	h.settle()
	delete(h.dapr.jobs, wake(vanished).JobName())
	superseded := task.Wake{ReminderID: untouched.Reminders[0].ID, Revision: 9}
	for _, name := range []string{superseded.JobName(), task.Wake{ReminderID: uuid.New(), Revision: 1}.JobName(), "reminder-of-nobody", "sentinel-" + uuid.NewString()} {
		h.dapr.jobs[name] = fakeJob{}
	}
	for _, name := range []string{"somebody-elses", "sentinel-" + uuid.Must(uuid.NewV7()).String()} { // the second may be about to be recorded
		h.dapr.jobs[name] = fakeJob{}
	}
	if name, err := h.store.SetSentinel(h.Context(), "", "sentinel-current"); err != nil || name != "sentinel-current" {
		h.Fatal(name, err)
	}
	h.dapr.jobs["sentinel-current"] = fakeJob{}

	gone := h.add(-time.Minute)
	h.fire(wake(gone))
	h.remove(gone.ID)
	h.exec(`delete from leftover_jobs where reminder_id = '` + gone.Reminders[0].ID.String() + `';
		update tasks set deleted_at = now() - interval '31 d' where id = '` + gone.ID.String() + `'`)
	h.exec(`update notifications set read_at = now() - interval '91 d'`)
	return untouched, vanished, map[string]int{
		"leftover_jobs": 1, "unknown_jobs": 3, "stale_sentinels": 1, "vanished_jobs": 1, "deleted_tasks": 1, "read_notifications": 1,
	}
}

// rows are all that the database holds.
func (h *house) rows() []string {
	h.Helper()
	var out []string
	for _, table := range []string{"tasks", "reminders", "deliveries", "notifications", "leftover_jobs", "sentinel", "dead_letters"} {
		out = append(out, h.column(fmt.Sprintf(`select '%s ' || to_jsonb(x)::text from %[1]s x order by 1`, table))...)
	}
	return out
}

func TestCleanup(t *testing.T) {
	for _, tooMany := range []bool{false, true} {
		h := newHouse(t)
		untouched, vanished, want := h.clutter()
		if h.dapr.tooMany = tooMany; tooMany {
			delete(want, "unknown_jobs")
			delete(want, "stale_sentinels")
		}
		rows, jobs := h.rows(), h.dapr.names()
		if r := h.cleaner.Cleanup(t.Context(), true); fmt.Sprint(counts(r)) != fmt.Sprint(want) || !r.DryRun {
			t.Errorf("a dry run counts %v, want %v: %+v", counts(r), want, r)
		}
		if !slices.Equal(rows, h.rows()) || !slices.Equal(jobs, h.dapr.names()) {
			t.Errorf("a dry run has changed something: from\n%v\n%q to\n%v\n%q", rows, jobs, h.rows(), h.dapr.names())
		}
		r := h.cleaner.Cleanup(t.Context(), false)
		if fmt.Sprint(counts(r)) != fmt.Sprint(want) || r.Complete == tooMany || r.DryRun {
			t.Errorf("counts %v, want %v: %+v", counts(r), want, r)
		}
		if tooMany {
			if got := failures(r); !slices.Equal(got, []string{"unknown_jobs", "stale_sentinels"}) {
				t.Errorf("failed: %v", got)
			}
			continue
		}
		if got := h.dapr.names(); len(got) != 6 { // three live ones, the sentinel, the next one, somebody else's
			t.Errorf("left with Dapr: %q", got)
		}
		for _, live := range []task.Task{untouched, vanished} {
			if !slices.Contains(h.dapr.names(), wake(live).JobName()) || h.reload(live.ID).Reminders[0].Status(forever) != "scheduled" {
				t.Errorf("%s: %+v", wake(live).JobName(), h.reload(live.ID).Reminders)
			}
		}
		h.want("leftovers", h.leftovers())
		if r := h.cleaner.Cleanup(t.Context(), false); len(counts(r)) != 0 || !r.Complete {
			t.Errorf("a second time: %+v", r)
		}
	}
}

// A step that fails does not stop the others.
func TestCleanupGoesOn(t *testing.T) {
	h := newHouse(t)
	_, _, want := h.clutter()
	h.dapr.call = func(func()) error { return errDown }
	r := h.cleaner.Cleanup(t.Context(), false)
	if got := failures(r); !slices.Equal(got, []string{"leftover_jobs", "unknown_jobs", "stale_sentinels", "vanished_jobs"}) {
		t.Errorf("failed: %v", got)
	}
	if got := counts(r); got["deleted_tasks"] != 1 || got["read_notifications"] != 1 || len(got) != 2 || r.Complete || r.Failed() != 4 {
		t.Errorf("counts %v", got)
	}
	h.dapr.call = nil
	delete(want, "deleted_tasks")
	delete(want, "read_notifications")
	if r := h.cleaner.Cleanup(t.Context(), false); fmt.Sprint(counts(r)) != fmt.Sprint(want) || !r.Complete {
		t.Errorf("when Dapr is back: %+v", r)
	}
}

// What one cleanup does not get to, the next one does.
func TestCleanupIsBounded(t *testing.T) {
	h := newHouse(t)
	for range 7 {
		gone := h.add(time.Hour)
		h.remove(gone.ID)
	}
	h.settle()
	h.exec(`update tasks set deleted_at = now() - interval '31 d'`)
	cleaner := h.withRules(func(r *reminder.CleanupRules) { r.Rows = 3 })
	for i := range 4 {
		r := cleaner.Cleanup(t.Context(), false)
		jobs, tasks := counts(r)["leftover_jobs"], counts(r)["deleted_tasks"]
		if jobs > 3 || tasks > 3 || r.Complete != (jobs < 3 && tasks < 3) || r.Failed() > 0 {
			t.Errorf("cleanup %d: %+v", i, r)
		}
	}
	if n := h.column(`select count(*)::text from tasks`); n[0] != "0" {
		t.Errorf("%s tasks are left", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if r := h.cleaner.Cleanup(ended, false); r.Complete || len(r.Steps) < 5 {
		t.Errorf("without any time: %+v", r)
	}
}

func TestReconcile(t *testing.T) {
	h := newHouse(t)
	var live []task.Task
	for range 5 {
		live = append(live, h.add(time.Hour))
	}
	gone := h.add(time.Hour)
	h.remove(gone.ID)
	h.dapr.call = func(func()) error { return errDown }
	live = append(live, h.add(time.Hour)) // never confirmed
	h.dapr.call = nil
	clear(h.dapr.jobs)

	// It is interrupted, and run again.
	ctx, interrupt := context.WithCancel(t.Context())
	if err := h.cleaner.Reconcile(ctx, func(p reminder.Progress) {
		if p.Unconfirmed > 0 {
			interrupt()
		}
	}); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("interrupted: %v", err)
	}
	var last reminder.Progress
	for range 2 {
		if err := h.cleaner.Reconcile(t.Context(), func(p reminder.Progress) { last = p }); err != nil || last.Left != 0 {
			t.Errorf("%+v, %v", last, err)
		}
		if len(h.dapr.names()) != len(live) {
			t.Errorf("%q", h.dapr.names())
		}
	}
	if last.Unconfirmed != len(live) || last.Scheduled != len(live) {
		t.Errorf("%+v", last)
	}
	for _, l := range live {
		if s := h.reload(l.ID).Reminders[0].Status(forever); s != "scheduled" {
			t.Errorf("%s is %s", l.ID, s)
		}
	}
}

func TestCleanupRules(t *testing.T) {
	if err := cleanupRules.Validate(); err != nil {
		t.Error(err)
	}
	err := reminder.CleanupRules{}.Validate()
	for _, name := range []string{"KEEP_DELETED_TASKS", "KEEP_HISTORY", "KEEP_READ_NOTIFICATIONS", "KEEP_DEAD_LETTERS", "KEEP_IDEMPOTENCY_KEYS", "CLEANUP_BUDGET", "CLEANUP_ROWS", "CLEANUP_CONCURRENCY"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("nothing about %s: %v", name, err)
		}
	}
}
