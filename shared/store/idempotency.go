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

// IdempotencyKey names a request that a user may send again without its being
// carried out again: the answer to the first is kept for 24 hours.
type IdempotencyKey struct {
	UserID  string
	Key     string
	Request [sha256.Size]byte // what was asked, so that the key can't be used for something else
	// Wait has a claim wait for another request with the key that is running right
	// now, instead of refusing this one.
	Wait bool
}

// Part is the key of the nth part of a request that is carried out in parts, each in a
// transaction of its own. No user's key is like it.
func (k IdempotencyKey) Part(n int, asked [sha256.Size]byte) IdempotencyKey {
	return IdempotencyKey{UserID: k.UserID, Key: fmt.Sprintf("%x %d", sha256.Sum256([]byte(k.Key)), n), Request: asked, Wait: true}
}

// keysKept is for how long a key counts.
const keysKept = 24 * time.Hour

// AnsweredError says that a request was carried out before, and what was answered.
type AnsweredError struct{ Answer string }

// Error implements error.
func (*AnsweredError) Error() string { return "the request was carried out before" }

// ClaimKey takes a key for the transaction that carries the request out, with the
// answer to give. If it was taken before, the error is an *AnsweredError, or a
// conflict: if another request with the key is running right now, or was another
// request.
func (tx Tx) ClaimKey(ctx context.Context, k IdempotencyKey, answer string) error {
	free := true
	var err error
	// Held until the transaction ends, so a second request need not wait for it.
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

// Answered looks whether a key was taken before. If so the error is as ClaimKey's, which
// alone is certain: a request with the key may be running right now.
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

// KeepAnswer replaces the answer of a key that was claimed, with what was really
// answered.
func (s *Store) KeepAnswer(ctx context.Context, k IdempotencyKey, answer string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `update idempotency_keys set answer = $4 where user_id = $1 and key = $2 and request = $3`,
			k.UserID, k.Key, k.Request[:], answer)
		return err
	})
}
