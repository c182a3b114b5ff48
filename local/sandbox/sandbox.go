// Package sandbox replaces the providers of messages. It has their APIs as they are published,
// stores what it gets instead of delivering it, and fails when it is told to. It refuses what a
// provider would refuse: unknown fields, wrong types, and what is missing, too long, or signed with
// another key.
//
// Its handler serves
//
//	POST   /dev/sendgrid/v3/mail/send                             SendGrid
//	POST   /dev/ses/v2/email/outbound-emails                      Amazon SES, API v2
//	POST   /dev/sns/                                              Amazon SNS, Publish to a phone
//	POST   /dev/twilio/2010-04-01/Accounts/{sid}/Messages.json    Twilio
//	POST   /dev/fcm/v1/projects/{project}/messages:send           Firebase Cloud Messaging
//	POST   /dev/google/token                                      Google's tokens for service accounts
//	POST   /dev/onesignal/notifications                           OneSignal
//	POST   /dev/webpush/{browser}                                 the push service of browsers, and the browsers
//	POST   /dev/webhooks/{anything}                               a webhook that takes everything
//	POST   /dev/hanging/{anything}                                a webhook that takes everything and never answers
//	GET    /dev/messages                what was sent, newest last
//	POST   /dev/faults                  fail from now on: {"provider", "status", "retry_after",
//	                                    "delay", "cut", "times"}, see Fault
//	DELETE /dev/faults                  never fail again
//	POST   /dev/reports                 have a provider report: {"provider", "delivery_id", "event"} or
//	                                    {"provider": "twilio", "from", "body"}, see Report
//	GET    /dev/sns-public/{certificate}, GET /dev/sns-public/?Action=ConfirmSubscription    what SNS serves besides
//
// and ServeSMTP is a mail server.
package sandbox

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// The providers' names, as faults and messages have them.
const (
	SendGrid  = "sendgrid"
	SES       = "ses"
	SNS       = "sns"
	Twilio    = "twilio"
	FCM       = "fcm"
	Google    = "google" // only its tokens
	OneSignal = "onesignal"
	WebPush   = "webpush"
	Webhook   = "webhook"
	SMTP      = "smtp"
)

// The providers' APIs are below these paths, which replace https://api.sendgrid.com and the like.
const (
	SendGridPath  = "/dev/sendgrid"
	SESPath       = "/dev/ses"
	SNSPath       = "/dev/sns"
	TwilioPath    = "/dev/twilio"
	FCMPath       = "/dev/fcm"
	GooglePath    = "/dev/google"
	OneSignalPath = "/dev/onesignal"
	WebPushPath   = "/dev/webpush"
	WebhookPath   = "/dev/webhooks"
	HangingPath   = "/dev/hanging"
)

// provider is a provider's HTTP API.
type provider struct {
	name, path string
	maxBytes   int64
	// complain writes an error as the provider does.
	complain func(w http.ResponseWriter, status int, message string)
	// serve answers a request to any path below the provider's, and passes what it accepts to
	// Sandbox.accept before it answers.
	serve func(s *Sandbox, w http.ResponseWriter, r *http.Request, body []byte, f Fault)
}

var providers = []provider{
	{SendGrid, SendGridPath, 30 << 20, sendGridComplain, (*Sandbox).serveSendGrid},
	{SES, SESPath, 40 << 20, sesComplain, (*Sandbox).serveSES},
	{SNS, SNSPath, 256 << 10, snsComplain, (*Sandbox).serveSNS},
	{Twilio, TwilioPath, 64 << 10, twilioComplain, (*Sandbox).serveTwilio},
	{FCM, FCMPath, 64 << 10, fcmComplain, (*Sandbox).serveFCM},
	{Google, GooglePath, 64 << 10, googleComplain, (*Sandbox).serveGoogle},
	{OneSignal, OneSignalPath, 1 << 20, oneSignalComplain, (*Sandbox).serveOneSignal},
	{WebPush, WebPushPath, webPushMaxBytes, webPushComplain, (*Sandbox).serveWebPush},
	{Webhook, WebhookPath, 1 << 20, webhookComplain, (*Sandbox).serveWebhook},
}

// maxMessages bounds the memory for messages. Older ones are deleted.
const maxMessages = 500_000

// deliveryID is the name that senders give their id of a message, if a provider allows names.
const deliveryID = "delivery_id"

// Message is a message that a provider accepted, one for each recipient.
type Message struct {
	Provider   string    `json:"provider"`
	To         string    `json:"to"`
	Subject    string    `json:"subject,omitempty"`
	Body       string    `json:"body"`
	ReceivedAt time.Time `json:"received_at"`
	// DeliveryID is the sender's own id of the message, the same in every attempt; "" if it sent
	// none.
	DeliveryID string `json:"delivery_id,omitempty"`
	// Cut says that the sender can't know that the message was accepted: the connection was cut, or
	// the sender had hung up.
	Cut bool `json:"cut,omitzero"`
}

