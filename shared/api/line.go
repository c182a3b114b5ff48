package api

import (
	"strconv"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/task"
)

// Line is a task as it is written into a file, which import takes again. What has its default
// is left out, but for the reminders.
type Line struct {
	Title      string          `json:"title"`
	Notes      string          `json:"notes,omitempty"`
	DueDate    *time.Time      `json:"due_date,omitempty"`
	DueLocal   *string         `json:"due_local,omitempty"`
	DueOn      *string         `json:"due_on,omitempty"`
	TimeZone   *string         `json:"time_zone,omitempty"`
	Recurrence *Recurrence     `json:"recurrence,omitempty"`
	Reminders  []string        `json:"reminders"`
	Repeat     *Repeat         `json:"repeat,omitempty"`
	Completed  bool            `json:"completed,omitempty"`
	Channels   *[]task.Channel `json:"channels,omitempty"`
}

// NewLine is how a task is written into a file.
func NewLine(t Task) Line {
	l := Line{
		Title: t.Title, Notes: t.Notes, DueDate: t.DueDate, DueLocal: t.DueLocal, DueOn: t.DueOn, TimeZone: t.TimeZone,
		Recurrence: t.Recurrence, Reminders: []string{}, Repeat: t.Repeat, Completed: t.Completed, Channels: t.Channels,
	}
	if l.DueLocal != nil || l.DueOn != nil {
		l.DueDate = nil // it is derived from these
	}
	for _, r := range t.Reminders {
		if r.Before != "" { // no snooze and no repetition
			l.Reminders = append(l.Reminders, r.Before)
		}
	}
	return l
}

// LineColumns are the columns of a table of lines, in the order of [Line.Cells].
var LineColumns = strings.Split(columnOrder, ", ")

// Cells are the line as a row of a table.
func (l Line) Cells() []string {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	cells := map[string]string{
		"title": l.Title, "notes": l.Notes, "due_local": text(l.DueLocal), "due_on": text(l.DueOn), "time_zone": text(l.TimeZone),
		"reminders": "none",
	}
	if l.DueDate != nil {
		cells["due_date"] = l.DueDate.Format(time.RFC3339Nano)
	}
	if r := l.Recurrence; r != nil {
		cells["recurrence"], cells["recurrence_skip"], cells["recurrence_from"] = r.Rule, string(r.Skip), string(r.From)
		cells["recurrence_except"] = strings.Join(r.Except, ";")
	}
	if len(l.Reminders) > 0 {
		cells["reminders"] = strings.Join(l.Reminders, ";")
	}
	if r := l.Repeat; r != nil {
		cells["repeat_every"], cells["repeat_times"] = r.Every, strconv.Itoa(r.Times)
	}
	if l.Completed {
		cells["completed"] = "true"
	}
	if l.Channels != nil {
		names := make([]string, len(*l.Channels))
		for i, c := range *l.Channels {
			names[i] = string(c)
		}
		cells["channels"] = strings.Join(names, ";")
	}
	row := make([]string, len(LineColumns))
	for i, name := range LineColumns {
		row[i] = cells[name]
	}
	return row
}
