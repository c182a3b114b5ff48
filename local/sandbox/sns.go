package sandbox

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// What Amazon publishes about SNS's action Publish to a phone number:
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html,
// https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html,
// https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html and
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
const (
	snsNamespace     = "http://sns.amazonaws.com/doc/2010-03-31/"
	snsMaxCharacters = 1600
)

var (
	e164         = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)
	snsAttribute = regexp.MustCompile(`^MessageAttributes\.entry\.([1-9][0-9]?)\.(Name|Value\.DataType|Value\.StringValue)$`)
	snsName      = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	// snsOwn are the attributes of an SMS that Amazon knows, and their values.
	snsOwn = map[string]*regexp.Regexp{
		"AWS.SNS.SMS.SenderID":          regexp.MustCompile(`^[A-Za-z0-9-]{1,11}$`),
		"AWS.SNS.SMS.SMSType":           regexp.MustCompile(`^(Promotional|Transactional)$`),
		"AWS.SNS.SMS.MaxPrice":          regexp.MustCompile(`^[0-9]*\.?[0-9]+$`),
		"AWS.MM.SMS.OriginationNumber":  regexp.MustCompile(`^\+?[0-9]{5,14}$`),
		"AWS.MM.SMS.EntityId":           regexp.MustCompile(`^[0-9]{1,50}$`),
		"AWS.MM.SMS.TemplateId":         regexp.MustCompile(`^[0-9]{1,50}$`),
		"AWS.MM.SMS.ConfigurationSetId": regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`),
	}
)

type snsErrorResponse struct {
	XMLName xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ErrorResponse"`
	Error   struct {
		Type, Code, Message string
	}
	RequestID string `xml:"RequestId"`
}

type snsPublishResponse struct {
	XMLName   xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ PublishResponse"`
	MessageID string   `xml:"PublishResult>MessageId"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

func snsAnswer(w http.ResponseWriter, status int, id string, v any) {
	body, err := xml.Marshal(v)
	if err != nil {
		panic(err) // it is nothing but strings
	}
	w.Header().Set("X-Amzn-Requestid", id)
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked has gone
}

func snsError(w http.ResponseWriter, status int, code, message string) {
	e := snsErrorResponse{RequestID: uuid.NewString()}
	e.Error.Type, e.Error.Code, e.Error.Message = "Sender", code, message
	if status >= http.StatusInternalServerError {
		e.Error.Type = "Receiver"
	}
	snsAnswer(w, status, e.RequestID, e)
}

func snsComplain(w http.ResponseWriter, status int, message string) {
	code := "InvalidParameter"
	switch {
	case status == http.StatusTooManyRequests:
		code = "Throttled"
	case status == http.StatusForbidden:
		code = "AuthorizationError"
	case status == http.StatusNotFound:
		code = "NotFound"
	case status == http.StatusServiceUnavailable:
		code = "ServiceUnavailable"
	case status >= http.StatusInternalServerError:
		code = "InternalError"
	}
	snsError(w, status, code, message)
}

func (s *Sandbox) serveSNS(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	if r.Method != http.MethodPost || strings.Trim(r.URL.Path, "/") != "" || !isMedia(r, "application/x-www-form-urlencoded") {
		snsError(w, http.StatusNotFound, "InvalidAction", "The sandbox takes POST / with a form.")
		return
	}
	if code, message := signatureProblem(r, body, "sns"); code != "" {
		older := map[string]string{
			"MissingAuthenticationTokenException": "MissingAuthenticationToken", "IncompleteSignatureException": "IncompleteSignature",
			"UnrecognizedClientException": "InvalidClientTokenId", "InvalidSignatureException": "SignatureDoesNotMatch",
		}
		snsError(w, http.StatusForbidden, older[code], message)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		snsError(w, http.StatusBadRequest, "MalformedQueryString", err.Error())
		return
	}
	attributes, wrong := snsRead(form)
	if wrong != "" {
		snsError(w, http.StatusBadRequest, "InvalidParameter", "Invalid parameter: "+wrong)
		return
	}
	s.accept(r, f, Message{Provider: SNS, To: form.Get("PhoneNumber"), Body: form.Get("Message"), DeliveryID: attributes[deliveryID]})
	id := uuid.NewString()
	snsAnswer(w, http.StatusOK, id, snsPublishResponse{MessageID: uuid.NewString(), RequestID: id})
}

// snsRead returns the message's attributes, and what is wrong with the message, or "".
func snsRead(form url.Values) (attributes map[string]string, wrong string) {
	count := 0
	for name, values := range form {
		switch name {
		case "Action", "Version", "PhoneNumber", "Message":
		default: // a subject, for one, is for topics only
			if !snsAttribute.MatchString(name) {
				return nil, name
			}
			if strings.HasSuffix(name, ".Name") {
				count++
			}
		}
		if len(values) != 1 {
			return nil, name
		}
	}
	message := form.Get("Message")
	switch {
	case form.Get("Action") != "Publish" || form.Get("Version") != "2010-03-31":
		return nil, "Action or Version"
	case !e164.MatchString(form.Get("PhoneNumber")):
		return nil, "PhoneNumber Reason: " + form.Get("PhoneNumber") + " is not valid to publish to"
	case message == "":
		return nil, "Empty message"
	case !utf8.ValidString(message) || utf8.RuneCountInString(message) > snsMaxCharacters:
		return nil, "Message too long"
	}
	attributes = map[string]string{}
	for i := range count {
		at := fmt.Sprintf("MessageAttributes.entry.%d.", i+1)
		name, kind, value := form.Get(at+"Name"), form.Get(at+"Value.DataType"), form.Get(at+"Value.StringValue")
		own, known := snsOwn[name]
		reserved := strings.HasPrefix(strings.ToUpper(name), "AWS.") || strings.HasPrefix(strings.ToUpper(name), "AMAZON.")
		_, notNumber := strconv.ParseFloat(value, 64)
		switch {
		case len(name) > 256 || !snsName.MatchString(name) || attributes[name] != "" || reserved && !known:
			return nil, "MessageAttributes Reason: the attribute name '" + name + "' is invalid"
		case kind != "String" && (kind != "Number" || notNumber != nil) || value == "" || known && !own.MatchString(value):
			return nil, "MessageAttributes Reason: the value of '" + name + "' is invalid"
		}
		attributes[name] = value
	}
	return attributes, ""
}
