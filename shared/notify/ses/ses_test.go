package ses_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/aws"
	"github.com/duebell/duebell/shared/notify/email"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/ses"
)

const secret = "very/secret+key"

func channel(t *testing.T, url string) *ses.Channel {
	t.Helper()
	cfg := ses.Config{Region: "eu-central-1", URL: url}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := ses.New(cfg, aws.Config{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: secret}, email.Config{From: "Düebell <reminders@duebell.example>"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Provider{
		Open:    func(t *testing.T, url string) notifytest.Channel { return channel(t, url) },
		To:      "ada@example.com",
		Secrets: []string{secret},
		Accept: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"MessageId":"0100"}`)
		},
		Refusal: func(text string) string {
			body, _ := json.Marshal(map[string]string{"__type": "BadRequestException", "message": text})
			return string(body)
		},
		Shown: func(_ *http.Request, body []byte) (string, error) {
			var m struct {
				Destination struct{ ToAddresses []string }
				Content     struct {
					Simple struct{ Subject struct{ Data string } }
				}
			}
			if err := json.Unmarshal(body, &m); err != nil {
				return "", err
			}
			subject := m.Content.Simple.Subject.Data
			if strings.ContainsAny(subject, "\r\n\x00") || len(m.Destination.ToAddresses) != 1 {
				return "", fmt.Errorf("subject %q to %v", subject, m.Destination)
			}
			return subject, nil
		},
	})
}

// A 400 that is about the operator's account does not give the reminder up.
func TestErrorsOfTheAccount(t *testing.T) {
	for code, want := range map[string]notify.Kind{
		`"AccountSuspendedException"`:          notify.Retry,
		`"SendingPausedException"`:             notify.Retry,
		`"MailFromDomainNotVerifiedException"`: notify.Retry,
		`"LimitExceededException"`:             notify.Retry,
		`"ThrottlingException"`:                notify.Retry,
		`"MessageRejected","message":"Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: reminders@duebell.example"`: notify.Retry,
		`"MessageRejected","message":"Email contains a virus"`: notify.Permanent,
		`"BadRequestException"`:                                notify.Permanent,
		`"AccessDeniedException"`:                              notify.Retry,
		`"NotAuthorized"`:                                      notify.Retry,
		`"IncompleteSignature"`:                                notify.Retry,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":`+code+`}`)
		}))
		err := channel(t, s.URL).Send(t.Context(), notify.Message{To: "ada@example.com", Title: "Pay rent"})
		if kind, _ := notify.KindOf(err); kind != want {
			t.Errorf("%s: %v, want %s", code, err, want)
		}
		s.Close()
	}
}

func TestConfig(t *testing.T) {
	if err := (ses.Config{Region: "eu-central-1", URL: "ftp://x"}).Validate(); err == nil || !strings.Contains(err.Error(), "SES_URL") {
		t.Errorf("got %v", err)
	}
	err := aws.Config{SecretAccessKey: secret}.Validate()
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
	if (ses.Config{}).Enabled() {
		t.Error("enabled without a region")
	}
}
