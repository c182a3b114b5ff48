package sandbox

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/duebell/duebell/shared/subscription"
)

// The sandbox is the push service of browsers, and the browsers too: RFC 8030, 8188, 8291 and
// 8292. All its browsers have the same keys; they read nothing but what is sent to a sandbox.
var (
	browserAuth = []byte("duebell sandbox.") // 16 bytes
	browserKey  = func() *ecdh.PrivateKey {
		scalar := sha256.Sum256(browserAuth)
		key, err := ecdh.P256().NewPrivateKey(scalar[:])
		if err != nil {
			panic(err)
		}
		return key
	}()
)

const (
	webPushMaxBytes = 4096
	// webPushLifetime is for how long a signature may be good: RFC 8292, section 2.
	webPushLifetime = 24 * time.Hour
)

var (
	webPushTopic   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	webPushUrgency = regexp.MustCompile(`^(very-low|low|normal|high)?$`)
)

// Subscription returns that of a browser of the sandbox that is served at the URL base. Browsers
// whose names begin with Unregistered have unsubscribed.
func Subscription(base, browser string) subscription.Subscription {
	encode := base64.RawURLEncoding.EncodeToString
	return subscription.Subscription{
		Endpoint: base + WebPushPath + "/" + browser,
		Keys:     subscription.Keys{P256dh: encode(browserKey.PublicKey().Bytes()), Auth: encode(browserAuth)},
	}
}

func webPushComplain(w http.ResponseWriter, status int, message string) {
	http.Error(w, message, status)
}

func (s *Sandbox) serveWebPush(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	browser := strings.TrimPrefix(r.URL.Path, "/")
	if browser == "" || strings.Contains(browser, "/") || r.Method != http.MethodPost {
		webPushComplain(w, http.StatusNotFound, "There is no such push resource.")
		return
	}
	if strings.HasPrefix(browser, Unregistered) {
		webPushComplain(w, http.StatusGone, "The browser has unsubscribed.")
		return
	}
	if wrong := vapidProblem(r.Header.Get("Authorization"), "http://"+r.Host); wrong != "" {
		webPushComplain(w, http.StatusForbidden, wrong)
		return
	}
	if wrong := webPushProblem(r.Header); wrong != "" {
		webPushComplain(w, http.StatusBadRequest, wrong)
		return
	}
	message, err := subscription.Decrypt(body, browserKey, browserAuth)
	if err != nil { // a real service can't know
		webPushComplain(w, http.StatusBadRequest, "The browser can't read it: "+err.Error())
		return
	}
	var shown struct {
		DeliveryID  string `json:"delivery_id"`
		Title, Body string
	}
	if err := json.Unmarshal(message, &shown); err != nil || shown.Title == "" {
		webPushComplain(w, http.StatusBadRequest, "The page can't read it: it is no JSON with a title.")
		return
	}
	s.accept(r, f, Message{Provider: WebPush, To: "http://" + r.Host + r.RequestURI, Subject: shown.Title, Body: shown.Body, DeliveryID: shown.DeliveryID})
	w.Header().Set("Location", "http://"+r.Host+WebPushPath+"/messages/"+hexadecimal())
	w.WriteHeader(http.StatusCreated)
}

// webPushProblem returns what is wrong with the headers of RFC 8030 and 8188, or "".
func webPushProblem(header http.Header) string {
	_, err := strconv.ParseUint(header.Get("TTL"), 10, 31)
	topic, topics := header.Get("Topic"), len(header.Values("Topic"))
	switch {
	case err != nil:
		return "TTL must be a number of seconds."
	case header.Get("Content-Encoding") != "aes128gcm":
		return "Content-Encoding must be aes128gcm."
	case !webPushUrgency.MatchString(header.Get("Urgency")):
		return "Urgency must be very-low, low, normal or high."
	case topics > 0 && !webPushTopic.MatchString(topic):
		return "Topic must be up to 32 characters of base64url."
	}
	return ""
}

// vapidProblem returns what is wrong with an Authorization header, or "". A real service also
// knows for which key the browser has subscribed.
func vapidProblem(authorization, origin string) string {
	parameters, found := strings.CutPrefix(authorization, "vapid ")
	values := map[string]string{}
	for parameter := range strings.SplitSeq(parameters, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		values[name] = value
	}
	point, err := base64.RawURLEncoding.DecodeString(values["k"])
	if !found || err != nil {
		return "Authorization must be vapid, with t and k."
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return "k must be a public key of P-256."
	}
	signed, err := jose.ParseSigned(values["t"], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "t must be a JWT with ES256."
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return "The JWT is signed with another key."
	}
	var claims struct {
		Aud, Sub string
		Exp      float64
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "The JWT's claims can't be read."
	}
	left := time.Until(time.Unix(int64(claims.Exp), 0))
	switch {
	case claims.Aud != origin:
		return "aud must be " + origin + "."
	case left <= 0 || left > webPushLifetime:
		return "exp must be within 24 hours."
	case !strings.HasPrefix(claims.Sub, "mailto:") && !strings.HasPrefix(claims.Sub, "https:"):
		return "sub must be a mailto: or https: URI."
	}
	return ""
}
