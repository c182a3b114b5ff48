package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// timeline is all that is recorded of a task, and what is still to come.
type timeline struct {
	TaskID    uuid.UUID          `json:"task_id"`
	AsOf      time.Time          `json:"as_of"` // later events are still to come
	DueDate   *time.Time         `json:"due_date"`
	Rule      *timelineRule      `json:"rule"` // null: the task does not recur
	Reminders []timelineReminder `json:"reminders"`
	Events    []event            `json:"events"` // in the order of time
	// More says that older deliveries or occurrences are left out.
	More bool `json:"more"`
}

type timelineRule struct {
	Rule           string  `json:"rule"`
	Text           string  `json:"text"`
	Occurrence     *string `json:"occurrence"` // the current one
	NextOccurrence *string `json:"next_occurrence"`
}

type timelineReminder struct {
	ID         uuid.UUID  `json:"id"`
	Kind       task.Kind  `json:"kind"`
	Before     string     `json:"before"` // "0s" if it is at no offset
	FireAt     *time.Time `json:"fire_at"`
	State      string     `json:"state"`
	Removed    bool       `json:"removed"`    // the task no longer has it
	Occurrence *string    `json:"occurrence"` // the one that a recurring task's reminder waits for
	Job        *job       `json:"job"`        // null: it is not armed
}

// job is the job of an armed reminder.
type job struct {
	Name  string   `json:"name"`
	State jobState `json:"state"`
	Text  string   `json:"text"`
}

type jobState string

const (
	withDapr jobState = "with_dapr" // Dapr has confirmed it
	later    jobState = "later"     // it is beyond the horizon, or being scheduled
	late     jobState = "late"      // Dapr should have confirmed it, and has not
)

// event is something that happened, or is planned.
type event struct {
	At         time.Time           `json:"at"`
	Kind       string              `json:"kind"`
	Text       string              `json:"text"` // a sentence for people
	ReminderID *uuid.UUID          `json:"reminder_id,omitzero"`
	Revision   int64               `json:"revision,omitzero"` // which arming of the reminder it is about; each fires once
	Before     string              `json:"before,omitzero"`
	Occurrence *string             `json:"occurrence,omitzero"`
	DeliveryID *uuid.UUID          `json:"delivery_id,omitzero"`
	Channel    task.Channel        `json:"channel,omitzero"`
	Target     string              `json:"target,omitzero"`
	Provider   string              `json:"provider,omitzero"`
	Attempt    int                 `json:"attempt,omitzero"`
	State      store.DeliveryState `json:"state,omitzero"`  // the state of the delivery, the occurrence or the reminder
	Error      string              `json:"error,omitzero"`  // the provider's answer, or why it was not sent
	Reason     store.Reason        `json:"reason,omitzero"` // why a delivery is held, or was cancelled
	// BundleReminders is how many reminders are in the delivery's message, if it is bundled, or was.
	BundleReminders int `json:"bundle_reminders,omitzero"`
	// LateSeconds is how long after its instant a reminder has fired.
	LateSeconds *float64   `json:"late_seconds,omitzero"`
	Until       *time.Time `json:"until,omitzero"` // the next attempt, or when it is not held any more
}

// The kinds of events.
const (
	ofCreation   = "created"
	ofChange     = "changed"
	ofScheduling = "scheduled"    // a reminder's job was scheduled
	ofDue        = "due"          // the task's due date
	ofReminder   = "upcoming"     // an armed reminder will fire
	ofMissing    = "missed"       // a reminder was too old when its task was stored
	ofFiring     = "fired"        // a reminder has fired, and its deliveries were planned
	ofTry        = "tried"        // an attempt failed
	ofHolding    = "held"         // a delivery is held, or was, or waits in a bundle
	ofReplay     = "replayed"     // an operator has replayed a delivery
	ofSending    = "sent"         // a delivery's provider has taken it; an in-app one is in the inbox
	ofEnd        = "ended"        // a delivery ended without being sent
	ofWait       = "waiting"      // a delivery's next attempt
	ofReport     = "reported"     // a provider has reported
	ofReading    = "read"         // the notification was read
	ofArchiving  = "archived"     // the notification was archived
	ofAttention  = "acknowledged" // the notification was acknowledged
	ofOccurrence = "occurrence"   // an occurrence was completed, skipped or missed
)

// mostShown is how many deliveries, and how many occurrences, a timeline has at most.
const mostShown = 100

