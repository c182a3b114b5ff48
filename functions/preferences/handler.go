// preferences serves what users choose: GET and PUT /api/preferences; the links in e-mails
// that stop these, and undo that, GET and POST /api/unsubscribe; messages by which users try their
// channels, POST /api/preferences/test; all by which the owners of
// addresses agree to be written to: POST /api/preferences/verify and /api/preferences/verify/resend,
// and the links in the messages that ask them, GET and POST /api/verify and /api/not-me; and, for
// operators, the list of addresses that get nothing more, /api/suppressions.
//
// PUT replaces the whole: what is left out gets its default, with two exceptions, so that what GET
// gave can be sent back. The webhook's secret is never shown, and left out it stays
// as long as the URL does. A browser's subscription is never shown either, and stays as long as
// the id of its device is there. Another secret for the same URL leaves
// the one before valid for a day: posts are signed with both. Without a secret a
// webhook is not signed. With If-Match a change is made only to the version that the
// caller has read. An address that is added is unverified: its owner is asked, once, and
// nothing else is sent there before they have agreed. Preferences hold for reminders that fire from then on; to a number,
// device or webhook that is taken out, nothing more is sent at all.
package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/unsubscribe"
	"github.com/duebell/duebell/shared/vapid"
	"github.com/duebell/duebell/shared/verify"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	SignIn      auth.Config
	Store       store.Config
	Rules       preferences.Rules
	Unsubscribe unsubscribe.Keys
	Suppression suppress.Keys
	Verify      verify.Keys
	Limits      verify.Limits
	Prefixes    quota.Prefixes
	Sender      deliver.WakerConfig
	WebPush     vapid.Public
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error { return c.Suppression.Needed(c.Unsubscribe.Keys) }

type handler struct {
	signIn *auth.Verifier
	store  *store.Store
	rules  preferences.Rules
	links  unsubscribe.Keys
	keys   verify.Keys
	asker  verify.Asker
	wake   func() // the sender
	list   suppress.Keys

	prefixes quota.Prefixes // of numbers that text messages may go to
	pushKey  string         // what browsers subscribe for
}

// New makes the function. Nothing is connected before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	waker := deliver.NewWaker(cfg.Sender)
	h := handler{
		signIn: auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)), store: s, rules: cfg.Rules, links: cfg.Unsubscribe,
		keys: cfg.Verify, asker: verify.NewAsker(cfg.Verify, cfg.Limits, cfg.Suppression), wake: waker.Wake, list: cfg.Suppression, prefixes: cfg.Prefixes,
		pushKey: cfg.WebPush.Key,
	}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"GET /api/preferences":                h.get,
			"PUT /api/preferences":                h.put,
			"POST /api/preferences/test":          h.test,
			"POST /api/preferences/verify":        h.verify,
			"POST /api/preferences/verify/resend": h.resend,
			"GET " + unsubscribe.Path:             forPeople(h.confirm),
			"POST " + unsubscribe.Path:            forPeople(h.unsubscribe),
			"GET " + verify.Path:                  forPeople(h.askOwner),
			"POST " + verify.Path:                 forPeople(h.ownerAgrees),
			"GET " + verify.NotMePath:             forPeople(h.askNotMe),
			"POST " + verify.NotMePath:            forPeople(h.notMe),

			"GET /api/suppressions":            h.listSuppressions,
			"POST /api/suppressions":           h.suppress,
			"POST /api/suppressions/{id}/lift": h.lift,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: func() { waker.Close(); s.Close() },
	}, nil
}

func (h handler) get(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	p, err := h.store.GetRecipient(r.Context(), api.Owner(user))
	if err != nil {
		return err
	}
	return h.answer(r.Context(), w, p.Preferences, p.SignIn)
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
	vouched := in.vouched()
	if len(vouched) > 0 && !user.HasScope(auth.Act) {
		return fault.Forbidden("only a program with the scope act may say that an address is verified; leave verified out, and its owner is asked")
	}
	owner := api.Owner(user)
	if err := h.store.SaveUser(r.Context(), owner); err != nil {
		return err
	}
	var signIn *string
	asked, judged := 0, false
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
		if err := next.KeepSubscriptions(current); err != nil {
			return err
		}
		for _, address := range vouched {
			next.Verify(next.Listed(address))
		}
		if err := tx.SavePreferences(ctx, owner.ID, next); err != nil {
			return err
		}
		if err := schedule.MoveAgenda(ctx, tx, owner.ID, current, next, next.Habits().Clock, time.Now()); err != nil {
			return err
		}
		signIn = email
		added := slices.DeleteFunc(next.Addresses(), func(a string) bool {
			return next.State(a, signIn) == preferences.Verified || current.Listed(a) != ""
		})
		for _, address := range added {
			if problem := h.prefixes.Refuses(preferences.ChannelOf(address), address); problem != "" {
				return fault.Invalid("phones: %s", problem)
			}
		}
		// What may not be asked now stays unverified: to ask again says why.
		judged = current.QuietHours.Any() // what these hold
		asked, _, err = h.asker.AskAll(ctx, tx, request(r, user), added)
		return err
	})
	if err != nil {
		return err
	}
	if asked > 0 || judged {
		h.wake()
	}
	return h.answer(r.Context(), w, next, signIn)
}

// request is who has owners asked. A program that acts for users is not held to the limit of
// its network: all its users come from there.
func request(r *http.Request, user auth.User) verify.Request {
	request := verify.Request{UserID: user.ID, Network: web.Network(r)}
	if user.HasScope(auth.Act) {
		request.Network = ""
	}
	return request
}

func (h handler) answer(ctx context.Context, w http.ResponseWriter, p preferences.Preferences, signIn *string) error {
	of := func(address string) suppress.Address { return h.list.Hashes(preferences.ChannelOf(address), address) }
	var all []suppress.Address
	for _, address := range p.Addresses() {
		all = append(all, of(address))
	}
	found, err := h.store.Suppressed(ctx, all)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", api.ETag(p.Version))
	shown := show(p, signIn, func(address string) *time.Time { return found.Since(of(address)) })
	shown.PushKey = h.pushKey
	return web.WriteJSON(w, http.StatusOK, shown)
}
