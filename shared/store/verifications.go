package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

const (
	// verificationLasts is for how long a code and a link count, from the latest attempt to
	// send them.
	verificationLasts = 10 * time.Minute
	// MostTries is how many wrong codes may be entered for one verification.
	MostTries = 5
	// VerificationMessagesKept is for how long the limits need what they count.
	VerificationMessagesKept = 366 * 24 * time.Hour
)

// Verification is that the owner of an address was asked to agree to be written to, for one
// user.
type Verification struct {
	ID      uuid.UUID // its delivery's, too
	UserID  string
	Address string // as preferences.AddressKey has it
	Tries   int    // wrong codes
	// CodeGood and LinkGood say whether the code and the link still count.
	CodeGood, LinkGood bool
	// Refused says that the address's owner wants no such messages from anybody.
	Refused bool
}

// NewVerification is a verification that is to be planned. The hashes are keyed.
type NewVerification struct {
	ID                                 uuid.UUID
	UserID                             string
	Channel                            task.Channel
	Target                             string // the address as it is listed
	Address                            string // as preferences.AddressKey has it
	AddressHash, UserHash, NetworkHash []byte // no network: nobody's limit
	LinkLasts                          time.Duration
	Trace                              string
}

// PlanVerification stores a verification, counts it for the limits, and plans its delivery.
func (tx Tx) PlanVerification(ctx context.Context, v NewVerification) error {
	var batch pgx.Batch
	batch.Queue(`
		insert into verifications (id, user_id, address, address_hash, code_until, link_until)
		values ($1, $2, $3, $4, now() + $5::interval, now() + greatest($5::interval, $6::interval))`, v.ID, v.UserID, v.Address, v.AddressHash, verificationLasts, v.LinkLasts)
	batch.Queue(`insert into verification_messages (id, address_hash, user_hash, network_hash) values ($1, $2, $3, $4)`,
		v.ID, v.AddressHash, v.UserHash, v.NetworkHash)
	batch.Queue(`
		insert into deliveries (id, revision, user_id, channel, target, state, due_at, traceparent, next_attempt_at)
		values ($1, 1, $2, $3, $4, 'planned', now(), nullif($5, ''), now())`, v.ID, v.UserID, v.Channel, v.Target, v.Trace)
	return tx.tx.SendBatch(ctx, &batch).Close()
}

// VerificationLimit is how many messages may be sent within a while, counted by what one of
// some hashes stands for: those of the same thing by different keys.
type VerificationLimit struct {
	By     VerificationCount
	Hashes [][]byte
	Most   int
	Within time.Duration
}

// VerificationCount is what messages are counted by.
type VerificationCount string

// What messages are counted by.
const (
	ByAddress VerificationCount = "address_hash"
	ByUser    VerificationCount = "user_hash"
	ByNetwork VerificationCount = "network_hash"
)

// VerificationWait returns for how long a limit lets no message pass; zero or less if it does.
// A message counts from when it was planned, and from its latest attempt on once there is one.
// For an address's limits, one that may still be sent counts as if it were sent now: so they
// hold for what arrives, however long a provider was away.
func (tx Tx) VerificationWait(ctx context.Context, l VerificationLimit) (wait time.Duration, err error) {
	at := `m.counted_at`
	if l.By == ByAddress {
		at = `greatest(m.counted_at, (select clock_timestamp() from deliveries d where d.id = m.id and ` + isOpen + `))`
	}
	err = tx.tx.QueryRow(ctx, `
		select `+at+` + $2::interval - clock_timestamp() from verification_messages m
		where m.`+string(l.By)+` = any ($1) order by `+at+` desc offset $3 limit 1`, l.Hashes, l.Within, l.Most-1).Scan(&wait)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return wait, err
}

