package issuer

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// codeLifetime is how long a browser has to exchange its code.
	codeLifetime = time.Minute
	// signInLifetime is how long the tokens of a sign-in are valid.
	signInLifetime = time.Hour
	// maxPending is how many codes and sessions are stored. Beyond that the oldest are deleted.
	maxPending = 1000
)

// SignIn says who may sign in, and from where: a public client, by the authorization code
// flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core).
type SignIn struct {
	ClientID string
	// RedirectURIs are where browsers may be sent back to, exactly.
	RedirectURIs []string
	// People are listed on the page. Scope has the scopes that a person may have; a token has those
	// that the client has asked for.
	People []Claims
	// Audience is the audience of access tokens.
	Audience string
}

// signIns has the sign-ins under way. It is safe for concurrent use.
type signIns struct {
	SignIn
	issuer *Issuer

	mu       sync.Mutex
	codes    map[string]grant  // by the code
	sessions map[string]string // people's ids by their cookies
	order    []string          // of codes and sessions, the oldest first
}

// grant is what a code may be exchanged for.
type grant struct {
	person                 Claims
	redirectURI, challenge string
	scope, nonce           string
	expiry                 time.Time
}

// Offer adds a page on which people sign in by choosing who they are, without a password. It is for
// development on one machine. Call it before Handler.
func (i *Issuer) Offer(s SignIn) {
	i.signIns = &signIns{SignIn: s, issuer: i, codes: map[string]grant{}, sessions: map[string]string{}}
}

// endpoints adds the endpoints for signing in to the discovery document.
func (s *signIns) endpoints(base string, discovery map[string]any) {
	discovery["authorization_endpoint"] = base + "/authorize"
	discovery["token_endpoint"] = base + "/token"
	discovery["end_session_endpoint"] = base + "/end-session"
	discovery["response_types_supported"] = []string{"code"}
	discovery["grant_types_supported"] = []string{"authorization_code"}
	discovery["code_challenge_methods_supported"] = []string{"S256"}
	discovery["token_endpoint_auth_methods_supported"] = []string{"none"}
	discovery["authorization_response_iss_parameter_supported"] = true
	discovery["prompt_values_supported"] = []string{"none", "login"}
}

func (s *signIns) serve(mux *http.ServeMux, base string) {
	mux.HandleFunc("GET "+base+"/authorize", s.authorize)
	mux.HandleFunc("POST "+base+"/authorize", s.choose)
	mux.HandleFunc("POST "+base+"/token", s.token)
	mux.HandleFunc("OPTIONS "+base+"/token", s.preflight)
	mux.HandleFunc("GET "+base+"/end-session", s.endSession)
}

var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// request checks an authorization request. If it refuses it, it answers: by a redirect, or directly
// if the client or its redirect URI is unknown.
func (s *signIns) request(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	q := r.URL.Query()
	if q.Get("client_id") != s.ClientID || !slices.Contains(s.RedirectURIs, q.Get("redirect_uri")) {
		http.Error(w, "this client_id and redirect_uri are not known here", http.StatusBadRequest)
		return nil, false
	}
	refuse := func(code, why string) (url.Values, bool) {
		s.back(w, r, q, url.Values{"error": {code}, "error_description": {why}})
		return nil, false
	}
	switch scopes := strings.Fields(q.Get("scope")); {
	case q.Get("response_type") != "code":
		return refuse("unsupported_response_type", "response_type must be code")
	case q.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(q.Get("code_challenge")):
		return refuse("invalid_request", "code_challenge must be there, with the method S256")
	case !slices.Contains(scopes, "openid"):
		return refuse("invalid_scope", "scope must have openid in it")
	}
	return q, true
}

// back sends the browser back to the client.
func (s *signIns) back(w http.ResponseWriter, r *http.Request, q, answer url.Values) {
	answer.Set("iss", s.issuer.URL())
	if state := q.Get("state"); state != "" {
		answer.Set("state", state)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

const cookie = "duebell-local-issuer"

func (s *signIns) authorize(w http.ResponseWriter, r *http.Request) {
	q, ok := s.request(w, r)
	if !ok {
		return
	}
	person, known := s.session(r)
	switch prompt := strings.Fields(q.Get("prompt")); {
	case known && !slices.Contains(prompt, "login"):
		s.grant(w, r, q, person)
	case slices.Contains(prompt, "none"):
		s.back(w, r, q, url.Values{"error": {"login_required"}})
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
		_ = page.Execute(w, s.People)
	}
}

//go:embed signin.html
var pageText string

var page = template.Must(template.New("sign-in").Parse(pageText))

// choose signs in the person that was chosen on the page.
func (s *signIns) choose(w http.ResponseWriter, r *http.Request) {
	q, ok := s.request(w, r)
	if !ok {
		return
	}
	person, ok := s.person(r.PostFormValue("person"))
	if !ok {
		http.Error(w, "there is nobody of that name", http.StatusBadRequest)
		return
	}
	id := rand.Text()
	s.mu.Lock()
	s.sessions[id] = person.Subject
	s.keep(id)
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: s.issuer.url.Path, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	s.grant(w, r, q, person)
}

func (s *signIns) person(id string) (Claims, bool) {
	i := slices.IndexFunc(s.People, func(c Claims) bool { return c.Subject == id })
	if i < 0 {
		return Claims{}, false
	}
	return s.People[i], true
}

// session returns who has signed in with this browser before.
func (s *signIns) session(r *http.Request) (Claims, bool) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return Claims{}, false
	}
	s.mu.Lock()
	id := s.sessions[c.Value]
	s.mu.Unlock()
	return s.person(id)
}

