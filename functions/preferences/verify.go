package main

import (
	"context"
	"html/template"
	"net/http"
	"regexp"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/verify"
	"github.com/duebell/duebell/shared/web"
)

// verification is a request about one of the user's addresses.
type verification struct {
	Address string `json:"address"`
	Code    string `json:"code"`
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

// verify takes the code that was sent to an address. If the address is verified already, it stays
// so, whatever the code.
func (h handler) verify(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	var in verification
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	if !sixDigits.MatchString(in.Code) {
		return fault.Invalid("code must be the six digits in the message that was sent to the address, as a string")
	}
	var out address
	var wrong error // not an error of the transaction: the wrong code must be counted
	err = h.change(r.Context(), api.Owner(user).ID, in.Address, func(ctx context.Context, tx store.Tx, listed string, verified bool) (err error) {
		out, wrong = address{Address: listed, State: preferences.Verified}, nil
		if verified {
			return nil
		}
		wrong, err = h.try(ctx, tx, user.ID, listed, in.Code)
		if wrong != nil || err != nil {
			return err
		}
		return tx.SaveVerified(ctx, user.ID, listed)
	})
	if err == nil {
		err = wrong
	}
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

const askForAnother = "ask for another one with POST /api/preferences/verify/resend"

// try checks a code against the latest verification of a listed address. wrong says why the code is
// not valid.
func (h handler) try(ctx context.Context, tx store.Tx, userID, listed, code string) (wrong, err error) {
	latest, err := tx.LatestVerification(ctx, userID, preferences.AddressKey(listed))
	switch {
	case err != nil:
		return nil, err
	case latest == nil:
		return fault.Invalid("no code was sent to this address; " + askForAnother), nil
	case latest.Refused:
		return refused(), nil
	case !latest.CodeGood:
		return fault.Invalid("the code has expired: codes are good for 10 minutes; " + askForAnother), nil
	case latest.Tries >= store.MostTries:
		return fault.Invalid("too many wrong codes were entered: no try is left for the latest one; " + askForAnother), nil
	case h.keys.IsCode(latest.ID, code):
		return nil, nil
	}
	switch left := store.MostTries - latest.Tries - 1; left {
	case 0:
		wrong = fault.Invalid("the code is wrong, and no try is left; " + askForAnother)
	case 1:
		wrong = fault.Invalid("the code is wrong: one try is left; only the code in the latest message counts")
	default:
		wrong = fault.Invalid("the code is wrong: %d tries are left; only the code in the latest message counts", left)
	}
	return wrong, tx.CountTry(ctx, latest.ID)
}

func refused() error {
	return fault.Conflict("the owner of this address has said that it is not theirs to verify; only they can undo that, by the link in the message that they have")
}

// resend asks the owner of an address once more.
func (h handler) resend(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	var in struct {
		Address string `json:"address"`
	}
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	var out address
	err = h.change(r.Context(), api.Owner(user).ID, in.Address, func(ctx context.Context, tx store.Tx, listed string, verified bool) error {
		out = address{Address: listed, State: preferences.Verified}
		if verified {
			return nil
		}
		out.State = preferences.Unverified
		return h.ask(ctx, tx, request(r, user), listed)
	})
	if err != nil {
		return err
	}
	if out.State == preferences.Verified {
		return web.WriteJSON(w, http.StatusOK, out)
	}
	h.wake()
	return web.WriteJSON(w, http.StatusAccepted, out)
}

// ask asks the owner of one listed address. If a limit forbids it, that is an error.
func (h handler) ask(ctx context.Context, tx store.Tx, r verify.Request, listed string) error {
	if problem := h.prefixes.Refuses(preferences.ChannelOf(listed), listed); problem != "" {
		return fault.Conflict("%s", problem)
	}
	_, no, err := h.asker.AskAll(ctx, tx, r, []string{listed})
	if err == nil {
		err = no
	}
	return err
}

// change locks a user's preferences, and calls do with the address as it is listed. The error is
// not_found if it is not listed.
func (h handler) change(ctx context.Context, userID, address string, do func(ctx context.Context, tx store.Tx, listed string, verified bool) error) error {
	return h.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		p, signIn, err := tx.LockPreferences(ctx, userID)
		if fault.CodeOf(err) == fault.CodeNotFound {
			return errNotListed
		}
		if err != nil {
			return err
		}
		listed := p.Listed(address)
		if listed == "" {
			return errNotListed
		}
		return do(ctx, tx, listed, p.State(listed, signIn) == preferences.Verified)
	})
}

var errNotListed = fault.NotFound("your preferences name no such address; add it with PUT /api/preferences first")

// The following handlers are for the owners of addresses. They need no sign-in: a link's token is
// signed, and says which verification it is for.

var errNoLink = fault.Invalid("this link is not valid; use the one in the latest message")

// askOwner shows a page that asks whether to agree. It changes nothing, since mail scanners follow
// links, too.
func (h handler) askOwner(w http.ResponseWriter, r *http.Request) error {
	v, err := h.openVerification(r)
	if err != nil {
		return err
	}
	return writeOwnerPage(w, ownerPage{Ask: v.LinkGood && !v.Refused, Expired: !v.LinkGood && !v.Refused, Refused: v.Refused, Address: v.Address})
}

