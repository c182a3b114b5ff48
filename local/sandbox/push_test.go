package sandbox_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/vapid"
)

// token gets one as Google's own library does, and changes the credentials before.
func token(t *testing.T, s *sandbox.Sandbox, base, old, new string, scopes ...string) (string, error) {
	t.Helper()
	config, err := google.JWTConfigFromJSON([]byte(replace(t, s.Environment(base)["FCM_CREDENTIALS"], old, new)), scopes...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.TokenSource(context.WithValue(t.Context(), oauth2.HTTPClient, http.DefaultClient)).Token()
	if err != nil {
		return "", err
	}
	return got.AccessToken, nil
}

const messagingScope = "https://www.googleapis.com/auth/firebase.messaging"

func TestGoogleTokens(t *testing.T) {
	s, base := serve(t)
	if got, err := token(t, s, base, "", "", messagingScope); err != nil || got == "" {
		t.Errorf("a good one gets %q, %v", got, err)
	}
	if _, err := token(t, s, base, "", "", "https://www.googleapis.com/auth/drive"); err == nil {
		t.Error("another scope is accepted")
	}
	if _, err := token(t, s, base, "sender@", "other@", messagingScope); err == nil {
		t.Error("another account is accepted")
	}
	for _, form := range []string{"grant_type=password", "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c"} {
		if status, _, body := do(t, http.MethodPost, base+sandbox.GooglePath+"/token", form, "Content-Type", "application/x-www-form-urlencoded"); status != http.StatusBadRequest {
			t.Errorf("%s answers %d %s", form, status, body)
		}
	}
}

func TestFCM(t *testing.T) {
	s, base := serve(t)
	bearer, err := token(t, s, base, "", "", messagingScope)
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"message":{"token":"abc:DEF-1_2","notification":{"title":"Hello","body":"text"},"data":{"delivery_id":"one"},` +
		`"android":{"priority":"HIGH","ttl":"3600s"},"apns":{"headers":{"apns-collapse-id":"one"}}}}`
	send := func(project, token, body string) (int, string) {
		status, _, answer := do(t, http.MethodPost, base+sandbox.FCMPath+"/v1/projects/"+project+"/messages:send", body, "Authorization", "Bearer "+token)
		return status, answer
	}
	for name, test := range map[string]struct {
		old, new string
		status   int
		code     string
	}{
		"unknown field": {`"notification"`, `"notice"`, 400, "INVALID_ARGUMENT"},
		"number":        {`"one"}`, `1}`, 400, "INVALID_ARGUMENT"},
		"no recipient":  {`"token":"abc:DEF-1_2",`, ``, 400, "INVALID_ARGUMENT"},
		"token":         {`abc:DEF-1_2`, `a b`, 400, "INVALID_ARGUMENT"},
		"reserved key":  {`"delivery_id"`, `"from"`, 400, "INVALID_ARGUMENT"},
		"priority":      {`HIGH`, `high`, 400, "INVALID_ARGUMENT"},
		"ttl":           {`3600s`, `1h`, 400, "INVALID_ARGUMENT"},
		"collapse id":   {`"apns-collapse-id":"one"`, `"apns-collapse-id":"` + strings.Repeat("1", 65) + `"`, 400, "INVALID_ARGUMENT"},
		"too big":       {`"text"`, `"` + strings.Repeat("a", 4097) + `"`, 400, "INVALID_ARGUMENT"},
		"unregistered":  {`abc:DEF-1_2`, sandbox.Unregistered + "-1", 404, "UNREGISTERED"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := send("duebell-sandbox", bearer, replace(t, good, test.old, test.new))
			var got struct {
				Error struct {
					Code    int
					Details []struct{ ErrorCode string }
				}
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || status != test.status || got.Error.Code != status || got.Error.Details[0].ErrorCode != test.code {
				t.Errorf("the answer is %d %s", status, body)
			}
		})
	}
	if status, body := send("duebell-sandbox", "other", good); status != http.StatusUnauthorized {
		t.Errorf("another token answers %d %s", status, body)
	}
	if status, _ := send("other", bearer, good); status != http.StatusNotFound {
		t.Errorf("another project answers %d", status)
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	if status, body := send("duebell-sandbox", bearer, good); status != http.StatusOK || !strings.Contains(body, `"name":"projects/duebell-sandbox/messages/`) {
		t.Errorf("the answer is %d %s", status, body)
	}
	one(t, s, sandbox.Message{Provider: sandbox.FCM, To: "abc:DEF-1_2", Subject: "Hello", Body: "text", DeliveryID: "one"})
}