// timeline returns the timeline of a task.
func (h handler) timeline(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.signIn, r, "task_id")
	if err != nil {
		return err
	}
	l, err := h.store.GetTimeline(r.Context(), user.ID, id, mostShown)
	if err != nil {
		return err
	}
	out, err := draw(l, task.Instant(time.Now()), h.horizon)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// draw makes a timeline from what was read.
func draw(l store.Timeline, now time.Time, horizon task.Horizon) (timeline, error) {
	expected := horizon.Expected(now)
	shown := api.NewTask(l.Task, expected)
	d := drawing{
		task: l.Task,
		out:  timeline{TaskID: l.Task.ID, AsOf: now, DueDate: shown.DueDate, Reminders: []timelineReminder{}, More: l.More},
	}
	if l.Task.Recurs() {
		series, err := l.Task.Occurrences(l.Task.Clock)
		if err != nil {
			return timeline{}, err
		}
		d.out.Rule = &timelineRule{l.Task.Recurrence.Rule, series.Describe(), shown.Occurrence, shown.NextOccurrence}
	}
	d.aboutTask(shown, now)
	d.reminders = map[uuid.UUID]task.Reminder{}
	for _, r := range l.Reminders {
		d.reminders[r.ID] = r.Reminder
		d.aboutReminder(r, now, expected)
	}
	d.aboutFirings(l)
	for _, delivery := range l.Deliveries {
		d.aboutDelivery(delivery)
	}
	d.aboutOccurrences(l.Occurrences)
	slices.SortStableFunc(d.out.Events, func(a, b event) int { return a.At.Compare(b.At) })
	return d.out, nil
}

type drawing struct {
	task      task.Task
	reminders map[uuid.UUID]task.Reminder
	out       timeline
}

func (d *drawing) add(e event) { d.out.Events = append(d.out.Events, e) }

func (d *drawing) aboutTask(shown api.Task, now time.Time) {
	t := d.task
	d.add(event{At: t.CreatedAt, Kind: ofCreation, Text: "The task was created."})
	if t.Version > 1 {
		changed := event{At: t.UpdatedAt, Kind: ofChange, Text: "The task was last changed."}
		if t.Completed {
			changed.Text, changed.State = "The task was last changed. It is completed.", store.DeliveryState(task.Completed)
		}
		d.add(changed)
	}
	if shown.DueDate != nil && !t.Completed {
		text := "The task is due."
		if !shown.DueDate.After(now) {
			text = "The task was due."
		}
		d.add(event{At: *shown.DueDate, Kind: ofDue, Text: text, Occurrence: shown.Occurrence})
	}
}

func (d *drawing) aboutOccurrences(all []store.Occurrence) {
	for _, o := range all {
		local := d.task.Show(o.Local)
		text := map[task.Settled]string{
			task.Told:      "The occurrence %s was told.",
			task.Untold:    "The occurrence %s was missed: a later one had passed, too, when somebody could be told.",
			task.Completed: "The occurrence %s was completed.",
			task.Skipped:   "The occurrence %s was skipped.",
		}[o.State]
		d.add(event{At: o.At, Kind: ofOccurrence, Text: fmt.Sprintf(text, local), Occurrence: &local, State: store.DeliveryState(o.State)})
	}
}

func (d *drawing) aboutReminder(r store.TimelineReminder, now, expected time.Time) {
	shown := timelineReminder{ID: r.ID, Kind: r.Kind, Before: r.Before.String(), FireAt: r.FireAt, State: r.Status(expected), Removed: r.Removed}
	if r.Occurrence != nil {
		local := d.task.Show(*r.Occurrence)
		shown.Occurrence = &local
	}
	of := func(at time.Time, kind, text string) event {
		return event{At: at, Kind: kind, Text: text, ReminderID: &r.ID, Revision: r.Revision, Before: d.beforeOf(r.ID), Occurrence: shown.Occurrence, State: store.DeliveryState(shown.State)}
	}
	name := d.nameOf(r.ID)
	revision := task.Revision{ReminderID: r.ID, Number: r.Revision}
	switch r.State {
	case task.Armed:
		j := job{Name: revision.JobName(), State: later, Text: "Postgres keeps the reminder. Dapr gets its job in time."}
		switch {
		case r.Confirmed == r.Revision:
			j.State, j.Text = withDapr, "Dapr holds the reminder's job."
		case r.Pending(expected):
			j.State, j.Text = late, "Dapr has not confirmed the reminder's job. The sweep, of which there is one every minute, gives it to Dapr again, and fires the reminder if nobody else does."
			if r.Refused > 0 && r.AgainAt != nil {
				j.Text = fmt.Sprintf("Dapr has not taken the reminder's job in %d tries. It is tried again at %s. The sweep fires the reminder if nobody else does.", r.Refused, r.AgainAt.Format(time.RFC3339))
			}
		}
		shown.Job = &j
		if r.ScheduledAt != nil {
			text := name + " was given to Dapr as a job."
			if j.State != withDapr {
				text = name + " was to be given to Dapr as a job, which Dapr has not confirmed."
			}
			d.add(of(*r.ScheduledAt, ofScheduling, text))
		}
		text := name + " fires."
		if !r.FireAt.After(now) {
			text = name + " has come, and has not fired yet."
		}
		d.add(of(*r.FireAt, ofReminder, text))
	case task.Missed:
		if r.FireAt != nil {
			d.add(of(*r.FireAt, ofMissing, name+" is missed: its instant had passed for too long when it was asked for."))
		}
	case task.Fired:
		if r.ScheduledAt != nil && r.Confirmed == r.Revision {
			d.add(of(*r.ScheduledAt, ofScheduling, name+" was given to Dapr as a job."))
		}
	}
	d.out.Reminders = append(d.out.Reminders, shown)
}

