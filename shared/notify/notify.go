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
	To      string // the address, in the channel's own form
	Title   string // the task's, as its user wrote it
	Notes   string
	DueDate *time.Time
}

// Headline is the title on one line, for subjects and other places where a line
// break has a meaning.
func (m Message) Headline() string { return strings.Join(strings.Fields(m.Title), " ") }

// Due says in words when the task is due: "Due Mon, 23 Nov 2026 14:30 UTC".
func (m Message) Due() string {
	if m.DueDate == nil {
		return ""
	}
	layout := "Due Mon, 2 Jan 2006 15:04 MST"
	if m.DueDate.Second() != 0 {
		layout = "Due Mon, 2 Jan 2006 15:04:05 MST"
	}
	return m.DueDate.UTC().Format(layout)
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
