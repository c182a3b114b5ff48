package preferences

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/zone"
)

// Limits on what a user may choose.
const (
	MaxEmails      = 5
	MaxPhones      = 5
	MaxDevices     = 20
	maxLanguage    = 35   // what RFC 5646, section 4.4.1, expects everybody to take
	maxDeviceToken = 4096 // characters; FCM's have about 200 and no stated limit
	maxURL         = 2000 // characters
	minSecret      = 24   // bytes; Standard Webhooks
	maxSecret      = 64
)

// Validate checks preferences, all but the channels, and brings them to the form
// that is stored: lists without repetition. The error is a fault with code
// invalid, and says what to change.
func (p *Preferences) Validate(rules Rules) error {
	if _, err := zone.Get(p.TimeZone); p.TimeZone != "" && err != nil {
		return prefix("time_zone", err)
	}
	var err error
	if p.DefaultReminders, err = task.ValidOffsets("default_reminders", p.DefaultReminders); err != nil {
		return err
	}
	if p.TimeZone == "" && p.QuietHours.Any() {
		return fault.Invalid("quiet_hours need your time zone: give time_zone beside them, such as \"Europe/Paris\"")
	}
	if p.TimeZone == "" && p.Agenda != nil {
		return fault.Invalid("agenda needs your time zone: give time_zone beside it, such as \"Europe/Paris\"")
	}
	if err := checkLanguage(p.Language); err != nil {
		return err
	}
	if p.Emails, err = checkList("emails", p.Emails, MaxEmails, AddressKey, checkAddress); err != nil {
		return err
	}
	if p.Phones, err = checkList("phones", p.Phones, MaxPhones, asItIs[string], checkPhone); err != nil {
		return err
	}
	if p.Devices, err = checkList("devices", p.Devices, MaxDevices, Device.String, func(d Device) error { return d.check(rules) }); err != nil {
		return err
	}
	if p.Webhook != nil {
		return p.Webhook.check(rules)
	}
	return nil
}

// prefix names what an error that is invalid is about.
func prefix(name string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Invalid("%s %s", name, f.Message)
	}
	return err
}

func asItIs[T any](v T) T { return v }

// checkList checks each element of a list, and returns the list with only the
// first of those that have the same key.
func checkList[T any, K comparable](name string, list []T, most int, key func(T) K, check func(T) error) ([]T, error) {
	kept := make([]T, 0, min(len(list), most))
	seen := map[K]bool{}
	for _, v := range list {
		if seen[key(v)] {
			continue
		}
		if len(kept) == most {
			return nil, fault.Invalid("%s has more than the %d entries that are allowed", name, most)
		}
		if err := check(v); err != nil {
			return nil, err
		}
		seen[key(v)] = true
		kept = append(kept, v)
	}
	return kept, nil
}

func checkLanguage(tag string) error {
	if len(tag) <= maxLanguage && !strings.Contains(tag, "_") {
		_, err := language.Parse(tag)
		if _, unknown := errors.AsType[language.ValueError](err); err == nil || unknown { // well-formed all the same
			return nil
		}
	}
	return fault.Invalid("language must be a language tag such as \"en\" or \"pt-BR\" (BCP 47), not %.40q", tag)
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// IsPhone reports whether a number is written as E.164 says.
func IsPhone(number string) bool { return e164.MatchString(number) }

func checkPhone(number string) error {
	if !IsPhone(number) {
		return fault.Invalid("phones: %.40q is not a number with its country code; write it like +15551234567 (E.164)", number)
	}
	return nil
}

var deviceToken = regexp.MustCompile(`^[!-~]+$`) // printable, no blanks

var subscriptionID = regexp.MustCompile(`^(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (d Device) check(rules Rules) error {
	if d.Provider == WebPush {
		return d.checkBrowser(rules)
	}
	if !slices.Contains([]string{"fcm", "onesignal"}, d.Provider) {
		return fault.Invalid("devices: provider must be \"fcm\", \"onesignal\" or \"webpush\", not %.40q", d.Provider)
	}
	if len(d.Token) > maxDeviceToken || !deviceToken.MatchString(d.Token) {
		return fault.Invalid("devices: token must be the %s token of the device, 1 to %d printable characters without blanks", d.Provider, maxDeviceToken)
	}
	if d.Provider == "onesignal" && !subscriptionID.MatchString(d.Token) {
		return fault.Invalid("devices: token must be the device's subscription id at OneSignal, a UUID such as 1dd608f2-c6a1-11e3-851d-000c2940e62c, not %.40q", d.Token)
	}
	return nil
}

// checkBrowser checks a browser's subscription, and brings its keys to the form that is stored.
func (d Device) checkBrowser(rules Rules) error {
	if d.Subscription == nil { // one on record
		return nil
	}
	if err := rules.CheckEndpoint(d.Subscription.Endpoint); err != nil {
		return err
	}
	return d.Subscription.Check()
}

func (w *Webhook) check(rules Rules) error {
	if err := rules.CheckWebhook(w.URL); err != nil {
		return err
	}
	if w.Secret != "" && !isSecret(w.Secret.Reveal()) {
		return fault.Invalid("webhook: secret must be \"whsec_\" and the base64 of %d to %d bytes, as Standard Webhooks say; make one with: echo whsec_$(openssl rand -base64 32)", minSecret, maxSecret)
	}
	return nil
}
