package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/mail"
	"strings"
)

// What SendGrid publishes about POST /v3/mail/send:
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send and
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
const (
	sendGridMaxBytes            = 30 << 20
	sendGridMaxPersonalizations = 1000
	sendGridMaxRecipients       = 1000
	sendGridMaxCustomArgs       = 10_000
	sendGridHelp                = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"
)

type sendGridAddress struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

type sendGridMail struct {
	Personalizations []struct {
		To, CC, BCC []sendGridAddress
		Subject     string
		CustomArgs  map[string]string `json:"custom_args"`
	} `json:"personalizations"`
	From    *sendGridAddress `json:"from"`
	ReplyTo *sendGridAddress `json:"reply_to"`
	Subject string           `json:"subject"`
	Content []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"content"`
	TemplateID string            `json:"template_id"`
	Headers    map[string]string `json:"headers"`
	CustomArgs map[string]string `json:"custom_args"`
}

// sendGridError is one of the errors in an answer; what is "" is null there.
type sendGridError struct{ message, field, help string }

func (e sendGridError) MarshalJSON() ([]byte, error) {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return json.Marshal(map[string]any{"message": e.message, "field": orNull(e.field), "help": orNull(e.help)})
}

func (s *Sandbox) serveSendGrid(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, errors ...sendGridError) {
		body, err := json.Marshal(map[string]any{"errors": errors})
		if err != nil {
			panic(err) // it is nothing but strings
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body) // whoever asked has gone
	}
	complain := func(status int, message string) { refuse(status, sendGridError{message: message}) }

	if r.URL.Path != "/v3/mail/send" {
		complain(http.StatusNotFound, "not found")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sendGridMaxBytes))
	fault := s.next(SendGrid)
	if suffer(w, r, fault, complain) {
		return
	}
	media, _, mediaErr := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var mail sendGridMail
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		complain(http.StatusMethodNotAllowed, "POST method allowed only")
		return
	case !s.isSendGridKey(r.Header.Get("Authorization")):
		complain(http.StatusUnauthorized, "The provided authorization grant is invalid, expired, or revoked")
		return
	case mediaErr != nil || media != "application/json":
		complain(http.StatusUnsupportedMediaType, "Content-Type should be application/json.")
		return
	case err != nil:
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			complain(http.StatusRequestEntityTooLarge, "The JSON payload you have included in your request is too large.")
			return
		}
		panic(http.ErrAbortHandler) // the sender hung up
	}
	if err := json.Unmarshal(body, &mail); err != nil {
		wrong := sendGridError{message: "Bad Request"}
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			wrong = sendGridError{message: fmt.Sprintf("Invalid type. Expected: %s, given: %s.", e.Type.Kind(), e.Value), field: e.Field}
		}
		refuse(http.StatusBadRequest, wrong)
		return
	}
	if wrong := mail.check(); wrong != nil {
		refuse(http.StatusBadRequest, wrong...)
		return
	}
	s.accept(r, fault, mail.messages()...)
	w.Header().Set("X-Message-Id", rand.Text())
	w.WriteHeader(http.StatusAccepted)
}

func (s *Sandbox) isSendGridKey(authorization string) bool {
	return subtle.ConstantTimeCompare([]byte(authorization), []byte("Bearer "+s.sendGridKey)) == 1
}

// messages returns the mail as each of its recipients gets it.
func (m *sendGridMail) messages() []Message {
	body := ""
	if len(m.Content) > 0 {
		body = m.Content[0].Value // the plain one, if there are several
	}
	var messages []Message
	for _, p := range m.Personalizations {
		subject := m.Subject
		if p.Subject != "" {
			subject = p.Subject
		}
		id := m.CustomArgs[deliveryID]
		if own, ok := p.CustomArgs[deliveryID]; ok {
			id = own
		}
		for _, recipients := range [][]sendGridAddress{p.To, p.CC, p.BCC} {
			for _, recipient := range recipients {
				messages = append(messages, Message{Provider: SendGrid, To: recipient.Email, Subject: subject, Body: body, DeliveryID: id})
			}
		}
	}
	return messages
}

// check returns everything that is wrong with the mail.
func (m *sendGridMail) check() []sendGridError {
	var wrong []sendGridError
	add := func(field, help, message string) {
		wrong = append(wrong, sendGridError{message, field, sendGridHelp + help})
	}
	m.checkRecipients(add)
	if m.From == nil || m.From.Email == "" {
		add("from.email", "message.from", "The from object must be provided for every email send. It is an object that requires the "+
			`email parameter, but may also contain a name parameter.  e.g. {"email" : "example@example.com"}  or `+
			`{"email" : "example@example.com", "name" : "Example Recipient"}.`)
	} else if !isAddress(m.From.Email) {
		add("from.email", "message.from", "The from email does not contain a valid address.")
	}
	if m.ReplyTo != nil && !isAddress(m.ReplyTo.Email) {
		add("reply_to.email", "message.reply_to", "The reply_to email does not contain a valid address.")
	}
	if m.TemplateID == "" && !m.hasSubjects() {
		add("subject", "message.subject", "The subject is required. You can get around this requirement if you use a template with a "+
			"subject defined or if every personalization has a subject defined.")
	}
	m.checkContent(add)
	for name := range m.Headers {
		if isReserved(name) {
			add("headers", "message.headers", "The header "+name+" is reserved and may not be set.")
		}
	}
	return wrong
}

func (m *sendGridMail) checkRecipients(add func(field, help, message string)) {
	if len(m.Personalizations) == 0 {
		add("personalizations", "-Personalizations-Errors", "The personalizations field is required and must have at least one personalization.")
	}
	if len(m.Personalizations) > sendGridMaxPersonalizations {
		add("personalizations", "-Personalizations-Errors", fmt.Sprintf("The personalizations field may have at most %d personalizations.", sendGridMaxPersonalizations))
	}
	recipients := 0
	for i, p := range m.Personalizations {
		at := fmt.Sprintf("personalizations.%d.", i)
		if len(p.To) == 0 {
			add(at+"to", "message.personalizations.to", "The to array is required for all personalization objects, and must have at least one "+
				"email object with a valid email address.")
		}
		seen := map[string]bool{}
		for _, list := range []struct {
			name string
			to   []sendGridAddress
		}{{"to", p.To}, {"cc", p.CC}, {"bcc", p.BCC}} {
			recipients += len(list.to)
			for j, to := range list.to {
				field, help := fmt.Sprintf("%s%s.%d.email", at, list.name, j), "message.personalizations."+list.name
				lower := strings.ToLower(to.Email)
				switch {
				case to.Email == "":
					add(field, help, "The "+list.name+" email parameter is required.")
				case !isAddress(to.Email):
					add(field, help, "Does not contain a valid address.")
				case seen[lower]:
					add("personalizations", "message.recipient-errors", "Each email address in the personalization block should be unique between "+
						"to, cc, and bcc. We found the first duplicate instance of ["+lower+"] in the "+at+list.name+" field.")
				}
				seen[lower] = true
			}
		}
		if size(m.CustomArgs)+size(p.CustomArgs) > sendGridMaxCustomArgs {
			add(at+"custom_args", "message.custom_args", fmt.Sprintf("The custom_args may not have more than %d bytes in total.", sendGridMaxCustomArgs))
		}
	}
	if recipients > sendGridMaxRecipients {
		add("personalizations", "message.recipient-errors", fmt.Sprintf("There may be at most %d recipients.", sendGridMaxRecipients))
	}
}

func size(args map[string]string) int {
	text, err := json.Marshal(args)
	if err != nil || len(args) == 0 {
		return 0
	}
	return len(text)
}

func (m *sendGridMail) hasSubjects() bool {
	if m.Subject != "" {
		return true
	}
	for _, p := range m.Personalizations {
		if p.Subject == "" {
			return false
		}
	}
	return len(m.Personalizations) > 0
}

func (m *sendGridMail) checkContent(add func(field, help, message string)) {
	if m.TemplateID == "" && len(m.Content) == 0 {
		add("content", "message.content", "Unless a valid template_id is provided, the content parameter is required. There must be at least one "+
			"defined content block. We typically suggest both text/plain and text/html blocks are included, but only one block is required.")
	}
	rank := 0
	for i, c := range m.Content {
		field := fmt.Sprintf("content.%d.", i)
		if _, _, err := mime.ParseMediaType(c.Type); err != nil {
			add(field+"type", "message.content.type", "The content type must be a valid MIME type.")
		}
		if c.Value == "" {
			add(field+"value", "message.content.value", "The content value must be a string at least one character in length.")
		}
		is := map[string]int{"text/plain": 0, "text/html": 1}
		this, known := is[c.Type]
		if !known {
			this = 2
		}
		if this < rank {
			add("content", "message.content", "If present, text/plain and text/html may only be provided once. text/plain must be first, followed by "+
				"text/html, followed by any other content.")
		}
		rank = this
	}
}

// isReserved reports whether SendGrid sets a header itself.
func isReserved(name string) bool {
	switch strings.ToLower(name) {
	case "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding",
		"to", "from", "subject", "reply-to", "cc", "bcc":
		return true
	}
	return false
}

func isAddress(s string) bool {
	parsed, err := mail.ParseAddress(s)
	return err == nil && parsed.Address == s
}
