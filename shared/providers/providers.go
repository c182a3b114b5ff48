// Package providers says which channels are configured, for the functions that plan
// deliveries, and opens them, for the one that sends.
package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/aws"
	"github.com/duebell/duebell/shared/notify/email"
	"github.com/duebell/duebell/shared/notify/event"
	"github.com/duebell/duebell/shared/notify/fcm"
	"github.com/duebell/duebell/shared/notify/onesignal"
	"github.com/duebell/duebell/shared/notify/sendgrid"
	"github.com/duebell/duebell/shared/notify/ses"
	"github.com/duebell/duebell/shared/notify/smtp"
	"github.com/duebell/duebell/shared/notify/sns"
	"github.com/duebell/duebell/shared/notify/twilio"
	"github.com/duebell/duebell/shared/notify/webhook"
	"github.com/duebell/duebell/shared/notify/webpush"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/trace"
)

// Config has the settings of every provider. One that lacks its key is not used.
type Config struct {
	EmailProviders []string `env:"EMAIL_PROVIDERS" help:"the providers for e-mail, in the order in which they are tried; unset: all that are configured, in the order sendgrid, ses, smtp"`
	SMSProviders   []string `env:"SMS_PROVIDERS" help:"the same for SMS; in the order twilio, sns"`
	Email          email.Config
	SendGrid       sendgrid.Config
	AWS            aws.Config
	SES            ses.Config
	SMTP           smtp.Config
	FCM            fcm.Config
	OneSignal      onesignal.Config
	WebPush        webpush.Config
	Twilio         twilio.Config
	SNS            sns.Config
	Webhook        preferences.Rules
	Events         event.Config
}

// candidate is a provider that there could be.
type candidate struct {
	name    string
	enabled bool
}

// list is what may carry a channel: the candidates, in the order in which they are
// tried by default, and which of them are wanted, by a variable. Without a variable
// there is nothing to choose.
type list struct {
	variable   string
	wanted     []string
	candidates []candidate
}

func (c Config) lists() map[task.Channel]list {
	return map[task.Channel]list{
		task.Email: {"EMAIL_PROVIDERS", c.EmailProviders, []candidate{{"sendgrid", c.SendGrid.Enabled()}, {"ses", c.SES.Enabled()}, {"smtp", c.SMTP.Enabled()}}},
		task.SMS:   {"SMS_PROVIDERS", c.SMSProviders, []candidate{{"twilio", c.Twilio.Enabled()}, {"sns", c.SNS.Enabled()}}},
		// Each device belongs to one of them.
		task.Push: {"", nil, []candidate{
			{"fcm", c.FCM.Enabled()}, {"onesignal", c.OneSignal.Enabled()}, {preferences.WebPush, c.WebPush.Enabled()},
		}},
		task.Webhook: {"", nil, []candidate{{"webhook", true}}}, // which needs no provider
		task.Event:   {"", nil, []candidate{{"dapr", c.Events.Enabled}}},
	}
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	lists := c.lists()
	emails, err := lists[task.Email].choose()
	if len(emails) > 0 && c.Email.From == "" {
		err = errors.Join(err, errors.New("EMAIL_FROM is missing: every e-mail provider needs it, like Duebell <reminders@example.com>"))
	}
	_, smsErr := lists[task.SMS].choose()
	return errors.Join(err, smsErr)
}

// Names returns the external channels that there are, each with the names of its providers
// in the order in which they are tried.
func (c Config) Names() (fire.Channels, error) {
	channels := fire.Channels{}
	for channel, l := range c.lists() {
		chosen, err := l.choose()
		if err != nil {
			return nil, err
		}
		for _, p := range chosen {
			channels[channel] = append(channels[channel], p.name)
		}
	}
	return channels, nil
}

// Open opens the external channels that there are; dapr publishes events. Nothing is
// connected before the first send.
func Open(c Config, dapr *jobs.Dapr) (deliver.Channels, error) {
	names, err := c.Names()
	if err != nil {
		return nil, err
	}
	channels := deliver.Channels{}
	for channel, providers := range names {
		for _, name := range providers {
			opened, err := c.open(name, dapr)
			if err != nil {
				return nil, fmt.Errorf("open %s: %w", name, err)
			}
			channels[channel] = append(channels[channel], deliver.Provider{Name: name, Channel: traced{opened, channel, name}})
		}
	}
	return channels, nil
}

// open opens a provider. It is a switch and no table, so that what only names providers is
// not linked with their SDKs.
func (c Config) open(name string, dapr *jobs.Dapr) (deliver.Channel, error) {
	switch name {
	case "sendgrid":
		return sendgrid.New(c.SendGrid, c.Email)
	case "ses":
		return ses.New(c.SES, c.AWS, c.Email)
	case "smtp":
		return smtp.New(c.SMTP, c.Email)
	case "twilio":
		return twilio.New(c.Twilio, c.reportURL("twilio"))
	case "sns":
		return sns.New(c.SNS, c.AWS)
	case "fcm":
		return fcm.New(c.FCM)
	case "onesignal":
		return onesignal.New(c.OneSignal)
	case preferences.WebPush:
		return webpush.New(c.WebPush, c.Webhook)
	case "webhook":
		return webhook.New(c.Webhook), nil
	case "dapr":
		return event.New(dapr), nil
	default:
		return nil, errors.New("there is no such provider")
	}
}

// reportURL is where a provider is to report, "" if that is not known.
func (c Config) reportURL(provider string) string {
	if c.Email.Unsubscribe.PublicURL == "" {
		return ""
	}
	return strings.TrimRight(c.Email.Unsubscribe.PublicURL, "/") + notify.ReportPath(provider)
}

// traced is a channel each of whose sends is a span.
type traced struct {
	deliver.Channel
	channel  task.Channel
	provider string
}

// Send implements deliver.Channel.
func (t traced) Send(ctx context.Context, m notify.Message) error {
	about := map[string]string{"duebell.provider": t.provider, "duebell.delivery_id": m.ID.String(), "duebell.task_id": m.TaskID.String()}
	return trace.Do(ctx, "send "+string(t.channel), about, func(ctx context.Context) error { return t.Channel.Send(ctx, m) })
}

// choose returns the providers that are wanted, in that order, or all that are enabled
// if nothing is said.
func (l list) choose() (chosen []candidate, err error) {
	var names []string
	for _, c := range l.candidates {
		names = append(names, c.name)
		if len(l.wanted) == 0 && c.enabled {
			chosen = append(chosen, c)
		}
	}
	for i, name := range l.wanted {
		name = strings.TrimSpace(name)
		at := slices.Index(names, name)
		switch {
		case at < 0:
			err = errors.Join(err, fmt.Errorf("%s must be a list of %s, separated by commas, not %.40q", l.variable, strings.Join(names, ", "), name))
		case slices.Contains(l.wanted[:i], name):
			err = errors.Join(err, fmt.Errorf("%s must name %s only once", l.variable, name))
		case !l.candidates[at].enabled:
			err = errors.Join(err, fmt.Errorf("%s must not name %s: its own settings are missing", l.variable, name))
		default:
			chosen = append(chosen, l.candidates[at])
		}
	}
	return chosen, err
}