func TestOneSignal(t *testing.T) {
	s, base := serve(t)
	subscriber, id := uuid.NewString(), uuid.NewString()
	good := `{"app_id":"4f0cf79e-5a3e-4c58-8a4c-5a5b2a1d7c1e","target_channel":"push","include_subscription_ids":["` + subscriber + `"],` +
		`"headings":{"en":"Hello"},"contents":{"en":"text"},"data":{"task_id":"t"},"idempotency_key":"` + id + `"}`
	send := func(key, body string) (int, string) {
		status, _, answer := do(t, http.MethodPost, base+sandbox.OneSignalPath+"/notifications", body, "Authorization", "Key "+key)
		return status, answer
	}
	const key = "os_v2_app_sandbox"
	for name, test := range map[string]struct{ old, new, says string }{
		"unknown field":   {`"headings"`, `"titles"`, "titles"},
		"wrong type":      {`{"en":"text"}`, `"text"`, "contents"},
		"another app":     {`4f0cf79e`, `4f0cf79f`, "app_id not found"},
		"no recipient":    {`"` + subscriber + `"`, ``, "You must include"},
		"subscription":    {subscriber, `abc`, "not a valid UUID"},
		"another channel": {`"push"`, `"email"`, "target_channel"},
		"no English":      {`{"en":"text"}`, `{"de":"Text"}`, "English"},
		"much data":       {`"t"`, `"` + strings.Repeat("t", 2048) + `"`, "2048"},
		"key":             {id, "one", "idempotency_key"},
		"button":          {`"headings"`, `"buttons":[{"id":"done"}],"headings"`, "button"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := send(key, replace(t, good, test.old, test.new))
			var got struct{ Errors []string }
			if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusBadRequest || len(got.Errors) != 1 || !strings.Contains(got.Errors[0], test.says) {
				t.Errorf("the answer is %d %s", status, body)
			}
		})
	}
	if status, body := send("other", good); status != http.StatusForbidden || !strings.Contains(body, "Access denied") {
		t.Errorf("another key answers %d %s", status, body)
	}
	if status, body := send(key, replace(t, good, subscriber, sandbox.Unsubscribed)); status != http.StatusOK || !strings.Contains(body, `"id":""`) ||
		!strings.Contains(body, "All included players are not subscribed") {
		t.Errorf("unsubscribed, it answers %d %s", status, body)
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	_, first := send(key, good)
	status, second := send(key, good)
	if status != http.StatusOK || !strings.Contains(first, `"id":"`) || first != second {
		t.Errorf("the answers are %s and %d %s", first, status, second)
	}
	one(t, s, sandbox.Message{Provider: sandbox.OneSignal, To: subscriber, Subject: "Hello", Body: "text", DeliveryID: id})
}

