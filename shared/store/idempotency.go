package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
)

// IdempotencyKey names a request that a user may send again without it being carried out again. The
// answer to the first is kept for 24 hours.
type IdempotencyKey struct {
	UserID  string
	Key     string
	Request [sha256.Size]byte // a hash of the request, so that the key can't be used for another one
	// Wait makes a claim wait for a running request with the same key. Without it the claim is
	// refused.
	Wait bool
}

// Part returns the key of the nth part of a request that is carried out in several transactions. No
// key that a user sends is like it.
func (k IdempotencyKey) Part(n int, asked [sha256.Size]byte) IdempotencyKey {
	return IdempotencyKey{UserID: k.UserID, Key: fmt.Sprintf("%x %d", sha256.Sum256([]byte(k.Key)), n), Request: asked, Wait: true}
}

// keysKept is for how long a key counts.
const keysKept = 24 * time.Hour

// AnsweredError says that the request was carried out before. Answer is what was answered.
type AnsweredError struct{ Answer string }

// Error implements error.
func (*AnsweredError) Error() string { return "the request was carried out before" }

// ClaimKey takes a key for the transaction that carries the request out, and stores the answer to
// give. If the request was carried out before, the error is an *AnsweredError. It is a conflict if
// a request with the key is running right now, or if the key was used for another request.
func (tx Tx) ClaimKey(ctx context.Context, k IdempotencyKey, answer string) error {
	free := true
	var err error
	// The lock is held until the transaction ends, so that a second request need not wait for it.
	if k.Wait {
		_, err = tx.tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1 || chr(1) || $2, 0))`, k.UserID, k.Key)
	} else {
		err = tx.tx.QueryRow(ctx, `select pg_try_advisory_xact_lock(hashtextextended($1 || chr(1) || $2, 0))`, k.UserID, k.Key).Scan(&free)
	}
	if err != nil {
		return err
	}
	if !free {
		running := fault.Conflict("a request with this Idempotency-Key is being carried out; send it again in a moment")
		running.RetryAfter = time.Second
		return running
	}
	err = k.answered(tx.tx.QueryRow(ctx, answeredSQL, k.UserID, k.Key, keysKept))
	if err == nil {
		_, err = tx.tx.Exec(ctx, `
			insert into idempotency_keys as k (user_id, key, request, answer) values ($1, $2, $3, $4)
			on conflict (user_id, key) do update set request = excluded.request, answer = excluded.answer, created_at = now()`,
			k.UserID, k.Key, k.Request[:], answer)
	}
	return err
}

// Answered reports whether a key was used before, by the same errors as ClaimKey. It looks only at
// what is committed: only ClaimKey notices a request that is running right now.
func (s *Store) Answered(ctx context.Context, k IdempotencyKey) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return k.answered(c.QueryRow(ctx, answeredSQL, k.UserID, k.Key, keysKept))
	})
}

const answeredSQL = `select request, answer from idempotency_keys where user_id = $1 and key = $2 and created_at > now() - $3::interval`

func (k IdempotencyKey) answered(row pgx.Row) error {
	var request []byte
	var before string
	err := row.Scan(&request, &before)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	case !bytes.Equal(request, k.Request[:]):
		return fault.Conflict("this Idempotency-Key was used for another request; use a new one for each request")
	default:
		return &AnsweredError{Answer: before}
	}
}

// KeepAnswer replaces the answer of a claimed key by what was really answered.
func (s *Store) KeepAnswer(ctx context.Context, k IdempotencyKey, answer string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `update idempotency_keys set answer = $4 where user_id = $1 and key = $2 and request = $3`,
			k.UserID, k.Key, k.Request[:], answer)
		return err
	})
}
