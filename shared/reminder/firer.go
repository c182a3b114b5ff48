package reminder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Channel sends a message once. Its error is judged by notify.KindOf.
type Channel interface {
	Send(ctx context.Context, m notify.Message) error
}

// FirerRules sets the rules for sending.
type FirerRules struct {
	SendTimeout time.Duration `env:"DELIVERY_SEND_TIMEOUT" envDefault:"6s" help:"how long one send may take"`
	Lease       time.Duration `env:"DELIVERY_LEASE" envDefault:"20s" help:"how long a delivery belongs to the sender that took it; if the sender dies, it is sent again after this"`
	MaxAttempts int           `env:"DELIVERY_MAX_ATTEMPTS" envDefault:"12" help:"how often a delivery is tried before it is given up"`
}

// Validate reports what is wrong with the configuration.
func (c FirerRules) Validate() error {
	var problems []error
	if c.SendTimeout < 100*time.Millisecond {
		problems = append(problems, errors.New("DELIVERY_SEND_TIMEOUT must be at least 100ms"))
	}
	if c.Lease < c.SendTimeout+5*time.Second {
		problems = append(problems, errors.New("DELIVERY_LEASE must be at least 5s longer than DELIVERY_SEND_TIMEOUT, or two senders could hold one delivery"))
	}
	if c.MaxAttempts < 1 {
		problems = append(problems, errors.New("DELIVERY_MAX_ATTEMPTS must be at least 1"))
	}
	return errors.Join(problems...)
}

// Firer fires reminders and sends their deliveries. It is safe for concurrent
// use, also by many processes on one reminder.
//
// Firing is one transaction: the reminder is marked, its deliveries are planned,
// and the in-app one is written, of which those who wait for it are then told.
// Sending comes after, each delivery leased just before; whoever comes next (Dapr's retry, a sweep) sends what is left.
type Firer struct {
	store    *store.Store
	channels map[task.Channel]Channel
	now      func() time.Time
	cfg      FirerRules
	inboxes  *hinter
}

// NewFirer makes a Firer with the external channels that are configured. now is
// its clock, time.Now outside of tests.
func NewFirer(s *store.Store, channels map[task.Channel]Channel, now func() time.Time, cfg FirerRules) *Firer {
	return &Firer{store: s, channels: channels, now: now, cfg: cfg, inboxes: newHinter(s.Hint)}
}

// Status is how a wake-up call ended.
type Status string

// The statuses.
const (
	Success    Status = "success"     // fired, or sent what was unsent
	Skipped    Status = "skipped"     // nothing was to be done
	InProgress Status = "in_progress" // another sender is at it, or its time has not come
)

// Outcome is how a wake-up call ended, and why if it was skipped.
type Outcome struct {
	Status Status
	Reason string
}

// ReasonDelivered says that a reminder has fired and all of it is sent.
const ReasonDelivered = "already_delivered"

// comeBackSoon is the longest wait for which asking Dapr to repeat a callback
// beats leaving the delivery to the sweep.
const comeBackSoon = 15 * time.Second

// Fire does what a wake-up call asks for. An error means that something is left
// that a repeated call may mend soon.
func (f *Firer) Fire(ctx context.Context, w task.Wake) (outcome Outcome, err error) {
	defer func() {
		if err == nil && outcome.Status == Skipped {
			metrics.Skipped(outcome.Reason)
		}
	}()
	for {
		verdict, reason, ahead, planned, err := f.fire(ctx, w)
		switch {
		case errors.Is(err, store.ErrNoReminder):
			return Outcome{Skipped, string(fault.CodeNotFound)}, nil
		case err != nil:
			return Outcome{}, err
		case verdict == task.Skip:
			return Outcome{Skipped, reason}, nil
		case verdict == task.Fire:
			return f.sendAll(ctx, planned)
		case verdict == task.Deliver:
			open, err := f.store.OpenDeliveries(ctx, w.ReminderID, w.Revision)
			if err != nil {
				return Outcome{}, err
			}
			if len(open) == 0 {
				return Outcome{Skipped, ReasonDelivered}, nil
			}
			return f.sendAll(ctx, open)
		}
		// A little early, by this clock.
		select {
		case <-time.After(ahead):
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		}
	}
}

// FireTask does the same for every reminder of a user's task that is due, or
// has something unsent.
func (f *Firer) FireTask(ctx context.Context, userID string, taskID uuid.UUID) (Outcome, error) {
	due, err := f.store.DueReminders(ctx, userID, taskID)
	if err != nil {
		return Outcome{}, err
	}
	total := Outcome{Skipped, "nothing_due"}
	if len(due) == 0 {
		metrics.Skipped(total.Reason)
	}
	var failed error
	for _, d := range due {
		o, err := f.Fire(ctx, task.Wake{TaskID: taskID, UserID: userID, ReminderID: d.ReminderID, Revision: d.Revision})
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case o.Status == Success, o.Status == InProgress && total.Status == Skipped:
			total = o
		}
	}
	return total, failed
}

