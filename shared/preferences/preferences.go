// Package preferences holds the rules for what users choose: on which channels
// they are told, where to, and in which time zone. Like package task it knows no
// database and no HTTP.
package preferences

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/task"
)

// Preferences are what one user has chosen.
type Preferences struct {
	TimeZone string // an IANA name, such as Europe/Paris; "" until one is chosen
	// AllDayAt is the time of day that an all-day due date counts as.
	AllDayAt time.Duration
	// DefaultReminders are those of tasks that name none; nil: one, at the due date.
	DefaultReminders []task.Offset
	// QuietHours are when nothing is sent on external channels but what is urgent, by the clocks of
	// TimeZone.
	QuietHours quiet.Hours
	// ClockVersion grows by one with every change of TimeZone or AllDayAt. Storing them counts it.
	ClockVersion int64
	// Bundle is what is gathered to go out as one message; empty: nothing is.
	Bundle Bundle
	// Agenda is the user's agenda; nil: the user wants none. It is not read for firing reminders.
	Agenda   *Agenda
	Language string // a BCP 47 tag, such as en or pt-BR
	// Channels are those that are on, in the order of task.Channels.
	Channels []task.Channel
	// Emails are as the user wrote them; each e-mail carries a link by which who gets it
	// stops it. None: the verified address of the sign-in.
	Emails []string
	Phones []string // as E.164 says: +15551234567
	// Verified are those of Emails and Phones whose owners have agreed to be written to.
	// Grace are those that were there before owners were asked: they are written to until
	// their grace is over. To the others nothing is sent but what asks their owners.
	Verified, Grace []string
	Devices         []Device
	Webhook         *Webhook
	// Unsubscribed says that e-mail was switched off by the link in an e-mail, before
	// addresses were suppressed by it. Then tasks can't ask for it either, until the user
	// switches it on again.
	Unsubscribed bool
	// Version grows by one with every change. 0: nothing is stored, these are
	// the defaults.
	Version int64
}

// Device is an app on a phone that takes push messages, or a browser. An app's token only says
// where to; nobody can send with it who doesn't have the provider's key. So its
// user may see it again. A browser's subscription is never shown.
type Device struct {
	Provider string `json:"provider"`
	// Token is an app's. A browser's is the origin of its subscription's endpoint and the
	// subscription's ID, like https://push.example.com/0123456789abcdef0123456789abcdef.
	Token string `json:"token"`
	// Subscription is a browser's, nil for apps. A browser without one that is to be saved is one
	// on record, which the last part of its token names; see KeepSubscriptions.
	Subscription *subscription.Subscription `json:"subscription,omitempty"`
}

// WebPush is the provider of browsers.
const WebPush = "webpush"

// NewBrowser returns the device that a subscription is of.
func NewBrowser(s subscription.Subscription) Device {
	origin := ""
	if u, err := url.Parse(s.Endpoint); err == nil {
		origin = u.Scheme + "://" + u.Host
	}
	return Device{WebPush, origin + "/" + s.ID(), &s}
}

// String is the device as a delivery's target: "fcm:token".
func (d Device) String() string { return d.Provider + ":" + d.Token }

// ID names the device among its user's, without showing where it is.
func (d Device) ID() string {
	if d.Provider == WebPush {
		return d.Token[strings.LastIndexByte(d.Token, '/')+1:]
	}
	return subscription.ID(d.Provider, d.Token)
}

// KeepSubscriptions puts in place of browsers without a subscription those that were on record
// under their IDs. The error is a fault with code invalid if there is none.
func (p *Preferences) KeepSubscriptions(earlier Preferences) (err error) {
	devices := slices.Clone(p.Devices)
	for i, d := range devices {
		if d.Provider != WebPush || d.Subscription != nil {
			continue
		}
		at := slices.IndexFunc(earlier.Devices, func(other Device) bool { return other.Provider == WebPush && other.ID() == d.ID() })
		if at < 0 {
			return fault.Invalid("devices: there is no webpush device with id %.40q; leave it out, or send its whole subscription", d.ID())
		}
		devices[i] = earlier.Devices[at]
	}
	p.Devices, err = checkList("devices", devices, MaxDevices, Device.String, func(Device) error { return nil })
	return err
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
	// Links says that the posts carry links by which their receiver acts on the task.
	Links bool
	// Gone says that the address answered that it is no longer there (410). Then tasks
	// can't ask for it either, until the user switches it on again.
	Gone bool
}