// Fault says how a provider fails, or is slow.
type Fault struct {
	// Provider is who fails.
	Provider string
	// Status, if not zero, is the answer, and the message is not accepted.
	Status int
	// RetryAfter is told along with the status, in whole seconds.
	RetryAfter time.Duration
	// Delay passes before the message is read. It is read even if its sender hangs up meanwhile.
	Delay time.Duration
	// Cut is when the connection is cut instead of answering, if at all.
	Cut Cut
	// Times is how often this happens; 0 means until the faults are cleared.
	Times int
}

// Cut is a moment at which a connection is cut.
type Cut string

// The moments: before the message is accepted, and after.
const (
	CutBefore Cut = "before"
	CutAfter  Cut = "after"
)

// The keys of the providers' APIs. They are valid for a sandbox only.
const (
	sendGridKey    = "SG.sandbox"
	awsID          = "AKIAIOSFODNN7EXAMPLE" // Amazon's own example
	awsSecret      = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	twilioAccount  = "AC00000000000000000000000000000000"
	twilioSecret   = "11111111111111111111111111111111"
	googleProject  = "duebell-sandbox"
	googleAccount  = "sender@duebell-sandbox.iam.gserviceaccount.com"
	oneSignalApp   = "4f0cf79e-5a3e-4c58-8a4c-5a5b2a1d7c1e"
	oneSignalKey   = "os_v2_app_sandbox"
	smtpUser       = "duebell"
	smtpPassword   = "sandbox"
	twilioGoodFrom = "+15005550006" // Twilio's own example
)

// Sandbox is safe for concurrent use.
type Sandbox struct {
	mu       sync.Mutex
	messages []Message
	faults   []Fault           // the first one that is of the provider counts
	tokens   map[string]bool   // Google's, that FCM accepts
	sent     map[string]string // OneSignal's notifications, by their idempotency keys
	reporter
}

// New returns a sandbox. Environment tells how to send to it.
func New() *Sandbox {
	return &Sandbox{tokens: map[string]bool{}, sent: map[string]string{}, reporter: newReporter()}
}

// Environment returns the variables by which Duebell's functions send to this sandbox, whose
// handler is served at the URL base. Those of its mail server are missing.
func (s *Sandbox) Environment(base string) map[string]string {
	s.reportTo(base)
	return map[string]string{
		"SENDGRID_EVENTS_KEY": s.sendGridPublicKey(), "SES_EVENTS_TOPICS": snsTopic, "SES_EVENTS_URL": base + strings.TrimRight(snsFetchPath, "/"),
		"SENDGRID_API_KEY": sendGridKey, "SENDGRID_URL": base + SendGridPath,
		"AWS_ACCESS_KEY_ID": awsID, "AWS_SECRET_ACCESS_KEY": awsSecret,
		"SES_REGION": "eu-central-1", "SES_URL": base + SESPath,
		"SNS_REGION": "eu-central-1", "SNS_URL": base + SNSPath,
		"TWILIO_ACCOUNT_SID": twilioAccount, "TWILIO_AUTH_TOKEN": twilioSecret, "TWILIO_FROM": twilioGoodFrom, "TWILIO_URL": base + TwilioPath,
		"FCM_CREDENTIALS": googleCredentials(base), "FCM_URL": base + FCMPath,
		"ONESIGNAL_APP_ID": oneSignalApp, "ONESIGNAL_API_KEY": oneSignalKey, "ONESIGNAL_URL": base + OneSignalPath,
	}
}

// Messages returns what was accepted, newest last.
func (s *Sandbox) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message{}, s.messages...)
}

// Fail makes a provider fail. Several faults of one provider happen one after the other.
func (s *Sandbox) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Heal clears the faults of the providers that are named, or all if none is.
func (s *Sandbox) Heal(providers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(f Fault) bool { return len(providers) == 0 || slices.Contains(providers, f.Provider) })
}

// Handler serves what the package's comment lists.
func (s *Sandbox) Handler() http.Handler {
	own := web.NewMux(web.Routes{
		"GET /dev/messages":                     s.list,
		"POST /dev/faults":                      s.fail,
		"DELETE /dev/faults":                    s.heal,
		"POST /dev/reports":                     s.report,
		"GET " + snsFetchPath + "{certificate}": s.certificate,
		"GET " + snsFetchPath + "{$}":           s.confirmed,
	})
	mux := http.NewServeMux()
	mux.Handle("/", own)
	mux.HandleFunc("POST "+HangingPath+"/", hang)
	for _, p := range providers {
		api := http.StripPrefix(p.path, s.handler(p))
		mux.Handle(p.path, api)
		mux.Handle(p.path+"/", api)
	}
	return mux
}

