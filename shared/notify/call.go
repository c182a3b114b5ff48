package notify

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/config"
)

// Call makes one request for a provider's own library, and keeps the answer. Libraries may hide it:
// some lose the headers, and some return an error if they can't parse the answer of a provider that
// has taken the message.
type Call struct {
	transport http.RoundTripper
	made      bool
	err       error
	status    int
	header    http.Header
	body      []byte
}

// NewCall returns a Call that uses a client of NewClient.
func NewCall(c *http.Client) *Call { return &Call{transport: c.Transport} }

// RoundTrip implements http.RoundTripper.
func (c *Call) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.transport.RoundTrip(r)
	c.made, c.err = true, err
	if err != nil {
		return nil, err
	}
	c.status, c.header = resp.StatusCode, resp.Header
	c.body, _ = io.ReadAll(resp.Body) // can't fail: it is in memory
	resp.Body = io.NopCloser(bytes.NewReader(c.body))
	return resp, nil
}

// Do is RoundTrip, for libraries that take an interface with Do.
func (c *Call) Do(r *http.Request) (*http.Response, error) { return c.RoundTrip(r) }

// Client returns a client that makes its request through the Call.
func (c *Call) Client() *http.Client {
	return &http.Client{Transport: c, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Answer returns the answer's status and body; the status is 0 if there was none.
func (c *Call) Answer() (status int, body []byte) { return c.status, c.body }

// Outcome returns what the call means, as FromStatus and FromTransport do. If the library made no
// request, nothing can have been sent.
func (c *Call) Outcome(detail string, secrets ...config.Secret) error {
	switch {
	case !c.made:
		return &Error{Kind: Retry, Err: errors.New("no request to the provider could be made: its settings may be wrong")}
	case c.err != nil:
		return FromTransport(c.err)
	default:
		return FromStatus(c.status, c.header, detail, time.Now(), secrets...)
	}
}
