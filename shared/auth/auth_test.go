package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/auth/authtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
)

// wire is the network between a verifier and an issuer.
type wire struct {
	issuer http.Handler

	mu       sync.Mutex
	override map[string]http.HandlerFunc // by path
	delay    time.Duration
	calls    map[string]int // by path
}

const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/keys"
)

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	handler, delay := w.issuer, w.delay
	if override := w.override[r.URL.Path]; override != nil {
		handler = override
	}
	w.calls[r.URL.Path]++
	w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	if recorder.Code == http.StatusTeapot {
		return nil, errors.New("connection refused")
	}
	response := recorder.Result()
	response.Request = r
	return response, nil
}

// set changes what happens to requests for a path; nil undoes it.
func (w *wire) set(path string, handler http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.override[path] = handler
}

func (w *wire) count(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[path]
}

// cutOff is a handler that stands for an issuer that can't be reached.
func cutOff(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }

func connect(issuer *authtest.Issuer) (*Verifier, *wire) {
	w := &wire{issuer: issuer, override: map[string]http.HandlerFunc{}, calls: map[string]int{}}
	return newVerifier(configFor(issuer), w, Records{}), w
}

// configFor accepts an issuer's tokens, with everything else as it is by default.
func configFor(issuer *authtest.Issuer, environ ...string) Config {
	config, err := config.Parse[Config](append(environ, "OIDC_ISSUER="+issuer.URL, "OIDC_AUDIENCE="+issuer.Audience, "RATE_LIMIT=0"))
	if err != nil {
		panic(err)
	}
	return config
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestUser(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier := NewVerifier(configFor(issuer), Records{}) // over a real socket
	for name, test := range map[string]struct {
		claims map[string]any
		want   User
	}{
		"plain": {nil, User{}},
		"everything": {
			map[string]any{"email": "a@b.c", "email_verified": true, "scope": "admin openid", "scp": []string{"act"}},
			User{Email: "a@b.c", EmailClaim: true, EmailVerified: true, Scopes: []string{"act", "admin"}},
		},
		"text booleans":       {map[string]any{"email": "a@b.c", "email_verified": "true"}, User{Email: "a@b.c", EmailClaim: true, EmailVerified: true}},
		"false":               {map[string]any{"email": "a@b.c", "email_verified": "false"}, User{Email: "a@b.c", EmailClaim: true}},
		"unverified":          {map[string]any{"email": "a@b.c"}, User{Email: "a@b.c", EmailClaim: true}},
		"verified nothing":    {map[string]any{"email": "", "email_verified": true}, User{EmailClaim: true}},
		"verified no email":   {map[string]any{"email_verified": true}, User{}},
		"null":                {map[string]any{"email": json.RawMessage("null"), "email_verified": json.RawMessage("null")}, User{}},
		"other case":          {map[string]any{"Email": "a@b.c", "EMAIL_VERIFIED": true, "Scope": "admin"}, User{}},
		"scope list":          {map[string]any{"scope": []string{"openid", "admin"}}, User{Scopes: []string{"admin"}}},
		"list with a space":   {map[string]any{"scope": []string{"not admin", "no act"}}, User{}},
		"list of all kinds":   {map[string]any{"scp": []any{7, nil, "act"}}, User{Scopes: []string{"act"}}},
		"several spaces":      {map[string]any{"scope": "  openid  admin "}, User{Scopes: []string{"admin"}}},
		"tab":                 {map[string]any{"scope": "openid\tadmin"}, User{}},
		"line":                {map[string]any{"scope": "openid\nadmin\ract"}, User{}},
		"no-break space":      {map[string]any{"scope": "openid\u00a0admin\u2003act"}, User{}},
		"comma":               {map[string]any{"scope": "openid,admin"}, User{}},
		"other letters":       {map[string]any{"scope": "Admin ADMIN act. acts"}, User{}},
		"permissions":         {map[string]any{"permissions": []string{"admin"}}, User{Scopes: []string{"admin"}}},
		"twice":               {map[string]any{"permissions": []string{"act"}, "scope": "act"}, User{Scopes: []string{"act"}}},
		"roles and groups":    {map[string]any{"roles": []string{"admin"}, "groups": "act admin", "role": "admin"}, User{}},
		"scope is a number":   {map[string]any{"scope": 7, "scp": map[string]any{"admin": true}, "permissions": true}, User{}},
		"audiences":           {map[string]any{"aud": []string{"other", issuer.Audience}}, User{}},
		"just expired":        {map[string]any{"exp": time.Now().Add(-50 * time.Second).Unix()}, User{}},
		"valid in a moment":   {map[string]any{"nbf": time.Now().Add(50 * time.Second).Unix()}, User{}},
		"fractions":           {map[string]any{"exp": float64(time.Now().Add(time.Hour).UnixMilli()) / 1000}, User{}},
		"unknown claims":      {map[string]any{"nonce": "x", "nested": map[string]any{"a": 1}}, User{}},
		"subject in caps too": {map[string]any{"SUB": "eve", "AUD": "other", "ISS": "https://evil.example"}, User{}},
		"issued is odd":       {map[string]any{"iat": "yesterday"}, User{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verifier.User(bearer(issuer.Token(t, "user|1", test.claims)))
			test.want.ID, test.want.Caller = "user|1", "user|1"
			if err != nil {
				t.Fatal(err)
			}
			expiry := time.Now().Add(time.Hour)
			if exp, ok := test.claims["exp"].(int64); ok {
				expiry = time.Unix(exp, 0)
			}
			if late := got.Expiry.Sub(expiry.Add(clockSkew)); late.Abs() > 10*time.Second {
				t.Errorf("it is accepted until %v, %v later than it should be", got.Expiry, late)
			}
			got.Expiry, got.IssuedAt = time.Time{}, time.Time{}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	long := strings.Repeat("é", 255)
	if got, err := verifier.User(bearer(issuer.Token(t, long, nil))); err != nil || got.ID != long {
		t.Errorf("a subject of 255 characters: %v", err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("authorization", "bEARER  "+issuer.Token(t, "user|1", nil))
	if _, err := verifier.User(r); err != nil {
		t.Errorf("scheme in another case: %v", err)
	}
}

func TestHasScope(t *testing.T) {
	user := User{Scopes: []string{"act", "admin"}}
	if !user.HasScope(Admin) || !user.HasScope(Act) || user.HasScope("adm") || user.HasScope("") || (User{}).HasScope("") {
		t.Error("HasScope is wrong")
	}
}

func TestBadTokens(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, _ := connect(issuer)
	good := issuer.Token(t, "user", nil)
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	payload := func(extra string) []byte {
		return fmt.Appendf(nil, `{"iss":%q,"aud":%q,"sub":"user","exp":%d%s}`, issuer.URL, issuer.Audience, time.Now().Add(time.Hour).Unix(), extra)
	}
	other := authtest.NewIssuer(t)
	other.URL, other.Audience = issuer.URL, issuer.Audience

	for name, token := range map[string]string{
		"empty":                "",
		"garbage":              "garbage",
		"dots":                 "..",
		"cut":                  good[:len(good)-3],
		"other signature":      parts[0] + "." + parts[1] + "." + encode(make([]byte, 64)),
		"other payload":        parts[0] + "." + encode(payload(`,"scope":"admin"`)) + "." + parts[2],
		"none":                 encode([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"None":                 encode([]byte(`{"alg":"None"}`)) + "." + parts[1] + ".",
		"JSON form":            fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"another's key":        other.Token(t, "user", nil),
		"other issuer":         issuer.Token(t, "user", map[string]any{"iss": "https://evil.example"}),
		"other audience":       issuer.Token(t, "user", map[string]any{"aud": "other"}),
		"no audience":          issuer.Token(t, "user", map[string]any{"aud": nil}),
		"audience in caps":     issuer.Sign(t, fmt.Appendf(nil, `{"iss":%q,"aud":"other","AUD":%q,"sub":"user","exp":9999999999}`, issuer.URL, issuer.Audience)),
		"only in caps":         issuer.Token(t, "user", map[string]any{"aud": nil, "AUD": issuer.Audience}),
		"issuer in caps":       issuer.Sign(t, []byte(strings.Replace(string(payload(fmt.Sprintf(`,"ISS":%q`, issuer.URL))), issuer.URL, "https://evil.example", 1))),
		"expired":              issuer.Token(t, "user", map[string]any{"exp": time.Now().Add(-70 * time.Second).Unix()}),
		"expired, EXP later":   issuer.Sign(t, fmt.Appendf(nil, `{"iss":%q,"aud":%q,"sub":"user","exp":1,"EXP":9999999999}`, issuer.URL, issuer.Audience)),
		"no expiry":            issuer.Token(t, "user", map[string]any{"exp": nil}),
		"expiry as text":       issuer.Token(t, "user", map[string]any{"exp": fmt.Sprint(time.Now().Add(time.Hour).Unix())}),
		"not yet":              issuer.Token(t, "user", map[string]any{"nbf": time.Now().Add(70 * time.Second).Unix()}),
		"no subject":           issuer.Token(t, "", map[string]any{"sub": nil}),
		"empty subject":        issuer.Token(t, "", nil),
		"subject in caps":      issuer.Token(t, "", map[string]any{"sub": nil, "SUB": "user"}),
		"two subjects":         issuer.Sign(t, payload(`,"sub":"admin"`)),
		"long subject":         issuer.Token(t, strings.Repeat("x", 256), nil),
		"NUL in the subject":   issuer.Token(t, "a\x00b", nil),
		"line in the subject":  issuer.Token(t, "a\nb", nil),
		"subject not UTF-8":    issuer.Sign(t, []byte(strings.Replace(string(payload("")), `"user"`, "\"\xff\"", 1))),
		"subject is a number":  issuer.Token(t, "", map[string]any{"sub": 7}),
		"subject is a list":    issuer.Token(t, "", map[string]any{"sub": []string{"user"}}),
		"two expiries":         issuer.Sign(t, payload(`,"exp":9999999999`)),
		"two scopes":           issuer.Sign(t, payload(`,"scope":"a","scope":"admin"`)),
		"expiry without end":   issuer.Sign(t, fmt.Appendf(nil, `{"iss":%q,"aud":%q,"sub":"user","exp":-1e300}`, issuer.URL, issuer.Audience)),
		"nothing critical":     issuer.SignWith(t, payload(""), map[string]any{"crit": []string{}}),
		"unknown and critical": issuer.SignWith(t, payload(""), map[string]any{"crit": []string{"x"}, "x": 1}),
		"known and critical":   issuer.SignWith(t, payload(""), map[string]any{"crit": []string{"b64"}, "b64": true}),
		"critical is null":     issuer.SignWith(t, payload(""), map[string]any{"crit": nil}),
		"critical is a text":   issuer.SignWith(t, payload(""), map[string]any{"crit": "x"}),
		"not an object":        issuer.Sign(t, []byte(`[]`)),
	} {
		t.Run(name, func(t *testing.T) {
			user, err := verifier.User(bearer(token))
			wantUnauthenticated(t, err, "the access token is not valid here or has expired: sign in again for a new one")
			if user.ID != "" {
				t.Errorf("user %+v came with the error", user)
			}
		})
	}
}

// Whoever has a token that is too long is not told to sign in again: the next one would
// be as long.
func TestTokenThatIsTooLong(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, _ := connect(issuer)
	_, err := verifier.User(bearer(issuer.Token(t, "user", map[string]any{"groups": strings.Repeat("x", maxHeaderBytes)})))
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Code != fault.CodeUnauthenticated || !strings.Contains(e.Message, "16384") || !strings.Contains(e.Message, "smaller token") {
		t.Errorf("%v, want what is too long", err)
	}
}

func wantUnauthenticated(t *testing.T, err error, message string) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Code != fault.CodeUnauthenticated || e.Message != message {
		t.Errorf("%v, want unauthenticated: %s", err, message)
	}
}

func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Code != fault.CodeUnavailable || e.RetryAfter <= 0 || e.Err == nil {
		t.Errorf("%v, want unavailable with a cause and RetryAfter", err)
	}
}

func TestAuthorizationHeader(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, wire := connect(issuer)
	token := issuer.Token(t, "user", nil)
	const missing = "sign in: send the header Authorization: Bearer <access token>"
	const form = "send exactly one Authorization header, of the form: Bearer <access token>"
	for name, test := range map[string]struct {
		headers []string
		want    string
	}{
		"none":       {nil, missing},
		"two":        {[]string{"Bearer " + token, "Bearer " + token}, form},
		"basic":      {[]string{"Basic dXNlcjpwYXNz"}, form},
		"token only": {[]string{token}, form},
		"empty":      {[]string{""}, form},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"] = test.headers
			_, err := verifier.User(r)
			wantUnauthenticated(t, err, test.want)
		})
	}
	if wire.count(discoveryPath) != 0 {
		t.Error("the issuer was asked")
	}
}

func TestAlgorithms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte(strings.Repeat("s", 64))
	p256, p384, p521 := curve(elliptic.P256()), curve(elliptic.P384()), curve(elliptic.P521())
	encryption := curve(elliptic.P256())
	published := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: rsaKey.Public(), KeyID: "rsa"},
		{Key: p256.Public(), KeyID: "p256", Algorithm: "ES256"},
		{Key: p384.Public(), KeyID: "p384"},
		{Key: p521.Public(), KeyID: "p521"},
		{Key: edKey.Public(), KeyID: "ed"},
		{Key: secret, KeyID: "secret"},                             // a mistake that issuers have made
		{Key: encryption.Public(), KeyID: "enc", Use: "enc"},       // not for signatures
		{Key: rsaKey.Public(), KeyID: "ps512", Algorithm: "PS512"}, // for one algorithm only
	}}
	issuer := authtest.NewIssuer(t)
	verifier, wire := connect(issuer)
	wire.set(keysPath, func(w http.ResponseWriter, _ *http.Request) {
		body, _ := json.Marshal(published)
		body = []byte(strings.Replace(string(body), `[`, `[{"kty":"OKP","crv":"X448","x":"AA"},{"kty":"what"},`, 1))
		_, _ = w.Write(body)
	})
	public, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	evil := curve(elliptic.P256())
	for _, test := range []struct {
		alg   jose.SignatureAlgorithm
		key   any
		kid   string
		embed bool // put the public key into the token
		good  bool
	}{
		{jose.RS256, rsaKey, "rsa", false, true},
		{jose.RS384, rsaKey, "rsa", false, true},
		{jose.RS512, rsaKey, "rsa", false, true},
		{jose.PS256, rsaKey, "rsa", false, true},
		{jose.PS384, rsaKey, "rsa", false, true},
		{jose.PS512, rsaKey, "ps512", false, true},
		{jose.ES256, p256, "p256", false, true},
		{jose.ES384, p384, "p384", false, true},
		{jose.ES512, p521, "p521", false, true},
		{jose.EdDSA, edKey, "ed", false, true},
		{jose.ES256, p256, "", false, true}, // no kid: any key will do
		{jose.RS256, rsaKey, "ps512", false, false},
		{jose.ES256, p256, "p384", false, false},
		{jose.ES256, encryption, "enc", false, false},
		{jose.HS256, secret, "secret", false, false},
		{jose.HS256, public, "rsa", false, false}, // the public key taken for a secret
		{jose.HS512, secret, "", false, false},
		{jose.ES256, evil, "p256", true, false},
		{jose.ES256, evil, "", true, false},
	} {
		t.Run(fmt.Sprintf("%s %s", test.alg, test.kid), func(t *testing.T) {
			options := (&jose.SignerOptions{EmbedJWK: test.embed}).WithType("JWT")
			if !test.embed && test.kid != "" {
				options.WithHeader("kid", test.kid)
			}
			key := test.key
			if test.embed {
				key = jose.JSONWebKey{Key: test.key, KeyID: test.kid}
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: test.alg, Key: key}, options)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := signer.Sign(fmt.Appendf(nil, `{"iss":%q,"aud":%q,"sub":"user","exp":%d}`,
				issuer.URL, issuer.Audience, time.Now().Add(time.Hour).Unix()))
			if err != nil {
				t.Fatal(err)
			}
			token, err := signed.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			_, err = verifier.User(bearer(token))
			if test.good && err != nil || !test.good && fault.CodeOf(err) != fault.CodeUnauthenticated {
				t.Errorf("%v, want good = %v", err, test.good)
			}
		})
	}
}

