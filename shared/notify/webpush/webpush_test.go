package webpush

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/vapid"
)

const subject = "mailto:ops@example.com"

// browser is a subscribed browser. It can decrypt messages.
type browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

func newBrowser(t *testing.T) browser {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	auth := make([]byte, 16)
	_, _ = rand.Read(auth)
	return browser{key, auth}
}

func (b browser) subscription(endpoint string) *subscription.Subscription {
	encode := base64.RawURLEncoding.EncodeToString
	return &subscription.Subscription{Endpoint: endpoint, Keys: subscription.Keys{P256dh: encode(b.key.PublicKey().Bytes()), Auth: encode(b.auth)}}
}

func (b browser) read(body []byte) (s shown, err error) {
	if len(body) > 4096 {
		return s, fmt.Errorf("a body of %d bytes", len(body))
	}
	message, err := subscription.Decrypt(body, b.key, b.auth)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(message, &s)
}

func newKey(t *testing.T) (public string, private config.Secret) {
	t.Helper()
	key, err := vapid.New()
	if err != nil {
		t.Fatal(err)
	}
	if private, err = key.Private(); err != nil {
		t.Fatal(err)
	}
	return key.Public, private
}

// allow returns rules that allow the URL's host only.
func allow(url string) preferences.Rules {
	host, _, _ := strings.Cut(url[strings.Index(url, "://")+3:], "/")
	return preferences.Rules{AllowedHosts: []string{host}}
}

func open(t *testing.T, rules preferences.Rules, keys ...config.Secret) *Channel {
	t.Helper()
	c, err := New(Config{Keys: vapid.Keys{Keys: keys}, Subject: subject}, rules)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func message(to *subscription.Subscription) notify.Message {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	return notify.Message{
		ID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000001"), TaskID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000002"),
		UserID: "ada", Title: "Pay <rent> & \"more\" 😀", Notes: "Bank transfer", DueDate: &due, Subscription: to,
	}
}

// fixed sends to one browser.
type fixed struct {
	*Channel
	to *subscription.Subscription
}

func (f fixed) Send(ctx context.Context, m notify.Message) error {
	m.Subscription = f.to
	return f.Channel.Send(ctx, m)
}

func TestConformance(t *testing.T) {
	_, private := newKey(t)
	b := newBrowser(t)
	notifytest.Run(t, notifytest.Provider{
		Open: func(t *testing.T, url string) notifytest.Channel {
			return fixed{open(t, allow(url), private), b.subscription(url + "/push/capability")}
		},
		Secrets: []string{private.Reveal(), "/push/capability", base64.RawURLEncoding.EncodeToString(b.auth)},
		Accept:  func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) },
		Kinds:   map[int]notify.Kind{404: notify.Permanent},
		Shown: func(r *http.Request, body []byte) (string, error) {
			s, err := b.read(body)
			if err == nil && (r.Header.Get("Content-Encoding") != "aes128gcm" || s.TaskID == "" || s.DeliveryID == "") {
				err = fmt.Errorf("%v: %+v", r.Header, s)
			}
			return s.Title, err
		},
	})
}

