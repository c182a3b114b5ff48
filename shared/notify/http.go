package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/duebell/duebell/shared/config"
)

// maxRetryAfter bounds the wait that a provider may ask for. Otherwise one wrong header could hold
// a reminder for ever.
const maxRetryAfter = time.Hour

// FromStatus returns what a provider's HTTP answer means:
//
//	2xx                              nil: it was taken
//	408, 502, 504, 520 and above     Unknown: a server behind the gateway may have taken it
//	425, 429, other 5xx              Retry: it was not taken, for now
//	3xx, 401, 403, 404, 405, 407     Retry: the operator's key or URL is wrong; it says nothing about the message
//	other 4xx                        Permanent: the message is refused
//
// The error's After is from Retry-After (RFC 9110, section 10.2.3). detail is the provider's
// explanation, "" if the user must not read it. Secrets in it are masked.
func FromStatus(status int, header http.Header, detail string, now time.Time, secrets ...config.Secret) error {
	if status >= 200 && status < 300 {
		return nil
	}
	for _, secret := range secrets {
		if secret != "" {
			detail = strings.ReplaceAll(detail, secret.Reveal(), secret.String())
		}
	}
	failed := &Error{
		Kind:  kindOfStatus(status),
		After: retryAfter(header.Get("Retry-After"), now),
		Err:   fmt.Errorf("the provider answered %d", status),
	}
	if detail != "" {
		failed.Err = fmt.Errorf("%w: %.300s", failed.Err, detail)
	}
	if failed.Kind == Permanent {
		failed.After = 0
	}
	return failed
}

func kindOfStatus(status int) Kind {
	switch status {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		return Unknown
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusTooEarly, http.StatusTooManyRequests:
		return Retry
	}
	switch {
	case status < 400:
		return Retry
	case status < 500:
		return Permanent
	case status < 520:
		return Retry
	default:
		return Unknown
	}
}

func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// FromTransport returns what an error without an answer means. It is Retry if no connection was
// made, since nothing can have been sent, and Unknown otherwise.
func FromTransport(err error) error {
	_, neverMade := errors.AsType[*noConnection](err)
	if op, ok := errors.AsType[*net.OpError](err); neverMade || (ok && op.Op == "dial") {
		return &Error{Kind: Retry, Err: errors.New("the provider can't be reached")}
	}
	return &Error{Kind: Unknown, Err: errors.New("the provider did not answer")}
}

// noConnection is the error of a request that had no connection: an unknown host, a refused
// connection, an invalid certificate, or a deadline before the connection was made.
type noConnection struct{ error }

// Unwrap returns the cause.
func (n *noConnection) Unwrap() error { return n.error }

// CheckURL reports whether a variable's value can't be the URL of a provider's API.
func CheckURL(variable, value string) error {
	if u, err := url.Parse(value); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return errors.New(variable + " must be an http or https URL")
	}
	return nil
}

// maxAnswer is how much of an answer is read. It is more than any provider has to say, and bounds
// an answer that never ends.
const maxAnswer = 64 << 10

// NewClient returns an HTTP client for a provider's API. It follows no redirects, since they would
// take keys to another host. It reads the first 64 KiB of an answer. If the answer breaks off after
// its status, the status still counts. FromTransport understands its errors. The caller's context
// sets the deadline.
func NewClient() *http.Client {
	return NewClientOn(&http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 32, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true,
	})
}

// NewClientOn is NewClient with the given transport.
func NewClientOn(t *http.Transport) *http.Client {
	return &http.Client{
		Transport:     transport{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type transport struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	resp, err := t.Transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil {
		if !connected.Load() {
			err = &noConnection{err}
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status is enough
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}
