package reports

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twilio/twilio-go/client"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// What Twilio's own libraries are tested with.
func TestTwilioSignatureAsPublished(t *testing.T) {
	form := url.Values{
		"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"},
	}
	r := NewReader(Config{TwilioToken: "12345"}, nil)
	if got := string(r.twilioSignature("https://mycompany.com/myapp.php?foo=1&bar=2", form)); got != "RSOYDt4T1cUTdK1PDd93/VVr8B8=" {
		t.Error(got)
	}
}

const twilioURL = "https://api.example.com/base/api/reports/twilio"

func twilioReader() *Reader {
	return NewReader(Config{TwilioToken: "12345", PublicURL: "https://api.example.com/base/"}, nil)
}

// Twilio's own library, which signs in none of its functions, takes what we take.
func TestTwilioSignature(t *testing.T) {
	r, theirs := twilioReader(), client.NewRequestValidator("12345")
	form := url.Values{"MessageSid": {"SM1"}, "From": {"+15551234567"}, "Body": {"stop ü &=%"}}
	query := "delivery_id=" + uuid.NewString() + "&x=%C3%BC"
	for _, at := range []string{twilioURL + "?" + query, "https://api.example.com:443/base/api/reports/twilio?" + query} {
		signature := string(r.twilioSignature(at, form))
		if !theirs.ValidateBody(twilioURL+"?"+query, []byte(form.Encode()), signature) {
			t.Errorf("Twilio would not have signed so: %s", at)
		}
		in := Request{Header: http.Header{"X-Twilio-Signature": {signature}}, Query: query, Body: []byte(form.Encode())}
		if _, err := r.Read(t.Context(), "twilio", in); err != nil {
			t.Error(err)
		}
		for what, change := range map[string]func(*Request){
			"the body":     func(in *Request) { in.Body = []byte(strings.Replace(form.Encode(), "5551234567", "5551234568", 1)) },
			"a parameter":  func(in *Request) { in.Body = []byte(form.Encode() + "&Body=x") },
			"the query":    func(in *Request) { in.Query += "1" },
			"no query":     func(in *Request) { in.Query = "" },
			"no signature": func(in *Request) { in.Header = http.Header{} },
			"its case":     func(in *Request) { in.Header = http.Header{"X-Twilio-Signature": {strings.ToUpper(signature)}} },
		} {
			changed := in
			change(&changed)
			if reports, err := r.Read(t.Context(), "twilio", changed); fault.CodeOf(err) != fault.CodeForbidden || reports != nil {
				t.Errorf("%s: %v, %v", what, reports, err)
			}
		}
		other := NewReader(Config{TwilioToken: "12346", PublicURL: "https://api.example.com/base/"}, nil)
		if _, err := other.Read(t.Context(), "twilio", in); fault.CodeOf(err) != fault.CodeForbidden {
			t.Errorf("by another token: %v", err)
		}
	}
	for _, cfg := range []Config{{}, {TwilioToken: "12345"}, {PublicURL: "https://api.example.com"}} {
		if _, err := NewReader(cfg, nil).Read(t.Context(), "twilio", Request{}); fault.CodeOf(err) != fault.CodeNotFound {
			t.Errorf("not set up: %v", err)
		}
	}
}

func TestWhatTwilioSays(t *testing.T) {
	delivery := uuid.New()
	status := func(status, code string) url.Values {
		return url.Values{"MessageSid": {"SM1"}, "MessageStatus": {status}, "ErrorCode": {code}}
	}
	said := func(body, optOut string) url.Values {
		v := url.Values{"MessageSid": {"SM1"}, "From": {"+15551234567"}, "Body": {body}, "SmsStatus": {"received"}}
		if optOut != "" {
			v.Set("OptOutType", optOut)
		}
		return v
	}
	about := func(outcome store.Outcome, stop store.SuppressionReason) *store.Report {
		return &store.Report{Delivery: delivery, Outcome: outcome, Stop: stop}
	}
	stop, start := &store.Report{Address: "+15551234567", Stop: store.ReasonStopped}, &store.Report{Address: "+15551234567", Again: true}
	for name, c := range map[string]struct {
		form url.Values
		want *store.Report
	}{
		"delivered": {status("delivered", ""), about(store.Delivered, "")}, "read": {status("read", ""), about(store.Delivered, "")},
		"no such handset": {status("undelivered", "30005"), about(store.Bounced, store.ReasonBounced)}, "landline": {status("failed", "30006"), about(store.Bounced, store.ReasonBounced)},
		"unreachable": {status("undelivered", "30003"), about(store.Bounced, "")}, "stopped before": {status("failed", "21610"), about(store.Bounced, store.ReasonStopped)},
		"sent": {status("sent", ""), nil}, "queued": {status("queued", ""), nil},
		"STOP": {said("STOP", ""), stop}, "stop": {said(" stop\n", ""), stop}, "by Twilio": {said("halt", "STOP"), stop}, "help": {said("STOP", "HELP"), nil},
		"START": {said("Start", ""), start}, "start, by Twilio": {said("ja", "START"), start}, "yes": {said("YES", ""), nil}, "a letter": {said("please stop", ""), nil},
	} {
		r := twilioReader()
		query := "delivery_id=" + delivery.String()
		reports, err := r.Read(t.Context(), "twilio", Request{
			Header: http.Header{"X-Twilio-Signature": {string(r.twilioSignature(twilioURL+"?"+query, c.form))}}, Query: query, Body: []byte(c.form.Encode()),
		})
		switch {
		case err != nil || (c.want == nil) != (len(reports) == 0):
			t.Errorf("%s: %+v, %v", name, reports, err)
		case c.want != nil:
			got := reports[0]
			if got.Provider != "twilio" || got.Channel != "sms" || got.EventID == "" {
				t.Errorf("%s: %+v", name, got)
			}
			got.Provider, got.Channel, got.EventID = "", "", ""
			if got != *c.want {
				t.Errorf("%s: %+v, want %+v", name, got, *c.want)
			}
		}
	}
}
