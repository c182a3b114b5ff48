// Package email writes the e-mail of a message: subject, text, HTML, and headers with the
// unsubscribe link. The packages of providers send it. Users' texts are escaped: they are never
// markup or headers.
package email

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"net/mail"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/unsubscribe"
)

// Config has the sender of e-mails, for all providers.
type Config struct {
	From        string `env:"EMAIL_FROM" help:"the sender of e-mails, like Duebell <reminders@example.com>; every e-mail provider needs it"`
	Unsubscribe unsubscribe.Config
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if c.From == "" {
		return nil
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		return errors.New("EMAIL_FROM must be an address like Duebell <reminders@example.com>")
	}
	return nil
}

// Mail is an e-mail to one recipient.
type Mail struct {
	From    mail.Address
	To      string // with its domain in ASCII
	Subject string // one line
	Text    string // the text/plain part
	HTML    string // the text/html part
	// Headers are those beside From, To and Subject.
	Headers map[string]string
}

// Write writes a message as an e-mail. The configuration must be valid. The error is for an address
// that no mail server takes, for example one without a valid domain.
func (c Config) Write(m notify.Message) (Mail, error) {
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return Mail{}, fmt.Errorf("EMAIL_FROM: %w", err)
	}
	to, err := preferences.ASCIIAddress(m.To)
	if err != nil {
		return Mail{}, fmt.Errorf("the address %w", err)
	}
	out := Mail{From: *from, To: to, Subject: m.Subject(), Text: m.Text() + "\n", Headers: map[string]string{}}
	template, link := page, ""
	if m.Bundle != nil {
		template = bundlePage
	}
	if m.Verification != nil {
		template, link = verificationPage, m.Verification.NotMe
	} else {
		for i, a := range m.Actions() {
			if i == 0 {
				out.Text += "\n"
			}
			out.Text += a.Text + ": " + a.URL + "\n"
		}
		if link = c.Unsubscribe.Link(m.UserID, m.To); link != "" {
			out.Text += "\n-- \n" + m.UnsubscribeText() + ": " + link + "\n"
		}
	}
	if link != "" { // RFC 2369 and 8058
		out.Headers["List-Unsubscribe"] = "<" + link + ">"
		out.Headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	var html bytes.Buffer
	if err := template.Execute(&html, content{m, link}); err != nil {
		return Mail{}, fmt.Errorf("write the HTML part: %w", err)
	}
	out.HTML = html.String()
	return out, nil
}

// content is what the HTML template shows.
type content struct {
	notify.Message
	Link string
}

// Users' texts may be in another language and direction than the rest.
var page = template.Must(template.New("mail").Parse(`<!doctype html>
<html lang="{{.Lang}}"><body style="font-family:sans-serif">
<h2 dir="auto">{{.Title}}</h2>
{{with .Due}}<p>{{.}}</p>
{{end}}{{with .Notes}}<p dir="auto" style="white-space:pre-wrap">{{.}}</p>
{{end}}{{with .Actions}}<p>{{range .}}<a href="{{.URL}}" style="display:inline-block;margin:0 .5em .5em 0;padding:.5em 1em;border:1px solid;border-radius:.3em">{{.Text}}</a>
{{end}}</p>
{{end}}{{with .Link}}<p style="font-size:small"><a href="{{.}}">{{$.UnsubscribeText}}</a></p>
{{end}}</body></html>
`))

var bundlePage = template.Must(template.New("bundle").Parse(`<!doctype html>
<html lang="{{.Lang}}"><body style="font-family:sans-serif">
<h2>{{.BundleCount}}</h2>
<ul>
{{range .BundleListed}}<li><b dir="auto">{{.Title}}</b>{{with .Due}}<br>{{.}}{{end}}{{with .Actions}}<br>{{range $i, $a := .}}{{if $i}} · {{end}}<a href="{{.URL}}">{{.Text}}</a>{{end}}{{end}}</li>
{{end}}</ul>
{{with .BundleMore}}<p>{{.}}</p>
{{end}}{{with .Link}}<p style="font-size:small"><a href="{{.}}">{{$.UnsubscribeText}}</a></p>
{{end}}</body></html>
`))

var verificationPage = template.Must(template.New("verification").Parse(`<!doctype html>
<html lang="{{.Lang}}"><body style="font-family:sans-serif">
{{with .VerificationTexts}}<p>{{.Intro}}</p>
<p><a href="{{$.Verification.Link}}">{{.Link}}</a></p>
<p>{{.Code}}</p>
<p>{{.Ignore}}</p>
<p style="font-size:small"><a href="{{$.Verification.NotMe}}">{{.NotMe}}</a></p>
{{end}}</body></html>
`))
