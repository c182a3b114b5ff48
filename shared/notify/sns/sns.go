// Package sns is the SMS channel through Amazon SNS:
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
package sns

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/aws"
	"github.com/duebell/duebell/shared/notify/sms"
)

// Config has the settings for SNS. Without a region it is off.
type Config struct {
	Region   string `env:"SNS_REGION" help:"the region of Amazon SNS, like eu-central-1; without it SNS is not used"`
	SenderID string `env:"SNS_SENDER_ID" help:"the sender that phones show, up to 11 letters and digits, where the country allows one"`
	URL      string `env:"SNS_URL" help:"SNS's API; unset means that of the region"`
}

var senderID = regexp.MustCompile(`^[A-Za-z0-9-]{1,11}$`)

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.Region != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	var problems []error
	if c.SenderID != "" && !senderID.MatchString(c.SenderID) {
		problems = append(problems, errors.New("SNS_SENDER_ID must be 1 to 11 letters, digits and hyphens"))
	}
	if c.URL != "" {
		problems = append(problems, notify.CheckURL("SNS_URL", c.URL))
	}
	return errors.Join(problems...)
}

// Channel sends SMS. It is safe for concurrent use.
type Channel struct {
	account  aws.Config
	senderID string
	client   *http.Client
	sns      *sns.Client
}

// New returns the channel. The configurations must be valid.
func New(cfg Config, account aws.Config) (*Channel, error) {
	opened, err := aws.Open(account, cfg.Region, cfg.URL)
	if err != nil {
		return nil, err
	}
	return &Channel{account, cfg.SenderID, notify.NewClient(), sns.NewFromConfig(opened)}, nil
}

// Send sends one message to the number in m.To. The error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	attributes := map[string]types.MessageAttributeValue{
		"AWS.SNS.SMS.SMSType": text("Transactional"), // reliably, and at once
		"delivery_id":         text(m.ID.String()),   // for finding the request in logs
	}
	if c.senderID != "" {
		attributes["AWS.SNS.SMS.SenderID"] = text(c.senderID)
	}
	call := notify.NewCall(c.client)
	_, err := c.sns.Publish(ctx, &sns.PublishInput{PhoneNumber: &m.To, Message: sdk.String(sms.Text(m)), MessageAttributes: attributes},
		func(o *sns.Options) { o.HTTPClient = call })
	outcome := c.account.Outcome(call, err, func(smithy.APIError) bool { return false })
	if failed, ok := errors.AsType[*notify.Error](outcome); ok && failed.Kind == notify.Permanent {
		if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "OptedOut" {
			failed.Stop = notify.OwnerStopped
		}
	}
	return outcome
}

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: sdk.String("String"), StringValue: &s}
}
