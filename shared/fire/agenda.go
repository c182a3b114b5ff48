package fire

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/trace"
)

// FireAgenda handles a callback for an agenda. One transaction locks the user's row, settles the day, plans the
// deliveries, and arms the next agenda.
//
// At eight o'clock the agendas of a whole country are due in the same second. Reminders still need the database
// and Dapr's connections, so a process fires one agenda at a time. A callback that comes meanwhile is answered at
// once, as [InProgress]. The call that is at work then fires all agendas that are overdue, for up to agendaTime.
// The sweep fires the rest.
func (f *Firer) FireAgenda(ctx context.Context, r task.Revision) (outcome Outcome, err error) {
	if !f.agendas.TryLock() {
		f.moreAgendas.Store(true)
		return Outcome{Status: InProgress}, nil
	}
	outcome, err = f.agenda(ctx, r)
	f.agendas.Unlock()
	if err == nil && outcome.Status == Skipped {
		metrics.Skipped(outcome.Reason)
	}
	for end := time.Now().Add(agendaTime); err == nil && f.moreAgendas.Load() && time.Now().Before(end) && f.agendas.TryLock(); f.agendas.Unlock() {
		f.moreAgendas.Store(false)
		_, _, more := f.overdueAgendas(ctx, f.now(), end)
		if more != nil {
			slog.WarnContext(ctx, "agendas are left for the sweep", "error", more)
		}
	}
	return outcome, err
}

const (
	// agendaTime is for how long one callback fires the agendas of other callbacks.
	agendaTime = 10 * time.Second
	// agendaPage is how many overdue agendas are read at a time.
	agendaPage = 500
)

// FireAgendas fires the armed agendas that are due up to until, one after the other. An agenda that can't be fired
// does not stop the others. complete is false if any is left.
func (f *Firer) FireAgendas(ctx context.Context, until time.Time) (fired int, complete bool, err error) {
	return f.overdueAgendas(ctx, until, time.Time{})
}

// overdueAgendas is FireAgendas that also stops at end, unless end is zero.
func (f *Firer) overdueAgendas(ctx context.Context, until, end time.Time) (fired int, complete bool, err error) {
	complete = true
	for last := (store.Due{}); ; {
		due, err := f.store.OverdueAgendas(ctx, until, last, agendaPage)
		if err != nil || len(due) == 0 {
			return fired, complete && err == nil, err
		}
		last = due[len(due)-1]
		for _, d := range due {
			if ctx.Err() != nil || !end.IsZero() && time.Now().After(end) {
				return fired, false, ctx.Err()
			}
			outcome, err := f.agenda(ctx, d.Revision)
			switch {
			case store.IsAway(err):
				return fired, false, err
			case err != nil:
				complete = false
				slog.WarnContext(ctx, "an agenda is left for the next sweep", "agenda_id", d.ReminderID, "error", err)
			case outcome.Status == Success:
				fired++
			}
		}
	}
}

// agenda fires one agenda. If the callback is early by up to task.EarlyTolerance, it waits.
func (f *Firer) agenda(ctx context.Context, r task.Revision) (Outcome, error) {
	for {
		var fired agendaFiring
		err := f.store.InTx(ctx, func(ctx context.Context, tx store.Tx) (err error) {
			fired, err = f.agendaIn(ctx, tx, r)
			return err
		})
		switch {
		case store.IsGone(err): // there is no such user
			return Outcome{Skipped, string(fault.CodeNotFound)}, nil
		case err != nil:
			return Outcome{}, err
		case fired.ahead > 0:
			select {
			case <-time.After(fired.ahead):
				continue
			case <-ctx.Done():
				return Outcome{}, ctx.Err()
			}
		}
		f.announceAgenda(ctx, r, fired)
		return fired.Outcome, nil
	}
}

// agendaFiring is the result of firing an agenda.
type agendaFiring struct {
	Outcome
	ahead   time.Duration     // how early the callback is, if it has to wait
	state   store.AgendaState // what the agenda has become; "" if nothing
	planned []store.Delivery
}

