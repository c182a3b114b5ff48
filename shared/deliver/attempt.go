package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/link"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/trace"
)

// attempt sends a leased delivery through its provider, and records how it ended. began is when the
// lease was asked for. asked are the waits that earlier providers of this round have asked for.
func (s *Sender) attempt(ctx context.Context, l *store.Leased, began time.Time, asked []time.Duration) result {
	leased := time.Now()
	// The lease would run out before the send could end, so another sender could send it at the
	// same time. Let it run out.
	if leased.Sub(began) > s.rules.Lease-s.rules.SendTimeout {
		slog.WarnContext(ctx, "a delivery is left: its lease came too late to be used", "delivery_id", l.ID)
		return result{lost: true}
	}
	ctx, end := trace.Continue(ctx, l.Trace, "deliver")
	defer end()

	if l.Quiet != nil {
		return s.hold(ctx, l)
	}
	if l.Agenda != nil {
		var err error
		if *l.Agenda, err = s.store.ReadAgenda(ctx, l.ID); err != nil {
			slog.WarnContext(ctx, "an agenda could not be read: its lease has to run out", "delivery_id", l.ID, "error", err)
			return result{lost: true}
		}
	}
	if l.Over != "" {
		return s.holdBack(ctx, l)
	}
	if l.Bundle != nil && len(l.Bundle.Members) == 0 || l.Agenda != nil && l.Agenda.Empty() { // nothing is left to tell
		return result{state: store.Cancelled, lost: s.settle(ctx, store.Ending{Of: l, State: store.Cancelled}, began) == metrics.Unrecorded}
	}
	if state, problem := s.barred(l); state != "" {
		return s.tellInstead(ctx, l, state, problem, began)
	}
	sendErr := s.send(ctx, l, leased.Add(s.rules.SendTimeout))
	took := time.Since(leased)
	metrics.SendTook(string(l.Channel), took)
	_, after := notify.KindOf(sendErr)
	asked = append(asked, after)
	ending := store.Ending{Of: l, Gone: notify.IsGone(sendErr)}
	ending.State, ending.Wait = next(sendErr, s.standing(l), slices.Min(asked))
	if sendErr != nil {
		ending.Error = fmt.Sprintf("%.500s", sendErr.Error())
	}
	if l.Test && ending.State != store.Sent && (ending.State != store.Planned || ending.Wait > 0) {
		ending.State, ending.Wait = store.Failed, 0 // the user waits for the result, and can try again
	}
	problem := ending.Error
	if stop := notify.StopOf(sendErr); stop != "" { // the user, who need not be the address's owner, is not told why
		ending.State, ending.Error, ending.Instead = store.SuppressedState, store.SuppressedProblem(time.Now().UTC()), inAppOf(l)
		ending.Stop, ending.Stopped = store.SuppressionReason(stop), s.rules.Suppression.Hashes(l.Channel, l.Target)
	}
	slog.InfoContext(ctx, "delivery tried", "delivery_id", l.ID, "task_id", l.TaskID, "channel", l.Channel, "provider", l.Provider,
		"attempt", l.Attempts, "state", ending.State, "error", problem)

	state := s.settle(ctx, ending, began)
	if len(ending.Instead) > 0 && state != metrics.Unrecorded {
		s.hint(ctx, l.UserID)
	}
	if l.Bundle != nil && ending.State == store.Sent {
		metrics.BundleSent(string(l.Channel), len(l.Bundle.Members))
	}
	return result{
		state: ending.State, wait: ending.Wait, asked: asked,
		hung: sendErr != nil && took >= s.rules.SendTimeout/2,
		lost: state == metrics.Unrecorded,
	}
}

// settle records and counts how an attempt ended. It returns the label that metrics count it by.
func (s *Sender) settle(ctx context.Context, ending store.Ending, began time.Time) (state string) {
	l := ending.Of
	state = string(ending.State)
	if err := s.record(ctx, ending, began); err != nil {
		slog.ErrorContext(ctx, "what became of a delivery could not be recorded: it will be sent again", "delivery_id", l.ID, "state", ending.State, "error", err)
		state = metrics.Unrecorded
	}
	metrics.Tried(string(l.Channel), state)
	return state
}

