// Package ses is the e-mail channel through Amazon SES's API v2:
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
package ses

import (
	"context"
	"net/http"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/aws"
	"github.com/duebell/duebell/shared/notify/email"
)

// Config has the settings for SES. Without a region it is off.
type Config struct {
	Region string `env:"SES_REGION" help:"the region of Amazon SES, like eu-central-1; without it SES is not used"`
	URL    string `env:"SES_URL" help:"SES's API; unset means that of the region"`
}

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.Region != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if c.URL == "" {
		return nil
	}
	return notify.CheckURL("SES_URL", c.URL)
}

// Channel sends e-mail. It is safe for concurrent use.
type Channel struct {
	account aws.Config
	mail    email.Config
	client  *http.Client
	ses     *sesv2.Client
}

// New returns the channel. The configurations must be valid.
func New(cfg Config, account aws.Config, mail email.Config) (*Channel, error) {
	opened, err := aws.Open(account, cfg.Region, cfg.URL)
	if err != nil {
		return nil, err
	}
	return &Channel{account, mail, notify.NewClient(), sesv2.NewFromConfig(opened)}, nil
}

// Send sends one message to the address in m.To. The error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	mail, err := c.mail.Write(m)
	if err != nil {
		return &notify.Error{Kind: notify.Permanent, Err: err}
	}
	call := notify.NewCall(c.client)
	_, err = c.ses.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: sdk.String(mail.From.String()),
		Destination:      &types.Destination{ToAddresses: []string{mail.To}},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: text(mail.Subject),
			Body:    &types.Body{Text: text(mail.Text), Html: text(mail.HTML)},
			Headers: headers(mail.Headers),
		}},
		// SES's events have it. It also tells a message that was sent again from a second reminder.
		EmailTags: []types.MessageTag{{Name: sdk.String(notify.DeliveryName), Value: sdk.String(m.ID.String())}},
	}, func(o *sesv2.Options) { o.HTTPClient = call })
	return c.account.Outcome(call, err, ofTheAccount)
}

func text(s string) *types.Content { return &types.Content{Data: &s, Charset: sdk.String("UTF-8")} }

func headers(of map[string]string) (list []types.MessageHeader) {
	for name, value := range of {
		list = append(list, types.MessageHeader{Name: &name, Value: &value})
	}
	slices.SortFunc(list, func(a, b types.MessageHeader) int { return strings.Compare(*a.Name, *b.Name) })
	return list
}

// ofTheAccount reports whether an error is about the operator's account and not about the message.
func ofTheAccount(e smithy.APIError) bool {
	switch e.ErrorCode() {
	case "AccountSuspendedException", "SendingPausedException", "MailFromDomainNotVerifiedException":
		return true
	case "MessageRejected":
		return strings.HasPrefix(e.ErrorMessage(), "Email address is not verified")
	}
	return false
}
