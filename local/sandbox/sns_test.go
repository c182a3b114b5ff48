package sandbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/sandbox"
)

func TestSNS(t *testing.T) {
	s, base := serve(t)
	good := url.Values{
		"Action": {"Publish"}, "Version": {"2010-03-31"}, "PhoneNumber": {"+4915112345678"}, "Message": {"Hello"},
		"MessageAttributes.entry.1.Name": {"delivery_id"}, "MessageAttributes.entry.1.Value.DataType": {"String"}, "MessageAttributes.entry.1.Value.StringValue": {"one"},
		"MessageAttributes.entry.2.Name": {"AWS.SNS.SMS.SMSType"}, "MessageAttributes.entry.2.Value.DataType": {"String"}, "MessageAttributes.entry.2.Value.StringValue": {"Transactional"},
	}
	send := func(form url.Values) (*http.Response, string) {
		return answer(t, sign(t, base+sandbox.SNSPath+"/", "sns", "application/x-www-form-urlencoded", form.Encode(), awsKey, time.Now()))
	}
	for name, test := range map[string]struct{ field, value, says string }{
		"unknown field":     {"Topic", "a", "Topic"},
		"subject":           {"Subject", "a", "Subject"},
		"another action":    {"Action", "Subscribe", "Action"},
		"another version":   {"Version", "2011-01-01", "Version"},
		"no number":         {"PhoneNumber", "", "PhoneNumber"},
		"national number":   {"PhoneNumber", "015112345678", "PhoneNumber"},
		"no message":        {"Message", "", "Empty message"},
		"long message":      {"Message", strings.Repeat("a", 1601), "too long"},
		"attribute's type":  {"MessageAttributes.entry.1.Value.DataType", "Text", "delivery_id"},
		"attribute's value": {"MessageAttributes.entry.2.Value.StringValue", "Urgent", "SMSType"},
		"reserved":          {"MessageAttributes.entry.1.Name", "AWS.Own", "AWS.Own"},
		"attribute's gap":   {"MessageAttributes.entry.9.Name", "other", "MessageAttributes"},
	} {
		t.Run(name, func(t *testing.T) {
			form := url.Values{}
			for name, values := range good {
				form[name] = values
			}
			form.Set(test.field, test.value)
			response, body := send(form)
			if response.StatusCode != http.StatusBadRequest || !strings.Contains(body, "<Code>InvalidParameter</Code>") || !strings.Contains(body, test.says) {
				t.Errorf("the answer is %d %s", response.StatusCode, body)
			}
		})
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	if response, body := send(good); response.StatusCode != http.StatusOK || !strings.HasPrefix(body, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>`) {
		t.Errorf("the answer is %d %s", response.StatusCode, body)
	}
	one(t, s, sandbox.Message{Provider: sandbox.SNS, To: "+4915112345678", Body: "Hello", DeliveryID: "one"})
	unsigned, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+sandbox.SNSPath+"/", strings.NewReader(good.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	unsigned.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if response, body := answer(t, unsigned); response.StatusCode != http.StatusForbidden || !strings.Contains(body, "<Code>MissingAuthenticationToken</Code>") {
		t.Errorf("unsigned, it answers %d %s", response.StatusCode, body)
	}
}
