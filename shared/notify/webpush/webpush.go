// Package webpush is the push channel to browsers: Web Push (RFC 8030). Messages are encrypted for
// the browser (RFC 8291), and a key identifies the sender to the push service (RFC 8292).
//
// The user's browser chooses the push service, so it is not trusted: package guard connects to it,
// and nobody is shown its answer.
package webpush

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/guard"
	"github.com/duebell/duebell/shared/notify/push"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/vapid"
)

const (
	// timeout is the most that a request may take.
	timeout = 5 * time.Second
	// ttl is how long a push service keeps a message for a browser that is not running.
	ttl = 7 * 24 * time.Hour
)

// Config has the settings for Web Push. Without a key it is off.
type Config struct {
	Keys    vapid.Keys
	Public  vapid.Public
	Subject string `env:"WEBPUSH_SUBJECT" help:"where the operators of push services reach you, like mailto:ops@example.com or https://example.com"`
}

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.Keys.Enabled() }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	var problems []error
	if keys, err := c.Keys.Open(); err == nil && c.Public.Key != keys[0].Public {
		problems = append(problems, errors.New("WEBPUSH_PUBLIC_KEY must be the public key of the first WEBPUSH_KEY: browsers would subscribe for another"))
	}
	if !isSubject(c.Subject) {
		problems = append(problems, errors.New("WEBPUSH_SUBJECT must be where the operators of push services reach you: mailto: and an e-mail address, or a URL that begins with https://, at a domain of the Internet, as Apple takes no other"))
	}
	return errors.Join(problems...)
}

func isSubject(subject string) bool {
	host := ""
	if address, ok := strings.CutPrefix(subject, "mailto:"); ok {
		parsed, err := mail.ParseAddress(address)
		if err != nil || parsed.Address != address {
			return false
		}
		host = address[strings.LastIndexByte(address, '@')+1:]
	} else if u, err := url.Parse(subject); err == nil && u.Scheme == "https" {
		host = u.Hostname()
	}
	return preferences.IsPublic(host)
}

// Channel sends Web Push. It is safe for concurrent use.
type Channel struct {
	subject string
	keys    []vapid.Key
	rules   preferences.Rules
	client  *http.Client
	timeout time.Duration
}

// New returns the channel. The configuration must be valid.
func New(cfg Config, rules preferences.Rules) (*Channel, error) {
	keys, err := cfg.Keys.Open()
	if err != nil {
		return nil, err
	}
	return &Channel{cfg.Subject, keys, rules, guard.NewClient(rules, net.DefaultResolver), timeout}, nil
}

// Send sends one message to the browser of m.Subscription. The error is a *notify.Error. It is Gone
// if the push service answers 404 or 410.
//
// A push service takes only the key that its browser has subscribed with. While there are two keys,
// Send tries the second one if the first is refused. A service that refuses a key has not taken the
// message.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	to := m.Subscription
	if to == nil {
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("the browser's subscription is missing")}
	}
	if err := c.rules.CheckEndpoint(to.Endpoint); err != nil { // the rules may have changed
		problem := err.Error()
		if f, ok := errors.AsType[*fault.Error](err); ok {
			problem = f.Message
		}
		return &notify.Error{Kind: notify.Permanent, Err: errors.New(problem)}
	}
	body, err := to.Encrypt(payload(m))
	if err != nil {
		return &notify.Error{Kind: notify.Permanent, Err: errors.New("the message can't be encrypted for this browser; subscribe anew")}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var outcome error
	for _, key := range c.keys {
		var status int
		if status, outcome = c.post(ctx, m, key, body); !refusesKey(status) {
			break
		}
	}
	return outcome
}

// refusesKey reports whether a status may mean that the browser has subscribed with another key.
// Services use each of these.
func refusesKey(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// post makes one request. It returns the answer's status, 0 if there is none, and what it means.
func (c *Channel) post(ctx context.Context, m notify.Message, key vapid.Key, body []byte) (status int, outcome error) {
	req, err := request(ctx, m, key, c.subject, body)
	if err != nil {
		return 0, &notify.Error{Kind: notify.Permanent, Err: err}
	}
	resp, err := c.client.Do(req)
	if errors.Is(err, preferences.ErrNotPublic) {
		slog.InfoContext(ctx, "a browser's push service has an address that is not on the public Internet", "delivery_id", m.ID)
	}
	if err != nil {
		return 0, notify.FromTransport(err) // the same error for hosts that are not public: see package webhook
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		return resp.StatusCode, &notify.Error{
			Kind: notify.Permanent, Gone: true,
			Err: errors.New("the push service has answered that this browser is not subscribed any more (" + strconv.Itoa(resp.StatusCode) + "), so it is taken out of your devices"),
		}
	}
	return resp.StatusCode, notify.FromStatus(resp.StatusCode, resp.Header, "", time.Now())
}

func request(ctx context.Context, m notify.Message, key vapid.Key, subject string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Subscription.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the browser's endpoint can't be used")
	}
	authorization, err := key.Authorization(req.URL.Scheme+"://"+req.URL.Host, subject, time.Now())
	if err != nil {
		return nil, errors.New("the message can't be signed")
	}
	req.Header.Set("Authorization", authorization.Reveal())
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Content-Encoding", "aes128gcm")
	req.Header.Set("User-Agent", "Duebell")
	req.Header.Set("TTL", strconv.Itoa(int(ttl.Seconds())))
	req.Header.Set("Urgency", urgency(m))
	req.Header.Set("Topic", topic(m))
	return req, nil
}

// urgency says how urgent a message is for a browser that saves its battery (RFC 8030, section
// 5.3). Below high, a phone that sleeps would show it only when it wakes by itself.
func urgency(notify.Message) string { return "high" }

// topic makes a message that is sent again replace the first, if the service still keeps that (RFC
// 8030, section 5.4). It has 22 of the 32 characters that are allowed.
func topic(m notify.Message) string { return base64.RawURLEncoding.EncodeToString(m.ID[:]) }

// shown is what the page's service worker gets. docs/channels.md describes it.
type shown struct {
	DeliveryID string   `json:"delivery_id"`
	TaskID     string   `json:"task_id"`
	Title      string   `json:"title"`
	Body       string   `json:"body"`
	Language   string   `json:"language"`
	Actions    []action `json:"actions,omitempty"`
}

// action is a button. A click posts to its URL.
type action struct {
	Action string `json:"action"`
	Title  string `json:"title"`
	URL    string `json:"url"`
}

// payload returns the message as JSON. Its text is cut so that it fits.
func payload(m notify.Message) []byte {
	s := shown{DeliveryID: m.ID.String(), TaskID: push.Data(m)["task_id"], Language: m.Lang()}
	for _, a := range m.Actions() {
		s.Actions = append(s.Actions, action{a.ID, a.Text, a.URL})
	}
	write := func() []byte {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s); err != nil {
			panic(err) // it has only strings
		}
		return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	into := func(field *string) func(string) bool {
		return func(text string) bool {
			*field = text
			return len(write()) <= subscription.MaxPlaintext
		}
	}
	s.Title = notify.Cut(push.Title(m), into(&s.Title))
	s.Body = notify.Cut(push.Body(m), into(&s.Body))
	return write()
}
