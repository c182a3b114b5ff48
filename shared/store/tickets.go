package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
)

// Ticket admits a user once, until it expires. What is opened with it may last as long as the
// sign-in for which it was made.
type Ticket struct {
	Hash          [32]byte // of the ticket, which itself is not stored
	UserID        string
	SignedInUntil time.Time
}

// staleTickets is how many expired tickets each new one deletes at most: more than one, so that
// they do not pile up, and few enough to be quick.
const staleTickets = 20

// SaveTicket stores a ticket that is valid for lifetime, but never longer than the sign-in. It
// returns when the ticket expires, by the database's clock.
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

// TakeTicket uses up a ticket: of several callers, in any processes, one gets it. The error is
// unauthenticated if it is used, expired or unknown.
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
