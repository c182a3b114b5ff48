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
	"unicode"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/text"
)

// Message is what a channel has to tell one recipient.
type Message struct {
	// ID is the delivery's: the same in every try, for providers that know an
	// idempotency key.
	ID uuid.UUID
	// Again says that the delivery was tried before.
	Again   bool
	TaskID  uuid.UUID
	UserID  string
	To      string // the address, number, device's token or URL
	Title   string // the task's, as its user wrote it
	Notes   string
	DueDate *time.Time
	// Occurrence is the one of a recurring task, for programs; "" for others. DueDate is its instant.
	Occurrence string
	Zone       *time.Location // the user's; nil: UTC
	// Language is the user's, a BCP 47 tag. Where Duebell does not speak it, or it
	// is empty, the message is in English.
	Language string
	// Secrets sign a webhook's post, the newest first. None: it is not signed.
	Secrets []config.Secret
	// Subscription is a browser's, nil for other recipients.
	Subscription *subscription.Subscription
	// Test says that its user tries the channel: it is about no task.
	Test bool
	// Links are how its reader acts on the task; the zero value: there are none.
	Links Links
	// Verification, if set, is all that the message says: it is about no task.
	Verification *Verification
	// Bundle, if set, is all that the message says: several reminders. It is about no single task.
	Bundle []Bundled
	// Agenda, if set, says that Bundle is what an agenda lists.
	Agenda *Agenda
	// Overdue says that DueDate has passed.
	Overdue bool
}

// AsTest is the message as one by which its user tries the channel, in the user's language.
func (m Message) AsTest() Message {
	w := m.words().Test
	m.Test, m.Title, m.Notes, m.DueDate = true, w.Title, w.Text, nil
	return m
}

// Task is the task's id for programs; "" if the message is about none.
func (m Message) Task() string {
	if m.TaskID == uuid.Nil {
		return ""
	}
	return m.TaskID.String()
}

// Headline is the title on one line and without control characters, for subjects
// and other places where these have a meaning.
func (m Message) Headline() string {
	return text.Clean(strings.Join(strings.FieldsFunc(m.Title, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }), " "), "")
}

// Text is the message in plain text, without control characters but for line breaks
// and tabs.
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
	// Gone goes with Permanent: the address itself is no longer there, so nothing
	// more is to be sent to it. The device is then removed from the user's
	// preferences, or the webhook switched off.
	Gone bool
	// Stop goes with Permanent: why nothing more is to be sent to the address, from anybody. ""
	// says nothing of that.
	Stop Stop
	Err  error
}

// Stop is why a provider sends nothing to an address.
type Stop string

// The reasons.
const (
	OwnerStopped  Stop = "stopped" // its owner has told the provider so
	NoSuchAddress Stop = "bounced" // there is none
)

// Error returns the cause's text.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Kind, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsGone reports whether err says that the address is no longer there.
func IsGone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == Permanent && e.Gone
}

// StopOf returns why err says that nothing more is to be sent to the address, "" if it does
// not.
func StopOf(err error) Stop {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == Permanent {
		return e.Stop
	}
	return ""
}

// KindOf returns what err means for the next send. An error that is no *Error
// says nothing about the provider, so it is Unknown.
func KindOf(err error) (Kind, time.Duration) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind, e.After
	}
	return Unknown, 0
}
