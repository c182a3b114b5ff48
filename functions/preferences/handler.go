// preferences serves what users choose: GET and PUT /api/preferences, and the
// links in e-mails that stop these, GET and POST /api/unsubscribe.
//
// PUT replaces the whole: what is left out gets its default, with two exceptions. E-mail
// that its user has unsubscribed from stays off until it is switched on by name. The webhook's
// secret is never shown, so that what GET gave can be sent back, and left out it stays
// as long as the URL does. Another secret for the same URL leaves
// the one before valid for a day: posts are signed with both. Without a secret a
// webhook is not signed. With If-Match a change is made only to the version that the
// caller has read. Preferences hold for reminders that fire from then on; to a number,
// device or webhook that is taken out, nothing more is sent at all.
package main

import (
	"context"
	"net/http"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/unsubscribe"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	SignIn      auth.Config
	Store       store.Config
	Rules       preferences.Rules
	Unsubscribe unsubscribe.Keys
}

type handler struct {
	signIn *auth.Verifier
	store  *store.Store
	rules  preferences.Rules
	links  unsubscribe.Keys
}

// New makes the function. Nothing is connected before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	h := handler{signIn: auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)), store: s, rules: cfg.Rules, links: cfg.Unsubscribe}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"GET /api/preferences":     h.get,
			"PUT /api/preferences":     h.put,
			"GET " + unsubscribe.Path:  forPeople(h.confirm),
			"POST " + unsubscribe.Path: forPeople(h.unsubscribe),
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: s.Close,
	}, nil
}

func (h handler) get(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	p, err := h.store.GetPreferences(r.Context(), api.Owner(user))
	if err != nil {
		return err
	}
	return answer(w, p)
}

func (h handler) put(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	var in input
	if err := web.ReadJSON(w, r, &in, web.MaxBytes(maxBody)); err != nil {
		return err
	}
	next, err := in.preferences(h.rules)
	if err != nil {
		return err
	}
	owner := api.Owner(user)
	if err := h.store.SaveUser(r.Context(), owner); err != nil {
		return err
	}
	err = h.store.InTx(r.Context(), func(ctx context.Context, tx store.Tx) error {
		current, email, err := tx.LockPreferences(ctx, owner.ID)
		if err != nil {
			return err
		}
		if err := api.CheckIfMatch(r, current.Version); err != nil {
			return err
		}
		next.Channels = in.Channels.on(preferences.DefaultChannels(email != nil && !current.Unsubscribed))
		next.Follow(current)
		return tx.SavePreferences(ctx, owner.ID, next)
	})
	if err != nil {
		return err
	}
	return answer(w, next)
}

func answer(w http.ResponseWriter, p preferences.Preferences) error {
	w.Header().Set("ETag", api.ETag(p.Version))
	return web.WriteJSON(w, http.StatusOK, show(p))
}
