// Package sandbox stands in for the providers of messages: it speaks their HTTP
// APIs as they are published, keeps what it is sent instead of delivering it, and
// fails when it is told to.
//
// Its handler serves
//
//	POST   /dev/sendgrid/v3/mail/send   SendGrid's API
//	GET    /dev/messages                what was sent, newest last
//	POST   /dev/faults                  fail from now on: {"provider", "status", "retry_after",
//	                                    "delay", "cut", "times"}, see Fault
//	DELETE /dev/faults                  never fail again
package sandbox

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// SendGridPath is below what SendGrid's API is served: what its own clients have
// https://api.sendgrid.com for.
const SendGridPath = "/dev/sendgrid"

// SendGrid is the name of the one provider there is.
const SendGrid = "sendgrid"

// maxMessages bounds the memory that messages take; older ones are forgotten.
const maxMessages = 500_000

// deliveryID is what senders call their id of a message, where a provider lets them
// name things.
const deliveryID = "delivery_id"

// Message is a message that a provider accepted, one for each recipient.
type Message struct {
	Provider   string    `json:"provider"`
	To         string    `json:"to"`
	Subject    string    `json:"subject,omitempty"`
	Body       string    `json:"body"`
	ReceivedAt time.Time `json:"received_at"`
	// DeliveryID is the sender's own id of the message, the same in every try; ""
	// if it sent none.
	DeliveryID string `json:"delivery_id,omitempty"`
	// Cut says that the sender cannot know that the message was accepted: the
	// connection was cut, or the sender had hung up by then.
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
	// Delay passes before the message is looked at. It is looked at even if its
	// sender hangs up meanwhile.
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

// Sandbox is safe for concurrent use.
type Sandbox struct {
	sendGridKey string

	mu       sync.Mutex
	messages []Message
	faults   []Fault // the first one that is of the provider counts
}

// New returns a sandbox that accepts sendGridKey as the key of SendGrid's API.
func New(sendGridKey string) *Sandbox { return &Sandbox{sendGridKey: sendGridKey} }

// Messages returns what was accepted, newest last.
func (s *Sandbox) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message{}, s.messages...)
}

// Fail makes a provider fail. Faults of one provider come one after the other.
func (s *Sandbox) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Heal clears all faults.
func (s *Sandbox) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Handler serves what the package's comment lists.
func (s *Sandbox) Handler() http.Handler {
	own := web.NewMux(web.Routes{
		"GET /dev/messages":  s.list,
		"POST /dev/faults":   s.fail,
		"DELETE /dev/faults": s.heal,
	})
	mux := http.NewServeMux()
	mux.Handle("/", own)
	mux.Handle(SendGridPath+"/", http.StripPrefix(SendGridPath, http.HandlerFunc(s.serveSendGrid)))
	return mux
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
	case wanted.Provider != SendGrid:
		return fault.Invalid("provider must be %q", SendGrid)
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

// next takes the fault that is to happen to provider now, if any.
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

// suffer makes f happen as far as it comes before a message is accepted, and reports
// whether that was all: then the request is answered. complain writes the provider's
// way of saying what is wrong.
func suffer(w http.ResponseWriter, r *http.Request, f Fault, complain func(status int, message string)) bool {
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
	complain(f.Status, fmt.Sprintf("the sandbox was told to answer %d", f.Status))
	return true
}

// accept keeps the messages that r brought, one for each recipient, and makes f
// happen as far as it comes after that: then it does not return.
func (s *Sandbox) accept(r *http.Request, f Fault, messages ...Message) {
	cut := f.Cut == CutAfter || r.Context().Err() != nil
	now := time.Now().UTC()
	for i := range messages {
		messages[i].ReceivedAt, messages[i].Cut = now, cut
	}
	s.mu.Lock()
	s.messages = append(s.messages, messages...)
	if extra := len(s.messages) - maxMessages; extra > 0 {
		s.messages = s.messages[extra:] // append lets go of what is before, in time
	}
	s.mu.Unlock()
	if cut {
		panic(http.ErrAbortHandler)
	}
}