// LockCounted has all who want to have verifications sent for what a hash stands for, an
// address or a network, wait until the transaction ends: so its limits hold for all users
// together. Whoever locks several takes users' rows before, then the network, then addresses in
// the order of their hashes.
func (tx Tx) LockCounted(ctx context.Context, hash []byte) error {
	_, err := tx.tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('verification ' || encode($1, 'hex'), 0))`, hash)
	return err
}

// IsRefused reports whether an address's owner wants no verification messages.
func (tx Tx) IsRefused(ctx context.Context, hashes [][]byte) (refused bool, err error) {
	err = tx.tx.QueryRow(ctx, `select exists (select from verification_refusals where address_hash = any ($1))`, hashes).Scan(&refused)
	return refused, err
}

// RefuseVerifications has nobody ask an address's owner any more, cancels what is planned
// and unsent, and has no grace count for the address, whoever lists it. hashes are the address's, by each key.
func (tx Tx) RefuseVerifications(ctx context.Context, hashes [][]byte) error {
	if _, err := tx.tx.Exec(ctx, `
		insert into verification_refusals (address_hash) select distinct h from unnest($1::bytea[]) h order by h on conflict do nothing`, hashes); err != nil {
		return err
	}
	return tx.cancel(ctx, `
		select d.id, null::text as reason from deliveries d
		where d.id in (select v.id from verifications v where v.address_hash = any ($1)) and d.reminder_id is null and `+isOpenOrGivenUp, hashes)
}

// AllowVerifications undoes RefuseVerifications.
func (tx Tx) AllowVerifications(ctx context.Context, hashes [][]byte) error {
	_, err := tx.tx.Exec(ctx, `delete from verification_refusals where address_hash = any ($1)`, hashes)
	return err
}

const verificationColumns = `v.id, v.user_id, v.address, v.tries, v.code_until > now(), v.link_until > now(),
	exists (select from verification_refusals r where r.address_hash = v.address_hash)`

func scanVerification(row pgx.Row) (v *Verification, err error) {
	v = &Verification{}
	err = row.Scan(&v.ID, &v.UserID, &v.Address, &v.Tries, &v.CodeGood, &v.LinkGood, &v.Refused)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // Find may come back empty
	}
	return v, err
}

// FindVerification returns a verification, nil if there is none.
func (s *Store) FindVerification(ctx context.Context, id uuid.UUID) (v *Verification, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		v, err = scanVerification(c.QueryRow(ctx, `select `+verificationColumns+` from verifications v where v.id = $1`, id))
		return err
	})
	return v, err
}

// LatestVerification returns the latest verification of an address, as preferences.AddressKey
// has it, for a user; nil if there is none.
func (tx Tx) LatestVerification(ctx context.Context, userID, address string) (*Verification, error) {
	return scanVerification(tx.tx.QueryRow(ctx, `
		select `+verificationColumns+` from verifications v where v.user_id = $1 and v.address = $2 order by v.id desc limit 1`, userID, address))
}

// CountTry counts a wrong code.
func (tx Tx) CountTry(ctx context.Context, id uuid.UUID) error {
	_, err := tx.tx.Exec(ctx, `update verifications set tries = tries + 1 where id = $1 and tries < $2`, id, MostTries)
	return err
}

// SaveVerified records that a listed address of a user whom LockPreferences locked is
// verified. It is no change of the preferences: their version stays.
func (tx Tx) SaveVerified(ctx context.Context, userID, address string) error {
	_, err := tx.tx.Exec(ctx, `
		update preferences set verified = array_append(array_remove(verified, $2), $2), grace = array_remove(grace, $2),
			grace_until = case when cardinality(array_remove(grace, $2)) > 0 then grace_until end
		where user_id = $1`, userID, address)
	return err
}

// Ungraced returns users whose addresses are in grace and whose owners have not been asked,
// at most so many.
func (s *Store) Ungraced(ctx context.Context, limit int) (users []string, err error) {
	return s.inGrace(ctx, `grace_until is null`, limit)
}

// GraceOver returns users the grace of whose addresses is over, at most so many.
func (s *Store) GraceOver(ctx context.Context, limit int) (users []string, err error) {
	return s.inGrace(ctx, `grace_until < now()`, limit)
}

func (s *Store) inGrace(ctx context.Context, condition string, limit int) (users []string, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select user_id from preferences where cardinality(grace) > 0 and `+condition+` order by grace_until nulls first, user_id limit $1`, limit)
		users, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return users, err
}

// BeginGrace has the grace of a user's addresses end after a while, and tells the user so, if
// LockPreferences has locked the user.
func (tx Tx) BeginGrace(ctx context.Context, n Notification, lasts time.Duration) error {
	tag, err := tx.tx.Exec(ctx, `
		update preferences set grace_until = now() + $2::interval where user_id = $1 and grace_until is null and cardinality(grace) > 0`, n.UserID, lasts)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	return tx.notify(ctx, n)
}

// EndGrace ends the grace of a user's addresses if it is over, and otherwise does nothing.
// Whoever may not be written to any more is unverified from then on.
func (s *Store) EndGrace(ctx context.Context, userID string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `update preferences set grace = '{}', grace_until = null where user_id = $1 and grace_until < now()`, userID)
		return err
	})
}
