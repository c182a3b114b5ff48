package fire

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/together"
	"github.com/duebell/duebell/shared/wallclock"
)

const (
	// mostTogether is how many callbacks share a transaction.
	mostTogether = 500
	// mostNeighbours is how many neighbours are fired with them. In a spike their own callbacks are
	// on their way.
	mostNeighbours = 500
	// neighbourhood is how long a reminder may have been due to be fired as a neighbour. One that
	// has waited for longer may be impossible to fire. Only its own callback and the sweep try it,
	// so that it does not make others' transactions fail.
	neighbourhood = time.Minute
	// spike is how long callbacks wait while further neighbours are fired.
	spike = 500 * time.Millisecond
)

// call is a callback and its result.
type call struct {
	revision task.Revision
	trace    string // of the caller
	verdict  task.Verdict
	reason   string          // why it is skipped
	ahead    time.Duration   // how early it is
	unsent   bool            // it has fired, and some of its deliveries are unsent
	alone    bool            // it is to be judged again, alone
	stale    bool            // its task has to be moved first; then it is judged again
	err      error           // it could not be judged
	hinted   <-chan struct{} // closed when the hint was sent; nil if there is none
}

// awaitHint returns when the hint for this call was sent. The function may be stopped once the
// callback is answered.
func (c *call) awaitHint() {
	if c.hinted != nil {
		<-c.hinted
	}
}

func (c *call) outcome() Outcome {
	switch {
	case c.verdict == task.Skip:
		return Outcome{Skipped, c.reason}
	case c.verdict == task.Fire:
		return Outcome{Status: Success}
	case c.unsent:
		return Outcome{Status: InProgress}
	default:
		return Outcome{Skipped, cmp.Or(c.reason, ReasonDelivered)}
	}
}

// fireTogether judges callbacks, and fires those that are due with their neighbours. As long as a
// transaction is full of neighbours, it fires further ones. The sender is woken after the last
// transaction, because its work would slow down the firing.
func (f *Firer) fireTogether(ctx context.Context, calls []*call) {
	fired, err := f.fire(ctx, calls, mostNeighbours, "")
	unsent := fired.unsent
	if err != nil && !store.IsAway(err) {
		for _, c := range calls { // one of them, or a neighbour, made the transaction fail
			c.alone = true
		}
		return
	}
	hog := ""
	for end := f.now().Add(spike); err == nil && (fired.neighbours == mostNeighbours || hog != "") && f.now().Before(end); {
		hog = f.hog(ctx, fired)
		fired, err = f.fire(ctx, nil, mostNeighbours, hog)
		unsent = unsent || fired.unsent
	}
	if unsent {
		f.wake()
	}
}

// page is what one transaction has fired.
type page struct {
	neighbours int
	user       string // the user of all neighbours; "" if they are of several
	unsent     bool   // some deliveries are to be sent
}

// pageOf counts the neighbours among fired reminders, and finds their user.
func pageOf(due []dueCall) (p page) {
	for _, d := range due {
		if !d.neighbour {
			continue
		}
		if p.neighbours++; p.neighbours == 1 {
			p.user = d.UserID
		} else if d.UserID != p.user {
			p.user = ""
		}
	}
	return p
}

// hog returns the user to leave out of the next transaction, "" if there is none. It is a user
// whose reminders filled the last transaction, while a reminder of another user has fallen due
// since. Otherwise that reminder would wait until thousands of the hog's have fired.
func (f *Firer) hog(ctx context.Context, last page) string {
	if last.neighbours < mostNeighbours || last.user == "" {
		return ""
	}
	now := f.now()
	newest, err := f.store.NewestDue(ctx, now.Add(-neighbourhood), now)
	if err != nil || newest == last.user {
		return ""
	}
	return last.user
}

// fireInTurn is fireAlone for one callback of a user at a time.
func (f *Firer) fireInTurn(ctx context.Context, c *call) {
	end, err := f.turns.take(ctx, c.revision.UserID)
	if err != nil {
		c.err = err
		return
	}
	defer end()
	f.fireAlone(ctx, c)
}

// fireAlone judges and fires one callback alone. An error is set in the call.
func (f *Firer) fireAlone(ctx context.Context, c *call) {
	if fired, _ := f.fire(ctx, []*call{c}, 0, ""); fired.unsent {
		f.wake()
	}
}

