package main

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/web"
)

// ticketLifetime is long enough to open a stream at once.
const ticketLifetime = 30 * time.Second

type ticket struct {
	Ticket    string    `json:"ticket"`
	ExpiresAt time.Time `json:"expires_at"`
}

// issueTicket answers with a ticket for one stream.
func (h handler) issueTicket(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	secret := rand.Text()
	expiresAt, err := h.store.SaveTicket(r.Context(), store.Ticket{
		Hash: sha256.Sum256([]byte(secret)), UserID: user.ID, SignedInUntil: user.Expiry,
	}, ticketLifetime)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, ticket{Ticket: secret, ExpiresAt: expiresAt})
}

// streamUser returns the user of a stream: by the ticket if there is one, or else by the request's
// token. Unknown parameters are ignored, since proxies add some.
func (h handler) streamUser(r *http.Request) (auth.User, error) {
	q := web.Query(r)
	secret := q.String("ticket")
	if err := q.Malformed(); err != nil {
		return auth.User{}, err
	}
	if secret == "" {
		return h.signIn.User(r)
	}
	if err := auth.RefuseUserHeader(r); err != nil {
		return auth.User{}, err
	}
	t, err := h.store.TakeTicket(r.Context(), sha256.Sum256([]byte(secret)))
	return auth.User{ID: t.UserID, Expiry: t.SignedInUntil}, err
}