func TestRequest(t *testing.T) {
	public, private := newKey(t)
	b := newBrowser(t)
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
	}))
	defer s.Close()
	c := open(t, allow(s.URL), private)
	var topics []string
	for range 2 {
		m := message(b.subscription(s.URL + "/push/1?a=b"))
		m.Links = notify.Links{Done: "https://duebell.example.com/m/d", Snooze: "https://duebell.example.com/m/s"}
		if err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		topics = append(topics, got.Header.Get("Topic"))
	}
	if topics[0] != topics[1] || !regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`).MatchString(topics[0]) {
		t.Errorf("the topics of two tries are %q", topics)
	}
	other := message(b.subscription(s.URL))
	other.ID = uuid.Must(uuid.NewV7())
	if topic(other) == topics[0] {
		t.Error("another delivery has the same topic")
	}
	authorization := got.Header.Get("Authorization")
	token, _, _ := strings.Cut(strings.TrimPrefix(authorization, "vapid t="), ",")
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(token+".", ".")[1])
	if err != nil || !strings.Contains(string(claims), `"aud":"`+s.URL+`"`) || !strings.Contains(string(claims), `"sub":"`+subject+`"`) || !strings.HasSuffix(authorization, ", k="+public) {
		t.Errorf("%s: %s (%v)", authorization, claims, err)
	}
	if got.Method != http.MethodPost || got.URL.RequestURI() != "/push/1?a=b" || got.Header.Get("TTL") != "604800" || got.Header.Get("Urgency") != "high" || got.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
	}
	read, err := b.read(body)
	want := shown{"0197a3c2-7f00-7000-8000-000000000001", "0197a3c2-7f00-7000-8000-000000000002", "Pay <rent> & \"more\" 😀", "Due Mon, 23 Nov 2026 14:30 UTC\nBank transfer", "en", []action{
		{"done", "Done", "https://duebell.example.com/m/d"}, {"snooze", "Snooze", "https://duebell.example.com/m/s"},
	}}
	if diff := cmp.Diff(want, read); err != nil || diff != "" {
		t.Errorf("%s, %v", diff, err)
	}
}

func TestWhoIsGone(t *testing.T) {
	_, private := newKey(t)
	b := newBrowser(t)
	for status, want := range map[int]struct {
		kind notify.Kind
		gone bool
	}{
		404: {notify.Permanent, true}, 410: {notify.Permanent, true}, 413: {notify.Permanent, false}, 400: {notify.Permanent, false},
		401: {notify.Retry, false}, 403: {notify.Retry, false}, 429: {notify.Retry, false}, 503: {notify.Retry, false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		err := open(t, allow(s.URL), private).Send(t.Context(), message(b.subscription(s.URL)))
		if kind, _ := notify.KindOf(err); kind != want.kind || notify.IsGone(err) != want.gone {
			t.Errorf("%d: %v", status, err)
		}
		s.Close()
	}
}

// While there are two keys, browsers that subscribed with the old one get messages as well, each
// message once.
func TestTwoKeys(t *testing.T) {
	newPublic, newPrivate := newKey(t)
	oldPublic, oldPrivate := newKey(t)
	b := newBrowser(t)
	for _, refusal := range []int{400, 401, 403} {
		for subscribed, requests := range map[string]int{newPublic: 1, oldPublic: 2, "neither": 2} {
			tried, taken := 0, 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tried++
				if !strings.HasSuffix(r.Header.Get("Authorization"), ", k="+subscribed) {
					w.WriteHeader(refusal)
					return
				}
				taken++
				w.WriteHeader(http.StatusCreated)
			}))
			err := open(t, allow(s.URL), newPrivate, oldPrivate).Send(t.Context(), message(b.subscription(s.URL)))
			if good := subscribed != "neither"; (err == nil) != good || tried != requests || (taken == 1) != good {
				t.Errorf("%d for %s: %v after %d requests, %d taken", refusal, subscribed, err, tried, taken)
			}
			s.Close()
		}
	}
	// A message that may have been accepted is not sent again with the other key.
	for _, status := range []int{201, 404, 410, 413, 429, 500, 502, 504} {
		tried := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			tried++
			w.WriteHeader(status)
		}))
		_ = open(t, allow(s.URL), newPrivate, oldPrivate).Send(t.Context(), message(b.subscription(s.URL)))
		if tried != 1 {
			t.Errorf("%d: %d requests", status, tried)
		}
		s.Close()
	}
}

// The longest title and notes fit, whatever characters they have, and no character is cut.
func TestFits(t *testing.T) {
	b := newBrowser(t)
	for _, text := range append([]string{strings.Repeat("\"", 500), strings.Repeat("\\", 500), strings.Repeat("👨‍👩‍👧‍👦", 70), strings.Repeat("\u2028", 500)}, notifytest.Texts...) {
		m := message(b.subscription("https://push.example.com/"))
		m.Title, m.Notes = text, strings.Repeat(text+"\n", 20)
		p := payload(m)
		var s shown
		if err := json.Unmarshal(p, &s); err != nil || len(p) > subscription.MaxPlaintext || s.Title != m.Headline() {
			t.Fatalf("%.20q: %d bytes, %v, title %.40q", text, len(p), err, s.Title)
		}
		if cut, ok := strings.CutSuffix(s.Body, "..."); ok && !strings.HasSuffix(cut, "👨‍👩‍👧‍👦") && strings.HasPrefix(text, "👨") {
			t.Errorf("a character is cut: %q", cut[len(cut)-30:])
		}
		if strings.ContainsRune(s.Body, '\ufffd') {
			t.Errorf("%.20q: half a character", text)
		}
	}
}

// A subscription that may not be chosen today gets nothing, and no connection to a private address
// is made.
func TestGuarded(t *testing.T) {
	_, private := newKey(t)
	b := newBrowser(t)
	c := open(t, preferences.Rules{}, private)
	for _, endpoint := range []string{"http://push.example.com/", "https://127.0.0.1/", "https://push.example.com:25/", "https://kubernetes.default/", "ftp://push.example.com/", ""} {
		err := c.Send(t.Context(), message(b.subscription(endpoint)))
		if kind, _ := notify.KindOf(err); kind != notify.Permanent || notify.IsGone(err) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	if err := c.Send(t.Context(), message(nil)); err == nil {
		t.Error("a message to nobody is sent")
	}
	response, err := c.client.Get("https://127.0.0.1:1/")
	if !errors.Is(err, preferences.ErrNotPublic) {
		t.Errorf("%v", err)
	}
	if err == nil {
		response.Body.Close()
	}
}

func TestConfig(t *testing.T) {
	public, private := newKey(t)
	other, _ := newKey(t)
	for _, tt := range []struct{ key, public, subject, problem string }{
		{private.Reveal(), public, "mailto:ops@example.com", ""},
		{private.Reveal(), public, "https://example.com", ""},
		{private.Reveal(), public, "https://example.com/contact", ""},
		{"", "", "", ""},
		{"", public, "", ""}, // which says what pages subscribe for, and nothing is sent
		{private.Reveal(), "", subject, "WEBPUSH_PUBLIC_KEY must be the public key of the first"},
		{private.Reveal(), other, subject, "WEBPUSH_PUBLIC_KEY must be the public key of the first"},
		{private.Reveal(), "x", subject, "WEBPUSH_PUBLIC_KEY must be a public key"},
		{"x", public, subject, "WEBPUSH_KEY must be a private key"},
		{private.Reveal(), public, "", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "ops@example.com", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "mailto:", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "mailto:ops", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "mailto:ops@localhost", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "mailto:ops@mail.local", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "mailto:Ops <ops@example.com>", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "http://example.com", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "https://", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "https://localhost", "WEBPUSH_SUBJECT"},
		{private.Reveal(), public, "tel:+15551234567", "WEBPUSH_SUBJECT"},
	} {
		cfg, err := config.Parse[Config]([]string{"WEBPUSH_KEY=" + tt.key, "WEBPUSH_PUBLIC_KEY=" + tt.public, "WEBPUSH_SUBJECT=" + tt.subject})
		if (err == nil) != (tt.problem == "") || err != nil && (!strings.Contains(err.Error(), tt.problem) || strings.Contains(err.Error(), private.Reveal())) {
			t.Errorf("%q, %q: %v", tt.public, tt.subject, err)
		}
		if err == nil && cfg.Enabled() != (tt.key != "") {
			t.Errorf("%q: enabled is %v", tt.key, cfg.Enabled())
		}
	}
}
