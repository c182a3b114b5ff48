package life_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// under is a world with ceilings, and its clock.
func under(t *testing.T, c schedule.Ceilings) (w *world, now *time.Time) {
	t.Helper()
	w, now = withHorizon(t)
	*now = now.Truncate(time.Minute)
	w.planner = schedule.NewPlanner(w.store, w.dapr, w.clock, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second, Horizon: day, Ceilings: c})
	return w, now
}

// try creates tasks that are due so long from now, for a user.
func (w *world) try(owner store.User, once *schedule.Once, in ...time.Duration) ([]task.Task, error) {
	w.Helper()
	drafts := make([]task.Draft, len(in))
	for i, d := range in {
		due := w.clock().Add(d)
		drafts[i] = task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()}
	}
	return w.planner.CreateAll(w.Context(), owner, drafts, once)
}

// refused wants an error with a code that names a ceiling, and what is used of it.
func (w *world) refused(what string, err error, code fault.Code, parts ...string) {
	w.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != code || (code == fault.CodeRateLimited) != (f.RetryAfter > 0) {
		w.Errorf("%s: %v", what, err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(f.Message, part) {
			w.Errorf("%s: %q is missing in %q", what, part, f.Message)
		}
	}
}

var eve = store.User{ID: "eve"}

// Each ceiling refuses what is too much as a whole, says which it is and how much is used, and
// holds for one user alone. Deleting gives room again, and so does completing for those that
// count what waits.
func TestCeilings(t *testing.T) {
	far := []time.Duration{48 * time.Hour, 49 * time.Hour, 50 * time.Hour}
	near := []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour}
	together := []time.Duration{48 * time.Hour, 48*time.Hour + 20*time.Second, 48*time.Hour + 59*time.Second}
	for name, c := range map[string]struct {
		ceilings  schedule.Ceilings
		in        []time.Duration
		completed bool // gives room
		free      time.Duration
	}{
		"MAX_TASKS_PER_USER":       {schedule.Ceilings{Tasks: 3}, far, false, 0},
		"MAX_JOBS_PER_USER":        {schedule.Ceilings{Jobs: 3}, near, true, 48 * time.Hour},
		"MAX_REMINDERS_PER_MINUTE": {schedule.Ceilings{InMinute: 3}, together, true, 48*time.Hour + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w, now := under(t, c.ceilings)
			if _, err := w.try(ada, nil, append(c.in, c.in[0])...); err == nil {
				t.Fatal("more than there may be were taken")
			} else {
				w.refused("too many at once", err, fault.CodeConflict, name, "room for 4")
			}
			if n := w.column(`select count(*)::text from tasks`)[0]; n != "0" {
				t.Errorf("%s of those that were refused are stored", n)
			}
			created, err := w.try(ada, nil, c.in...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.try(ada, nil, c.in[0])
			w.refused("one more", err, fault.CodeConflict, name, "3 ", "room for 1")
			due := now.Add(c.in[0])
			_, err = w.planner.Create(t.Context(), ada, task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()}, nil)
			w.refused("a single one", err, fault.CodeConflict, name)
			if _, err := w.try(eve, nil, c.in...); err != nil {
				t.Errorf("another user: %v", err)
			}
			if c.free > 0 {
				other, err := w.try(ada, nil, c.free)
				if err != nil {
					t.Fatalf("what is not under the ceiling: %v", err)
				}
				*now = now.Add(time.Second)
				_, err = w.planner.Update(t.Context(), ada, other[0].ID, func(t task.Task) (task.Draft, error) {
					t.DueDate = created[1].DueDate
					return t.Draft, nil
				})
				w.refused("moved there", err, fault.CodeConflict, name)
			}
			// What is there already may be changed.
			*now = now.Add(time.Second)
			w.update(created[1].ID, func(d *task.Draft) { d.Title = "another" })
			w.update(created[1].ID, func(d *task.Draft) { due := d.DueDate.Add(time.Microsecond); d.DueDate = &due })

			w.remove(created[0].ID)
			*now = now.Add(time.Second)
			if _, err := w.try(ada, nil, c.in[1]-2*time.Second); err != nil {
				t.Errorf("after a deletion: %v", err)
			}
			*now = now.Add(time.Second)
			w.update(created[1].ID, func(d *task.Draft) { d.Completed = true })
			_, err = w.try(ada, nil, c.in[1]-3*time.Second)
			if c.completed && err != nil || !c.completed && err == nil {
				t.Errorf("after a completion: %v", err)
			}
			*now = now.Add(time.Second)
			_, err = w.planner.Update(t.Context(), ada, created[1].ID, func(t task.Task) (task.Draft, error) {
				t.Completed = false
				return t.Draft, nil
			})
			if c.completed {
				w.refused("reopened", err, fault.CodeConflict, name)
			} else if err != nil {
				t.Errorf("reopened: %v", err)
			}
		})
	}
}

