// Package auth says who is calling: a person or a program with an OpenID Connect
// token, or the Dapr sidecar with the app's token.
package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/trace"
)

const (
	// maxHeaderBytes bounds the Authorization header.
	maxHeaderBytes = 16 << 10
	// clockSkew is how far the issuer's clock may be from ours.
	clockSkew = time.Minute
)

// algorithms are those that need no secret shared with the issuer. The
// issuer's own list is not used: it may contain HS256 or none.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// The scopes that Duebell knows. What an issuer calls them is configured.
const (
	// Admin opens the operators' routes, and lets its bearer read as any user.
	Admin = "admin"
	// Act lets its bearer do everything that a user may, as any user.
	Act = "act"
)

// User is a user whom a request is made for.
type User struct {
	ID string // 1 to 255 characters, none of them a control character
	// Caller is the id of whoever sent the token. It is ID, unless the caller acts for
	// the user.
	Caller        string
	Email         string
	EmailClaim    bool      // the token says something about an e-mail address of the user
	EmailVerified bool      // the issuer knows that the address is the user's; never without one
	IssuedAt      time.Time // when the token was made; zero if it doesn't say
	Scopes        []string  // the caller's: Admin, Act
	Expiry        time.Time // from then on the token is not accepted any more
}

// HasScope reports whether the caller's token grants a scope, Admin or Act.
func (u User) HasScope(scope string) bool { return slices.Contains(u.Scopes, scope) }

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	issuers  []*issuer // the first one's users have no prefix
	limiter  *limiter
	refusals *refusals
	records  Records
}

// Records are functions that a Verifier calls to store what it has seen. Each may be nil.
type Records struct {
	Address RecordAddress
	Act     RecordAct
}

// RecordAct records a request that is made for another user: the caller, the user, and
// the request. It is called before the request is carried out; if it fails, the request is not
// carried out. It must be safe for concurrent use.
type RecordAct func(ctx context.Context, u User, method, path string) error

// RecordAddress records what a token says about its user's e-mail address. It reports whether
// that is done; if not, it is called again at the token's next use. It must be safe for
// concurrent use.
type RecordAddress func(ctx context.Context, u User) (settled bool, err error)

// NewVerifier returns a Verifier. It calls an issuer only when the issuer's first token
// comes. It records an address when it first sees a token that says something
// about its user's e-mail address.
func NewVerifier(config Config, records Records) *Verifier {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a call an hour
	return newVerifier(config, transport, records)
}

func newVerifier(config Config, transport http.RoundTripper, records Records) *Verifier {
	v := &Verifier{limiter: newLimiter(config.Limit), refusals: &refusals{}, records: records}
	for _, settings := range config.issuers() {
		v.issuers = append(v.issuers, &issuer{IssuerSettings: settings, keys: newKeySet(settings.URL, transport)})
	}
	return v
}

// User returns the user whom a request is made for: the one whose bearer token (RFC
// 6750) it carries, or whom its header Duebell-User names.
//
// The error is unauthenticated if there is no token or it does not hold, unavailable
// if that can't be told because its issuer can't be reached, and rate_limited if too
// many requests were made by the caller or for the user. It does not tell which check
// of the token failed; the log does. It is forbidden if the caller may not act for the
// user, and invalid if the header makes no sense.
func (v *Verifier) User(r *http.Request) (User, error) {
	session, err := v.signIn(r)
	if err != nil {
		if refused, ok := errors.AsType[*refusal](err); ok {
			v.refusals.log(r.Context(), refused)
		}
		return User{}, err
	}
	caller := session.user
	trace.Identify(r.Context(), caller.ID, caller.ID)
	if err := v.limiter.take(caller.ID, "you make too many requests"); err != nil {
		return User{}, err
	}
	if v.records.Address != nil && caller.EmailClaim && !session.recorded.Load() {
		settled, err := v.records.Address(r.Context(), caller)
		if err != nil {
			return User{}, err
		}
		session.recorded.Store(settled)
	}
	user, err := actFor(r, caller)
	if err != nil || user.ID == caller.ID {
		return user, err
	}
	trace.Identify(r.Context(), user.ID, caller.ID)
	if err := v.limiter.take(user.ID, "too many requests are made for this user"); err != nil || v.records.Act == nil {
		return user, err
	}
	return user, v.records.Act(r.Context(), user, r.Method, r.URL.Path)
}

// signIn checks the request's token, unless it was checked a short time ago.
func (v *Verifier) signIn(r *http.Request) (*session, error) {
	token, err := bearerToken(r)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(token))
	for _, issuer := range v.issuers {
		if issuer.keys.known.Load().good.find(hash) == nil {
			continue
		}
		issuer.keys.renew()
		if session := issuer.keys.known.Load().good.find(hash); session != nil {
			return session, nil
		}
	}
	signed, err := parse(token)
	if err != nil {
		return nil, badToken(err)
	}
	issuer, err := v.issuerOf(signed)
	if err != nil {
		return nil, badToken(err)
	}
	issuer.keys.renew()
	known := issuer.keys.known.Load()
	switch err := issuer.keys.verify(r.Context(), signed); {
	case errors.Is(err, errAway):
		return nil, unavailable(err)
	case err != nil:
		return nil, badToken(err)
	}
	user, err := issuer.user(signed.UnsafePayloadWithoutVerification(), time.Now())
	if err == nil {
		err = v.checkPrefix(issuer, user)
	}
	if err != nil {
		return nil, badToken(err)
	}
	session := &session{user: user}
	known.good.keep(hash, session) // if the keys have changed since, nobody looks there any more
	return session, nil
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
		err := fault.Unauthenticated("sign in: send the header Authorization: Bearer <access token>")
		err.Err = refuse("no token", "a header Authorization", "none")
		return "", err
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		err := fault.Unauthenticated("send exactly one Authorization header, of the form: Bearer <access token>")
		err.Err = refuse("no token", "one header Authorization with the scheme Bearer", "%d headers, or another scheme", len(headers))
		return "", err
	}
	if len(headers[0]) > maxHeaderBytes {
		err := fault.Unauthenticated("the Authorization header is %d bytes long, and %d are read here: ask your issuer for a smaller token; long ones often list groups", len(headers[0]), maxHeaderBytes)
		err.Err = refuse("too long", "at most 16384 bytes", "%d bytes", len(headers[0]))
		return "", err
	}
	return token, nil
}
