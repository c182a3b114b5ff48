package sandbox

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // as Twilio signs
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// Where SNS's certificates are, and the topic on which SES reports.
const (
	snsFetchPath   = "/dev/sns-public/"
	snsCertificate = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
	snsHost        = "https://sns.eu-central-1.amazonaws.com/"
	snsTopic       = "arn:aws:sns:eu-central-1:123456789012:duebell"
)

// Report is what a provider is made to report about a message, or an SMS that somebody sends it.
type Report struct {
	Provider string `json:"provider"` // SendGrid, SES or Twilio
	// DeliveryID is the sender's own id of the message.
	DeliveryID string `json:"delivery_id"`
	// Event is "delivered", "bounced" (for good), "soft" (a bounce for now), "complained"; of
	// SES also "subscribed": it asks to confirm its topic.
	Event string `json:"event"`
	// From is a phone number, and Body what it says: to Twilio only, without Event.
	From string `json:"from"`
	Body string `json:"body"`
	// EventID is the provider's id of the event, so that it can come again; "" is a new one.
	EventID string `json:"event_id"`
	// Forge makes somebody else sign it.
	Forge bool `json:"forge"`
}

// reporter signs and posts reports as providers do.
type reporter struct {
	sendGrid  *ecdsa.PrivateKey
	sns       *rsa.PrivateKey
	pem       []byte
	mu        sync.Mutex
	base      string            // the PUBLIC_URL of the receiver
	dial      string            // the address at which the receiver is reached; base, unless a test sets another
	callbacks map[string]string // StatusCallback of Twilio's messages, by delivery
	confirms  []string          // tokens of subscriptions that were confirmed
}

func newReporter() reporter {
	sendGrid, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is randomness
	}
	sns, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, DNSNames: []string{"sns.amazonaws.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &sns.PublicKey, sns)
	if err != nil {
		panic(err)
	}
	return reporter{sendGrid: sendGrid, sns: sns, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), callbacks: map[string]string{}}
}

// reportTo sets the receiver of reports, by its PUBLIC_URL.
func (r *reporter) reportTo(base string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.base, r.dial = base, base
}

// ReportTo sends reports for the URL known to another address.
func (s *Sandbox) ReportTo(known, at string) {
	s.reporter.mu.Lock()
	defer s.reporter.mu.Unlock()
	s.base, s.dial = known, at
}

// Confirmed returns the tokens of the subscriptions that were confirmed.
func (s *Sandbox) Confirmed() []string {
	s.reporter.mu.Lock()
	defer s.reporter.mu.Unlock()
	return slices.Clone(s.confirms)
}

func (r *reporter) sendGridPublicKey() string {
	der, err := x509.MarshalPKIXPublicKey(&r.sendGrid.PublicKey)
	if err != nil {
		panic(err) // it is a key
	}
	return base64.StdEncoding.EncodeToString(der)
}

// callBack stores the URL for the status of a message, and returns the delivery in it.
func (r *reporter) callBack(address string) (delivery string) {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	delivery = u.Query().Get(deliveryID)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.callbacks) >= maxMessages {
		clear(r.callbacks)
	}
	r.callbacks[delivery] = address
	return delivery
}

// SendReport makes a provider report, and returns the answer's status.
func (s *Sandbox) SendReport(ctx context.Context, r Report) (status int, err error) {
	if r.EventID == "" {
		r.EventID = uuid.NewString()
	}
	if r.Forge {
		forger := newReporter()
		forger.base, forger.dial, forger.callbacks = s.base, s.dial, s.callbacks
		return forger.send(ctx, r, "another secret")
	}
	return s.send(ctx, r, twilioSecret)
}

func (r *reporter) send(ctx context.Context, report Report, twilioToken string) (status int, err error) {
	var req *http.Request
	switch report.Provider {
	case SendGrid:
		req, err = r.sendGridReport(report)
	case SES:
		req, err = r.sesReport(report)
	case Twilio:
		req, err = r.twilioReport(report, twilioToken)
	default:
		err = fault.Invalid("provider must be %q, %q or %q", SendGrid, SES, Twilio)
	}
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// post makes a request to where a URL that begins with base is reached.
func (r *reporter) post(address string, body []byte) (*http.Request, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest, ours := strings.CutPrefix(address, r.base)
	if !ours {
		return nil, fault.Invalid("%q is not below %q", address, r.base)
	}
	return http.NewRequest(http.MethodPost, r.dial+rest, bytes.NewReader(body)) //nolint:noctx // it gets one
}

// sendGridReport is what SendGrid's Event Webhook posts:
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
func (r *reporter) sendGridReport(report Report) (*http.Request, error) {
	event := map[string]any{
		"email": "somebody@example.com", "timestamp": time.Now().Unix(), "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>", "sg_event_id": report.EventID,
		"sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", deliveryID: report.DeliveryID,
	}
	for name, value := range map[string]map[string]any{
		"delivered": {"event": "delivered", "response": "250 OK"}, "bounced": {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 no such user"},
		"soft": {"event": "bounce", "type": "blocked", "status": "4.0.0", "reason": "421 try later"}, "complained": {"event": "spamreport"},
	}[report.Event] {
		event[name] = value
	}
	body, err := json.Marshal([]any{event})
	if err != nil {
		return nil, err
	}
	body = append(body, "\r\n"...)
	timestamp := fmt.Sprint(time.Now().Unix())
	digest := sha256.Sum256(append([]byte(timestamp), body...))
	signature, err := ecdsa.SignASN1(rand.Reader, r.sendGrid, digest[:])
	if err != nil {
		return nil, err
	}
	req, err := r.post(r.base+"/api/reports/sendgrid", body)
	if err == nil {
		req.Header.Set("Content-Type", "application/json;charset=utf-8")
		req.Header.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature))
		req.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", timestamp)
	}
	return req, err
}

