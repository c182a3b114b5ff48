// Package vapid tells push services who sends (RFC 8292, Voluntary Application Server
// Identification). A browser subscribes for one public key, and its push service takes messages
// for that subscription only if they are signed with the private key that belongs to it.
package vapid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/duebell/duebell/shared/config"
)

// lasts is how long a signature is good for. Push services refuse more than 24 hours; half of
// that leaves room for clocks that differ.
const lasts = 12 * time.Hour

// Keys are the private keys. The first signs; browsers subscribe for its public key.
type Keys struct {
	Keys []config.Secret `env:"WEBPUSH_KEY" help:"the private key that signs Web Push messages, as duebell vapid prints it; without it Web Push is not used; to change it, the new one, a comma and the old one"`
}

// Public is the public key alone, for what tells pages what to subscribe for.
type Public struct {
	Key string `env:"WEBPUSH_PUBLIC_KEY" help:"the public key of WEBPUSH_KEY, of the newest if there are two, as duebell vapid prints it; browsers subscribe with it"`
}

// Validate reports what is wrong with the configuration.
func (p Public) Validate() error {
	if p.Key == "" {
		return nil
	}
	point, err := base64.RawURLEncoding.Strict().DecodeString(p.Key)
	if err == nil {
		_, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	}
	if err != nil {
		return errors.New("WEBPUSH_PUBLIC_KEY must be a public key of the curve P-256 in base64url, 87 characters, as duebell vapid prints it")
	}
	return nil
}

// Enabled reports whether there is a key.
func (k Keys) Enabled() bool { return len(k.Keys) > 0 }

// Validate reports what is wrong with the configuration.
func (k Keys) Validate() error {
	_, err := k.Open()
	return err
}

// Open returns the keys, the newest first. Its error does not repeat them.
func (k Keys) Open() ([]Key, error) {
	if len(k.Keys) > 2 {
		return nil, errors.New("WEBPUSH_KEY must be one key, or two: the new one, a comma and the old one")
	}
	opened := make([]Key, len(k.Keys))
	for i, secret := range k.Keys {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(secret.Reveal())
		if err != nil {
			return nil, errWrong
		}
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
		if err != nil {
			return nil, errWrong
		}
		if opened[i], err = keyOf(private); err != nil {
			return nil, errWrong
		}
	}
	return opened, nil
}

var errWrong = errors.New("WEBPUSH_KEY must be a private key of the curve P-256 in base64url, 43 characters, each of two keys; make one with: duebell vapid")

// Key is a key pair. It is safe for concurrent use.
type Key struct {
	// Public is the public key: the base64url of its uncompressed point.
	Public  string
	private *ecdsa.PrivateKey
}

func keyOf(private *ecdsa.PrivateKey) (Key, error) {
	point, err := private.PublicKey.Bytes()
	return Key{base64.RawURLEncoding.EncodeToString(point), private}, err
}

// New makes a key pair.
func New() (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, err
	}
	return keyOf(private)
}

// Private returns the private key, as WEBPUSH_KEY takes it.
func (k Key) Private() (config.Secret, error) {
	raw, err := k.private.Bytes()
	return config.Secret(base64.RawURLEncoding.EncodeToString(raw)), err
}

// Authorization returns the value of the header Authorization for a request to a push service:
// origin is the service's, like https://push.example.com, and subject is where its operators
// reach the sender's.
func (k Key) Authorization(origin, subject string, now time.Time) (config.Secret, error) {
	claims, err := json.Marshal(map[string]any{"aud": origin, "exp": now.Add(lasts).Unix(), "sub": subject})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	hash := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, hash[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	var signature [64]byte // RFC 7518, section 3.4
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return config.Secret("vapid t=" + signed + "." + base64.RawURLEncoding.EncodeToString(signature[:]) + ", k=" + k.Public), nil
}
