package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// PageStyle is the style of the small pages that links in messages lead to: light or dark, as their reader
// has it, and readable on a phone.
const PageStyle = `:root{color-scheme:light dark}body{font-family:sans-serif;line-height:1.4;max-width:30em;margin:3em auto;padding:0 1em;overflow-wrap:anywhere}h1{font-size:1.5em}button{font:inherit;padding:.6em 1em;margin:0 .5em .5em 0}`

// pagePolicy allows a page its style and its own forms, and nothing else.
var pagePolicy = func() string {
	hash := sha256.Sum256([]byte(PageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// SetPageHeaders sets the headers of such a page, whose own URL holds a secret: it is kept nowhere, and
// told to nobody.
func SetPageHeaders(h http.Header) {
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": pagePolicy, "Cache-Control": "no-store",
		"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	} {
		h.Set(name, value)
	}
}

// ForPeople has a page say what is wrong, as people come to the handler by a link and a button. A caller who asks
// for JSON gets the problem. page is given the error, and the sentence that the problem would have as its detail.
func ForPeople(h Handler, page func(r *http.Request, err error, detail string) []byte) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		if err == nil || strings.Contains(r.Header.Get("Accept"), "json") {
			return err
		}
		SetPageHeaders(w.Header())
		writeProblem(w, r, err, "text/html; charset=utf-8", func(p problem) []byte { return page(r, err, p.Detail) })
		return nil
	}
}

// secretPaths begin the paths whose rest is a secret: that of a link in a message.
const secretPaths = "/m/"

// LoggedPath is a request's path as logs may have it. Whoever reads a log could do what a secret in it
// allows.
func LoggedPath(r *http.Request) string {
	if before, _, found := strings.Cut(r.URL.Path, secretPaths); found {
		return before + secretPaths + "***"
	}
	return r.URL.Path
}