// fire judges and fires in one transaction, all or nothing. An error is also set in each call. It
// fires up to neighbours neighbours, none of them of the user except.
func (f *Firer) fire(ctx context.Context, calls []*call, neighbours int, except string) (fired page, err error) {
	ids := make([]uuid.UUID, len(calls))
	for i, c := range calls {
		ids[i] = c.revision.ReminderID
	}
	began := f.now()
	besides := store.Neighbours{After: began.Add(-neighbourhood), Until: began, Most: neighbours, Except: except}
	var due []dueCall
	var firings []store.Firing
	err = together.Caught(func() error {
		return f.store.Fire(ctx, ids, besides, func(locked []store.LockedReminder, look store.Look) (_ []store.Firing, err error) {
			due = f.judge(calls, locked, f.now())
			firings, err = f.firings(due, look)
			return firings, err
		})
	})
	if err != nil {
		for _, c := range calls {
			c.err = err
		}
		return page{}, err
	}
	fired = pageOf(due)
	f.armNext(due, firings)
	if len(due) > 0 {
		fired.unsent = f.announce(ctx, due, firings)
	}
	fired.unsent = f.findUnsent(ctx, calls) || fired.unsent
	return fired, nil
}

// armNext passes on the reminders that were armed for their next occurrence or repetition.
func (f *Firer) armNext(due []dueCall, fired []store.Firing) {
	var next []store.Due
	for i, d := range due {
		for _, r := range []*task.Reminder{fired[i].Next, fired[i].Repeat} {
			if r == nil {
				continue
			}
			revision := task.Revision{TaskID: d.TaskID, UserID: d.UserID, ReminderID: r.ID, Number: r.Revision}
			next = append(next, store.Due{Revision: revision, FireAt: *r.FireAt})
		}
	}
	if len(next) > 0 && f.arm != nil {
		f.arm(next)
	}
}

// announce sends hints for what was fired, and reports whether deliveries are to be sent.
func (f *Firer) announce(ctx context.Context, due []dueCall, fired []store.Firing) (toSend bool) {
	now := f.now()
	hinted := make(chan struct{})
	var told []string
	for i, d := range due {
		for _, delivery := range fired[i].Deliveries {
			if delivery.State == store.Bundled {
				metrics.Bundled(string(delivery.Channel))
			}
			if delivery.Open() || delivery.State == store.Bundled {
				toSend = true
				continue
			}
			// finished by the firing: in-app, or without a usable target
			metrics.Tried(string(delivery.Channel), string(delivery.State))
		}
		if fired[i].InApp != nil {
			told = append(told, d.UserID)
		}
		d.hinted = hinted
		metrics.Fired(now.Sub(fired[i].Due))
	}
	slices.Sort(told)
	go func() {
		defer close(hinted)
		f.inboxes.hint(ctx, slices.Compact(told))
	}()
	return toSend
}

// findUnsent finds which of the calls' reminders have fired already and still have unsent
// deliveries, and reports whether any has. The process that fired them may have died before it
// could wake the sender.
func (f *Firer) findUnsent(ctx context.Context, calls []*call) bool {
	var fired []task.Revision
	for _, c := range calls {
		if c.verdict == task.Deliver {
			fired = append(fired, c.revision)
		}
	}
	if len(fired) == 0 {
		return false
	}
	unsent, err := f.store.Unsent(ctx, fired)
	for _, c := range calls {
		if c.verdict == task.Deliver {
			c.unsent, c.err = unsent[task.Revision{ReminderID: c.revision.ReminderID, Number: c.revision.Number}], err
		}
	}
	return len(unsent) > 0
}

// dueCall is a locked reminder that is to be fired.
type dueCall struct {
	*call
	store.LockedReminder
	neighbour bool // no call asked for it
}

