// Package issuer is an OpenID Connect issuer for one machine. It has a signing key, publishes the
// public part, and signs tokens for callers in this process. People can sign in, too: see
// [Issuer.Offer].
package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/duebell/duebell/local/file"
)

// Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	url  *url.URL
	key  jwk.Key
	keys []byte // the public key, as a JSON Web Key Set

	signIns *signIns // nil: nobody may sign in
}

// Claims are the contents of a token.
type Claims struct {
	Subject, Audience string
	// Email, if not empty, is the subject's address.
	Email         string
	EmailVerified bool
	// Scope holds scopes with spaces in between.
	Scope string
	// Lifetime is how long the token is valid from now.
	Lifetime time.Duration

	nonce string // of an ID token: the client's nonce
}

// New returns the issuer with the URL issuerURL, at which its handler has to be served. The key
// is kept in keyFile, so tokens stay valid after a restart.
func New(issuerURL, keyFile string) (*Issuer, error) {
	u, err := url.Parse(issuerURL)
	if err != nil {
		return nil, err
	}
	kept, err := file.Keep(keyFile, newKey)
	if err != nil {
		return nil, fmt.Errorf("the issuer's key: %w", err)
	}
	key, err := jwk.ParseKey(kept)
	if err != nil {
		return nil, fmt.Errorf("the issuer's key in %s: %w", keyFile, err)
	}
	public, err := jwk.PublicKeyOf(key)
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(map[string]any{"keys": []jwk.Key{public}})
	return &Issuer{url: u, key: key, keys: keys}, err
}

func newKey() ([]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := jwk.Import(private)
	if err != nil {
		return nil, err
	}
	if err := jwk.AssignKeyID(key); err != nil {
		return nil, err
	}
	for name, value := range map[string]any{jwk.AlgorithmKey: jwa.ES256(), jwk.KeyUsageKey: jwk.ForSignature} {
		if err := key.Set(name, value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(key)
}

// URL returns the issuer's URL, as its tokens have it.
func (i *Issuer) URL() string { return i.url.String() }

// Handler serves the issuer's discovery document and keys, at the paths that its URL
// implies.
func (i *Issuer) Handler() http.Handler {
	base := strings.TrimSuffix(i.url.Path, "/")
	keysURL := strings.TrimSuffix(i.URL(), "/") + "/jwks"
	says := map[string]any{
		"issuer":                                i.URL(),
		"jwks_uri":                              keysURL,
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{jwa.ES256().String()},
	}
	if i.signIns != nil {
		i.signIns.endpoints(strings.TrimSuffix(i.URL(), "/"), says)
	}
	discovery, err := json.Marshal(says)
	if err != nil {
		panic(err) // it has only strings
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"/.well-known/openid-configuration", document(discovery))
	mux.HandleFunc("GET "+base+"/jwks", document(i.keys))
	if i.signIns != nil {
		i.signIns.serve(mux, base)
	}
	return mux
}

func document(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Access-Control-Allow-Origin", "*") // any page may read what anybody may
		_, _ = w.Write(body)                               // an error means that the client has hung up
	}
}

// Token returns a signed token (a JSON Web Token in its compact form).
func (i *Issuer) Token(c Claims) (string, error) {
	now := time.Now()
	b := jwt.NewBuilder().
		Issuer(i.URL()).Subject(c.Subject).Audience([]string{c.Audience}).
		IssuedAt(now).Expiration(now.Add(c.Lifetime))
	if c.Email != "" {
		b = b.Claim("email", c.Email).Claim("email_verified", c.EmailVerified)
	}
	if c.Scope != "" {
		b = b.Claim("scope", c.Scope)
	}
	if c.nonce != "" {
		b = b.Claim("nonce", c.nonce)
	}
	token, err := b.Build()
	if err != nil {
		return "", err
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.ES256(), i.key))
	return string(signed), err
}
