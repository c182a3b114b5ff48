// Package verify asks the owners of addresses whether they agree to be written to: it makes
// codes and links, plans the messages that carry them, and keeps to the limits.
//
// It promises that an address is sent [AddressDaily] such messages in a day and
// [AddressYearly] in a year at most, by all users together, and none after its owner has said
// "not me". What is counted and refused is a mailbox: an address without what follows a +. It
// is kept as a hash by the key of the list of suppressed addresses: that key is kept for good,
// while the one that signs codes and links can be changed at any time.
package verify

import (
	"crypto/hmac"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/suppress"
)

const (
	// Path is where links lead to by which owners agree.
	Path = "/api/verify"
	// NotMePath is where links lead to by which they say that it is not them.
	NotMePath = "/api/not-me"

	hashSize = 16 // bytes
	macSize  = 16 // bytes
)

// Keys make codes, links and hashes. The first makes them, each checks.
type Keys struct {
	Keys []config.Secret `env:"VERIFY_KEY" help:"the key of the codes and links by which owners of addresses agree to messages, at least 32 characters; without it no address can be verified; to change it, the new one, a comma and the old one"`
}

// Validate reports what is wrong with the configuration.
func (k Keys) Validate() error { return config.ValidateKeys("VERIFY_KEY", k.Keys) }

// Enabled reports whether there is a key.
func (k Keys) Enabled() bool { return len(k.Keys) > 0 }

// Each use of a key has a purpose of its own, so that what is made for one is good for no
// other.
const (
	purposeCode = "duebell:verify:code:1\x00"
	purposeLink = "duebell:verify:link:1\x00"
	purposeHash = "duebell:verify:hash:1\x00"
)

// Code returns the six digits of a verification. They are kept nowhere: they are a keyed hash
// of its id. There must be a key.
func (k Keys) Code(id uuid.UUID) string { return code(k.Keys[0], id) }

func code(key config.Secret, id uuid.UUID) string {
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(key.MAC(purposeCode, id[:]))%1_000_000)
}

// IsCode reports whether a text is a verification's code. It takes as long whatever the text.
func (k Keys) IsCode(id uuid.UUID, text string) bool {
	good := 0
	for _, key := range k.Keys {
		good |= subtle.ConstantTimeCompare([]byte(code(key, id)), []byte(text))
	}
	return good == 1
}

// AddressHashes returns what stands for an address's mailbox, by each key of the list of
// suppressed addresses.
func AddressHashes(list suppress.Keys, address string) (hashes [][]byte) {
	return list.Hashes(preferences.ChannelOf(address), address).Short()
}

// UserHashes returns what stands for a user.
func (k Keys) UserHashes(userID string) [][]byte { return k.hashes("user\x00" + userID) }

// NetworkHashes returns what stands for a network, as web.Network names it; nothing for "".
func (k Keys) NetworkHashes(network string) [][]byte {
	if network == "" {
		return nil
	}
	return k.hashes("network\x00" + network)
}

func (k Keys) hashes(of string) (hashes [][]byte) {
	for _, key := range k.Keys {
		hashes = append(hashes, key.MAC(purposeHash, []byte(of))[:hashSize])
	}
	return hashes
}

// Token names a verification and its address, signed. There must be a key.
func (k Keys) Token(id uuid.UUID, addressHash []byte) string {
	payload := slices.Concat(id[:], addressHash)
	return base64.RawURLEncoding.EncodeToString(append(payload, k.Keys[0].MAC(purposeLink, payload)[:macSize]...))
}

// Open returns what a token names; ok is false unless one of the keys has signed it.
func (k Keys) Open(token string) (id uuid.UUID, addressHash []byte, ok bool) {
	const size = len(id) + hashSize
	if strings.ContainsAny(token, "\r\n") { // which the decoder skips
		return id, nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != size+macSize {
		return id, nil, false
	}
	for _, key := range k.Keys {
		if hmac.Equal(raw[size:], key.MAC(purposeLink, raw[:size])[:macSize]) {
			ok = true
		}
	}
	return uuid.UUID(raw[:len(id)]), raw[len(id):size], ok
}

// Links make what a message asks an owner by. The zero value makes nothing.
type Links struct {
	PublicURL string // where owners reach Duebell's API
	Keys      Keys
}

// Message returns what a verification's message has to say; nil if links are not configured.
func (l Links) Message(id uuid.UUID, addressHash []byte) *notify.Verification {
	if l.PublicURL == "" || !l.Keys.Enabled() {
		return nil
	}
	at := func(path string) string {
		return strings.TrimRight(l.PublicURL, "/") + path + "?token=" + l.Keys.Token(id, addressHash)
	}
	return &notify.Verification{Code: l.Keys.Code(id), Link: at(Path), NotMe: at(NotMePath)}
}
