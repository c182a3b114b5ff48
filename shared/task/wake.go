package task

import (
	"fmt"
	"strconv"
	"strings"
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

// JobPrefix is how the name of every wake-up call's job begins.
const JobPrefix = "reminder-"

// JobName returns the name of the wake-up call's job. It holds the reminder's ID and
// revision, so that a name always means the same instant: a late call for an old
// revision, to schedule or to delete, can't touch the job of a new one.
func (w Wake) JobName() string { return fmt.Sprintf("%s%s-%d", JobPrefix, w.ReminderID, w.Revision) }

// ParseJobName returns the reminder and the revision that a job's name holds, and
// whether it is a wake-up call's.
func ParseJobName(name string) (reminderID uuid.UUID, revision int64, ok bool) {
	const length = 36 // of an ID
	rest, ok := strings.CutPrefix(name, JobPrefix)
	if !ok || len(rest) < length+2 {
		return uuid.Nil, 0, false
	}
	reminderID, err := uuid.Parse(rest[:length])
	if err != nil {
		return uuid.Nil, 0, false
	}
	revision, err = strconv.ParseInt(rest[length+1:], 10, 64)
	return reminderID, revision, err == nil && Wake{ReminderID: reminderID, Revision: revision}.JobName() == name
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