// An import ends with the first part that does not fit. What was created before is said, and
// nothing after it is stored, also if that would fit.
func TestImportMeetsACeiling(t *testing.T) {
	for name, c := range map[string]schedule.Ceilings{
		"MAX_TASKS_PER_USER": {Tasks: 25}, "MAX_JOBS_PER_USER": {Jobs: 25}, "MAX_REMINDERS_PER_MINUTE": {InMinute: 25}, "MAX_IMPORT_ROWS_PER_HOUR": {ImportRows: 25},
	} {
		t.Run(name, func(t *testing.T) {
			w, now := under(t, c)
			code := fault.CodeConflict
			if c.ImportRows > 0 {
				code = fault.CodeRateLimited
			}
			due := now.Add(time.Hour)
			add := func(i *schedule.Import, n int) error {
				drafts := make([]task.Draft, n)
				for k := range drafts {
					drafts[k] = task.Draft{Title: fmt.Sprint(k), DueDate: &due, Before: task.DefaultBefore()}
				}
				return i.Add(t.Context(), drafts, nil)
			}
			i, err := w.planner.Import(t.Context(), ada)
			if err != nil {
				t.Fatal(err)
			}
			for part := range 2 {
				if err := add(i, 10); err != nil {
					t.Errorf("part %d: %v", part, err)
				}
			}
			w.refused("the third part", add(i, 10), code, name, "10 more")
			w.refused("a small one after it", add(i, 1), code, name)
			counts, err := i.Wait()
			w.refused("in the end", err, code, name)
			if n := w.column(`select count(*)::text from tasks`)[0]; counts.Created != 20 || n != "20" {
				t.Errorf("%d are said to be created, %s are", counts.Created, n)
			}
			if c.ImportRows > 0 { // an hour later there is room again
				w.exec(`update users set import_since = import_since - interval '1 h'`)
				if _, err := w.try(ada, nil, time.Hour, 2*time.Hour); err != nil {
					t.Errorf("an hour later: %v", err)
				}
			}
		})
	}
}

// What was answered before is answered again, however much there is by now, and answers are
// kept up to a ceiling.
func TestKeptAnswersHaveACeiling(t *testing.T) {
	w, now := under(t, schedule.Ceilings{AnswerBytes: 3000, Tasks: 7})
	once := func(key string) *schedule.Once {
		return &schedule.Once{Key: store.IdempotencyKey{UserID: ada.ID, Key: key}, Answer: func([]task.Task) string { return strings.Repeat("x", 1000) }}
	}
	for i := range 3 {
		if _, err := w.try(ada, once(fmt.Sprint(i)), time.Hour); err != nil && i < 2 {
			t.Fatalf("answer %d: %v", i, err)
		}
		*now = now.Add(time.Second)
	}
	_, err := w.try(ada, once("4"), time.Hour)
	w.refused("another answer", err, fault.CodeRateLimited, "MAX_KEPT_ANSWERS_PER_USER")
	if _, err := w.try(ada, nil, time.Hour); err != nil {
		t.Errorf("without a key: %v", err)
	}
	if _, err := w.try(eve, &schedule.Once{Key: store.IdempotencyKey{UserID: eve.ID, Key: "1"}, Answer: func([]task.Task) string { return "" }}, time.Hour); err != nil {
		t.Errorf("another user: %v", err)
	}
	for range 7 {
		*now = now.Add(time.Second)
		_, _ = w.try(ada, nil, time.Hour)
	}
	if _, err := w.try(ada, once("0"), time.Hour); !isAnswered(err) {
		t.Errorf("a repetition, all ceilings met: %v", err)
	}
	w.exec(`update idempotency_keys set created_at = created_at - interval '1 d'; update tasks set deleted_at = now()`)
	*now = now.Add(time.Minute)
	if _, err := w.try(ada, once("5"), time.Hour); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

func isAnswered(err error) bool {
	_, ok := errors.AsType[*store.AnsweredError](err)
	return ok
}

// One user's counters are nobody else's: while they are locked, others import.
func TestUsersDoNotWaitForEachOthersCeilings(t *testing.T) {
	w, _ := under(t, schedule.Ceilings{Tasks: 1000, Jobs: 1000, InMinute: 1000, ImportRows: 1000, AnswerBytes: 1000})
	for _, u := range []store.User{ada, eve} {
		if err := w.store.SaveUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	release := w.holdOpen(`select from users where id = 'ada' for update`)
	held := make(chan error, 1)
	go func() {
		_, err := w.try(ada, nil, time.Hour)
		held <- err
	}()
	w.waiting(1)
	due := w.clock().Add(time.Hour)
	if _, err := w.planner.CreateAll(t.Context(), eve, []task.Draft{{Title: "x", DueDate: &due, Before: task.DefaultBefore()}}, nil); err != nil {
		t.Errorf("while another user's counters are locked: %v", err)
	}
	select {
	case err := <-held:
		if !store.IsHeld(err) { // on a busy machine it may have waited for as long as it does
			t.Errorf("whose counters are locked did not wait: %v", err)
		}
		release()
	default:
		release()
		if err := <-held; err != nil && !store.IsHeld(err) {
			t.Error(err)
		}
	}
}

// BenchmarkCeilings shows what the ceilings cost a create, and the index that they need: in
// turns, one is made without both and one with them. Each user creates ten tasks.
func BenchmarkCeilings(b *testing.B) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ceilings, err := config.Parse[schedule.Ceilings](nil)
	if err != nil {
		b.Fatal(err)
	}
	var planners [2]*schedule.Planner
	for i := range planners {
		s, url := storetest.Open(b)
		rules := schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second, Horizon: day}
		if i == 1 {
			rules.Ceilings = ceilings
		} else {
			c, err := pgx.Connect(b.Context(), url)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Exec(b.Context(), `drop index reminders_of_user`); err != nil {
				b.Fatal(err)
			}
			_ = c.Close(b.Context())
		}
		planners[i] = schedule.NewPlanner(s, &fakeDapr{}, time.Now, rules)
	}
	var took [2]time.Duration
	due := time.Now().Add(time.Hour)
	for i := 0; b.Loop(); i++ {
		for k := range planners {
			k = (k + i) % 2
			began := time.Now()
			if _, err := planners[k].Create(b.Context(), store.User{ID: fmt.Sprint("user-", i/10)}, task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()}, nil); err != nil {
				b.Fatal(err)
			}
			took[k] += time.Since(began)
		}
	}
	b.ReportMetric(float64(took[1])/float64(took[0]), "with/without")
}
