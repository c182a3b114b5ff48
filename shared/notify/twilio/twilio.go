// Package twilio is the SMS channel through Twilio's Programmable Messaging:
// https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
package twilio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/sms"
)

// Config has the settings for Twilio. Without an account it is off.
type Config struct {
	AccountSID string        `env:"TWILIO_ACCOUNT_SID" help:"the account at Twilio, like AC and 32 digits; without it Twilio is not used"`
	AuthToken  config.Secret `env:"TWILIO_AUTH_TOKEN" help:"the account's token"`
	From       string        `env:"TWILIO_FROM" help:"the sender: a number of Twilio's like +15005550006, a name, or a messaging service like MG and 32 digits"`
	URL        string        `env:"TWILIO_URL" envDefault:"https://api.twilio.com" help:"Twilio's API"`
}

var (
	account = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	service = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	token   = regexp.MustCompile(`^[0-9a-zA-Z]+$`)
)

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.AccountSID != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	var problems []error
	if !account.MatchString(c.AccountSID) {
		problems = append(problems, errors.New("TWILIO_ACCOUNT_SID must be AC and 32 hexadecimal digits"))
	}
	if !token.MatchString(c.AuthToken.Reveal()) {
		problems = append(problems, errors.New("TWILIO_AUTH_TOKEN must be letters and digits"))
	}
	if c.From == "" {
		problems = append(problems, errors.New("TWILIO_FROM is missing: a number, a name, or a messaging service"))
	}
	return errors.Join(append(problems, notify.CheckURL("TWILIO_URL", c.URL))...)
}

// Channel sends SMS. It is safe for concurrent use.
type Channel struct {
	cfg    Config
	url    *url.URL
	client *http.Client
	report string
}

// New returns the channel. The configuration must be valid. report is the URL to which Twilio
// reports on messages; "" for no reports.
func New(cfg Config, report string) (*Channel, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("TWILIO_URL: %w", err)
	}
	return &Channel{cfg, u, notify.NewClient(), report}, nil
}

// Send sends one message to the number in m.To. The error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	call := notify.NewCall(c.client)
	caller := &client.Client{
		Credentials: client.NewCredentials(c.cfg.AccountSID, c.cfg.AuthToken.Reveal()),
		HTTPClient:  (&redirected{ctx, c.url, call}).client(),
	}
	caller.SetAccountSid(c.cfg.AccountSID)
	params := &openapi.CreateMessageParams{}
	params.SetTo(m.To).SetBody(sms.Text(m))
	if c.report != "" {
		params.SetStatusCallback(c.report + "?" + url.Values{notify.DeliveryName: {m.ID.String()}}.Encode())
	}
	if service.MatchString(c.cfg.From) {
		params.SetMessagingServiceSid(c.cfg.From)
	} else {
		params.SetFrom(c.cfg.From)
	}
	_, _ = openapi.NewApiService(&client.RequestHandler{Client: caller}).CreateMessage(params) // the call keeps the answer
	return outcome(call, c.cfg.AuthToken)
}

func outcome(call *notify.Call, secret config.Secret) error {
	_, body := call.Answer()
	var e struct {
		Code    int
		Message string
	}
	detail := "(no explanation)"
	if json.Unmarshal(body, &e) == nil && e.Message != "" {
		detail = fmt.Sprintf("%d %s", e.Code, e.Message)
	}
	err := call.Outcome(detail, secret)
	if failed, ok := errors.AsType[*notify.Error](err); ok && failed.Kind == notify.Permanent {
		switch {
		case ofTheAccount[e.Code]:
			failed.Kind = notify.Retry
		case e.Code == stopped:
			failed.Stop = notify.OwnerStopped
		}
	}
	return err
}

// stopped is the error for a number whose owner has sent STOP to the sender.
const stopped = 21610

// ofTheAccount are errors about the operator's account or number, and not about the message:
// https://www.twilio.com/docs/api/errors
var ofTheAccount = map[int]bool{
	10001: true, // account is not active
	20003: true, // wrong credentials, or no balance
	20429: true, // too many requests
	21212: true, // invalid sender
	21267: true, // a name as the sender, on a trial
	21408: true, // region not enabled
	21603: true, // no sender
	21606: true, // sender can't send SMS
	21608: true, // a trial sends to verified numbers only
	21611: true, // sender's queue is full
	21612: true, // sender can't send to this country
	21659: true, // sender is not Twilio's
	21660: true, // sender is of another account
	21661: true, // sender can't send SMS
	21701: true, // no such messaging service
	21703: true, // messaging service without senders
	21704: true, // messaging service without senders that fit
}

// redirected is a transport that replaces the address that is built into Twilio's library, and
// passes on a context, which that library does not take.
type redirected struct {
	ctx  context.Context //nolint:containedctx // lives as long as the request
	url  *url.URL
	call *notify.Call
}

func (t *redirected) client() *http.Client {
	c := t.call.Client()
	c.Transport = t
	return c
}

// RoundTrip implements http.RoundTripper.
func (t *redirected) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(t.ctx)
	r.URL.Scheme, r.URL.Host, r.Host = t.url.Scheme, t.url.Host, t.url.Host
	r.URL.Path = strings.TrimRight(t.url.Path, "/") + r.URL.Path
	return t.call.RoundTrip(r)
}
