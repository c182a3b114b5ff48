package reminder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
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
	"github.com/duebell/duebell/shared/together"
)

// Channel sends a message once. Its error is judged by notify.KindOf.
type Channel interface {
	Send(ctx context.Context, m notify.Message) error
}

// Provider is one way to send on a channel.
type Provider struct {
	Name string
	Channel
}

// Channels are the external channels that are set up, each with its providers in
// the order in which they are tried. A push message goes to the provider that its
// device belongs to.
type Channels map[task.Channel][]Provider

// provider returns a channel's provider of a name, nil if there is none.
func (c Channels) provider(channel task.Channel, name string) Channel {
	for _, p := range c[channel] {
		if p.Name == name {
			return p.Channel
		}
	}
	return nil
}

func (c Channels) names() map[task.Channel][]string {
	names := map[task.Channel][]string{}
	for channel, providers := range c {
		for _, p := range providers {
			names[channel] = append(names[channel], p.Name)
		}
	}
	return names
}

// FirerRules sets the rules for sending.
type FirerRules struct {
	SendTimeout time.Duration `env:"DELIVERY_SEND_TIMEOUT" envDefault:"6s" help:"how long one send may take"`
	Lease       time.Duration `env:"DELIVERY_LEASE" envDefault:"20s" help:"how long a delivery belongs to the sender that took it; if the sender dies, it is sent again after this"`
	MaxAttempts int           `env:"DELIVERY_MAX_ATTEMPTS" envDefault:"12" help:"how often a delivery is tried before it is given up; going through all providers of a channel counts once"`
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
// and the in-app one is written, of which those who wait for it are then told. Reminders
// whose calls come at the same time share it, and so does what else is due.
// Sending comes after, each delivery leased just before; whoever comes next (Dapr's retry, a sweep) sends what is left.
type Firer struct {
	store    *store.Store
	channels Channels
	names    map[task.Channel][]string // of the channels' providers
	now      func() time.Time
	cfg      FirerRules
	inboxes  *hinter

	// What comes at the same time is carried out at the same time.
	fires   together.Group[*firing]
	leases  together.Group[*leasing]
	endings together.Group[store.Ending]

	fired memory // ahead of their wake-up calls
}

// NewFirer makes a Firer with the external channels that are configured. now is
// its clock, time.Now outside of tests.
func NewFirer(s *store.Store, channels Channels, now func() time.Time, cfg FirerRules) *Firer {
	f := &Firer{store: s, channels: channels, names: channels.names(), now: now, cfg: cfg, inboxes: newHinter(s.Hint)}
	f.fires.Most, f.leases.Most, f.endings.Most = mostTogether, mostTogether, mostTogether
	f.leases.Pause, f.endings.Pause = betweenSends, betweenSends
	f.fires.Call = func(ctx context.Context, calls []*firing) error {
		f.fireTogether(ctx, calls)
		return nil
	}
	f.leases.Call = f.leaseTogether
	f.endings.Call = func(ctx context.Context, endings []store.Ending) error { return s.Finish(ctx, endings...) }
	return f
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
		call := &firing{wake: w}
		if !f.fired.recall(call) {
			if err := errors.Join(f.fires.Do(ctx, call), call.err); err != nil {
				return Outcome{}, err
			}
		}
		if call.verdict == task.Wait { // a little early, by this clock
			select {
			case <-time.After(call.ahead):
				continue
			case <-ctx.Done():
				return Outcome{}, ctx.Err()
			}
		}
		defer call.awaitHint()
		switch {
		case call.verdict == task.Skip:
			return Outcome{Skipped, call.reason}, nil
		case call.verdict == task.Deliver && len(call.open) == 0:
			return Outcome{Skipped, ReasonDelivered}, nil
		default:
			return f.sendAll(ctx, call.open)
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

// plan says on which channels a reminder is told and where to, and writes the
// in-app notification. The channels are the task's own, or else those that are on
// in the user's preferences. What can't be used is recorded as failed, so that the
// delivery log says why nothing came. If nothing else is left the reminder is told
// in-app: one that tells nobody would be lost. Besides, it is published as an event,
// where that is set up, which tells no user.
func (f *Firer) plan(r task.Reminder, t task.Task, to store.Recipient) (deliveries []store.Delivery, inApp *store.Notification) {
	add := func(c task.Channel, target string, state store.DeliveryState, problem string) {
		deliveries = append(deliveries, store.Delivery{
			ID: newID(), ReminderID: r.ID, Revision: r.Revision, TaskID: t.ID, UserID: t.UserID,
			Channel: c, Target: target, State: state, LastError: problem,
		})
	}
	tellInApp := func() {
		add(task.InApp, "", store.Sent, "")
		inApp = &store.Notification{
			ID: deliveries[len(deliveries)-1].ID, UserID: t.UserID, TaskID: t.ID, Title: t.Title,
			Body: notify.Message{DueDate: t.DueDate, Zone: preferences.Zone(to.TimeZone), Language: to.Language}.Due(),
		}
	}
	told := false
	for _, c := range f.channelsFor(t, to) {
		if c == task.InApp {
			tellInApp()
			told = true
			continue
		}
		for _, place := range f.targets(c, to) {
			if place.problem != "" {
				add(c, place.target, store.Failed, place.problem)
				continue
			}
			add(c, place.target, store.Planned, "")
			told = true
		}
	}
	if !told {
		tellInApp()
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
	case to.Version > 0:
		return to.Channels
	default:
		return preferences.DefaultChannels(f.targets(task.Email, to)[0].problem == "")
	}
}

// place is where an external channel reaches a user, or why it does not.
type place struct{ target, problem string }

// targets says where an external channel reaches a user, in the form of
// store.Delivery's Target, or why it does not: one place at least.
func (f *Firer) targets(c task.Channel, to store.Recipient) []place {
	not := func(problem string) []place { return []place{{problem: problem}} }
	var targets []string
	switch {
	case len(f.channels[c]) == 0:
		return not("this channel is not set up here")
	case c == task.Email && to.Unsubscribed:
		return not("you have unsubscribed from e-mail; switch it on again in your preferences")
	case c == task.Email && len(to.Emails) > 0:
		targets = to.Emails
	case c == task.Email && to.SignIn != nil:
		targets = []string{*to.SignIn}
	case c == task.Email:
		return not("your sign-in has no verified e-mail address, and your preferences name none")
	case c == task.SMS && len(to.Phones) == 0:
		return not("your preferences name no phone number")
	case c == task.SMS:
		targets = to.Phones
	case c == task.Push && len(to.Devices) == 0:
		return not("your preferences name no device")
	case c == task.Push:
		return f.devices(to)
	case c == task.Webhook && to.Webhook == nil:
		return not("your preferences name no webhook")
	case c == task.Webhook && to.Webhook.Gone:
		return not("your webhook has answered that it is gone; switch it on again in your preferences")
	case c == task.Webhook:
		targets = []string{to.Webhook.URL}
	default:
		return not("this channel can't be used yet")
	}
	places := make([]place, len(targets))
	for i, target := range targets {
		places[i].target = target
	}
	return places
}

// devices says the same of push: each device needs its own provider.
func (f *Firer) devices(to store.Recipient) []place {
	places := make([]place, len(to.Devices))
	for i, d := range to.Devices {
		places[i].target = d.String()
		if f.channels.provider(task.Push, d.Provider) == nil {
			places[i].problem = "this device's provider is not set up here"
		}
	}
	return places
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
			results[i], errs[i] = f.sendQuickly(ctx, d.ID)
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
	// Wait is how long until the next try; zero if there is none, or it is to be
	// made at once.
	Wait time.Duration
	// Quick says that whoever made this try should make the next one, too.
	Quick bool
}

// Send takes a delivery, sends it, and records what became of it. What one provider
// refuses for now goes to the next one of the channel at once. It goes on when the
// caller gives up: a send that has begun is finished and recorded.
func (f *Firer) Send(ctx context.Context, id uuid.UUID) (Result, error) {
	ctx = context.WithoutCancel(ctx)
	var asked []time.Duration // for how long those who have refused want to be left alone
	for {
		result, err := f.attempt(ctx, id, &asked)
		if err != nil || result.State != store.Planned || result.Wait > 0 {
			return result, err
		}
	}
}

// quickTries is how often a webhook is tried in one callback: a receiver that is
// just being restarted is back in a moment.
const quickTries = 3

// sendQuickly sends a delivery and makes the quick tries that it is entitled to. In
// between it is nobody's: should this process die, it is due and found.
func (f *Firer) sendQuickly(ctx context.Context, id uuid.UUID) (Result, error) {
	for {
		result, err := f.Send(ctx, id)
		if err != nil || !result.Quick {
			return result, err
		}
		select {
		case <-time.After(result.Wait):
		case <-ctx.Done():
			return result, nil
		}
	}
}

// leasing is the wish to send a delivery.
type leasing struct {
	id     uuid.UUID
	leased *store.Leased // nil if there is nothing to take
}

// leaseTogether gives each delivery to one of those who want it.
func (f *Firer) leaseTogether(ctx context.Context, all []*leasing) error {
	wanted := make(map[uuid.UUID]*leasing, len(all))
	for _, l := range all {
		wanted[l.id] = l
	}
	leased, err := f.store.Lease(ctx, f.cfg.Lease, f.names, slices.Collect(maps.Keys(wanted))...)
	if err != nil {
		return err
	}
	for _, l := range leased {
		wanted[l.ID].leased = l
	}
	return nil
}

// attempt makes one attempt with one provider. asked has what those before have asked
// for in this round, and gets what this one does.
func (f *Firer) attempt(ctx context.Context, id uuid.UUID, asked *[]time.Duration) (Result, error) {
	began := time.Now() // the database counts from then, or a little later
	taking := &leasing{id: id}
	if err := f.leases.Do(ctx, taking); err != nil || taking.leased == nil {
		return Result{}, err
	}
	l := taking.leased
	leased := time.Now()
	// A lease that would not outlast the send is left to run out: another sender could
	// have the delivery before the send ends.
	if leased.Sub(began) > f.cfg.Lease-f.cfg.SendTimeout {
		return Result{}, fault.Unavailable(nil, "the lease came too late to be used")
	}

	sendErr := f.send(ctx, l, leased.Add(f.cfg.SendTimeout))
	metrics.SendTook(string(l.Channel), time.Since(leased))
	_, after := notify.KindOf(sendErr)
	*asked = append(*asked, after)
	ending := store.Ending{Of: l, Gone: notify.IsGone(sendErr)}
	ending.State, ending.Wait = next(sendErr, f.standing(l), slices.Min(*asked))
	if sendErr != nil {
		ending.Error = fmt.Sprintf("%.500s", sendErr.Error())
	}
	slog.InfoContext(ctx, "delivery tried", "delivery_id", l.ID, "task_id", l.TaskID, "channel", l.Channel, "provider", l.Provider,
		"attempt", l.Attempts, "state", ending.State, "error", ending.Error)

	// What was sent and is not recorded will be sent again, so recording goes on
	// for as long as the lease keeps others away.
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		record := f.endings.Do
		if ending.Gone { // which waits for its user's row, and is not to hold up the others
			record = func(ctx context.Context, e ...store.Ending) error { return f.store.Finish(ctx, e...) }
		}
		err := record(ctx, ending)
		if err != nil && fault.CodeOf(err) != fault.CodeUnavailable {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(max(f.cfg.Lease-time.Since(began), 1))) // 0 would mean for ever
	countTried(l.Channel, ending.State, err)
	if err != nil {
		return Result{}, fmt.Errorf("record delivery %s as %s: %w", l.ID, ending.State, err)
	}
	quick := l.Channel == task.Webhook && l.Round < quickTries && ending.Wait > 0 && ending.Wait <= firstWait<<(l.Round-1)
	return Result{Taken: true, State: ending.State, Wait: ending.Wait, Quick: quick}, nil
}

func (f *Firer) send(ctx context.Context, l *store.Leased, deadline time.Time) error {
	provider := f.channels.provider(l.Channel, l.Provider)
	switch {
	case l.Round > f.cfg.MaxAttempts:
		return &notify.Error{Kind: notify.Unknown, Err: errors.New("every sender died before it could say what came of it")}
	case l.Withdrawn:
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("it is not in your preferences any more")}
	case provider == nil && l.ProviderFixed:
		return &notify.Error{Kind: notify.Retry, Err: fmt.Errorf("%s may have taken it before, so nobody else can be asked, and it is not set up here any more", l.Provider)}
	case provider == nil:
		return &notify.Error{Kind: notify.Retry, Err: errors.New("this channel is not set up here")}
	}
	to := l.Target
	if l.Channel == task.Push {
		_, to, _ = strings.Cut(to, ":")
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return provider.Send(ctx, notify.Message{
		ID: l.ID, Again: l.Attempts > 1 || l.LastError != "", TaskID: l.TaskID, UserID: l.UserID, To: to, Title: l.Title, Notes: l.Notes, DueDate: l.DueDate,
		Zone: preferences.Zone(l.TimeZone), Language: l.Language, Secrets: l.Secrets,
	})
}

// standing is where a delivery stands with an attempt.
type standing struct {
	round, rounds int  // which it is, and how many there may be
	more          bool // another provider is left in this round
}

func (f *Firer) standing(l *store.Leased) standing {
	s := standing{round: l.Round, rounds: f.cfg.MaxAttempts}
	if names := f.names[l.Channel]; l.Channel != task.Push && !l.ProviderFixed {
		i := slices.Index(names, l.Provider)
		s.more = i >= 0 && i < len(names)-1
	}
	return s
}

// next says what becomes of a delivery after an attempt that ended with err. asked is
// the shortest wait that a provider has asked for in this round: the next begins when
// the first of them may be ready.
func next(err error, s standing, asked time.Duration) (store.DeliveryState, time.Duration) {
	if err == nil {
		return store.Sent, 0
	}
	kind, _ := notify.KindOf(err)
	wait := max(asked, Backoff(s.round))
	switch {
	case kind == notify.Permanent:
		return store.Failed, 0
	case kind == notify.Retry && s.more:
		return store.Planned, 0 // the next provider's turn
	case s.round >= s.rounds:
		return store.Exhausted, 0
	case kind == notify.Unknown:
		return store.Unknown, wait
	default:
		return store.Planned, wait
	}
}
