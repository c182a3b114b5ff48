// Package event is the channel that publishes a fired reminder as an event, for whoever
// subscribes to the topic. Users can neither choose nor forbid it.
package event

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/status"

	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/notify"
)

// Config says whether there are events.
type Config struct {
	Enabled bool `env:"EVENTS_ENABLED" envDefault:"true" help:"publish every fired reminder as an event, on the topic task-reminders of Dapr's pub/sub component kafka-pubsub; false where there is no such component"`
}

// Channel publishes events. It is safe for concurrent use.
type Channel struct{ dapr *jobs.Dapr }

// New makes the channel. Its caller closes dapr.
func New(dapr *jobs.Dapr) *Channel { return &Channel{dapr} }

// Send publishes one event, whose id is m.ID. The error is a *notify.Error, and never
// permanent: what is missing may be set up later.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	err := c.dapr.Publish(ctx, events.Topic, m.ID.String(), events.Reminder{
		TaskID: m.TaskID, UserID: m.UserID, TaskTitle: m.Title, DueDate: m.DueDate,
	})
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
