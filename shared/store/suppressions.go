package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// SuppressionReason is why an address is suppressed. Only operators are told it.
type SuppressionReason string

// The reasons.
const (
	ReasonUnsubscribed SuppressionReason = "unsubscribed" // the link in an e-mail
	ReasonBounced      SuppressionReason = "bounced"      // its provider says that the address does not exist
	ReasonComplained   SuppressionReason = "complained"   // its owner has called a message spam
	ReasonStopped      SuppressionReason = "stopped"      // STOP by SMS
	ReasonOperator     SuppressionReason = "operator"
)

// ByOwner stands for the address's owner in AddedBy and LiftedBy.
const ByOwner = "the address's owner"

// Suppression says that nothing is sent to an address, whoever asks, until the suppression is
// lifted. The address itself is not stored.
type Suppression struct {
	ID      uuid.UUID         `json:"id"`
	Channel task.Channel      `json:"channel"`
	Reason  SuppressionReason `json:"reason"`
	Note    string            `json:"note"` // an operator's note
	By      string            `json:"by"`
	Since   time.Time         `json:"since"`
	// LiftedAt is when it was lifted; nil while it holds.
	LiftedAt *time.Time `json:"lifted_at"`
	LiftedBy *string    `json:"lifted_by"`
	LiftNote string     `json:"lift_note"`
}

// MaxNote is the greatest length of an operator's note, in bytes.
const MaxNote = 500

const suppressionColumns = `s.id, s.channel, s.reason, s.note, s.added_by, s.since, s.lifted_at, s.lifted_by, s.lift_note`

// Suppressed maps the hashes of suppressed addresses and mailboxes to the time since when they are
// suppressed.
type Suppressed map[string]time.Time

// Since returns since when an address is suppressed; nil if it is not.
func (s Suppressed) Since(a suppress.Address) *time.Time {
	for _, hash := range a.Any() {
		if since, ok := s[string(hash)]; ok {
			return &since
		}
	}
	return nil
}

// SuppressedProblem is the text in the delivery log for a message to a suppressed address.
func SuppressedProblem(since time.Time) string {
	return "nothing is sent to this address since " + since.Format(time.DateOnly) + ": only its owner can undo that, by the link in an e-mail that was sent there before, or by START in answer to an SMS"
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const selectSuppressed = `
	select s.mailbox_hash, min(s.since) from suppressions s where s.lifted_at is null and s.mailbox_hash = any ($1) group by 1`

// hashesOf returns the arguments of selectSuppressed.
func hashesOf(addresses []suppress.Address) (hashes [][]byte) {
	for _, a := range addresses {
		hashes = append(hashes, a.Any()...)
	}
	return hashes
}

// collect adds the rows of selectSuppressed.
func (s Suppressed) collect(rows pgx.Rows) error {
	var hash []byte
	var since time.Time
	_, err := pgx.ForEachRow(rows, []any{&hash, &since}, func() error {
		s[string(hash)] = since
		return nil
	})
	return err
}

func findSuppressed(ctx context.Context, q querier, addresses []suppress.Address) (Suppressed, error) {
	found, hashes := Suppressed{}, hashesOf(addresses)
	if len(hashes) == 0 {
		return found, nil
	}
	rows, _ := q.Query(ctx, selectSuppressed, hashes)
	return found, found.collect(rows)
}

// Suppressed returns which of the addresses are suppressed.
func (s *Store) Suppressed(ctx context.Context, addresses []suppress.Address) (found Suppressed, err error) {
	if !slices.ContainsFunc(addresses, func(a suppress.Address) bool { return len(a.Mailbox) > 0 }) {
		return nil, nil
	}
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		found, err = findSuppressed(ctx, c, addresses)
		return err
	})
	return found, err
}

// Suppressed is [Store.Suppressed] in a transaction.
func (tx Tx) Suppressed(ctx context.Context, addresses []suppress.Address) (Suppressed, error) {
	return findSuppressed(ctx, tx.tx, addresses)
}

