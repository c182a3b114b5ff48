// Package event is the channel that publishes each fired reminder as an event. Subscribers of the
// topic get it. Users can neither choose it nor switch it off.
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

// Config says whether events are published.
type Config struct {
	Enabled bool `env:"EVENTS_ENABLED" envDefault:"true" help:"publish every fired reminder as an event, on the topic task-reminders of Dapr's pub/sub component kafka-pubsub; false where there is no such component"`
}

// mostTogether is how many events one call to Dapr publishes. With the longest titles they take a
// tenth of what a call may carry.
const mostTogether = 100

// Channel publishes events. It is safe for concurrent use.
type Channel struct {
	dapr   *jobs.Dapr
	firsts together.Group[*sending] // groups events in their first attempt
}

// New returns the channel. The caller closes dapr.
func New(dapr *jobs.Dapr) *Channel {
	c := &Channel{dapr: dapr}
	c.firsts.Call, c.firsts.Most = c.publish, mostTogether
	return c
}

// sending is an event that waits to be published.
type sending struct {
	event     jobs.Event
	half, end time.Time // half of its time, and all of it; zero: no deadline
	err       error     // the result
}

// Send publishes an event with the id m.ID. Events in their first attempt share a call. One that
// has failed before gets a call of its own, since it may be why the others failed. The error is a
// *notify.Error and never permanent: what is missing may be set up later.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	s := &sending{event: jobs.Event{ID: m.ID.String(), Trace: trace.Parent(ctx), Data: events.Reminder{
		TaskID: m.TaskID, UserID: m.UserID, TaskTitle: m.Title, DueDate: m.DueDate, Occurrence: m.Occurrence,
	}}}
	if end, ok := ctx.Deadline(); ok {
		// The call ends a tenth earlier than our deadline, so that we learn its result.
		left := time.Until(end)
		s.half, s.end = time.Now().Add(left/2), end.Add(-left/10)
	}
	publish := c.firsts.Do
	if m.Again {
		publish = func(ctx context.Context, alone ...*sending) error { return c.publish(ctx, alone) }
	}
	err := publish(ctx, s)
	if err == nil { // otherwise the call may still be running
		err = s.err
	}
	// Users read this text, so it leaves out daprd's details of the operator's network.
	switch code := status.Code(err); {
	case err == nil:
		return nil
	case errors.Is(err, jobs.ErrNotPublished):
		return &notify.Error{Kind: notify.Retry, Err: fmt.Errorf("events can't be published at the moment (%s)", code)}
	default:
		return &notify.Error{Kind: notify.Unknown, Err: fmt.Errorf("the broker did not say that it has the event (%s)", code)}
	}
}

// publish makes one call for several events, with the earliest of their deadlines. It leaves out
// events that have waited for half of their time, which would leave too little for the call.
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
