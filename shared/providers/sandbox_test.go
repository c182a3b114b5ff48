package providers_test

import (
	"maps"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/vapid"
)

// open opens every provider with a sandbox.
func open(t *testing.T) (*sandbox.Sandbox, string, deliver.Channels) {
	t.Helper()
	s := sandbox.New()
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	mail, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mail.Close() })
	go func() { _ = s.ServeSMTP(mail, nil) }() // ends with the listener
	variables := s.Environment(server.URL)
	maps.Copy(variables, sandbox.SMTPEnvironment(mail.Addr().String()))
	key, err := vapid.New()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(variables, map[string]string{"WEBPUSH_KEY": private.Reveal(), "WEBPUSH_PUBLIC_KEY": key.Public, "WEBPUSH_SUBJECT": "mailto:ops@example.com"})
	environ := []string{"EMAIL_FROM=Düebell <reminders@duebell.example>", "WEBHOOK_ALLOWED_HOSTS=" + strings.TrimPrefix(server.URL, "http://"), "EVENTS_ENABLED=false"}
	for name, value := range variables {
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Parse[providers.Config](environ)
	if err != nil {
		t.Fatal(err)
	}
	channels, err := providers.Open(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, server.URL, channels
}

var recipients = map[string]string{
	"sendgrid": "ada@bücher.example", "ses": "ada@bücher.example", "smtp": "ada@bücher.example", "twilio": "+4915112345678", "sns": "+4915112345678",
	"fcm": "abc:DEF-1_2", "onesignal": "1dd608f2-c6a1-11e3-851d-000c2940e62c", "webhook": sandbox.WebhookPath + "/mine",
	"webpush": sandbox.WebPushPath + "/mine",
}

// What each provider's own library sends is what the provider takes, and what comes
// back is understood.
func TestEveryProvider(t *testing.T) {
	s, base, channels := open(t)
	tried := 0
	for channel, list := range channels {
		for _, p := range list {
			t.Run(p.Name, func(t *testing.T) {
				tried++
				due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
				m := notify.Message{
					ID: uuid.Must(uuid.NewV7()), TaskID: uuid.Must(uuid.NewV7()), UserID: "ada", To: recipients[p.Name],
					Title: "Pay the rent für 1 € 😀 {{ x }}", Notes: "Bank transfer", DueDate: &due, Links: notifytest.Links,
				}
				if channel == task.Webhook {
					m.To = base + m.To
				}
				if p.Name == sandbox.WebPush {
					to := sandbox.Subscription(base, "mine")
					m.To, m.Subscription = to.Endpoint, &to
				}
				for _, test := range []struct {
					fault sandbox.Fault
					want  notify.Kind
				}{
					{sandbox.Fault{Status: 503, RetryAfter: time.Minute}, notify.Retry},
					{sandbox.Fault{Status: 429}, notify.Retry},
					{sandbox.Fault{Cut: sandbox.CutBefore}, notify.Unknown},
					{sandbox.Fault{Cut: sandbox.CutAfter}, notify.Unknown},
					{sandbox.Fault{}, ""},
				} {
					if p.Name == "smtp" && test.fault.Status != 0 {
						test.fault.Status = 451
					}
					if test.want != "" {
						test.fault.Provider, test.fault.Times = p.Name, 1
						s.Fail(test.fault)
					}
					err := p.Send(t.Context(), m)
					kind, after := notify.KindOf(err)
					if err == nil {
						kind = ""
					}
					if kind != test.want || test.fault.RetryAfter > after && p.Name != "smtp" {
						t.Errorf("%+v: %v after %v, want %q", test.fault, err, after, test.want)
					}
				}
				check(t, s, p.Name, m)
			})
		}
	}
	if tried != len(recipients) {
		t.Errorf("%d providers were tried, not %d", tried, len(recipients))
	}
}

// check checks the two messages that a provider has taken of one delivery: the one that it
// could not confirm, and the one that it did. OneSignal knows that they are one.
func check(t *testing.T, s *sandbox.Sandbox, provider string, m notify.Message) {
	t.Helper()
	var got []sandbox.Message
	for _, each := range s.Messages() {
		if each.Provider == provider {
			got = append(got, each)
		}
	}
	if provider == sandbox.OneSignal && len(got) == 1 {
		got = append(got, got[0])
		got[1].Cut = false
	}
	if len(got) != 2 || !got[0].Cut || got[1].Cut {
		t.Fatalf("it took %+v", got)
	}
	last := got[1]
	if last.To != strings.ReplaceAll(m.To, "bücher", "xn--bcher-kva") || provider != sandbox.Twilio && last.DeliveryID != m.ID.String() {
		t.Errorf("it took %+v", last)
	}
	if text := strings.ReplaceAll(last.Subject+"\n"+last.Body, "\u2060", ""); !strings.Contains(text, m.Title) && !strings.Contains(text, "Pay the rent für 1 € 😀...") {
		t.Errorf("it tells %q", text)
	}
}
