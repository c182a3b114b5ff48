package preferences

import (
	"encoding/base64"
	"errors"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/duebell/duebell/shared/fault"
)

// Limits on what a user may choose.
const (
	MaxEmails      = 5
	MaxPhones      = 5
	MaxDevices     = 20
	maxZone        = 64
	maxLanguage    = 35   // what RFC 5646, section 4.4.1, expects everybody to take
	maxAddress     = 254  // RFC 5321, with its erratum 1690
	maxDeviceToken = 4096 // characters; FCM's have about 200 and no stated limit
	maxWebhook     = 2000 // characters
	minSecret      = 24   // bytes; Standard Webhooks
	maxSecret      = 64
)

// Rules are the operator's.
type Rules struct {
	AllowInsecureWebhooks bool `env:"WEBHOOK_ALLOW_INSECURE" envDefault:"false" help:"true lets webhooks go to http URLs and private addresses; for development"`
}

// Validate checks preferences, all but the channels, and brings them to the form
// that is stored: lists without repetition. The error is a fault with code
// invalid, and says what to change.
func (p *Preferences) Validate(rules Rules) error {
	if _, ok := loadZone(p.TimeZone); !ok {
		return fault.Invalid("time_zone must be the name of a time zone such as \"Europe/Paris\" or \"UTC\" (IANA), not %.40q", p.TimeZone)
	}
	if err := checkLanguage(p.Language); err != nil {
		return err
	}
	var err error
	if p.Emails, err = checkList("emails", p.Emails, MaxEmails, strings.ToLower, checkAddress); err != nil {
		return err
	}
	if p.Phones, err = checkList("phones", p.Phones, MaxPhones, asItIs[string], checkPhone); err != nil {
		return err
	}
	if p.Devices, err = checkList("devices", p.Devices, MaxDevices, asItIs[Device], checkDevice); err != nil {
		return err
	}
	if p.Webhook != nil {
		return p.Webhook.check(rules)
	}
	return nil
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

func checkAddress(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || len(address) > maxAddress {
		return fault.Invalid("emails: %.40q is not an e-mail address; write it like ada@example.com", address)
	}
	return nil
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func checkPhone(number string) error {
	if !e164.MatchString(number) {
		return fault.Invalid("phones: %.40q is not a number with its country code; write it like +15551234567 (E.164)", number)
	}
	return nil
}

var deviceToken = regexp.MustCompile(`^[!-~]+$`) // printable, no blanks

func checkDevice(d Device) error {
	if !slices.Contains([]string{"fcm", "onesignal"}, d.Provider) {
		return fault.Invalid("devices: provider must be \"fcm\" or \"onesignal\", not %.40q", d.Provider)
	}
	if len(d.Token) > maxDeviceToken || !deviceToken.MatchString(d.Token) {
		return fault.Invalid("devices: token must be the %s token of the device, 1 to %d printable characters without blanks", d.Provider, maxDeviceToken)
	}
	return nil
}

// check refuses what is plainly wrong. What a name resolves to is checked when
// the webhook is called, every time.
func (w *Webhook) check(rules Rules) error {
	u, err := url.Parse(w.URL)
	if err != nil || u.Hostname() == "" || !validPort(u) || (u.Scheme != "https" && u.Scheme != "http") {
		return fault.Invalid("webhook: url must be an absolute URL such as https://example.com/hook")
	}
	switch {
	case utf8.RuneCountInString(w.URL) > maxWebhook:
		return fault.Invalid("webhook: url has more than the %d characters that are allowed", maxWebhook)
	case u.User != nil:
		return fault.Invalid("webhook: url must not hold a user name or password; check the signature instead, with a secret")
	case u.Fragment != "" || strings.Contains(w.URL, "#"):
		return fault.Invalid("webhook: url must not have a fragment, the part from # on: it is never sent")
	case u.Scheme != "https" && !rules.AllowInsecureWebhooks:
		return fault.Invalid("webhook: url must begin with https://")
	case isPrivate(u.Hostname()) && !rules.AllowInsecureWebhooks:
		return fault.Invalid("webhook: url must be one on the public Internet")
	}
	if w.Secret != "" && !isSecret(w.Secret.Reveal()) {
		return fault.Invalid("webhook: secret must be \"whsec_\" and the base64 of %d to %d bytes, as Standard Webhooks say; make one with: echo whsec_$(openssl rand -base64 32)", minSecret, maxSecret)
	}
	return nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// isPrivate reports whether a host is, by its looks alone, none of the public
// Internet.
func isPrivate(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	address = address.Unmap()
	return !address.IsGlobalUnicast() || address.IsPrivate()
}

func isSecret(s string) bool {
	encoded, found := strings.CutPrefix(s, "whsec_")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return found && err == nil && !strings.ContainsAny(encoded, "\r\n") && len(raw) >= minSecret && len(raw) <= maxSecret
}