// judge sets the verdict of each call. It returns the calls and neighbours that are due, the
// earliest first. It leaves out reminders that were derived from an older clock, and marks their
// calls as stale.
func (f *Firer) judge(calls []*call, locked []store.LockedReminder, now time.Time) (due []dueCall) {
	asked := map[uuid.UUID][]*call{}
	for _, c := range calls {
		*c = call{revision: c.revision, trace: c.trace, verdict: task.Skip, reason: string(fault.CodeNotFound)}
		asked[c.revision.ReminderID] = append(asked[c.revision.ReminderID], c)
	}
	for _, r := range locked {
		reminderCalls, ok := asked[r.ID]
		if !ok {
			neighbour := &call{revision: task.Revision{TaskID: r.TaskID, UserID: r.UserID, ReminderID: r.ID, Number: r.Revision}}
			reminderCalls = []*call{neighbour}
		}
		for _, c := range reminderCalls {
			if c.revision.TaskID != r.TaskID || c.revision.UserID != r.UserID {
				continue // the same answer as for an unknown id
			}
			c.verdict, c.reason = task.Judge(r.Reminder, c.revision.Number, now)
			if c.verdict == task.Fire && r.Of != nil && r.Source.Older(f.mover.Clock(r.Of.To.Preferences)) {
				c.verdict, c.stale = task.Skip, true
			}
			switch c.verdict {
			case task.Fire:
				due = append(due, dueCall{c, r, !ok})
				r.State = task.Fired // for further calls of the same reminder
			case task.Wait:
				c.ahead = r.FireAt.Sub(now)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b dueCall) int { return a.FireAt.Compare(*b.FireAt) })
	return due
}

// firings returns what is stored for each due reminder.
func (f *Firer) firings(due []dueCall, look store.Look) ([]store.Firing, error) {
	for _, d := range due {
		if d.Of == nil {
			return nil, fmt.Errorf("reminder %s has no task", d.ID)
		}
	}
	stopped, err := f.suppressed(due, look)
	if err != nil {
		return nil, err
	}
	all := make([]store.Firing, len(due))
	for i, d := range due {
		all[i] = store.Firing{ReminderID: d.ID, Due: *d.FireAt, Trace: d.trace, Bundle: d.Of.To.Bundle, Schedules: f.arm != nil}
		if d.Of.UpdatedAt.After(*d.FireAt) {
			all[i].Due = d.Of.UpdatedAt // the task was stored late
		}
		of := d.Of.Task
		if of.Recurs() && d.Occurrence != nil {
			if of, err = f.recur(d, &all[i]); err != nil {
				return nil, err
			}
		}
		f.repeat(d, of, &all[i])
		all[i].Deliveries, all[i].InApp = f.plan(d.Reminder, of, d.Of.To, stopped)
		if all[i].InApp != nil && all[i].Of != nil {
			all[i].InApp.Occurrence = of.Show(all[i].Of.Local)
		}
	}
	return all, nil
}

// recur adds to a firing what becomes of a recurring task's occurrences, and of the reminder. It
// returns the task with the due date of the occurrence that is told.
func (f *Firer) recur(d dueCall, firing *store.Firing) (task.Task, error) {
	told := d.Of.Task
	if d.Besides() { // a snooze or a repetition tells of its own occurrence only
		at := told.At(*d.Occurrence, f.mover.Clock(d.Of.To.Preferences))
		firing.Of = &store.Occurrence{TaskID: told.ID, Series: told.Progress.Series, Local: *d.Occurrence, Instant: at}
		told.DueDate = &at
		return told, nil
	}
	step, err := task.FireRecurring(told, d.Reminder, f.mover.Clock(d.Of.To.Preferences), f.now())
	if err != nil {
		return told, fmt.Errorf("reminder %s: %w", d.ID, err)
	}
	add := func(all []recurrence.Occurrence, state task.Settled) {
		for _, o := range all {
			firing.Occurrences = append(firing.Occurrences, store.Occurrence{TaskID: told.ID, Series: told.Progress.Series, Local: o.Local, Instant: o.Instant, State: state})
		}
	}
	add(step.Missed, task.Untold)
	add(step.Told, task.Told)
	firing.Of = &firing.Occurrences[len(firing.Occurrences)-1]
	if step.After.State == task.Armed {
		firing.Next = &step.After
	}
	told.DueDate = &firing.Of.Instant
	return told, nil
}

// repeat adds the repetition to a firing, if the task wants one.
func (f *Firer) repeat(d dueCall, told task.Task, firing *store.Firing) {
	var of *wallclock.Time
	if firing.Of != nil {
		of = &firing.Of.Local
	}
	next, ok := told.Repetition(d.Reminder, of, f.now(), newID)
	switch {
	case !ok:
	case d.Kind == task.KindRepeat:
		firing.Next = &next
	default:
		firing.Repeat = &next
	}
}
