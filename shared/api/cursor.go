package api

import (
	"encoding/base64"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
)

// FormatCursor writes a cursor: the last row of the page before it, in a form that
// nobody is tempted to make themselves.
func FormatCursor(last uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(last[:]) }

// ParseCursor reads a cursor. The error is an invalid fault.
func ParseCursor(cursor string) (uuid.UUID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) != len(uuid.UUID{}) {
		return uuid.Nil, fault.Invalid("cursor is not one that this list gave out; take it from next_cursor, or leave it out to start anew")
	}
	return uuid.UUID(raw), nil
}
