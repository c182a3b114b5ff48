package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// What OneSignal publishes about POST /notifications:
// https://documentation.onesignal.com/reference/push-notification,
// https://documentation.onesignal.com/reference/idempotent-notification-requests and
// https://documentation.onesignal.com/docs/en/keys-and-ids
const (
	oneSignalMaxRecipients = 2000
	oneSignalMaxData       = 2048
)

// Unsubscribed is the id of a OneSignal subscription that its user has ended.
const Unsubscribed = "00000000-0000-4000-8000-000000000000"

// oneSignalNotification has the members that a push notification may have and the
// sandbox takes; there are more of them, for pictures, sounds and the like.
type oneSignalNotification struct {
	AppID                  string            `json:"app_id"`
	TargetChannel          string            `json:"target_channel"`
	IncludeSubscriptionIDs []string          `json:"include_subscription_ids"`
	Contents               map[string]string `json:"contents"`
	Headings               map[string]string `json:"headings"`
	Name                   string            `json:"name"`
	Data                   map[string]any    `json:"data"`
	URL                    string            `json:"url"`
	CollapseID             string            `json:"collapse_id"`
	Buttons                []oneSignalButton `json:"buttons"`
	WebButtons             []oneSignalButton `json:"web_buttons"`
	Priority               int               `json:"priority"`
	TTL                    int               `json:"ttl"`
	IdempotencyKey         string            `json:"idempotency_key"`
}

// oneSignalButton is one of a phone's, without url, or of a browser's.
type oneSignalButton struct {
	ID   string `json:"id"`
	Text string `json:"text"`
	Icon string `json:"icon"`
	URL  string `json:"url"`
}

func oneSignalComplain(w http.ResponseWriter, status int, message string) {
	answer(w, status, "application/json; charset=utf-8", map[string][]string{"errors": {message}})
}

func (s *Sandbox) serveOneSignal(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	switch {
	case r.URL.Path != "/notifications" || r.Method != http.MethodPost:
		oneSignalComplain(w, http.StatusNotFound, "Not found")
		return
	case !isSecret(r.Header.Get("Authorization"), "Key "+oneSignalKey):
		oneSignalComplain(w, http.StatusForbidden, "Access denied.  Please include an 'Authorization: ...' header with a valid API key "+
			"(https://documentation.onesignal.com/docs/en/keys-and-ids#api-keys).")
		return
	}
	var n oneSignalNotification
	if wrong := check(body, &n); wrong != "" || !isMedia(r, "application/json") {
		oneSignalComplain(w, http.StatusBadRequest, "The request is not a notification in JSON: "+wrong)
		return
	}
	if wrong := oneSignalProblem(&n); wrong != "" {
		oneSignalComplain(w, http.StatusBadRequest, wrong)
		return
	}
	var to, gone []string
	for _, id := range n.IncludeSubscriptionIDs {
		if id == Unsubscribed {
			gone = append(gone, id)
		} else {
			to = append(to, id)
		}
	}
	if len(to) == 0 {
		answer(w, http.StatusOK, "application/json; charset=utf-8", map[string]any{"id": "", "errors": []string{"All included players are not subscribed"}})
		return
	}
	id, again := s.oneSignalID(n.IdempotencyKey)
	if !again {
		var messages []Message
		for _, recipient := range to {
			messages = append(messages, Message{Provider: OneSignal, To: recipient, Subject: n.Headings["en"], Body: n.Contents["en"], DeliveryID: n.IdempotencyKey})
		}
		s.accept(r, f, messages...)
	}
	if f.Cut == CutAfter {
		panic(http.ErrAbortHandler)
	}
	result := map[string]any{"id": id, "external_id": nil}
	if len(gone) > 0 {
		result["errors"] = map[string][]string{"invalid_player_ids": gone}
	}
	answer(w, http.StatusOK, "application/json; charset=utf-8", result)
}

// oneSignalID returns the id of the notification with the key, and whether it has
// been sent before.
func (s *Sandbox) oneSignalID(key string) (id string, again bool) {
	if key == "" {
		return uuid.NewString(), false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, again = s.sent[key]; again {
		return id, true
	}
	if len(s.sent) >= maxMessages {
		clear(s.sent)
	}
	s.sent[key] = uuid.NewString()
	return s.sent[key], false
}

// oneSignalProblem returns what is wrong with the notification, or "".
func oneSignalProblem(n *oneSignalNotification) string {
	data, err := json.Marshal(n.Data)
	switch {
	case n.AppID != oneSignalApp:
		return "app_id not found. You may be missing a Content-Type: application/json header."
	case len(n.IncludeSubscriptionIDs) == 0:
		return "You must include which players, segments, or tags you wish to send this notification to."
	case len(n.IncludeSubscriptionIDs) > oneSignalMaxRecipients:
		return fmt.Sprintf("include_subscription_ids may have at most %d entries", oneSignalMaxRecipients)
	case n.TargetChannel != "" && n.TargetChannel != "push":
		return "target_channel must be push"
	case n.Contents["en"] == "":
		return "Message Notifications must have English language content"
	case n.Headings != nil && n.Headings["en"] == "":
		return "Message Notifications must have English language headings"
	case err != nil || len(data) > oneSignalMaxData:
		return fmt.Sprintf("data may have at most %d bytes", oneSignalMaxData)
	case n.Priority != 0 && n.Priority != 5 && n.Priority != 10:
		return "priority must be 5 or 10"
	case len(n.CollapseID) > 64:
		return "collapse_id may have at most 64 characters"
	case n.TTL < 0 || n.TTL > 2_419_200:
		return "ttl must be at most 2419200"
	}
	for _, b := range slices.Concat(n.Buttons, n.WebButtons) {
		if b.ID == "" || b.Text == "" {
			return "each button must have an id and a text"
		}
	}
	if _, err := uuid.Parse(n.IdempotencyKey); n.IdempotencyKey != "" && err != nil {
		return "idempotency_key must be a valid UUID"
	}
	for _, id := range n.IncludeSubscriptionIDs {
		if _, err := uuid.Parse(id); err != nil {
			return "Incorrect subscription_id format in include_subscription_ids (not a valid UUID): " + id
		}
	}
	return ""
}
