package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/subscription"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// maxBody has room for all that is allowed.
const maxBody = 256 << 10

// input is preferences going in. What is left out, or null, gets its default.
type input struct {
	TimeZone         *string                    `json:"time_zone"`
	AllDayAt         *string                    `json:"all_day_at"`
	DefaultReminders []string                   `json:"default_reminders"`
	QuietHours       []quiet.Window             `json:"quiet_hours"`
	Bundle           map[string]*string         `json:"bundle"`
	Agenda           *preferences.WrittenAgenda `json:"agenda"`
	Language         *string                    `json:"language"`
	Channels         switches                   `json:"channels"`
	Emails           []address                  `json:"emails"`
	Phones           []address                  `json:"phones"`
	Devices          []device                   `json:"devices"`
	Webhook          *struct {
		URL    string               `json:"url"`
		Secret web.Optional[string] `json:"secret"`
		Links  bool                 `json:"links"`
	} `json:"webhook"`
	PushKey jsontext.Value `json:"webpush_public_key"` // what GET gave
}

// address is an e-mail address or phone number, going in as a string or an object, and coming
// out as an object.
type address struct {
	Address string                   `json:"address"`
	State   preferences.AddressState `json:"state"`
	// Since is since when it is suppressed, nil if it is not.
	Since *time.Time `json:"suppressed_since,omitempty"`
	// vouched says that the caller answers for it.
	vouched bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (a *address) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() != '{' {
		return json.UnmarshalDecode(decoder, &a.Address)
	}
	var in struct {
		Address  string         `json:"address"`
		State    jsontext.Value `json:"state"`            // what GET gave
		Since    jsontext.Value `json:"suppressed_since"` // the same
		Verified *bool          `json:"verified"`
	}
	err := json.UnmarshalDecode(decoder, &in)
	a.Address, a.vouched = in.Address, in.Verified != nil && *in.Verified
	return err
}

// device is an app or a browser, going in and coming out.
type device struct {
	// ID names one on record. Going in it counts for a browser whose keys are left out: coming
	// out, they are.
	ID           string               `json:"id"`
	Provider     string               `json:"provider"`
	Token        string               `json:"token,omitzero"`
	Subscription *browserSubscription `json:"subscription,omitzero"`
}

// browserSubscription is a browser's subscription: going in as the browser itself writes it as JSON,
// and coming out with no more than whose push service it is at.
type browserSubscription struct {
	Endpoint string             `json:"endpoint"`
	Keys     *subscription.Keys `json:"keys,omitzero"`
	Expires  jsontext.Value     `json:"expirationTime,omitzero"` // no browser says when
}

// chosen returns the device, which is not checked yet.
func (d device) chosen() (preferences.Device, error) {
	none := preferences.Device{}
	switch {
	case d.Provider != preferences.WebPush && d.Subscription != nil:
		return none, fault.Invalid("devices: only provider \"webpush\" has a subscription; others have a token")
	case d.Provider != preferences.WebPush:
		return preferences.Device{Provider: d.Provider, Token: d.Token}, nil
	case d.Token != "":
		return none, fault.Invalid("devices: provider \"webpush\" has a subscription, and no token")
	case d.Subscription != nil && d.Subscription.Keys != nil:
		return preferences.NewBrowser(subscription.Subscription{Endpoint: d.Subscription.Endpoint, Keys: *d.Subscription.Keys}), nil
	case d.ID != "":
		return preferences.Device{Provider: preferences.WebPush, Token: d.ID}, nil
	default:
		return none, fault.Invalid("devices: provider \"webpush\" needs a subscription with endpoint and keys, as subscription.toJSON() gives it, or the id of a device on record")
	}
}

// showDevices is devices coming out.
func showDevices(devices []preferences.Device) []device {
	all := make([]device, len(devices))
	for i, d := range devices {
		all[i] = device{ID: d.ID(), Provider: d.Provider, Token: d.Token}
		if d.Provider == preferences.WebPush {
			all[i].Token, all[i].Subscription = "", &browserSubscription{Endpoint: strings.TrimSuffix(d.Token, d.ID()) + "***"}
		}
	}
	return all
}

// addressesOf returns the addresses alone.
func addressesOf(all []address) (addresses []string) {
	for _, a := range all {
		addresses = append(addresses, a.Address)
	}
	return addresses
}

// vouched returns those that the caller answers for.
func (in input) vouched() []string {
	return addressesOf(slices.DeleteFunc(slices.Concat(in.Emails, in.Phones), func(a address) bool { return !a.vouched }))
}

// switches are channels going in.
type switches struct {
	InApp   *bool `json:"in_app"`
	Email   *bool `json:"email"`
	Push    *bool `json:"push"`
	SMS     *bool `json:"sms"`
	Webhook *bool `json:"webhook"`
}

// on returns the channels that are on: as they are switched, or else by default.
func (s switches) on(byDefault []task.Channel) []task.Channel {
	switched := map[task.Channel]*bool{
		task.InApp: s.InApp, task.Email: s.Email, task.Push: s.Push, task.SMS: s.SMS, task.Webhook: s.Webhook,
	}
	defaults := preferences.Preferences{Channels: byDefault}
	on := []task.Channel{}
	for _, c := range task.Channels {
		if set := switched[c]; (set == nil && defaults.On(c)) || (set != nil && *set) {
			on = append(on, c)
		}
	}
	return on
}