// nameOf returns the words for a reminder.
func (d *drawing) nameOf(id uuid.UUID) string {
	r, known := d.reminders[id]
	before := r.Before.String()
	switch {
	case !known:
		return "The reminder of an offset that the task no longer has"
	case r.Kind == task.KindSnooze:
		return "The snooze"
	case r.Kind == task.KindRepeat:
		return "The repetition"
	case before == "0s":
		return "The reminder at the due date"
	case strings.HasPrefix(before, "-"):
		return "The reminder " + before[1:] + " after the due date"
	default:
		return "The reminder " + before + " before the due date"
	}
}

// beforeOf returns a reminder's offset; "" if it has none, or is not known.
func (d *drawing) beforeOf(id uuid.UUID) string {
	if r, known := d.reminders[id]; known && r.Kind == task.KindDue {
		return r.Before.String()
	}
	return ""
}

// aboutFirings adds the firings. Their instants are those at which their deliveries were planned,
// or those in the reminders' rows.
func (d *drawing) aboutFirings(l store.Timeline) {
	seen := map[task.Revision]bool{}
	fired := func(r task.Revision, at time.Time, due *time.Time, occurrence *string) {
		if seen[r] {
			return
		}
		seen[r] = true
		e := event{
			At: at, Kind: ofFiring, Text: d.nameOf(r.ReminderID) + " has fired", ReminderID: &r.ReminderID, Revision: r.Number,
			Before: d.beforeOf(r.ReminderID), Occurrence: occurrence, State: store.DeliveryState(task.Fired),
		}
		if due != nil && !due.After(at) {
			late := at.Sub(*due)
			e.Text += fmt.Sprintf(", %s after its instant", late.Round(10*time.Millisecond))
			e.LateSeconds = new(late.Seconds())
		}
		e.Text += "."
		d.add(e)
	}
	for _, of := range l.Deliveries {
		fired(task.Revision{ReminderID: of.ReminderID, Number: of.Revision}, of.CreatedAt, of.DueAt, d.shownOccurrence(of))
	}
	for _, r := range l.Reminders {
		if r.FiredAt != nil {
			fired(task.Revision{ReminderID: r.ID, Number: r.Revision}, *r.FiredAt, r.FireAt, nil)
		}
	}
}

func (d *drawing) shownOccurrence(of store.TimelineDelivery) *string {
	if of.Occurrence == nil {
		return nil
	}
	local := d.task.Show(*of.Occurrence)
	return &local
}