// ownerAgrees verifies the link's address for the user who asked, and for no other user. With again
// in the form it sends a new message instead. That is safe, since the owner has read the first.
func (h handler) ownerAgrees(w http.ResponseWriter, r *http.Request) error {
	v, err := h.openVerification(r)
	if err != nil {
		return err
	}
	again := isAgain(w, r)
	shown := ownerPage{Address: v.Address}
	err = h.change(r.Context(), v.UserID, v.Address, func(ctx context.Context, tx store.Tx, listed string, verified bool) error {
		shown = ownerPage{Address: v.Address}
		switch {
		case verified:
			shown.Verified = true
			return nil
		case again:
			shown.Sent = true
			return h.ask(ctx, tx, verify.Request{UserID: v.UserID, Network: web.Network(r)}, listed)
		case v.Refused:
			shown.Refused = true
			return nil
		case !v.LinkGood:
			shown.Expired = true
			return nil
		}
		shown.Verified = true
		return tx.SaveVerified(ctx, v.UserID, listed)
	})
	switch {
	case fault.CodeOf(err) == fault.CodeNotFound:
		return fault.NotFound("nobody wants reminders at this address any more, so there is nothing to confirm")
	case err != nil:
		return err
	}
	if shown.Sent {
		h.wake()
	}
	return writeOwnerPage(w, shown)
}

// askNotMe shows a page that asks whether to send no more such messages. It changes nothing.
func (h handler) askNotMe(w http.ResponseWriter, r *http.Request) error {
	if _, _, ok := h.keys.Open(r.URL.Query().Get("token")); !ok {
		return errNoLink
	}
	return writeOwnerPage(w, ownerPage{AskNotMe: true})
}

// notMe stores that the owner of an address wants no such messages, for any user, and ends the
// address's grace. With again in the form it undoes that, and sends the link's message again if the
// user still wants it.
func (h handler) notMe(w http.ResponseWriter, r *http.Request) error {
	id, hash, ok := h.keys.Open(r.URL.Query().Get("token"))
	if !ok {
		return errNoLink
	}
	v, err := h.store.FindVerification(r.Context(), id)
	if err != nil {
		return err
	}
	hashes := [][]byte{hash}
	if v != nil { // hashes by all keys
		hashes = append(hashes, verify.AddressHashes(h.list, v.Address)...)
	}
	if !isAgain(w, r) {
		if err := h.store.InTx(r.Context(), func(ctx context.Context, tx store.Tx) error { return tx.RefuseVerifications(ctx, hashes) }); err != nil {
			return err
		}
		return writeOwnerPage(w, ownerPage{NotMe: true})
	}
	if err := h.store.InTx(r.Context(), func(ctx context.Context, tx store.Tx) error { return tx.AllowVerifications(ctx, hashes) }); err != nil {
		return err
	}
	shown := ownerPage{Allowed: true}
	if v != nil {
		err = h.change(r.Context(), v.UserID, v.Address, func(ctx context.Context, tx store.Tx, listed string, verified bool) error {
			if verified {
				return nil
			}
			shown = ownerPage{Sent: true, Address: v.Address}
			return h.ask(ctx, tx, verify.Request{UserID: v.UserID, Network: web.Network(r)}, listed)
		})
		if err != nil && fault.CodeOf(err) != fault.CodeNotFound { // the user does not want the message any more; the refusal is undone all the same
			return err
		}
	}
	if shown.Sent {
		h.wake()
	}
	return writeOwnerPage(w, shown)
}

// openVerification returns the verification of the request's link.
func (h handler) openVerification(r *http.Request) (*store.Verification, error) {
	id, _, ok := h.keys.Open(r.URL.Query().Get("token"))
	if !ok {
		return nil, errNoLink
	}
	v, err := h.store.FindVerification(r.Context(), id)
	if err == nil && v == nil {
		return nil, fault.NotFound("this link is too old; use the one in the latest message")
	}
	return v, err
}

// maxForm is more than the forms here need.
const maxForm = 4 << 10

func isAgain(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	return r.PostFormValue("again") != ""
}

// ownerPage is the page for an owner. One of its fields is set.
type ownerPage struct {
	Ask, Verified, Sent, Expired, Refused, AskNotMe, NotMe, Allowed bool

	Address string
}

func writeOwnerPage(w http.ResponseWriter, p ownerPage) error {
	web.SetPageHeaders(w.Header())
	_, _ = w.Write(render(ownerTemplate, p)) // an error means that the client has hung up
	return nil
}

// The forms post to the page's own URL, token included.
var ownerTemplate = template.Must(template.New("owner").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>Duebell: is this your address?</title><style>` + web.PageStyle + `</style></head><body>
{{define "again"}}<form method="post"><input type="hidden" name="again" value="1"><button>Send another message</button></form>{{end}}
{{if .Ask}}<h1>Is this your address?</h1>
<p>Somebody wants reminders by Duebell to be sent to {{.Address}}. Confirm only if that is you.</p>
<form method="post"><button>Confirm</button></form>
{{else if .Verified}}<h1>Confirmed</h1>
<p>Reminders may be sent to {{.Address}}.</p>
{{else if .Sent}}<h1>A message is on its way</h1>
<p>Follow the link in the message to {{.Address}}, or enter its code, within 10 minutes.</p>
{{else if .Expired}}<h1>This link has expired</h1>
<p>It was good for 10 minutes. If you want reminders to be sent to {{.Address}}, have another message sent.</p>
{{template "again"}}
{{else if .Refused}}<h1>You have said that this is not you</h1>
<p>So nobody can have reminders sent to {{.Address}}. To undo that, follow the other link in the message, by which you said so.</p>
{{else if .AskNotMe}}<h1>Not you?</h1>
<p>Duebell will send no more messages that ask to confirm your address, whoever wants it to.</p>
<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click"><button>No more of these messages</button></form>
<p>If you have said so before and want such a message after all:</p>
{{template "again"}}
{{else if .NotMe}}<h1>Done</h1>
<p>Duebell sends no more such messages to you. If this was a mistake, have one sent after all:</p>
{{template "again"}}
{{else}}<h1>Done</h1>
<p>You can be asked to confirm your address again.</p>
{{end}}</body></html>
`))
