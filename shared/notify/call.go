package notify

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/config"
)

// Call is one request that a provider's own library makes. It keeps what came of it,
// whatever the library makes of that: some lose the headers, and some call it an
// error if they can't read the answer of a provider that has taken the message.
type Call struct {
	transport http.RoundTripper
	made      bool
	err       error
	status    int
	header    http.Header
	body      []byte
}

// NewCall returns a call over a client of NewClient.
func NewCall(c *http.Client) *Call { return &Call{transport: c.Transport} }

// RoundTrip implements http.RoundTripper.
func (c *Call) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.transport.RoundTrip(r)
	c.made, c.err = true, err
	if err != nil {
		return nil, err
	}
	c.status, c.header = resp.StatusCode, resp.Header
	c.body, _ = io.ReadAll(resp.Body) // it is in memory
	resp.Body = io.NopCloser(bytes.NewReader(c.body))
	return resp, nil
}

// Do is RoundTrip, for libraries that ask for a client.
func (c *Call) Do(r *http.Request) (*http.Response, error) { return c.RoundTrip(r) }

// Client returns a client that makes the request through the call.
func (c *Call) Client() *http.Client {
	return &http.Client{Transport: c, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Answer returns the answer's status and body; the status is 0 if there was none.
func (c *Call) Answer() (status int, body []byte) { return c.status, c.body }

// Outcome says what the call means, as FromStatus and FromTransport do. If the
// library made no request at all, nothing can have been sent.
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
