package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Act is a request that the audit log records: one made in another user's name, or one by which an
// operator changes something for others. For an operator's change, UserID is the operator's own.
type Act struct {
	Caller, UserID string
	Method, Path   string
}

const insertAct = `insert into audit_acts (id, caller, user_id, method, path) values ($1, $2, $3, $4, $5)`

func (a Act) row() []any {
	return []any{uuid.Must(uuid.NewV7()), storable(a.Caller, 300), storable(a.UserID, 300), storable(a.Method, 20), storable(a.Path, 500)}
}

// RecordAct adds an act to the audit log.
func (s *Store) RecordAct(ctx context.Context, a Act) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, insertAct, a.row()...)
		return err
	})
}

// RecordAct adds an act to the audit log, if the transaction is committed.
func (tx Tx) RecordAct(ctx context.Context, a Act) error {
	_, err := tx.tx.Exec(ctx, insertAct, a.row()...)
	return err
}
