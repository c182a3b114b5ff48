// Package fault holds the one error type that crosses Duebell's packages: a
// code that says what kind of trouble it is, and a sentence for whoever called
// that says what to do about it. What went wrong inside is wrapped, for the
// log only: web shows a caller the code and the message, never the cause.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of trouble an error is. Callers decide by it, never by
// an error's text.
type Code string

// The codes. Package web maps each to one HTTP status.
const (
	CodeInvalid         Code = "invalid"         // the input is wrong; the message says how to mend it
	CodeUnauthenticated Code = "unauthenticated" // no token, or one that does not hold
	CodeForbidden       Code = "forbidden"       // a good token without the needed scope
	CodeNotFound        Code = "not_found"       // no such thing, or another user's
	CodeConflict        Code = "conflict"        // the thing has changed, or is in use
	CodeRateLimited     Code = "rate_limited"    // too many requests
	CodeUnavailable     Code = "unavailable"     // something that Duebell needs is away; try again
	CodeInternal        Code = "internal"        // a defect of ours
)

// Error is an error with a code and a message that may be shown to the caller.
type Error struct {
	Code    Code
	Message string
	// RetryAfter, when not zero, tells the caller when to try again.
	RetryAfter time.Duration
	// Err is the cause. It is logged and never shown.
	Err error
}

// Error returns the code, the message and the cause: a line for the log.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.Err }

// Invalid says that the input is wrong, and how to mend it.
func Invalid(format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// NotFound says that there is no such thing for this caller.
func NotFound(format string, args ...any) *Error {
	return &Error{Code: CodeNotFound, Message: fmt.Sprintf(format, args...)}
}

// Conflict says that the thing is not in the state that the request needs.
func Conflict(format string, args ...any) *Error {
	return &Error{Code: CodeConflict, Message: fmt.Sprintf(format, args...)}
}

// Unauthenticated says that the caller is not signed in, and why.
func Unauthenticated(format string, args ...any) *Error {
	return &Error{Code: CodeUnauthenticated, Message: fmt.Sprintf(format, args...)}
}

// Forbidden says that the caller is known, and may not do this.
func Forbidden(format string, args ...any) *Error {
	return &Error{Code: CodeForbidden, Message: fmt.Sprintf(format, args...)}
}

// Unavailable says that something needed is away for now; cause is logged only.
func Unavailable(cause error, format string, args ...any) *Error {
	return &Error{Code: CodeUnavailable, Message: fmt.Sprintf(format, args...), Err: cause}
}

// CodeOf returns the code of err: that of the first *Error in its chain,
// CodeInternal for any other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
