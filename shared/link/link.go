// Package link makes and checks the links in messages by which their reader acts on a task without
// signing in: marks it as done, snoozes it, acknowledges it. A link says by itself, under a signature, what
// it may do to which occurrence of which task of which user, and until when. So nothing is stored for it.
//
// Whoever holds a link can do what it says, and nothing else.
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
	// Prefix is what the links' path begins with. What follows it is the token.
	Prefix = "/m/"
	// Lasts is for how long a link is good.
	Lasts = 30 * 24 * time.Hour

	maxToken = 100 // characters: no token is longer
	macSize  = 12  // bytes
	ofSize   = 8   // bytes
)

// Each use of a key has a purpose of its own, so that what is made for one is good for no other.
const (
	purposeLink = "duebell:link:1\x00"
	purposeOf   = "duebell:link:of:1\x00"
)

// Keys sign links and check them. The first signs, each checks.
type Keys struct {
	Keys []config.Secret `env:"LINK_KEY" help:"the key that signs the links Done and Snooze in messages, at least 32 characters; without it messages have none; to change it, the new one, a comma and the old one"`
}

// Validate reports what is wrong with the configuration.
func (k Keys) Validate() error { return config.ValidateKeys("LINK_KEY", k.Keys) }

// Purpose is what a link may do: one action, or several.
type Purpose byte

// The actions.
const (
	Done Purpose = 1 << iota
	Snooze
	Acknowledge
	// Any may do whatever the page offers. It is for messages that have room for one link.
	Any = Done | Snooze | Acknowledge
)

// May reports whether a link of the purpose may do an action.
func (p Purpose) May(action Purpose) bool { return action != 0 && p&action == action }

// Link is what a link says.
type Link struct {
	Purpose    Purpose
	ReminderID uuid.UUID
	// Revision is that of the reminder that was told of.
	Revision int64
	// Series and Occurrence are those of a recurring task; 0 and nil for others.
	Series     int64
	Occurrence *wallclock.Time
	// Expires is when it stops being good: a whole hour.
	Expires time.Time

	of []byte // a hash of its user and its task
}

// Token returns a link about a user's task, signed. It is good for [Lasts] from now on, rounded up to a
// whole hour, so that a message which is sent again soon carries the same link. There must be a key.
//
// The user and the task are in it as a keyed hash only. So it is short enough for a text message, and tells
// nobody who the user is.
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

// Open returns what a token says; ok is false unless one of the keys has signed it. Whether it has
// expired is for the caller to see.
func (k Keys) Open(token string) (l Link, ok bool) {
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // which the decoder skips
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

// parse reads what Token has signed.
func parse(payload []byte) (l Link, ok bool) {
	if len(payload) < 1+len(l.ReminderID) {
		return Link{}, false
	}
	l.Purpose, l.ReminderID = Purpose(payload[0]), uuid.UUID(payload[1:17])
	rest := payload[17:]
	var numbers [4]uint64 // revision, series, hours, whether there is an occurrence
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

// IsOf reports whether an opened link is about a user's task.
func (k Keys) IsOf(l Link, userID string, taskID uuid.UUID) bool {
	for _, key := range k.Keys {
		if hmac.Equal(l.of, of(key, userID, taskID)) {
			return true
		}
	}
	return false
}

// Links make the links of messages. The zero value makes none.
type Links struct {
	PublicURL string // where people reach Duebell's API
	Keys      Keys
}

// URL returns the link about a user's task as a message has it; "" if links are not configured.
func (l Links) URL(of Link, userID string, taskID uuid.UUID, now time.Time) string {
	if l.PublicURL == "" || len(l.Keys.Keys) == 0 {
		return ""
	}
	return strings.TrimRight(l.PublicURL, "/") + Prefix + l.Keys.Token(of, userID, taskID, now)
}
