package issuer_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/duebell/duebell/local/issuer"
)

const (
	redirect     = "http://127.0.0.1:1234/console/sign-in"
	pkceVerifier = "a-verifier-of-at-least-forty-three-characters-0"
)

// browser follows no redirects, and keeps cookies.
type browser struct {
	*testing.T
	*http.Client
	base string
}

func offer(t *testing.T) (browser, *issuer.Issuer) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i, err := issuer.New(server.URL+"/dev/issuer", filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	i.Offer(issuer.SignIn{
		ClientID: "console", RedirectURIs: []string{redirect, "http://localhost:1234/console/sign-in"}, Audience: "duebell",
		People: []issuer.Claims{{Subject: "demo", Email: "demo@example.com", EmailVerified: true}, {Subject: "admin", Scope: "admin"}},
	})
	mux.Handle("/dev/issuer/", i.Handler())
	return newBrowser(t, i), i
}

func newBrowser(t *testing.T, i *issuer.Issuer) browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{T: t, base: i.URL(), Client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// request is an authorization request as it should be, with changes.
func request(changes ...string) url.Values {
	hash := sha256.Sum256([]byte(pkceVerifier))
	q := url.Values{
		"client_id": {"console"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid email admin"}, "state": {"the state"}, "nonce": {"the nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(hash[:])}, "code_challenge_method": {"S256"},
	}
	for n := 0; n < len(changes); n += 2 {
		q.Set(changes[n], changes[n+1])
	}
	return q
}

func (b browser) do(method, path string, query, form url.Values, origin string) (int, http.Header, map[string]any) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.base+path+"?"+query.Encode(), strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	answer, err := b.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	var body map[string]any
	_ = json.NewDecoder(answer.Body).Decode(&body) // a page is none
	return answer.StatusCode, answer.Header, body
}

// sentBack returns what the browser is sent back to the client with.
func (b browser) sentBack(header http.Header) url.Values {
	b.Helper()
	to, err := url.Parse(header.Get("Location"))
	if err != nil || !strings.HasPrefix(header.Get("Location"), redirect+"?") {
		b.Fatalf("it is sent to %q (%v)", header.Get("Location"), err)
	}
	return to.Query()
}

// code signs a person in and returns the code.
func (b browser) code(person string, changes ...string) string {
	b.Helper()
	_, header, _ := b.do("POST", "/authorize", request(changes...), url.Values{"person": {person}}, "")
	back := b.sentBack(header)
	if back.Get("code") == "" || back.Get("state") != "the state" || back.Get("iss") != b.base {
		b.Fatalf("it is sent back with %v", back)
	}
	return back.Get("code")
}

func exchange(code string, changes ...string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {"console"}, "code_verifier": {pkceVerifier}}
	for n := 0; n < len(changes); n += 2 {
		form.Set(changes[n], changes[n+1])
	}
	return form
}

func TestSignIn(t *testing.T) {
	b, i := offer(t)
	if status, _, _ := b.do("GET", "/authorize", request(), nil, ""); status != http.StatusOK {
		t.Errorf("the page is %d", status)
	}
	status, header, tokens := b.do("POST", "/token", nil, exchange(b.code("demo")), "http://localhost:1234")
	if status != http.StatusOK || header.Get("Access-Control-Allow-Origin") != "http://localhost:1234" || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %v", status, header, tokens)
	}
	provider, err := oidc.NewProvider(t.Context(), i.URL())
	if err != nil {
		t.Fatal(err)
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: "console"}).Verify(t.Context(), tokens["id_token"].(string))
	if err != nil || id.Subject != "demo" || id.Nonce != "the nonce" {
		t.Errorf("the ID token is of %v (%v)", id, err)
	}
	access, err := provider.Verifier(&oidc.Config{ClientID: "duebell"}).Verify(t.Context(), tokens["access_token"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Scope, Email string }
	if err := access.Claims(&claims); err != nil || access.Subject != "demo" || claims.Scope != "openid email" || claims.Email != "demo@example.com" {
		t.Errorf("the access token is of %s: %+v (%v)", access.Subject, claims, err)
	}
	// Who has signed in is known from then on, until they sign out.
	_, header, _ = b.do("GET", "/authorize", request("prompt", "none"), nil, "")
	if b.sentBack(header).Get("code") == "" {
		t.Error("it is not known who has signed in")
	}
	_, header, _ = b.do("GET", "/end-session", url.Values{"post_logout_redirect_uri": {redirect}}, nil, "")
	b.sentBack(header)
	_, header, _ = b.do("GET", "/authorize", request("prompt", "none"), nil, "")
	if got := b.sentBack(header).Get("error"); got != "login_required" {
		t.Errorf("after signing out the error is %q", got)
	}
}

