package notify

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxRetryAfter caps what a provider may ask for: a mistaken header must not
// keep a reminder for ever.
const maxRetryAfter = time.Hour

// FromStatus says what a provider's HTTP answer means: nil for 2xx; Retry for
// 408, 425, 429 and 5xx, with the Retry-After that came along (RFC 9110, section
// 10.2.3), and for 3xx, 401, 403, 404, 405 and 407, which say that the operator's
// key or address is wrong and nothing of the message; Permanent for the rest. detail
// is the provider's explanation, without secrets.
func FromStatus(status int, header http.Header, detail string, now time.Time) error {
	if status >= 200 && status < 300 {
		return nil
	}
	err := fmt.Errorf("the provider answered %d: %.300s", status, detail)
	switch {
	case status < 400, status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound,
		status == http.StatusMethodNotAllowed, status == http.StatusProxyAuthRequired,
		status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return &Error{Kind: Retry, After: retryAfter(header.Get("Retry-After"), now), Err: err}
	default:
		return &Error{Kind: Permanent, Err: err}
	}
}

func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// FromTransport says what it means that no answer came: Retry if the connection
// was never made, so that nothing can have been sent; Unknown otherwise.
func FromTransport(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return &Error{Kind: Retry, Err: errors.New("the provider can't be reached")}
	}
	return &Error{Kind: Unknown, Err: errors.New("the provider did not answer")}
}
