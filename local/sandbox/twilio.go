package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// What Twilio publishes about creating a Message:
// https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource,
// https://www.twilio.com/docs/api/errors and, for the numbers with a meaning,
// https://www.twilio.com/docs/iam/test-credentials#test-sms-messages
const (
	twilioMaxCharacters = 1600
	twilioErrors        = "https://www.twilio.com/docs/errors/"
)

type twilioError struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Status   int    `json:"status"`
}

var (
	twilioTo = map[string]twilioError{
		"+15005550001": {Code: 21211, Message: "Invalid 'To' Phone Number: +1500555XXXX"},
		"+15005550002": {Code: 21612, Message: "Message cannot be sent with the current combination of 'To' (+15005550002) and/or 'From' parameters"},
		"+15005550003": {Code: 21408, Message: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"},
		"+15005550004": {Code: 21610, Message: "Attempt to send to unsubscribed recipient"},
		"+15005550009": {Code: 21614, Message: "'To' number is not a valid mobile number"},
	}
	twilioFrom = map[string]twilioError{
		"+15005550001": {Code: 21212, Message: "Invalid 'From' Number"},
		"+15005550007": {Code: 21606, Message: "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination/account"},
		"+15005550008": {Code: 21611, Message: "This 'From' number has exceeded the maximum number of queued messages", Status: http.StatusTooManyRequests},
	}
	twilioSender  = regexp.MustCompile(`^(\+[1-9][0-9]{1,14}|[0-9]{5,6}|[A-Za-z0-9 ]{1,11})$`) // E.164, short code, or a name
	twilioService = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	// twilioParameters are those that there are, and whether the sandbox takes them.
	twilioParameters = map[string]bool{
		"To": true, "From": true, "MessagingServiceSid": true, "Body": true, "StatusCallback": true, "ValidityPeriod": true,
		"SmartEncoded": true, "Attempt": true, "ProvideFeedback": true, "ContentRetention": true, "AddressRetention": true,
	}
)

func twilioRefuse(w http.ResponseWriter, e twilioError) {
	if e.Status == 0 {
		e.Status = http.StatusBadRequest
	}
	e.MoreInfo = fmt.Sprintf("%s%d", twilioErrors, e.Code)
	answer(w, e.Status, "application/json", e)
}

func twilioComplain(w http.ResponseWriter, status int, message string) {
	code := 20001
	switch {
	case status == http.StatusUnauthorized:
		code = 20003
	case status == http.StatusForbidden:
		code = 20403
	case status == http.StatusNotFound:
		code = 20404
	case status == http.StatusTooManyRequests:
		code = 20429
	case status == http.StatusServiceUnavailable:
		code = 20503
	case status >= http.StatusInternalServerError:
		code = 20500
	}
	twilioRefuse(w, twilioError{Code: code, Message: message, Status: status})
}

func (s *Sandbox) serveTwilio(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	account, secret, _ := r.BasicAuth()
	if !isSecret(account, twilioAccount) || !isSecret(secret, twilioSecret) {
		w.Header().Set("Www-Authenticate", `Basic realm="Twilio API"`)
		twilioComplain(w, http.StatusUnauthorized, "Authenticate")
		return
	}
	path := "/2010-04-01/Accounts/" + account + "/Messages.json"
	if r.URL.Path != path {
		twilioComplain(w, http.StatusNotFound, "The requested resource "+r.URL.Path+" was not found")
		return
	}
	if r.Method != http.MethodPost {
		twilioRefuse(w, twilioError{Code: 20004, Message: "Method not allowed", Status: http.StatusMethodNotAllowed})
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !isMedia(r, "application/x-www-form-urlencoded") || !utf8.ValidString(form.Get("Body")) {
		twilioComplain(w, http.StatusBadRequest, "The request is not a form in UTF-8")
		return
	}
	if wrong := twilioProblem(form); wrong.Code != 0 {
		twilioRefuse(w, wrong)
		return
	}
	s.accept(r, f, Message{Provider: Twilio, To: form.Get("To"), Body: form.Get("Body"), DeliveryID: s.callBack(form.Get("StatusCallback"))})
	sid, now := "SM"+hexadecimal(), time.Now().UTC().Format(time.RFC1123Z)
	orNull := func(name string) any {
		if form.Has(name) {
			return form.Get(name)
		}
		return nil
	}
	answer(w, http.StatusCreated, "application/json", map[string]any{
		"account_sid": account, "api_version": "2010-04-01", "body": form.Get("Body"), "date_created": now, "date_sent": nil, "date_updated": now,
		"direction": "outbound-api", "error_code": nil, "error_message": nil, "from": orNull("From"), "messaging_service_sid": orNull("MessagingServiceSid"),
		"num_media": "0", "num_segments": "1", "price": nil, "price_unit": nil, "sid": sid, "status": "queued",
		"subresource_uris": map[string]string{"media": strings.TrimSuffix(path, ".json") + "/" + sid + "/Media.json"},
		"to":               form.Get("To"), "uri": strings.TrimSuffix(path, ".json") + "/" + sid + ".json",
	})
}

// twilioProblem returns what is wrong with the message; its Code is 0 if nothing is.
func twilioProblem(form url.Values) twilioError {
	for name, values := range form {
		if !twilioParameters[name] || len(values) != 1 {
			return twilioError{Code: 20001, Message: "Unknown parameter " + name + ", or given twice"}
		}
	}
	to, from, service := form.Get("To"), form.Get("From"), form.Get("MessagingServiceSid")
	switch {
	case to == "":
		return twilioError{Code: 21604, Message: "A 'To' phone number is required."}
	case from == "" && service == "":
		return twilioError{Code: 21603, Message: "A 'From' phone number is required."}
	case service != "" && !twilioService.MatchString(service):
		return twilioError{Code: 21701, Message: "The Messaging Service does not exist"}
	case from != "" && !twilioSender.MatchString(from):
		return twilioError{Code: 21212, Message: "Invalid 'From' Number"}
	case !e164.MatchString(to) || to == from:
		return twilioError{Code: 21211, Message: "Invalid 'To' Phone Number"}
	case form.Get("Body") == "":
		return twilioError{Code: 21602, Message: "Message body is required."}
	case utf8.RuneCountInString(form.Get("Body")) > twilioMaxCharacters:
		return twilioError{Code: 21617, Message: fmt.Sprintf("The concatenated message body exceeds the %d character limit", twilioMaxCharacters)}
	}
	if wrong, ok := twilioFrom[from]; ok {
		return wrong
	}
	return twilioTo[to]
}

// hexadecimal returns 32 random digits.
func hexadecimal() string { return fmt.Sprintf("%x", [16]byte(uuid.New())) }
