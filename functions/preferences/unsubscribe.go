package main

import (
	"bytes"
	"context"
	"html/template"
	"net/http"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// confirm shows the page of an unsubscribe link. It changes nothing, since mail scanners follow
// links, too.
func (h handler) confirm(w http.ResponseWriter, r *http.Request) error {
	address, err := h.open(r)
	if err != nil {
		return err
	}
	return writePage(w, page{Address: address})
}

// forPeople answers errors with a page.
func forPeople(h web.Handler) web.Handler {
	return web.ForPeople(h, func(_ *http.Request, _ error, detail string) []byte {
		return render(pageTemplate, page{Problem: detail})
	})
}

// unsubscribe suppresses the address in the token. Mail programs post here on a click (RFC 8058),
// and so does the page. The page's second form lifts the suppression. Posting either again changes
// nothing.
func (h handler) unsubscribe(w http.ResponseWriter, r *http.Request) error {
	address, err := h.open(r)
	if err != nil {
		return err
	}
	hashes, again := h.list.Hashes(task.Email, address), wantsAgain(w, r)
	err = h.store.InTx(r.Context(), func(ctx context.Context, tx store.Tx) error {
		if again {
			return tx.Lift(ctx, hashes)
		}
		_, _, err := tx.Suppress(ctx, hashes, store.Suppression{Channel: task.Email, Reason: store.ReasonUnsubscribed, By: store.ByOwner})
		return err
	})
	if err != nil {
		return err
	}
	return writePage(w, page{Address: address, Done: !again, Again: again})
}

// wantsAgain reports whether the page's second form was posted. Any other body means that no more
// messages are wanted.
func wantsAgain(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	return r.ParseForm() == nil && r.PostForm.Get(againField) == againValue
}

const againField, againValue = "Duebell", "Again"

// open returns the address in the request's token. It ignores other parameters, since mail programs
// and link trackers add some.
func (h handler) open(r *http.Request) (address string, err error) {
	_, address, ok := h.links.Open(r.URL.Query().Get("token"))
	if !ok {
		return "", fault.Invalid("this link is not valid; use the one in your latest reminder, or switch e-mail off in your preferences")
	}
	return address, nil
}

type page struct {
	Address string
	Done    bool // nothing is sent there any more
	Again   bool // messages are sent there again
	Problem string
}

// The forms post to the page's own URL, token included.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>Duebell: e-mail reminders</title><style>` + web.PageStyle + `</style></head><body>
{{if .Problem}}<h1>That did not work</h1>
<p>Duebell says: {{.Problem}}</p>
{{else if .Again}}<h1>Done</h1>
<p>Duebell may send reminders to {{.Address}} again.</p>
{{else if .Done}}<h1>Done</h1>
<p>Duebell sends no more reminders to {{.Address}}, whoever asks for them.</p>
{{template "again"}}
{{else}}<h1>No more e-mail?</h1>
<p>Duebell will send no more reminders to {{.Address}}, whoever asks for them.</p>
<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click"><button>Unsubscribe</button></form>
{{template "again"}}
{{end}}</body></html>
{{define "again"}}<p>If you have unsubscribed and changed your mind:</p>
<form method="post"><input type="hidden" name="` + againField + `" value="` + againValue + `"><button>Send me reminders again</button></form>
{{end}}`))

func writePage(w http.ResponseWriter, p page) error {
	web.SetPageHeaders(w.Header())
	_, _ = w.Write(render(pageTemplate, p)) // an error means that the client has hung up
	return nil
}

func render(t *template.Template, p any) []byte {
	var html bytes.Buffer
	if err := t.Execute(&html, p); err != nil {
		panic(err) // the template fits the type
	}
	return html.Bytes()
}
