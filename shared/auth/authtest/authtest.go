// Package authtest provides an OpenID Connect issuer for tests.
package authtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// Issuer is an issuer with one key, on a port of its own, until the test ends.
// It is an http.Handler too, for tests that need no port.
type Issuer struct {
	URL      string
	Audience string

	key atomic.Pointer[jose.JSONWebKey]
}

// NewIssuer starts an issuer.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	issuer := &Issuer{Audience: "duebell"}
	issuer.Rotate(t)
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	issuer.URL = server.URL
	return issuer
}

// Rotate replaces the key: tokens made before are good no more.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.key.Store(&jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"})
}

// ServeHTTP serves the issuer's discovery document and its public key.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var document any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		document = map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	case "/keys":
		document = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Load().Public()}}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document)
}

// Token returns a token for the user whose subject is sub. It is good for an
// hour. claims are added to it, and replace what it has; nil removes.
func (i *Issuer) Token(t testing.TB, sub string, claims map[string]any) string {
	t.Helper()
	now := time.Now()
	all := map[string]any{
		"iss": i.URL, "aud": i.Audience, "sub": sub,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return i.Sign(t, payload)
}

// Sign returns payload, signed with the issuer's key: for tests that need a
// token which no issuer should make.
func (i *Issuer) Sign(t testing.TB, payload []byte) string {
	t.Helper()
	return i.SignWith(t, payload, nil)
}

// SignWith is Sign with more header parameters.
func (i *Issuer) SignWith(t testing.TB, payload []byte, header map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key.Load()}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
