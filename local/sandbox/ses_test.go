package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/sandbox"
)

const sesGood = `{"FromEmailAddress":"Me <me@example.com>","Destination":{"ToAddresses":["a@example.com"]},"Content":{"Simple":{` +
	`"Subject":{"Data":"Hello","Charset":"UTF-8"},"Body":{"Text":{"Data":"plain","Charset":"UTF-8"},"Html":{"Data":"<p>html</p>","Charset":"UTF-8"}},` +
	`"Headers":[{"Name":"List-Unsubscribe","Value":"<https://example.com>"}]}},"EmailTags":[{"Name":"delivery_id","Value":"one"}]}`

func TestSES(t *testing.T) {
	s, base := serve(t)
	send := func(body string) (*http.Response, string) {
		return answer(t, sign(t, base+sandbox.SESPath+"/v2/email/outbound-emails", "ses", "application/json", body, awsKey, time.Now()))
	}
	for name, test := range map[string]struct{ old, new, code string }{
		"unknown field":         {`"EmailTags"`, `"Tags"`, "SerializationException"},
		"field in another case": {`"EmailTags"`, `"emailTags"`, "SerializationException"},
		"wrong type":            {`["a@example.com"]`, `"a@example.com"`, "SerializationException"},
		"no recipient":          {`["a@example.com"]`, `[]`, "BadRequestException"},
		"recipient's address":   {`"a@example.com"`, `"a"`, "BadRequestException"},
		"recipient, not ASCII":  {`"a@example.com"`, `"ä@example.com"`, "BadRequestException"},
		"domain without a dot":  {`"a@example.com"`, `"a@localhost"`, "BadRequestException"},
		"no sender":             {`"FromEmailAddress":"Me <me@example.com>",`, ``, "BadRequestException"},
		"sender's name":         {`Me <`, `Mé <`, "BadRequestException"},
		"too many recipients":   {`"a@example.com"`, `"a@example.com"` + strings.Repeat(`,"a@example.com"`, 50), "BadRequestException"},
		"no subject":            {`"Subject":{"Data":"Hello","Charset":"UTF-8"},`, ``, "BadRequestException"},
		"lines in the subject":  {`Hello`, `Hello\r\nBcc: b@example.com`, "BadRequestException"},
		"no charset":            {`"plain","Charset":"UTF-8"`, `"plän"`, "BadRequestException"},
		"no data":               {`"Data":"plain",`, ``, "BadRequestException"},
		"SES's own header":      {`List-Unsubscribe`, `Message-ID`, "BadRequestException"},
		"lines in a header":     {`<https://example.com>`, `a\r\nBcc: b@example.com`, "BadRequestException"},
		"long header":           {`<https://example.com>`, strings.Repeat("a", 871), "BadRequestException"},
		"header twice":          {`"Headers":[`, `"Headers":[{"Name":"list-unsubscribe","Value":"b"},`, "BadRequestException"},
		"tag":                   {`"one"`, `"one two"`, "BadRequestException"},
		"raw too":               {`"Content":{`, `"Content":{"Raw":{"Data":"YQ=="},`, "BadRequestException"},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := send(replace(t, sesGood, test.old, test.new))
			var wrong struct{ Message string }
			if err := json.Unmarshal([]byte(body), &wrong); err != nil || wrong.Message == "" || response.StatusCode != http.StatusBadRequest ||
				response.Header.Get("X-Amzn-Errortype") != test.code {
				t.Errorf("the answer is %d, %s: %s", response.StatusCode, response.Header.Get("X-Amzn-Errortype"), body)
			}
		})
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	response, body := send(sesGood)
	var accepted struct{ MessageId string } //nolint:revive // Amazon's name
	if err := json.Unmarshal([]byte(body), &accepted); err != nil || accepted.MessageId == "" || response.StatusCode != http.StatusOK {
		t.Errorf("the answer is %d %s", response.StatusCode, body)
	}
	one(t, s, sandbox.Message{Provider: sandbox.SES, To: "a@example.com", Subject: "Hello", Body: "plain", DeliveryID: "one"})
}
