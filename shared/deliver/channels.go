package deliver

import (
	"context"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/task"
)

// Channel sends a message, and never retries. [notify.KindOf] says what its error means for the
// next attempt.
type Channel interface {
	Send(ctx context.Context, m notify.Message) error
}

// Provider is one way to send on a channel.
type Provider struct {
	Name string
	Channel
}

// Channels are the configured external channels, each with its providers in the order in which they
// are tried. A push message goes to the provider of its device.
type Channels map[task.Channel][]Provider

// provider returns a channel's provider by its name, nil if there is none.
func (c Channels) provider(channel task.Channel, name string) Channel {
	for _, p := range c[channel] {
		if p.Name == name {
			return p.Channel
		}
	}
	return nil
}

// Names returns the names of each channel's providers, in their order.
func (c Channels) Names() map[task.Channel][]string {
	names := map[task.Channel][]string{}
	for channel, providers := range c {
		for _, p := range providers {
			names[channel] = append(names[channel], p.Name)
		}
	}
	return names
}
