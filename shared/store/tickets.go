package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
)

// Ticket lets a user in once, until it expires. Who has it is let in for as long as
// the sign-in lasts that it was made for.
type Ticket struct {
	Hash          [32]byte // of the ticket, which itself is not kept
	UserID        string
	SignedInUntil time.Time
}

// staleTickets is how many expired tickets each new one takes away at most: more
// than come, and few enough not to be felt.
const staleTickets = 20

// SaveTicket records a ticket that is good for a while, but never longer than the
// sign-in, and returns when it expires, by the database's clock.
func (s *Store) SaveTicket(ctx context.Context, t Ticket, lifetime time.Duration) (expiresAt time.Time, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `
			with stale as (
				delete from inbox_tickets where hash in (
					select hash from inbox_tickets where expires_at < now()
					order by expires_at limit $5 for update skip locked)
			)
			insert into inbox_tickets (hash, user_id, expires_at, signed_in_until)
			values ($1, $2, least(now() + $3, $4), $4) returning expires_at`,
			t.Hash[:], t.UserID, lifetime, t.SignedInUntil, staleTickets).Scan(&expiresAt)
	})
	return expiresAt, err
}

// TakeTicket uses a ticket up, so that one of several callers gets it, in whatever
// process. The error is unauthenticated for one that is used, expired or unknown.
func (s *Store) TakeTicket(ctx context.Context, hash [32]byte) (Ticket, error) {
	t := Ticket{Hash: hash}
	good := false
	err := s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `delete from inbox_tickets where hash = $1 returning user_id, signed_in_until, expires_at > now()`, hash[:]).
			Scan(&t.UserID, &t.SignedInUntil, &good)
	})
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !good {
		return Ticket{}, fault.Unauthenticated("the ticket is used, has expired or never was; get another one from POST /api/notifications/ticket")
	}
	return t, err
}
