package task_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/task"
)

const (
	grace = 24 * time.Hour
	min5  = 5 * time.Minute
	min30 = 30 * time.Minute
)

var now = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

func at(d time.Duration) *time.Time {
	t := now.Add(d)
	return &t
}

// made returns the task of a draft that is created at now.
func made(d task.Draft) task.Task {
	return task.Task{Draft: d, Reminders: task.Plan(nil, d, now, grace, uuid.New, task.Clock{})}
}

// changed returns t after a change of its draft.
func changed(t task.Task, when time.Time, change func(*task.Draft)) task.Task {
	next := t.Draft
	change(&next)
	return task.Task{Draft: next, Reminders: task.Plan(&t, next, when, grace, uuid.New, task.Clock{})}
}

// fired returns t after its reminder at an offset has fired.
func fired(t task.Task, before time.Duration) task.Task {
	rs := append([]task.Reminder(nil), t.Reminders...)
	for i := range rs {
		if rs[i].Before == (task.Offset{Exact: before}) {
			rs[i].State = task.Fired
		}
	}
	t.Reminders = rs
	return t
}

// show writes reminders as "offset state/revision", with their instant relative
// to now.
func show(t task.Task) []string {
	var out []string
	for _, r := range t.Reminders {
		instant := "never"
		if r.FireAt != nil {
			instant = r.FireAt.Sub(now).String()
		}
		line := fmt.Sprintf("%s %s/%d at %s", r.Before, r.State, r.Revision, instant)
		if r.Removed {
			line += " removed"
		}
		out = append(out, line)
	}
	return out
}

