package api

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// columns are those that a table of tasks may have, each read into a draft. What is
// empty has its default.
var columns = map[string]func(d *task.Draft, cell string) error{
	"title": func(d *task.Draft, cell string) error { d.Title = cell; return nil },
	"notes": func(d *task.Draft, cell string) error { d.Notes = cell; return nil },
	"due_date": func(d *task.Draft, cell string) error {
		due, err := web.ParseTime(cell)
		d.DueDate = &due
		return err
	},
	"due_local":         func(d *task.Draft, cell string) error { return readDue(d, task.ByClock, cell, wallclock.Parse) },
	"due_on":            func(d *task.Draft, cell string) error { return readDue(d, task.ByDay, cell, wallclock.ParseDate) },
	"time_zone":         func(d *task.Draft, cell string) error { d.Due.Zone = cell; return nil },
	"recurrence":        func(d *task.Draft, cell string) error { recurs(d).Rule = cell; return nil },
	"recurrence_skip":   func(d *task.Draft, cell string) error { recurs(d).Skip = recurrence.Skip(cell); return nil },
	"recurrence_from":   func(d *task.Draft, cell string) error { recurs(d).From = recurrence.From(cell); return nil },
	"recurrence_except": func(d *task.Draft, cell string) error { recurs(d).Except = several(cell); return nil },
	"repeat_every": func(d *task.Draft, cell string) (err error) {
		repeats(d).Every, err = parseEvery(cell)
		return err
	},
	"repeat_times": func(d *task.Draft, cell string) (err error) {
		if repeats(d).Times, err = strconv.Atoi(cell); err != nil {
			return fault.Invalid("must be a number between 1 and %d, not %.40q", task.MaxTimes, cell)
		}
		return nil
	},
	"completed": func(d *task.Draft, cell string) (err error) {
		if d.Completed, err = strconv.ParseBool(strings.ToLower(cell)); err != nil {
			return fault.Invalid("must be true or false, not %.40q", cell)
		}
		return nil
	},
	"reminders": func(d *task.Draft, cell string) error {
		d.Before = []task.Offset{}
		if cell == "none" {
			return nil
		}
		for _, one := range several(cell) {
			before, err := wallclock.ParseOffset(one)
			if err != nil {
				return err
			}
			d.Before = append(d.Before, before)
		}
		return nil
	},
	"channels": func(d *task.Draft, cell string) error {
		for _, one := range several(cell) {
			d.Channels = append(d.Channels, task.Channel(one))
		}
		return nil
	},
}

// columnOrder is how they are told to people.
const columnOrder = "title, notes, due_date, due_local, due_on, time_zone, recurrence, recurrence_skip, recurrence_from, recurrence_except, reminders, repeat_every, repeat_times, completed, channels"

// repeats is how a draft's reminders are repeated, which its cells fill.
func repeats(d *task.Draft) *task.Repeat {
	if d.Repeat == nil {
		d.Repeat = &task.Repeat{}
	}
	return d.Repeat
}

// recurs is a draft's recurrence, which its cells fill.
func recurs(d *task.Draft) *recurrence.Definition {
	if d.Recurrence == nil {
		d.Recurrence = &recurrence.Definition{}
	}
	return d.Recurrence
}

// readDue reads a due date that clocks on walls show.
func readDue(d *task.Draft, form task.Form, cell string, parse func(string) (wallclock.Time, error)) (err error) {
	if d.Due.Wall() {
		return fault.Invalid("is a second due date: give due_local for a time of day, or due_on for the whole day")
	}
	d.Due.Form = form
	d.Due.Local, err = parse(cell)
	return err
}

// several are the values of a cell that holds more than one.
func several(cell string) []string {
	return strings.FieldsFunc(cell, func(c rune) bool { return c == ';' || c == ',' || c == ' ' })
}

// Header reads a table's header, and from it what separates the table's cells. It comes
// before the first call of Next. text is valid until then, and makes a table of any rows
// that are written below it. The errors are the caller's, or the body's.
func (r *Records) Header() (text []byte, names []string, err error) {
	text, err = r.header()
	if err != nil {
		return nil, nil, err
	}
	// Excel reads a first line such as sep=; and writes none.
	if told, ok := strings.CutPrefix(strings.ToLower(strings.Trim(string(text), `"`)), "sep="); ok {
		if len(told) != 1 || !strings.Contains(separators, told) {
			return nil, nil, fault.Invalid("the first line tells the separator %.10q; a comma, a semicolon, a tab or a | can separate cells", told)
		}
		r.separator = told[0]
		before := slices.Concat(text, []byte{'\n'})
		if text, err = r.header(); err != nil {
			return nil, nil, err
		}
		text = append(before, text...)
		names, err = r.Cells(text[len(before):])
	} else {
		if at := bytes.IndexAny(text, separators); at >= 0 { // no column's name has one
			r.separator = text[at]
		}
		names, err = r.Cells(text)
	}
	if err != nil {
		return nil, nil, err
	}
	r.shapes = shape(len(names) - 1)
	return text, names, nil
}

