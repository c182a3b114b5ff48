// Package notify defines messages and the errors of channels. Each channel is a package below this
// one. A channel sends a message once and never retries. Its error has a [Kind], by which the
// caller decides about retries.
package notify

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/text"
)

// Message is a message to one recipient.
type Message struct {
	// ID is the delivery's. It is the same in every attempt, for providers that know idempotency
	// keys.
	ID uuid.UUID
	// Again says that this is not the first attempt.
	Again   bool
	TaskID  uuid.UUID
	UserID  string
	To      string // the address, number, device's token or URL
	Title   string // the task's, as its user wrote it
	Notes   string
	DueDate *time.Time
	// Occurrence is the occurrence of a recurring task, for programs; "" for other tasks. DueDate
	// is its instant.
	Occurrence string
	Zone       *time.Location // the user's; nil: UTC
	// Language is the user's, as a BCP 47 tag. The message is in English if it is "", or no file
	// has the language or a related one.
	Language string
	// Secrets sign a webhook's message, the newest first. Without one it is not signed.
	Secrets []config.Secret
	// Subscription is a browser's; nil for other recipients.
	Subscription *subscription.Subscription
	// Test says that it is a test message. It is about no task.
	Test bool
	// Links are the links to act on the task. The zero value means none.
	Links Links
	// Verification, if set, is the whole message. It is about no task.
	Verification *Verification
	// Bundle, if set, is the whole message: several reminders.
	Bundle []Bundled
	// Agenda, if set, makes the message an agenda. Bundle then has the tasks that it lists.
	Agenda *Agenda
	// Overdue says that DueDate has passed.
	Overdue bool
}

// AsTest returns the message as a test message in the user's language.
func (m Message) AsTest() Message {
	w := m.words().Test
	m.Test, m.Title, m.Notes, m.DueDate = true, w.Title, w.Text, nil
	return m
}

// Task returns the task's id; "" if the message is not about a single task.
func (m Message) Task() string {
	if m.TaskID == uuid.Nil {
		return ""
	}
	return m.TaskID.String()
}

// Headline returns the title on one line and without control characters, which have a meaning in
// subjects and the like.
func (m Message) Headline() string {
	return text.Clean(strings.Join(strings.FieldsFunc(m.Title, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }), " "), "")
}

// Text returns the message in plain text. Its only control characters are line breaks and tabs.
func (m Message) Text() string {
	if m.Verification != nil {
		return m.verificationText()
	}
	if m.Bundle != nil {
		return m.bundleText()
	}
	parts := []string{m.Title}
	for _, part := range []string{m.Due(), m.Notes} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return text.Clean(strings.Join(parts, "\n\n"), "\r\n\t")
}

// Kind is what a failed send means for the next attempt.
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

// Error says why a send failed. Users read its text in the delivery log, so it must not have
// secrets.
type Error struct {
	Kind Kind
	// After is the shortest wait that the provider asks for; 0: it asks for none.
	After time.Duration
	// Gone goes with Permanent. It says that the address no longer exists. A device is then removed
	// from the user's preferences, and a webhook is switched off.
	Gone bool
	// Stop goes with Permanent. It says that nothing may be sent to the address any more, whoever
	// asks, and why.
	Stop Stop
	Err  error
}

// Stop is the reason why nothing may be sent to an address any more; "" means that there is none.
type Stop string

// The reasons.
const (
	OwnerStopped  Stop = "stopped" // its owner has told the provider to stop
	NoSuchAddress Stop = "bounced" // the address does not exist
)

// Error returns the cause's text.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Kind, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsGone reports whether err says that the address no longer exists.
func IsGone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == Permanent && e.Gone
}

// StopOf returns the Stop of err; "" if it has none.
func StopOf(err error) Stop {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == Permanent {
		return e.Stop
	}
	return ""
}

// KindOf returns what err means for the next attempt, and the shortest wait. An error that is not
// an *Error is Unknown.
func KindOf(err error) (Kind, time.Duration) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind, e.After
	}
	return Unknown, 0
}
