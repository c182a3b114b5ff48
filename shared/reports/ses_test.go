package reports_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // as SNS signs in its version 1
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/local/peers"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/reports"
	"github.com/duebell/duebell/shared/store"
)

const (
	topic       = "arn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P"
	amazon      = "https://sns.us-east-2.amazonaws.com/"
	certificate = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
)

// amazonia is Amazon, as far as it is fetched from.
type amazonia struct {
	key     *rsa.PrivateKey
	pem     string
	fetched []string
	err     error
}

// RoundTrip implements http.RoundTripper.
func (a *amazonia) RoundTrip(r *http.Request) (*http.Response, error) {
	a.fetched = append(a.fetched, r.URL.String())
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a.pem)), Request: r}, nil
}

func newAmazonia(t *testing.T, validFor time.Duration) *amazonia {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validFor),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &amazonia{key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func (a *amazonia) reader(topics ...string) *reports.Reader {
	client := reports.NewClient()
	client.Transport = a
	return reports.NewReader(reports.Config{Topics: topics}, client)
}

// post is a message with a signature over text.
func (a *amazonia) post(t *testing.T, message map[string]string, text string) reports.Request {
	t.Helper()
	hash, digest := crypto.SHA1, []byte(nil)
	if message["SignatureVersion"] == "2" {
		sum := sha256.Sum256([]byte(text))
		hash, digest = crypto.SHA256, sum[:]
	} else {
		sum := sha1.Sum([]byte(text)) //nolint:gosec // as SNS signs in its version 1
		digest = sum[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, hash, digest)
	if err != nil {
		t.Fatal(err)
	}
	message = maps.Clone(message)
	message["Signature"] = base64.StdEncoding.EncodeToString(signature)
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return reports.Request{Body: body}
}

// The messages, and what is signed of them, are Amazon's own examples:
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
var (
	published = map[string]string{
		"Type": "Notification", "MessageId": "4d4dc071-ddbf-465d-bba8-08f81c89da64", "TopicArn": topic, "Subject": "My subject", "Message": "My Test Message",
		"Timestamp": "2019-01-31T04:37:04.321Z", "SignatureVersion": "1", "SigningCertURL": amazon + certificate,
	}
	confirmation = map[string]string{
		"Type": "SubscriptionConfirmation", "MessageId": "3d891288-136d-417f-bc05-901c108273ee", "TopicArn": topic, "Token": "233459",
		"Message":   "You have chosen to subscribe to the topic " + topic + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.",
		"Timestamp": "2019-01-31T19:25:13.719Z", "SignatureVersion": "1", "SigningCertURL": amazon + certificate,
		"SubscribeURL": amazon + "?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=233459",
	}
)

const publishedText = "Message\nMy Test Message\nMessageId\n4d4dc071-ddbf-465d-bba8-08f81c89da64\nSubject\nMy subject\nTimestamp\n2019-01-31T04:37:04.321Z\n" +
	"TopicArn\narn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P\nType\nNotification\n"

const confirmationText = "Message\nYou have chosen to subscribe to the topic arn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P.\n" +
	"To confirm the subscription, visit the SubscribeURL included in this message.\nMessageId\n3d891288-136d-417f-bc05-901c108273ee\n" +
	"SubscribeURL\nhttps://sns.us-east-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P&Token=233459\n" +
	"Timestamp\n2019-01-31T19:25:13.719Z\nToken\n233459\nTopicArn\narn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P\nType\nSubscriptionConfirmation\n"

func with(message map[string]string, name, value string) map[string]string {
	message = maps.Clone(message)
	message[name] = value
	return message
}

func TestSNSSignatureAsPublished(t *testing.T) {
	a := newAmazonia(t, time.Hour)
	r := a.reader("arn:aws:sns:us-east-2:123456789012:another", topic)
	for _, version := range []string{"1", "2"} {
		if _, err := r.Read(t.Context(), "ses", a.post(t, with(published, "SignatureVersion", version), publishedText)); err != nil {
			t.Errorf("version %s: %v", version, err)
		}
	}
	if len(a.fetched) != 1 || a.fetched[0] != amazon+certificate {
		t.Errorf("fetched %v", a.fetched)
	}
	if _, err := r.Read(t.Context(), "ses", a.post(t, confirmation, confirmationText)); err != nil || len(a.fetched) != 2 || a.fetched[1] != confirmation["SubscribeURL"] {
		t.Errorf("%v, fetched %v", err, a.fetched)
	}
	for what, in := range map[string]reports.Request{
		"another message":      a.post(t, with(published, "Message", "x"), publishedText),
		"another id":           a.post(t, with(published, "MessageId", "x"), publishedText),
		"another subject":      a.post(t, with(published, "Subject", "x"), publishedText),
		"another time":         a.post(t, with(published, "Timestamp", "x"), publishedText),
		"another type":         a.post(t, with(published, "Type", "UnsubscribeConfirmation"), publishedText),
		"another version":      {Body: []byte(strings.Replace(string(a.post(t, published, publishedText).Body), `"SignatureVersion":"1"`, `"SignatureVersion":"2"`, 1))},
		"no version":           a.post(t, with(published, "SignatureVersion", ""), publishedText),
		"a topic of ours":      a.post(t, with(published, "TopicArn", "arn:aws:sns:us-east-2:123456789012:another"), publishedText),
		"another key":          newAmazonia(t, time.Hour).post(t, published, publishedText),
		"another token":        a.post(t, with(confirmation, "Token", "x"), confirmationText),
		"nothing":              {},
		"no JSON":              {Body: []byte("x")},
		"somewhere to go":      a.post(t, with(confirmation, "SubscribeURL", "https://example.com/?Action=ConfirmSubscription&TopicArn="+topic), strings.Replace(confirmationText, amazon+"?Action=ConfirmSubscription&TopicArn="+topic+"&Token=233459", "https://example.com/?Action=ConfirmSubscription&TopicArn="+topic, 1)),
		"something else to do": a.post(t, with(confirmation, "SubscribeURL", amazon+"?Action=DeleteTopic&TopicArn="+topic), strings.Replace(confirmationText, "?Action=ConfirmSubscription&TopicArn="+topic+"&Token=233459", "?Action=DeleteTopic&TopicArn="+topic, 1)),
	} {
		if list, err := r.Read(t.Context(), "ses", in); fault.CodeOf(err) != fault.CodeForbidden || list != nil {
			t.Errorf("%s: %v, %v", what, list, err)
		}
	}
	if len(a.fetched) != 2 {
		t.Errorf("fetched %v", a.fetched[2:])
	}
}

// Nothing is fetched for a topic that is not ours, nor from anywhere but from SNS of the
// topic's region.
func TestNothingElseIsFetched(t *testing.T) {
	a := newAmazonia(t, time.Hour)
	r := a.reader(topic)
	var posts []reports.Request
	for _, other := range []string{"arn:aws:sns:us-east-2:999999999999:s4-MySNSTopic-1G1WEFCOXTC0P", topic + "x", "", " " + topic} {
		posts = append(posts, a.post(t, with(published, "TopicArn", other), strings.Replace(publishedText, topic, other, 1)), a.post(t, with(confirmation, "TopicArn", other), strings.Replace(confirmationText, topic, other, 1)))
	}
	for _, address := range []string{
		"", "x", "http://sns.us-east-2.amazonaws.com/" + certificate, "https://sns.us-east-1.amazonaws.com/" + certificate, "https://sns.us-east-2.amazonaws.com.example.com/" + certificate,
		"https://example.com/" + certificate, "https://sns.us-east-2.amazonaws.com@example.com/" + certificate, "https://x@sns.us-east-2.amazonaws.com/" + certificate,
		"https://sns.us-east-2.amazonaws.com:8443/" + certificate, "https://sns.us-east-2.amazonaws.com/x/" + certificate, "https://sns.us-east-2.amazonaws.com/" + certificate + "?x=y",
		"https://sns.us-east-2.amazonaws.com/bucket/key.pem", "https://sns.us-east-2.amazonaws.com/..%2f" + certificate, "https://SNS.us-east-2.amazonaws.com/" + certificate,
		"https://sns.us-east-2.amazonaws.com/" + certificate + "#x", "https://169.254.169.254/" + certificate, "https://sns.us-east-2.amazonaws.com\\@example.com/" + certificate,
		"//sns.us-east-2.amazonaws.com/" + certificate, "https:sns.us-east-2.amazonaws.com/" + certificate,
	} {
		posts = append(posts, a.post(t, with(published, "SigningCertURL", address), publishedText))
	}
	for _, in := range posts {
		if _, err := r.Read(t.Context(), "ses", in); fault.CodeOf(err) != fault.CodeForbidden {
			t.Errorf("%s: %v", in.Body, err)
		}
	}
	if len(a.fetched) > 0 {
		t.Errorf("fetched %v", a.fetched)
	}
	if _, err := a.reader().Read(t.Context(), "ses", a.post(t, published, publishedText)); fault.CodeOf(err) != fault.CodeNotFound {
		t.Errorf("without a topic: %v", err)
	}
}

// While Amazon can't be reached, SNS is to send it again; and what is no certificate, or is
// none any more, is none.
func TestCertificates(t *testing.T) {
	a := newAmazonia(t, time.Hour)
	a.err = errors.New("no way")
	r := a.reader(topic)
	for range 3 { // and Amazon is not asked each time
		if _, err := r.Read(t.Context(), "ses", a.post(t, published, publishedText)); fault.CodeOf(err) != fault.CodeUnavailable {
			t.Error(err)
		}
	}
	if len(a.fetched) != 1 {
		t.Errorf("fetched %v", a.fetched)
	}
	expired := newAmazonia(t, -time.Minute)
	none := newAmazonia(t, time.Hour)
	none.pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	empty := newAmazonia(t, time.Hour)
	empty.pem = ""
	for what, a := range map[string]*amazonia{"expired": expired, "no certificate": none, "nothing": empty} {
		if _, err := a.reader(topic).Read(t.Context(), "ses", a.post(t, published, publishedText)); fault.CodeOf(err) != fault.CodeForbidden {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhatSESSays(t *testing.T) {
	a := newAmazonia(t, time.Hour)
	r := a.reader(topic)
	delivery := uuid.New()
	tags := `"mail":{"tags":{"ses:from-domain":["example.com"],"delivery_id":["` + delivery.String() + `"]}}`
	for message, want := range map[string]*store.Report{
		`{"eventType":"Delivery",` + tags + `}`:                                                   {Outcome: store.Delivered},
		`{"eventType":"Bounce","bounce":{"bounceType":"Permanent"},` + tags + `}`:                 {Outcome: store.Bounced, Stop: store.ReasonBounced},
		`{"eventType":"Bounce","bounce":{"bounceType":"Transient"},` + tags + `}`:                 {Outcome: store.Bounced},
		`{"eventType":"Bounce","bounce":{"bounceType":"Undetermined"},` + tags + `}`:              {Outcome: store.Bounced},
		`{"eventType":"Complaint","complaint":{"complaintFeedbackType":"abuse"},` + tags + `}`:    {Outcome: store.Complained, Stop: store.ReasonComplained},
		`{"eventType":"Complaint","complaint":{},` + tags + `}`:                                   {Outcome: store.Complained, Stop: store.ReasonComplained},
		`{"eventType":"Complaint","complaint":{"complaintFeedbackType":"not-spam"},` + tags + `}`: nil,
		`{"eventType":"Open",` + tags + `}`:                                                       nil,
		`{"eventType":"Bounce","bounce":{"bounceType":"Permanent"},"mail":{"tags":{}}}`:           nil,
		`{"notificationType":"Bounce","bounce":{"bounceType":"Permanent"}}`:                       nil,
		`Successfully validated SNS topic for Amazon SES event publishing.`:                       nil,
	} {
		text := strings.Replace(publishedText, "My Test Message", message, 1)
		got, err := r.Read(t.Context(), "ses", a.post(t, with(published, "Message", message), text))
		var wanted []store.Report
		if want != nil {
			want.Provider, want.EventID, want.Channel, want.Delivery = "ses", published["MessageId"], "email", delivery
			wanted = []store.Report{*want}
		}
		if diff := cmp.Diff(wanted, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", message, err, diff)
		}
	}
}

func TestConfig(t *testing.T) {
	for environ, want := range map[string]string{
		"": "",
		"SENDGRID_EVENTS_KEY=" + publishedKey + " SES_EVENTS_TOPICS=" + topic + ",arn:aws-cn:sns:cn-north-1:123456789012:x TWILIO_AUTH_TOKEN=x PUBLIC_URL=https://x.example": "",
		"SENDGRID_EVENTS_KEY=x": "SENDGRID_EVENTS_KEY must be",
		"SENDGRID_EVENTS_KEY=" + base64.StdEncoding.EncodeToString([]byte("x")): "SENDGRID_EVENTS_KEY must be",
		"SES_EVENTS_TOPICS=" + topic + ",x":                                     "SES_EVENTS_TOPICS must be",
		"SES_EVENTS_TOPICS=arn:aws:sns:x/y:123456789012:x":                      "SES_EVENTS_TOPICS must be",
		"SES_EVENTS_URL=http://127.0.0.1:8080/dev":                              "",
		"SES_EVENTS_URL=http://example.com":                                     "of this machine",
		"SES_EVENTS_URL=https://127.0.0.1":                                      "of this machine",
		"SES_EVENTS_URL=http://127.0.0.1@example.com/":                          "of this machine",
		"SES_EVENTS_URL=http://127.0.0.1.example.com:8080":                      "of this machine",
	} {
		_, err := config.Parse[reports.Config](strings.Fields(environ))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", environ, err)
		}
	}
}

// Amazon's own validator takes what we take, and refuses what we refuse, whichever part of a
// message was changed on the way.
func TestPeerAgrees(t *testing.T) {
	node := peers.Node(t, "validate-sns.mjs", "sns-validator")
	a := newAmazonia(t, time.Hour)
	type given struct {
		what    string
		message map[string]string
		good    bool
	}
	var all []given
	var messages []map[string]string
	add := func(what string, message map[string]string, good bool) {
		all = append(all, given{what, message, good})
		messages = append(messages, message)
	}
	signed := func(message map[string]string, text string) map[string]string {
		var out map[string]string
		if err := json.Unmarshal(a.post(t, message, text).Body, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	plain, plainText := maps.Clone(published), strings.Replace(publishedText, "Subject\nMy subject\n", "", 1)
	delete(plain, "Subject")
	for _, version := range []string{"1", "2"} {
		for what, of := range map[string]struct {
			message map[string]string
			text    string
		}{"notification": {published, publishedText}, "without a subject": {plain, plainText}, "confirmation": {confirmation, confirmationText}} {
			good := signed(with(of.message, "SignatureVersion", version), of.text)
			add(what+" "+version, good, true)
			for name, value := range good {
				switch name {
				case "SigningCertURL": // which is judged before
				case "SignatureVersion":
					add(what+": another version", with(good, name, map[string]string{"1": "2", "2": "1"}[value]), false)
				case "Signature":
					add(what+": another signature", with(good, name, signed(of.message, of.text+"x")[name]), false)
				case "Type":
					add(what+": another type", with(good, name, map[string]string{"Notification": "SubscriptionConfirmation"}[value]+"Notification"), false)
				default:
					add(what+": another "+name, with(good, name, value+"x"), false)
				}
			}
		}
	}
	input, err := json.Marshal(map[string]any{"certificate": a.pem, "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	node.Stdin = strings.NewReader(string(input))
	out, err := node.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != len(all) {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, g := range all {
		body, err := json.Marshal(g.message)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.reader(topic, topic+"x").Read(t.Context(), "ses", reports.Request{Body: body})
		if theirs := lines[i] == "valid"; theirs != g.good || (err == nil) != g.good {
			t.Errorf("%s: Amazon's says %q, ours %v", g.what, lines[i], err)
		}
	}
}
