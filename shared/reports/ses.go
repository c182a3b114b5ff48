package reports

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // as SNS signs in its version 1
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// What is fetched from Amazon: how long that may take, how large it may be, and for how long
// what can't be fetched is not asked for again.
const (
	fetchTimeout = 5 * time.Second
	maxFetched   = 64 << 10
	fetchPause   = 30 * time.Second
	maxSigners   = 32
)

// NewClient returns a client that fetches from Amazon. It follows no redirects: they would
// lead elsewhere.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// envelope is what SNS posts:
// https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html
type envelope struct {
	Type             string
	MessageID        string `json:"MessageId"`
	TopicARN         string `json:"TopicArn"`
	Subject          *string
	Message          string
	Timestamp        string
	Token            string
	SubscribeURL     string
	SignatureVersion string
	Signature        string
	SigningCertURL   string
}

const (
	notification = "Notification"
	confirmation = "SubscriptionConfirmation"
	goodbye      = "UnsubscribeConfirmation"
)

// signed is what the signature is over:
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func (e envelope) signed() []byte {
	members := [][2]string{{"Message", e.Message}, {"MessageId", e.MessageID}}
	if e.Type == notification {
		if e.Subject != nil {
			members = append(members, [2]string{"Subject", *e.Subject})
		}
	} else {
		members = append(members, [2]string{"SubscribeURL", e.SubscribeURL})
	}
	members = append(members, [2]string{"Timestamp", e.Timestamp})
	if e.Type != notification {
		members = append(members, [2]string{"Token", e.Token})
	}
	members = append(members, [2]string{"TopicArn", e.TopicARN}, [2]string{"Type", e.Type})
	var text strings.Builder
	for _, m := range members {
		text.WriteString(m[0] + "\n" + m[1] + "\n")
	}
	return []byte(text.String())
}

// ses reads what SES reports through SNS, and confirms the subscription of a topic that is
// configured. Nothing is fetched for any other topic, and nothing from any other host than
// that of the topic's region.
func (r *Reader) ses(ctx context.Context, in Request) ([]store.Report, error) {
	if len(r.cfg.Topics) == 0 {
		return nil, NotSetUp("SES_EVENTS_TOPICS")
	}
	var e envelope
	if err := decode(in.Body, &e); err != nil {
		return nil, forged("it is not what SNS posts")
	}
	if !slices.ContainsFunc(r.cfg.Topics, func(topic string) bool { return strings.TrimSpace(topic) == e.TopicARN }) {
		return nil, forged("the topic %.300q is not in SES_EVENTS_TOPICS", e.TopicARN)
	}
	if !slices.Contains([]string{notification, confirmation, goodbye}, e.Type) {
		return nil, forged("SNS has no type %.50q", e.Type)
	}
	if err := r.checkSignature(ctx, e); err != nil {
		return nil, err
	}
	switch e.Type {
	case confirmation:
		return nil, r.confirm(ctx, e)
	case goodbye:
		slog.WarnContext(ctx, "a topic reports no more: its subscription was ended", "topic", e.TopicARN)
		return nil, nil
	default:
		return sesReports(e)
	}
}

// sesReports reads an event of SES:
// https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
func sesReports(e envelope) ([]store.Report, error) {
	var event struct {
		EventType string `json:"eventType"`
		Mail      struct {
			Tags map[string][]string `json:"tags"`
		} `json:"mail"`
		Bounce struct {
			Type string `json:"bounceType"`
		} `json:"bounce"`
		Complaint struct {
			Feedback string `json:"complaintFeedbackType"`
		} `json:"complaint"`
	}
	if err := decode([]byte(e.Message), &event); err != nil {
		return nil, nil //nolint:nilerr // SES itself says so in plain words when it begins to report to a topic
	}
	report := store.Report{Provider: "ses", EventID: e.MessageID, Channel: task.Email}
	if named := event.Mail.Tags[notify.DeliveryName]; len(named) == 1 {
		report.Delivery = id(named[0])
	}
	switch event.EventType {
	case "Delivery":
		report.Outcome = store.Delivered
	case "Bounce":
		report.Outcome = store.Bounced
		if event.Bounce.Type == "Permanent" {
			report.Stop = store.ReasonBounced
		}
	case "Complaint":
		if event.Complaint.Feedback == "not-spam" { // RFC 6430: its owner has taken it out of the spam
			return nil, nil
		}
		report.Outcome, report.Stop = store.Complained, store.ReasonComplained
	default: // on its way, or opened and clicked, which is nobody's business
		return nil, nil
	}
	if report.Delivery == uuid.Nil {
		return nil, nil
	}
	return []store.Report{report}, nil
}

func (r *Reader) checkSignature(ctx context.Context, e envelope) error {
	signature, err := base64.StdEncoding.DecodeString(e.Signature)
	if err != nil {
		return forged("the signature is not base64")
	}
	key, err := r.signer(ctx, e)
	if err != nil {
		return err
	}
	switch e.SignatureVersion {
	case "1":
		digest := sha1.Sum(e.signed()) //nolint:gosec // as SNS signs in this version
		err = rsa.VerifyPKCS1v15(key, crypto.SHA1, digest[:], signature)
	case "2":
		digest := sha256.Sum256(e.signed())
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
	default:
		return forged("SNS has no signature version %.20q", e.SignatureVersion)
	}
	if err != nil {
		return forged("the signature is not by the certificate: %w", err)
	}
	return nil
}

