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
	// verificationLasts is how long a code and a link are valid after the latest attempt to send
	// them.
	verificationLasts = 10 * time.Minute
	// MostTries is how many wrong codes may be entered for one verification.
	MostTries = 5
	// VerificationMessagesKept is how long messages are kept for the limits to count.
	VerificationMessagesKept = 366 * 24 * time.Hour
)

// Verification is a request to an address's owner to agree to messages for one user.
type Verification struct {
	ID      uuid.UUID // its delivery has the same
	UserID  string
	Address string // as preferences.AddressKey has it
	Tries   int    // wrong codes that were entered
	// CodeGood and LinkGood say whether the code and the link are still valid.
	CodeGood, LinkGood bool
	// Refused says that the owner wants no such requests from anybody.
	Refused bool
}

// NewVerification is a verification to plan. The hashes are keyed.
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

// PlanVerification stores a verification and plans its delivery. The limits count it from now on.
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

// VerificationLimit allows Most messages within a time. Hashes are one address, user or network,
// hashed with each valid key.
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

// VerificationWait returns how long a limit stops the next message; zero or less if it stops none.
// A message counts from when it was planned, and from its latest attempt once there is one. For an
// address's limits, a message that may still be sent counts as if it were sent now. So the limits
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

// LockCounted locks an address or a network, given by its hash, until the transaction ends. So its
// limits hold for all users together. Locks are taken in the order user, network, addresses, and
// addresses in the order of their hashes.
func (tx Tx) LockCounted(ctx context.Context, hash []byte) error {
	_, err := tx.tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('verification ' || encode($1, 'hex'), 0))`, hash)
	return err
}

// IsRefused reports whether an address's owner wants no verification messages.
func (tx Tx) IsRefused(ctx context.Context, hashes [][]byte) (refused bool, err error) {
	err = tx.tx.QueryRow(ctx, `select exists (select from verification_refusals where address_hash = any ($1))`, hashes).Scan(&refused)
	return refused, err
}

// RefuseVerifications stores that an address's owner does not want to be asked. It cancels unsent
// verifications for the address, and ends its grace for every user. hashes are the address's by
// each valid key.
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

// LatestVerification returns the latest verification of an address for a user, nil if there is
// none. address is as preferences.AddressKey writes it.
func (tx Tx) LatestVerification(ctx context.Context, userID, address string) (*Verification, error) {
	return scanVerification(tx.tx.QueryRow(ctx, `
		select `+verificationColumns+` from verifications v where v.user_id = $1 and v.address = $2 order by v.id desc limit 1`, userID, address))
}

// CountTry counts a wrong code, up to MostTries.
func (tx Tx) CountTry(ctx context.Context, id uuid.UUID) error {
	_, err := tx.tx.Exec(ctx, `update verifications set tries = tries + 1 where id = $1 and tries < $2`, id, MostTries)
	return err
}

// SaveVerified marks an address as verified. The user must be locked by LockPreferences, and list
// the address. The version of the preferences stays.
func (tx Tx) SaveVerified(ctx context.Context, userID, address string) error {
	_, err := tx.tx.Exec(ctx, `
		update preferences set verified = array_append(array_remove(verified, $2), $2), grace = array_remove(grace, $2),
			grace_until = case when cardinality(array_remove(grace, $2)) > 0 then grace_until end
		where user_id = $1`, userID, address)
	return err
}

// Ungraced returns up to limit users who have addresses in grace whose owners have not been asked.
func (s *Store) Ungraced(ctx context.Context, limit int) (users []string, err error) {
	return s.inGrace(ctx, `grace_until is null`, limit)
}

// GraceOver returns up to limit users whose addresses' grace is over.
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

// BeginGrace sets the end of the grace of a user's addresses, and tells the user in-app. The user
// must be locked by LockPreferences. If the grace has begun already, it does nothing.
func (tx Tx) BeginGrace(ctx context.Context, n Notification, lasts time.Duration) error {
	tag, err := tx.tx.Exec(ctx, `
		update preferences set grace_until = now() + $2::interval where user_id = $1 and grace_until is null and cardinality(grace) > 0`, n.UserID, lasts)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	return tx.notify(ctx, n)
}

// EndGrace ends the grace of a user's addresses, if it is over. Those that are not verified are
// unverified from then on.
func (s *Store) EndGrace(ctx context.Context, userID string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `update preferences set grace = '{}', grace_until = null where user_id = $1 and grace_until < now()`, userID)
		return err
	})
}
