// Package quota says how many messages may be sent: for one user, to one recipient, and, as
// text messages cost money, by the whole installation. It knows no database: shared/store
// counts.
package quota

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/duebell/duebell/shared/task"
)

// Metered are the channels whose messages are counted for their users.
var Metered = []task.Channel{task.Email, task.Push, task.SMS, task.Webhook}

// addressed are the channels whose messages are counted for their recipients, too.
var addressed = []task.Channel{task.Email, task.SMS}

// PerChannel is a number for each of several channels; 0, and a channel that is left out, is
// no limit. It is written like email=200,sms=30.
type PerChannel map[task.Channel]int

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *PerChannel) UnmarshalText(text []byte) error {
	*p = PerChannel{}
	for part := range strings.SplitSeq(string(text), ",") {
		name, number, _ := strings.Cut(part, "=")
		channel := task.Channel(strings.TrimSpace(name))
		if !slices.Contains(Metered, channel) {
			return fmt.Errorf("%.40q does not begin with a channel and =: write it like email=200, with one of %s", part, names(Metered))
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 0 || n > math.MaxInt32 {
			return fmt.Errorf("%.40q: after the = there must be a whole number, 0 for no limit", part)
		}
		if _, twice := (*p)[channel]; twice {
			return fmt.Errorf("%s is there twice", channel)
		}
		(*p)[channel] = n
	}
	return nil
}

func names(channels []task.Channel) string {
	list := make([]string, len(channels))
	for i, c := range channels {
		list[i] = string(c)
	}
	return strings.Join(list, ", ")
}

// check returns what is wrong with a limit. It must name exactly the given channels, so that none
// is without a limit by mistake.
func (p PerChannel) check(variable string, channels []task.Channel) error {
	var missing, foreign []task.Channel
	for _, c := range channels {
		if _, there := p[c]; !there {
			missing = append(missing, c)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(p)) {
		if !slices.Contains(channels, c) {
			foreign = append(foreign, c)
		}
	}
	switch {
	case len(foreign) > 0:
		return fmt.Errorf("%s counts only %s: leave out %s", variable, names(channels), names(foreign))
	case len(missing) > 0:
		return fmt.Errorf("%s must name each of %s: add %s=0, say, for no limit", variable, names(channels), missing[0])
	}
	return nil
}

// Limits are how many messages may be sent in an hour and in a day. Hours and days are
// those of UTC.
type Limits struct {
	PerHour      PerChannel `env:"QUOTA_PER_HOUR" envDefault:"email=200,push=500,sms=30,webhook=10000" help:"how many messages a user gets in an hour on each channel, like email=200,push=500,sms=30,webhook=10000; further ones are held until the next hour; 0: any number"`
	PerDay       PerChannel `env:"QUOTA_PER_DAY" envDefault:"email=500,push=2000,sms=100,webhook=100000" help:"how many messages a user gets in a day on each channel, like email=500,push=2000,sms=100,webhook=100000; further ones are refused; 0: any number"`
	PerRecipient PerChannel `env:"QUOTA_PER_RECIPIENT" envDefault:"email=1000,sms=150" help:"how many messages one e-mail address, and one phone number, gets in a day from all users together, like email=1000,sms=150; further ones are refused; 0: any number"`
}

// Validate reports what is wrong with the limits.
func (l Limits) Validate() error {
	return errors.Join(
		l.PerHour.check("QUOTA_PER_HOUR", Metered),
		l.PerDay.check("QUOTA_PER_DAY", Metered),
		l.PerRecipient.check("QUOTA_PER_RECIPIENT", addressed),
	)
}

// Prefixes are those of phone numbers that text messages may go to.
type Prefixes struct {
	Allowed []string `env:"SMS_ALLOWED_PREFIXES" help:"the beginnings of phone numbers that get text messages, like +1,+44,+4915; unset: all, except numbers of no country, such as satellites (+870, +881) and international premium rates (+979). The same for preferences and send"`
}

// ofNoCountry are prefixes that are allowed only if the allow list names them: networks
// that belong to no country, such as satellites', and international premium rates. They
// cost the most, and SMS pumping fraud uses them.
var ofNoCountry = []string{"+800", "+808", "+870", "+878", "+881", "+882", "+883", "+888", "+979"}

// Validate reports what is wrong with the prefixes.
func (p Prefixes) Validate() error {
	for _, prefix := range p.Allowed {
		if !isPrefix(prefix) {
			return fmt.Errorf("SMS_ALLOWED_PREFIXES: %.20q is no beginning of a phone number; write it like +1 or +4915, with commas between several", prefix)
		}
	}
	return nil
}

func isPrefix(s string) bool {
	digits, plus := strings.CutPrefix(s, "+")
	return plus && len(digits) > 0 && len(digits) <= 15 && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

// Allows reports whether text messages may go to a number, which is in the form of E.164.
func (p Prefixes) Allows(number string) bool {
	has := func(prefix string) bool { return strings.HasPrefix(number, prefix) }
	if len(p.Allowed) > 0 {
		return slices.ContainsFunc(p.Allowed, has)
	}
	return !slices.ContainsFunc(ofNoCountry, has)
}

// Problem is the message about a number that Allows refuses.
func (p Prefixes) Problem(number string) string {
	if len(p.Allowed) == 0 {
		return fmt.Sprintf("no text messages are sent to %s: numbers that begin with %s belong to no country, and whoever runs this installation has not allowed them; give a number of another network", number, number[:min(4, len(number))])
	}
	return fmt.Sprintf("no text messages are sent to %s: whoever runs this installation allows numbers that begin with %s only; give one of those", number, strings.Join(p.Allowed, ", "))
}

// Refuses returns why nothing at all may be sent to a target, or "" if messages may be sent.
func (p Prefixes) Refuses(channel task.Channel, target string) string {
	if channel == task.SMS && !p.Allows(target) {
		return p.Problem(target)
	}
	return ""
}

// Money is an amount in millionths of the operator's currency unit.
type Money int64

// unit is one unit of the operator's currency.
const unit Money = 1_000_000

// most is more than anybody spends, and far from where sums overflow.
const most = 1_000_000_000 * unit

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Money) UnmarshalText(text []byte) error {
	s := string(text)
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" || len(fraction) > 6 || strings.Trim(whole+fraction, "0123456789") != "" {
		return fmt.Errorf("%.20q is no amount: write it like 0.05 or 100, without a sign and with six decimals at most", s)
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", 6-len(fraction)), 10, 64)
	if err != nil || Money(n) > most {
		return fmt.Errorf("%.20q is too much: %s at most", s, most)
	}
	*m = Money(n)
	return nil
}

// Float is the amount in the operator's unit.
func (m Money) Float() float64 { return float64(m) / float64(unit) }

// String is the amount as a person writes it.
func (m Money) String() string { return strconv.FormatFloat(m.Float(), 'f', -1, 64) }

// Prices are what a text message costs, by the prefix of its number. The longest prefix counts.
// They are written like *=0.10,+1=0.01; * is every other number.
type Prices map[string]Money

// everyOther stands for the numbers that no prefix names.
const everyOther = "*"

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Prices) UnmarshalText(text []byte) error {
	*p = Prices{}
	for part := range strings.SplitSeq(string(text), ",") {
		prefix, price, _ := strings.Cut(part, "=")
		prefix = strings.TrimSpace(prefix)
		if prefix != everyOther && !isPrefix(prefix) {
			return fmt.Errorf("%.40q does not begin like a phone number: write it like +1=0.01, or *=0.10 for every other", part)
		}
		if _, twice := (*p)[prefix]; twice {
			return fmt.Errorf("%s is there twice", prefix)
		}
		var m Money
		if err := m.UnmarshalText([]byte(strings.TrimSpace(price))); err != nil {
			return fmt.Errorf("%s: %w", prefix, err)
		}
		(*p)[prefix] = m
	}
	return nil
}

// Of returns the price of a message to a number.
func (p Prices) Of(number string) Money {
	best := everyOther
	for prefix := range p {
		if strings.HasPrefix(number, prefix) && len(prefix) >= len(best) {
			best = prefix
		}
	}
	return p[best]
}

// Ceiling is what the installation may spend.
type Ceiling struct {
	Daily Money `env:"SMS_DAILY_COST" envDefault:"100" help:"how much the text messages of a day may cost, in the unit of SMS_PRICES; further ones are refused, and an alert rings at four fifths; 0: any amount. The same for send and retry-dlq"`
}

// Rules are all limits, for the function that sends.
type Rules struct {
	Limits   Limits
	Prefixes Prefixes
	Prices   Prices `env:"SMS_PRICES" envDefault:"*=0.10" help:"what a text message costs, by the beginning of its number, in your provider's currency, like *=0.10,+1=0.0079,+4915=0.08; the longest beginning counts, and * is for all other numbers"`
	Ceiling  Ceiling
}

// Validate reports what is wrong with the rules.
func (r Rules) Validate() error {
	if _, there := r.Prices[everyOther]; !there && r.Prices != nil {
		return errors.New("SMS_PRICES must have a price for every other number: add *=0.10, say")
	}
	return nil
}

// Cost returns what a message costs. A message that is refused costs nothing.
func (r Rules) Cost(channel task.Channel, target string) Money {
	if channel != task.SMS || r.Prefixes.Refuses(channel, target) != "" {
		return 0
	}
	return r.Prices.Of(target)
}
