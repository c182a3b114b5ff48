package auth

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/duebell/duebell/shared/fault"
)

// UserHeader is the header that names the user whom a request is made for, if that is not the caller.
const UserHeader = "Duebell-User"

// maxIDLength is that of a subject (OpenID Connect Core 1.0, section 2).
const maxIDLength = 255

// actFor returns the user whom the request's header names, or the caller if there is no
// such header. The scopes stay the caller's. The address in the token is the caller's, so the user
// gets none.
func actFor(r *http.Request, caller User) (User, error) {
	named := r.Header.Values(UserHeader)
	if len(named) == 0 {
		return caller, nil
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case caller.HasScope(Act):
	case !caller.HasScope(Admin):
		return User{}, fault.Forbidden("you may not act for other users: your token lacks the scope act; leave the header %s out", UserHeader)
	case !reads:
		return User{}, fault.Forbidden("operators may only read as another user: to change something, the token needs the scope act")
	}
	if len(named) > 1 || !isID(named[0]) {
		return User{}, fault.Invalid("%s must be one header with the id of one user: 1 to %d characters, none of them a control character", UserHeader, maxIDLength)
	}
	if named[0] == caller.ID {
		return caller, nil
	}
	return User{ID: named[0], Caller: caller.ID, IssuedAt: caller.IssuedAt, Scopes: caller.Scopes, Expiry: caller.Expiry}, nil
}

// isID reports whether a text can be a user's id.
func isID(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxIDLength && !strings.ContainsFunc(s, unicode.IsControl)
}

// RefuseUserHeader refuses a request that has the header, for routes where a ticket or a link,
// and not a token, says who the user is.
func RefuseUserHeader(r *http.Request) error {
	if len(r.Header.Values(UserHeader)) > 0 {
		return fault.Invalid("a ticket is good for the user whom it was made for only: leave the header %s out", UserHeader)
	}
	return nil
}
