package web

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
)

// ParseUUID parses value, which must have the usual form of 36 characters. The
// error is invalid and calls the value by name.
func ParseUUID(name, value string) (uuid.UUID, error) {
	if len(value) == 36 { // uuid.Parse takes three more forms
		if id, err := uuid.Parse(value); err == nil {
			return id, nil
		}
	}
	return uuid.Nil, fault.Invalid("%s must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057", name)
}

// PathUUID parses the path's value of that name, as [ParseUUID] does.
func PathUUID(r *http.Request, name string) (uuid.UUID, error) {
	return ParseUUID(name, r.PathValue(name))
}
