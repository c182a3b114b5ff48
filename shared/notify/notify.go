// Package notify says what a channel is: it takes a message and answers what
// became of it. Each channel is a package of its own below this one. A channel
// sends once and never retries; the caller owns the retries, and decides by the
// error's kind.
package notify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Message is what a channel has to tell one recipient.
type Message struct {
	// ID is the delivery's: the same in every try, for providers that know an
	// idempotency key.
	ID      uuid.UUID
	TaskID  uuid.UUID
	UserID  string
	To      string // the address, in the channel's own form
	Title   string // the task's, as its user wrote it
	Notes   string
	DueDate *time.Time
	Zone    *time.Location // the user's; nil: UTC
}

// Headline is the title on one line, for subjects and other places where a line
// break has a meaning.
func (m Message) Headline() string { return strings.Join(strings.Fields(m.Title), " ") }

// Due says in words when the task is due, in the user's time zone, and which that
// is: "Due Mon, 23 Nov 2026 14:30 UTC", "Due Mon, 23 Nov 2026 15:30 CET (UTC+01:00)",
// or "Due Mon, 23 Nov 2026 20:15 UTC+05:45" where the zone has no short name.
func (m Message) Due() string {
	if m.DueDate == nil {
		return ""
	}
	due := m.DueDate.UTC()
	if m.Zone != nil {
		due = due.In(m.Zone)
	}
	layout := "Due Mon, 2 Jan 2006 15:04"
	if due.Second() != 0 {
		layout += ":05"
	}
	switch name, _ := due.Zone(); {
	case name == "UTC":
		layout += " MST"
	case strings.HasPrefix(name, "+"), strings.HasPrefix(name, "-"):
		layout += " UTC-07:00"
	default: // short names are not unique
		layout += " MST (UTC-07:00)"
	}
	return due.Format(layout)
}

// Text is the message in plain text.
func (m Message) Text() string {
	parts := []string{m.Title}
	for _, part := range []string{m.Due(), m.Notes} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "\n\n")
}

// Kind is what a failed send means for the next one.
type Kind string

// The kinds.
const (
	// Permanent: the provider refused this message for good. Never send it again.
	Permanent Kind = "permanent"
	// Retry: the provider did not take it, and may do so later.
	Retry Kind = "retry"
	// Unknown: the provider may have taken it; no answer came. Send it again,
	// to the same provider only.
	Unknown Kind = "unknown"
)

// Error is how a send failed. Its text goes to the delivery log, where the user
// reads it: it holds no secrets.
type Error struct {
	Kind Kind
	// After is the least time to wait, if the provider asked for one.
	After time.Duration
	Err   error
}

// Error returns the cause's text.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Kind, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns what err means for the next send. An error that is no *Error
// says nothing about the provider, so it is Unknown.
func KindOf(err error) (Kind, time.Duration) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind, e.After
	}
	return Unknown, 0
}
