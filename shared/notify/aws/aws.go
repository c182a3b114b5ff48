// Package aws has the settings that channels on Amazon Web Services share.
package aws

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
)

// Config has the credentials for AWS.
type Config struct {
	AccessKeyID     string        `env:"AWS_ACCESS_KEY_ID" help:"the id of the key for Amazon SES and SNS; unset: a web identity, or the role of the container or machine"`
	SecretAccessKey config.Secret `env:"AWS_SECRET_ACCESS_KEY" help:"the key itself"`
	SessionToken    config.Secret `env:"AWS_SESSION_TOKEN" help:"the session token of a temporary key"`
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		return errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together")
	}
	return nil
}

// Open returns the settings for a service in a region. baseURL replaces the service's own address,
// unless it is "". Open connects to nothing. The library sends each request once, since the caller
// retries.
func Open(c Config, region, baseURL string) (aws.Config, error) {
	var opened aws.Config
	if c.AccessKeyID != "" {
		opened.Credentials = aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey.Reveal(), c.SessionToken.Reveal()))
	} else {
		var err error
		if opened, err = awsconfig.LoadDefaultConfig(context.Background()); err != nil {
			return aws.Config{}, err
		}
	}
	opened.Region = region
	opened.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	if baseURL != "" {
		opened.BaseEndpoint = &baseURL
	}
	return opened, nil
}

// Outcome returns what a call means whose library returned err. Error codes for which
// notOfTheMessage is true mean Retry, whatever their status: they say nothing about the message.
func (c Config) Outcome(call *notify.Call, err error, notOfTheMessage func(smithy.APIError) bool) error {
	detail := "(no explanation)"
	api, explained := errors.AsType[smithy.APIError](err)
	if explained && api.ErrorMessage() != "" {
		detail = api.ErrorCode() + ": " + api.ErrorMessage()
		// An error about a signature quotes what was signed. That may have secrets that we can't
		// mask, such as a role's session token.
		if ofNoMessage[api.ErrorCode()] || strings.Contains(api.ErrorCode(), "Signature") {
			detail = api.ErrorCode()
		}
	}
	outcome := call.Outcome(detail, c.SecretAccessKey, c.SessionToken)
	if failed, ok := errors.AsType[*notify.Error](outcome); ok && failed.Kind == notify.Permanent && explained && (ofNoMessage[api.ErrorCode()] || notOfTheMessage(api)) {
		failed.Kind = notify.Retry
	}
	return outcome
}

// ofNoMessage are codes for too many requests and for wrong keys. They may come with status 400:
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html
var ofNoMessage = map[string]bool{
	"Throttling": true, "ThrottlingException": true, "Throttled": true, "TooManyRequestsException": true, "LimitExceededException": true,
	"AccessDeniedException": true, "NotAuthorized": true, "IncompleteSignature": true, "UnrecognizedClientException": true,
	"RequestExpired": true, "ExpiredTokenException": true, "ExpiredToken": true,
}
