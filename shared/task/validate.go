package task

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/text"
)

// Limits on what a user may write.
const (
	MaxTitle     = 500    // characters
	MaxNotes     = 10_000 // characters
	MaxReminders = 20
	MaxBefore    = 366 * 24 * time.Hour
	MaxYear      = 9999 // RFC 3339 has four digits
	MinYear      = 1970
)

// Validate checks a draft and brings it to the form that is stored: the title
// trimmed, line breaks in notes as line feeds, the due date an Instant, offsets and
// channels without repetition.
// The error is a fault with code invalid, and says what to change.
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
	if d.DueDate != nil {
		due := Instant(*d.DueDate)
		if due.Year() < MinYear || due.Year() > MaxYear {
			return fault.Invalid("due_date must lie between the years %d and %d", MinYear, MaxYear)
		}
		d.DueDate = &due
	}
	return errorOr(d.validateBefore(), d.validateChannels())
}

// lineBreaks are as other systems write them.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func (d *Draft) validateBefore() error {
	offsets := make([]time.Duration, 0, min(len(d.Before), MaxReminders))
	for _, b := range d.Before {
		switch {
		case b < 0:
			return fault.Invalid("reminders: %q is negative; offsets count back from the due date, \"30m\" is half an hour before it", FormatBefore(b))
		case b > MaxBefore:
			return fault.Invalid("reminders: %q is more than a year (8784h) before the due date", FormatBefore(b))
		case b%time.Millisecond != 0:
			return fault.Invalid("reminders: %q is finer than a millisecond", b.String())
		case slices.Contains(offsets, b):
			continue
		case len(offsets) == MaxReminders:
			return fault.Invalid("reminders has more than %d offsets", MaxReminders)
		}
		offsets = append(offsets, b)
	}
	d.Before = offsets
	return nil
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

// DefaultBefore is what a task gets whose user names no reminders: one, at the
// due date.
func DefaultBefore() []time.Duration { return []time.Duration{0} }

// ParseBefore reads an offset before the due date: a Go duration ("30m",
// "1h30m"), or whole days or weeks ("1d", "2w").
func ParseBefore(s string) (time.Duration, error) {
	if days, unit, ok := wholeDays(s); ok {
		return time.Duration(days) * unit, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fault.Invalid("must be an offset before the due date, such as \"0s\", \"30m\", \"1h30m\", \"1d\" or \"1w\", not %.40q", s)
	}
	return d, nil
}

func wholeDays(s string) (n int, unit time.Duration, ok bool) {
	switch {
	case strings.HasSuffix(s, "d"):
		unit = 24 * time.Hour
	case strings.HasSuffix(s, "w"):
		unit = 7 * 24 * time.Hour
	default:
		return 0, 0, false
	}
	digits := s[:len(s)-1]
	if digits == "" || len(digits) > 4 {
		return 0, 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, unit, true
}

// FormatBefore writes an offset in its shortest form: "0s", "30m", "1h30m",
// "24h". ParseBefore reads it back.
func FormatBefore(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-len("0s")]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-len("0m")]
	}
	return s
}
