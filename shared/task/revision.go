package task

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Revision identifies one arming of one reminder. Moving a task arms its reminders anew, with new
// revisions. A revision always means the same instant.
//
// TaskID and UserID are zero if only the name of a job is known. A job's name holds the reminder's
// id and the number.
//
// A job carries its JSON form.
type Revision struct {
	TaskID     uuid.UUID `json:"task_id"`
	UserID     string    `json:"user_id"`
	ReminderID uuid.UUID `json:"reminder_id"`
	// Number is the reminder's Revision, 1 for its first arming.
	Number int64 `json:"revision"`
	// Agenda says that this is a revision of an agenda. ReminderID is then the agenda's id, and TaskID is zero.
	Agenda bool `json:"agenda,omitempty"`
}

// JobPrefix begins the name of the job of every reminder and agenda.
const JobPrefix = "reminder-"

// JobName returns the name of the revision's job in Dapr. A name is never used for two instants. So
// a late call that schedules or deletes an old revision's job can't affect the job of a new one.
func (r Revision) JobName() string { return fmt.Sprintf("%s%s-%d", JobPrefix, r.ReminderID, r.Number) }

// ParseJobName returns the revision in a job's name, without task and user. ok is false if the job
// belongs to no reminder or agenda.
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

// EarlyTolerance is how early a callback may come, by the function's clock. The function then waits
// for the instant.
const EarlyTolerance = 2 * time.Second

// Verdict is what a callback means for a reminder.
type Verdict int

// The verdicts.
const (
	// Fire: it is due; fire it now.
	Fire Verdict = iota
	// Deliver: it has fired; send what is unsent. If nothing is unsent, the callback is skipped: it
	// may be of a revision that never fired, and then Judge gives the reason.
	Deliver
	// Wait: it is due within EarlyTolerance.
	Wait
	// Skip: the callback is stale; do nothing.
	Skip
)

// Reasons why a callback is skipped, as callers see them.
const (
	ReasonSuperseded = "superseded" // the reminder was armed anew since
	ReasonCancelled  = "cancelled"
	ReasonMissed     = "missed"
	ReasonEarly      = "early" // ahead of the instant by more than EarlyTolerance
)

// Judge returns what a callback for a revision of r means at now, and the reason if it is skipped.
// The caller holds the reminder's lock.
func Judge(r Reminder, number int64, now time.Time) (Verdict, string) {
	switch {
	case (r.Occurrence != nil || r.Besides()) && number < r.Revision:
		// It may have fired at that revision before it was moved, repeated, snoozed or armed for
		// its next occurrence.
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
