// console serves the web page for users: GET / and every path below /console/ return one page,
// which decides by its path what to show. It is static files only. The page uses the public API,
// and signs its user in at the issuer. GET /console/config.json says where that is.
//
// The files are embedded in the program; folder web says how they are made. Files in assets have a
// hash of their content in their names, and may be cached for ever. Browsers ask for all others
// each time, and get 304 if nothing has changed. A program that was built without the files answers
// how to build them.
package main

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/web"
)

// content holds the folder web/dist, if it was built, and web/dist-missing.txt.
//
//go:embed web/dist*
var content embed.FS

type handler struct {
	files   map[string]file // by their paths below web/dist
	policy  string
	signIn  signIn
	missing []byte // the answer if there are no files
}

// New returns the function. It opens nothing.
func New(cfg Config) (*function.Function, error) { return serve(cfg, content) }

func serve(cfg Config, content fs.FS) (*function.Function, error) {
	files, err := readFiles(content, "web/dist")
	if err != nil {
		return nil, err
	}
	missing, err := fs.ReadFile(content, "web/dist-missing.txt")
	if err != nil {
		return nil, err
	}
	h := handler{files: files, policy: cfg.policy(), signIn: cfg.signIn(), missing: missing}
	return &function.Function{Handler: web.NewMux(web.Routes{
		"GET /{$}":                      h.page,
		"GET /console":                  h.page,
		"GET /console/{path...}":        h.fileOrPage,
		"GET /console/assets/{path...}": h.asset,
		"GET /console/config.json":      h.config,
	})}, nil
}

// page serves the page, which is the same for each path.
func (h handler) page(w http.ResponseWriter, r *http.Request) error {
	page, ok := h.files["index.html"]
	if !ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(h.missing)
		return nil
	}
	h.answer(w, r, page, "no-cache")
	return nil
}

// fileOrPage serves a file without a hash in its name, or else the page.
func (h handler) fileOrPage(w http.ResponseWriter, r *http.Request) error {
	found, ok := h.files[r.PathValue("path")]
	if !ok {
		return h.page(w, r)
	}
	h.answer(w, r, found, "no-cache")
	return nil
}

// asset serves a file that never changes. An old page may ask for a file that this program does not
// have: it gets 404, and not the page.
func (h handler) asset(w http.ResponseWriter, r *http.Request) error {
	found, ok := h.files["assets/"+r.PathValue("path")]
	if !ok {
		return fault.NotFound("there is no such file: load the page again")
	}
	h.answer(w, r, found, "public, max-age=31536000, immutable")
	return nil
}

func (h handler) config(w http.ResponseWriter, _ *http.Request) error {
	return web.WriteJSON(w, http.StatusOK, h.signIn)
}

// answer serves a file, compressed if the client accepts that.
func (h handler) answer(w http.ResponseWriter, r *http.Request, f file, caching string) {
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", caching)
	header.Set("Content-Security-Policy", h.policy)
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Vary", "Accept-Encoding")
	form := f.accepted(strings.Join(r.Header.Values("Accept-Encoding"), ","))
	if form.encoding != "" {
		header.Set("Content-Encoding", form.encoding)
	}
	header.Set("ETag", form.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(form.content))
}
