// Package reports reads what providers report about messages that they have taken. It checks
// that a report is from the provider, and says what it means. It stores nothing.
//
// Each provider signs in its own way, so each has a file of its own. A report that is not signed,
// is signed by somebody else, or was changed on the way is refused. Old
// reports are taken: providers repeat for hours what was not taken, and a repeated event
// counts once.
package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// MaxBody is how many bytes a report may have: more than any provider sends at once.
const MaxBody = 1 << 20

// Config says how reports are verified. Reports of a provider whose
// variable is not set are refused.
type Config struct {
	SendGridKey string        `env:"SENDGRID_EVENTS_KEY" help:"the public key of SendGrid's Event Webhook, as its page shows it; without it SendGrid's reports are refused"`
	Topics      []string      `env:"SES_EVENTS_TOPICS" help:"the ARNs of the SNS topics on which Amazon SES reports, with commas between; without them its reports are refused"`
	TwilioToken config.Secret `env:"TWILIO_AUTH_TOKEN" help:"the account's token"`
	PublicURL   string        `env:"PUBLIC_URL" help:"the URL at which recipients and providers reach Duebell's API, like https://api.example.com, for the links in messages and Twilio's reports"`
	// FetchFrom replaces Amazon's addresses in the local system.
	FetchFrom string `env:"SES_EVENTS_URL" help:"the server for SNS's certificates and confirmations instead of sns.REGION.amazonaws.com: an http URL of this machine; for development"`
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	var problems []error
	if _, err := c.sendGridKey(); c.SendGridKey != "" && err != nil {
		problems = append(problems, errors.New("SENDGRID_EVENTS_KEY must be a public key as SendGrid shows it: the base64 of an ECDSA key"))
	}
	for _, topic := range c.Topics {
		if !topicARN.MatchString(strings.TrimSpace(topic)) {
			problems = append(problems, fmt.Errorf("SES_EVENTS_TOPICS must be a list of ARNs like arn:aws:sns:eu-central-1:123456789012:duebell, separated by commas, not %.60q", topic))
		}
	}
	if c.FetchFrom != "" && !isLocal(c.FetchFrom) {
		problems = append(problems, errors.New("SES_EVENTS_URL must be an http URL of this machine; it is for development only"))
	}
	return errors.Join(problems...)
}

func isLocal(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.User != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// Reader reads reports. It is safe for concurrent use.
type Reader struct {
	cfg     Config
	amazon  *http.Client
	signers signers
}

// NewReader makes a Reader. The configuration must be valid. client fetches Amazon's
// certificates; only tests use another one than NewClient's.
func NewReader(cfg Config, client *http.Client) *Reader {
	return &Reader{cfg: cfg, amazon: client, signers: signers{fetching: make(chan struct{}, 1)}}
}

// Request is a report as it came.
type Request struct {
	Header http.Header
	Query  string // the raw query of its URL
	Body   []byte
}

// Read returns what a provider reports. The error is a fault: not_found if its reports are
// not set up, forbidden if the report is not from the provider, invalid if it is and can't be read,
// unavailable if this can't be checked now.
func (r *Reader) Read(ctx context.Context, provider string, in Request) ([]store.Report, error) {
	switch provider {
	case "sendgrid":
		return r.sendGrid(in)
	case "ses":
		return r.ses(ctx, in)
	case "twilio":
		return r.twilio(in)
	default:
		return nil, fault.NotFound("there is no such provider")
	}
}

// NotSetUp says which setting is missing for a provider's reports.
func NotSetUp(variable string) error {
	return fault.NotFound("these reports are not set up here: whoever runs this installation has to set %s", variable)
}

// forged is the answer to a report that is not from the provider. The reason is only logged.
func forged(why string, args ...any) error {
	return &fault.Error{Code: fault.CodeForbidden, Message: "this report is not signed by its provider", Err: fmt.Errorf(why, args...)}
}

// id returns the delivery that a report names, or uuid.Nil if it names none of ours.
func id(named string) uuid.UUID {
	if len(named) != 36 {
		return uuid.Nil
	}
	parsed, _ := uuid.Parse(named) //nolint:errcheck // then it is none
	return parsed
}

// decode reads JSON of which only some members matter.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fault.Invalid("the report is not JSON as its provider describes it")
	}
	return nil
}

var topicARN = regexp.MustCompile(`^arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}$`)