// Suppress suppresses an address, and returns the suppression that holds then. If the address was
// suppressed already, that suppression stays and added is false.
//
// A suppression holds for the whole mailbox: whoever reads one of its addresses reads the others. A
// bounce is the exception. It holds for the one address only, since anybody can make up an address
// that does not exist and looks like somebody's. A suppression of the mailbox replaces it.
func (tx Tx) Suppress(ctx context.Context, a suppress.Address, n Suppression) (s Suppression, added bool, err error) {
	if len(a.Exact) == 0 {
		return s, false, errNoSuppressionKey
	}
	holds := a.Mailbox[0]
	if n.Reason == ReasonBounced {
		holds = a.Exact[0]
	}
	for range 2 { // a second time if a suppression was lifted, or a bounce was stored, between two statements
		if n.Reason != ReasonBounced {
			if _, err := tx.tx.Exec(ctx, `
				update suppressions set lifted_at = now(), lifted_by = $2, lift_note = 'another reason counts from now on'
				where lifted_at is null and reason = 'bounced' and address_hash = any ($1)`, a.Exact, storable(n.By, 300)); err != nil {
				return s, false, err
			}
		}
		rows, _ := tx.tx.Query(ctx, `
			insert into suppressions as s (id, channel, address_hash, mailbox_hash, reason, note, added_by)
			select $1, $2, ($3::bytea[])[1], $7, $4, $5, $6
			where not exists (select from suppressions s where s.lifted_at is null and s.address_hash = any ($3))
			on conflict (address_hash) where lifted_at is null do nothing
			returning `+suppressionColumns,
			uuid.Must(uuid.NewV7()), n.Channel, a.Exact, n.Reason, storable(n.Note, MaxNote), storable(n.By, 300), holds)
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Suppression])
		if err != nil || len(list) > 0 {
			return first(list), err == nil, err
		}
		rows, _ = tx.tx.Query(ctx, `select `+suppressionColumns+` from suppressions s where s.lifted_at is null and s.address_hash = any ($1) for no key update`, a.Exact)
		if list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Suppression]); err != nil {
			return s, false, err
		}
		if s = first(list); len(list) > 0 && (n.Reason == ReasonBounced || s.Reason != ReasonBounced) {
			return s, false, nil
		}
	}
	return Suppression{}, false, fault.Unavailable(nil, "others are suppressing and lifting this address at this moment; try again")
}

func first(list []Suppression) (s Suppression) {
	if len(list) > 0 {
		s = list[0]
	}
	return s
}

var errNoSuppressionKey = fault.Conflict("nothing can be suppressed here: whoever runs this installation has to set SUPPRESSION_KEY")

// Lift lifts the suppression of an address at its owner's request. It does not lift one that was
// made for another address of the same mailbox.
func (tx Tx) Lift(ctx context.Context, a suppress.Address) error {
	_, err := tx.tx.Exec(ctx, `update suppressions set lifted_at = now(), lifted_by = $2 where lifted_at is null and address_hash = any ($1)`, a.Exact, ByOwner)
	return err
}

// LiftAll lifts every suppression of a mailbox, whichever address it was made for, and returns
// them.
func (tx Tx) LiftAll(ctx context.Context, a suppress.Address, by, note string) ([]Suppression, error) {
	rows, _ := tx.tx.Query(ctx, `
		update suppressions s set lifted_at = now(), lifted_by = $2, lift_note = $3 where s.lifted_at is null and s.mailbox_hash = any ($1)
		returning `+suppressionColumns, a.Any(), storable(by, 300), storable(note, MaxNote))
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Suppression])
}

// LiftSuppression lifts a suppression. One that was lifted already stays as it was.
func (tx Tx) LiftSuppression(ctx context.Context, id uuid.UUID, by, note string) (Suppression, error) {
	if _, err := tx.tx.Exec(ctx, `update suppressions set lifted_at = now(), lifted_by = $2, lift_note = $3 where id = $1 and lifted_at is null`,
		id, storable(by, 300), storable(note, MaxNote)); err != nil {
		return Suppression{}, err
	}
	rows, _ := tx.tx.Query(ctx, `select `+suppressionColumns+` from suppressions s where s.id = $1`, id)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Suppression])
	if err == nil && len(list) == 0 {
		return Suppression{}, fault.NotFound("there is no such suppression")
	}
	return first(list), err
}

// SuppressionFilter narrows a list of suppressions. The zero value of each field but Limit
// means any.
type SuppressionFilter struct {
	Of      *suppress.Address // and of its mailbox
	InForce bool              // only those that were not lifted
	After   uuid.UUID         // the last one of the page before
	Limit   int               // how many at most
}

// ListSuppressions returns suppressions, the newest first, and whether there are more.
func (s *Store) ListSuppressions(ctx context.Context, f SuppressionFilter) (list []Suppression, more bool, err error) {
	var of [][]byte
	if f.Of != nil {
		of = notNil(f.Of.Any())
	}
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select `+suppressionColumns+` from suppressions s
			where ($1::bytea[] is null or s.mailbox_hash = any ($1)) and (not $2 or s.lifted_at is null) and ($3::uuid is null or s.id < $3)
			order by s.id desc limit $4`,
			of, f.InForce, uuid.NullUUID{UUID: f.After, Valid: f.After != uuid.Nil}, f.Limit+1)
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Suppression])
		return err
	})
	if len(list) > f.Limit {
		return list[:f.Limit], true, err
	}
	return list, false, err
}
