// Package providers opens the channels that are configured, for the functions that
// send.
package providers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/duebell/duebell/shared/notify/email"
	"github.com/duebell/duebell/shared/notify/sendgrid"
	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/task"
)

// Config has the settings of every provider. One that lacks its key is not used.
type Config struct {
	EmailProviders []string `env:"EMAIL_PROVIDERS" help:"which providers carry e-mail, in the order in which they are tried; unset means all that are configured, in the order sendgrid"`
	Email          email.Config
	SendGrid       sendgrid.Config
}

// candidate is a provider that there could be.
type candidate struct {
	name    string
	enabled bool
	open    func() (reminder.Channel, error)
}

// emails are the providers of e-mail, in the order in which they are tried by default.
func (c Config) emails() []candidate {
	return []candidate{
		{"sendgrid", c.SendGrid.Enabled(), func() (reminder.Channel, error) { return sendgrid.New(c.SendGrid, c.Email) }},
	}
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	emails, err := choose("EMAIL_PROVIDERS", c.EmailProviders, c.emails())
	if len(emails) > 0 && c.Email.From == "" {
		err = errors.Join(err, errors.New("EMAIL_FROM is missing: every e-mail provider needs it, like Duebell <reminders@example.com>"))
	}
	return err
}

// Open returns the external channels that there are. Nothing is connected before
// the first send.
func Open(c Config) (reminder.Channels, error) {
	channels := reminder.Channels{}
	for channel, list := range map[task.Channel]struct {
		variable   string
		wanted     []string
		candidates []candidate
	}{
		task.Email: {"EMAIL_PROVIDERS", c.EmailProviders, c.emails()},
	} {
		chosen, err := choose(list.variable, list.wanted, list.candidates)
		if err != nil {
			return nil, err
		}
		for _, p := range chosen {
			opened, err := p.open()
			if err != nil {
				return nil, fmt.Errorf("open %s: %w", p.name, err)
			}
			channels[channel] = append(channels[channel], reminder.Provider{Name: p.name, Channel: opened})
		}
	}
	return channels, nil
}

// choose returns the providers that a variable names, in its order, or all that are
// enabled if it is not set.
func choose(variable string, wanted []string, candidates []candidate) (chosen []candidate, err error) {
	var names []string
	for _, c := range candidates {
		names = append(names, c.name)
		if len(wanted) == 0 && c.enabled {
			chosen = append(chosen, c)
		}
	}
	for i, name := range wanted {
		name = strings.TrimSpace(name)
		at := slices.Index(names, name)
		switch {
		case at < 0:
			err = errors.Join(err, fmt.Errorf("%s must be a list of %s, separated by commas, not %.40q", variable, strings.Join(names, ", "), name))
		case slices.Contains(wanted[:i], name):
			err = errors.Join(err, fmt.Errorf("%s must name %s only once", variable, name))
		case !candidates[at].enabled:
			err = errors.Join(err, fmt.Errorf("%s must not name %s: its own settings are missing", variable, name))
		default:
			chosen = append(chosen, candidates[at])
		}
	}
	return chosen, err
}