func TestNothingIsAskedBeforeTheFirstToken(t *testing.T) {
	_, wire := connect(authtest.NewIssuer(t))
	if wire.count(discoveryPath) != 0 {
		t.Error("the issuer was asked")
	}
}

// Whatever is wrong with the issuer, a user with a good token is not told to
// sign in again.
func TestIssuerAway(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	type failure struct {
		path    string
		handler http.HandlerFunc
	}
	failures := map[string]failure{
		"another issuer":     {discoveryPath, answer(200, `{"issuer":"https://other.example","jwks_uri":"`+issuer.URL+`/keys"}`)},
		"slash at the end":   {discoveryPath, answer(200, `{"issuer":"`+issuer.URL+`/","jwks_uri":"`+issuer.URL+`/keys"}`)},
		"keys nowhere":       {discoveryPath, answer(200, `{"issuer":"`+issuer.URL+`"}`)},
		"keys over http":     {discoveryPath, answer(200, `{"issuer":"`+issuer.URL+`","jwks_uri":"http://other.example/keys"}`)},
		"keys in a file":     {discoveryPath, answer(200, `{"issuer":"`+issuer.URL+`","jwks_uri":"file:///etc/keys"}`)},
		"no keys":            {keysPath, answer(200, `{"keys":[]}`)},
		"error sent as 200":  {keysPath, answer(200, `{"error":"try later"}`)},
		"only unusable keys": {keysPath, answer(200, `{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"what"}]}`)},
	}
	for _, path := range []string{discoveryPath, keysPath} {
		for name, handler := range map[string]http.HandlerFunc{
			"refused": cutOff,
			"hangs":   hang,
			"500":     answer(500, `{"keys":[]}`),
			"404":     answer(404, ``),
			"204":     answer(204, ``),
			"HTML":    answer(200, `<html>maintenance</html>`),
			"array":   answer(200, `[]`),
			"cut":     answer(200, `{"keys":[`),
			"endless": func(w http.ResponseWriter, r *http.Request) {
				issuer.ServeHTTP(w, r)
				_, _ = w.Write(bytes.Repeat([]byte(" "), maxDocumentBytes))
			},
			"redirected":     redirect("https://other.example/copy" + path),
			"redirected off": redirect("ftp" + strings.TrimPrefix(issuer.URL, "http") + "/copy" + path),
			"loop":           redirect(path),
		} {
			failures[path+" "+name] = failure{path, handler}
		}
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				verifier, wire := connect(issuer)
				wire.set(failure.path, failure.handler)
				for _, path := range []string{discoveryPath, keysPath} {
					wire.set("/copy"+path, http.StripPrefix("/copy", issuer).ServeHTTP)
				}
				token := issuer.Token(t, "user", nil)
				start := time.Now()
				_, err := verifier.User(bearer(token))
				wantUnavailable(t, err)
				if took := time.Since(start); took > fetchTimeout {
					t.Errorf("took %v", took)
				}

				// For a moment nobody waits for it again.
				start, calls := time.Now(), wire.count(failure.path)
				_, err = verifier.User(bearer(token))
				wantUnavailable(t, err)
				if time.Since(start) != 0 || wire.count(failure.path) != calls {
					t.Error("the issuer was asked again at once")
				}

				// It comes back, and nothing needs to be restarted.
				wire.set(failure.path, nil)
				time.Sleep(failurePause)
				if _, err := verifier.User(bearer(token)); err != nil {
					t.Errorf("after the issuer came back: %v", err)
				}
			})
		})
	}
}

