package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/local/issuer"
)

// Every route of users refuses every invalid token, and every route of Dapr refuses everything but
// the app API token.
func TestEveryRouteWantsItsToken(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	bad := badTokens(t, p)
	for _, route := range gateway.Routes {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if sys.Process(route.Function) == nil || public[route.Pattern] {
			continue
		}
		path = strings.NewReplacer("{task_id}", uuid.NewString(), "{id}", uuid.NewString(), "{name}", "x").Replace(path)
		tokens := bad
		if route.Function == "trigger-reminder" {
			tokens = map[string]string{"a user's": p.token, "none": ""}
		}
		for what, token := range tokens {
			status, body, challenge := p.callWith(token, method, path)
			if status != http.StatusUnauthorized || challenge == "" || !json.Valid(body) {
				t.Errorf("%s with %s: %d %s", route.Pattern, what, status, body)
			}
		}
	}
}

// public are the routes without a sign-in.
var public = map[string]bool{
	"GET /api/openapi.json": true, "GET /api/unsubscribe": true, "POST /api/unsubscribe": true,
	"GET /api/verify": true, "POST /api/verify": true, "GET /api/not-me": true, "POST /api/not-me": true,
	"GET /m/{signed}": true, "POST /m/{signed}": true,
	"GET /{$}": true, "GET /console": true, "GET /console/{path...}": true,
	"POST /api/reports/sendgrid": true, "POST /api/reports/ses": true, "POST /api/reports/twilio": true,
}

func badTokens(t *testing.T, p person) map[string]string {
	t.Helper()
	make := func(c issuer.Claims) string {
		token, err := sys.Issuer().Token(c)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := strings.Split(p.token, ".")
	payload := good[1]
	unsigned := encode(`{"alg":"none","typ":"JWT"}`) + "." + payload + "."
	return map[string]string{
		"none":               "",
		"garbage":            "garbage",
		"three garbage":      "a.b.c",
		"no signature":       good[0] + "." + payload + ".",
		"another's payload":  good[0] + "." + encode(`{"iss":"`+sys.Issuer().URL()+`","aud":"duebell","sub":"eve","exp":4102444800}`) + "." + good[2],
		"algorithm none":     unsigned,
		"HS256, public key":  hs256(t, payload),
		"expired":            make(issuer.Claims{Subject: p.name, Audience: "duebell", Lifetime: -time.Hour}),
		"for another system": make(issuer.Claims{Subject: p.name, Audience: "another", Lifetime: time.Hour}),
		"of nobody":          make(issuer.Claims{Audience: "duebell", Lifetime: time.Hour}),
		"huge":               p.token + strings.Repeat("A", 20_000),
	}
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hs256 signs with the issuer's public key as if it were a shared secret.
func hs256(t *testing.T, payload string) string {
	t.Helper()
	resp, err := http.Get(sys.Issuer().URL() + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	keys, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(keys), `"kid"`) {
		t.Fatalf("%v, %s", err, keys)
	}
	head := encode(`{"alg":"HS256","typ":"JWT"}`) + "." + payload
	mac := hmac.New(sha256.New, keys)
	mac.Write([]byte(head))
	return head + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (p person) callWith(token, method, path string) (status int, body []byte, challenge string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), method, p.sys.URL()+path, strings.NewReader("{}"))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if strings.HasSuffix(path, "/ws") {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return resp.StatusCode, body, resp.Header.Get("WWW-Authenticate")
}
