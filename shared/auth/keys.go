package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	fetchTimeout     = 2 * time.Second
	maxDocumentBytes = 1 << 20
	// keysMaxAge is how long keys are trusted without asking whether the
	// issuer has withdrawn them.
	keysMaxAge = time.Hour
	// successPause and failurePause are how long the issuer is not called again
	// after an answer, and after none. So neither tokens with made-up keys nor an issuer
	// that is away cost a call for each request.
	successPause = 5 * time.Second
	failurePause = 2 * time.Second
)

// errAway says that the issuer's keys can't be had.
var errAway = errors.New("the issuer's keys can't be fetched")

// keySet is an issuer's keys. It asks the issuer when a
// token is signed by a key that it doesn't know, which is how the first keys
// and new ones are found, and when its keys are old.
type keySet struct {
	issuer string
	client *http.Client

	known atomic.Pointer[knownKeys]

	asking chan struct{} // holds one element while the issuer is asked; guards what follows
	pause  time.Time     // don't ask before
	err    error         // what came of asking last
}

type knownKeys struct {
	keys    []jose.JSONWebKey
	fetched time.Time
	good    remembered // tokens that were checked with these keys
}

func newKeySet(issuer string, transport http.RoundTripper) *keySet {
	s := &keySet{
		issuer: issuer,
		client: &http.Client{Transport: transport, Timeout: fetchTimeout, CheckRedirect: sameHost},
		asking: make(chan struct{}, 1),
	}
	s.known.Store(&knownKeys{})
	return s
}

// verify checks the signature of a token. The error is errAway if the signature can't be
// checked, because the keys can't be had.
func (s *keySet) verify(ctx context.Context, token *jose.JSONWebSignature) error {
	if s.signed(token) {
		return nil
	}
	var err error
	select {
	case s.asking <- struct{}{}:
		err = s.ask()
		<-s.asking
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errAway, ctx.Err())
	}
	if s.signed(token) {
		return nil
	}
	if err != nil {
		return err
	}
	var known []string
	for _, key := range s.known.Load().keys {
		known = append(known, key.KeyID)
	}
	header := token.Signatures[0].Header
	return refuse("signature", fmt.Sprintf("one by a key of %s, which has %s", s.issuer, shown(known)),
		"one by %s with the key %s", header.Algorithm, shown(header.KeyID))
}

// signed reports whether one of the keys that are known made the signature.
func (s *keySet) signed(token *jose.JSONWebSignature) bool {
	header := token.Signatures[0].Header // the compact form has exactly one
	for _, key := range s.known.Load().keys {
		if header.KeyID != "" && header.KeyID != key.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if _, err := token.Verify(key); err == nil {
			return true
		}
	}
	return false
}

// renew asks for the keys again if they are old. One request at a time waits for
// that. If it fails, the old keys stay.
func (s *keySet) renew() {
	known := s.known.Load()
	if len(known.keys) == 0 || time.Since(known.fetched) < keysMaxAge {
		return
	}
	select {
	case s.asking <- struct{}{}:
		if err := s.ask(); err != nil {
			slog.Warn("the issuer's keys could not be renewed", "error", err)
		}
		<-s.asking
	default:
	}
}

// ask gets the issuer's keys, unless it has just tried. The caller
// holds asking. All requests use what it finds, so the end of one request does not
// stop it.
func (s *keySet) ask() error {
	if time.Now().Before(s.pause) {
		return s.err
	}
	keys, err := s.fetchKeys()
	if err != nil {
		s.err, s.pause = fmt.Errorf("%w: %w", errAway, err), time.Now().Add(failurePause)
		return s.err
	}
	s.known.Store(&knownKeys{keys: keys, fetched: time.Now()})
	s.err, s.pause = nil, time.Now().Add(successPause)
	return nil
}

// fetchKeys finds out where the issuer's keys are (OpenID Connect Discovery
// 1.0, section 4) and gets them.
func (s *keySet) fetchKeys() ([]jose.JSONWebKey, error) {
	var metadata struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	if err := s.fetch(strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", &metadata); err != nil {
		return nil, err
	}
	if metadata.Issuer != s.issuer {
		return nil, fmt.Errorf("the issuer is configured as %q, but calls itself %q", s.issuer, metadata.Issuer)
	}
	if u, err := url.Parse(metadata.KeysURL); err != nil || !isTrusted(u) {
		return nil, fmt.Errorf("the issuer's jwks_uri is %q: not https", metadata.KeysURL)
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := s.fetch(metadata.KeysURL, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// Keys that are not understood are left out (RFC 7517, section 5), and
		// so are those that are not for signatures or not public.
		if err := key.UnmarshalJSON(raw); err == nil && key.Use != "enc" && key.IsPublic() {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no key that can be used", metadata.KeysURL)
	}
	return keys, nil
}

func (s *keySet) fetch(url string, document any) error {
	response, err := s.client.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocumentBytes+1))
	if err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	if len(body) > maxDocumentBytes {
		return fmt.Errorf("GET %s: more than %d bytes", url, maxDocumentBytes)
	}
	if err := json.Unmarshal(body, document); err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	return nil
}

// sameHost follows redirects only to the same host.
func sameHost(request *http.Request, via []*http.Request) error {
	if len(via) > 5 || request.URL.Host != via[0].URL.Host || request.URL.Scheme != via[0].URL.Scheme {
		return errors.New("redirected elsewhere")
	}
	return nil
}
