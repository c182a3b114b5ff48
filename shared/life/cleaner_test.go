package life_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/upkeep"
)

var cleanupRules = upkeep.CleanupRules{
	DeletedTasks: 30 * 24 * time.Hour, History: 90 * 24 * time.Hour, ReadNotifications: 90 * 24 * time.Hour,
	DeadLetters: 30 * 24 * time.Hour, AuditEvents: 365 * 24 * time.Hour, IdempotencyKeys: 24 * time.Hour,
	Budget: time.Minute, Rows: 100_000, Concurrent: 8,
}

// house is a world with a Dapr whose jobs can be listed.
type house struct {
	*world
	cleaner *upkeep.Cleaner
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{world: newWorld(t, time.Now)}
	h.dapr.jobs = map[string]fakeJob{currentSentinel: {}}
	if name, err := h.store.SetSentinel(h.Context(), "", currentSentinel); err != nil || name != currentSentinel {
		h.Fatal(name, err)
	}
	h.cleaner = h.withRules(func(*upkeep.CleanupRules) {})
	return h
}

const currentSentinel = "sentinel-current"

func (h *house) withRules(change func(*upkeep.CleanupRules)) *upkeep.Cleaner {
	rules := cleanupRules
	change(&rules)
	return upkeep.NewCleaner(h.store, h.dapr, h.clock, rules)
}

func (h *house) add(in time.Duration) task.Task {
	h.Helper()
	due := task.Instant(time.Now().Add(in))
	return h.create(task.Draft{DueDate: &due})
}

// counts are what the steps of a cleanup counted, those that counted something.
func counts(r upkeep.Report) map[string]int {
	out := map[string]int{}
	for _, s := range r.Steps {
		if s.Count > 0 {
			out[s.Name] = s.Count
		}
	}
	return out
}

func failures(r upkeep.Report) (out []string) {
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
	h.dapr.err = errDown
	h.remove(left.ID)
	h.dapr.err = nil
	h.settle()
	delete(h.dapr.jobs, wake(vanished).JobName())
	superseded := task.Revision{ReminderID: untouched.Reminders[0].ID, Number: 9}
	for _, name := range []string{superseded.JobName(), task.Revision{ReminderID: uuid.New(), Number: 1}.JobName(), "reminder-of-nobody", "sentinel-" + uuid.NewString()} {
		h.dapr.jobs[name] = fakeJob{}
	}
	young := uuid.Must(uuid.NewV7()) // that may be about to be recorded, or stored
	for _, name := range []string{"somebody-elses", "sentinel-" + young.String(), task.Revision{ReminderID: young, Number: 1}.JobName()} {
		h.dapr.jobs[name] = fakeJob{}
	}

	// What goes with a task is old enough to go by itself.
	gone, told := h.add(-time.Minute), h.add(-time.Minute)
	h.fire(wake(gone))
	h.fire(wake(told))
	h.remove(gone.ID)
	h.settle()
	id := "'" + gone.ID.String() + "'"
	h.exec(`update tasks set deleted_at = now() - interval '31 d' where id = ` + id + `;
		update notifications set read_at = now() - interval '91 d';
		insert into audit_events (event_id, task_id, user_id, task_title, recorded_at)
		select gen_random_uuid(), gen_random_uuid(), 'ada', '', now() - n * interval '1 d' from generate_series(364, 366) n;
		update deliveries set finished_at = now() - interval '91 d' where task_id = ` + id + `;
		insert into dead_letters (id, state, job_name, data, error, attempts, delivery_id, updated_at)
		select id, 'discarded', '', '', '', 1, id, now() - interval '31 d' from deliveries where task_id = ` + id + ` limit 1;
		insert into reminders (id, task_id, user_id, before, state, revision, removed_at)
		values (gen_random_uuid(), ` + id + `, 'ada', '1 h', 'cancelled', 1, now() - interval '91 d')`)
	return untouched, vanished, map[string]int{
		"leftover_jobs": 2, "unknown_jobs": 3, "stale_sentinels": 1, "vanished_jobs": 1,
		"dead_letters": 1, "finished_deliveries": 2, "removed_reminders": 1, "deleted_tasks": 1, "read_notifications": 1, "audit_events": 2,
	}
}

