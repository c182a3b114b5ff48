package sandbox

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/mail"
	"strings"
)

// What SendGrid publishes about POST /v3/mail/send:
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send and
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
const (
	sendGridMaxPersonalizations = 1000
	sendGridMaxRecipients       = 1000
	sendGridMaxCustomArgs       = 10_000
	sendGridHelp                = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"
)

type sendGridAddress struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

// sendGridMail has every field there is; some are not looked into.
type sendGridMail struct {
	Personalizations []struct {
		From                *sendGridAddress  `json:"from"`
		To                  []sendGridAddress `json:"to"`
		CC                  []sendGridAddress `json:"cc"`
		BCC                 []sendGridAddress `json:"bcc"`
		Subject             string            `json:"subject"`
		Headers             map[string]string `json:"headers"`
		Substitutions       map[string]string `json:"substitutions"`
		DynamicTemplateData map[string]any    `json:"dynamic_template_data"`
		CustomArgs          map[string]string `json:"custom_args"`
		SendAt              int64             `json:"send_at"`
	} `json:"personalizations"`
	From        *sendGridAddress  `json:"from"`
	ReplyTo     *sendGridAddress  `json:"reply_to"`
	ReplyToList []sendGridAddress `json:"reply_to_list"`
	Subject     string            `json:"subject"`
	Content     []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"content"`
	Attachments      []any             `json:"attachments"`
	TemplateID       string            `json:"template_id"`
	Headers          map[string]string `json:"headers"`
	Categories       []string          `json:"categories"`
	CustomArgs       map[string]string `json:"custom_args"`
	SendAt           int64             `json:"send_at"`
	BatchID          string            `json:"batch_id"`
	ASM              map[string]any    `json:"asm"`
	IPPoolName       string            `json:"ip_pool_name"`
	MailSettings     map[string]any    `json:"mail_settings"`
	TrackingSettings map[string]any    `json:"tracking_settings"`
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

func sendGridRefuse(w http.ResponseWriter, status int, errors ...sendGridError) {
	answer(w, status, "application/json", map[string]any{"errors": errors})
}

func sendGridComplain(w http.ResponseWriter, status int, message string) {
	sendGridRefuse(w, status, sendGridError{message: message})
}

func (s *Sandbox) serveSendGrid(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	switch {
	case r.URL.Path != "/v3/mail/send":
		sendGridComplain(w, http.StatusNotFound, "not found")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		sendGridComplain(w, http.StatusMethodNotAllowed, "POST method allowed only")
		return
	case !isSecret(r.Header.Get("Authorization"), "Bearer "+sendGridKey):
		sendGridComplain(w, http.StatusUnauthorized, "The provided authorization grant is invalid, expired, or revoked")
		return
	case !isMedia(r, "application/json"):
		sendGridComplain(w, http.StatusUnsupportedMediaType, "Content-Type should be application/json.")
		return
	}
	var mail sendGridMail
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&mail); err != nil {
		wrong := sendGridError{message: "Bad Request"}
		if _, name, unknown := strings.Cut(err.Error(), "unknown field "); unknown {
			wrong.message = "Additional property " + strings.Trim(name, `"`) + " is not allowed"
		}
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			wrong = sendGridError{message: fmt.Sprintf("Invalid type. Expected: %s, given: %s.", e.Type.Kind(), e.Value), field: e.Field}
		}
		sendGridRefuse(w, http.StatusBadRequest, wrong)
		return
	}
	if wrong := mail.check(); wrong != nil {
		sendGridRefuse(w, http.StatusBadRequest, wrong...)
		return
	}
	s.accept(r, f, mail.messages()...)
	w.Header().Set("X-Message-Id", rand.Text())
	w.WriteHeader(http.StatusAccepted)
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
