// Package suppress says what stands for an address in the list of those that get nothing
// more from anybody: a hash with a key, so that the list names nobody. It is the one place
// where an address becomes such a hash.
package suppress

import (
	"errors"
	"slices"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
)

const minKey = 32 // characters

// purpose is hashed along, so that the key's hashes are good for nothing else.
const purpose = "duebell:suppression:1\x00"

// Keys make hashes. The first makes those that are stored; what was stored by any is found.
type Keys struct {
	Keys []config.Secret `env:"SUPPRESSION_KEY" help:"the key of the hashes of suppressed addresses, at least 32 characters; to change it, the new one, a comma and every old one: addresses that were hashed with a key that is left out get messages again"`
}

// Validate reports what is wrong with the configuration.
func (k Keys) Validate() error {
	for _, key := range k.Keys {
		if len(key) < minKey {
			return errors.New("SUPPRESSION_KEY must have at least 32 characters, each of several keys; make one with: openssl rand -hex 32")
		}
	}
	return nil
}

// Enabled reports whether there is a key. Without one nothing can be suppressed.
func (k Keys) Enabled() bool { return len(k.Keys) > 0 }

// Needed reports that there is no key although there is one of unsubscribe links: what these
// stop could not be remembered.
func (k Keys) Needed(unsubscribe []config.Secret) error {
	if len(unsubscribe) > 0 && !k.Enabled() {
		return errors.New("SUPPRESSION_KEY is missing: it goes together with UNSUBSCRIBE_KEY; make one with: openssl rand -hex 32")
	}
	return nil
}

// Applies reports whether the addresses of a channel can be suppressed.
func Applies(channel task.Channel) bool { return channel == task.Email || channel == task.SMS }

// Address is what stands for an address in the list: hashes by each key. The zero value is
// that of an address that can't be suppressed, or for want of a key.
type Address struct {
	// Mailbox is the same for all addresses that lead, or are likely to lead, to one mailbox or
	// phone: what its owner stops under one of them is stopped under all.
	Mailbox [][]byte
	// Exact is the same only for spellings of one address: its owner alone lifts what was
	// suppressed under it. Somewhere else what follows a + may be somebody else's.
	Exact [][]byte
}

// Any is what an address may be suppressed by: its mailbox, or it alone.
func (a Address) Any() [][]byte { return slices.Concat(a.Mailbox, a.Exact) }

// Short is what stands for the mailbox where verifications are counted and refused: the
// beginnings of its hashes.
func (a Address) Short() (hashes [][]byte) {
	for _, hash := range a.Mailbox {
		hashes = append(hashes, hash[:16])
	}
	return hashes
}

// Hashes returns what stands for an address of a channel.
func (k Keys) Hashes(channel task.Channel, address string) Address {
	if !Applies(channel) {
		return Address{}
	}
	return Address{
		Mailbox: k.hashes("mailbox", channel, preferences.Mailbox(address)),
		Exact:   k.hashes("exact", channel, preferences.AddressKey(address)),
	}
}

func (k Keys) hashes(kind string, channel task.Channel, text string) (hashes [][]byte) {
	for _, key := range k.Keys {
		hashes = append(hashes, key.MAC(purpose, []byte(kind+"\x00"+string(channel)+"\x00"+text)))
	}
	return hashes
}

// Counter is what stands for an address where messages to it are counted: the same for all that
// lead to one mailbox or phone, and good for nothing else. It is the latest key's, so counts
// begin anew when that changes; without a key, who has the database can try addresses.
func (k Keys) Counter(channel task.Channel, address string) []byte {
	if !k.Enabled() {
		k.Keys = []config.Secret{""}
	}
	return k.hashes("count", channel, preferences.Mailbox(address))[0][:16]
}

// Channel says on which channel an address is reached: an e-mail address, or a phone number
// as E.164 says. The error is a fault with code invalid.
func Channel(address string) (task.Channel, error) {
	if preferences.ChannelOf(address) == task.Email {
		if _, err := preferences.ASCIIAddress(address); err != nil {
			return "", fault.Invalid("address: %.40q %v", address, err)
		}
		return task.Email, nil
	}
	if !preferences.IsPhone(address) {
		return "", fault.Invalid("address: %.40q is neither an e-mail address nor a number with its country code; write it like ada@example.com or +15551234567", address)
	}
	return task.SMS, nil
}
