package sns_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/aws"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/sms"
	"github.com/duebell/duebell/shared/notify/sns"
)

const secret = "very/secret+key"

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Provider{
		Open: func(t *testing.T, url string) notifytest.Channel {
			cfg := sns.Config{Region: "eu-central-1", SenderID: "Duebell", URL: url}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			c, err := sns.New(cfg, aws.Config{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: secret})
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
		To:      "+4915112345678",
		Secrets: []string{secret},
		Accept: func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`)
		},
		Refusal: func(text string) string {
			var escaped bytes.Buffer
			_ = xml.EscapeText(&escaped, []byte(text))
			return `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameter</Code><Message>` + escaped.String() + `</Message></Error></ErrorResponse>`
		},
		Shown: func(_ *http.Request, body []byte) (string, error) {
			form, err := url.ParseQuery(string(body))
			if text := form.Get("Message"); err != nil || !sms.Fits(text) || form.Get("PhoneNumber") != "+4915112345678" {
				return "", fmt.Errorf("%v, %w", form, err)
			}
			return form.Get("Message"), nil
		},
		Cuts: true,
	})
}

// An owner's STOP to Amazon suppresses the number for all users.
func TestOptedOut(t *testing.T) {
	for code, want := range map[string]notify.Stop{"OptedOut": notify.OwnerStopped, "InvalidParameter": ""} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error></ErrorResponse>`, code)
		}))
		c, err := sns.New(sns.Config{Region: "eu-central-1", URL: s.URL}, aws.Config{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: secret})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(t.Context(), notify.Message{To: "+4915112345678", Title: "Pay rent"}); notify.StopOf(err) != want {
			t.Errorf("%s: %q, %v", code, notify.StopOf(err), err)
		}
		s.Close()
	}
}

func TestConfig(t *testing.T) {
	err := sns.Config{Region: "eu-central-1", SenderID: "a name too long", URL: "x"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "SNS_SENDER_ID") || !strings.Contains(err.Error(), "SNS_URL") {
		t.Errorf("got %v", err)
	}
	if (sns.Config{}).Enabled() {
		t.Error("enabled without a region")
	}
}
