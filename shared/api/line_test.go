package api_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// besides are a snooze and a repetition.
var besides = []task.Reminder{
	{ID: uuid.New(), Kind: task.KindSnooze, State: task.Armed, Revision: 1, FireAt: &due},
	{ID: uuid.New(), Kind: task.KindRepeat, State: task.Armed, Revision: 1, FireAt: &due, Repetition: 1},
}

// What is written into a file, as JSON or as a row, is the same task again when it is read.
func TestLines(t *testing.T) {
	due := time.Date(2099, 3, 1, 9, 30, 0, 123456000, time.UTC)
	for name, draft := range map[string]task.Draft{
		"least":       {Title: "x", Before: []task.Offset{}},
		"an instant":  {Title: "Pay; \"rent\"", Notes: "a\nb,c", DueDate: &due, Before: []task.Offset{{Days: 1}, {Exact: 24 * time.Hour}, {}, {Exact: -time.Hour}}, Completed: true, Channels: []task.Channel{task.InApp, task.Email}},
		"in a zone":   {Title: "x", Due: task.Due{Form: task.ByClock, Local: wallclock.New(2099, 3, 1, 9, 0, 30), Zone: "Europe/Kiev"}, Before: task.DefaultBefore()},
		"a whole day": {Title: "x", Due: task.Due{Form: task.ByDay, Local: wallclock.New(2099, 3, 1, 0, 0, 0)}, Before: task.DefaultBefore()},
		"repeated":    {Title: "x", DueDate: &due, Before: task.DefaultBefore(), Repeat: &task.Repeat{Every: 90 * time.Minute, Times: 50}},
		"recurring": {
			Title: "x", Due: task.Due{Form: task.ByClock, Local: wallclock.New(2099, 3, 1, 9, 0, 0)}, Before: task.DefaultBefore(),
			Recurrence: &recurrence.Definition{Rule: "FREQ=MONTHLY;BYMONTHDAY=31", Skip: recurrence.Backward, From: recurrence.Schedule, Except: []string{"2099-03-31", "2099-05-31T09:00"}},
		},
	} {
		planned := draft
		clock := task.Clock{Zone: "America/New_York", AllDayAt: 9 * time.Hour}
		if err := planned.Derive(clock); err != nil {
			t.Fatal(err)
		}
		made := task.Task{ID: uuid.New(), UserID: "ada", Draft: planned, Clock: clock, Reminders: task.Plan(nil, planned, time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC), 0, uuid.New, clock)}
		shown := made
		shown.Reminders = slices.Concat(made.Reminders, besides) // which are no part of the file
		line := api.NewLine(api.NewTask(shown, due))
		want := planned
		if want.Due.Wall() {
			want.DueDate = nil
		}
		for i, r := range made.Reminders { // in the order in which they come
			want.Before = append(want.Before[:i:i], r.Before)
		}

		text, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		var in api.TaskInput
		if err := web.DecodeJSON(text, &in); err != nil {
			t.Fatalf("%s: %v in %s", name, err, text)
		}
		got, err := in.NewDraft()
		if got.Recurrence != nil && len(got.Recurrence.Except) == 0 {
			got.Recurrence.Except = nil
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s, as JSON: %v %s", name, err, diff)
		}

		columns, err := api.ReadColumns(api.LineColumns)
		if err != nil {
			t.Fatal(err)
		}
		got, err = columns.Draft(line.Cells(), "ada")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s, as a row: %v %s", name, err, diff)
		}
	}
}