// Only operators get the scope of operators, and only if it was asked for.
func TestScopes(t *testing.T) {
	for person, scopes := range map[string]map[string]string{
		"admin": {"openid email admin": "openid email admin", "openid": "openid", "openid act admin admin": "openid admin"},
		"demo":  {"openid admin": "openid"},
	} {
		for asked, want := range scopes {
			b, _ := offer(t)
			_, _, tokens := b.do("POST", "/token", nil, exchange(b.code(person, "scope", asked)), "")
			if tokens["scope"] != want {
				t.Errorf("%s asks for %q and gets %v", person, asked, tokens["scope"])
			}
		}
	}
}

// A code is good once, for whom it was made for.
func TestCodes(t *testing.T) {
	for name, changes := range map[string][]string{
		"another verifier": {"code_verifier", pkceVerifier + "x"}, "no verifier": {"code_verifier", ""}, "another client": {"client_id", "other"},
		"another redirect URI": {"redirect_uri", "http://localhost:1234/console/sign-in"}, "another grant": {"grant_type", "password"}, "another code": {"code", "x"},
	} {
		b, _ := offer(t)
		if status, _, answer := b.do("POST", "/token", nil, exchange(b.code("demo"), changes...), ""); status != http.StatusBadRequest || answer["access_token"] != nil {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	b, _ := offer(t)
	code := b.code("demo")
	if status, _, _ := b.do("POST", "/token", nil, exchange(code, "code_verifier", "wrong"), ""); status != http.StatusBadRequest {
		t.Error("a wrong verifier is taken")
	}
	if status, _, _ := b.do("POST", "/token", nil, exchange(code), ""); status != http.StatusBadRequest {
		t.Error("a code that somebody has tried is still good")
	}
	code = b.code("demo")
	for n, want := range []int{http.StatusOK, http.StatusBadRequest} {
		if status, _, answer := b.do("POST", "/token", nil, exchange(code), ""); status != want {
			t.Errorf("use %d of a code: %d %v", n+1, status, answer)
		}
	}
	if _, header, _ := b.do("POST", "/token", nil, exchange(code), "https://evil.example.com"); header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("any page may read the tokens")
	}
}

// Requests that make no sense are refused: at the issuer if nobody knows whose they are, else
// at the client.
func TestRequestsThatMakeNoSense(t *testing.T) {
	b, _ := offer(t)
	for name, changes := range map[string][]string{
		"another client": {"client_id", "other"}, "a longer redirect URI": {"redirect_uri", redirect + "/x"}, "a query": {"redirect_uri", redirect + "?x"}, "none": {"redirect_uri", ""},
	} {
		for _, method := range []string{"GET", "POST"} {
			if status, header, _ := b.do(method, "/authorize", request(changes...), url.Values{"person": {"demo"}}, ""); status != http.StatusBadRequest || header.Get("Location") != "" {
				t.Errorf("%s, %s: %d %v", name, method, status, header)
			}
		}
	}
	for want, changes := range map[string][]string{
		"unsupported_response_type": {"response_type", "token"}, "invalid_request": {"code_challenge_method", "plain"}, "invalid_scope": {"scope", "email"}, "login_required": {"prompt", "none"},
	} {
		_, header, _ := b.do("GET", "/authorize", request(changes...), nil, "")
		if back := b.sentBack(header); back.Get("error") != want || back.Get("code") != "" || back.Get("state") != "the state" {
			t.Errorf("%v: %v", changes, back)
		}
	}
	if status, _, _ := b.do("POST", "/authorize", request(), url.Values{"person": {"root"}}, ""); status != http.StatusBadRequest {
		t.Errorf("somebody who is not there: %d", status)
	}
	if status, header, _ := b.do("GET", "/end-session", url.Values{"post_logout_redirect_uri": {"https://evil.example.com"}}, nil, ""); status != http.StatusOK || header.Get("Location") != "" {
		t.Errorf("signing out leads to %q", header.Get("Location"))
	}
}

// A code that nobody comes with in time is good no more.
func TestCodesExpire(t *testing.T) {
	for wait, want := range map[time.Duration]int{59 * time.Second: http.StatusOK, 61 * time.Second: http.StatusBadRequest} {
		synctest.Test(t, func(t *testing.T) {
			i, err := issuer.New("http://127.0.0.1/dev/issuer", filepath.Join(t.TempDir(), "key"))
			if err != nil {
				t.Fatal(err)
			}
			i.Offer(issuer.SignIn{ClientID: "console", RedirectURIs: []string{redirect}, Audience: "duebell", People: []issuer.Claims{{Subject: "demo"}}})
			ask := func(path string, form url.Values) *httptest.ResponseRecorder {
				r := httptest.NewRequest("POST", "/dev/issuer"+path, strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				answer := httptest.NewRecorder()
				i.Handler().ServeHTTP(answer, r)
				return answer
			}
			back, err := url.Parse(ask("/authorize?"+request().Encode(), url.Values{"person": {"demo"}}).Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait)
			if answer := ask("/token", exchange(back.Query().Get("code"))); answer.Code != want {
				t.Errorf("after %v it is %d %s", wait, answer.Code, answer.Body)
			}
		})
	}
}
