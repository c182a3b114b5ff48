package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sendgrid "github.com/sendgrid/sendgrid-go"
	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/duebell/duebell/local/sandbox"
)

const (
	key  = "SG.sandbox"
	good = `{"personalizations":[{"to":[{"email":"a@example.com"}]}],"from":{"email":"me@example.com"},` +
		`"subject":"Hello","content":[{"type":"text/plain","value":"plain"},{"type":"text/html","value":"<p>html</p>"}]}`
)

func serve(t *testing.T) (*sandbox.Sandbox, string) {
	t.Helper()
	s := sandbox.New()
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return s, server.URL
}

// do sends a request and returns the status, headers and body; the status is 0 if the
// connection was cut.
func do(t *testing.T, method, url, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, ""
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(answer)
}

// replace replaces what must be there.
func replace(t *testing.T, in, old, new string) string {
	t.Helper()
	if !strings.Contains(in, old) {
		t.Fatalf("there is no %s to replace", old)
	}
	return strings.Replace(in, old, new, 1)
}

// one checks that there is one message, and which; its time does not matter.
func one(t *testing.T, s *sandbox.Sandbox, want sandbox.Message) {
	t.Helper()
	got := s.Messages()
	if len(got) != 1 {
		t.Fatalf("there are %v", got)
	}
	want.ReceivedAt = got[0].ReceivedAt
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("the message is (-want +got):\n%s", diff)
	}
}

func send(t *testing.T, base string) int {
	t.Helper()
	status, _, _ := do(t, http.MethodPost, base+sandbox.SendGridPath+"/v3/mail/send", good)
	return status
}

func TestSendGridsOwnClientIsAccepted(t *testing.T) {
	_, base := serve(t)
	client := sendgrid.NewSendClient(key)
	client.BaseURL = base + sandbox.SendGridPath + "/v3/mail/send"
	before := time.Now().Add(-time.Second)
	response, err := client.SendWithContext(t.Context(), mail.NewSingleEmail(
		mail.NewEmail("Duebell", "me@example.com"), "Hello", mail.NewEmail("You", "you@example.com"), "plain", "<p>html</p>"))
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusAccepted || response.Body != "" || len(response.Headers["X-Message-Id"]) != 1 {
		t.Errorf("the answer is %+v", response)
	}
	status, header, body := do(t, http.MethodGet, base+"/dev/messages", "")
	if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		t.Errorf("the list's answer is %d, %v", status, header)
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("it lists %v", got)
	}
	received, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got[0]["received_at"]))
	if err != nil || received.Before(before) || received.After(time.Now().Add(time.Second)) {
		t.Errorf("it was received at %v (%v)", received, err)
	}
	delete(got[0], "received_at")
	if diff := cmp.Diff(map[string]any{"provider": "sendgrid", "to": "you@example.com", "subject": "Hello", "body": "plain"}, got[0]); diff != "" {
		t.Errorf("it lists (-want +got):\n%s", diff)
	}
}

