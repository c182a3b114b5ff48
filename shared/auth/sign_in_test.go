package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duebell/duebell/shared/auth/authtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/trace"
)

// What an issuer says of an address in a form that is not understood means that there is
// none, or that it is not verified. It locks nobody out.
func TestAddressesInOtherForms(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, _ := connect(issuer)
	for _, verified := range []any{"True", "TRUE", "1", 1, 0, 1.5, "", "yes", "false", false, []bool{true}, map[string]any{"true": true}} {
		user, err := verifier.User(bearer(issuer.Token(t, "ada", map[string]any{"email": "ada@example.com", "email_verified": verified})))
		if err != nil || user.EmailVerified || user.Email != "ada@example.com" {
			t.Errorf("email_verified %#v: %+v, %v", verified, user, err)
		}
	}
	for _, email := range []any{[]string{"ada@example.com"}, []string{}, 7, true, map[string]any{"a": 1}} {
		user, err := verifier.User(bearer(issuer.Token(t, "ada", map[string]any{"email": email, "email_verified": true})))
		if err != nil || user.EmailVerified || user.Email != "" || !user.EmailClaim {
			t.Errorf("email %#v: %+v, %v", email, user, err)
		}
	}
}

// A claim may hold half of a character. It locks nobody out, and is no part of an id, an
// address or a scope.
func TestHalfACharacterInAClaim(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, _ := connect(issuer)
	half := json.RawMessage(`"\ud83d"`)
	user, err := verifier.User(bearer(issuer.Token(t, "ada", map[string]any{
		"name": half, "email": json.RawMessage(`"a\ud83d@example.com"`), "email_verified": true, "scope": json.RawMessage(`["\ud83d","act"]`), "aud": []any{half, issuer.Audience},
	})))
	if err != nil || user.ID != "ada" || user.Email != "" || user.EmailVerified || !slices.Equal(user.Scopes, []string{Act}) {
		t.Errorf("%+v, %v", user, err)
	}
	for name, claims := range map[string]map[string]any{"sub": {"sub": half}, "iss": {"iss": half}, "aud": {"aud": half}} {
		if user, err := verifier.User(bearer(issuer.Token(t, "ada", claims))); fault.CodeOf(err) != fault.CodeUnauthenticated {
			t.Errorf("%s: %+v, %v", name, user, err)
		}
	}
}

func TestIssuedAt(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, _ := connect(issuer)
	now := time.Now().Truncate(time.Second)
	for name, test := range map[string]struct {
		claims map[string]any
		want   time.Time
	}{
		"iat":           {map[string]any{"iat": now.Add(-time.Minute).Unix()}, now.Add(-time.Minute)},
		"only nbf":      {map[string]any{"iat": nil, "nbf": now.Add(-time.Hour).Unix()}, now.Add(-time.Hour)},
		"neither":       {map[string]any{"iat": nil}, time.Time{}},
		"clock ahead":   {map[string]any{"iat": now.Add(40 * time.Second).Unix()}, now.Add(40 * time.Second)}, // and a later one is later
		"far too large": {map[string]any{"iat": 1e300}, now.Add(clockSkew)},
		"far too small": {map[string]any{"iat": -1e300}, instant(-1e300)},
	} {
		user, err := verifier.User(bearer(issuer.Token(t, "ada", test.claims)))
		if off := user.IssuedAt.Sub(test.want); err != nil || off.Abs() > 10*time.Second {
			t.Errorf("%s: %v, want %v (%v)", name, user.IssuedAt, test.want, err)
		}
	}
}

