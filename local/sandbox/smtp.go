package sandbox

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A mail server as RFC 5321 describes it, for one sender who signs in (RFC 4954).
// What it takes must be a message as of RFC 5322.
const (
	smtpMaxBytes      = 10 << 20
	smtpMaxRecipients = 100
	smtpTimeout       = time.Minute
)

// ServeSMTP serves mail until the listener is closed. With a TLS configuration it
// offers STARTTLS, and lets nobody sign in without. A fault's Status is the reply
// after the message has come, whose connection a Cut cuts.
func (s *Sandbox) ServeSMTP(l net.Listener, config *tls.Config) error {
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &smtpSession{sandbox: s, conn: c}, nil }))
	server.Domain = "localhost"
	server.TLSConfig = config
	server.AllowInsecureAuth = config == nil
	server.MaxMessageBytes = smtpMaxBytes
	server.MaxRecipients = smtpMaxRecipients
	server.ReadTimeout, server.WriteTimeout = smtpTimeout, smtpTimeout
	server.ErrorLog = log.New(io.Discard, "", 0) // of connections that end early
	return server.Serve(l)
}

// SMTPEnvironment returns the variables that make Duebell's functions send through
// the mail server at an address, which speaks no TLS.
func SMTPEnvironment(address string) map[string]string {
	return map[string]string{"SMTP_ADDRESS": address, "SMTP_USERNAME": smtpUser, "SMTP_PASSWORD": smtpPassword, "SMTP_TLS": "none"}
}

type smtpSession struct {
	sandbox  *Sandbox
	conn     *smtp.Conn
	signedIn bool
	to       []string
}

func (*smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(identity, user, password string) error {
		if identity != "" && identity != user || !isSecret(user, smtpUser) || !isSecret(password, smtpPassword) {
			return smtp.ErrAuthFailed
		}
		s.signedIn = true
		return nil
	}), nil
}

func (s *smtpSession) Reset() { s.to = nil }

func (s *smtpSession) Logout() error { return nil }

func (s *smtpSession) Mail(string, *smtp.MailOptions) error {
	if !s.signedIn {
		return smtpError(530, smtp.EnhancedCode{5, 7, 0}, "Authentication required")
	}
	return nil
}

func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *smtpSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f := s.sandbox.next(SMTP)
	hungUp := s.wait(f.Delay)
	if f.Cut == CutBefore {
		return s.cut()
	}
	if f.Status != 0 {
		return smtpError(f.Status, smtp.EnhancedCode{f.Status / 100, 0, 0}, fmt.Sprintf("the sandbox was told to answer %d", f.Status))
	}
	m, err := readMail(text)
	if err != nil {
		return smtpError(554, smtp.EnhancedCode{5, 6, 0}, err.Error())
	}
	for _, to := range s.to {
		m.To = to
		s.sandbox.keep(f.Cut == CutAfter || hungUp, m)
	}
	if f.Cut == CutAfter {
		return s.cut()
	}
	return nil
}

// wait lets a fault's delay pass, and reports whether the sender hung up meanwhile:
// it says nothing before it hears what became of its message.
func (s *smtpSession) wait(delay time.Duration) (hungUp bool) {
	if delay == 0 {
		return false
	}
	_ = s.conn.Conn().SetReadDeadline(time.Now().Add(delay)) // the server sets one for each command
	_, err := s.conn.Conn().Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// cut cuts the connection, so that nobody hears what it returns.
func (s *smtpSession) cut() error {
	_ = s.conn.Conn().Close() // it is done with
	return smtpError(421, smtp.EnhancedCode{4, 4, 2}, "cut")
}

func smtpError(code int, enhanced smtp.EnhancedCode, message string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: message}
}

// readMail reads a message; its text is its first part.
func readMail(text []byte) (Message, error) {
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			return Message{}, errors.New("a line is longer than 998 characters, or has a control character")
		}
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return Message{}, err
	}
	for name, values := range parsed.Header {
		if len(values) > 1 && name != "Received" {
			return Message{}, fmt.Errorf("the header %s comes twice", name)
		}
	}
	_, dateErr := parsed.Header.Date()
	_, fromErr := parsed.Header.AddressList("From")
	_, toErr := parsed.Header.AddressList("To")
	subject, subjectErr := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	id := strings.Trim(parsed.Header.Get("Message-Id"), "<>")
	id, domain, _ := strings.Cut(id, "@")
	if err := errors.Join(dateErr, fromErr, toErr, subjectErr); err != nil || id == "" || domain == "" {
		return Message{}, errors.New("the headers From, To, Date, Subject and Message-ID must be there, and well-formed")
	}
	body, err := firstPart(parsed.Header.Get("Content-Type"), parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body)
	return Message{Provider: SMTP, Subject: subject, Body: body, DeliveryID: id}, err
}

func firstPart(contentType, encoding string, body io.Reader) (string, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return "", errors.New("the Content-Type is not well-formed")
	case strings.HasPrefix(media, "multipart/"):
		part, err := multipart.NewReader(body, parameters["boundary"]).NextRawPart()
		if err != nil {
			return "", err
		}
		return firstPart(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)
	case strings.EqualFold(encoding, "quoted-printable"):
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	return strings.ReplaceAll(string(text), "\r\n", "\n"), err
}