// preferences returns what the input describes, validated, but for the channels:
// their defaults depend on the user.
func (in input) preferences(rules preferences.Rules) (preferences.Preferences, error) {
	p := preferences.Default(false)
	p.Channels = nil
	p.Emails, p.Phones = addressesOf(in.Emails), addressesOf(in.Phones)
	for _, d := range in.Devices {
		chosen, err := d.chosen()
		if err != nil {
			return p, err
		}
		p.Devices = append(p.Devices, chosen)
	}
	if in.TimeZone != nil {
		if *in.TimeZone == "" {
			return p, fault.Invalid("time_zone must be the name of a time zone such as \"Europe/Paris\" (IANA), and is empty; null is for none")
		}
		p.TimeZone = *in.TimeZone
	}
	if in.AllDayAt != nil {
		var err error
		if p.AllDayAt, err = wallclock.ParseClock(*in.AllDayAt); err != nil {
			return p, named("all_day_at", err)
		}
	}
	if in.DefaultReminders != nil {
		p.DefaultReminders = make([]task.Offset, len(in.DefaultReminders))
	}
	for i, text := range in.DefaultReminders {
		var err error
		if p.DefaultReminders[i], err = wallclock.ParseOffset(text); err != nil {
			return p, named("default_reminders: an entry", err)
		}
	}
	var err error
	if p.QuietHours, err = quiet.Parse(in.QuietHours); err != nil {
		return p, named("quiet_hours", err)
	}
	if p.Bundle, err = preferences.ParseBundle(in.Bundle); err != nil {
		return p, err
	}
	if in.Agenda != nil {
		a, err := preferences.ParseAgenda(*in.Agenda)
		if err != nil {
			return p, err
		}
		p.Agenda = &a
	}
	if in.Language != nil {
		p.Language = *in.Language
	}
	if in.Webhook != nil {
		secret := in.Webhook.Secret
		if secret.Present && !secret.Null && secret.Value == "" {
			return p, fault.Invalid("webhook: secret is empty; leave it out to keep the one on record, or send null for none")
		}
		p.Webhook = &preferences.Webhook{URL: in.Webhook.URL, Secret: config.Secret(secret.Value), KeepSecret: !secret.Present, Links: in.Webhook.Links}
	}
	return p, p.Validate(rules)
}

// named puts before the message of an error that is invalid what it is about.
func named(what string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Invalid("%s %s", what, f.Message)
	}
	return err
}

// output is preferences coming out.
type output struct {
	TimeZone         *string                    `json:"time_zone"` // null until one is set
	AllDayAt         string                     `json:"all_day_at"`
	DefaultReminders *[]string                  `json:"default_reminders"` // null: one, at the due date
	QuietHours       []quiet.Window             `json:"quiet_hours"`
	Bundle           bundle                     `json:"bundle"`
	Agenda           *preferences.WrittenAgenda `json:"agenda"` // null: none
	Language         string                     `json:"language"`
	Channels         channels                   `json:"channels"`
	Emails           []address                  `json:"emails"`
	Phones           []address                  `json:"phones"`
	Devices          []device                   `json:"devices"`
	Webhook          *webhook                   `json:"webhook"`
	// PushKey is what browsers subscribe for; "" if Web Push is not set up here.
	PushKey string `json:"webpush_public_key,omitzero"`
}

type channels struct {
	InApp   bool `json:"in_app"`
	Email   bool `json:"email"`
	Push    bool `json:"push"`
	SMS     bool `json:"sms"`
	Webhook bool `json:"webhook"`
}

// bundle has no channels but those that are bundled.
type bundle struct {
	Email string `json:"email,omitempty"`
	Push  string `json:"push,omitempty"`
	SMS   string `json:"sms,omitempty"`
}

// webhook has no secret: it is never shown.
type webhook struct {
	URL   string `json:"url"`
	Links bool   `json:"links"`
}

// show is a user's preferences coming out. signIn is the address of the user's sign-in;
// suppressed says since when an address is, nil if it is not.
func show(p preferences.Preferences, signIn *string, suppressed func(string) *time.Time) output {
	states := func(addresses []string) []address {
		all := make([]address, len(addresses))
		for i, a := range addresses {
			all[i] = address{Address: a, State: p.State(a, signIn), Since: suppressed(a)}
			if all[i].Since != nil {
				all[i].State = preferences.Suppressed
			}
		}
		return all
	}
	out := output{
		AllDayAt: wallclock.Time{}.Add(p.AllDayAt).ClockString(), QuietHours: p.QuietHours.Windows(),
		Bundle: bundle{p.Bundle.Time(task.Email), p.Bundle.Time(task.Push), p.Bundle.Time(task.SMS)}, Language: p.Language, Emails: states(p.Emails), Phones: states(p.Phones), Devices: showDevices(p.Devices),
		Channels: channels{
			InApp: p.On(task.InApp), Email: p.On(task.Email), Push: p.On(task.Push), SMS: p.On(task.SMS), Webhook: p.On(task.Webhook),
		},
	}
	if p.Agenda != nil {
		out.Agenda = new(p.Agenda.Written())
	}
	if p.TimeZone != "" {
		out.TimeZone = &p.TimeZone
	}
	if p.DefaultReminders != nil {
		texts := make([]string, len(p.DefaultReminders))
		for i, o := range p.DefaultReminders {
			texts[i] = o.String()
		}
		out.DefaultReminders = &texts
	}
	if p.Webhook != nil {
		out.Webhook = &webhook{URL: p.Webhook.URL, Links: p.Webhook.Links}
	}
	return out
}