func TestWebPush(t *testing.T) {
	s, base := serve(t)
	key, err := vapid.New()
	if err != nil {
		t.Fatal(err)
	}
	authorize := func(origin, subject string, at time.Time) string {
		authorization, err := key.Authorization(origin, subject, at)
		if err != nil {
			t.Fatal(err)
		}
		return authorization.Reveal()
	}
	to := sandbox.Subscription(base, "mine")
	encrypt := func(to subscription.Subscription, message string) string {
		body, err := to.Encrypt([]byte(message))
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	const message = `{"delivery_id":"one","task_id":"t","title":"Hello","body":"text"}`
	good := authorize(base, "mailto:ops@example.com", time.Now())
	send := func(browser, body string, change ...string) int {
		headers := map[string]string{"Authorization": good, "TTL": "60", "Content-Encoding": "aes128gcm", "Urgency": "high", "Topic": "abc"}
		for i := 0; i < len(change); i += 2 {
			headers[change[i]] = change[i+1]
		}
		var list []string
		for name, value := range headers {
			list = append(list, name, value)
		}
		status, _, _ := do(t, http.MethodPost, base+sandbox.WebPushPath+"/"+browser, body, list...)
		return status
	}
	other := to
	other.Keys.Auth = "AAAAAAAAAAAAAAAAAAAAAA"
	for name, test := range map[string]struct {
		browser, body, header, value string
		status                       int
	}{
		"unsubscribed":      {sandbox.Unregistered + "-1", message, "TTL", "60", 410},
		"nobody":            {"", message, "TTL", "60", 404},
		"no signature":      {"mine", message, "Authorization", "", 403},
		"another origin":    {"mine", message, "Authorization", authorize("https://push.example.com", "mailto:ops@example.com", time.Now()), 403},
		"another key":       {"mine", message, "Authorization", strings.Split(good, "k=")[0] + "k=" + "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", 403},
		"expired":           {"mine", message, "Authorization", authorize(base, "mailto:ops@example.com", time.Now().Add(-25*time.Hour)), 403},
		"good for too long": {"mine", message, "Authorization", authorize(base, "mailto:ops@example.com", time.Now().Add(25*time.Hour)), 403},
		"subject":           {"mine", message, "Authorization", authorize(base, "ops@example.com", time.Now()), 403},
		"no TTL":            {"mine", message, "TTL", "", 400},
		"TTL":               {"mine", message, "TTL", "1h", 400},
		"encoding":          {"mine", message, "Content-Encoding", "aesgcm", 400},
		"urgency":           {"mine", message, "Urgency", "highest", 400},
		"topic":             {"mine", message, "Topic", strings.Repeat("a", 33), 400},
		"topic's letters":   {"mine", message, "Topic", "a.b", 400},
		"no title":          {"mine", `{}`, "TTL", "60", 400},
		"no JSON":           {"mine", `Hello`, "TTL", "60", 400},
	} {
		if got := send(test.browser, encrypt(to, test.body), test.header, test.value); got != test.status {
			t.Errorf("%s: %d, want %d", name, got, test.status)
		}
	}
	for body, want := range map[string]int{"": 400, encrypt(other, message): 400, strings.Repeat("x", 4097): 413} {
		if got := send("mine", body); got != want {
			t.Errorf("%d bytes that nobody can read: %d, want %d", len(body), got, want)
		}
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	if got := send("mine", encrypt(to, message)); got != http.StatusCreated {
		t.Errorf("a good one answers %d", got)
	}
	one(t, s, sandbox.Message{Provider: sandbox.WebPush, To: base + sandbox.WebPushPath + "/mine", Subject: "Hello", Body: "text", DeliveryID: "one"})
}

func TestWebhooks(t *testing.T) {
	s, base := serve(t)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	send := func(method string, headers ...string) int {
		status, _, _ := do(t, method, base+sandbox.WebhookPath+"/mine?a=b", `{"any":"thing"}`, headers...)
		return status
	}
	for want, requests := range map[int][][]string{
		http.StatusBadRequest: {
			{},
			{"Webhook-Id", "one"},
			{"Webhook-Timestamp", now},
			{"Webhook-Id", "o.ne", "Webhook-Timestamp", now},
			{"Webhook-Id", "one", "Webhook-Timestamp", "1"},
			{"Webhook-Id", "one", "Webhook-Timestamp", now, "Webhook-Signature", "abc"},
		},
		http.StatusNoContent: {{"Webhook-Id", "one", "Webhook-Timestamp", now, "Webhook-Signature", "v1,YQ== v1,Yg=="}},
	} {
		for _, headers := range requests {
			if got := send(http.MethodPost, headers...); got != want {
				t.Errorf("%v: %d, want %d", headers, got, want)
			}
		}
	}
	if got := send(http.MethodGet); got != http.StatusMethodNotAllowed {
		t.Errorf("GET answers %d", got)
	}
	one(t, s, sandbox.Message{Provider: sandbox.Webhook, To: base + sandbox.WebhookPath + "/mine?a=b", Body: `{"any":"thing"}`, DeliveryID: "one"})
}