// Default returns the preferences of users who have stored none. hasAddress says
// whether their sign-in has a verified e-mail address.
func Default(hasAddress bool) Preferences {
	return Preferences{AllDayAt: task.DefaultAllDayAt, Language: "en", Channels: DefaultChannels(hasAddress)}
}

// DefaultChannels are those that are on by default: in-app, and e-mail if there
// is a verified address to write to.
func DefaultChannels(hasAddress bool) []task.Channel {
	if hasAddress {
		return []task.Channel{task.InApp, task.Email}
	}
	return []task.Channel{task.InApp}
}

// Habits are what of a user's preferences new tasks are planned by.
type Habits struct {
	Clock task.Clock
	// Reminders are those of tasks that name none.
	Reminders []task.Offset
}

// Habits returns what of the preferences new tasks are planned by.
func (p Preferences) Habits() Habits {
	h := Habits{task.Clock{Zone: p.TimeZone, AllDayAt: p.AllDayAt, Version: p.ClockVersion}, p.DefaultReminders}
	if h.Reminders == nil {
		h.Reminders = task.DefaultBefore()
	}
	return h
}

// On reports whether a channel is on.
func (p Preferences) On(c task.Channel) bool { return slices.Contains(p.Channels, c) }

// Targets returns where an external channel reaches the user, in the form of a delivery's target: nowhere, if
// the user has unsubscribed or the webhook is gone. signIn is the verified address of the sign-in, nil if there is none:
// e-mail goes there unless the preferences name addresses.
func (p Preferences) Targets(c task.Channel, signIn *string) (targets []string) {
	switch {
	case c == task.Email && p.Unsubscribed:
	case c == task.Email && len(p.Emails) == 0 && signIn != nil:
		targets = []string{*signIn}
	case c == task.Email:
		targets = p.Emails
	case c == task.SMS:
		targets = p.Phones
	case c == task.Push:
		for _, d := range p.Devices {
			targets = append(targets, d.String())
		}
	case c == task.Webhook && p.Webhook != nil && !p.Webhook.Gone:
		targets = []string{p.Webhook.URL}
	}
	return targets
}

// Drop takes out a target that turned out to be no longer there, and reports whether
// that changed anything: a device goes, a webhook is switched off.
func (p *Preferences) Drop(c task.Channel, target string) (changed bool) {
	switch {
	case c == task.Push:
		before := len(p.Devices)
		p.Devices = slices.DeleteFunc(slices.Clone(p.Devices), func(d Device) bool { return d.String() == target })
		return len(p.Devices) < before
	case c == task.Webhook && p.Webhook != nil && p.Webhook.URL == target && !p.Webhook.Gone:
		gone := *p.Webhook
		gone.Gone = true
		p.Webhook = &gone
		p.Channels = without(p.Channels, task.Webhook)
		return true
	default:
		return false
	}
}

// Follow keeps what a change of preferences can't undo, when they replace earlier ones: that
// e-mail was stopped, and that the webhook is gone, until the user switches them on by name;
// and which addresses are verified. E-mail that was stopped by its reader has no grace any more:
// switched on again, it goes where the owner has agreed.
func (p *Preferences) Follow(earlier Preferences) {
	p.Unsubscribed = earlier.Unsubscribed && !p.On(task.Email)
	if p.Webhook != nil && earlier.Webhook != nil {
		p.Webhook.Gone = earlier.Webhook.Gone && p.Webhook.URL == earlier.Webhook.URL && !p.On(task.Webhook)
	}
	if earlier.Unsubscribed { // the owner of one of them has said stop
		earlier.Grace = earlier.Asked()
	}
	p.keepStates(earlier)
	p.Version = earlier.Version + 1
}

func without(channels []task.Channel, c task.Channel) []task.Channel {
	return slices.DeleteFunc(slices.Clone(channels), func(other task.Channel) bool { return other == c })
}