func TestRedirectOnTheSameHost(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, wire := connect(issuer)
	wire.set(discoveryPath, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/copy"+discoveryPath, http.StatusFound)
	})
	wire.set("/copy"+discoveryPath, http.StripPrefix("/copy", issuer).ServeHTTP)
	if _, err := verifier.User(bearer(issuer.Token(t, "user", nil))); err != nil {
		t.Error(err)
	}
}

func TestKeysAreFetchedOnceForAll(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		verifier, wire := connect(issuer)
		wire.delay = time.Second
		token := issuer.Token(t, "user", nil)
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if _, err := verifier.User(bearer(token)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if wire.count(discoveryPath) != 1 || wire.count(keysPath) != 1 {
			t.Errorf("%d and %d calls, want one each", wire.count(discoveryPath), wire.count(keysPath))
		}
	})
}

func TestCallerDoesNotWaitLongerThanItWants(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		verifier, wire := connect(issuer)
		wire.delay = time.Second
		token := issuer.Token(t, "user", nil)
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := verifier.User(bearer(token)); err != nil {
				t.Errorf("the one who waits: %v", err)
			}
		})
		synctest.Wait() // it is asking now
		r := bearer(token)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := verifier.User(r.WithContext(ctx))
		wantUnavailable(t, err)
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		group.Wait()
	})
}

