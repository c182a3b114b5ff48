package api

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
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
	"completed": func(d *task.Draft, cell string) (err error) {
		if d.Completed, err = strconv.ParseBool(strings.ToLower(cell)); err != nil {
			return fault.Invalid("must be true or false, not %.40q", cell)
		}
		return nil
	},
	"reminders": func(d *task.Draft, cell string) error {
		d.Before = []time.Duration{}
		if cell == "none" {
			return nil
		}
		for _, one := range several(cell) {
			before, err := task.ParseBefore(one)
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
const columnOrder = "title, notes, due_date, reminders, completed, channels"

// several are the values of a cell that holds more than one.
func several(cell string) []string {
	return strings.FieldsFunc(cell, func(c rune) bool { return c == ';' || c == ',' || c == ' ' })
}

// Columns are the columns of a table of tasks, as its header names them.
type Columns []string

// ReadColumns reads a table's header.
func ReadColumns(header []string) (Columns, error) {
	names := make(Columns, len(header))
	for i, name := range header {
		names[i] = strings.ToLower(strings.TrimSpace(name))
		if columns[names[i]] == nil {
			return nil, fault.Invalid("there is no column %.40q; the first line names the columns, which are %s", name, columnOrder)
		}
		if slices.Contains(names[:i], names[i]) {
			return nil, fault.Invalid("the column %s comes twice", names[i])
		}
	}
	if !slices.Contains(names, "title") {
		return nil, fault.Invalid("the column title is missing; the first line names the columns, which are %s", columnOrder)
	}
	return names, nil
}

// Draft is the task that a row describes. It is validated.
func (c Columns) Draft(row []string) (task.Draft, error) {
	d := task.Draft{Before: task.DefaultBefore()}
	if len(row) != len(c) {
		return d, fault.Invalid("has %d cells, and the header has %d", len(row), len(c))
	}
	for i, name := range c {
		cell := row[i]
		if !utf8.ValidString(cell) || strings.ContainsRune(cell, 0) {
			return d, fault.Invalid("%s is not UTF-8, or holds the NUL character", name)
		}
		if name != "title" && name != "notes" {
			cell = strings.TrimSpace(cell)
		}
		if cell == "" {
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