// Each request that is made for another user is recorded before it is carried out, and is
// not if that fails.
func TestActsAreRecorded(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	var acts []string
	var failure error
	verifier := NewVerifier(configFor(issuer), Records{Act: func(_ context.Context, u User, method, path string) error {
		acts = append(acts, u.Caller+" "+u.ID+" "+method+" "+path)
		return failure
	}})
	request := func(method, path, scope, user string) *http.Request {
		r := bearer(issuer.Token(t, "program", map[string]any{"scope": scope}))
		r.Method, r.URL.Path = method, path
		if user != "" {
			r.Header.Set(UserHeader, user)
		}
		return r
	}
	for _, r := range []*http.Request{
		request("POST", "/api/tasks", "act", "bob"), request("GET", "/api/tasks", "admin", "eve"), // these are
		request("POST", "/api/tasks", "act", ""), request("POST", "/api/tasks", "act", "program"), request("GET", "/api/tasks", "", ""),
	} {
		if _, err := verifier.User(r); err != nil {
			t.Error(err)
		}
	}
	if _, err := verifier.User(request("POST", "/api/tasks", "", "bob")); err == nil { // refused
		t.Error("without a scope it acts for others")
	}
	if want := []string{"program bob POST /api/tasks", "program eve GET /api/tasks"}; !slices.Equal(acts, want) {
		t.Errorf("recorded %q, want %q", acts, want)
	}
	failure = errors.New("away")
	if _, err := verifier.User(request("DELETE", "/api/tasks/1", "act", "bob")); !errors.Is(err, failure) {
		t.Errorf("it could not be recorded, and is carried out: %v", err)
	}
}

// What a token says about its user is recorded when it is first seen, and again until
// that is settled.
func TestRecording(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	var recorded []string
	settled, failure := false, errors.New("away")
	verifier := NewVerifier(configFor(issuer), Records{Address: func(_ context.Context, u User) (bool, error) {
		recorded = append(recorded, u.ID+" "+u.Email)
		return settled, failure
	}})
	token := issuer.Token(t, "ada", map[string]any{"email": "ada@example.com", "scope": "act"})
	acting := bearer(token)
	acting.Header.Set(UserHeader, "bob")
	call := func(r *http.Request) error {
		_, err := verifier.User(r)
		return err
	}
	if err := call(bearer(token)); !errors.Is(err, failure) {
		t.Errorf("it could not be recorded: %v", err)
	}
	failure = nil
	for range 2 {
		if err := call(bearer(token)); err != nil {
			t.Error(err)
		}
	}
	settled = true
	for _, r := range []*http.Request{acting, bearer(token), bearer(issuer.Token(t, "eve", nil))} {
		if err := call(r); err != nil {
			t.Error(err)
		}
	}
	if want := slices.Repeat([]string{"ada ada@example.com"}, 4); !slices.Equal(recorded, want) {
		t.Errorf("recorded %q, want %q", recorded, want)
	}
}