// grant sends the browser back with a code.
func (s *signIns) grant(w http.ResponseWriter, r *http.Request, q url.Values, person Claims) {
	var scopes []string
	may := append(strings.Fields(person.Scope), "openid", "email")
	for _, scope := range strings.Fields(q.Get("scope")) {
		if slices.Contains(may, scope) && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	code := rand.Text()
	s.mu.Lock()
	s.codes[code] = grant{
		person: person, redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), scope: strings.Join(scopes, " "), nonce: q.Get("nonce"),
		expiry: time.Now().Add(codeLifetime),
	}
	s.keep(code)
	s.mu.Unlock()
	s.back(w, r, q, url.Values{"code": {code}})
}

// keep deletes the oldest if there are too many. The caller holds s.mu.
func (s *signIns) keep(key string) {
	s.order = append(s.order, key)
	if len(s.order) > maxPending {
		delete(s.codes, s.order[0])
		delete(s.sessions, s.order[0])
		s.order = s.order[1:]
	}
}

// token exchanges a code for tokens, once, if the caller has the verifier of its PKCE challenge.
func (s *signIns) token(w http.ResponseWriter, r *http.Request) {
	s.allow(w, r)
	code := r.PostFormValue("code")
	s.mu.Lock()
	g, ok := s.codes[code]
	delete(s.codes, code) // it is valid once, whoever sends it
	s.mu.Unlock()
	hash := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(hash[:])
	switch {
	case r.PostFormValue("grant_type") != "authorization_code":
		tokenError(w, "unsupported_grant_type")
		return
	case r.PostFormValue("client_id") != s.ClientID:
		tokenError(w, "invalid_client")
		return
	case !ok || time.Now().After(g.expiry) || r.PostFormValue("redirect_uri") != g.redirectURI ||
		subtle.ConstantTimeCompare([]byte(challenge), []byte(g.challenge)) != 1:
		tokenError(w, "invalid_grant")
		return
	}
	access, id := g.person, g.person
	access.Audience, access.Scope, access.Lifetime = s.Audience, g.scope, cmp.Or(g.person.Lifetime, signInLifetime)
	id.Audience, id.Scope, id.Lifetime, id.nonce = s.ClientID, "", access.Lifetime, g.nonce
	accessToken, err := s.issuer.Token(access)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	idToken, err := s.issuer.Token(id)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": accessToken, "id_token": idToken, "token_type": "Bearer", "expires_in": int(access.Lifetime.Seconds()), "scope": g.scope,
	})
}

func tokenError(w http.ResponseWriter, code string) {
	writeJSON(w, http.StatusBadRequest, map[string]any{"error": code})
}

func writeJSON(w http.ResponseWriter, status int, answer map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // an error means that the client has hung up
}

// allow lets pages of the client's origins read the answer (CORS).
func (s *signIns) allow(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Origin")
	origin := r.Header.Get("Origin")
	for _, redirect := range s.RedirectURIs {
		if u, err := url.Parse(redirect); err == nil && origin == u.Scheme+"://"+u.Host {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
	}
}

func (s *signIns) preflight(w http.ResponseWriter, r *http.Request) {
	s.allow(w, r)
	w.Header().Set("Access-Control-Allow-Methods", "POST")
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	w.WriteHeader(http.StatusNoContent)
}

// endSession forgets the sign-in of this browser (OpenID Connect RP-Initiated Logout), and sends
// the browser back to the client.
func (s *signIns) endSession(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		s.mu.Lock()
		delete(s.sessions, c.Value)
		s.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: s.issuer.url.Path, MaxAge: -1, HttpOnly: true})
	q := r.URL.Query()
	if to := q.Get("post_logout_redirect_uri"); slices.Contains(s.RedirectURIs, to) {
		http.Redirect(w, r, to+"?"+url.Values{"state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
		return
	}
	http.Error(w, "You have signed out.", http.StatusOK)
}
