package fcm_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/fcm"
	"github.com/duebell/duebell/shared/notify/notifytest"
)

const (
	token  = "ya29.very-secret"
	device = "abc:DEF-1_2"
)

var privateKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

func credentials(tokenURL string) config.Secret {
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "mine", "private_key_id": "one", "private_key": privateKey(),
		"client_email": "sender@mine.iam.gserviceaccount.com", "token_uri": tokenURL,
	})
	if err != nil {
		panic(err)
	}
	return config.Secret(file)
}

// tokens serves Google's access tokens, and counts them. If status is not 0, it refuses with that
// status.
func tokens(t *testing.T, status int) (url string, count *int) {
	t.Helper()
	count = new(int)
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		*count++
		w.Header().Set("Content-Type", "application/json")
		if status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"no"}`)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"`+token+`","expires_in":3599,"token_type":"Bearer"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL, count
}

func channel(t *testing.T, url, tokenURL string) *fcm.Channel {
	t.Helper()
	cfg := fcm.Config{Credentials: credentials(tokenURL), URL: url}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := fcm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	tokenURL, _ := tokens(t, 0)
	notifytest.Run(t, notifytest.Provider{
		Open:    func(t *testing.T, url string) notifytest.Channel { return channel(t, url, tokenURL) },
		To:      device,
		Secrets: []string{token},
		Accept:  func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"name":"projects/mine/messages/0:1"}`) },
		Refusal: func(text string) string {
			body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": 400, "message": text, "status": "INVALID_ARGUMENT"}})
			return string(body)
		},
		Shown: func(r *http.Request, body []byte) (string, error) {
			var sent struct {
				Message struct {
					Token        string
					Notification struct{ Title, Body string }
				}
			}
			if err := json.Unmarshal(body, &sent); err != nil {
				return "", err
			}
			m := sent.Message
			if m.Token != device || r.URL.Path != "/v1/projects/mine/messages:send" || r.Header.Get("Authorization") != "Bearer "+token ||
				len(m.Notification.Title)+len(m.Notification.Body) > 3700 {
				return "", fmt.Errorf("%s to %q: %d and %d bytes", r.URL.Path, m.Token, len(m.Notification.Title), len(m.Notification.Body))
			}
			return m.Notification.Title, nil
		},
	})
}

func TestWhoIsGone(t *testing.T) {
	tokenURL, _ := tokens(t, 0)
	for name, test := range map[string]struct {
		status int
		body   string
		kind   notify.Kind
		gone   bool
	}{
		"unregistered": {404, `{"error":{"message":"Requested entity was not found.","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}`, notify.Permanent, true},
		"no token": {
			400, `{"error":{"message":"The registration token is not a valid FCM registration token","details":[{"errorCode":"INVALID_ARGUMENT"},{"fieldViolations":[{"field":"message.token"}]}]}}`,
			notify.Permanent, true,
		},
		"no token, without the field": {
			400, `{"error":{"code":400,"message":"The registration token is not a valid FCM registration token","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}`,
			notify.Permanent, true,
		},
		"another field":   {400, `{"error":{"message":"no","details":[{"errorCode":"INVALID_ARGUMENT"},{"fieldViolations":[{"field":"message.data"}]}]}}`, notify.Permanent, false},
		"another project": {404, `<html>404</html>`, notify.Retry, false},
		"another sender":  {403, `{"error":{"message":"no","details":[{"errorCode":"SENDER_ID_MISMATCH"}]}}`, notify.Permanent, true},
		"no permission":   {403, `{"error":{"message":"no","status":"PERMISSION_DENIED"}}`, notify.Retry, false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		}))
		err := channel(t, s.URL, tokenURL).Send(t.Context(), notify.Message{To: device, Title: "Pay rent"})
		if kind, _ := notify.KindOf(err); kind != test.kind || notify.IsGone(err) != test.gone {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// Without an access token nothing is sent. A token is used again until it expires.
func TestTokens(t *testing.T) {
	hits := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits++
		_, _ = io.WriteString(w, `{}`)
	}))
	defer s.Close()
	for _, status := range []int{400, 401, 500, 503} {
		refused, _ := tokens(t, status)
		err := channel(t, s.URL, refused).Send(t.Context(), notify.Message{To: device, Title: "Pay rent"})
		if kind, _ := notify.KindOf(err); kind != notify.Retry || hits != 0 || !strings.Contains(err.Error(), fmt.Sprint(status, ": invalid_grant: no")) {
			t.Errorf("%d: %v, %d requests", status, err, hits)
		}
	}
	tokenURL, count := tokens(t, 0)
	c := channel(t, s.URL, tokenURL)
	for range 3 {
		due := time.Now()
		if err := c.Send(t.Context(), notify.Message{To: device, Title: "Pay rent", DueDate: &due}); err != nil {
			t.Fatal(err)
		}
	}
	if *count != 1 || hits != 3 {
		t.Errorf("%d tokens for %d requests", *count, hits)
	}
}

// The buttons are the message's links. A browser's service worker and an app read them from the
// data.
func TestButtons(t *testing.T) {
	tokenURL, _ := tokens(t, 0)
	var sent struct{ Message message }
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sent.Message = message{}
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	m := notify.Message{To: device, Title: "Pay rent"}
	for _, links := range []notify.Links{{}, {Done: "https://api.example.com/m/D", Snooze: "https://api.example.com/m/S"}} {
		m.Links = links
		if err := channel(t, s.URL, tokenURL).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		id := m.ID.String()
		want := message{Data: map[string]string{"task_id": m.Task(), "delivery_id": id}, Webpush: webpush{webNotification{Tag: id}}}
		if links.Done != "" {
			want.Data["done_url"], want.Data["snooze_url"] = links.Done, links.Snooze
			want.Webpush.Notification.Actions = []map[string]string{{"action": "done", "title": "Done"}, {"action": "snooze", "title": "Snooze"}}
			want.Apns.Payload = map[string]map[string]string{"aps": {"category": fcm.Category}}
		}
		if diff := cmp.Diff(want, sent.Message); diff != "" {
			t.Error(diff)
		}
	}
}

// message is the part of FCM's message that is about buttons.
type message struct {
	Data    map[string]string
	Apns    struct{ Payload map[string]map[string]string }
	Webpush webpush
}

type webpush struct{ Notification webNotification }

type webNotification struct {
	Tag     string
	Actions []map[string]string
}

func TestConfig(t *testing.T) {
	for _, wrong := range []string{"very-secret", `{"type":"service_account","private_key":"very-secret"}`, `{"type":"authorized_user","project_id":"p","private_key":"very-secret"}`} {
		err := fcm.Config{Credentials: config.Secret(wrong), URL: "x"}.Validate()
		if err == nil || !strings.Contains(err.Error(), "FCM_CREDENTIALS") || !strings.Contains(err.Error(), "FCM_URL") || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if (fcm.Config{}).Enabled() {
		t.Error("enabled without credentials")
	}
}
