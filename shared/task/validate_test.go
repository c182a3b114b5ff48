package task_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
)

func TestValidate(t *testing.T) {
	many := make([]task.Offset, task.MaxReminders+1)
	for i := range many {
		many[i].Exact = time.Duration(i) * time.Minute
	}
	year := func(y int) *time.Time { d := time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC); return &d }
	tests := map[string]struct {
		draft task.Draft
		want  string // part of the message; empty: valid
	}{
		"plain":                 {task.Draft{Title: "Pay rent"}, ""},
		"longest title":         {task.Draft{Title: strings.Repeat("é", task.MaxTitle)}, ""},
		"title too long":        {task.Draft{Title: strings.Repeat("é", task.MaxTitle+1)}, "title has 501 characters"},
		"no title":              {task.Draft{}, "title is empty"},
		"blank title":           {task.Draft{Title: " \t\n"}, "title is empty"},
		"invisible title":       {task.Draft{Title: "\u200b\u3164 \ufeff"}, "title has no character that can be seen"},
		"notes too long":        {task.Draft{Title: "x", Notes: strings.Repeat("n", task.MaxNotes+1)}, "notes have 10001"},
		"override in title":     {task.Draft{Title: "invoice\u202efdp.exe"}, "title contains U+202E RIGHT-TO-LEFT OVERRIDE"},
		"line break in title":   {task.Draft{Title: "a\nb"}, "title contains U+000A LINE FEED"},
		"tab in title":          {task.Draft{Title: "a\tb"}, "title contains U+0009 CHARACTER TABULATION"},
		"C1 control in title":   {task.Draft{Title: "a\u009b31mb"}, "title contains U+009B"},
		"emoji in title":        {task.Draft{Title: "👨‍👩‍👧‍👦"}, ""},
		"tab, break in notes":   {task.Draft{Title: "x", Notes: "a\tb\nc\r\nd"}, ""},
		"NUL in notes":          {task.Draft{Title: "x", Notes: "a\x00"}, "notes contain U+0000 NULL"},
		"isolate in notes":      {task.Draft{Title: "x", Notes: "a\u2066b"}, "notes contain U+2066 LEFT-TO-RIGHT ISOLATE"},
		"year 9999":             {task.Draft{Title: "x", DueDate: year(9999)}, ""},
		"year 10000":            {task.Draft{Title: "x", DueDate: year(10000)}, "due_date must lie"},
		"year 1":                {task.Draft{Title: "x", DueDate: year(1)}, "due_date must lie"},
		"too many reminders":    {task.Draft{Title: "x", Before: many}, "more than 20 offsets"},
		"repeated counts once":  {task.Draft{Title: "x", Before: append(many[:task.MaxReminders:task.MaxReminders], task.Offset{})}, ""},
		"after the due date":    {task.Draft{Title: "x", Before: task.Exactly(-time.Minute)}, ""},
		"a year after":          {task.Draft{Title: "x", Before: []task.Offset{{Days: -366}}}, ""},
		"over a year after":     {task.Draft{Title: "x", Before: []task.Offset{{Days: -367}}}, "more than 366 days"},
		"1d and 24h":            {task.Draft{Title: "x", Before: []task.Offset{{Days: 1}, {Exact: 24 * time.Hour}}}, ""},
		"zone without due":      {task.Draft{Title: "x", Due: task.Due{Zone: "Europe/Paris"}}, "time_zone says where a due date is, and there is none"},
		"unknown zone":          {task.Draft{Title: "x", DueDate: year(2027), Due: task.Due{Zone: "Europe/Pariss"}}, `did you mean "Europe/Paris"?`},
		"offset over a year":    {task.Draft{Title: "x", Before: task.Exactly(task.MaxBefore + time.Second)}, "more than 366 days"},
		"offset of nanoseconds": {task.Draft{Title: "x", Before: task.Exactly(1)}, "finer than a millisecond"},
		"no channels":           {task.Draft{Title: "x", Channels: []task.Channel{}}, "channels is empty"},
		"unknown channel":       {task.Draft{Title: "x", Channels: []task.Channel{"pigeon"}}, "no channel \"pigeon\""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.draft.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			case tt.want != "" && fault.CodeOf(err) != fault.CodeInvalid:
				t.Errorf("code %s", fault.CodeOf(err))
			}
		})
	}
}

func TestValidateNormalizes(t *testing.T) {
	due := time.Date(2026, 11, 23, 15, 30, 0, 123456789, time.FixedZone("", 3600))
	d := task.Draft{Title: "  Pay rent\n", Notes: "a\r\nb\rc\n\td", DueDate: &due, Before: task.Exactly(0, time.Hour, 0), Channels: []task.Channel{task.Email, task.Email}}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	utc := time.Date(2026, 11, 23, 14, 30, 0, 123456000, time.UTC)
	want := task.Draft{Title: "Pay rent", Notes: "a\nb\nc\n\td", DueDate: &utc, Before: task.Exactly(0, time.Hour), Channels: []task.Channel{task.Email}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
}
