// Package sendgrid is the e-mail channel through Twilio SendGrid's v3 mail/send
// API: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
package sendgrid

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/sendgrid/rest"
	sg "github.com/sendgrid/sendgrid-go"
	sgmail "github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/email"
)

// Config has the settings for SendGrid. Without an API key it is off.
type Config struct {
	APIKey config.Secret `env:"SENDGRID_API_KEY" help:"SendGrid's API key; without it SendGrid is not used"`
	URL    string        `env:"SENDGRID_URL" envDefault:"https://api.sendgrid.com" help:"SendGrid's API; https://api.eu.sendgrid.com for EU accounts"`
}

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.APIKey != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	return notify.CheckURL("SENDGRID_URL", c.URL)
}

// Channel sends e-mail. It is safe for concurrent use.
type Channel struct {
	cfg    Config
	mail   email.Config
	client rest.Client
}

// New returns the channel. Both configurations must be valid.
func New(cfg Config, mail email.Config) (*Channel, error) {
	return &Channel{cfg: cfg, mail: mail, client: rest.Client{HTTPClient: notify.NewClient()}}, nil
}

// Send sends one message to the address in m.To. The error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	mail, err := c.mail.Write(m)
	if err != nil {
		return &notify.Error{Kind: notify.Permanent, Err: err}
	}
	req := sg.GetRequest(c.cfg.APIKey.Reveal(), "/v3/mail/send", strings.TrimRight(c.cfg.URL, "/"))
	req.Method, req.Body = rest.Post, body(mail, m.ID)
	resp, err := c.client.SendWithContext(ctx, req)
	if err != nil {
		return notify.FromTransport(err)
	}
	return notify.FromStatus(resp.StatusCode, resp.Headers, explain(resp.Body), time.Now(), c.cfg.APIKey)
}

func body(mail email.Mail, id uuid.UUID) []byte {
	msg := sgmail.NewV3MailInit(sgmail.NewEmail(mail.From.Name, mail.From.Address), mail.Subject, sgmail.NewEmail("", mail.To),
		sgmail.NewContent("text/plain", mail.Text), sgmail.NewContent("text/html", mail.HTML))
	for name, value := range mail.Headers {
		msg.SetHeader(name, value)
	}
	// SendGrid's events have it. It also tells a message that was sent again from a second
	// reminder.
	msg.SetCustomArg(notify.DeliveryName, id.String())
	return sgmail.GetRequestBody(msg)
}

// explain returns the messages in the body of an error.
func explain(body string) string {
	var e struct {
		Errors []struct{ Message, Field string }
	}
	if json.Unmarshal([]byte(body), &e) != nil || len(e.Errors) == 0 {
		return "(no explanation)"
	}
	var out []string
	for _, each := range e.Errors {
		out = append(out, strings.TrimSpace(each.Field+" "+each.Message))
	}
	return strings.Join(out, "; ")
}