func TestPlan(t *testing.T) {
	hour := made(task.Draft{DueDate: at(time.Hour), Before: task.Exactly(0, min30)})
	tests := map[string]struct {
		got  task.Task
		want []string
	}{
		"created with a due date ahead": {
			hour,
			[]string{"30m armed/1 at 30m0s", "0s armed/1 at 1h0m0s"},
		},
		"created without a due date": {
			made(task.Draft{Before: task.Exactly(0)}),
			[]string{"0s cancelled/0 at never"},
		},
		"created completed": {
			made(task.Draft{DueDate: at(time.Hour), Completed: true, Before: task.Exactly(0)}),
			[]string{"0s cancelled/0 at 1h0m0s"},
		},
		"created with no reminders": {made(task.Draft{DueDate: at(time.Hour)}), nil},
		"created past due within grace: one reminder, the latest": {
			made(task.Draft{DueDate: at(-time.Hour), Before: task.Exactly(min30, 0, min5)}),
			[]string{"30m missed/0 at -1h30m0s", "5m missed/0 at -1h5m0s", "0s armed/1 at -1h0m0s"},
		},
		"created between two offsets": {
			made(task.Draft{DueDate: at(min5), Before: task.Exactly(0, min30, time.Hour)}),
			[]string{"1h missed/0 at -55m0s", "30m armed/1 at -25m0s", "0s armed/1 at 5m0s"},
		},
		"created beyond grace": {
			made(task.Draft{DueDate: at(-25 * time.Hour), Before: task.Exactly(0)}),
			[]string{"0s missed/0 at -25h0m0s"},
		},
		"created exactly at grace": {
			made(task.Draft{DueDate: at(-grace), Before: task.Exactly(0)}),
			[]string{"0s armed/1 at -24h0m0s"},
		},
		"due exactly now": {
			made(task.Draft{DueDate: at(0), Before: task.Exactly(0)}),
			[]string{"0s armed/1 at 0s"},
		},

		"new title": {
			changed(hour, now, func(d *task.Draft) { d.Title = "x" }),
			[]string{"30m armed/1 at 30m0s", "0s armed/1 at 1h0m0s"},
		},
		"moved": {
			changed(hour, now, func(d *task.Draft) { d.DueDate = at(2 * time.Hour) }),
			[]string{"30m armed/2 at 1h30m0s", "0s armed/2 at 2h0m0s"},
		},
		"moved to the past": {
			changed(hour, now, func(d *task.Draft) { d.DueDate = at(-time.Minute) }),
			[]string{"30m missed/1 at -31m0s", "0s armed/2 at -1m0s"},
		},
		"moved to long ago": {
			changed(hour, now, func(d *task.Draft) { d.DueDate = at(-48 * time.Hour) }),
			[]string{"30m missed/1 at -48h30m0s", "0s missed/1 at -48h0m0s"},
		},
		"due date removed": {
			changed(hour, now, func(d *task.Draft) { d.DueDate = nil }),
			[]string{"30m cancelled/1 at never", "0s cancelled/1 at never"},
		},
		"due date removed and set again": {
			changed(changed(hour, now, func(d *task.Draft) { d.DueDate = nil }), now, func(d *task.Draft) { d.DueDate = at(time.Hour) }),
			[]string{"30m armed/2 at 30m0s", "0s armed/2 at 1h0m0s"},
		},
		"completed": {
			changed(hour, now, func(d *task.Draft) { d.Completed = true }),
			[]string{"30m cancelled/1 at 30m0s", "0s cancelled/1 at 1h0m0s"},
		},
		"reopened arms only what lies ahead": {
			changed(changed(hour, now, func(d *task.Draft) { d.Completed = true }), now.Add(45*time.Minute), func(d *task.Draft) { d.Completed = false }),
			[]string{"30m cancelled/1 at 30m0s", "0s armed/2 at 1h0m0s"},
		},
		"reopened and moved": {
			changed(changed(hour, now, func(d *task.Draft) { d.Completed = true }), now, func(d *task.Draft) { d.Completed, d.DueDate = false, at(-time.Minute) }),
			[]string{"30m missed/1 at -31m0s", "0s armed/2 at -1m0s"},
		},
		"moved while completed": {
			changed(changed(hour, now, func(d *task.Draft) { d.Completed = true }), now, func(d *task.Draft) { d.DueDate = at(2 * time.Hour) }),
			[]string{"30m cancelled/1 at 1h30m0s", "0s cancelled/1 at 2h0m0s"},
		},

		"what fired stays fired on an unrelated change": {
			changed(fired(hour, min30), now, func(d *task.Draft) { d.Title = "x" }),
			[]string{"30m fired/1 at 30m0s", "0s armed/1 at 1h0m0s"},
		},
		"what fired stays fired when completed": {
			changed(fired(hour, min30), now, func(d *task.Draft) { d.Completed = true }),
			[]string{"30m fired/1 at 30m0s", "0s cancelled/1 at 1h0m0s"},
		},
		"what fired stays fired when the due date goes": {
			changed(fired(hour, min30), now, func(d *task.Draft) { d.DueDate = nil }),
			[]string{"30m fired/1 at 30m0s", "0s cancelled/1 at never"},
		},
		"what fired is armed anew when moved": {
			changed(fired(hour, min30), now, func(d *task.Draft) { d.DueDate = at(2 * time.Hour) }),
			[]string{"30m armed/2 at 1h30m0s", "0s armed/2 at 2h0m0s"},
		},

		"offset added": {
			changed(hour, now, func(d *task.Draft) { d.Before = task.Exactly(0, min30, min5) }),
			[]string{"30m armed/1 at 30m0s", "5m armed/1 at 55m0s", "0s armed/1 at 1h0m0s"},
		},
		"offset added too late": {
			changed(hour, now, func(d *task.Draft) { d.Before = task.Exactly(0, 2*time.Hour) }),
			[]string{"2h missed/0 at -1h0m0s", "0s armed/1 at 1h0m0s", "30m cancelled/1 at 30m0s removed"},
		},
		"offset removed": {
			changed(hour, now, func(d *task.Draft) { d.Before = task.Exactly(0) }),
			[]string{"0s armed/1 at 1h0m0s", "30m cancelled/1 at 30m0s removed"},
		},
		"offset removed and brought back": {
			changed(changed(hour, now, func(d *task.Draft) { d.Before = task.Exactly(0) }), now, func(d *task.Draft) { d.Before = task.Exactly(0, min30) }),
			[]string{"30m armed/2 at 30m0s", "0s armed/1 at 1h0m0s"},
		},
		"fired offset removed and brought back": {
			changed(changed(fired(hour, min30), now, func(d *task.Draft) { d.Before = task.Exactly(0) }), now, func(d *task.Draft) { d.Before = task.Exactly(0, min30) }),
			[]string{"30m fired/1 at 30m0s", "0s armed/1 at 1h0m0s"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, show(tt.got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// After every step, whatever the steps are, these invariants hold.
func TestPlanInvariants(t *testing.T) {
	offset := rapid.SampledFrom(task.Exactly(0, time.Minute, min30, time.Hour, 48*time.Hour, -time.Hour))
	draft := rapid.Custom(func(t *rapid.T) task.Draft {
		d := task.Draft{Completed: rapid.Bool().Draw(t, "completed"), Before: rapid.SliceOfNDistinct(offset, 0, 4, rapid.ID).Draw(t, "before")}
		if rapid.Bool().Draw(t, "has due date") {
			d.DueDate = at(time.Duration(rapid.Int64Range(-72, 72).Draw(t, "due")) * time.Hour)
		}
		return d
	})
	rapid.Check(t, func(t *rapid.T) {
		var current *task.Task
		clock := now
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			clock = clock.Add(time.Duration(rapid.Int64Range(0, 48).Draw(t, "passes")) * time.Hour)
			if current != nil { // whatever is due has fired
				for i, r := range current.Reminders {
					if r.State == task.Armed && !r.FireAt.After(clock) {
						current.Reminders[i].State = task.Fired
					}
				}
			}
			next := draft.Draw(t, "draft")
			ids := map[task.Offset]task.Reminder{}
			moved := current == nil || (current.DueDate == nil) != (next.DueDate == nil) ||
				next.DueDate != nil && !current.DueDate.Equal(*next.DueDate)
			if current != nil {
				for _, r := range current.Reminders {
					ids[r.Before] = r
				}
			}
			after := task.Task{Draft: next, Reminders: task.Plan(current, next, clock, grace, uuid.New, task.Clock{})}
			seen, pastArmed, live := map[task.Offset]bool{}, 0, 0
			for _, r := range after.Reminders {
				if seen[r.Before] {
					t.Fatalf("two reminders at offset %v", r.Before)
				}
				seen[r.Before] = true
				old, existed := ids[r.Before]
				if existed && old.ID != r.ID {
					t.Fatalf("the reminder at %v lost its ID", r.Before)
				}
				if r.Revision < old.Revision {
					t.Fatalf("the revision at %v went back from %d to %d", r.Before, old.Revision, r.Revision)
				}
				if r.Revision > old.Revision && r.State != task.Armed {
					t.Fatalf("the revision at %v grew without arming", r.Before)
				}
				if r.State == task.Armed {
					if !next.Active() || r.Removed {
						t.Fatalf("armed though inactive or removed: %+v", r)
					}
					if !r.FireAt.Equal(next.DueDate.Add(-r.Before.Exact)) {
						t.Fatalf("armed for %v, not for due date %v less %v", r.FireAt, next.DueDate, r.Before)
					}
					if !r.FireAt.After(clock) {
						pastArmed++
						if !moved || clock.Sub(*r.FireAt) > grace {
							t.Fatalf("armed for an instant that passed: %+v", r)
						}
					}
				}
				if !r.Removed {
					live++
					if next.Active() && next.DueDate.Add(-r.Before.Exact).After(clock) && r.State != task.Armed {
						t.Fatalf("%v lies ahead and is %s", r.Before, r.State)
					}
				}
			}
			if live != len(next.Before) {
				t.Fatalf("%d live reminders for %d offsets", live, len(next.Before))
			}
			if len(after.Reminders) < len(ids) {
				t.Fatalf("a reminder's row vanished")
			}
			if pastArmed > 1 {
				t.Fatalf("%d reminders fire at once for one due date", pastArmed)
			}
			current = &after
		}
	})
}

func TestJudge(t *testing.T) {
	armed := task.Reminder{State: task.Armed, Revision: 3, FireAt: at(0)}
	with := func(change func(*task.Reminder)) task.Reminder {
		r := armed
		change(&r)
		return r
	}
	tests := map[string]struct {
		reminder task.Reminder
		now      time.Time
		verdict  task.Verdict
		reason   string
	}{
		"due":                         {armed, now, task.Fire, ""},
		"late":                        {armed, now.Add(time.Hour), task.Fire, ""},
		"a moment early":              {armed, now.Add(-time.Millisecond), task.Wait, ""},
		"2 s early":                   {armed, now.Add(-task.EarlyTolerance), task.Wait, ""},
		"more than 2 s early":         {armed, now.Add(-task.EarlyTolerance - 1), task.Skip, task.ReasonEarly},
		"armed anew since":            {with(func(r *task.Reminder) { r.Revision = 4 }), now, task.Skip, task.ReasonSuperseded},
		"of a revision yet to come":   {with(func(r *task.Reminder) { r.Revision = 2 }), now, task.Skip, task.ReasonSuperseded},
		"cancelled":                   {with(func(r *task.Reminder) { r.State = task.Cancelled }), now, task.Skip, task.ReasonCancelled},
		"missed":                      {with(func(r *task.Reminder) { r.State = task.Missed }), now, task.Skip, task.ReasonMissed},
		"removed after it fired":      {with(func(r *task.Reminder) { r.State, r.Removed = task.Fired, true }), now, task.Skip, task.ReasonCancelled},
		"fired: send what is unsent":  {with(func(r *task.Reminder) { r.State = task.Fired }), now, task.Deliver, ""},
		"fired at a revision earlier": {with(func(r *task.Reminder) { r.State, r.Revision = task.Fired, 4 }), now, task.Skip, task.ReasonSuperseded},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			verdict, reason := task.Judge(tt.reminder, 3, tt.now)
			if verdict != tt.verdict || reason != tt.reason {
				t.Errorf("got %v %q, want %v %q", verdict, reason, tt.verdict, tt.reason)
			}
		})
	}
}
