// Package link makes and checks the links in messages: done, snooze, acknowledge. A reader follows
// them without signing in. A link's token holds what it may do, to which occurrence of which task
// of which user, and until when. The token is signed, so nothing is stored for it.
//
// Whoever has a link can do what it allows, and nothing else.
package link

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/wallclock"
)

const (
	// Prefix is the beginning of a link's path. The token follows.
	Prefix = "/m/"
	// Lasts is how long a link is valid.
	Lasts = 30 * 24 * time.Hour

	maxToken = 100 // characters, the most
	macSize  = 12  // bytes
	ofSize   = 8   // bytes
)

// Each use of a key signs another label, so a value made for one use is invalid for all others.
const (
	purposeLink = "duebell:link:1\x00"
	purposeOf   = "duebell:link:of:1\x00"
)

// Keys sign links and check them. The first one signs, and all check.
type Keys struct {
	Keys []config.Secret `env:"LINK_KEY" help:"the key that signs the links to act on a task in messages, at least 32 characters; without it messages have no such links; to change it, the new one, a comma and the old one"`
}

// Validate reports what is wrong with the configuration.
func (k Keys) Validate() error { return config.ValidateKeys("LINK_KEY", k.Keys) }

// Purpose is the set of actions that a link allows.
type Purpose byte

// The actions.
const (
	Done Purpose = 1 << iota
	Snooze
	Acknowledge
	// Any allows all actions. It is for messages that have room for one link.
	Any = Done | Snooze | Acknowledge
)

// May reports whether the purpose allows an action.
func (p Purpose) May(action Purpose) bool { return action != 0 && p&action == action }

// Link is the content of a token.
type Link struct {
	Purpose    Purpose
	ReminderID uuid.UUID
	// Revision is the reminder's.
	Revision int64
	// Series and Occurrence are those of a recurring task; 0 and nil for others.
	Series     int64
	Occurrence *wallclock.Time
	// Expires is when the link expires: a full hour.
	Expires time.Time

	of []byte // hash of its user and task
}

// Token returns a signed token for a user's task. It is valid for [Lasts], rounded up to a full
// hour, so a message that is sent again soon has the same link. There must be a key.
//
// The token has only a keyed hash of the user and the task. So it is short enough for a text
// message, and does not show who the user is.
func (k Keys) Token(l Link, userID string, taskID uuid.UUID, now time.Time) string {
	const hour = int64(time.Hour / time.Second)
	payload := append([]byte{byte(l.Purpose)}, l.ReminderID[:]...)
	payload = binary.AppendUvarint(payload, uint64(l.Revision))
	payload = binary.AppendUvarint(payload, uint64(l.Series))
	payload = binary.AppendUvarint(payload, uint64((now.Add(Lasts).Unix()+hour-1)/hour))
	if l.Occurrence == nil {
		payload = append(payload, 0)
	} else {
		payload = binary.AppendVarint(append(payload, 1), l.Occurrence.UTC().Unix())
	}
	payload = append(payload, of(k.Keys[0], userID, taskID)...)
	return base64.RawURLEncoding.EncodeToString(append(payload, k.Keys[0].MAC(purposeLink, payload)[:macSize]...))
}

func of(key config.Secret, userID string, taskID uuid.UUID) []byte {
	return key.MAC(purposeOf, append(taskID[:], userID...))[:ofSize]
}

// Open returns the content of a token. ok is false unless one of the keys has signed it. The caller
// checks Expires.
func (k Keys) Open(token string) (l Link, ok bool) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // the decoder skips line breaks
		return Link{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= macSize {
		return Link{}, false
	}
	payload, signature := raw[:len(raw)-macSize], raw[len(raw)-macSize:]
	for _, key := range k.Keys {
		if hmac.Equal(signature, key.MAC(purposeLink, payload)[:macSize]) {
			ok = true
		}
	}
	if !ok {
		return Link{}, false
	}
	return parse(payload)
}

// parse reads the payload that Token has signed.
func parse(payload []byte) (l Link, ok bool) {
	if len(payload) < 1+len(l.ReminderID) {
		return Link{}, false
	}
	l.Purpose, l.ReminderID = Purpose(payload[0]), uuid.UUID(payload[1:17])
	rest := payload[17:]
	var numbers [4]uint64 // revision, series, hour of expiry, whether there is an occurrence
	for i := range numbers {
		n := 0
		if numbers[i], n = binary.Uvarint(rest); n <= 0 {
			return Link{}, false
		}
		rest = rest[n:]
	}
	l.Revision, l.Series, l.Expires = int64(numbers[0]), int64(numbers[1]), time.Unix(int64(numbers[2])*3600, 0).UTC()
	if numbers[3] == 1 {
		seconds, n := binary.Varint(rest)
		if n <= 0 {
			return Link{}, false
		}
		local := wallclock.FromUTC(time.Unix(seconds, 0))
		l.Occurrence, rest = &local, rest[n:]
	}
	l.of = rest
	return l, len(rest) == ofSize
}

// IsOf reports whether an opened link is for this user and task.
func (k Keys) IsOf(l Link, userID string, taskID uuid.UUID) bool {
	for _, key := range k.Keys {
		if hmac.Equal(l.of, of(key, userID, taskID)) {
			return true
		}
	}
	return false
}

// Links make the links for messages. The zero value makes none.
type Links struct {
	PublicURL string // the address of Duebell's API for people
	Keys      Keys
}

// URL returns the link for a user's task; "" if links are not configured.
func (l Links) URL(of Link, userID string, taskID uuid.UUID, now time.Time) string {
	if l.PublicURL == "" || len(l.Keys.Keys) == 0 {
		return ""
	}
	return strings.TrimRight(l.PublicURL, "/") + Prefix + l.Keys.Token(of, userID, taskID, now)
}