// handler reads a request, applies the next fault, and leaves the rest to the provider.
func (s *Sandbox) handler(p provider) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, p.maxBytes))
		f := s.next(p.name)
		if suffer(w, r, f, p.complain) {
			return
		}
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			p.complain(w, http.StatusRequestEntityTooLarge, "The request is too large.")
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the sender hung up
		}
		p.serve(s, w, r, body, f)
	})
}

func (s *Sandbox) list(w http.ResponseWriter, _ *http.Request) error {
	return web.WriteJSON(w, http.StatusOK, s.Messages())
}

func (s *Sandbox) heal(w http.ResponseWriter, _ *http.Request) error {
	s.Heal()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Sandbox) fail(w http.ResponseWriter, r *http.Request) error {
	var wanted struct {
		Provider   string `json:"provider"`
		Status     int    `json:"status"`
		RetryAfter string `json:"retry_after"`
		Delay      string `json:"delay"`
		Cut        Cut    `json:"cut"`
		Times      int    `json:"times"`
	}
	// It takes JSON only, which a page from elsewhere cannot send without asking.
	if err := web.ReadJSON(w, r, &wanted); err != nil {
		return err
	}
	retryAfter, retryErr := duration(wanted.RetryAfter)
	delay, delayErr := duration(wanted.Delay)
	switch {
	case wanted.Provider != SMTP && !slices.ContainsFunc(providers, func(p provider) bool { return p.name == wanted.Provider }):
		return fault.Invalid("provider must be one of %s", names())
	case wanted.Status != 0 && (wanted.Status < 400 || wanted.Status > 599):
		return fault.Invalid("status must be from 400 to 599")
	case retryErr != nil || delayErr != nil:
		return fault.Invalid(`retry_after and delay must be durations like "1.5s"`)
	case wanted.Cut != "" && wanted.Cut != CutBefore && wanted.Cut != CutAfter:
		return fault.Invalid("cut must be %q or %q", CutBefore, CutAfter)
	case wanted.Times < 0:
		return fault.Invalid("times must not be negative")
	}
	s.Fail(Fault{wanted.Provider, wanted.Status, retryAfter, delay, wanted.Cut, wanted.Times})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("negative")
	}
	return d, err
}

// next returns the next fault of a provider, if there is one, and counts it.
func (s *Sandbox) next(provider string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Provider != provider {
			continue
		}
		switch f.Times {
		case 0:
		case 1:
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		default:
			s.faults[i].Times--
		}
		return f
	}
	return Fault{}
}

// suffer applies the part of a fault that comes before a message is accepted. It reports whether
// the request is answered by that. complain writes an error as the provider does.
func suffer(w http.ResponseWriter, r *http.Request, f Fault, complain func(w http.ResponseWriter, status int, message string)) bool {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	if f.Cut == CutBefore {
		panic(http.ErrAbortHandler)
	}
	if f.Status == 0 {
		return false
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatFloat(math.Ceil(f.RetryAfter.Seconds()), 'f', 0, 64))
	}
	complain(w, f.Status, fmt.Sprintf("the sandbox was told to answer %d", f.Status))
	return true
}

// accept stores the messages of a request, one for each recipient. It then applies the part of a
// fault that comes after that, and does not return in that case.
func (s *Sandbox) accept(r *http.Request, f Fault, messages ...Message) {
	cut := f.Cut == CutAfter || r.Context().Err() != nil
	s.keep(cut, messages...)
	if cut {
		panic(http.ErrAbortHandler)
	}
}

func (s *Sandbox) keep(cut bool, messages ...Message) {
	now := time.Now().UTC()
	for i := range messages {
		messages[i].ReceivedAt, messages[i].Cut = now, cut
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, messages...)
	if extra := len(s.messages) - maxMessages; extra > 0 {
		s.messages = s.messages[extra:] // append lets go of what is before, in time
	}
}

func names() string {
	text := fmt.Sprintf("%q", SMTP)
	for _, p := range providers {
		text += fmt.Sprintf(", %q", p.name)
	}
	return text
}

// answer writes a provider's answer in JSON.
func answer(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // it has only strings and numbers
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the client has hung up
}

// isSecret compares in constant time.
func isSecret(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// isMedia reports whether the request's body says to be of a media type.
func isMedia(r *http.Request, want string) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == want
}

// check decodes the body strictly, and returns what is wrong with it; "" if nothing is.
func check(body []byte, dst any) string {
	if e, ok := errors.AsType[*fault.Error](web.DecodeJSON(body, dst)); ok {
		return e.Message
	}
	return ""
}
