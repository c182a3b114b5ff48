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

// Config has the settings for OneSignal. Without an app it is off.
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

// New returns the channel. The configuration must be valid.
func New(cfg Config) (*Channel, error) { return &Channel{cfg, notify.NewClient()}, nil }

// notification has the fields of the request. Texts are in the user's language already, and are
// sent as "en", which OneSignal shows to everybody.
type notification struct {
	AppID                  string            `json:"app_id"`
	TargetChannel          string            `json:"target_channel"`
	IncludeSubscriptionIDs []string          `json:"include_subscription_ids"`
	Headings               map[string]string `json:"headings"`
	Contents               map[string]string `json:"contents"`
	Data                   map[string]string `json:"data"`
	// Buttons are for phones, where the app handles them. WebButtons are for browsers.
	Buttons    []button `json:"buttons,omitempty"`
	WebButtons []button `json:"web_buttons,omitempty"`
	Priority   int      `json:"priority"`
	// CollapseID makes a message that is sent again replace the first on the device.
	CollapseID string `json:"collapse_id"`
	// IdempotencyKey makes OneSignal send a message once, however often it is requested.
	IdempotencyKey string `json:"idempotency_key"`
}

type button struct {
	ID   string `json:"id"`
	Text string `json:"text"`
	URL  string `json:"url,omitempty"`
}

// Send sends one message to the subscription in m.To. The error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	title, text, id := plain(push.Title(m)), plain(push.Body(m)), m.ID.String()
	var buttons, webButtons []button
	for _, a := range m.Actions() {
		buttons, webButtons = append(buttons, button{ID: a.ID, Text: a.Text}), append(webButtons, button{a.ID, a.Text, a.URL})
	}
	body, err := json.Marshal(notification{
		AppID: c.cfg.AppID, TargetChannel: "push", IncludeSubscriptionIDs: []string{m.To},
		Headings: map[string]string{"en": title}, Contents: map[string]string{"en": cmp.Or(text, title)},
		Data: push.Data(m), Buttons: buttons, WebButtons: webButtons, Priority: 10, CollapseID: id, IdempotencyKey: id,
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

// plain keeps OneSignal from reading a user's text as a Liquid template. It separates the brackets
// that begin one by an invisible character.
func plain(text string) string {
	return strings.NewReplacer("{{", "{\u2060{", "{%", "{\u2060%").Replace(text)
}

// outcome returns what an answer means. If nobody gets a message, the status is 200 and the id is
// empty, or errors name its only recipient:
// https://documentation.onesignal.com/reference/create-message
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

// isGone reports whether the errors say that the subscription no longer exists.
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