// sesReport is what SNS posts of SES's events:
// https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html
func (r *reporter) sesReport(report Report) (*http.Request, error) {
	event := map[string]any{"mail": map[string]any{
		"timestamp": time.Now().UTC().Format(time.RFC3339), "messageId": "EXAMPLE7c191be45", "destination": []string{"recipient@example.com"},
		"tags": map[string]any{"ses:configuration-set": []string{"ConfigSet"}, deliveryID: []string{report.DeliveryID}},
	}}
	for name, value := range map[string]map[string]any{
		"delivered":  {"eventType": "Delivery", "delivery": map[string]any{"smtpResponse": "250 2.6.0 Message received"}},
		"bounced":    {"eventType": "Bounce", "bounce": map[string]any{"bounceType": "Permanent", "bounceSubType": "General"}},
		"soft":       {"eventType": "Bounce", "bounce": map[string]any{"bounceType": "Transient", "bounceSubType": "MailboxFull"}},
		"complained": {"eventType": "Complaint", "complaint": map[string]any{"complaintFeedbackType": "abuse"}},
	}[report.Event] {
		event[name] = value
	}
	message, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	envelope := map[string]string{
		"Type": "Notification", "MessageId": report.EventID, "TopicArn": snsTopic, "Subject": "Amazon SES Email Event Notification", "Message": string(message),
		"Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "SignatureVersion": "2", "SigningCertURL": snsHost + snsCertificate,
	}
	signed := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if report.Event == "subscribed" {
		signed = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
		delete(envelope, "Subject")
		envelope["Type"], envelope["Message"], envelope["Token"] = "SubscriptionConfirmation", "You have chosen to subscribe to the topic.", report.EventID
		envelope["SubscribeURL"] = snsHost + "?" + url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {snsTopic}, "Token": {report.EventID}}.Encode()
	}
	text := ""
	for _, name := range signed {
		text += name + "\n" + envelope[name] + "\n"
	}
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, r.sns, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	envelope["Signature"] = base64.StdEncoding.EncodeToString(signature)
	body, err := json.Marshal(envelope)
	if err != nil {
		return nil, err
	}
	req, err := r.post(r.base+"/api/reports/ses", body)
	if err == nil {
		req.Header.Set("Content-Type", "text/plain; charset=UTF-8")
		req.Header.Set("X-Amz-Sns-Message-Type", envelope["Type"])
	}
	return req, err
}

// twilioReport is what Twilio posts of a message's status, or of one that came in:
// https://www.twilio.com/docs/messaging/guides/track-outbound-message-status and
// https://www.twilio.com/docs/messaging/guides/webhook-request
func (r *reporter) twilioReport(report Report, token string) (*http.Request, error) {
	message := "SM" + strings.ReplaceAll(report.EventID, "-", "")
	form := url.Values{"MessageSid": {message}, "SmsSid": {message}, "AccountSid": {twilioAccount}, "ApiVersion": {"2010-04-01"}}
	to := r.base + "/api/reports/twilio"
	if report.Event == "" {
		form.Set("From", report.From)
		form.Set("To", twilioGoodFrom)
		form.Set("Body", report.Body)
		form.Set("SmsStatus", "received")
		form.Set("NumMedia", "0")
	} else {
		r.mu.Lock()
		to = r.callbacks[report.DeliveryID]
		r.mu.Unlock()
		status := map[string]string{"delivered": "delivered"}[report.Event]
		if status == "" {
			status = "undelivered"
			form.Set("ErrorCode", map[string]string{"bounced": "30005", "soft": "30003"}[report.Event])
		}
		form.Set("MessageStatus", status)
		form.Set("SmsStatus", status)
		form.Set("From", twilioGoodFrom)
	}
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(to))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		mac.Write([]byte(name + form.Get(name)))
	}
	req, err := r.post(to, []byte(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		req.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return req, err
}

func (s *Sandbox) report(w http.ResponseWriter, r *http.Request) error {
	var wanted Report
	if err := web.ReadJSON(w, r, &wanted); err != nil {
		return err
	}
	status, err := s.SendReport(r.Context(), wanted)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, map[string]int{"status": status})
}

func (s *Sandbox) certificate(w http.ResponseWriter, r *http.Request) error {
	if r.PathValue("certificate") != snsCertificate {
		return fault.NotFound("SNS has no such certificate")
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(s.pem) // the caller may be gone
	return nil
}

func (s *Sandbox) confirmed(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("Action") != "ConfirmSubscription" || q.Get("TopicArn") != snsTopic {
		return fault.Invalid("SNS knows no such action here")
	}
	s.reporter.mu.Lock()
	defer s.reporter.mu.Unlock()
	s.confirms = append(s.confirms, q.Get("Token"))
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, "<ConfirmSubscriptionResponse/>") // the caller may be gone
	return nil
}
