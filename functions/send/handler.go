// send sends due deliveries to providers, to users' webhooks and to the broker of events, until
// none is left. Any POST wakes it: trigger-reminder sends one after firing, and the sweep sends one
// every minute.
//
// The request has no content. Due deliveries are read from Postgres, so a request may be lost or
// repeated. The answer begins as soon as the function looks. One answer stays open as long as there
// is work, so that the platform does not scale the function to zero.
//
// It is internal: nobody outside the cluster can reach it.
package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/verify"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Store     store.Config
	Dapr      jobs.Config
	Rules     deliver.Rules
	Providers providers.Config
	Verify    verify.Keys
}

type handler struct {
	sender *deliver.Sender
	held   *atomic.Bool // an answer stays open until the work is done
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	return c.Rules.Suppression.Needed(c.Providers.Email.Unsubscribe.Keys.Keys)
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	channels, err := providers.Open(cfg.Providers, dapr)
	if err != nil {
		return nil, err
	}
	links := verify.Links{PublicURL: cfg.Providers.Email.Unsubscribe.PublicURL, Keys: cfg.Verify}
	cfg.Rules.Links.PublicURL = links.PublicURL
	h := handler{sender: deliver.NewSender(s, channels, cfg.Rules, links), held: &atomic.Bool{}}
	return &function.Function{
		Handler: web.NewMux(web.Routes{"POST /": h.send}),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Finish:  h.sender.Stop,
		Close:   func() { dapr.Close(); s.Close() },
	}, nil
}

// mostHeld is how long an answer stays open at most. It is less than platforms allow a request. The
// next request's answer stays open after that.
const mostHeld = 4 * time.Minute

// send begins its answer at once. It ends the answer when the work is done, or at once if another
// answer is open.
func (h handler) send(w http.ResponseWriter, r *http.Request) error {
	done := h.sender.Wake()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if !h.held.CompareAndSwap(false, true) {
		return finish(w)
	}
	defer h.held.Store(false)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return finish(w)
	}
	ctx, cancel := context.WithTimeout(r.Context(), mostHeld)
	defer cancel()
	select {
	case <-done:
	case <-function.Draining(ctx):
	case <-ctx.Done():
	}
	return finish(w)
}

func finish(w http.ResponseWriter) error {
	_, _ = w.Write([]byte("{}\n")) // the caller may be gone
	return nil
}
