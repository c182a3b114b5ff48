package sendgrid_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/email"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/sendgrid"
	"github.com/duebell/duebell/shared/unsubscribe"
)

const apiKey = "SG.very-secret"

func message() notify.Message {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	return notify.Message{ID: uuid.New(), TaskID: uuid.New(), To: "ada@example.com", Title: "Pay rent", Notes: "Bank transfer", DueDate: &due}
}

func channel(t *testing.T, url string) *sendgrid.Channel {
	t.Helper()
	return channelWithLinks(t, url, unsubscribe.Config{})
}

func channelWithLinks(t *testing.T, url string, links unsubscribe.Config) *sendgrid.Channel {
	t.Helper()
	cfg := sendgrid.Config{APIKey: apiKey, URL: url}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := sendgrid.New(cfg, email.Config{From: "Duebell <reminders@duebell.example>", Unsubscribe: links})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mail is the part of SendGrid's request body that the tests check.
type mail struct {
	From             struct{ Email, Name string }
	Subject          string
	Personalizations []struct {
		To []struct{ Email string }
	}
	Content    []struct{ Type, Value string }
	Headers    map[string]string
	CustomArgs map[string]string `json:"custom_args"`
}

func TestSend(t *testing.T) {
	var got mail
	var key, contentType, path string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, contentType, path = r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Method+" "+r.URL.Path
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	m := message()
	m.Title = "Pay <b>rent</b>\r\nBcc: eve@example.com"
	if err := channel(t, s.URL+"/").Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if key != "Bearer "+apiKey || contentType != "application/json" || path != "POST /v3/mail/send" {
		t.Errorf("request: %s %s %s", path, key, contentType)
	}
	if got.Subject != "Reminder: Pay <b>rent</b> Bcc: eve@example.com" {
		t.Errorf("subject %q", got.Subject)
	}
	if got.From.Email != "reminders@duebell.example" || got.From.Name != "Duebell" || got.Personalizations[0].To[0].Email != "ada@example.com" {
		t.Errorf("from %v to %v", got.From, got.Personalizations)
	}
	if got.CustomArgs["delivery_id"] != m.ID.String() {
		t.Errorf("custom args %v", got.CustomArgs)
	}
	text, html := got.Content[0], got.Content[1]
	if text.Type != "text/plain" || !strings.Contains(text.Value, "Due Mon, 23 Nov 2026 14:30 UTC") || !strings.Contains(text.Value, "Bank transfer") {
		t.Errorf("text part: %+v", text)
	}
	if html.Type != "text/html" || strings.Contains(html.Value, "<b>") || !strings.Contains(html.Value, "&lt;b&gt;rent") {
		t.Errorf("HTML part: %+v", html)
	}
}

func TestUnsubscribeLink(t *testing.T) {
	var got mail
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = mail{}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	m := message()
	m.UserID = "ada"
	m.Zone = time.FixedZone("CET", 3600)

	links := unsubscribe.Config{PublicURL: "https://api.example.com", Keys: unsubscribe.Keys{Keys: []config.Secret{"a-key-of-at-least-32-characters-!!"}}}
	if err := channelWithLinks(t, s.URL, links).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	link := links.Link("ada", "ada@example.com")
	if got.Headers["List-Unsubscribe"] != "<"+link+">" || got.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" {
		t.Errorf("headers %v", got.Headers)
	}
	text, html := got.Content[0].Value, got.Content[1].Value
	if !strings.HasSuffix(text, "\n-- \nNo more reminders to this address: "+link+"\n") || !strings.Contains(html, `<a href="`+link+`">`) {
		t.Errorf("the link is missing in %s or %s", text, html)
	}
	for _, part := range []string{text, html} {
		// In the HTML, + is written as an entity.
		if part = strings.ReplaceAll(part, "&#43;", "+"); !strings.Contains(part, "Due Mon, 23 Nov 2026 15:30 CET (UTC+01:00)") {
			t.Errorf("not in the user's time zone: %s", part)
		}
	}

	if err := channel(t, s.URL).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if len(got.Headers) > 0 || strings.Contains(got.Content[0].Value, "--") || strings.Contains(got.Content[1].Value, "<a") {
		t.Errorf("without links: %+v", got)
	}
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Provider{
		Open:    func(t *testing.T, url string) notifytest.Channel { return channel(t, url) },
		To:      "ada@example.com",
		Secrets: []string{apiKey},
		Accept:  func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
		Refusal: func(text string) string {
			body, _ := json.Marshal(map[string]any{"errors": []any{map[string]any{"message": text, "field": "personalizations.0.to", "help": nil}}})
			return string(body)
		},
		Shown: func(_ *http.Request, body []byte) (string, error) {
			var m mail
			if err := json.Unmarshal(body, &m); err != nil {
				return "", err
			}
			if strings.ContainsAny(m.Subject, "\r\n\x00") || len(m.Personalizations) != 1 || len(m.Personalizations[0].To) != 1 {
				return "", fmt.Errorf("subject %q to %v", m.Subject, m.Personalizations)
			}
			return m.Subject, nil
		},
	})
}

func TestConfig(t *testing.T) {
	bad := sendgrid.Config{APIKey: apiKey, URL: "ftp://x"}
	err := bad.Validate()
	if err == nil || !strings.Contains(err.Error(), "SENDGRID_URL") || strings.Contains(err.Error(), apiKey) {
		t.Errorf("got %v", err)
	}
	if (sendgrid.Config{}).Enabled() {
		t.Error("enabled without a key")
	}
}
