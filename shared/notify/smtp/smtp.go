// Package smtp is the e-mail channel through a mail server (RFC 5321).
package smtp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/email"
)

// Config has the settings for a mail server. Without its address it is off.
type Config struct {
	Address  string        `env:"SMTP_ADDRESS" help:"the mail server to send through, like mail.example.com:587; without it SMTP is not used"`
	Username string        `env:"SMTP_USERNAME" help:"the user to sign in as; unset means not to sign in"`
	Password config.Secret `env:"SMTP_PASSWORD" help:"the user's password"`
	TLS      string        `env:"SMTP_TLS" envDefault:"starttls" help:"starttls; tls for a server with TLS from the start (port 465); none, which sends everything in the clear"`
}

// Enabled reports whether the provider is configured.
func (c Config) Enabled() bool { return c.Address != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	var problems []error
	if host, port, err := c.server(); err != nil || host == "" || port < 1 || port > 65535 {
		problems = append(problems, errors.New("SMTP_ADDRESS must be a host and a port, like mail.example.com:587"))
	}
	if c.TLS != "starttls" && c.TLS != "tls" && c.TLS != "none" {
		problems = append(problems, errors.New("SMTP_TLS must be starttls, tls or none"))
	}
	if (c.Username == "") != (c.Password == "") {
		problems = append(problems, errors.New("SMTP_USERNAME and SMTP_PASSWORD must be set together"))
	}
	return errors.Join(problems...)
}

func (c Config) server() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(c.Address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	return host, port, err
}

// Channel sends e-mail. It is safe for concurrent use.
type Channel struct {
	cfg  Config
	mail email.Config
	host string
	port int
	tls  *tls.Config
}

// New returns the channel. The configurations must be valid.
func New(cfg Config, mail email.Config) (*Channel, error) {
	host, port, err := cfg.server()
	if err != nil {
		return nil, fmt.Errorf("SMTP_ADDRESS: %w", err)
	}
	return &Channel{cfg, mail, host, port, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}}, nil
}

// Send sends one message to the address in m.To. Each message has a connection of its own. The
// error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	message, err := c.message(m)
	if err != nil {
		return &notify.Error{Kind: notify.Permanent, Err: err}
	}
	client, err := c.client(ctx)
	if err != nil {
		return &notify.Error{Kind: notify.Retry, Err: errors.New("the settings for SMTP are wrong")}
	}
	if err := client.DialWithContext(ctx); err != nil {
		return &notify.Error{Kind: notify.Retry, Err: fmt.Errorf("the mail server can't be used: %.300s", c.masked(err))}
	}
	defer client.Close()
	if err := client.Send(message); err != nil && !message.IsDelivered() {
		return outcome(err, c.masked(err))
	}
	return nil
}

// masked returns an error's text without the password. A server may repeat it as it is, or encoded
// as it was sent (RFC 4616, and the LOGIN that many servers have).
func (c *Channel) masked(err error) string {
	text, password := err.Error(), c.cfg.Password.Reveal()
	if password == "" {
		return text
	}
	for _, form := range []string{"\x00" + c.cfg.Username + "\x00" + password, password} {
		encoded := base64.StdEncoding.EncodeToString([]byte(form))
		text = strings.NewReplacer(encoded, c.cfg.Password.String(), form, c.cfg.Password.String()).Replace(text)
	}
	return text
}

// outcome returns what the error of a send means:
//
//	421 and other 4xx                     Retry
//	530, 534, 535, 538: sign in           Retry: the operator's settings are wrong
//	5xx to the sender                     Retry: the same
//	other 5xx                             Permanent; with 5.1.1 to the recipient (RFC 3463), the address does not exist
//	no reply before the message was sent  Retry
//	no reply after that                   Unknown
func outcome(err error, text string) error {
	kind, stop := notify.Unknown, notify.Stop("")
	if failed, ok := errors.AsType[*mail.SendError](err); ok {
		code, reason := failed.ErrorCode(), failed.Reason
		sent := reason == mail.ErrWriteContent || reason == mail.ErrSMTPDataClose
		switch {
		case code == 530 || code == 534 || code == 535 || code == 538 || code >= 400 && code < 500 || code == 0 && !sent:
			kind = notify.Retry
		case code >= 500 && reason == mail.ErrSMTPMailFrom:
			kind = notify.Retry
		case code >= 500:
			kind = notify.Permanent
			if reason == mail.ErrSMTPRcptTo && failed.EnhancedStatusCode() == "5.1.1" {
				stop = notify.NoSuchAddress
			}
		}
	}
	return &notify.Error{Kind: kind, Stop: stop, Err: fmt.Errorf("the mail server did not take it: %.300s", text)}
}

// client returns a client for one message. It ends with ctx.
func (c *Channel) client(ctx context.Context) (*mail.Client, error) {
	options := []mail.Option{
		mail.WithPort(c.port), mail.WithTLSConfig(c.tls), mail.WithTLSPolicy(mail.TLSMandatory),
		mail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			return c.dial(ctx, network, address)
		}),
		mail.WithoutNoop(), mail.WithoutRset(),
	}
	if c.cfg.TLS != "starttls" {
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, mail.WithTimeout(max(time.Until(deadline), time.Millisecond)))
	}
	if c.cfg.Username != "" {
		method := mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5)
		if c.cfg.TLS == "none" {
			method = mail.WithSMTPAuth(mail.SMTPAuthPlainNoEnc)
		}
		options = append(options, method, mail.WithUsername(c.cfg.Username), mail.WithPassword(c.cfg.Password.Reveal()))
	}
	return mail.NewClient(c.host, options...)
}

// dial opens a connection that is closed when ctx ends.
func (c *Channel) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	var err error
	if c.cfg.TLS == "tls" {
		conn, err = (&tls.Dialer{Config: c.tls}).DialContext(ctx, network, address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	}
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

// message returns the e-mail. Its Message-ID is the delivery's id, which tells a message that was
// sent again from a second reminder.
func (c *Channel) message(m notify.Message) (*mail.Msg, error) {
	written, err := c.mail.Write(m)
	if err != nil {
		return nil, err
	}
	message := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := message.From(written.From.String()); err != nil {
		return nil, err
	}
	if err := message.To(written.To); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(written.From.Address, "@")
	message.SetMessageIDWithValue(m.ID.String() + "@" + domain)
	message.SetDate()
	// A text that looks like an encoded word (RFC 2047) would be decoded. An invisible character
	// breaks it.
	message.Subject(strings.ReplaceAll(written.Subject, "=?", "=\u2060?"))
	for name, value := range written.Headers {
		message.SetGenHeader(mail.Header(name), value)
	}
	message.SetBodyString(mail.TypeTextPlain, written.Text)
	message.AddAlternativeString(mail.TypeTextHTML, written.HTML)
	return message, nil
}
