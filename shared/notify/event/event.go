// Package event is the channel that publishes a fired reminder as an event, for whoever
// subscribes to the topic. Users can neither choose nor forbid it.
package event

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/status"

	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/together"
	"github.com/duebell/duebell/shared/trace"
)

// Config says whether there are events.
type Config struct {
	Enabled bool `env:"EVENTS_ENABLED" envDefault:"true" help:"publish every fired reminder as an event, on the topic task-reminders of Dapr's pub/sub component kafka-pubsub; false where there is no such component"`
}

// mostTogether is how many events go to Dapr in one call: with the longest titles that is
// a tenth of what it takes.
const mostTogether = 100

// Channel publishes events. It is safe for concurrent use.
type Channel struct {
	dapr   *jobs.Dapr
	firsts together.Group[*sending] // events' first attempts
}

// New makes the channel. Its caller closes dapr.
func New(dapr *jobs.Dapr) *Channel {
	c := &Channel{dapr: dapr}
	c.firsts.Call, c.firsts.Most = c.publish, mostTogether
	return c
}

// sending is the wish to publish an event.
type sending struct {
	event     jobs.Event
	half, end time.Time // of the time that a call may take for it; zero: it may take any
	err       error     // what came of it
}

// Send publishes one event, whose id is m.ID, in one call with others that are published
// for the first time now. One that has failed before goes alone: it may be what the others
// failed by. The error is a *notify.Error, and never permanent: what is missing may be set up later.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	s := &sending{event: jobs.Event{ID: m.ID.String(), Trace: trace.Parent(ctx), Data: events.Reminder{
		TaskID: m.TaskID, UserID: m.UserID, TaskTitle: m.Title, DueDate: m.DueDate, Occurrence: m.Occurrence,
	}}}
	if end, ok := ctx.Deadline(); ok {
		// The call ends a tenth earlier, so that what came of it is known while we still wait.
		left := time.Until(end)
		s.half, s.end = time.Now().Add(left/2), end.Add(-left/10)
	}
	publish := c.firsts.Do
	if m.Again {
		publish = func(ctx context.Context, alone ...*sending) error { return c.publish(ctx, alone) }
	}
	err := publish(ctx, s)
	if err == nil { // otherwise the call may still be under way
		err = s.err
	}
	// Users read the text: what daprd says of the operator's network is not for them.
	switch code := status.Code(err); {
	case err == nil:
		return nil
	case errors.Is(err, jobs.ErrNotPublished):
		return &notify.Error{Kind: notify.Retry, Err: fmt.Errorf("events can't be published at the moment (%s)", code)}
	default:
		return &notify.Error{Kind: notify.Unknown, Err: fmt.Errorf("the broker did not say that it has the event (%s)", code)}
	}
}

// publish makes one call for all. It may take as long as each of them has, so those that
// have waited for half of their time are left out: they would leave the others too little.
func (c *Channel) publish(ctx context.Context, all []*sending) error {
	var ready []*sending
	var published []jobs.Event
	var ends []time.Time
	for _, s := range all {
		if !s.end.IsZero() {
			if time.Now().After(s.half) {
				s.err = fmt.Errorf("%w: %w", jobs.ErrNotPublished, status.FromContextError(context.DeadlineExceeded).Err())
				continue
			}
			ends = append(ends, s.end)
		}
		ready, published = append(ready, s), append(published, s.event)
	}
	if len(ready) == 0 {
		return nil
	}
	if len(ends) > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, slices.MinFunc(ends, time.Time.Compare))
		defer cancel()
	}
	err := c.dapr.PublishAll(ctx, events.Topic, published...)
	for _, s := range ready {
		s.err = err
	}
	return nil
}
