// reports takes providers' reports about messages that they have taken, and about what owners of
// addresses have told them: POST /api/reports/sendgrid, /ses and /twilio.
//
// A report counts only if its provider has signed it. A bounce or a complaint counts only if it
// names a delivery of ours. A report sets the delivery's outcome to delivered, bounced or
// complained; the worst one stays. An address that does not exist, or whose owner complained or
// sent STOP, is suppressed; START lifts that. Reports may come in any order and repeatedly; each
// counts once. If a report can't be stored now, the answer is 503, and the provider sends it again.
package main

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/reports"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Store       store.Config
	Suppression suppress.Keys
	Reports     reports.Config
}

type handler struct {
	store  *store.Store
	keys   suppress.Keys
	reader *reports.Reader
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	h := handler{store: s, keys: cfg.Suppression, reader: reports.NewReader(cfg.Reports, reports.NewClient())}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"POST " + notify.ReportPath("sendgrid"): h.take("sendgrid", nothing),
			"POST " + notify.ReportPath("ses"):      h.take("ses", nothing),
			"POST " + notify.ReportPath("twilio"):   h.take("twilio", noReply),
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: s.Close,
	}, nil
}

// take stores a provider's reports, and then answers.
func (h handler) take(provider string, answer func(http.ResponseWriter)) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, err := web.ReadBody(w, r, reports.MaxBody)
		if err != nil {
			return err
		}
		if !h.keys.Enabled() { // without a key, an owner's word could not be stored
			return reports.NotSetUp("SUPPRESSION_KEY")
		}
		found, err := h.reader.Read(r.Context(), provider, reports.Request{Header: r.Header, Query: r.URL.RawQuery, Body: body})
		if err != nil {
			return err
		}
		if err := h.store.TakeReports(r.Context(), found, h.keys.Hashes); err != nil {
			return err
		}
		if len(found) > 0 {
			slog.InfoContext(r.Context(), "reports taken", "provider", provider, "reports", len(found))
		}
		answer(w)
		return nil
	}
}

func nothing(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }

// noReply makes Twilio send no reply to the person who wrote.
func noReply(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Response></Response>`) // the caller may be gone
}