// barred returns the state, and the text for the delivery log, of a delivery that must not be sent
// to its address: the address is suppressed, text messages to its number are not allowed, or its
// grace is over. The state is "" if it may be sent.
func (s *Sender) barred(l *store.Leased) (state store.DeliveryState, problem string) {
	refusal := s.rules.Quota.Prefixes.Refuses(l.Channel, l.Target)
	switch {
	case l.SuppressedSince != nil:
		return store.SuppressedState, store.SuppressedProblem(*l.SuppressedSince)
	case refusal != "":
		return store.Refused, refusal
	case l.Unverified && !l.Withdrawn && l.Verification == nil:
		return store.Unverified, preferences.UnverifiedProblem
	default:
		return "", ""
	}
}

// tellInstead ends a barred delivery, and tells its reminder in-app.
func (s *Sender) tellInstead(ctx context.Context, l *store.Leased, state store.DeliveryState, problem string, began time.Time) result {
	ending := store.Ending{Of: l, State: state, Error: problem, Instead: inAppOf(l)}
	if state == store.Refused {
		metrics.OverQuota(string(l.Channel), "prefix")
	}
	slog.InfoContext(ctx, "delivery not tried: its address may not be written to", "delivery_id", l.ID, "task_id", l.TaskID, "channel", l.Channel, "state", ending.State)
	if s.settle(ctx, ending, began) == metrics.Unrecorded {
		return result{lost: true}
	}
	s.hint(ctx, l.UserID)
	return result{state: ending.State}
}

// inAppOf returns the in-app notification of a delivery's reminder, those of a bundle's members, or that of an agenda.
func inAppOf(l *store.Leased) (instead []store.Instead) {
	switch {
	case l.Agenda != nil && l.Agenda.Empty():
		return nil
	case l.Agenda != nil:
		title, body := notify.Message{Zone: preferences.Zone(l.TimeZone), Language: l.Language}.Tells(*l.Agenda).InApp()
		return []store.Instead{{DeliveryID: l.ID, Notification: store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: l.UserID, Title: title, Body: body}}}
	}
	for _, m := range members(l) {
		instead = append(instead, store.Instead{DeliveryID: m.DeliveryID, Notification: store.Notification{
			ID: uuid.Must(uuid.NewV7()), UserID: l.UserID, TaskID: m.TaskID, Title: m.Title, Occurrence: m.Occurrence, DueDate: m.DueDate,
			Body: notify.Message{DueDate: m.DueDate, Zone: preferences.Zone(l.TimeZone), Language: l.Language}.Due(),
		}})
	}
	return instead
}

// members returns the reminders of a delivery: its own, or those of its bundle.
func members(l *store.Leased) []store.Member {
	if l.Bundle != nil {
		return l.Bundle.Members
	}
	return []store.Member{{DeliveryID: l.ID, TaskID: l.TaskID, About: l.About}}
}

// hint tells the user's open inboxes that there may be something new.
func (s *Sender) hint(ctx context.Context, userID string) {
	if err := s.store.Hint(ctx, []string{userID}); err != nil {
		slog.DebugContext(ctx, "an inbox is told late", "error", err)
	}
}

// sentPatience is how long the sender tries to record that a delivery was sent, even after its
// lease has run out. While the database is away, no other sender can lease it.
const sentPatience = 5 * time.Minute

