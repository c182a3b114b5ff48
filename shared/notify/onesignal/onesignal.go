// Package onesignal is the push channel through OneSignal:
// https://documentation.onesignal.com/reference/push-notification
package onesignal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/push"
)

// Config says how to send through OneSignal. Without an app it is not used.
type Config struct {
	AppID  string        `env:"ONESIGNAL_APP_ID" help:"the app at OneSignal, a UUID; without it OneSignal is not used"`
	APIKey config.Secret `env:"ONESIGNAL_API_KEY" help:"the app's API key"`
	URL    string        `env:"ONESIGNAL_URL" envDefault:"https://api.onesignal.com" help:"OneSignal's API"`
}

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.AppID != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	var problems []error
	if _, err := uuid.Parse(c.AppID); err != nil {
		problems = append(problems, errors.New("ONESIGNAL_APP_ID must be a UUID"))
	}
	if c.APIKey == "" {
		problems = append(problems, errors.New("ONESIGNAL_API_KEY is missing: the app's API key"))
	}
	return errors.Join(append(problems, notify.CheckURL("ONESIGNAL_URL", c.URL))...)
}

// Channel sends push messages. It is safe for concurrent use.
type Channel struct {
	cfg    Config
	client *http.Client
}

// New makes the channel. The configuration must be valid.
func New(cfg Config) (*Channel, error) { return &Channel{cfg, notify.NewClient()}, nil }

// notification has the fields that are sent. Every message is in the user's own
// language already: English stands for any.
type notification struct {
	AppID                  string            `json:"app_id"`
	TargetChannel          string            `json:"target_channel"`
	IncludeSubscriptionIDs []string          `json:"include_subscription_ids"`
	Headings               map[string]string `json:"headings"`
	Contents               map[string]string `json:"contents"`
	Data                   map[string]string `json:"data"`
	Priority               int               `json:"priority"`
	// CollapseID makes a repeated message take the place of the first one.
	CollapseID string `json:"collapse_id"`
	// IdempotencyKey makes OneSignal send a message once, however often it is told.
	IdempotencyKey string `json:"idempotency_key"`
}

// Send sends one message to the subscription in m.To. The error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	title, text, id := plain(push.Title(m)), plain(push.Body(m)), m.ID.String()
	body, err := json.Marshal(notification{
		AppID: c.cfg.AppID, TargetChannel: "push", IncludeSubscriptionIDs: []string{m.To},
		Headings: map[string]string{"en": title}, Contents: map[string]string{"en": cmp.Or(text, title)},
		Data: map[string]string{"task_id": m.Task()}, Priority: 10, CollapseID: id, IdempotencyKey: id,
	})
	if err != nil {
		return &notify.Error{Kind: notify.Permanent, Err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.cfg.URL, "/")+"/notifications", bytes.NewReader(body))
	if err != nil {
		return &notify.Error{Kind: notify.Retry, Err: errors.New("ONESIGNAL_URL is wrong")}
	}
	request.Header.Set("Authorization", "Key "+c.cfg.APIKey.Reveal())
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	call := notify.NewCall(c.client)
	if response, err := call.RoundTrip(request); err == nil {
		defer response.Body.Close()
	}
	return c.outcome(call)
}

// plain keeps OneSignal from taking what a user wrote for a template (Liquid): the
// brackets that begin one are parted by a character that nobody sees.
func plain(text string) string {
	return strings.NewReplacer("{{", "{\u2060{", "{%", "{\u2060%").Replace(text)
}

// outcome reads an answer. A message that nobody gets is answered with 200, and with
// an id that is empty or errors that name its only recipient: https://documentation.onesignal.com/reference/create-message
func (c *Channel) outcome(call *notify.Call) error {
	status, body := call.Answer()
	var answer struct {
		ID     *string         `json:"id"`
		Errors json.RawMessage `json:"errors"`
	}
	readable := json.Unmarshal(body, &answer) == nil
	detail := "(no explanation)"
	if readable && len(answer.Errors) > 0 {
		detail = string(answer.Errors)
		var list []string
		if json.Unmarshal(answer.Errors, &list) == nil {
			detail = strings.Join(list, "; ")
		}
	}
	gone := isGone(answer.Errors)
	if status == http.StatusOK && readable && (gone || answer.ID != nil && *answer.ID == "") {
		return &notify.Error{
			Kind: notify.Permanent, Gone: gone,
			Err: fmt.Errorf("the provider took nothing: %.300s", detail),
		}
	}
	return call.Outcome(detail, c.cfg.APIKey)
}

// isGone reports whether the errors say that the subscription is not there any more.
func isGone(errors json.RawMessage) bool {
	var invalid struct {
		Players       []string `json:"invalid_player_ids"`
		Subscriptions []string `json:"invalid_subscription_ids"`
	}
	if json.Unmarshal(errors, &invalid) == nil {
		return len(invalid.Players)+len(invalid.Subscriptions) > 0
	}
	return strings.Contains(string(errors), "All included players are not subscribed")
}