// fire judges a wake-up call under the reminder's lock and, if it is due, fires
// the reminder. It returns how far ahead of its instant the call came, and what
// is to be sent now.
func (f *Firer) fire(ctx context.Context, w task.Wake) (verdict task.Verdict, reason string, ahead time.Duration, planned []store.OpenDelivery, err error) {
	told := false
	var due time.Time
	var deliveries []store.Delivery
	err = f.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		planned, told = nil, false
		r, err := tx.LockReminder(ctx, w.ReminderID, w.TaskID, w.UserID)
		if err != nil {
			return err
		}
		now := f.now()
		if verdict, reason = task.Judge(r, w.Revision, now); verdict != task.Fire {
			if verdict == task.Wait {
				ahead = r.FireAt.Sub(now)
			}
			return nil
		}
		t, to, err := tx.TaskToFire(ctx, w.TaskID)
		if err != nil {
			return err
		}
		due = *r.FireAt
		if t.UpdatedAt.After(due) {
			due = t.UpdatedAt // it was asked for late
		}
		var inApp *store.Notification
		deliveries, inApp = f.plan(r, t, to)
		told = inApp != nil
		for _, d := range deliveries {
			if d.State == store.Planned {
				planned = append(planned, store.OpenDelivery{ID: d.ID})
			}
		}
		return tx.FireReminder(ctx, r.ID, due, deliveries, inApp)
	})
	if err == nil && verdict == task.Fire {
		countFired(f.now().Sub(due), deliveries)
	}
	if err == nil && told {
		f.inboxes.hint(ctx, w.UserID)
	}
	return verdict, reason, ahead, planned, err
}

// plan says on which channels a reminder is told and where to, and writes the
// in-app notification. The channels are the task's own, or else those that are on
// in the user's preferences. One that can't be used is recorded as failed, so
// that the delivery log says why nothing came. If none is left the reminder is
// told in-app: one that tells nobody would be lost. Besides, it is published as an
// event, where that is set up, which tells no user.
func (f *Firer) plan(r task.Reminder, t task.Task, to store.Recipient) (deliveries []store.Delivery, inApp *store.Notification) {
	add := func(c task.Channel, target string, state store.DeliveryState, problem string) {
		d := store.Delivery{
			ID: newID(), ReminderID: r.ID, Revision: r.Revision, TaskID: t.ID, UserID: t.UserID,
			Channel: c, Target: target, State: state, LastError: problem,
		}
		deliveries = append(deliveries, d)
		if c == task.InApp {
			inApp = &store.Notification{
				ID: d.ID, UserID: t.UserID, TaskID: t.ID, Title: t.Title,
				Body: notify.Message{DueDate: t.DueDate, Zone: preferences.Zone(to.TimeZone)}.Due(),
			}
		}
	}
	told := false
	for _, c := range f.channelsFor(t, to) {
		if c == task.InApp {
			add(c, "", store.Sent, "")
			told = true
			continue
		}
		targets, problem := f.targets(c, to)
		if problem != "" {
			add(c, "", store.Failed, problem)
		}
		for _, target := range targets {
			add(c, target, store.Planned, "")
			told = true
		}
	}
	if !told {
		add(task.InApp, "", store.Sent, "")
	}
	if f.channels[task.Event] != nil {
		add(task.Event, "", store.Planned, "")
	}
	return deliveries, inApp
}

// channelsFor returns the channels on which a task's reminders are to be told.
// What nobody has asked for is left out if it can't be used.
func (f *Firer) channelsFor(t task.Task, to store.Recipient) []task.Channel {
	switch {
	case t.Channels != nil:
		return t.Channels
	case to.Channels != nil:
		return to.Channels
	default:
		_, problem := f.targets(task.Email, to)
		return preferences.DefaultChannels(problem == "")
	}
}

// targets says where an external channel reaches a user, in the channel's own
// form, or why it does not.
func (f *Firer) targets(c task.Channel, to store.Recipient) (targets []string, problem string) {
	switch {
	case f.channels[c] == nil:
		return nil, "this channel is not set up here"
	case c == task.Email && to.Unsubscribed:
		return nil, "you have unsubscribed from e-mail; switch it on again in your preferences"
	case c == task.Email && len(to.Emails) > 0:
		return to.Emails, ""
	case c == task.Email && to.Email != nil:
		return []string{*to.Email}, ""
	case c == task.Email:
		return nil, "your sign-in has no verified e-mail address, and your preferences name none"
	default:
		return nil, "this channel can't be used yet"
	}
}

