package task

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Revision names one arming of one reminder. Moving a task arms its reminders anew,
// which makes new revisions of them; a revision always means the same instant.
//
// TaskID and UserID are the reminder's. They are zero where only the name of a job is
// known: that holds the reminder's id and the number, and nothing else.
//
// Its JSON form is what a job carries.
type Revision struct {
	TaskID     uuid.UUID `json:"task_id"`
	UserID     string    `json:"user_id"`
	ReminderID uuid.UUID `json:"reminder_id"`
	// Number is that of the reminder's Revision, 1 for the first time it was armed.
	Number int64 `json:"revision"`
	// Agenda says that it is of an agenda, whose id ReminderID is then, and not of a reminder. It is of no task.
	Agenda bool `json:"agenda,omitempty"`
}

// JobPrefix is how the name of every reminder's job begins.
const JobPrefix = "reminder-"

// JobName returns the name of the revision's job in Dapr. A name is never used for two
// instants: so a late call that schedules or deletes the job of an old revision can't
// touch the job of a new one.
func (r Revision) JobName() string { return fmt.Sprintf("%s%s-%d", JobPrefix, r.ReminderID, r.Number) }

// ParseJobName returns the revision that a job's name holds, without its task and user.
// ok is false if the job is no reminder's.
func ParseJobName(name string) (r Revision, ok bool) {
	const length = 36 // of an ID
	rest, ok := strings.CutPrefix(name, JobPrefix)
	if !ok || len(rest) < length+2 {
		return Revision{}, false
	}
	id, err := uuid.Parse(rest[:length])
	if err != nil {
		return Revision{}, false
	}
	number, err := strconv.ParseInt(rest[length+1:], 10, 64)
	r = Revision{ReminderID: id, Number: number}
	if err != nil || r.JobName() != name {
		return Revision{}, false
	}
	return r, true
}

// EarlyTolerance is how far ahead of its instant a callback may come, by the function's
// clock, and still be waited for.
const EarlyTolerance = 2 * time.Second

// Verdict is what a callback means for a reminder.
type Verdict int

// The verdicts.
const (
	// Fire: it is due; fire it now.
	Fire Verdict = iota
	// Deliver: it has fired; what is still unsent is to be sent. If nothing is, it may also never
	// have fired at this revision: then there is a reason to skip it.
	Deliver
	// Wait: it is due within EarlyTolerance.
	Wait
	// Skip: the callback is stale; there is nothing to do for it.
	Skip
)

// Reasons why a callback is skipped, as callers see them.
const (
	ReasonSuperseded = "superseded" // the reminder was armed anew since
	ReasonCancelled  = "cancelled"
	ReasonMissed     = "missed"
	ReasonEarly      = "early" // ahead of the instant by more than EarlyTolerance
)

// Judge says what a callback for the given number of r's revision means at the time now,
// and why if it is skipped. The caller holds the reminder's lock.
func Judge(r Reminder, number int64, now time.Time) (Verdict, string) {
	switch {
	case (r.Occurrence != nil || r.Besides()) && number < r.Revision:
		// It has fired for an occurrence before, or was moved; or it was repeated or snoozed since.
		return Deliver, ReasonSuperseded
	case r.Revision != number:
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