func (d *drawing) aboutDelivery(of store.TimelineDelivery) {
	on := map[task.Channel]string{
		task.InApp: "The notification in the inbox", task.Email: "The e-mail to " + of.Target, task.SMS: "The text message to " + of.Target,
		task.Push: "The push notification", task.Webhook: "The call of " + of.Target, task.Event: "The event for other programs",
	}[of.Channel]
	with := cmp.Or(of.Provider, "its provider")
	base := event{
		ReminderID: &of.ReminderID, Revision: of.Revision, Before: d.beforeOf(of.ReminderID), Occurrence: d.shownOccurrence(of),
		DeliveryID: &of.ID, Channel: of.Channel, Target: of.Target, Provider: of.Provider, Attempt: of.Attempts, State: of.State, Reason: of.Reason,
		BundleReminders: of.BundleReminders,
	}
	add := func(at time.Time, kind, format string, args ...any) *event {
		e := base
		e.At, e.Kind, e.Text = at, kind, on+" "+fmt.Sprintf(format, args...)
		d.add(e)
		return &d.out.Events[len(d.out.Events)-1]
	}
	for i, t := range of.Tries {
		d.aboutTry(add, t, i == len(of.Tries)-1 && of.FinishedAt != nil && t.State == of.State)
	}
	switch {
	case of.State == store.Sent && of.Channel == task.InApp:
		add(*of.FinishedAt, ofSending, "is there.")
	case of.State == store.Sent:
		in := ""
		if of.BundleReminders > 1 {
			in = fmt.Sprintf(", with %d reminders in one message", of.BundleReminders)
		}
		add(*of.FinishedAt, ofSending, "was taken by %s, at attempt %d%s.", with, of.Attempts, in)
	case of.FinishedAt != nil:
		reason, ok := map[store.DeliveryState]string{
			store.Failed:          "was refused for good: ",
			store.Exhausted:       fmt.Sprintf("was given up after attempt %d: ", of.Attempts),
			store.SuppressedState: "is not sent: ",
			store.Unverified:      "is not sent: ",
			store.Refused:         "is not sent: ",
		}[of.State]
		if !ok && of.Reason != "" {
			add(*of.FinishedAt, ofEnd, "was cancelled: %s.", d.note(of))
			break
		}
		if !ok {
			add(*of.FinishedAt, ofEnd, "was cancelled: the task was completed, changed or deleted before it was sent, or an operator has let go of it.")
			break
		}
		add(*of.FinishedAt, ofEnd, "%s%s.", reason, cmp.Or(of.LastError, "no reason is recorded")).Error = of.LastError
	case of.State == store.Bundled, of.Held() && of.NextAttemptAt != nil:
		add(*of.NextAttemptAt, ofHolding, "is not sent yet: %s.", d.note(of)).Until = of.NextAttemptAt
	case of.State == store.Sending:
		add(*of.NextAttemptAt, ofWait, "is being sent: attempt %d with %s. If nobody has said by then what came of it, it is tried again.", of.Attempts, with)
	case of.State == store.Unknown:
		add(*of.NextAttemptAt, ofWait, "may have been taken by %s. It is tried again with the same idempotency key.", with).Error = of.LastError
	case of.LastError != "":
		add(*of.NextAttemptAt, ofWait, "waits for its next attempt: %s.", of.LastError).Error = of.LastError
	default:
		add(*of.NextAttemptAt, ofWait, "waits to be sent.")
	}
	if of.ReportedAt != nil {
		add(*of.ReportedAt, ofReport, "was reported as %s by %s.", of.Report, with).State = store.DeliveryState(of.Report)
	}
	if of.ReadAt != nil {
		add(*of.ReadAt, ofReading, "was read.")
	}
	if of.ArchivedAt != nil {
		add(*of.ArchivedAt, ofArchiving, "was archived.")
	}
	if of.AcknowledgedAt != nil {
		add(*of.AcknowledgedAt, ofAttention, "was acknowledged.")
	}
}

// note returns why a delivery is held, or was cancelled.
func (d *drawing) note(of store.TimelineDelivery) string {
	return noteOf(of.Delivery, preferences.Zone(d.task.Clock.Zone))
}

// aboutTry adds a try. The last try of a finished delivery is left out: it is shown as the
// delivery's end.
func (d *drawing) aboutTry(add func(at time.Time, kind, format string, args ...any) *event, t store.Try, last bool) {
	var e *event
	with := cmp.Or(t.Provider, "its provider")
	switch {
	case last:
		return
	case t.State == store.TryReplayed:
		e = add(t.At, ofReplay, "was replayed by an operator: all its attempts begin anew.")
	case t.State == store.TryHeld:
		e = add(t.At, ofHolding, "is held: %s.", t.Error)
	case t.State == store.Unknown:
		e = add(t.At, ofTry, "was tried: nobody can say whether %s has taken it: %s.", with, t.Error)
	case t.Next != nil && !t.Next.After(t.At):
		e = add(t.At, ofTry, "was tried: %s has not taken it, and the next provider has its turn: %s.", with, t.Error)
	default:
		e = add(t.At, ofTry, "was tried: %s has not taken it: %s.", with, t.Error)
	}
	e.Provider, e.Attempt, e.State, e.Error, e.Until, e.Reason = t.Provider, t.Attempt, t.State, t.Error, t.Next, t.Reason()
}