// The sign-in of somebody who acts for somebody else.
func TestActing(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, _ := connect(issuer)
	long := strings.Repeat("é", 255)
	all := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	only := func(code fault.Code, methods ...string) map[string]fault.Code {
		codes := map[string]fault.Code{}
		for _, method := range methods {
			codes[method] = code
		}
		return codes
	}
	for name, test := range map[string]struct {
		scope   string
		headers []string
		want    string // the user
		refused map[string]fault.Code
	}{
		"no header":            {"", nil, "caller", nil},
		"no header, act":       {"act", nil, "caller", nil},
		"no scope":             {"openid", []string{"ada"}, "", only(fault.CodeForbidden, all...)},
		"no scope, themselves": {"", []string{"caller"}, "", only(fault.CodeForbidden, all...)},
		"no scope, empty":      {"", []string{""}, "", only(fault.CodeForbidden, all...)},
		"act":                  {"act", []string{"ada"}, "ada", nil},
		"act, themselves":      {"act", []string{"caller"}, "caller", nil},
		"admin":                {"admin", []string{"ada"}, "ada", only(fault.CodeForbidden, "POST", "PUT", "PATCH", "DELETE")},
		"both":                 {"admin act", []string{"ada"}, "ada", nil},
		"twice":                {"act", []string{"ada", "ada"}, "", only(fault.CodeInvalid, all...)},
		"twice, admin":         {"admin", []string{"ada", "eve"}, "", map[string]fault.Code{"GET": fault.CodeInvalid, "POST": fault.CodeForbidden}},
		"empty":                {"act", []string{""}, "", only(fault.CodeInvalid, all...)},
		"NUL":                  {"act", []string{"a\x00b"}, "", only(fault.CodeInvalid, all...)},
		"line":                 {"act", []string{"a\nb"}, "", only(fault.CodeInvalid, all...)},
		"C1":                   {"act", []string{"a\u0085b"}, "", only(fault.CodeInvalid, all...)},
		"not UTF-8":            {"act", []string{"a\xffb"}, "", only(fault.CodeInvalid, all...)},
		"255 characters":       {"act", []string{long}, long, nil},
		"256 characters":       {"act", []string{long + "x"}, "", only(fault.CodeInvalid, all...)},
	} {
		t.Run(name, func(t *testing.T) {
			token := issuer.Token(t, "caller", map[string]any{"scope": test.scope, "email": "caller@example.com", "email_verified": true})
			for _, method := range all {
				r := httptest.NewRequest(method, "/", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				r.Header[UserHeader] = test.headers
				user, err := verifier.User(r)
				want, refused := test.refused[method]
				switch {
				case refused && (fault.CodeOf(err) != want || user.ID != ""):
					t.Errorf("%s: %+v, %v, want %s", method, user, err, want)
				case refused || test.want == "":
				case err != nil || user.ID != test.want || user.Caller != "caller":
					t.Errorf("%s: %+v, %v", method, user, err)
				case user.EmailClaim != (user.ID == "caller") || user.EmailVerified != user.EmailClaim:
					t.Errorf("%s: the caller's address is taken for the user's: %+v", method, user)
				}
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(UserHeader, "ada")
	if _, err := verifier.User(r); fault.CodeOf(err) != fault.CodeUnauthenticated {
		t.Errorf("without a token: %v", err)
	}
	operator := bearer(issuer.Token(t, "caller", map[string]any{"scope": "act"}))
	operator.Header.Set(UserHeader, "an-operator")
	if user, err := verifier.User(operator); err != nil || user.HasScope(Admin) {
		t.Errorf("for an operator: %+v, %v", user, err)
	}
	if RefuseUserHeader(bearer("")) != nil || fault.CodeOf(RefuseUserHeader(operator)) != fault.CodeInvalid {
		t.Error("with a ticket the header is not what decides")
	}
}

func TestLimitsOfBothWhoActAndWhoAreActedFor(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	call := func(v *Verifier, caller, user string) error {
		r := bearer(issuer.Token(t, caller, map[string]any{"scope": "act"}))
		r.Header.Set(UserHeader, user)
		_, err := v.User(r)
		return err
	}
	settings := configFor(issuer)
	settings.Limit = Limit{PerSecond: 0.001, Burst: 3}
	v := NewVerifier(settings, Records{})
	for i := range 3 {
		if err := call(v, fmt.Sprint("service", i), "ada"); err != nil {
			t.Fatal(err)
		}
	}
	if err := call(v, "service4", "ada"); fault.CodeOf(err) != fault.CodeRateLimited || !strings.Contains(err.Error(), "for this user") {
		t.Errorf("for the user too many were made: %v", err)
	}
	for i := range 3 {
		if err := call(v, "service5", fmt.Sprint("user", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := call(v, "service5", "user4"); fault.CodeOf(err) != fault.CodeRateLimited || !strings.Contains(err.Error(), "you make") {
		t.Errorf("the caller makes too many: %v", err)
	}
	if _, err := v.User(bearer(issuer.Token(t, "ada", nil))); fault.CodeOf(err) != fault.CodeRateLimited {
		t.Errorf("the user themselves: %v", err)
	}
}

// several is a verifier of two issuers more, the second of which may grant.
func several(t *testing.T) (verifier *Verifier, first, plain, trusted *authtest.Issuer) {
	t.Helper()
	first, plain, trusted = authtest.NewIssuer(t), authtest.NewIssuer(t), authtest.NewIssuer(t)
	further := fmt.Sprintf(`[{"issuer":%q,"audience":"theirs","prefix":"plain:"},
		{"issuer":%q,"audience":["x","ours"],"prefix":"corp|","user_claim":"oid","scope_claims":["roles","scp"],
		 "admin_scope":"Duebell Operators","act_scope":"Duebell.Act","grants":["admin","act"]}]`, plain.URL, trusted.URL)
	plain.Audience, trusted.Audience = "theirs", "ours"
	return NewVerifier(configFor(first, "OIDC_FURTHER_ISSUERS="+further), Records{}), first, plain, trusted
}

func TestSeveralIssuers(t *testing.T) {
	verifier, first, plain, trusted := several(t)
	for name, test := range map[string]struct {
		token  string
		id     string // "": refused
		scopes []string
	}{
		"first":                         {first.Token(t, "ada", map[string]any{"scope": "admin act"}), "ada", []string{Act, Admin}},
		"the same subject":              {plain.Token(t, "ada", nil), "plain:ada", nil},
		"may grant nothing":             {plain.Token(t, "ada", map[string]any{"scope": "admin act", "permissions": []string{"admin"}}), "plain:ada", nil},
		"another claim":                 {trusted.Token(t, "ada", map[string]any{"oid": "0-1"}), "corp|0-1", nil},
		"its own names":                 {trusted.Token(t, "ada", map[string]any{"oid": "0-1", "roles": []string{"Duebell Operators"}, "scp": "x Duebell.Act"}), "corp|0-1", []string{Act, Admin}},
		"a role that is called admin":   {trusted.Token(t, "ada", map[string]any{"oid": "0-1", "roles": []string{"admin", "act"}, "scp": "admin act", "groups": "Duebell.Act"}), "corp|0-1", nil},
		"a claim that is not named":     {trusted.Token(t, "ada", map[string]any{"oid": "0-1", "scope": "Duebell.Act"}), "corp|0-1", nil},
		"without the user claim":        {trusted.Token(t, "ada", nil), "", nil},
		"the user claim is a number":    {trusted.Token(t, "ada", map[string]any{"oid": 7}), "", nil},
		"the first one's audience":      {plain.Token(t, "ada", map[string]any{"aud": first.Audience}), "", nil},
		"another one's prefix":          {first.Token(t, "plain:ada", nil), "", nil},
		"the other one's prefix":        {first.Token(t, "corp|0-1", nil), "", nil},
		"something like a prefix":       {first.Token(t, "plain|ada", nil), "plain|ada", nil},
		"too long with the prefix":      {plain.Token(t, strings.Repeat("x", 250), nil), "", nil},
		"one signs in another's name":   {plain.Token(t, "ada", map[string]any{"iss": first.URL, "aud": first.Audience}), "", nil},
		"an issuer that is not listed":  {authtest.NewIssuer(t).Token(t, "ada", nil), "", nil},
		"listed in another form":        {first.Token(t, "ada", map[string]any{"iss": first.URL + "/"}), "", nil},
		"a list of issuers, one listed": {first.Token(t, "ada", map[string]any{"iss": []string{first.URL}}), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // checked, and remembered
				user, err := verifier.User(bearer(test.token))
				if test.id == "" {
					if fault.CodeOf(err) != fault.CodeUnauthenticated || user.ID != "" {
						t.Errorf("%+v, %v", user, err)
					}
				} else if err != nil || user.ID != test.id || !slices.Equal(user.Scopes, test.scopes) {
					t.Errorf("%+v, %v", user, err)
				}
			}
		})
	}
}

// One issuer that is away keeps nobody of another waiting.
func TestOneOfSeveralIssuersIsAway(t *testing.T) {
	first, second := authtest.NewIssuer(t), authtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		w := &wire{issuer: first, override: map[string]http.HandlerFunc{}, calls: map[string]int{}}
		settings := configFor(first, fmt.Sprintf(`OIDC_FURTHER_ISSUERS=[{"issuer":%q,"audience":"duebell","prefix":"x:"}]`, second.URL))
		verifier := newVerifier(settings, byHost{first.URL: w, second.URL: &wire{issuer: http.HandlerFunc(cutOff), calls: map[string]int{}}}, Records{})
		token := first.Token(t, "ada", map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})
		for range 3 {
			_, err := verifier.User(bearer(second.Token(t, "ada", nil)))
			wantUnavailable(t, err)
			if user, err := verifier.User(bearer(token)); err != nil || user.ID != "ada" {
				t.Errorf("%+v, %v", user, err)
			}
			time.Sleep(keysMaxAge)
		}
	})
}

// byHost is a wire for each host.
type byHost map[string]http.RoundTripper

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	return b["http://"+r.URL.Host].RoundTrip(r)
}

// An e-mail address is somebody's only if it is verified.
func TestAddressAsUser(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier := NewVerifier(configFor(issuer, "OIDC_USER_CLAIM=email"), Records{})
	for name, test := range map[string]struct {
		claims map[string]any
		want   string
	}{
		"verified":     {map[string]any{"email": "ada@example.com", "email_verified": true}, "ada@example.com"},
		"not verified": {map[string]any{"email": "ada@example.com", "email_verified": false}, ""},
		"not said":     {map[string]any{"email": "ada@example.com"}, ""},
		"odd":          {map[string]any{"email": "ada@example.com", "email_verified": 1}, ""},
		"none":         {map[string]any{"email_verified": true}, ""},
		"a list":       {map[string]any{"email": []string{"ada@example.com"}, "email_verified": true}, ""},
	} {
		user, err := verifier.User(bearer(issuer.Token(t, "sub", test.claims)))
		if user.ID != test.want || (test.want == "") != (fault.CodeOf(err) == fault.CodeUnauthenticated) {
			t.Errorf("%s: %+v, %v", name, user, err)
		}
	}
}

func TestGrants(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	token := issuer.Token(t, "ada", map[string]any{"scope": "admin act ops"})
	for environ, want := range map[string][]string{
		"OIDC_GRANTS=admin,act":   {Act, Admin},
		"OIDC_GRANTS=act":         {Act},
		"OIDC_GRANTS=none":        nil,
		"OIDC_ADMIN_SCOPE=ops":    {Act, Admin},
		"OIDC_ACT_SCOPE=other":    {Admin},
		"OIDC_SCOPE_CLAIMS=roles": nil,
	} {
		user, err := NewVerifier(configFor(issuer, environ), Records{}).User(bearer(token))
		if err != nil || !slices.Equal(user.Scopes, want) {
			t.Errorf("%s: %+v, %v", environ, user, err)
		}
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	parse := func(environ ...string) string {
		_, err := config.Parse[Config](append([]string{"OIDC_ISSUER=https://a.example", "OIDC_AUDIENCE=duebell"}, environ...))
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if got := parse(); got != "" {
		t.Errorf("as it is by default: %s", got)
	}
	got := parse("OIDC_AUDIENCE=a, b", "OIDC_SCOPE_CLAIMS=scope,,x", "OIDC_ACT_SCOPE=admin", "OIDC_GRANTS=admin,root",
		`OIDC_FURTHER_ISSUERS=[{"issuer":"http://b.example","audience":[],"prefix":"b","grants":"none"},
			{"issuer":"https://a.example","audience":["x",""],"prefix":"c:","user_claim":"","admin_scope":""},
			{"issuer":"https://d.example","audience":"x","prefix":"c:","scope_claims":[""],"act_scope":"admin","grants":["none","act"]}]`)
	for _, want := range []string{
		"OIDC_AUDIENCE must name", "OIDC_SCOPE_CLAIMS must be names of claims", "OIDC_ACT_SCOPE must be another", "OIDC_GRANTS must be of admin and act",
		"OIDC_FURTHER_ISSUERS [0].issuer must be an https URL", "OIDC_FURTHER_ISSUERS [0].audience must name", "OIDC_FURTHER_ISSUERS [0].prefix must be",
		"OIDC_FURTHER_ISSUERS [1].issuer is listed before", "OIDC_FURTHER_ISSUERS [1].audience must name", "OIDC_FURTHER_ISSUERS [1].user_claim must be",
		"OIDC_FURTHER_ISSUERS [1].admin_scope must be", "OIDC_FURTHER_ISSUERS [2].prefix is another issuer's", "OIDC_FURTHER_ISSUERS [2].scope_claims must be",
		"OIDC_FURTHER_ISSUERS [2].act_scope must be another", "OIDC_FURTHER_ISSUERS [2].grants must be of",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not said", want)
		}
	}
	if lines := strings.Count(got, "\n") + 1; lines != 15 {
		t.Errorf("%d lines:\n%s", lines, got)
	}
	for _, malformed := range []string{`{}`, `[{"issuer":7}]`, `[{"isuer":"https://b.example"}]`, `[`, `[{"audience":[7]}]`, `[` + strings.Repeat(`{},`, maxFurther) + `{}]`} {
		if got := parse("OIDC_FURTHER_ISSUERS=" + malformed); !strings.HasPrefix(got, "OIDC_FURTHER_ISSUERS is malformed: set it to more issuers, as a JSON list") {
			t.Errorf("%s: %s", malformed, got)
		}
	}
}

// Of each reason one line is logged in a second, which says what was expected and what
// came, and never has the token.
func TestRefusedTokensAreLogged(t *testing.T) {
	first := authtest.NewIssuer(t)
	stranger := authtest.NewIssuer(t)
	stranger.URL, stranger.Audience = first.URL, first.Audience
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(trace.Handler(slog.NewJSONHandler(&log, nil))))
	t.Cleanup(func() { slog.SetDefault(before) })
	good := first.Token(t, "ada", nil)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	tokens := []struct{ token, reason, expected, came string }{
		{"", "no signed token", "three parts", "1 parts, 0 characters"},
		{"an-opaque-token", "no signed token", "three parts", "1 parts, 15 characters"},
		{header + "." + payload + "." + payload + "." + payload + "." + signature, "no signed token", "three parts", "5 parts"},
		{"eyJhbGciOiJIUzI1NiJ9." + payload + "." + signature, "algorithm", "RS256", "HS256"},
		{first.Token(t, "ada", map[string]any{"iss": "https://other.example"}), "issuer", first.URL, "https://other.example"},
		{first.Token(t, "ada", map[string]any{"iss": strings.Repeat("x", 5000)}), "issuer", first.URL, "x…"},
		{first.Token(t, "ada", map[string]any{"aud": []string{"account"}}), "audience", first.Audience, "account"},
		{first.Token(t, "ada", map[string]any{"exp": 1_000_000_000}), "expiry", "after 20", "2001-09-09T01:46:40Z"},
		{first.Token(t, "ada", map[string]any{"exp": nil}), "expiry", "exp", "none"},
		{first.Token(t, "ada", map[string]any{"nbf": 9_000_000_000}), "not valid yet", "not after 20", "2255-"},
		{first.Token(t, "a\nb", nil), "user", "in the claim sub", `a\\nb`},
		{first.Token(t, "ada", map[string]any{"aud": 7}), "claims", "of the form", "/aud"},
		{stranger.Token(t, "ada", nil), "signature", first.URL, "ES256"},
		{first.SignWith(t, []byte(`{}`), map[string]any{"crit": []string{}}), "critical header", "no crit", "[]"},
	}
	for _, test := range tokens {
		log.Reset()
		verifier := NewVerifier(configFor(first), Records{})
		start := time.Now()
		for range 20 {
			if _, err := verifier.User(bearer(test.token)); fault.CodeOf(err) != fault.CodeUnauthenticated {
				t.Fatalf("%s: %v", test.reason, err)
			}
		}
		seconds := int(time.Since(start)/refusalInterval) + 1
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) > seconds {
			t.Errorf("%s: %d lines", test.reason, len(lines))
		}
		var line struct{ Level, Msg, Reason, Expected, Came string }
		if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
			t.Fatal(err, log.String())
		}
		if line.Level != "INFO" || line.Msg != "a token was refused" || line.Reason != test.reason ||
			!strings.Contains(line.Expected, test.expected) || !strings.Contains(lines[0], test.came) || len(lines[0]) > 1500 {
			t.Errorf("%s: %s", test.reason, lines[0])
		}
		for _, part := range strings.Split(test.token, ".") {
			if len(part) > 8 && strings.Contains(log.String(), part) {
				t.Errorf("%s: a part of the token is logged: %s", test.reason, log.String())
			}
		}
	}
}

func TestRefusalsThatAreNotLoggedAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		defer slog.SetDefault(before)
		var l refusals
		for range 5 {
			l.log(t.Context(), refuse("expiry", "a", "b"))
			l.log(t.Context(), refuse("issuer", "a", "b"))
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want one for each reason:\n%s", n, log.String())
		}
		log.Reset()
		time.Sleep(refusalInterval)
		l.log(t.Context(), refuse("expiry", "a", "b"))
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "not_logged=4") {
			t.Errorf("a second later:\n%s", got)
		}
	})
}

// Both who calls and for whom are in what is logged for the request.
func TestBothIdentitiesAreLogged(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	verifier, _ := connect(issuer)
	for scope, want := range map[string]string{"": `"user":"ada","caller":"ada"`, "act": `"user":"bob","caller":"ada"`} {
		var out bytes.Buffer
		log := slog.New(trace.Handler(slog.NewJSONHandler(&out, nil)))
		r := bearer(issuer.Token(t, "ada", map[string]any{"scope": scope}))
		if scope != "" {
			r.Header.Set(UserHeader, "bob")
		}
		ctx, end := trace.Serve(r)
		_, err := verifier.User(r.WithContext(ctx))
		log.InfoContext(ctx, "done")
		end("GET /", 200)
		if err != nil || !strings.Contains(out.String(), want) || trace.ForAnother(ctx) != (scope == "act") {
			t.Errorf("%s (%v)", out.String(), err)
		}
	}
}
