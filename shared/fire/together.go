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
	// mostNeighbours is how many reminders are fired with them before anybody asks: in a
	// spike, those whose callbacks are on their way.
	mostNeighbours = 500
	// neighbourhood is for how long a reminder has been due at most to be fired as a
	// neighbour. What has waited for longer may be what can't be fired: it is tried by
	// its own callback and by the sweep, so that it does not spoil others' transactions.
	neighbourhood = time.Minute
	// spike is for how long callbacks wait while more and more neighbours are fired.
	spike = 500 * time.Millisecond
)

// call is a callback, and what came of it.
type call struct {
	revision task.Revision
	trace    string // of who calls
	verdict  task.Verdict
	reason   string          // why it is skipped
	ahead    time.Duration   // how long it has to wait
	unsent   bool            // something of it is still to be sent
	alone    bool            // it is to be judged once more, on its own
	stale    bool            // its task is to be moved first, and then it is judged once more
	err      error           // it could not be judged
	hinted   <-chan struct{} // closed when those who wait for what was fired are told; nil if nobody is
}

// awaitHint returns when those who wait for what was fired are told. Once a callback is
// answered its function may be stopped.
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

// fireTogether judges callbacks, and fires what is due of them and of their neighbours.
// While there are more of these than one transaction takes, it goes on. The sender is woken
// after the last one: what it does would slow the firing down.
func (f *Firer) fireTogether(ctx context.Context, calls []*call) {
	fired, err := f.fire(ctx, calls, mostNeighbours, "")
	unsent := fired.unsent
	if err != nil && !store.IsAway(err) {
		for _, c := range calls { // one of them is the trouble, or a neighbour
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

// page is what one transaction has fired that nobody has asked for.
type page struct {
	neighbours int
	user       string // whose they all are; "" if they are of several
	unsent     bool   // something is to be sent, of these or of what was asked for
}

// pageOf says which of those that were fired are neighbours, and whose.
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

// hog returns the user who is to be left out of the next page: one who has filled the last
// one, while what has fallen due since then is somebody else's. That would wait, else, until
// all of the hog's thousands are fired. "" is nobody.
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

// fireInTurn does as fireAlone, for one callback of the user at a time.
func (f *Firer) fireInTurn(ctx context.Context, c *call) {
	end, err := f.turns.take(ctx, c.revision.UserID)
	if err != nil {
		c.err = err
		return
	}
	defer end()
	f.fireAlone(ctx, c)
}

// fireAlone judges and fires one reminder. Its error is the call's.
func (f *Firer) fireAlone(ctx context.Context, c *call) {
	if fired, _ := f.fire(ctx, []*call{c}, 0, ""); fired.unsent {
		f.wake()
	}
}

// fire judges and fires in one transaction, all or nothing. Its error is that of each
// call, too. Of neighbours it fires so many at most, none of the user except.
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

// armNext has Dapr told of the reminders that were armed for their next occurrence or repetition.
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

// announce tells the inboxes of what was fired, and says whether something is to be sent.
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
			// Settled by the firing: the in-app one, and those that can't be sent.
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

// findUnsent looks what is still to be sent of those that have fired already, and says
// whether anything is: whoever fired them may have died before it could wake the sender.
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

// dueCall is a reminder to be fired, locked.
type dueCall struct {
	*call
	store.LockedReminder
	neighbour bool // nobody has asked for it
}

// judge gives each call its verdict and returns those that are due, and the neighbours
// that are, the earliest first. What was derived from an older clock is neither: a call for it is
// stale.
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
				continue // as if it didn't exist
			}
			c.verdict, c.reason = task.Judge(r.Reminder, c.revision.Number, now)
			if c.verdict == task.Fire && r.Of != nil && r.Source.Older(f.mover.Clock(r.Of.To.Preferences)) {
				c.verdict, c.stale = task.Skip, true
			}
			switch c.verdict {
			case task.Fire:
				due = append(due, dueCall{c, r, !ok})
				r.State = task.Fired // for those that ask for the same
			case task.Wait:
				c.ahead = r.FireAt.Sub(now)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b dueCall) int { return a.FireAt.Compare(*b.FireAt) })
	return due
}

// firings says what firing each sets off.
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
			all[i].Due = d.Of.UpdatedAt // it was asked for late
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

// recur says what firing a reminder of a recurring task makes of its occurrences, and of the reminder.
// It returns the task as it is told: due when the occurrence is.
func (f *Firer) recur(d dueCall, firing *store.Firing) (task.Task, error) {
	told := d.Of.Task
	if d.Besides() { // which tells of its occurrence once more, and of no other
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

// repeat has what is told repeated, if its task says so.
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