// announceAgenda counts and logs an agenda that was settled. It wakes the sender if a delivery is
// open, and sends a hint to open inboxes if the agenda was told in-app.
func (f *Firer) announceAgenda(ctx context.Context, r task.Revision, fired agendaFiring) {
	if fired.state == "" {
		return
	}
	metrics.AgendaSettled(string(fired.state))
	slog.InfoContext(ctx, "agenda settled", "agenda_id", r.ReminderID, "state", fired.state, "deliveries", len(fired.planned))
	if slices.ContainsFunc(fired.planned, store.Delivery.Open) {
		f.wake()
	}
	for _, d := range fired.planned {
		if d.Open() {
			continue
		}
		metrics.Tried(string(d.Channel), string(d.State))
		if d.Channel == task.InApp {
			f.inboxes.hint(ctx, []string{r.UserID})
		}
	}
}

// agendaIn judges and fires an agenda in a transaction.
func (f *Firer) agendaIn(ctx context.Context, tx store.Tx, r task.Revision) (fired agendaFiring, err error) {
	var to store.Recipient
	if to.Preferences, to.SignIn, err = tx.LockPreferences(ctx, r.UserID); err != nil {
		return fired, err
	}
	a, err := tx.FindAgenda(ctx, r.UserID, r.ReminderID)
	if err != nil {
		return fired, err
	}
	now, clock := f.now(), f.mover.Clock(to.Preferences)
	skip := func(reason string) (agendaFiring, error) { return agendaFiring{Outcome: Outcome{Skipped, reason}}, nil }
	switch {
	case a == nil:
		return skip(string(fault.CodeNotFound))
	case a.Revision != r.Number:
		return skip(task.ReasonSuperseded)
	case a.State == store.AgendaCancelled, to.Agenda == nil:
		return skip(task.ReasonCancelled)
	case a.State != store.AgendaArmed:
		f.wake() // the process that fired it may have died before it could wake the sender
		return skip(ReasonDelivered)
	case a.At.Sub(now) > task.EarlyTolerance:
		return skip(task.ReasonEarly)
	case a.At.After(now):
		return agendaFiring{ahead: a.At.Sub(now)}, nil
	}
	if is, ok := to.Agenda.On(a.Day, clock.Location()); a.Release < clock.Release() && (!ok || !is.At.Equal(a.At)) {
		// The agenda was derived by an earlier release of the time zones, and the sweep has not
		// moved it yet.
		fired.Outcome = Outcome{Skipped, task.ReasonSuperseded}
		return fired, schedule.MoveAgenda(ctx, tx, r.UserID, to.Preferences, to.Preferences, clock, now)
	}
	var inApp *store.Notification
	if fired.state, fired.planned, inApp, err = f.planAgenda(ctx, tx, *a, to, clock, now); err != nil {
		return fired, err
	}
	if err := tx.SettleAgenda(ctx, *a, fired.state, fired.planned, inApp, trace.Parent(ctx)); err != nil {
		return fired, err
	}
	fired.Outcome = Outcome{Status: Success}
	return fired, schedule.NextAgenda(ctx, tx, *a, *to.Agenda, clock, now)
}

// planAgenda returns the state that an agenda gets, its deliveries, and its in-app notification, nil if there is
// none. It goes to the same targets as a reminder on its channel. If nothing may be sent to one of them, it is told
// in-app as well.
func (f *Firer) planAgenda(ctx context.Context, tx store.Tx, a store.Agenda, to store.Recipient, clock task.Clock, now time.Time) (store.AgendaState, []store.Delivery, *store.Notification, error) {
	if a.TooLate(now, clock.Location()) {
		return store.AgendaMissed, nil, nil, nil
	}
	content, err := tx.ReadAgenda(ctx, a.UserID, a.Day, clock, now)
	if err != nil || content.Empty() {
		return store.AgendaEmpty, nil, nil, err
	}
	of := task.Task{UserID: a.UserID, Draft: task.Draft{Channels: []task.Channel{to.Agenda.Channel}, Urgent: true}} // urgent tasks are never bundled; the user has chosen the time of an agenda
	call := dueCall{LockedReminder: store.LockedReminder{Of: &store.Told{Task: of, To: to}}}
	stopped, err := f.suppressed([]dueCall{call}, func(all []suppress.Address) (store.Suppressed, error) { return tx.Suppressed(ctx, all) })
	if err != nil {
		return "", nil, nil, err
	}
	planned, inApp := f.plan(task.Reminder{Revision: a.Revision}, of, to, stopped)
	planned = slices.DeleteFunc(planned, func(d store.Delivery) bool { return d.Channel == task.Event }) // no event, since no reminder has fired
	if inApp != nil {
		inApp.Title, inApp.Body = notify.Message{Zone: clock.Location(), Language: to.Language}.Tells(content).InApp()
	}
	return store.AgendaTold, planned, inApp, nil
}