// certificatePath is where SNS has its certificates.
var certificatePath = regexp.MustCompile(`^/SimpleNotificationService-[0-9a-f]{32}\.pem$`)

// amazonURL reads a URL that must be one of SNS in the topic's region, over TLS.
func amazonURL(address, topic string) (*url.URL, error) {
	region := topicARN.FindStringSubmatch(topic)[1] // topics are checked
	host := "sns." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host != host || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, forged("%.300q is not a URL of %s", address, host)
	}
	return u, nil
}

// signers are the keys that have signed before, by the URLs of their certificates.
type signers struct {
	fetching chan struct{} // holds one while a certificate is fetched
	mu       sync.Mutex    // guards keys
	keys     map[string]signer
}

func (s *signers) find(address string, now time.Time) (found signer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok = s.keys[address]
	return found, ok && now.Before(found.until)
}

// keep keeps a key. There are never many: only what is none is made room for.
func (s *signers) keep(address string, found signer, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]signer{}
	}
	for other, known := range s.keys {
		if now.After(known.until) || len(s.keys) >= maxSigners && known.key == nil {
			delete(s.keys, other)
		}
	}
	if len(s.keys) < maxSigners {
		s.keys[address] = found
	}
}

// signer is a key, or why there is none.
type signer struct {
	key   *rsa.PublicKey
	err   error
	until time.Time
}

// signer returns the key that SNS says it has signed with. Each is fetched once, one after the
// other; what is signed by a known one waits for none.
func (r *Reader) signer(ctx context.Context, e envelope) (*rsa.PublicKey, error) {
	u, err := amazonURL(e.SigningCertURL, e.TopicARN)
	if err != nil {
		return nil, err
	}
	if !certificatePath.MatchString(u.Path) || u.RawQuery != "" {
		return nil, forged("%.300q is no certificate of SNS", e.SigningCertURL)
	}
	if known, ok := r.signers.find(u.String(), time.Now()); ok {
		return known.key, known.err
	}
	select {
	case r.signers.fetching <- struct{}{}:
		defer func() { <-r.signers.fetching }()
	case <-ctx.Done():
		return nil, fault.Unavailable(ctx.Err(), "SNS's certificate can't be fetched now; send it again")
	case <-time.After(fetchTimeout): // whoever names certificates that there are not keeps nobody waiting for longer
		return nil, fault.Unavailable(errors.New("others are being fetched"), "SNS's certificate can't be fetched now; send it again")
	}
	now := time.Now()
	if known, ok := r.signers.find(u.String(), now); ok {
		return known.key, known.err
	}
	found := signer{}
	found.key, found.until, found.err = r.fetchKey(ctx, u, now)
	r.signers.keep(u.String(), found, now)
	return found.key, found.err
}

// fetchKey fetches a certificate, and says until when its key is good.
func (r *Reader) fetchKey(ctx context.Context, u *url.URL, now time.Time) (*rsa.PublicKey, time.Time, error) {
	body, err := r.fetch(ctx, u)
	if err != nil {
		return nil, now.Add(fetchPause), fault.Unavailable(err, "SNS's certificate can't be fetched now; send it again")
	}
	block, _ := pem.Decode(body)
	if block == nil {
		return nil, now.Add(fetchPause), forged("the certificate is no PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, now.Add(fetchPause), forged("the certificate can't be read: %w", err)
	}
	key, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || now.After(certificate.NotAfter) || now.Before(certificate.NotBefore) {
		return nil, now.Add(fetchPause), forged("the certificate is not one of RSA that is valid now")
	}
	until := now.Add(24 * time.Hour)
	if certificate.NotAfter.Before(until) {
		until = certificate.NotAfter
	}
	return key, until, nil
}

// confirm confirms a subscription. Doing so again changes nothing.
func (r *Reader) confirm(ctx context.Context, e envelope) error {
	u, err := amazonURL(e.SubscribeURL, e.TopicARN)
	if err != nil {
		return err
	}
	if u.Query().Get("Action") != "ConfirmSubscription" || u.Query().Get("TopicArn") != e.TopicARN {
		return forged("%.300q confirms something else", e.SubscribeURL)
	}
	if _, err := r.fetch(ctx, u); err != nil {
		return fault.Unavailable(err, "the subscription can't be confirmed now; send it again")
	}
	slog.InfoContext(ctx, "a topic's subscription is confirmed: it reports from now on", "topic", e.TopicARN)
	return nil
}

func (r *Reader) fetch(ctx context.Context, u *url.URL) ([]byte, error) {
	address := u.String()
	if r.cfg.FetchFrom != "" {
		address = strings.TrimRight(r.cfg.FetchFrom, "/") + u.RequestURI()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.amazon.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL, which may hold a token
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %d", u.Host, resp.StatusCode)
	}
	return body, err
}
