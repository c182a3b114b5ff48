// Package auth says who is calling: a person with an OpenID Connect token, or
// the Dapr sidecar with the app's token.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/duebell/duebell/shared/fault"
)

const (
	// maxHeaderBytes bounds the Authorization header.
	maxHeaderBytes = 16 << 10
	// clockSkew is how far the issuer's clock may be from ours.
	clockSkew = time.Minute
	// maxSubjectLength is OpenID Connect's own (Core 1.0, section 2).
	maxSubjectLength = 255
)

// algorithms are those that need no secret shared with the issuer. What the
// issuer says it supports is not asked: it may name HS256 or none.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Config names the issuer whose tokens are good here.
type Config struct {
	Issuer   string `env:"OIDC_ISSUER,required" help:"the URL of the OpenID Connect issuer, exactly as its tokens have it"`
	Audience string `env:"OIDC_AUDIENCE,required" help:"what the issuer's tokens for Duebell have as their audience"`
	Limit    Limit
}

// Validate says what is wrong with the configuration. The issuer's keys decide
// who is who, so they come over https, except from this machine or from inside
// the cluster.
func (c Config) Validate() error {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !isTrusted(u) {
		return errors.New("OIDC_ISSUER must be an https URL without query or fragment; " +
			"http is for this machine (localhost) and the cluster (*.svc)")
	}
	return nil
}

func isTrusted(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	switch u.Scheme {
	case "https":
		return true
	case "http":
		return host == "localhost" || net.ParseIP(host).IsLoopback() ||
			strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local")
	default:
		return false
	}
}

// User is a person, as the issuer's token tells it.
type User struct {
	ID            string // the subject: 1 to 255 characters, none of them a control character
	Email         string
	EmailClaim    bool // the token says something about an e-mail address
	EmailVerified bool // the issuer knows that the address is the user's; never without one
	Scopes        []string
	Expiry        time.Time // from then on the token is not accepted any more
}

// HasScope reports whether the token carries the scope.
func (u User) HasScope(scope string) bool { return slices.Contains(u.Scopes, scope) }

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	config  Config
	keys    *keySet
	limiter *limiter
}

// NewVerifier returns a Verifier that has not talked to the issuer yet: the
// first token makes it do so.
func NewVerifier(config Config) *Verifier {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a call an hour
	return newVerifier(config, transport)
}

func newVerifier(config Config, transport http.RoundTripper) *Verifier {
	return &Verifier{config: config, keys: newKeySet(config.Issuer, transport), limiter: newLimiter(config.Limit)}
}

// User returns the user whose bearer token (RFC 6750) the request carries.
//
// The error is unauthenticated if there is no token or it does not hold,
// unavailable if that can't be told because the issuer can't be reached, and
// rate_limited if the user has made too many requests. It does not tell which
// check failed; its cause, for the log, does.
func (v *Verifier) User(r *http.Request) (User, error) {
	token, err := bearerToken(r)
	if err != nil {
		return User{}, err
	}
	v.keys.renew()
	known := v.keys.known.Load()
	if user, ok := known.good.find(token); ok {
		return user, v.limiter.take(user.ID)
	}
	attempt := attempt{keys: v.keys}
	verified, err := v.verifier(&attempt).Verify(r.Context(), token)
	if errors.Is(attempt.err, errAway) {
		return User{}, unavailable(attempt.err)
	}
	if err != nil {
		return User{}, badToken(err)
	}
	user, err := userOf(verified)
	if err != nil {
		return User{}, badToken(err)
	}
	known.good.keep(token, user) // if the keys have changed since, nobody looks there any more
	return user, v.limiter.take(user.ID)
}

func (v *Verifier) verifier(keys oidc.KeySet) *oidc.IDTokenVerifier {
	config := oidc.Config{
		ClientID: v.config.Audience,
		Now:      func() time.Time { return time.Now().Add(-clockSkew) }, // for exp; userOf checks nbf
	}
	for _, algorithm := range algorithms {
		config.SupportedSigningAlgs = append(config.SupportedSigningAlgs, string(algorithm))
	}
	return oidc.NewVerifier(v.config.Issuer, keys, &config)
}

// attempt remembers why a signature could not be checked: the verifier passes
// on only the text.
type attempt struct {
	keys oidc.KeySet
	err  error
}

func (a *attempt) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := a.keys.VerifySignature(ctx, token)
	a.err = err
	return payload, err
}

func unavailable(cause error) error {
	err := fault.Unavailable(cause, "sign-in can't be checked right now; try again soon")
	err.RetryAfter = failurePause
	return err
}

func badToken(cause error) error {
	err := fault.Unauthenticated("the access token is not valid here or has expired: sign in again for a new one")
	err.Err = cause
	return err
}

// bearerToken returns the token of the request's only Authorization header.
func bearerToken(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return "", fault.Unauthenticated("sign in: send the header Authorization: Bearer <access token>")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", fault.Unauthenticated("send exactly one Authorization header, of the form: Bearer <access token>")
	}
	if len(headers[0]) > maxHeaderBytes {
		return "", badToken(errors.New("the Authorization header is too long"))
	}
	return token, nil
}

// claims are read with their exact names. The verifier reads some of them too,
// in any case: "AUD", say, may be a claim that users set themselves.
type claims struct {
	Issuer        string     `json:"iss"`
	Subject       string     `json:"sub"`
	Audience      stringList `json:"aud"`
	Expiry        float64    `json:"exp"`
	NotBefore     float64    `json:"nbf"`
	Email         *string    `json:"email"`
	EmailVerified flag       `json:"email_verified"`
	Scope         stringList `json:"scope"` // RFC 8693, section 4.2
	Scp           stringList `json:"scp"`   // what some issuers call it
}

func userOf(token *oidc.IDToken) (User, error) {
	var raw jsontext.Value
	var c claims
	if err := token.Claims(&raw); err != nil {
		return User{}, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return User{}, fmt.Errorf("read the claims: %w", err)
	}
	switch {
	case c.Issuer != token.Issuer || !slices.Equal(c.Audience, token.Audience) || int64(c.Expiry) != token.Expiry.Unix():
		return User{}, errors.New("a claim is there twice, in different cases")
	case c.NotBefore > float64(time.Now().Add(clockSkew).Unix()):
		return User{}, errors.New("the token is not valid yet")
	case c.Subject == "" || utf8.RuneCountInString(c.Subject) > maxSubjectLength ||
		strings.ContainsFunc(c.Subject, unicode.IsControl):
		return User{}, errors.New("the subject is missing, too long or holds control characters")
	}
	user := User{ID: c.Subject, Expiry: token.Expiry.Add(clockSkew)}
	if c.Email != nil {
		user.Email, user.EmailClaim = *c.Email, true
		user.EmailVerified = bool(c.EmailVerified) && user.Email != ""
	}
	for _, list := range slices.Concat(c.Scope, c.Scp) {
		user.Scopes = append(user.Scopes, strings.Fields(list)...)
	}
	return user, nil
}
