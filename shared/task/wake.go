package task

import (
	"time"

	"github.com/google/uuid"
)

// Wake is a wake-up call: which reminder to look at, and which revision of it.
type Wake struct {
	TaskID     uuid.UUID
	UserID     string
	ReminderID uuid.UUID
	Revision   int64
}

// EarlyTolerance is how far ahead of its instant a wake-up call may come, by the
// function's clock, and still be waited for.
const EarlyTolerance = 2 * time.Second

// Verdict is what a wake-up call means for a reminder.
type Verdict int

// The verdicts.
const (
	// Fire: it is due; fire it now.
	Fire Verdict = iota
	// Deliver: it has fired; send what is still unsent.
	Deliver
	// Wait: it is due within EarlyTolerance.
	Wait
	// Skip: the call is stale; there is nothing to do for it.
	Skip
)

// Reasons why a wake-up call is skipped, as callers see them.
const (
	ReasonSuperseded = "superseded" // the reminder was armed anew since
	ReasonCancelled  = "cancelled"
	ReasonMissed     = "missed"
	ReasonEarly      = "early" // ahead of the instant by more than EarlyTolerance
)

// Judge says what a wake-up call for a revision of r means at the time now, and
// why if it is skipped. The caller holds the reminder's lock.
func Judge(r Reminder, revision int64, now time.Time) (Verdict, string) {
	switch {
	case r.Revision != revision:
		return Skip, ReasonSuperseded
	case r.Removed || r.State == Cancelled:
		return Skip, ReasonCancelled
	case r.State == Missed:
		return Skip, ReasonMissed
	case r.State == Fired:
		return Deliver, ""
	}
	switch ahead := r.FireAt.Sub(now); {
	case ahead <= 0:
		return Fire, ""
	case ahead <= EarlyTolerance:
		return Wait, ""
	default:
		return Skip, ReasonEarly
	}
}
