package preferences

import (
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/duebell/duebell/shared/task"
)

// AddressState says whether an address may be written to.
type AddressState string

// The states.
const (
	Verified   AddressState = "verified"   // its owner has agreed
	Unverified AddressState = "unverified" // nobody has, yet
	// Suppressed goes before both: nothing is sent there, from anybody, until its owner undoes that.
	Suppressed AddressState = "suppressed"
)

// UnverifiedProblem is what the delivery log says of a reminder that is not sent because its
// address is not verified.
const UnverifiedProblem = "this address is not verified: its owner has to agree first, by the link or the code in the message that was sent there"

// Addresses are the e-mail addresses and phone numbers that are listed.
func (p Preferences) Addresses() []string { return slices.Concat(p.Emails, p.Phones) }

// State is that of an address as it is listed, or of the sign-in's, which needs no
// verification.
func (p Preferences) State(address string, signIn *string) AddressState {
	if slices.Contains(p.Verified, address) || isSignIn(address, signIn) {
		return Verified
	}
	return Unverified
}

// MayReceive reports whether reminders may be sent to an address as it is listed, or to the
// sign-in's: one that is verified, or still in grace.
func (p Preferences) MayReceive(address string, signIn *string) bool {
	return p.State(address, signIn) == Verified || slices.Contains(p.Grace, address)
}

// Asked are those of the addresses in grace whose owners are asked to verify them: all, but
// for e-mail addresses while e-mail is stopped by who reads it.
func (p Preferences) Asked() []string {
	return slices.DeleteFunc(slices.Clone(p.Grace), func(address string) bool { return p.Unsubscribed && ChannelOf(address) == task.Email })
}

func isSignIn(address string, signIn *string) bool {
	return signIn != nil && (address == *signIn || AddressKey(address) == AddressKey(*signIn))
}

// Listed returns an address as it is listed, however it is written here; "" if it is not.
func (p Preferences) Listed(address string) string {
	for _, listed := range p.Addresses() {
		if listed == address || AddressKey(listed) == AddressKey(address) {
			return listed
		}
	}
	return ""
}

// Verify has a listed address be verified.
func (p *Preferences) Verify(address string) {
	if !slices.Contains(p.Verified, address) {
		p.Verified = append(slices.Clone(p.Verified), address)
	}
	p.Grace = slices.DeleteFunc(slices.Clone(p.Grace), func(other string) bool { return other == address })
}

// keepStates has the addresses that were listed before keep their states, however they are
// written now.
func (p *Preferences) keepStates(earlier Preferences) {
	p.Verified, p.Grace = nil, nil
	for _, address := range p.Addresses() {
		before := earlier.Listed(address)
		switch {
		case slices.Contains(earlier.Verified, before):
			p.Verified = append(p.Verified, address)
		case slices.Contains(earlier.Grace, before):
			p.Grace = append(p.Grace, address)
		}
	}
}

// ListedOnly returns those of some addresses that are listed.
func (p Preferences) ListedOnly(addresses []string) []string {
	all := p.Addresses()
	return slices.DeleteFunc(slices.Clone(addresses), func(address string) bool { return !slices.Contains(all, address) })
}

// gmail are domains whose mailboxes are the same with dots in their names and without.
var gmail = []string{"gmail.com", "googlemail.com"}

// Mailbox is the same for addresses that lead, or are likely to lead, to one person: it is
// what limits count by. What follows a + before the @ is left out, and so are dots where
// they mean nothing; letters that differ in form only are one. It is coarser than AddressKey, and never to be written to.
func Mailbox(address string) string {
	key := AddressKey(address)
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return key
	}
	local, domain := strings.ToLower(norm.NFKC.String(key[:at])), key[at+1:]
	if tag := strings.IndexByte(local, '+'); tag > 0 {
		local = local[:tag]
	}
	if slices.Contains(gmail, domain) {
		local, domain = strings.ReplaceAll(local, ".", ""), gmail[0]
	}
	return local + "@" + domain
}
