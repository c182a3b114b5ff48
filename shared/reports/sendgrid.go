package reports

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strconv"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// SendGrid's Event Webhook, signed:
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
const (
	sendGridSignature = "X-Twilio-Email-Event-Webhook-Signature"
	sendGridTimestamp = "X-Twilio-Email-Event-Webhook-Timestamp"
)

func (c Config) sendGridKey() (*ecdsa.PublicKey, error) {
	raw, err := base64.StdEncoding.DecodeString(c.SendGridKey)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("it is no ECDSA key")
	}
	return key, nil
}

// sendGridEvent is one of SendGrid's events, as far as it matters. Our own argument comes back
// beside the members.
type sendGridEvent struct {
	ID         string `json:"sg_event_id"`
	Event      string `json:"event"`
	Type       string `json:"type"`
	Reason     string `json:"reason"`
	DeliveryID string `json:"delivery_id"`
}

// sendGridLists are the reasons for which SendGrid drops a message that are about its address,
// which may be on its lists for something that was sent before it reported to us:
// https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/email-activity-feed
var sendGridLists = map[string]store.SuppressionReason{
	"Bounced Address":        store.ReasonBounced,
	"Spam Reporting Address": store.ReasonComplained,
	"Unsubscribed Address":   store.ReasonUnsubscribed,
}

func (r *Reader) sendGrid(in Request) (reports []store.Report, err error) {
	if r.cfg.SendGridKey == "" {
		return nil, NotSetUp("SENDGRID_EVENTS_KEY")
	}
	key, err := r.cfg.sendGridKey()
	if err != nil {
		return nil, err // it was valid at the start
	}
	signature, err := base64.StdEncoding.DecodeString(in.Header.Get(sendGridSignature))
	if err != nil {
		return nil, forged("the signature is not base64")
	}
	timestamp := in.Header.Get(sendGridTimestamp)
	if _, err := strconv.ParseUint(timestamp, 10, 64); err != nil { // or some of the body could be taken for it
		return nil, forged("the timestamp is no number")
	}
	digest := sha256.New()
	digest.Write([]byte(timestamp))
	digest.Write(in.Body)
	if !ecdsa.VerifyASN1(key, digest.Sum(nil), signature) {
		return nil, forged("the signature is not by SENDGRID_EVENTS_KEY")
	}
	var events []sendGridEvent
	if err := decode(in.Body, &events); err != nil {
		return nil, err
	}
	for _, e := range events {
		report := store.Report{Provider: "sendgrid", EventID: e.ID, Channel: task.Email, Delivery: id(e.DeliveryID)}
		switch e.Event {
		case "delivered":
			report.Outcome = store.Delivered
		case "bounce":
			report.Outcome = store.Bounced
			if e.Type != "blocked" { // which is for now, or for this message
				report.Stop = store.ReasonBounced
			}
		case "dropped": // because SendGrid has the address on a list of its own, or for the message
			report.Outcome, report.Stop = store.Bounced, sendGridLists[e.Reason]
		case "spamreport":
			report.Outcome, report.Stop = store.Complained, store.ReasonComplained
		case "unsubscribe", "group_unsubscribe": // by a link or a header of SendGrid's own
			report.Stop = store.ReasonUnsubscribed
		default: // on its way, or opened and clicked, which is nobody's business
			continue
		}
		if report.Delivery != uuid.Nil {
			reports = append(reports, report)
		}
	}
	return reports, nil
}