func TestEveryRecipientGetsAMessage(t *testing.T) {
	s, base := serve(t)
	body := strings.Replace(good, `[{"to":[{"email":"a@example.com"}]}]`,
		`[{"to":[{"email":"a@example.com"},{"email":"b@example.com"}],"cc":[{"email":"c@example.com"}]},`+
			`{"to":[{"email":"a@example.com"}],"subject":"Other"}]`, 1)
	if status, _, answer := do(t, http.MethodPost, base+sandbox.SendGridPath+"/v3/mail/send", body); status != http.StatusAccepted {
		t.Fatalf("the answer is %d %s", status, answer)
	}
	var got []string
	for _, m := range s.Messages() {
		got = append(got, m.To+" "+m.Subject)
	}
	want := []string{"a@example.com Hello", "b@example.com Hello", "c@example.com Hello", "a@example.com Other"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the messages are (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	s, base := serve(t)
	replace := func(old, new string) string { return replace(t, good, old, new) }
	for name, test := range map[string]struct {
		body   string
		header []string
		status int
		field  any
		says   string
	}{
		"no key":                {good, []string{"Authorization", ""}, 401, nil, "authorization grant is invalid"},
		"another key":           {good, []string{"Authorization", "Bearer SG.other"}, 401, nil, "authorization grant is invalid"},
		"not JSON by name":      {good, []string{"Content-Type", "text/plain"}, 415, nil, "application/json"},
		"unknown field":         {replace(`"subject"`, `"title"`), nil, 400, nil, "title is not allowed"},
		"not JSON":              {"{", nil, 400, nil, "Bad Request"},
		"of another type":       {replace(`{"email":"me@example.com"}`, `"me@example.com"`), nil, 400, "from", "Invalid type. Expected"},
		"no personalizations":   {replace(`[{"to":[{"email":"a@example.com"}]}]`, `[]`), nil, 400, "personalizations", "at least one personalization"},
		"no recipients":         {replace(`[{"email":"a@example.com"}]`, `[]`), nil, 400, "personalizations.0.to", "The to array is required"},
		"empty recipient":       {replace(`a@example.com`, ``), nil, 400, "personalizations.0.to.0.email", "The to email parameter is required."},
		"recipient's address":   {replace(`a@example.com`, `a at example`), nil, 400, "personalizations.0.to.0.email", "Does not contain a valid address."},
		"recipient with a name": {replace(`a@example.com`, `A <a@example.com>`), nil, 400, "personalizations.0.to.0.email", "Does not contain a valid address."},
		"recipient twice":       {replace(`{"email":"a@example.com"}`, `{"email":"a@example.com"},{"email":"A@example.com"}`), nil, 400, "personalizations", "should be unique"},
		"no sender":             {replace(`"from":{"email":"me@example.com"},`, ``), nil, 400, "from.email", "The from object must be provided"},
		"sender's address":      {replace(`me@example.com`, `me`), nil, 400, "from.email", "valid address"},
		"no subject":            {replace(`"subject":"Hello",`, ``), nil, 400, "subject", "The subject is required."},
		"no content":            {replace(`"content":[{"type":"text/plain","value":"plain"},{"type":"text/html","value":"<p>html</p>"}]`, `"content":[]`), nil, 400, "content", "the content parameter is required"},
		"empty content":         {replace(`"value":"plain"`, `"value":""`), nil, 400, "content.0.value", "at least one character"},
		"HTML first":            {replace(`{"type":"text/plain","value":"plain"},`, `{"type":"text/html","value":"x"},{"type":"text/plain","value":"plain"},`), nil, 400, "content", "text/plain must be first"},
		"reserved header":       {replace(`"subject"`, `"headers":{"Subject":"x"},"subject"`), nil, 400, "headers", "reserved"},
		"custom arguments":      {replace(`"subject"`, `"custom_args":{"x":"`+strings.Repeat("x", 10_000)+`"},"subject"`), nil, 400, "personalizations.0.custom_args", "10000"},
		"too large":             {replace(`"value":"plain"`, `"value":"`+strings.Repeat("x", 30<<20)+`"`), nil, 413, nil, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, body := do(t, http.MethodPost, base+sandbox.SendGridPath+"/v3/mail/send", test.body, test.header...)
			var answer struct{ Errors []map[string]any }
			if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Errors) != 1 {
				t.Fatalf("the answer is %d %s (%v)", status, body, err)
			}
			got := answer.Errors[0]
			_, helps := got["help"]
			if status != test.status || got["field"] != test.field || !strings.Contains(fmt.Sprint(got["message"]), test.says) || !helps {
				t.Errorf("the answer is %d %s", status, body)
			}
		})
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	if status, _, _ := do(t, http.MethodGet, base+sandbox.SendGridPath+"/v3/mail/send", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET answers %d", status)
	}
	if status, _, _ := do(t, http.MethodPost, base+sandbox.SendGridPath+"/v3/other", good); status != http.StatusNotFound {
		t.Errorf("another path answers %d", status)
	}
}

func TestFaultsComeInTheirOrder(t *testing.T) {
	s, base := serve(t)
	s.Fail(sandbox.Fault{Provider: sandbox.SendGrid, Status: 500, Times: 2})
	s.Fail(sandbox.Fault{Provider: "another", Status: 418})
	s.Fail(sandbox.Fault{Provider: sandbox.SendGrid, Cut: sandbox.CutBefore, Times: 1})
	s.Fail(sandbox.Fault{Provider: sandbox.SendGrid, Cut: sandbox.CutAfter, Times: 1})
	s.Fail(sandbox.Fault{Provider: sandbox.SendGrid, Status: 503})
	for i, want := range []struct{ status, messages int }{{500, 0}, {500, 0}, {0, 0}, {0, 1}, {503, 1}, {503, 1}} {
		if got := send(t, base); got != want.status {
			t.Errorf("send %d answers %d, want %d", i, got, want.status)
		}
		if got := len(s.Messages()); got != want.messages {
			t.Errorf("after send %d there are %d messages, want %d", i, got, want.messages)
		}
	}
	s.Heal(sandbox.SES)
	if got := send(t, base); got != 503 {
		t.Errorf("another one is healed, and it answers %d", got)
	}
	s.Heal(sandbox.SendGrid)
	if got := send(t, base); got != http.StatusAccepted {
		t.Errorf("healed, it answers %d", got)
	}
	if got := s.Messages(); !got[0].Cut || got[1].Cut {
		t.Errorf("the one that was cut, and the one that was not, are %v", got)
	}
}

func TestDeliveriesAreNamed(t *testing.T) {
	s, base := serve(t)
	body := strings.Replace(good, `"a@example.com"}]}]`,
		`"a@example.com"}]},{"to":[{"email":"b@example.com"}],"custom_args":{"delivery_id":"second"}}],"custom_args":{"delivery_id":"first"}`, 1)
	if status, _, answer := do(t, http.MethodPost, base+sandbox.SendGridPath+"/v3/mail/send", body); status != http.StatusAccepted {
		t.Fatalf("the answer is %d %s", status, answer)
	}
	got := s.Messages()
	if len(got) != 2 || got[0].DeliveryID != "first" || got[1].DeliveryID != "second" {
		t.Errorf("the messages are %v", got)
	}
}

func TestSlowProviderAcceptsWhatItsSenderGaveUp(t *testing.T) {
	s, base := serve(t)
	s.Fail(sandbox.Fault{Provider: sandbox.SendGrid, Delay: time.Hour})
	client := &http.Client{Timeout: 2 * time.Second} // in which its request gets there on a busy machine, too
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+sandbox.SendGridPath+"/v3/mail/send", strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {"application/json"}}
	_, err = client.Do(request)
	if failed, ok := errors.AsType[*url.Error](err); !ok || !failed.Timeout() {
		t.Fatalf("the sender sees %v", err)
	}
	for deadline := time.Now().Add(time.Minute); len(s.Messages()) == 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if got := s.Messages(); len(got) != 1 || !got[0].Cut {
		t.Errorf("there are %v", got)
	}
}

