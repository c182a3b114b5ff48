package task

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/text"
	"github.com/duebell/duebell/shared/zone"
)

// Limits on what a user may write.
const (
	MaxTitle     = 500    // characters
	MaxNotes     = 10_000 // characters
	MaxReminders = 20
	MaxBefore    = 366 * 24 * time.Hour
	MaxYear      = 9999 // the years of RFC 3339 have four digits
	MinYear      = 1970
)

// Validate checks a draft, and brings it to the form that is stored: the title trimmed, line breaks
// in notes as \n, the due date as [Instant] returns it, offsets and channels without duplicates. It
// derives nothing. The error is a fault with code invalid, and says what to change.
func (d *Draft) Validate() error {
	d.Title = strings.TrimSpace(d.Title)
	switch n := utf8.RuneCountInString(d.Title); {
	case n == 0:
		return fault.Invalid("title is empty: give the task a title of 1 to %d characters", MaxTitle)
	case n > MaxTitle:
		return fault.Invalid("title has %d characters: at most %d are allowed; move the rest to notes", n, MaxTitle)
	}
	if found := text.Control(d.Title, ""); found != "" {
		return fault.Invalid("title contains %s, which can't be seen and may make it look like another one; take it out", found)
	}
	if text.Blank(d.Title) {
		return fault.Invalid("title has no character that can be seen: give the task a title")
	}
	d.Notes = lineBreaks.Replace(d.Notes)
	if n := utf8.RuneCountInString(d.Notes); n > MaxNotes {
		return fault.Invalid("notes have %d characters: at most %d are allowed", n, MaxNotes)
	}
	if found := text.Control(d.Notes, "\t\n"); found != "" {
		return fault.Invalid("notes contain %s, which can't be seen and may make them look like others; take it out", found)
	}
	if d.Due.Zone != "" {
		if _, err := zone.Get(d.Due.Zone); err != nil {
			return prefix("time_zone ", err)
		}
		if d.DueDate == nil && !d.Due.Wall() {
			return fault.Invalid("time_zone says where a due date is, and there is none: give due_local, due_on or due_date beside it, or leave it out")
		}
	}
	if d.DueDate != nil {
		due := Instant(*d.DueDate)
		if due.Year() < MinYear || due.Year() > MaxYear {
			return fault.Invalid("due_date must lie between the years %d and %d", MinYear, MaxYear)
		}
		d.DueDate = &due
	}
	return errorOr(d.validateRecurrence(), d.validateBefore(), d.validateChannels(), d.validateRepeat())
}

// lineBreaks replaces the line breaks of other systems.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func (d *Draft) validateBefore() error {
	offsets, err := ValidOffsets("reminders", d.Before)
	d.Before = offsets
	return err
}

// ValidOffsets returns offsets without duplicates; nil stays nil. name is the field's name for the
// error, a fault with code invalid.
func ValidOffsets(name string, all []Offset) ([]Offset, error) {
	if all == nil {
		return nil, nil
	}
	offsets := unique(all)
	for _, b := range offsets {
		far := max(b.Exact, -b.Exact) + time.Duration(max(b.Days, -b.Days))*24*time.Hour
		switch {
		case far > MaxBefore:
			return nil, fault.Invalid("%s: %q is more than 366 days from the due date", name, b)
		case b.Exact%time.Millisecond != 0:
			return nil, fault.Invalid("%s: %q is finer than a millisecond", name, b.Exact)
		}
	}
	if len(offsets) > MaxReminders {
		return nil, fault.Invalid("%s has more than %d offsets", name, MaxReminders)
	}
	return offsets, nil
}

func (d *Draft) validateChannels() error {
	if d.Channels == nil {
		return nil
	}
	if len(d.Channels) == 0 {
		return fault.Invalid("channels is empty: name at least one, or leave it out to use your preferences")
	}
	for _, c := range d.Channels {
		if !slices.Contains(Channels, c) {
			return fault.Invalid("channels: there is no channel %.40q; choose from %v", c, Channels)
		}
	}
	d.Channels = unique(d.Channels)
	return nil
}

func unique[T comparable](in []T) []T {
	out := make([]T, 0, len(in))
	for _, v := range in {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func errorOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// prefix puts what before the message of an invalid fault.
func prefix(what string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Invalid("%s%s", what, f.Message)
	}
	return err
}

// DefaultBefore returns the offsets of a task whose user has named none, neither in the task nor in
// the preferences: one reminder at the due date.
func DefaultBefore() []Offset { return []Offset{{}} }

// Exactly returns offsets of exact lengths.
func Exactly(all ...time.Duration) []Offset {
	offsets := make([]Offset, len(all))
	for i, d := range all {
		offsets[i].Exact = d
	}
	return offsets
}
