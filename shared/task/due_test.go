package task_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

// places returns a task that is due at 15:00 in the user's time zone. The user was in Berlin when
// it was created.
func places(t *testing.T, before ...task.Offset) task.Task {
	t.Helper()
	d := task.Draft{Due: task.Due{Form: task.ByClock, Local: wallclock.New(2026, 11, 24, 15, 0, 0)}, Before: before}
	berlin := task.Clock{Zone: "Europe/Berlin", Version: 1}
	if err := d.Derive(berlin); err != nil {
		t.Fatal(err)
	}
	return task.Task{Draft: d, Reminders: task.Plan(nil, d, now, grace, uuid.New, berlin)}
}

// 15:00 in Berlin on the 24th is 24 hours after now.
func TestFollow(t *testing.T) {
	offsets := []task.Offset{{}, {Days: 1, Exact: 0}, {Exact: time.Hour}}
	tests := map[string]struct {
		clock task.Clock
		when  time.Duration
		want  []string
	}{
		"nothing has changed": {task.Clock{Zone: "Europe/Berlin", Version: 1}, 0, []string{"1d armed/1 at 0s", "1h armed/1 at 23h0m0s", "0s armed/1 at 24h0m0s"}},
		"to the west":         {task.Clock{Zone: "America/New_York", Version: 2}, 0, []string{"1d armed/2 at 6h0m0s", "1h armed/2 at 29h0m0s", "0s armed/2 at 30h0m0s"}},
		"to a zone that is the same": {
			task.Clock{Zone: "Europe/Paris", Version: 2}, 0, []string{"1d armed/1 at 0s", "1h armed/1 at 23h0m0s", "0s armed/1 at 24h0m0s"},
		},
		"to the east, past the instant: the latest at once": {
			task.Clock{Zone: "Asia/Tokyo", Version: 2}, 20 * time.Hour, []string{"1d missed/1 at -8h0m0s", "1h missed/1 at 15h0m0s", "0s armed/2 at 16h0m0s"},
		},
		"to no zone": {task.Clock{Version: 2}, 0, []string{"1d armed/1 at 0s", "1h armed/1 at 23h0m0s", "0s armed/1 at 24h0m0s"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := places(t, offsets...)
			after, moved := task.Follow(before, tt.clock, now.Add(tt.when), grace)
			if diff := cmp.Diff(tt.want, show(after)); diff != "" || moved != (tt.clock.Version > 1) {
				t.Errorf("moved: %v, %s", moved, diff)
			}
			again, moved := task.Follow(after, tt.clock, now.Add(tt.when), grace)
			if diff := cmp.Diff(show(after), show(again)); diff != "" || moved {
				t.Errorf("once more: %v %s", moved, diff)
			}
		})
	}
}

// A fired reminder stays fired when its user moves, also if the task is then edited.
func TestFiredStaysFired(t *testing.T) {
	clock := task.Clock{Zone: "America/New_York", Version: 2}
	told := fired(places(t, task.Offset{}, task.Offset{Exact: time.Hour}), time.Hour)
	want := []string{"1h fired/1 at 23h0m0s", "0s armed/2 at 30h0m0s"}
	after, _ := task.Follow(told, clock, now, grace)
	if diff := cmp.Diff(want, show(after)); diff != "" {
		t.Error(diff)
	}
	next := after.Draft
	next.Title = "another"
	edited := task.Task{Reminders: task.Plan(&after, next, now, grace, uuid.New, clock)}
	if diff := cmp.Diff(want, show(edited)); diff != "" {
		t.Error(diff)
	}
}

func TestOlder(t *testing.T) {
	for name, tt := range map[string]struct {
		source task.Source
		clock  task.Clock
		want   bool
	}{
		"depends on nothing":        {task.Source{}, task.Clock{Version: 9}, false},
		"another clock":             {task.Source{Clock: 1, Release: "2000a"}, task.Clock{Version: 1}, true},
		"a zone of its own":         {task.Source{Clock: -1, Release: "9999z"}, task.Clock{Version: 9}, false},
		"later time zones":          {task.Source{Clock: 1, Release: "9999z"}, task.Clock{Version: 9}, false},
		"a later clock, same zones": {task.Source{Clock: 3, Release: zone.Release()}, task.Clock{Version: 2}, false},
		"an earlier one":            {task.Source{Clock: 1, Release: zone.Release()}, task.Clock{Version: 2}, true},
	} {
		if got := tt.source.Older(tt.clock); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