// sendAll sends the deliveries that may be taken now, side by side, and sums up:
// an error if one of them is due again soon, InProgress if one is left to
// another sender or for later, Success if all are finished.
func (f *Firer) sendAll(ctx context.Context, open []store.OpenDelivery) (Outcome, error) {
	results := make([]Result, len(open))
	errs := make([]error, len(open))
	var group errgroup.Group
	for i, d := range open {
		if d.Wait > 0 {
			results[i] = Result{Taken: !d.Sending, Wait: d.Wait}
			continue
		}
		group.Go(func() error {
			results[i], errs[i] = f.Send(ctx, d.ID)
			return nil
		})
	}
	_ = group.Wait()
	if err := errors.Join(errs...); err != nil {
		return Outcome{}, err
	}
	outcome := Outcome{Status: Success}
	for _, r := range results {
		switch {
		case r.Taken && r.Wait == 0:
			// Finished.
		case r.Taken && r.Wait <= comeBackSoon:
			return Outcome{}, fault.Unavailable(nil, "a delivery failed and is due again in %v", r.Wait.Round(time.Millisecond))
		default:
			outcome.Status = InProgress
		}
	}
	return outcome, nil
}

// Result is how one try to send a delivery ended.
type Result struct {
	// Taken is false if there was nothing to take: the delivery is finished, not
	// due, or another sender has it.
	Taken bool
	State store.DeliveryState
	// Wait is how long until the next try; zero if there is none.
	Wait time.Duration
}

// Send takes a delivery, sends it, and records what became of it. It goes on
// when the caller gives up: a send that has begun is finished and recorded.
func (f *Firer) Send(ctx context.Context, id uuid.UUID) (Result, error) {
	ctx = context.WithoutCancel(ctx)
	asked := time.Now() // the database counts from then, or a little later
	l, err := f.store.Lease(ctx, id, f.cfg.Lease)
	if err != nil || l == nil {
		return Result{}, err
	}
	leased := time.Now()
	// A lease that would not outlast the send is left to run out: another sender could
	// have the delivery before the send ends.
	if leased.Sub(asked) > f.cfg.Lease-f.cfg.SendTimeout {
		return Result{}, fault.Unavailable(nil, "the lease came too late to be used")
	}

	sendErr := f.send(ctx, l, leased.Add(f.cfg.SendTimeout))
	metrics.SendTook(string(l.Channel), time.Since(leased))
	result := Result{Taken: true}
	result.State, result.Wait = next(sendErr, l.Attempts, f.cfg.MaxAttempts)
	lastError := ""
	if sendErr != nil {
		lastError = fmt.Sprintf("%.500s", sendErr.Error())
	}
	slog.Info("delivery tried", "delivery_id", l.ID, "task_id", l.TaskID, "channel", l.Channel, "attempt", l.Attempts,
		"state", result.State, "error", lastError)

	// What was sent and is not recorded will be sent again, so recording goes on
	// for as long as the lease keeps others away.
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		err := f.store.Finish(ctx, l, result.State, result.Wait, lastError)
		if err != nil && fault.CodeOf(err) != fault.CodeUnavailable {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(max(f.cfg.Lease-time.Since(asked), 1))) // 0 would mean for ever
	countTried(l.Channel, result.State, err)
	if err != nil {
		return Result{}, fmt.Errorf("record delivery %s as %s: %w", l.ID, result.State, err)
	}
	return result, nil
}

func (f *Firer) send(ctx context.Context, l *store.Leased, deadline time.Time) error {
	if l.Attempts > f.cfg.MaxAttempts {
		return &notify.Error{Kind: notify.Unknown, Err: errors.New("every sender died before it could say what came of it")}
	}
	channel := f.channels[l.Channel]
	if channel == nil {
		return &notify.Error{Kind: notify.Retry, Err: errors.New("this channel is not set up here")}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return channel.Send(ctx, notify.Message{
		ID: l.ID, TaskID: l.TaskID, UserID: l.UserID, To: l.Target,
		Title: l.Title, Notes: l.Notes, DueDate: l.DueDate, Zone: preferences.Zone(l.TimeZone),
	})
}

// next says what becomes of a delivery after a send that ended with err, its
// attempts-th.
func next(err error, attempts, maxAttempts int) (store.DeliveryState, time.Duration) {
	if err == nil {
		return store.Sent, 0
	}
	kind, after := notify.KindOf(err)
	switch {
	case kind == notify.Permanent:
		return store.Failed, 0
	case attempts >= maxAttempts:
		return store.Exhausted, 0
	case kind == notify.Unknown:
		return store.Unknown, Backoff(attempts)
	default:
		return store.Planned, max(after, Backoff(attempts))
	}
}
