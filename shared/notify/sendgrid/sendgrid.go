// Package sendgrid is the e-mail channel through Twilio SendGrid's v3 mail/send
// API: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
package sendgrid

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/sendgrid/rest"
	sg "github.com/sendgrid/sendgrid-go"
	sgmail "github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/unsubscribe"
)

// Config says how to send through SendGrid. Without an API key there is no
// e-mail channel.
type Config struct {
	APIKey config.Secret `env:"SENDGRID_API_KEY" help:"SendGrid's API key; without it there is no e-mail"`
	URL    string        `env:"SENDGRID_URL" envDefault:"https://api.sendgrid.com" help:"SendGrid's API; https://api.eu.sendgrid.com for EU accounts"`
	From   string        `env:"EMAIL_FROM" help:"the sender of e-mails, like Duebell <reminders@example.com>"`
}

// Enabled reports whether the channel is configured.
func (c Config) Enabled() bool { return c.APIKey != "" }

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	var problems []error
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		problems = append(problems, errors.New("SENDGRID_URL must be an http or https URL"))
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		problems = append(problems, errors.New("EMAIL_FROM must be an address like Duebell <reminders@example.com>"))
	}
	return errors.Join(problems...)
}

// Channel sends e-mail. It is safe for concurrent use.
type Channel struct {
	cfg    Config
	links  unsubscribe.Config
	from   *sgmail.Email
	client rest.Client
}

// New makes the channel. Both configurations must be valid.
func New(cfg Config, links unsubscribe.Config) (*Channel, error) {
	from, err := mail.ParseAddress(cfg.From)
	if err != nil {
		return nil, fmt.Errorf("EMAIL_FROM: %w", err)
	}
	return &Channel{
		cfg:   cfg,
		links: links,
		from:  sgmail.NewEmail(from.Name, from.Address),
		client: rest.Client{HTTPClient: &http.Client{
			// The caller's context sets the deadline of a send; a redirect would
			// take the API key elsewhere.
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 32, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}},
	}, nil
}

// Send sends one message to the address in m.To. The error is a *notify.Error.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	body, err := c.body(m)
	if err != nil {
		return &notify.Error{Kind: notify.Permanent, Err: err}
	}
	req := sg.GetRequest(c.cfg.APIKey.Reveal(), "/v3/mail/send", strings.TrimRight(c.cfg.URL, "/"))
	req.Method, req.Body = rest.Post, body
	resp, err := c.client.SendWithContext(ctx, req)
	if err != nil {
		return notify.FromTransport(err)
	}
	return notify.FromStatus(resp.StatusCode, resp.Headers, explain(resp.Body), time.Now())
}

func (c *Channel) body(m notify.Message) ([]byte, error) {
	link := c.links.Link(m.UserID, m.To)
	text := m.Text() + "\n"
	if link != "" {
		text += "\n-- \nNo more reminders to this address: " + link + "\n"
	}
	var html bytes.Buffer
	if err := page.Execute(&html, content{m, link}); err != nil {
		return nil, fmt.Errorf("write the HTML part: %w", err)
	}
	msg := sgmail.NewV3MailInit(c.from, "Reminder: "+m.Headline(), sgmail.NewEmail("", m.To),
		sgmail.NewContent("text/plain", text), sgmail.NewContent("text/html", html.String()))
	if link != "" { // RFC 2369 and 8058
		msg.SetHeader("List-Unsubscribe", "<"+link+">")
		msg.SetHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	}
	// Comes back with SendGrid's events, and tells a repeated send apart from a
	// second reminder.
	msg.SetCustomArg("delivery_id", m.ID.String())
	return sgmail.GetRequestBody(msg), nil
}

// content is what page shows.
type content struct {
	notify.Message
	Unsubscribe string
}

var page = template.Must(template.New("mail").Parse(`<!doctype html>
<html lang="en"><body style="font-family:sans-serif">
<h2>{{.Title}}</h2>
{{with .Due}}<p>{{.}}</p>
{{end}}{{with .Notes}}<p style="white-space:pre-wrap">{{.}}</p>
{{end}}{{with .Unsubscribe}}<p style="font-size:small"><a href="{{.}}">No more reminders to this address</a></p>
{{end}}</body></html>
`))

// explain takes the messages out of SendGrid's error body.
func explain(body string) string {
	var e struct {
		Errors []struct{ Message, Field string }
	}
	if json.Unmarshal([]byte(body), &e) != nil || len(e.Errors) == 0 {
		return "(no explanation)"
	}
	var out []string
	for _, each := range e.Errors {
		out = append(out, strings.TrimSpace(each.Field+" "+each.Message))
	}
	return strings.Join(out, "; ")
}
