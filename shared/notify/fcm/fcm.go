// Package fcm is the push channel through Firebase Cloud Messaging's HTTP v1 API:
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"google.golang.org/api/fcm/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/push"
)

// Config has the credentials for FCM. Without them FCM is off.
type Config struct {
	Credentials config.Secret `env:"FCM_CREDENTIALS" help:"the JSON file of a service account that may send through Firebase Cloud Messaging; without it FCM is not used"`
	URL         string        `env:"FCM_URL" envDefault:"https://fcm.googleapis.com" help:"FCM's API"`
}

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.Credentials != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	var problems []error
	if _, _, err := c.open(nil); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(append(problems, notify.CheckURL("FCM_URL", c.URL))...)
}

// open returns the source of tokens and its project. Its errors don't quote the credentials.
func (c Config) open(client *http.Client) (*auth.Credentials, string, error) {
	wrong := errors.New("FCM_CREDENTIALS must be the JSON file of a service account, with its project_id and private_key")
	var file struct {
		Project string `json:"project_id"`
	}
	if json.Unmarshal([]byte(c.Credentials.Reveal()), &file) != nil || file.Project == "" {
		return nil, "", wrong
	}
	tokens, err := credentials.NewCredentialsFromJSON(credentials.ServiceAccount, []byte(c.Credentials.Reveal()), &credentials.DetectOptions{
		Scopes: []string{fcm.FirebaseMessagingScope}, Client: client, DisableAsyncRefresh: true,
	})
	if err != nil {
		return nil, "", wrong
	}
	return tokens, file.Project, nil
}

// Channel sends push messages. It is safe for concurrent use.
type Channel struct {
	cfg     Config
	project string
	tokens  *auth.Credentials
	client  *http.Client
}

// New returns the channel. The configuration must be valid.
func New(cfg Config) (*Channel, error) {
	client := notify.NewClient()
	tokens, project, err := cfg.open(client)
	if err != nil {
		return nil, err
	}
	return &Channel{cfg, project, tokens, client}, nil
}

// Send sends one message to the device whose token is m.To. The error is a
// *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	token, err := c.tokens.Token(ctx)
	if err != nil { // without a token nothing was sent
		return &notify.Error{Kind: notify.Retry, Err: fmt.Errorf("no token for FCM: %.300s", why(err))}
	}
	call := notify.NewCall(c.client)
	service, err := fcm.NewService(ctx, option.WithHTTPClient(call.Client()), option.WithEndpoint(strings.TrimRight(c.cfg.URL, "/")+"/"))
	if err != nil {
		return &notify.Error{Kind: notify.Retry, Err: errors.New("FCM_URL is wrong")}
	}
	send := service.Projects.Messages.Send("projects/"+c.project, &fcm.SendMessageRequest{Message: message(m)}).Context(ctx)
	send.Header().Set("Authorization", "Bearer "+token.Value)
	_, _ = send.Do() // the call keeps the answer
	return outcome(call, config.Secret(token.Value))
}

// why returns Google's reason for giving no token.
func why(err error) string {
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	failed, answered := errors.AsType[*auth.Error](err)
	switch {
	case !answered:
		return "Google did not answer"
	case json.Unmarshal(failed.Body, &answer) == nil && answer.Error != "":
		return fmt.Sprintf("Google answered %d: %s: %s", failed.Response.StatusCode, answer.Error, answer.Description)
	default:
		return fmt.Sprintf("Google answered %d", failed.Response.StatusCode)
	}
}

// Category is the name of the buttons on iOS. The app has to register them by this name.
const Category = "DUEBELL_REMINDER"

// message returns the FCM message. Its tag is the delivery's id: on the device, a message that is
// sent again replaces the first.
func message(m notify.Message) *fcm.Message {
	id := m.ID.String()
	data := push.Data(m)
	data["delivery_id"] = id
	type button struct {
		Action string `json:"action"`
		Title  string `json:"title"`
	}
	web := struct {
		Tag     string   `json:"tag"`
		Actions []button `json:"actions,omitempty"`
	}{Tag: id}
	apns := &fcm.ApnsConfig{Headers: map[string]string{"apns-priority": "10", "apns-collapse-id": id}}
	for _, a := range m.Actions() {
		web.Actions = append(web.Actions, button{a.ID, a.Text})
		apns.Payload = googleapi.RawMessage(`{"aps":{"category":"` + Category + `"}}`)
	}
	notification, err := json.Marshal(web)
	if err != nil {
		panic(err) // it is made of strings
	}
	return &fcm.Message{
		Token:        m.To,
		Notification: &fcm.Notification{Title: push.Title(m), Body: push.Body(m)},
		Data:         data,
		// High priority wakes the phone, since the reminder is for now.
		Android: &fcm.AndroidConfig{Priority: "HIGH", Notification: &fcm.AndroidNotification{Tag: id}},
		Apns:    apns,
		Webpush: &fcm.WebpushConfig{Headers: map[string]string{"Urgency": "high"}, Notification: googleapi.RawMessage(notification)},
	}
}

// outcome returns what an answer means:
// https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
func outcome(call *notify.Call, secret config.Secret) error {
	_, body := call.Answer()
	var answer struct {
		Error struct {
			Message string
			Details []struct {
				ErrorCode       string
				FieldViolations []struct{ Field string }
			}
		}
	}
	detail, gone := "(no explanation)", false
	if json.Unmarshal(body, &answer) == nil && answer.Error.Message != "" {
		detail = answer.Error.Message
		// FCM's answer for a malformed token names no field, so its text is compared.
		gone = strings.HasPrefix(detail, "The registration token is not a valid FCM registration token")
	}
	for _, d := range answer.Error.Details {
		if d.ErrorCode != "" {
			detail = fmt.Sprintf("%s: %s", d.ErrorCode, detail)
		}
		// A token of another app, or of an earlier project of ours, will never work.
		gone = gone || d.ErrorCode == "UNREGISTERED" || d.ErrorCode == "SENDER_ID_MISMATCH"
		for _, v := range d.FieldViolations {
			gone = gone || v.Field == "message.token"
		}
	}
	err := call.Outcome(detail, secret)
	if failed, ok := errors.AsType[*notify.Error](err); ok && gone {
		failed.Kind, failed.Gone, failed.After = notify.Permanent, true, 0
	}
	return err
}
