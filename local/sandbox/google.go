package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What Google publishes about tokens for service accounts:
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
const (
	googleGrant    = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	googleLifetime = time.Hour
	maxTokens      = 10_000
)

// googleKey is made when it is needed: it takes a while.
var googleKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return key
})

// googleCredentials returns the credentials of the account that may send, as a file of
// Google's: https://cloud.google.com/iam/docs/keys-create-delete
func googleCredentials(base string) string {
	der, err := x509.MarshalPKCS8PrivateKey(googleKey())
	if err != nil {
		panic(err) // it is an RSA key
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": googleProject, "private_key_id": "sandbox",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": googleAccount, "client_id": "1", "token_uri": base + GooglePath + "/token", "universe_domain": "googleapis.com",
	})
	if err != nil {
		panic(err) // it is nothing but strings
	}
	return string(file)
}

func googleError(w http.ResponseWriter, status int, code, description string) {
	answer(w, status, "application/json; charset=utf-8", map[string]string{"error": code, "error_description": description})
}

func googleComplain(w http.ResponseWriter, status int, message string) {
	code := "invalid_grant"
	if status >= http.StatusInternalServerError {
		code = "internal_failure"
	}
	googleError(w, status, code, message)
}

func (s *Sandbox) serveGoogle(w http.ResponseWriter, r *http.Request, body []byte, _ Fault) {
	form, err := url.ParseQuery(string(body))
	switch {
	case r.URL.Path != "/token" || r.Method != http.MethodPost:
		http.NotFound(w, r)
		return
	case err != nil || !isMedia(r, "application/x-www-form-urlencoded"):
		googleError(w, http.StatusBadRequest, "invalid_request", "Bad Request")
		return
	case form.Get("grant_type") != googleGrant:
		googleError(w, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+form.Get("grant_type"))
		return
	}
	if wrong := assertionProblem(form.Get("assertion"), "http://"+r.Host+r.RequestURI); wrong != "" {
		googleError(w, http.StatusBadRequest, "invalid_grant", wrong)
		return
	}
	token := "ya29." + rand.Text()
	s.mu.Lock()
	if len(s.tokens) >= maxTokens {
		clear(s.tokens)
	}
	s.tokens[token] = true
	s.mu.Unlock()
	answer(w, http.StatusOK, "application/json; charset=utf-8", map[string]any{
		"access_token": token, "expires_in": int(googleLifetime.Seconds()) - 1, "token_type": "Bearer",
	})
}

// assertionProblem returns what is wrong with the JWT that asks for a token, or "".
func assertionProblem(assertion, audience string) string {
	signed, err := jose.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return "Bad Request"
	}
	payload, err := signed.Verify(googleKey().Public())
	if err != nil {
		return "Invalid JWT Signature."
	}
	var claims struct {
		Issuer   string  `json:"iss"`
		Audience string  `json:"aud"`
		Scope    string  `json:"scope"`
		Issued   float64 `json:"iat"`
		Expires  float64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "Invalid JWT: Failed parsing claims."
	}
	issued, expires, now := time.Unix(int64(claims.Issued), 0), time.Unix(int64(claims.Expires), 0), time.Now()
	switch {
	case claims.Issuer != googleAccount:
		return "Invalid grant: account not found"
	case claims.Audience != audience:
		return "Invalid JWT: the audience must be the token's URL."
	case issued.After(now.Add(time.Minute)) || expires.Before(now) || expires.Sub(issued) > googleLifetime:
		return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	}
	for scope := range strings.FieldsSeq(claims.Scope) {
		if scope == "https://www.googleapis.com/auth/firebase.messaging" || scope == "https://www.googleapis.com/auth/cloud-platform" {
			return ""
		}
	}
	return "Invalid OAuth scope or ID token audience provided."
}

func (s *Sandbox) isToken(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[token]
}