func TestKeyRotation(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		verifier, wire := connect(issuer)
		before := issuer.Token(t, "user", nil)
		if _, err := verifier.User(bearer(before)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		issuer.Rotate(t)
		if _, err := verifier.User(bearer(issuer.Token(t, "user", nil))); err != nil {
			t.Errorf("a token with the new key: %v", err)
		}
		_, err := verifier.User(bearer(before))
		if fault.CodeOf(err) != fault.CodeUnauthenticated {
			t.Errorf("a token with the old key: %v", err)
		}
		if wire.count(keysPath) != 2 {
			t.Errorf("%d calls for keys, want 2", wire.count(keysPath))
		}
	})
}

func TestMadeUpKeysDoNotHammerTheIssuer(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	stranger := authtest.NewIssuer(t)
	stranger.URL, stranger.Audience = issuer.URL, issuer.Audience
	synctest.Test(t, func(t *testing.T) {
		verifier, wire := connect(issuer)
		const flood = 200
		for range flood {
			stranger.Rotate(t)
			_, err := verifier.User(bearer(stranger.Token(t, "user", nil)))
			if fault.CodeOf(err) != fault.CodeUnauthenticated {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // 20 s in all
		}
		if got := wire.count(keysPath); got > 5 {
			t.Errorf("%d calls for keys in 20 s", got)
		}

		// While the issuer is away, strangers are told so; users with a known
		// key notice nothing.
		wire.set(discoveryPath, cutOff)
		time.Sleep(successPause)
		_, err := verifier.User(bearer(stranger.Token(t, "user", nil)))
		wantUnavailable(t, err)
		if _, err := verifier.User(bearer(issuer.Token(t, "user", nil))); err != nil {
			t.Errorf("a known key while the issuer is away: %v", err)
		}
	})
}

func TestKeysAreRenewed(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		verifier, wire := connect(issuer)
		token := issuer.Token(t, "user", map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})
		if _, err := verifier.User(bearer(token)); err != nil {
			t.Fatal(err)
		}
		// With the issuer away the old keys stay good, and only one request in
		// a while waits for it.
		wire.set(discoveryPath, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		time.Sleep(keysMaxAge)
		start := time.Now()
		var group sync.WaitGroup
		var waited sync.Map
		for i := range 50 {
			group.Go(func() {
				if _, err := verifier.User(bearer(token)); err != nil {
					t.Error(err)
				}
				if time.Since(start) > 0 {
					waited.Store(i, true)
				}
			})
		}
		group.Wait()
		count := 0
		waited.Range(func(any, any) bool { count++; return true })
		if count != 1 {
			t.Errorf("%d of 50 requests waited, want 1", count)
		}

		// A key that was withdrawn in the meantime is good no more.
		wire.set(discoveryPath, nil)
		issuer.Rotate(t)
		time.Sleep(failurePause)
		_, err := verifier.User(bearer(token))
		if fault.CodeOf(err) != fault.CodeUnauthenticated {
			t.Errorf("a token with a withdrawn key: %v", err)
		}
	})
}

func TestConfig(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://issuer.example":                 true,
		"https://issuer.example/realms/duebell/": true,
		"http://localhost:8080":                  true,
		"http://127.0.0.1:8080":                  true,
		"http://[::1]:8080":                      true,
		"http://dex.auth.svc:5556/dex":           true,
		"http://dex.auth.svc.cluster.local":      true,
		"http://issuer.example":                  false,
		"http://localhost.evil.example":          false,
		"https://user:pass@issuer.example":       false,
		"https://issuer.example/?tenant=1":       false,
		"https://issuer.example/#a":              false,
		"https://":                               false,
		"issuer.example":                         false,
		"ftp://issuer.example":                   false,
		"https://issuer.example:port":            false,
	} {
		_, err := config.Parse[Config]([]string{"OIDC_ISSUER=" + issuer, "OIDC_AUDIENCE=duebell"})
		if (err == nil) != ok {
			t.Errorf("%s: %v, want ok = %v", issuer, err, ok)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "OIDC_ISSUER must be") {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	_, err := config.Parse[Config](nil)
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("nothing set: %v, want a line for each variable", err)
	}
}
