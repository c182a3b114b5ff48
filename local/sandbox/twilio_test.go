package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/sandbox"
)

func TestTwilio(t *testing.T) {
	s, base := serve(t)
	path := base + sandbox.TwilioPath + "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json"
	send := func(path, secret string, form url.Values) (int, map[string]any) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth("AC00000000000000000000000000000000", secret)
		response, body := answer(t, request)
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%d %s: %v", response.StatusCode, body, err)
		}
		return response.StatusCode, got
	}
	secret := strings.Repeat("1", 32)
	good := url.Values{"To": {"+4915112345678"}, "From": {"+15005550006"}, "Body": {"Hello"}}
	for name, test := range map[string]struct {
		field, value string
		code         float64
		status       int
	}{
		"unknown field":       {"Text", "a", 20001, 400},
		"no recipient":        {"To", "", 21604, 400},
		"no sender":           {"From", "", 21603, 400},
		"sender":              {"From", "?", 21212, 400},
		"national number":     {"To", "015112345678", 21211, 400},
		"to itself":           {"To", "+15005550006", 21211, 400},
		"no text":             {"Body", "", 21602, 400},
		"long text":           {"Body", strings.Repeat("a", 1601), 21617, 400},
		"Twilio's own: wrong": {"To", "+15005550001", 21211, 400},
		"unsubscribed":        {"To", "+15005550004", 21610, 400},
		"full queue":          {"From", "+15005550008", 21611, 429},
		"service":             {"MessagingServiceSid", "one", 21701, 400},
	} {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"To": good["To"], "From": good["From"], "Body": good["Body"]}
			form.Set(test.field, test.value)
			status, got := send(path, secret, form)
			if status != test.status || got["code"] != test.code || got["status"] != float64(test.status) || got["message"] == "" || got["more_info"] == "" {
				t.Errorf("the answer is %d %v", status, got)
			}
		})
	}
	if status, got := send(path, "other", good); status != http.StatusUnauthorized || got["code"] != 20003. {
		t.Errorf("another key answers %d %v", status, got)
	}
	if status, got := send(strings.Replace(path, "Messages", "Calls", 1), secret, good); status != http.StatusNotFound || got["code"] != 20404. {
		t.Errorf("another path answers %d %v", status, got)
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	if status, got := send(path, secret, good); status != http.StatusCreated || got["status"] != "queued" || got["sid"] == "" {
		t.Errorf("the answer is %d %v", status, got)
	}
	one(t, s, sandbox.Message{Provider: sandbox.Twilio, To: "+4915112345678", Body: "Hello"})
}
