package main

import (
	"cmp"
	"context"
	"net/http"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/web"
)

// operator returns an error unless the caller is an operator.
func (h handler) operator(r *http.Request) (auth.User, error) {
	user, err := h.signIn.User(r)
	if err != nil {
		return user, err
	}
	if !user.HasScope(auth.Admin) {
		return user, fault.Forbidden("this is for operators: your token lacks the scope admin")
	}
	return user, nil
}

type suppressionPage struct {
	Suppressions []store.Suppression `json:"suppressions"`
	NextCursor   *string             `json:"next_cursor"` // null on the last page
}

// listSuppressions lists the suppressions that hold, or all; for one address, or for any.
func (h handler) listSuppressions(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.operator(r); err != nil {
		return err
	}
	q := web.Query(r)
	address, cursor, lifted := q.String("address"), q.String("cursor"), q.Bool("lifted")
	f := store.SuppressionFilter{InForce: lifted == nil || !*lifted, Limit: q.Int("limit", 100, 1, 500)}
	if err := q.Err(); err != nil {
		return err
	}
	if address != "" {
		channel, err := suppress.Channel(address)
		if err != nil {
			return err
		}
		of := h.list.Hashes(channel, address)
		f.Of = &of
	}
	if cursor != "" {
		var err error
		if f.After, err = api.ParseCursor(cursor); err != nil {
			return err
		}
	}
	list, more, err := h.store.ListSuppressions(r.Context(), f)
	if err != nil {
		return err
	}
	out := suppressionPage{Suppressions: list}
	if more {
		next := api.FormatCursor(list[len(list)-1].ID)
		out.NextCursor = &next
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// reason returns an error unless the operator gives a reason.
func reason(said string) error {
	if said == "" || len(said) > store.MaxNote {
		return fault.Invalid("reason must say why, in 1 to %d bytes", store.MaxNote)
	}
	return nil
}

// suppress suppresses an address. It answers 201, or 200 if it was suppressed already.
func (h handler) suppress(w http.ResponseWriter, r *http.Request) error {
	user, err := h.operator(r)
	if err != nil {
		return err
	}
	var in struct {
		Address string `json:"address"`
		Reason  string `json:"reason"`
	}
	if err := web.ReadJSON(w, r, &in, web.MaxBytes(maxBody)); err != nil {
		return err
	}
	channel, err := suppress.Channel(in.Address)
	if err != nil {
		return err
	}
	if err := reason(in.Reason); err != nil {
		return err
	}
	var s store.Suppression
	var added bool
	err = h.act(r, user, func(ctx context.Context, tx store.Tx) error {
		s, added, err = tx.Suppress(ctx, h.list.Hashes(channel, in.Address), store.Suppression{
			Channel: channel, Reason: store.ReasonOperator, Note: in.Reason, By: by(user),
		})
		return err
	})
	switch {
	case err != nil:
		return err
	case added:
		return web.WriteJSON(w, http.StatusCreated, s)
	default:
		return web.WriteJSON(w, http.StatusOK, s)
	}
}

// lift lifts a suppression.
func (h handler) lift(w http.ResponseWriter, r *http.Request) error {
	user, err := h.operator(r)
	if err != nil {
		return err
	}
	id, err := web.PathUUID(r, "id")
	if err != nil {
		return err
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if err := web.ReadJSON(w, r, &in, web.MaxBytes(maxBody)); err != nil {
		return err
	}
	if err := reason(in.Reason); err != nil {
		return err
	}
	var s store.Suppression
	err = h.act(r, user, func(ctx context.Context, tx store.Tx) error {
		s, err = tx.LiftSuppression(ctx, id, by(user), in.Reason)
		return err
	})
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, s)
}

// act changes the list and records the act in the audit log, both or neither.
func (h handler) act(r *http.Request, user auth.User, change func(context.Context, store.Tx) error) error {
	return h.store.InTx(r.Context(), func(ctx context.Context, tx store.Tx) error {
		if err := change(ctx, tx); err != nil {
			return err
		}
		return tx.RecordAct(ctx, store.Act{Caller: by(user), UserID: by(user), Method: r.Method, Path: r.URL.Path})
	})
}

// by returns who acts: the sender of the token.
func by(user auth.User) string { return cmp.Or(user.Caller, user.ID) }
