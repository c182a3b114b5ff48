// Package subscription is what a browser hands out so that it can be sent messages: an address
// at its push service, and keys by which it alone can read them. The messages are encrypted as
// RFC 8291 says, in one record of RFC 8188.
package subscription

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/duebell/duebell/shared/fault"
)

// MaxPlaintext is how many bytes a message may have: a push service takes 4,096 encrypted ones.
const MaxPlaintext = maxRecord - headerSize - 1 - tagSize

const (
	maxRecord  = 4096
	saltSize   = 16
	pointSize  = 65 // of P-256, uncompressed
	headerSize = saltSize + 4 + 1 + pointSize
	authSize   = 16
	tagSize    = 16
	lastRecord = 2 // what follows the plaintext of a record that none follows
)

// Subscription is what PushManager.subscribe returns. Whoever knows the endpoint can have the
// browser be sent to by whoever has the VAPID key, and whoever knows the keys can write to it:
// none of it is to be shown.
type Subscription struct {
	Endpoint string `json:"endpoint"`
	Keys     Keys   `json:"keys"`
}

// Keys are a subscription's, in base64url without padding.
type Keys struct {
	P256dh string `json:"p256dh"` // the browser's public key
	Auth   string `json:"auth"`   // a secret that only the browser and the sender know
}

// String hides what the subscription holds.
func (Subscription) String() string { return "***" }

// GoString hides what the subscription holds.
func (Subscription) GoString() string { return "***" }

// ID names the subscription without showing what it holds: the same endpoint has the same ID.
func (s Subscription) ID() string { return ID("webpush", s.Endpoint) }

// ID is the first half of the SHA-256 of a provider's name, a colon and an address at it, in
// hexadecimal.
func ID(provider, address string) string {
	hash := sha256.Sum256([]byte(provider + ":" + address))
	return hex.EncodeToString(hash[:16])
}

// Check checks the keys, and writes them as Keys has them. The error is a fault with code
// invalid. What the endpoint may be is the caller's affair.
func (s *Subscription) Check() error {
	// Some libraries write base64 as e-mail does, and with padding.
	plain := strings.NewReplacer("+", "-", "/", "_", "=", "")
	keys := Keys{plain.Replace(s.Keys.P256dh), plain.Replace(s.Keys.Auth)}
	if _, err := keys.public(); err != nil {
		return fault.Invalid("devices: subscription.keys.p256dh must be the base64url of the browser's public key, a point of P-256 in %d bytes; send what subscription.toJSON() gives", pointSize)
	}
	if _, err := keys.auth(); err != nil {
		return fault.Invalid("devices: subscription.keys.auth must be the base64url of %d bytes; send what subscription.toJSON() gives", authSize)
	}
	s.Keys = keys
	return nil
}

func (k Keys) public() (*ecdh.PublicKey, error) {
	point, err := decode(k.P256dh, pointSize)
	if err != nil {
		return nil, err
	}
	return ecdh.P256().NewPublicKey(point)
}

func (k Keys) auth() ([]byte, error) { return decode(k.Auth, authSize) }

// decode reads the base64url of so many bytes.
func decode(text string, size int) ([]byte, error) {
	if len(text) != base64.RawURLEncoding.EncodedLen(size) || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, errors.New("wrong length")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

// Encrypt returns a message as the body of a request to the push service, with the content
// coding aes128gcm. The keys must have been checked.
func (s Subscription) Encrypt(message []byte) ([]byte, error) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	return s.encrypt(message, own, salt)
}

func (s Subscription) encrypt(message []byte, own *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	if len(message) > MaxPlaintext {
		return nil, errors.New("the message is too long to be sent")
	}
	browser, err := s.Keys.public()
	if err != nil {
		return nil, err
	}
	auth, err := s.Keys.auth()
	if err != nil {
		return nil, err
	}
	shared, err := own.ECDH(browser)
	if err != nil {
		return nil, err
	}
	seal, nonce, err := derive(shared, auth, browser, own.PublicKey(), salt)
	if err != nil {
		return nil, err
	}
	body := binary.BigEndian.AppendUint32(bytes.Clone(salt), maxRecord)
	body = append(append(body, pointSize), own.PublicKey().Bytes()...)
	return seal.Seal(body, nonce, append(bytes.Clone(message), lastRecord), nil), nil
}

// Decrypt returns the message of a request's body, as a browser does that has subscribed with a
// private key and an auth secret.
func Decrypt(body []byte, browser *ecdh.PrivateKey, auth []byte) ([]byte, error) {
	if len(body) < headerSize || body[saltSize+4] != pointSize {
		return nil, errors.New("the body does not begin with a salt, a record size and a public key")
	}
	salt, record := body[:saltSize], body[headerSize:]
	if size := binary.BigEndian.Uint32(body[saltSize:]); uint64(len(record)) > uint64(size) {
		return nil, errors.New("the body has more than one record")
	}
	sender, err := ecdh.P256().NewPublicKey(body[saltSize+5 : headerSize])
	if err != nil {
		return nil, errors.New("the sender's public key is none")
	}
	shared, err := browser.ECDH(sender)
	if err != nil {
		return nil, err
	}
	open, nonce, err := derive(shared, auth, browser.PublicKey(), sender, salt)
	if err != nil {
		return nil, err
	}
	plain, err := open.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, errors.New("it is encrypted for somebody else, or was changed")
	}
	plain = bytes.TrimRight(plain, "\x00")
	message, found := bytes.CutSuffix(plain, []byte{lastRecord})
	if !found {
		return nil, errors.New("the record is not the last one")
	}
	return message, nil
}

// derive returns what the one record is encrypted with (RFC 8291, section 3.4).
func derive(shared, auth []byte, browser, sender *ecdh.PublicKey, salt []byte) (cipher.AEAD, []byte, error) {
	info := "WebPush: info\x00" + string(browser.Bytes()) + string(sender.Bytes())
	ikm, err := hkdf.Key(sha256.New, shared, auth, info, 32)
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	gcm, err := cipher.NewGCM(block)
	return gcm, nonce, err
}
