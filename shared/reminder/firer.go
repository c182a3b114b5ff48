package reminder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/notify"
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
// and the in-app one is written. Sending comes after, each delivery leased just
// before; whoever comes next (Dapr's retry, a sweep) sends what is left.
type Firer struct {
	store    *store.Store
	channels map[task.Channel]Channel
	now      func() time.Time
	cfg      FirerRules
}

// NewFirer makes a Firer with the external channels that are configured. now is
// its clock, time.Now outside of tests.
func NewFirer(s *store.Store, channels map[task.Channel]Channel, now func() time.Time, cfg FirerRules) *Firer {
	return &Firer{store: s, channels: channels, now: now, cfg: cfg}
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
	var due time.Time
	var deliveries []store.Delivery
	err = f.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		planned = nil
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
		t, u, err := tx.TaskToFire(ctx, w.TaskID)
		if err != nil {
			return err
		}
		due = *r.FireAt
		if t.UpdatedAt.After(due) {
			due = t.UpdatedAt // it was asked for late
		}
		var inApp *store.Notification
		deliveries, inApp = f.plan(r, t, u)
		for _, d := range deliveries {
			if d.State == store.Planned {
				planned = append(planned, store.OpenDelivery{ID: d.ID})
			}
		}
		return tx.FireReminder(ctx, r.ID, deliveries, inApp)
	})
	if err == nil && verdict == task.Fire {
		countFired(f.now().Sub(due), deliveries)
	}
	return verdict, reason, ahead, planned, err
}

// plan says on which channels a reminder is told, and writes the in-app
// notification. A channel that was asked for and can't be used is recorded as
// failed. If no channel is left the reminder is told in-app: a reminder that
// tells nobody would be lost.
func (f *Firer) plan(r task.Reminder, t task.Task, u store.User) (deliveries []store.Delivery, inApp *store.Notification) {
	channels := t.Channels
	if channels == nil {
		channels = []task.Channel{task.InApp}
		if u.Email != nil && f.channels[task.Email] != nil {
			channels = append(channels, task.Email)
		}
	}
	usable := 0
	for _, c := range channels {
		d := store.Delivery{ID: newID(), ReminderID: r.ID, Revision: r.Revision, TaskID: t.ID, UserID: t.UserID, Channel: c, State: store.Planned}
		switch {
		case c == task.InApp:
			d.State = store.Sent
		case f.channels[c] == nil:
			d.State, d.LastError = store.Failed, "this channel is not set up here"
		case c == task.Email && u.Email == nil:
			d.State, d.LastError = store.Failed, "your sign-in has no verified e-mail address"
		case c == task.Email:
			d.Target = *u.Email
		}
		if d.State != store.Failed {
			usable++
		}
		deliveries = append(deliveries, d)
	}
	if usable == 0 {
		deliveries = append(deliveries, store.Delivery{
			ID: newID(), ReminderID: r.ID, Revision: r.Revision, TaskID: t.ID, UserID: t.UserID, Channel: task.InApp, State: store.Sent,
		})
	}
	if i := slices.IndexFunc(deliveries, func(d store.Delivery) bool { return d.Channel == task.InApp }); i >= 0 {
		inApp = &store.Notification{
			ID: deliveries[i].ID, UserID: t.UserID, TaskID: t.ID, Title: t.Title,
			Body: notify.Message{DueDate: t.DueDate}.Due(),
		}
	}
	return deliveries, inApp
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
	asked := time.Now()
	l, err := f.store.Lease(ctx, id, f.cfg.Lease)
	if err != nil || l == nil {
		return Result{}, err
	}
	leased := time.Now()
	// The lease may run since it was asked for. One that would not outlast the send is
	// left to run out: another sender could have the delivery before the send ends.
	if leased.Sub(asked) > f.cfg.Lease-f.cfg.SendTimeout {
		slog.Warn("a delivery is left for the next sender: its lease was too long in coming", "delivery_id", l.ID, "took", leased.Sub(asked).String())
		return Result{}, nil
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
		return struct{}{}, f.store.Finish(ctx, l, result.State, result.Wait, lastError)
	}, backoff.WithMaxElapsedTime(max(f.cfg.Lease-time.Since(leased), time.Second)))
	countTried(l.Channel, result.State, err)
	if err != nil {
		return Result{}, fmt.Errorf("record delivery %s as %s: %w", l.ID, result.State, err)
	}
	return result, nil
}

func (f *Firer) send(ctx context.Context, l *store.Leased, deadline time.Time) error {
	channel := f.channels[l.Channel]
	if channel == nil {
		return &notify.Error{Kind: notify.Retry, Err: errors.New("this channel is not set up here")}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return channel.Send(ctx, notify.Message{
		ID: l.ID, TaskID: l.TaskID, To: l.Target, Title: l.Title, Notes: l.Notes, DueDate: l.DueDate,
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
