package reports_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/reports"
	"github.com/duebell/duebell/shared/store"
)

// What SendGrid's own libraries are tested with.
const (
	publishedKey       = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
	publishedSignature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
	publishedTimestamp = "1600112502"
	publishedBody      = `[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",` +
		`"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",` +
		`"timestamp":1600112492}]` + "\r\n"
)

func sendGridHeader(signature, timestamp string) http.Header {
	h := http.Header{}
	h.Set(eventwebhook.VerificationHTTPHeader, signature)
	h.Set(eventwebhook.TimestampHTTPHeader, timestamp)
	return h
}

func TestSendGridSignatureAsPublished(t *testing.T) {
	r := reports.NewReader(reports.Config{SendGridKey: publishedKey}, nil)
	read := func(signature, timestamp, body string) error {
		_, err := r.Read(t.Context(), "sendgrid", reports.Request{Header: sendGridHeader(signature, timestamp), Body: []byte(body)})
		return err
	}
	if err := read(publishedSignature, publishedTimestamp, publishedBody); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"another body":                read(publishedSignature, publishedTimestamp, publishedBody+" "),
		"another time":                read(publishedSignature, "1600112503", publishedBody),
		"no time":                     read(publishedSignature, "", publishedBody),
		"no signature":                read("", publishedTimestamp, publishedBody),
		"no base64":                   read("x", publishedTimestamp, publishedBody),
		"another signature":           read("MEQCIB3bJQOarffIdM7+MEee+kYAdoViz6RUoScOASwMcXQxAiAcrus/j853JUlVm5qIRfbKBJwJq89znqOTedy3RetXLQ==", publishedTimestamp, publishedBody),
		"time and body cut elsewhere": read(publishedSignature, publishedTimestamp+"[", publishedBody[1:]),
	} {
		if fault.CodeOf(err) != fault.CodeForbidden {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := reports.NewReader(reports.Config{}, nil).Read(t.Context(), "sendgrid", reports.Request{}); fault.CodeOf(err) != fault.CodeNotFound {
		t.Errorf("not set up: %v", err)
	}
}

// What each of SendGrid's events means, signed in a way that its own library takes.
func TestWhatSendGridSays(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	r := reports.NewReader(reports.Config{SendGridKey: base64.StdEncoding.EncodeToString(der)}, nil)
	read := func(body string) []store.Report {
		t.Helper()
		digest := sha256.Sum256([]byte("1" + body))
		raw, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		signature := base64.StdEncoding.EncodeToString(raw)
		if good, err := eventwebhook.VerifySignature(&key.PublicKey, []byte(body), signature, "1"); err != nil || !good {
			t.Fatalf("SendGrid would not have signed so: %v", err)
		}
		list, err := r.Read(t.Context(), "sendgrid", reports.Request{Header: sendGridHeader(signature, "1"), Body: []byte(body)})
		if err != nil {
			t.Error(err)
		}
		return list
	}
	delivery := uuid.New()
	for members, want := range map[string]*store.Report{
		`"event":"delivered"`:                                 {Outcome: store.Delivered},
		`"event":"bounce","type":"bounce"`:                    {Outcome: store.Bounced, Stop: store.ReasonBounced},
		`"event":"bounce"`:                                    {Outcome: store.Bounced, Stop: store.ReasonBounced},
		`"event":"bounce","type":"blocked"`:                   {Outcome: store.Bounced},
		`"event":"dropped"`:                                   {Outcome: store.Bounced},
		`"event":"dropped","reason":"Bounced Address"`:        {Outcome: store.Bounced, Stop: store.ReasonBounced},
		`"event":"dropped","reason":"Spam Reporting Address"`: {Outcome: store.Bounced, Stop: store.ReasonComplained},
		`"event":"dropped","reason":"Unsubscribed Address"`:   {Outcome: store.Bounced, Stop: store.ReasonUnsubscribed},
		`"event":"dropped","reason":"Invalid SMTPAPI header"`: {Outcome: store.Bounced},
		`"event":"spamreport"`:                                {Outcome: store.Complained, Stop: store.ReasonComplained},
		`"event":"unsubscribe"`:                               {Stop: store.ReasonUnsubscribed},
		`"event":"group_unsubscribe"`:                         {Stop: store.ReasonUnsubscribed},
		`"event":"processed"`:                                 nil,
		`"event":"deferred"`:                                  nil,
		`"event":"open"`:                                      nil,
		`"event":"something that is new"`:                     nil,
		`"event":"group_resubscribe","x":[]`:                  nil,
	} {
		got := read(fmt.Sprintf(`[{%s,"sg_event_id":"e1","delivery_id":%q,"email":"a@example.com"}]`, members, delivery))
		var wanted []store.Report
		if want != nil {
			want.Provider, want.EventID, want.Channel, want.Delivery = "sendgrid", "e1", "email", delivery
			wanted = []store.Report{*want}
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s: %s", members, diff)
		}
	}
	for _, other := range []string{
		`[]`, `[{"event":"bounce","sg_event_id":"e1"}]`, `[{"event":"bounce","sg_event_id":"e1","delivery_id":"x"}]`,
		`[{"event":"bounce","sg_event_id":"e1","delivery_id":"urn:uuid:` + delivery.String() + `"}]`,
	} {
		if got := read(other); len(got) != 0 {
			t.Errorf("%s: %+v", other, got)
		}
	}
}
