// Package providers opens the channels that are configured, for the functions that
// send.
package providers

import (
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/notify/event"
	"github.com/duebell/duebell/shared/notify/sendgrid"
	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/unsubscribe"
)

// Config has the settings of every provider. One that lacks its key is not used.
type Config struct {
	SendGrid    sendgrid.Config
	Unsubscribe unsubscribe.Config
	Events      event.Config
}

// Open returns the external channels that there are; dapr publishes events. Nothing is
// connected before the first send.
func Open(cfg Config, dapr *jobs.Dapr) (map[task.Channel]reminder.Channel, error) {
	channels := map[task.Channel]reminder.Channel{}
	if cfg.SendGrid.Enabled() {
		email, err := sendgrid.New(cfg.SendGrid, cfg.Unsubscribe)
		if err != nil {
			return nil, err
		}
		channels[task.Email] = email
	}
	if cfg.Events.Enabled {
		channels[task.Event] = event.New(dapr)
	}
	return channels, nil
}
