// Package preferences holds the rules for what users choose: on which channels
// they are told, where to, and in which time zone. Like package task it knows no
// database and no HTTP.
package preferences

import (
	"slices"
	"strings"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/task"
)

// Preferences are what one user has chosen.
type Preferences struct {
	TimeZone string // an IANA name, such as Europe/Paris
	Language string // a BCP 47 tag, such as en or pt-BR
	// Channels are those that are on, in the order of task.Channels.
	Channels []task.Channel
	// Emails are as the user wrote them; nobody has verified that they are the
	// user's, so each e-mail carries a link that stops it. None: the verified
	// address of the sign-in.
	Emails  []string
	Phones  []string // as E.164 says: +15551234567
	Devices []Device
	Webhook *Webhook
	// Unsubscribed says that e-mail was switched off by the link in an e-mail.
	// Then tasks can't ask for it either, until the user switches it on again.
	Unsubscribed bool
	// Version grows by one with every change. 0: nothing is stored, these are
	// the defaults.
	Version int64
}

// Device is an app on a phone that takes push messages. Its token only says
// where to; nobody can send with it who doesn't have the provider's key. So its
// user may see it again.
type Device struct {
	Provider string `json:"provider"`
	Token    string `json:"token"`
}

// Webhook is an address that reminders are posted to.
type Webhook struct {
	URL string
	// Secret is what the posts are signed with, as Standard Webhooks say. Without
	// one they are not signed.
	Secret config.Secret
	// KeepSecret is for saving: the secret that is on record for the same URL
	// stays.
	KeepSecret bool
}

// Default returns the preferences of users who have stored none. hasAddress says
// whether their sign-in has a verified e-mail address.
func Default(hasAddress bool) Preferences {
	return Preferences{TimeZone: "UTC", Language: "en", Channels: DefaultChannels(hasAddress)}
}

// DefaultChannels are those that are on by default: in-app, and e-mail if there
// is a verified address to write to.
func DefaultChannels(hasAddress bool) []task.Channel {
	if hasAddress {
		return []task.Channel{task.InApp, task.Email}
	}
	return []task.Channel{task.InApp}
}

// On reports whether a channel is on.
func (p Preferences) On(c task.Channel) bool { return slices.Contains(p.Channels, c) }

// Unsubscribe stops e-mail to an address, and reports whether that changed
// anything. The address is taken off the list; if none is left there, or it is
// the one of the user's sign-in, e-mail is switched off.
func (p *Preferences) Unsubscribe(address string, signIn *string) (changed bool) {
	same := func(other string) bool { return strings.EqualFold(other, address) }
	listed := slices.ContainsFunc(p.Emails, same)
	owned := signIn != nil && same(*signIn)
	if listed {
		p.Emails = slices.DeleteFunc(slices.Clone(p.Emails), same)
	}
	if owned || (listed && len(p.Emails) == 0) {
		changed = !p.Unsubscribed
		p.Unsubscribed = true
		p.Channels = slices.DeleteFunc(slices.Clone(p.Channels), func(c task.Channel) bool { return c == task.Email })
	}
	return changed || listed
}
