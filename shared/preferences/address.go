package preferences

import (
	"errors"
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/text"
)

// Limits of RFC 5321, section 4.5.3.1, and its erratum 1690.
const (
	maxAddress = 254 // octets
	maxLocal   = 64  // octets, before the @
)

// domainNames reads the names of hosts as a browser does, and refuses what DNS has not.
var domainNames = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.CheckHyphens(true), idna.CheckJoiners(true), idna.VerifyDNSLength(true))

// ASCIIAddress returns an e-mail address as providers take it: with its domain as
// A-labels (RFC 5890), so that ada@bücher.example is ada@xn--bcher-kva.example. The
// error says what is wrong with the address.
func ASCIIAddress(address string) (string, error) {
	if found := text.Invisible(strings.ReplaceAll(address, " ", "")); found != "" {
		return "", errors.New("contains " + found + ", which can't be seen; write it anew, without")
	}
	if parsed, err := mail.ParseAddress(address); err != nil || parsed.Address != address {
		return "", errors.New("is not an e-mail address; write it like ada@example.com")
	}
	at := strings.LastIndexByte(address, '@')
	local, domain := address[:at], address[at+1:]
	ascii, err := domainNames.ToASCII(domain)
	last := ascii[strings.LastIndexByte(ascii, '.')+1:]
	switch {
	case len(local) > maxLocal:
		return "", errors.New("has more than 64 bytes before the @; no mail server takes that")
	case err != nil || looksNumeric.MatchString(last) || last == ascii: // a name without a dot is one of our own network
		return "", errors.New("has no domain name after the @ that there could be; write it like ada@example.com")
	case len(local)+1+len(ascii) > maxAddress:
		return "", errors.New("has more than 254 bytes; no mail server takes that")
	}
	return local + "@" + ascii, nil
}

func checkAddress(address string) error {
	if _, err := ASCIIAddress(address); err != nil {
		return fault.Invalid("emails: %.40q %v", address, err)
	}
	return nil
}

// ChannelOf says by which channel an address that is listed is reached: e-mail or SMS.
func ChannelOf(address string) task.Channel {
	if strings.Contains(address, "@") {
		return task.Email
	}
	return task.SMS
}

// AddressKey is the same for addresses that are the same to everybody: it is what they are
// compared by. A phone number's is the number.
func AddressKey(address string) string {
	if ascii, err := ASCIIAddress(address); err == nil {
		address = ascii
	}
	return strings.ToLower(address)
}