// rows are all that the database holds.
func (h *house) rows() []string {
	h.Helper()
	var out []string
	for _, table := range []string{"tasks", "reminders", "deliveries", "notifications", "leftover_jobs", "sentinel", "dead_letters", "audit_events"} {
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
		if got := h.dapr.names(); len(got) != 8 { // four live ones, a young one, the sentinel, the next one, somebody else's
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
	h.dapr.err = errDown
	r := h.cleaner.Cleanup(t.Context(), false)
	if got := failures(r); !slices.Equal(got, []string{"leftover_jobs", "unknown_jobs", "stale_sentinels", "vanished_jobs"}) {
		t.Errorf("failed: %v", got)
	}
	for _, needsDapr := range failures(r) {
		delete(want, needsDapr)
	}
	if got := counts(r); fmt.Sprint(got) != fmt.Sprint(want) || r.Complete {
		t.Errorf("counts %v, want %v", got, want)
	}
	h.dapr.err = nil
	want = map[string]int{"leftover_jobs": 2, "unknown_jobs": 3, "stale_sentinels": 1, "vanished_jobs": 1}
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
	cleaner := h.withRules(func(r *upkeep.CleanupRules) { r.Rows = 3 })
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

// Jobs that are deleted by their names are no more than one cleanup may delete, and
// it says that there are more.
func TestCleanupOfUnknownJobsIsBounded(t *testing.T) {
	h := newHouse(t)
	for range 5 {
		h.dapr.jobs["sentinel-"+uuid.NewString()] = fakeJob{}
		h.dapr.jobs[task.Revision{ReminderID: uuid.New(), Number: 1}.JobName()] = fakeJob{}
	}
	cleaner := h.withRules(func(r *upkeep.CleanupRules) { r.Rows = 3 })
	for _, want := range []int{3, 2, 0} {
		for _, dryRun := range []bool{true, false} {
			r := cleaner.Cleanup(t.Context(), dryRun)
			if got := counts(r); got["unknown_jobs"] != want || got["stale_sentinels"] != want || r.Complete != (want < 3) {
				t.Errorf("dry run %v: %+v, want %d", dryRun, r, want)
			}
		}
	}
}

// Jobs of which this database knows nothing may be those of another one.
func TestCleanupLeavesTheDaprOfAnotherDatabaseAlone(t *testing.T) {
	h := newHouse(t)
	h.clutter()
	h.exec(`update leftover_jobs set settled_at = now() + interval '1 h'; update sentinel set name = 'sentinel-of-another'`)
	jobs := h.dapr.names()
	for _, dryRun := range []bool{true, false} {
		r := h.cleaner.Cleanup(t.Context(), dryRun)
		if got := failures(r); !slices.Equal(got, []string{"unknown_jobs", "stale_sentinels"}) {
			t.Errorf("dry run %v: failed: %v", dryRun, got)
		}
	}
	for _, name := range jobs {
		if !slices.Contains(h.dapr.names(), name) {
			t.Errorf("%s is gone", name)
		}
	}
}

// A Dapr that hangs does not take the time of the steps that don't need it.
func TestCleanupWhileDaprHangs(t *testing.T) {
	h := newHouse(t)
	_, _, want := h.clutter()
	rules := cleanupRules
	rules.Budget = 15 * time.Second
	h.dapr.call = hang
	r := upkeep.NewCleaner(h.store, h.dapr, h.clock, rules).Cleanup(t.Context(), false)
	for _, needsDapr := range failures(r) {
		delete(want, needsDapr)
	}
	if got := counts(r); fmt.Sprint(got) != fmt.Sprint(want) || len(failures(r)) != 4 || r.Complete {
		t.Errorf("counts %v, want %v: %+v", got, want, r)
	}
}

// Several cleanups at one time do what one does, and count nothing twice.
func TestCleanupsAtTheSameTime(t *testing.T) {
	h := newHouse(t)
	const tasks = 60
	for range tasks {
		gone := h.add(-time.Minute)
		h.fire(wake(gone))
		h.remove(gone.ID)
	}
	h.settle()
	h.exec(`update tasks set deleted_at = now() - interval '31 d'; update deliveries set finished_at = now() - interval '91 d'`)
	reports := make([]upkeep.Report, 4)
	var group sync.WaitGroup
	for i := range reports {
		group.Go(func() { reports[i] = h.cleaner.Cleanup(t.Context(), false) })
	}
	group.Wait()
	total := map[string]int{}
	for _, r := range reports {
		for step, n := range counts(r) {
			total[step] += n
		}
		if r.Failed() > 0 {
			t.Errorf("%+v", r)
		}
	}
	last := h.cleaner.Cleanup(t.Context(), false)
	if total["deleted_tasks"] != tasks || total["finished_deliveries"] != 2*tasks || len(counts(last)) > 0 || !last.Complete {
		t.Errorf("together %v, and then %+v", total, last)
	}
	h.want("leftovers", h.leftovers())
	h.want("jobs", h.dapr.names(), currentSentinel)
}

// A cleanup that ends anywhere leaves nothing half done: the next one does the rest.
func TestCleanupEndsInTheMiddle(t *testing.T) {
	for calls := 0; ; calls++ {
		h := newHouse(t)
		untouched, vanished, _ := h.clutter()
		ctx, end := context.WithCancel(t.Context())
		left := calls
		var mu sync.Mutex
		h.dapr.call = func(_ context.Context, effect func()) error {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				end()
				return context.Canceled
			}
			effect()
			return nil
		}
		h.cleaner.Cleanup(ctx, false)
		h.dapr.call = nil
		ended := ctx.Err() != nil
		end()
		h.exec(`update reminders set next_schedule_at = null`) // a claim of the one that ended is over
		h.cleaner.Cleanup(t.Context(), false)
		if r := h.cleaner.Cleanup(t.Context(), false); len(counts(r)) > 0 || !r.Complete {
			t.Errorf("ended at call %d: %+v", calls, r)
		}
		h.want("leftovers", h.leftovers())
		for _, live := range []task.Task{untouched, vanished} {
			if !slices.Contains(h.dapr.names(), wake(live).JobName()) || h.reload(live.ID).Reminders[0].Status(forever) != "scheduled" {
				t.Errorf("ended at call %d: %+v, %q", calls, h.reload(live.ID).Reminders, h.dapr.names())
			}
		}
		if !ended {
			return
		}
	}
}

// A reminder that fires or is moved while its job is looked for has not lost it, and
// one that is about to fire is not looked at.
func TestVanishedJobsThatAreNot(t *testing.T) {
	for what, c := range map[string]struct {
		due    time.Duration
		change func(*house, task.Task)
	}{
		"fires": {time.Hour, func(h *house, soon task.Task) { h.fireNow(soon) }},
		"moved": {time.Hour, func(h *house, soon task.Task) {
			h.update(soon.ID, func(d *task.Draft) { d.DueDate = ptr(time.Now().Add(2 * time.Hour)) })
		}},
		"about to fire": {50 * time.Second, func(*house, task.Task) {}},
	} {
		h := newHouse(t)
		soon := h.add(c.due)
		delete(h.dapr.jobs, wake(soon).JobName())
		h.dapr.tooMany = true // so that it is asked for
		h.dapr.call = func(_ context.Context, effect func()) error {
			h.dapr.call = nil
			effect()
			c.change(h, soon)
			return nil
		}
		r := h.cleaner.Cleanup(t.Context(), false)
		if now := h.reload(soon.ID).Reminders[0]; counts(r)["vanished_jobs"] != 0 || slices.Contains(h.dapr.names(), wake(soon).JobName()) || now.Status(forever) == "pending" {
			t.Errorf("%s: %+v, %+v, %q", what, r, now, h.dapr.names())
		}
	}
}

// While Dapr takes no jobs, vanished ones are pending, and the report says that not
// all is done.
func TestVanishedJobsThatDaprDoesNotTake(t *testing.T) {
	h := newHouse(t)
	soon := h.add(time.Hour)
	delete(h.dapr.jobs, wake(soon).JobName())
	h.dapr.onSchedule = func(context.Context) error { return errDown }
	r := h.cleaner.Cleanup(t.Context(), false)
	if counts(r)["vanished_jobs"] != 1 || r.Complete || h.reload(soon.ID).Reminders[0].Status(forever) != "pending" {
		t.Errorf("%+v", r)
	}
}

// What has fired does not fire again once its deliveries are gone.
func TestFiredReminderOutlivesItsDeliveries(t *testing.T) {
	h := newHouse(t)
	told := h.add(-time.Minute)
	h.fire(wake(told))
	h.exec(`update deliveries set finished_at = now() - interval '91 d'; update notifications set read_at = now() - interval '91 d'`)
	if r := h.cleaner.Cleanup(t.Context(), false); counts(r)["finished_deliveries"] != 2 || len(h.deliveries(told.ID)) != 0 {
		t.Fatalf("%+v", r)
	}
	o := h.fire(wake(told))
	byHand, err := h.firer.FireTask(t.Context(), ada.ID, told.ID)
	if o.Reason != fire.ReasonDelivered || byHand.Status != fire.Skipped || err != nil {
		t.Errorf("%+v, %+v, %v", o, byHand, err)
	}
	h.sweep()
	if len(h.inbox()) != 1 || h.mail.count() != 1 {
		t.Errorf("%d in the inbox, %d e-mails", len(h.inbox()), h.mail.count())
	}
	moved := h.update(told.ID, func(d *task.Draft) { d.DueDate = ptr(time.Now().Add(-time.Second)) })
	h.fire(wake(moved))
	if len(h.inbox()) != 2 || h.mail.count() != 2 {
		t.Errorf("moved: %d in the inbox, %d e-mails", len(h.inbox()), h.mail.count())
	}
}

func TestReconcileWhileDaprIsAway(t *testing.T) {
	h := newHouse(t)
	h.add(time.Hour)
	rows := h.rows()
	h.dapr.err = errDown
	if err := h.cleaner.Reconcile(t.Context(), func(upkeep.Progress) {}); !errors.Is(err, errDown) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Error(err)
	}
	if !slices.Equal(rows, h.rows()) {
		t.Errorf("from\n%v to\n%v", rows, h.rows())
	}
}

// A reconciliation can be interrupted at any call, and run again.
func TestReconcileInterrupted(t *testing.T) {
	for calls := 0; ; calls++ {
		h := newHouse(t)
		live := []task.Task{h.add(time.Hour), h.add(2 * time.Hour), h.add(-time.Minute)}
		clear(h.dapr.jobs)
		ctx, interrupt := context.WithCancel(t.Context())
		left := calls
		var mu sync.Mutex
		h.dapr.call = func(_ context.Context, effect func()) error {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				interrupt()
			}
			effect()
			return ctx.Err()
		}
		err := h.cleaner.Reconcile(ctx, func(upkeep.Progress) {})
		interrupted := ctx.Err() != nil
		interrupt()
		if interrupted == (err == nil) {
			t.Errorf("interrupted %v at call %d: %v", interrupted, calls, err)
		}
		h.dapr.call = nil
		if err := h.cleaner.Reconcile(t.Context(), func(upkeep.Progress) {}); err != nil {
			t.Error(err)
		}
		for _, l := range live {
			if !slices.Contains(h.dapr.names(), wake(l).JobName()) || h.reload(l.ID).Reminders[0].Status(forever) != "scheduled" {
				t.Errorf("interrupted at call %d: %+v, %q", calls, h.reload(l.ID).Reminders, h.dapr.names())
			}
		}
		if !interrupted {
			return
		}
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
	h.dapr.err = errDown
	live = append(live, h.add(time.Hour)) // never confirmed
	h.dapr.err = nil
	clear(h.dapr.jobs)

	// It is interrupted, and run again.
	ctx, interrupt := context.WithCancel(t.Context())
	if err := h.cleaner.Reconcile(ctx, func(p upkeep.Progress) {
		if p.Unconfirmed > 0 {
			interrupt()
		}
	}); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("interrupted: %v", err)
	}
	var last upkeep.Progress
	for range 2 {
		if err := h.cleaner.Reconcile(t.Context(), func(p upkeep.Progress) { last = p }); err != nil || last.Left != 0 {
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
	err := upkeep.CleanupRules{}.Validate()
	for _, name := range []string{"KEEP_DELETED_TASKS", "KEEP_HISTORY", "KEEP_READ_NOTIFICATIONS", "KEEP_DEAD_LETTERS", "KEEP_AUDIT_EVENTS", "KEEP_IDEMPOTENCY_KEYS", "CLEANUP_BUDGET", "CLEANUP_ROWS", "CLEANUP_CONCURRENCY"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("nothing about %s: %v", name, err)
		}
	}
}
