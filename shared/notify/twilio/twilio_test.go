package twilio_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/sms"
	"github.com/duebell/duebell/shared/notify/twilio"
)

const (
	secret  = "verysecrettoken"
	account = "AC0123456789abcdef0123456789abcdef"

	reportURL = "https://api.example.com/api/reports/twilio"
)

func channel(t *testing.T, url, from string) *twilio.Channel {
	t.Helper()
	cfg := twilio.Config{AccountSID: account, AuthToken: secret, From: from, URL: url}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := twilio.New(cfg, reportURL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Provider{
		Open:    func(t *testing.T, url string) notifytest.Channel { return channel(t, url, "+15005550006") },
		To:      "+4915112345678",
		Secrets: []string{secret},
		Accept: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"sid":"SM1","status":"queued"}`)
		},
		Refusal: func(text string) string {
			body, _ := json.Marshal(map[string]any{"code": 21211, "message": text, "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400})
			return string(body)
		},
		Shown: func(_ *http.Request, body []byte) (string, error) {
			form, err := url.ParseQuery(string(body))
			if text := form.Get("Body"); err != nil || !sms.Fits(text) || form.Get("To") != "+4915112345678" || form.Get("From") != "+15005550006" ||
				!strings.HasPrefix(form.Get("StatusCallback"), reportURL+"?delivery_id=") || len(form) != 4 {
				return "", fmt.Errorf("%v, %w", form, err)
			}
			return form.Get("Body"), nil
		},
		Cuts: true,
	})
}

func TestSend(t *testing.T) {
	var path, from, service string
	code := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		path, from, service = user+":"+password+" "+r.URL.Path, r.PostFormValue("From"), r.PostFormValue("MessagingServiceSid")
		if code != 0 {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"code":%d,"message":"no","status":400}`, code)
		}
	}))
	defer s.Close()
	messaging := "MG0123456789abcdef0123456789abcdef"
	if err := channel(t, s.URL+"/base/", messaging).Send(t.Context(), notify.Message{To: "+4915112345678", Title: "Pay rent"}); err != nil {
		t.Fatal(err)
	}
	if path != account+":"+secret+" /base/2010-04-01/Accounts/"+account+"/Messages.json" || from != "" || service != messaging {
		t.Errorf("got %s, from %q, service %q", path, from, service)
	}
	// A 400 that is about the operator's account does not give the reminder up.
	for of, want := range map[int]notify.Kind{
		21211: notify.Permanent, 21610: notify.Permanent, 21614: notify.Permanent, 21635: notify.Permanent,
		10001: notify.Retry, 21212: notify.Retry, 21267: notify.Retry, 21408: notify.Retry, 21606: notify.Retry, 21608: notify.Retry, 21661: notify.Retry,
	} {
		code = of
		err := channel(t, s.URL, "+15005550006").Send(t.Context(), notify.Message{To: "+4915112345678", Title: "Pay rent"})
		if kind, _ := notify.KindOf(err); kind != want {
			t.Errorf("%d: %v, want %s", code, err, want)
		}
		if got, want := notify.StopOf(err), map[int]notify.Stop{21610: notify.OwnerStopped}[of]; got != want {
			t.Errorf("%d: the number is %q, want %q", code, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	err := twilio.Config{AccountSID: "AC1", AuthToken: "very secret", URL: "x"}.Validate()
	for _, want := range []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM", "TWILIO_URL"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "very secret") {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
	if (twilio.Config{}).Enabled() {
		t.Error("enabled without an account")
	}
}