// record stores how a send ended, and retries if that fails. A delivery that was sent and is not
// recorded would be sent again, so this is retried for sentPatience. Anything else is retried until
// the lease runs out.
func (s *Sender) record(ctx context.Context, ending store.Ending, began time.Time) error {
	patience := s.rules.Lease - time.Since(began)
	if ending.State == store.Sent {
		patience = sentPatience
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 250*time.Millisecond // shorter than the time after which other senders look
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		record := s.endings.Do
		if ending.Lone() { // it waits for its user's row, which must not delay the others
			record = func(ctx context.Context, e ...store.Ending) error { return s.store.Finish(ctx, store.Alone, e...) }
		}
		err := record(ctx, ending)
		if err != nil && fault.CodeOf(err) != fault.CodeUnavailable {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(max(patience, 1))) // 0 would mean no limit
	return err
}

// send gives a delivery's message to its provider. The error is a *notify.Error.
func (s *Sender) send(ctx context.Context, l *store.Leased, deadline time.Time) error {
	provider := s.channels.provider(l.Channel, l.Provider)
	switch {
	case l.Round > s.rules.MaxAttempts:
		return &notify.Error{Kind: notify.Unknown, Err: errors.New("every sender died before it could record the result")}
	case l.Test && time.Since(l.CreatedAt) > testLasts:
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("it could not be sent within 5 minutes; try again")}
	case l.Verification != nil && l.Verification.Verified:
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("the address is verified already")}
	case l.Verification != nil && l.Verification.Refused:
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("the address's owner wants no such messages")}
	case l.Verification != nil && l.ProviderFixed:
		return errMayBeThere
	case l.Verification != nil && provider == nil:
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("this channel is not set up here")}
	case l.Withdrawn:
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("it is not in your preferences any more")}
	case provider == nil && l.ProviderFixed:
		return &notify.Error{Kind: notify.Retry, Err: fmt.Errorf("%s may have taken it before, so no other provider may be tried, and it is not set up here any more", l.Provider)}
	case provider == nil:
		return &notify.Error{Kind: notify.Retry, Err: errors.New("this channel is not set up here")}
	}
	to := l.Target
	if l.Channel == task.Push {
		_, to, _ = strings.Cut(to, ":")
	}
	var verification *notify.Verification
	if l.Verification != nil {
		if verification = s.links.Message(l.ID, l.Verification.AddressHash); verification == nil {
			return &notify.Error{Kind: notify.Permanent, Err: errors.New("addresses can't be verified here: PUBLIC_URL and VERIFY_KEY are not set")}
		}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	l, several := s.unpack(l)
	m := notify.Message{
		ID: l.ID, Again: l.Attempts > 1 || l.LastError != "", TaskID: l.TaskID, UserID: l.UserID, To: to, Title: l.Title, Notes: l.Notes, DueDate: l.DueDate, Occurrence: l.Occurrence,
		Zone: preferences.Zone(l.TimeZone), Language: l.Language, Secrets: l.Secrets, Links: s.linksOf(l), Subscription: l.Subscription,
		Verification: verification, Bundle: several,
	}
	switch {
	case l.Test:
		m = m.AsTest()
	case l.Agenda != nil:
		m = m.Tells(*l.Agenda)
	}
	err := provider.Send(ctx, m)
	if kind, _ := notify.KindOf(err); err != nil && verification != nil && kind == notify.Unknown {
		return errMayBeThere
	}
	return err
}

// unpack returns the reminders of a bundle for its message. For a bundle of one reminder it returns
// that reminder's own delivery. Other deliveries are returned as they are.
func (s *Sender) unpack(l *store.Leased) (_ *store.Leased, several []notify.Bundled) {
	if l.Bundle == nil {
		return l, nil
	}
	var one store.Leased
	of := l.Bundle.Distinct()
	for _, m := range of {
		one = *l
		one.ReminderID, one.Revision, one.TaskID, one.About = m.ReminderID, m.Revision, m.TaskID, m.About
		several = append(several, notify.Bundled{TaskID: m.TaskID, Title: m.Title, DueDate: m.DueDate, Links: s.linksOf(&one)})
	}
	if len(of) == 1 {
		return &one, nil
	}
	return l, several
}

// linksOf returns the links for a delivery's message. Events have none, since their subscribers are
// not the user. Webhooks have links if their user wants them.
func (s *Sender) linksOf(l *store.Leased) notify.Links {
	if l.ReminderID == uuid.Nil || l.Channel == task.Event || l.Channel == task.Webhook && !l.WebhookLinks {
		return notify.Links{}
	}
	now := time.Now()
	url := func(p link.Purpose) string {
		return s.rules.Links.URL(link.Link{Purpose: p, ReminderID: l.ReminderID, Revision: l.Revision, Series: l.Series, Occurrence: l.Local}, l.UserID, l.TaskID, now)
	}
	return notify.Links{Done: url(link.Done), Snooze: url(link.Snooze), Acknowledge: url(link.Acknowledge), Any: url(link.Any)}
}

// testLasts is how long a test message waits to be sent.
const testLasts = 5 * time.Minute

// errMayBeThere ends a verification that its provider may have taken. A reminder would be sent
// again, since it must not be lost. A verification must not exceed its limits, and its user can ask
// for another.
var errMayBeThere = &notify.Error{Kind: notify.Permanent, Err: errors.New("nobody knows whether it was sent, and it is not sent twice: its user can ask for another one")}

// standing is how far a delivery's rounds have come.
type standing struct {
	round, rounds int  // this round, and the most that are allowed
	more          bool // this round has another provider to try
}

func (s *Sender) standing(l *store.Leased) standing {
	st := standing{round: l.Round, rounds: s.rules.MaxAttempts}
	if names := s.names[l.Channel]; l.Channel != task.Push && !l.ProviderFixed {
		i := slices.Index(names, l.Provider)
		st.more = i >= 0 && i < len(names)-1
	}
	return st
}

// next returns a delivery's state after an attempt that ended with err, and the wait until the next
// attempt. asked is the shortest wait that a provider of this round has asked for: the next round
// begins when the first of them may be ready.
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