func TestFaultsOverHTTP(t *testing.T) {
	_, base := serve(t)
	fail := func(body string, headers ...string) int {
		t.Helper()
		status, _, _ := do(t, http.MethodPost, base+"/dev/faults", body, headers...)
		return status
	}
	if got := fail(`{"provider":"sendgrid","status":429,"retry_after":"1500ms","delay":"1ms","times":1}`); got != http.StatusNoContent {
		t.Errorf("setting a fault answers %d", got)
	}
	status, header, _ := do(t, http.MethodPost, base+sandbox.SendGridPath+"/v3/mail/send", good)
	if status != http.StatusTooManyRequests || header.Get("Retry-After") != "2" {
		t.Errorf("the provider answers %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	if got := send(t, base); got != http.StatusAccepted {
		t.Errorf("after once it answers %d", got)
	}
	for _, cut := range []string{"before", "after"} {
		if got := fail(`{"provider":"sendgrid","cut":"` + cut + `"}`); got != http.StatusNoContent {
			t.Errorf("setting a fault answers %d", got)
		}
	}
	if got := send(t, base); got != 0 {
		t.Errorf("told to cut, it answers %d", got)
	}
	if status, _, _ := do(t, http.MethodDelete, base+"/dev/faults", ""); status != http.StatusNoContent {
		t.Errorf("clearing faults answers %d", status)
	}
	if got := send(t, base); got != http.StatusAccepted {
		t.Errorf("healed, it answers %d", got)
	}
	for _, wrong := range []string{
		`{"provider":"other"}`, `{"provider":"sendgrid","status":200}`, `{"provider":"sendgrid","delay":"5"}`,
		`{"provider":"sendgrid","delay":"-5s"}`, `{"provider":"sendgrid","cut":"never"}`, `{"provider":"sendgrid","times":-1}`,
		`{"provider":"sendgrid","tims":1}`, `{`,
	} {
		if got := fail(wrong); got != http.StatusBadRequest {
			t.Errorf("%s answers %d", wrong, got)
		}
	}
	if got := fail(`{"provider":"sendgrid"}`, "Content-Type", "text/plain"); got != http.StatusUnsupportedMediaType {
		t.Errorf("a body that a page from elsewhere could send answers %d", got)
	}
	if status, header, _ := do(t, http.MethodPut, base+"/dev/messages", "{}"); status != http.StatusMethodNotAllowed || header.Get("Allow") == "" {
		t.Errorf("PUT answers %d", status)
	}
}

// A webhook to there is taken, and never answered.
func TestHangingWebhook(t *testing.T) {
	s, base := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+sandbox.HangingPath+"/hog", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", resp, err)
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
