package sandbox

import (
	"cmp"
	"fmt"
	"net/http"
	"net/mail"
	"regexp"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/google/uuid"
)

// What Amazon publishes about SendEmail of the SES API v2:
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html,
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageHeader.html,
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html,
// https://docs.aws.amazon.com/ses/latest/dg/header-fields.html and
// https://docs.aws.amazon.com/ses/latest/dg/quotas.html. The request's members are
// those of the types that Amazon generates from its description of the API.
const (
	sesMaxRecipients = 50
	sesMaxHeaders    = 15
	sesMaxTags       = 50
)

var (
	sesHeaderName  = regexp.MustCompile(`^[!-9;-@A-~]{1,126}$`)
	sesHeaderValue = regexp.MustCompile(`^[ -~]{1,870}$`)
	sesTag         = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)
	// sesOwnHeaders are set by SES, and may not be in a simple message.
	sesOwnHeaders = map[string]bool{
		"bcc": true, "cc": true, "content-disposition": true, "content-transfer-encoding": true, "content-type": true, "date": true, "from": true,
		"message-id": true, "mime-version": true, "reply-to": true, "return-path": true, "subject": true, "to": true,
	}
)

// sesError is an error as SES sends one.
func sesError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-Requestid", uuid.NewString())
	w.Header().Set("X-Amzn-Errortype", code)
	answer(w, status, "application/json", map[string]string{"message": message})
}

func sesComplain(w http.ResponseWriter, status int, message string) {
	code := "BadRequestException"
	switch {
	case status == http.StatusTooManyRequests:
		code = "TooManyRequestsException"
	case status == http.StatusForbidden:
		code = "AccessDeniedException"
	case status == http.StatusNotFound:
		code = "NotFoundException"
	case status == http.StatusServiceUnavailable:
		code = "ServiceUnavailableException"
	case status >= http.StatusInternalServerError:
		code = "InternalServiceErrorException"
	}
	sesError(w, status, code, message)
}

func (s *Sandbox) serveSES(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	if r.URL.Path != "/v2/email/outbound-emails" || r.Method != http.MethodPost {
		sesError(w, http.StatusNotFound, "UnknownOperationException", "")
		return
	}
	if code, message := signatureProblem(r, body, "ses"); code != "" {
		sesError(w, http.StatusForbidden, code, message)
		return
	}
	if !isMedia(r, "application/json") {
		sesError(w, http.StatusUnsupportedMediaType, "UnsupportedMediaTypeException", "")
		return
	}
	var email sesv2.SendEmailInput
	if wrong := check(body, &email); wrong != "" {
		sesError(w, http.StatusBadRequest, "SerializationException", wrong)
		return
	}
	if wrong := sesProblem(&email); wrong != "" {
		sesError(w, http.StatusBadRequest, "BadRequestException", wrong)
		return
	}
	s.accept(r, f, sesMessages(&email)...)
	w.Header().Set("X-Amzn-Requestid", uuid.NewString())
	answer(w, http.StatusOK, "application/json", map[string]string{"MessageId": "0100" + strings.ReplaceAll(uuid.NewString(), "-", "") + "-000000"})
}

func sesRecipients(e *sesv2.SendEmailInput) []string {
	if e.Destination == nil {
		return nil
	}
	return append(append(append([]string{}, e.Destination.ToAddresses...), e.Destination.CcAddresses...), e.Destination.BccAddresses...)
}

func sesMessages(e *sesv2.SendEmailInput) []Message {
	m := Message{Provider: SES, Subject: *e.Content.Simple.Subject.Data}
	for _, part := range []*types.Content{e.Content.Simple.Body.Html, e.Content.Simple.Body.Text} {
		if part != nil {
			m.Body = *part.Data // the plain one, if there are both
		}
	}
	for _, tag := range e.EmailTags {
		if *tag.Name == deliveryID {
			m.DeliveryID = *tag.Value
		}
	}
	var messages []Message
	for _, to := range sesRecipients(e) {
		m.To = to
		messages = append(messages, m)
	}
	return messages
}

// sesProblem returns what is wrong with the e-mail, or "".
func sesProblem(e *sesv2.SendEmailInput) string {
	recipients := sesRecipients(e)
	if len(recipients) == 0 {
		return "Missing required field: at least one destination is required."
	}
	if len(recipients) > sesMaxRecipients {
		return fmt.Sprintf("Recipient count exceeds %d.", sesMaxRecipients)
	}
	if e.FromEmailAddress == nil {
		return "Missing required header 'From'."
	}
	for _, address := range append(append(recipients, e.ReplyToAddresses...), *e.FromEmailAddress) {
		if wrong := sesAddressProblem(address); wrong != "" {
			return wrong
		}
	}
	if len(e.EmailTags) > sesMaxTags {
		return fmt.Sprintf("There may be at most %d message tags.", sesMaxTags)
	}
	for _, tag := range e.EmailTags {
		if tag.Name == nil || tag.Value == nil || !sesTag.MatchString(*tag.Name) || !sesTag.MatchString(*tag.Value) {
			return "Invalid message tag: only alphanumeric ASCII characters, '_', and '-' are allowed, up to 256."
		}
	}
	if e.Content == nil || e.Content.Simple == nil || e.Content.Raw != nil || e.Content.Template != nil {
		return "The sandbox takes Content.Simple, and nothing else in Content."
	}
	return sesContentProblem(e.Content.Simple)
}

func sesAddressProblem(address string) string {
	parsed, err := mail.ParseAddress(address)
	switch {
	case err != nil:
		return "Illegal address"
	case strings.IndexFunc(address, func(r rune) bool { return r > unicode.MaxASCII }) >= 0:
		return "Local address contains control or whitespace" // SES says this of all but ASCII, names too
	case !strings.Contains(parsed.Address[strings.LastIndexByte(parsed.Address, '@'):], "."):
		return "Missing final '@domain'"
	}
	return ""
}

func sesContentProblem(m *types.Message) string {
	if m.Subject == nil || m.Body == nil || m.Body.Text == nil && m.Body.Html == nil {
		return "Content.Simple needs a Subject and a Body with Text or Html."
	}
	for _, part := range []*types.Content{m.Subject, m.Body.Text, m.Body.Html} {
		switch {
		case part == nil:
		case part.Data == nil:
			return "Each part of the content needs Data."
		case part.Charset == nil:
			if strings.IndexFunc(*part.Data, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
				return "Content with other than 7-bit ASCII needs a Charset."
			}
		case !strings.EqualFold(*part.Charset, "UTF-8") && !strings.EqualFold(*part.Charset, "US-ASCII"):
			return "The sandbox takes the charsets UTF-8 and US-ASCII."
		}
	}
	if strings.ContainsAny(*m.Subject.Data, "\r\n") {
		return "The subject must not contain line breaks."
	}
	if len(m.Headers) > sesMaxHeaders {
		return fmt.Sprintf("There may be at most %d headers.", sesMaxHeaders)
	}
	seen := map[string]bool{}
	for _, h := range m.Headers {
		if h.Name == nil || h.Value == nil || !sesHeaderName.MatchString(*h.Name) || !sesHeaderValue.MatchString(*h.Value) {
			return "Invalid header " + *cmp.Or(h.Name, new(string)) + "."
		}
		name := strings.ToLower(*h.Name)
		if sesOwnHeaders[name] || seen[name] {
			return "Header " + *h.Name + " is disallowed, or comes twice."
		}
		seen[name] = true
	}
	return ""
}
