// send sends what is due: it leases deliveries and hands them over to providers, to the
// hosts of users' webhooks, and to the broker of events, until nothing is due. It is woken
// by any POST: trigger-reminder makes one when it has fired something, the sweep makes one
// every minute.
//
// The call carries nothing. What is due is read from Postgres, so a call that is lost, or
// comes twice, does no harm. The answer begins as soon as the function looks. One answer
// goes on for as long as there is work, so that the platform sees a request under way and
// does not scale the function to zero.
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
	held   *atomic.Bool // an answer goes on until the work is done
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	return c.Rules.Suppression.Needed(c.Providers.Email.Unsubscribe.Keys.Keys)
}

// New makes the function. Nothing is connected before the first request.
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

// mostHeld is how long an answer goes on at most: less than a platform lets a request take.
// The next call is held after it.
const mostHeld = 4 * time.Minute

// send begins its answer at once, and ends it when the work is done, if no other answer
// does so already.
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
