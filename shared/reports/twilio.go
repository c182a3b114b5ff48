package reports

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // as Twilio signs
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// twilioHard are the errors of a message's status that say that the number will get none:
// https://www.twilio.com/docs/api/errors
var twilioHard = map[string]store.SuppressionReason{
	"21610": store.ReasonStopped, // its owner has said STOP to Twilio
	"30005": store.ReasonBounced, // there is no such handset
	"30006": store.ReasonBounced, // a landline
}

// twilioStop and twilioStart are the words by which Twilio takes a reply for the wish to get
// no more messages, or to get them again, but for those that could mean something else:
// https://help.twilio.com/articles/223134027
var (
	twilioStop  = []string{"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}
	twilioStart = []string{"START", "UNSTOP"}
)

// twilio reads the status of a message, or a message that came in. They are signed over the
// URL that Twilio was given and what it posts:
// https://www.twilio.com/docs/usage/security#validating-requests
func (r *Reader) twilio(in Request) ([]store.Report, error) {
	switch {
	case r.cfg.TwilioToken == "":
		return nil, NotSetUp("TWILIO_AUTH_TOKEN")
	case r.cfg.PublicURL == "":
		return nil, NotSetUp("PUBLIC_URL")
	}
	form, err := url.ParseQuery(string(in.Body))
	if err != nil {
		return nil, forged("it is no form")
	}
	query, err := url.ParseQuery(in.Query)
	if err != nil {
		return nil, forged("its query can't be read")
	}
	at := strings.TrimRight(r.cfg.PublicURL, "/") + notify.ReportPath("twilio")
	if in.Query != "" {
		at += "?" + in.Query
	}
	if given := []byte(in.Header.Get("X-Twilio-Signature")); !hmac.Equal(given, r.twilioSignature(at, form)) && !hmac.Equal(given, r.twilioSignature(withPort(at), form)) {
		return nil, forged("the signature is not by TWILIO_AUTH_TOKEN over %s and what was posted", notify.ReportPath("twilio"))
	}
	message := form.Get("MessageSid")
	if message == "" {
		return nil, fault.Invalid("the report names no message")
	}
	report := store.Report{Provider: "twilio", Channel: task.SMS}
	if status := form.Get("MessageStatus"); status != "" {
		report.EventID, report.Delivery = message+" "+status, id(query.Get(notify.DeliveryName))
		switch status {
		case "delivered", "read":
			report.Outcome = store.Delivered
		case "undelivered", "failed":
			report.Outcome, report.Stop = store.Bounced, twilioHard[form.Get("ErrorCode")]
		default: // on its way
			return nil, nil
		}
		if report.Delivery == uuid.Nil {
			return nil, nil
		}
		return []store.Report{report}, nil
	}
	report.EventID, report.Address = message, form.Get("From")
	said := strings.ToUpper(strings.TrimSpace(form.Get("Body")))
	switch optOut := form.Get("OptOutType"); {
	case optOut == "STOP", optOut == "" && slices.Contains(twilioStop, said):
		report.Stop = store.ReasonStopped
	case optOut == "START", optOut == "" && slices.Contains(twilioStart, said):
		report.Again = true
	default: // something else that somebody wrote
		return nil, nil
	}
	return []store.Report{report}, nil
}

// twilioSignature is Twilio's of a URL and a form.
func (r *Reader) twilioSignature(at string, form url.Values) []byte {
	mac := hmac.New(sha1.New, []byte(r.cfg.TwilioToken.Reveal()))
	mac.Write([]byte(at))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, value := range slices.Compact(values) {
			mac.Write([]byte(name + value))
		}
	}
	return []byte(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// withPort is a URL with its usual port written out: Twilio signs the one or the other.
func withPort(at string) string {
	u, err := url.Parse(at)
	if err != nil || u.Port() != "" {
		return at
	}
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return strings.Replace(at, u.Host, u.Host+port, 1)
}
