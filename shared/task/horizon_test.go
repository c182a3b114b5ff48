package task_test

import (
	"testing"
	"time"

	"github.com/duebell/duebell/shared/task"
)

func TestHorizon(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for ahead, want := range map[time.Duration]struct {
		valid        bool
		at           time.Time
		pending      bool
		shownPending bool
	}{
		0:                {true, last, true, true},
		time.Minute:      {false, now, true, false},
		-time.Hour:       {false, now, false, false},
		10 * time.Minute: {true, now.Add(5 * time.Minute), true, true},
		time.Hour:        {true, now.Add(time.Hour), true, false},
		2 * time.Hour:    {true, now.Add(2*time.Hour + 1), false, false},
	} {
		h := task.Horizon{Ahead: ahead}
		if err := h.Validate(); (err == nil) != want.valid {
			t.Errorf("%v: %v", ahead, err)
		}
		r := task.Reminder{State: task.Armed, Revision: 1, FireAt: &want.at}
		if r.Pending(h.Until(now)) != want.pending || (r.Status(h.Expected(now)) == "pending") != want.shownPending {
			t.Errorf("%v: pending %v, shown as %s", ahead, r.Pending(h.Until(now)), r.Status(h.Expected(now)))
		}
		r.Confirmed = 1
		if r.Pending(h.Until(now)) || r.Status(h.Expected(now)) != "scheduled" {
			t.Errorf("%v: with its job it is pending", ahead)
		}
	}
}