// separators are what may separate cells.
const separators = ",;\t|"

func (r *Records) header() ([]byte, error) {
	text, err := r.Next()
	refused, _ := errors.AsType[*Refused](err)
	switch {
	case errors.Is(err, io.EOF):
		return nil, fault.Invalid("there is nothing to read: send a line that names the columns, and one for each task")
	case err != nil && refused == nil:
		return nil, err
	}
	if err := checkFile(text); err != nil {
		return nil, err
	}
	if refused == nil {
		return text, CheckUTF8(text)
	}
	return nil, fault.Invalid("the first line, which names the columns, can't be read: it is longer than %d bytes, or has a quote that is not closed", MaxRecord)
}

// checkFile says how to save a file whose header shows that it is no table in UTF-8.
func checkFile(header []byte) error {
	const advice = `; save it as "CSV UTF-8 (Comma delimited)", as Excel calls it`
	switch {
	case bytes.HasPrefix(header, []byte("PK\x03\x04")), bytes.HasPrefix(header, []byte("\xd0\xcf\x11\xe0")):
		return fault.Invalid("the file is a workbook or an archive, not a table of text" + advice)
	case bytes.Count(header, []byte{'\r'}) > bytes.Count(header, []byte("\r\n")):
		return fault.Invalid("the file's lines end in a carriage return alone, which is not read" + advice)
	case bytes.IndexByte(header, 0) >= 0:
		return fault.Invalid("the file is not in UTF-8, nor in UTF-16 with its mark" + advice)
	}
	return nil
}

// CheckUTF8 says how to save a file of which a row is in another encoding.
func CheckUTF8(row []byte) error {
	if utf8.Valid(row) {
		return nil
	}
	return fault.Invalid(`the file is not in UTF-8, but in an older encoding such as Latin-1, or it is damaged; save it as "CSV UTF-8 (Comma delimited)", as Excel calls it`)
}

// Cells are the cells of a row.
func (r *Records) Cells(row []byte) ([]string, error) {
	if bytes.IndexByte(row, '"') < 0 {
		return strings.Split(string(row), string(r.separator)), nil
	}
	reader := csv.NewReader(bytes.NewReader(row))
	reader.Comma = rune(r.separator)
	cells, err := reader.Read()
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return nil, fault.Invalid("it is not a row of CSV: %v", e.Err)
	}
	return cells, err
}

// Columns are the columns of a table of tasks, as its header names them; "" has no name.
type Columns []string

// ReadColumns reads a table's header.
func ReadColumns(header []string) (Columns, error) {
	names := make(Columns, len(header))
	for i, name := range header {
		names[i] = strings.ToLower(strings.TrimSpace(name))
		switch {
		case names[i] == "":
		case columns[names[i]] == nil && names[i] != userColumn:
			return nil, fault.Invalid("there is no column %.40q; the first line names the columns, which are %s", name, columnOrder)
		case slices.Contains(names[:i], names[i]):
			return nil, fault.Invalid("the column %s comes twice", names[i])
		}
	}
	if !slices.Contains(names, "title") {
		return nil, fault.Invalid("the column title is missing; the first line names the columns, which are %s", columnOrder)
	}
	return names, nil
}

// userColumn may say whose task it is, which is always the same.
const userColumn = "user_id"

// Draft is the task of a user that a row describes. Cells that are missing are empty, and
// those without a column must be. All are UTF-8. It is validated.
func (c Columns) Draft(row []string, userID string) (task.Draft, error) {
	var d task.Draft
	for i, cell := range row {
		switch empty := strings.TrimSpace(cell) == ""; {
		case i >= len(c) && !empty:
			return d, fault.Invalid("has %d cells, and the header has %d", len(row), len(c))
		case i >= len(c):
			continue
		case c[i] == "" && !empty:
			return d, fault.Invalid("cell %d holds something, and the header has no name for it", i+1)
		case c[i] == "":
			continue
		}
		name := c[i]
		if strings.ContainsRune(cell, 0) {
			return d, fault.Invalid("%s holds the NUL character", name)
		}
		if name != "title" && name != "notes" {
			cell = strings.TrimSpace(cell)
		}
		if cell == "" {
			continue
		}
		if name == userColumn {
			if err := (TaskInput{UserID: &cell}).checkUser(userID); err != nil {
				return d, err
			}
			continue
		}
		if err := columns[name](&d, cell); err != nil {
			return d, fault.Invalid("%s %s", name, message(err))
		}
	}
	return d, d.Validate()
}

func message(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return err.Error()
}
