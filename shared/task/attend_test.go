package task_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

func TestSnoozeAt(t *testing.T) {
	type snooze = task.Snooze
	local := func(text string) *wallclock.Time {
		parsed, err := wallclock.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return &parsed
	}
	instant := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	until := func(text string) *time.Time { at := instant(text); return &at }
	const paris = "Europe/Paris"
	for name, tt := range map[string]struct {
		snooze
		zone, now, want string // an instant, or a part of the error
	}{
		"for a while":                   {snooze{For: task.Offset{Exact: 10 * time.Minute}}, "", "2026-06-01T08:00:00Z", "2026-06-01T08:10:00Z"},
		"over midnight":                 {snooze{For: task.Offset{Exact: 2 * time.Hour}}, paris, "2026-06-01T21:30:00Z", "2026-06-01T23:30:00Z"},
		"for a day with 25 hours":       {snooze{For: task.Offset{Days: 1}}, paris, "2026-10-24T10:00:00Z", "2026-10-25T11:00:00Z"},
		"for 24 hours":                  {snooze{For: task.Offset{Exact: 24 * time.Hour}}, paris, "2026-10-24T10:00:00Z", "2026-10-25T10:00:00Z"},
		"for a day, nobody knows where": {snooze{For: task.Offset{Days: 1}}, "", "2026-10-24T10:00:00Z", "2026-10-25T10:00:00Z"},
		"until an instant":              {snooze{Until: until("2026-06-01T08:00:01Z")}, "", "2026-06-01T08:00:00Z", "2026-06-01T08:00:01Z"},
		"until the morning":             {snooze{UntilLocal: local("2026-06-02T09:00")}, paris, "2026-06-01T21:30:00Z", "2026-06-02T07:00:00Z"},
		"in a gap":                      {snooze{UntilLocal: local("2026-03-29T02:30")}, paris, "2026-03-28T21:30:00Z", "2026-03-29T01:30:00Z"},
		"twice":                         {snooze{UntilLocal: local("2026-10-25T02:30")}, paris, "2026-10-24T21:30:00Z", "2026-10-25T00:30:00Z"},
		"twice, and the first is over":  {snooze{UntilLocal: local("2026-10-25T02:30")}, paris, "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"},
		"twice, and both are":           {snooze{UntilLocal: local("2026-10-25T02:30")}, paris, "2026-10-25T01:45:00Z", "later than now"},
		"now":                           {snooze{Until: until("2026-06-01T08:00:00Z")}, "", "2026-06-01T08:00:00Z", "later than now"},
		"in the past":                   {snooze{UntilLocal: local("2026-06-01T09:59")}, paris, "2026-06-01T08:00:00Z", "later than now"},
		"backwards":                     {snooze{For: task.Offset{Days: -1}}, paris, "2026-06-01T08:00:00Z", "later than now"},
		"for a year":                    {snooze{For: task.Offset{Days: 366}}, "", "2026-06-01T08:00:00Z", "2027-06-02T08:00:00Z"},
		"for more than a year":          {snooze{Until: until("2027-06-02T08:00:01Z")}, "", "2026-06-01T08:00:00Z", "366 days at most"},
		"until a local time of nowhere": {snooze{UntilLocal: local("2026-06-02T09:00")}, "", "2026-06-01T08:00:00Z", "set time_zone in your preferences"},
	} {
		at, err := tt.At(task.Task{Clock: task.Clock{Zone: tt.zone}}, instant(tt.now))
		switch {
		case err != nil:
			if fault.CodeOf(err) != fault.CodeInvalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", name, err)
			}
		case at.Format(time.RFC3339) != tt.want:
			t.Errorf("%s: %v, want %s", name, at, tt.want)
		}
	}
	// The zone of the due date is used if the user's is not known.
	of := task.Task{Draft: task.Draft{Due: task.Due{Zone: paris}}}
	if at, err := (snooze{UntilLocal: local("2026-06-02T09:00")}).At(of, instant("2026-06-01T08:00:00Z")); err != nil || !at.Equal(instant("2026-06-02T07:00:00Z")) {
		t.Errorf("%v, %v", at, err)
	}
}

// A task has a limited number of snoozed occurrences. One of them can be snoozed again at the
// limit.
func TestMaxSnoozes(t *testing.T) {
	due, at := now, now.Add(time.Hour)
	of := task.Task{Draft: task.Draft{DueDate: &due}}
	occurrence := func(i int) *wallclock.Time {
		local := wallclock.New(2026, 1, 1+i, 9, 0, 0)
		return &local
	}
	for i := range task.MaxSnoozes + 1 {
		next, err := task.SnoozeUntil(of, occurrence(i), at, uuid.New)
		if last := i == task.MaxSnoozes; (fault.CodeOf(err) == fault.CodeConflict) != last || !last && err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if err == nil {
			of = next
		}
	}
	again, err := task.SnoozeUntil(of, occurrence(3), at.Add(time.Hour), uuid.New)
	if err != nil || len(again.Reminders) != task.MaxSnoozes || !again.SnoozedUntil(occurrence(3)).Equal(at.Add(time.Hour)) {
		t.Errorf("%+v, %v", again, err)
	}
	if until := again.SnoozedUntil(nil); !until.Equal(at) {
		t.Errorf("the earliest is %v", until)
	}
}
