// Package unsubscribe makes and checks the links by which a recipient of e-mail
// stops it without signing in (RFC 8058). A link says by itself, under a
// signature, whose e-mail to which address it stops, so nothing is stored for
// it, and it does not expire: an e-mail may be years old.
package unsubscribe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/duebell/duebell/shared/config"
)

const (
	// Path is where the links lead to.
	Path = "/api/unsubscribe"

	// maxToken bounds what is looked at: a user's ID has 1,020 bytes at most, an
	// address 1,280.
	maxToken = 4096
)

// purpose is signed along, so that the key's signatures are good for nothing
// else.
const purpose = "duebell:unsubscribe:email:1\x00"

// Keys sign links and check them. The first signs, each checks.
type Keys struct {
	Keys []config.Secret `env:"UNSUBSCRIBE_KEY" help:"the key that signs unsubscribe links, at least 32 characters; to change it, the new one, a comma and the old one"`
}

// Validate reports what is wrong with the configuration.
func (k Keys) Validate() error { return config.ValidateKeys("UNSUBSCRIBE_KEY", k.Keys) }

// Token names a user and an address, signed. There must be a key.
func (k Keys) Token(userID, address string) string {
	payload := binary.AppendUvarint(nil, uint64(len(userID)))
	payload = append(append(payload, userID...), address...)
	return base64.RawURLEncoding.EncodeToString(append(k.Keys[0].MAC(purpose, payload), payload...))
}

// Open returns the user and the address that a token names; ok is false unless
// one of the keys has signed it.
func (k Keys) Open(token string) (userID, address string, ok bool) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // which the decoder skips
		return "", "", false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return "", "", false
	}
	signature, payload := raw[:sha256.Size], raw[sha256.Size:]
	for _, key := range k.Keys {
		if hmac.Equal(signature, key.MAC(purpose, payload)) {
			ok = true
		}
	}
	length, n := binary.Uvarint(payload)
	if !ok || n <= 0 || length > uint64(len(payload)-n) {
		return "", "", false
	}
	rest := string(payload[n:])
	return rest[:length], rest[length:], true
}

// Config is what e-mails need to have a link.
type Config struct {
	PublicURL string `env:"PUBLIC_URL" help:"the URL at which recipients and providers reach Duebell's API, like https://api.example.com, for the links in messages and Twilio's reports"`
	Keys
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	problems := []error{c.Keys.Validate()}
	switch {
	case c.PublicURL == "" && len(c.Keys.Keys) > 0:
		problems = append(problems, errors.New("PUBLIC_URL is missing: it goes together with UNSUBSCRIBE_KEY"))
	case c.PublicURL != "" && len(c.Keys.Keys) == 0:
		problems = append(problems, errors.New("UNSUBSCRIBE_KEY is missing: it goes together with PUBLIC_URL"))
	}
	if c.PublicURL != "" && !isPublicURL(c.PublicURL) {
		problems = append(problems, errors.New("PUBLIC_URL must be an https URL without user, query or fragment; http is for this machine (localhost)"))
	}
	return errors.Join(problems...)
}

func isPublicURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(s, "?#<> ") {
		return false
	}
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	return u.Scheme == "https" || (u.Scheme == "http" && local)
}

// Link returns the link that stops a user's e-mail to an address, or "" if links
// are not configured.
func (c Config) Link(userID, address string) string {
	if c.PublicURL == "" || len(c.Keys.Keys) == 0 {
		return ""
	}
	return strings.TrimRight(c.PublicURL, "/") + Path + "?token=" + c.Token(userID, address)
}
