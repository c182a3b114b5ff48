package main

import (
	"bytes"
	"html/template"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/link"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/web"
)

// page is the content of the page: a state with buttons, or an error.
type page struct {
	Words notify.PageWords

	Heading string
	Text    string
	Title   string // the task's, which its user wrote
	Due     string
	// May says which buttons there are.
	May struct{ Done, Snooze, Acknowledge bool }
}

// newPage returns the page of a link in a state.
func newPage(f found, s state) page {
	w := notify.PageWordsIn(f.Language)
	p := page{Words: w, Title: f.Task.Title, Due: f.due(s)}
	switch s {
	case open:
		p.May.Done, p.May.Snooze, p.May.Acknowledge = f.Purpose.May(link.Done), f.Purpose.May(link.Snooze), f.Purpose.May(link.Acknowledge)
	case done:
		p.Heading = w.Done
	case snoozed:
		p.Heading = w.Snoozed
	case acknowledged:
		p.Heading = w.Acknowledged
	case already:
		p.Heading = w.Already
	case skipped:
		p.Heading = w.Skipped
	case changed:
		p.Heading = w.Changed
	case early:
		p.Heading = w.Early
	case deleted:
		p.Heading, p.Title, p.Due = w.Deleted, "", ""
	}
	return p
}

// due returns the text for when the link's occurrence is due. If the task has changed, it is when
// the task is due now.
func (f found) due(s state) string {
	t := f.Task
	m := notify.Message{Zone: preferences.Zone(t.Clock.Zone), Language: f.Language}
	switch current, _ := t.Current(t.Clock, time.Now()); {
	case s != changed && f.Occurrence != nil:
		at := t.At(*f.Occurrence, t.Clock)
		m.DueDate = &at
	case current != nil:
		m.DueDate = &current.Instant
	case t.Derive(t.Clock) == nil && !t.Recurs():
		m.DueDate = t.DueDate
	}
	return m.Due()
}

// problemPage returns the page of an error, in the browser's language: the user is not known.
func problemPage(r *http.Request, err error, _ string) []byte {
	p := page{Words: notify.PageWordsIn(r.Header.Get("Accept-Language"))}
	switch web.Status(err) {
	case http.StatusNotFound:
		p.Heading, p.Text = p.Words.NotValid, p.Words.NotValidText
	case http.StatusGone:
		p.Heading, p.Text = p.Words.TooOld, p.Words.TooOldText
	default:
		p.Heading, p.Text = p.Words.Failed, p.Words.FailedText
	}
	return p.render()
}

func writePage(w http.ResponseWriter, status int, p page) error {
	web.SetPageHeaders(w.Header())
	w.WriteHeader(status)
	_, _ = w.Write(p.render()) // an error means that the client has hung up
	return nil
}

func (p page) render() []byte {
	var html bytes.Buffer
	if err := pageTemplate.Execute(&html, p); err != nil {
		panic(err) // the template fits the type
	}
	return html.Bytes()
}

// The forms post to the page's own URL. The title may be in another language and direction than the
// rest.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="{{.Words.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>Duebell</title><style>` + web.PageStyle + `</style></head><body><main>
{{with .Heading}}<h1>{{.}}</h1>
{{with $.Title}}<p dir="auto">{{.}}</p>
{{end}}{{else}}<h1 dir="auto">{{.Title}}</h1>
{{end}}{{with .Text}}<p>{{.}}</p>
{{end}}{{with .Due}}<p>{{.}}</p>
{{end}}{{if .May.Done}}<form method="post"><button name="do" value="done">{{.Words.DoneButton}}</button></form>
{{end}}{{if .May.Snooze}}<form method="post"><p>{{.Words.SnoozeText}}</p>
<input type="hidden" name="do" value="snooze"><button name="for" value="10m">{{.Words.In10Minutes}}</button><button name="for" value="1h">{{.Words.In1Hour}}</button><button name="for" value="tomorrow">{{.Words.Tomorrow}}</button></form>
{{end}}{{if .May.Acknowledge}}<form method="post"><button name="do" value="acknowledge">{{.Words.AcknowledgeButton}}</button></form>
{{end}}</main></body></html>
`))
