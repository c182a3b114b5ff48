package task_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
)

func TestValidate(t *testing.T) {
	many := make([]time.Duration, task.MaxReminders+1)
	for i := range many {
		many[i] = time.Duration(i) * time.Minute
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
		"repeated counts once":  {task.Draft{Title: "x", Before: append(many[:task.MaxReminders:task.MaxReminders], 0)}, ""},
		"negative offset":       {task.Draft{Title: "x", Before: []time.Duration{-time.Minute}}, "negative"},
		"offset over a year":    {task.Draft{Title: "x", Before: []time.Duration{task.MaxBefore + time.Second}}, "more than a year"},
		"offset of nanoseconds": {task.Draft{Title: "x", Before: []time.Duration{1}}, "finer than a millisecond"},
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
	d := task.Draft{Title: "  Pay rent\n", Notes: "a\r\nb\rc\n\td", DueDate: &due, Before: []time.Duration{0, time.Hour, 0}, Channels: []task.Channel{task.Email, task.Email}}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	utc := time.Date(2026, 11, 23, 14, 30, 0, 123456000, time.UTC)
	want := task.Draft{Title: "Pay rent", Notes: "a\nb\nc\n\td", DueDate: &utc, Before: []time.Duration{0, time.Hour}, Channels: []task.Channel{task.Email}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
}

func TestParseBefore(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0s": 0, "30m": 30 * time.Minute, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour, "2w": 14 * 24 * time.Hour, "-5m": -5 * time.Minute,
	} {
		if got, err := task.ParseBefore(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "30", "d", "w", "-1d", "1.5d", "99999w", "tomorrow", "1h 30m", "10000000000000h"} {
		if got, err := task.ParseBefore(in); fault.CodeOf(err) != fault.CodeInvalid {
			t.Errorf("%q: got %v, %v; want an invalid fault", in, got, err)
		}
	}
}

func TestFormatBefore(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Minute: "30m", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m",
	} {
		if got := task.FormatBefore(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(task.MaxBefore/time.Millisecond)).Draw(t, "ms")) * time.Millisecond
		if back, err := task.ParseBefore(task.FormatBefore(d)); err != nil || back != d {
			t.Fatalf("%v became %q became %v, %v", d, task.FormatBefore(d), back, err)
		}
	})
}

func FuzzParseBefore(f *testing.F) {
	for _, seed := range []string{"0s", "30m", "1d", "2w", "-1h", "9999w", "1e9h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := task.ParseBefore(s)
		if err != nil {
			return
		}
		draft := task.Draft{Title: "x", Before: []time.Duration{d}}
		if draft.Validate() == nil && (d < 0 || d > task.MaxBefore) {
			t.Errorf("%q became %v, which is out of range", s, d)
		}
	})
}
