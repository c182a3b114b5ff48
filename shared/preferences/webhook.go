package preferences

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"code.dny.dev/ssrf"
	"golang.org/x/net/idna"

	"github.com/duebell/duebell/shared/fault"
)

// Rules are the operator's.
type Rules struct {
	AllowInsecureWebhooks bool `env:"WEBHOOK_ALLOW_INSECURE" envDefault:"false" help:"true lets webhooks go to http URLs, private addresses and any port; for development"`
}

// CheckWebhook refuses a URL that plainly can't be a webhook's: whatever its host is
// called, it must be one of the public Internet. What a name leads to is seen only
// when it is connected to, by CheckAddress. The error is a fault with code invalid.
func (r Rules) CheckWebhook(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || !validPort(u) || (u.Scheme != "https" && u.Scheme != "http") {
		return fault.Invalid("webhook: url must be an absolute URL such as https://example.com/hook")
	}
	switch {
	case utf8.RuneCountInString(address) > maxWebhook:
		return fault.Invalid("webhook: url has more than the %d characters that are allowed", maxWebhook)
	case u.User != nil:
		return fault.Invalid("webhook: url must not hold a user name or password; check the signature instead, with a secret")
	case u.Fragment != "" || strings.Contains(address, "#"):
		return fault.Invalid("webhook: url must not have a fragment, the part from # on: it is never sent")
	case r.AllowInsecureWebhooks:
		return nil
	case u.Scheme != "https":
		return fault.Invalid("webhook: url must begin with https://")
	case !isPublic(u.Hostname()):
		return fault.Invalid("webhook: url must be one on the public Internet")
	case isServicePort(u.Port()):
		return fault.Invalid("webhook: url must have port 443, or one from 1024 on")
	}
	return nil
}

// CheckAddress refuses connections of webhooks to addresses that are none of the
// public Internet. It is a net.Dialer's Control: it sees the address that a name has
// led to, at the moment of connecting, so that a name can't change in between.
func (r Rules) CheckAddress(network, address string, c syscall.RawConn) error {
	if r.AllowInsecureWebhooks {
		return nil
	}
	return guardian.Safe(network, address, c)
}

// ErrNotPublic is the error of CheckAddress for an address that is not public.
var ErrNotPublic = ssrf.ErrProhibitedIP

// guardian knows the address ranges that IANA has set aside for other than public
// use: private, loopback, link-local, metadata, multicast and the like.
var guardian = ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azure))

// azure is where Azure's machines find the service that they trust; it looks public.
var azure = netip.MustParsePrefix("168.63.129.16/32")

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// isServicePort reports whether a port is for services that a webhook is none of, such
// as mail.
func isServicePort(port string) bool {
	n, _ := strconv.Atoi(port)
	return n != 0 && n != 443 && n < 1024
}

// notPublic are the names below which nothing is of the public Internet: reserved by
// RFC 2606, 6761, 6762, 7686 and 8375, by ICANN, or commonly used so.
var notPublic = []string{"localhost", "local", "internal", "home.arpa", "onion", "invalid", "test", "localdomain", "svc", "lan", "home", "corp", "mail", "intranet", "private"}

// looksNumeric is how a host's last part begins that some resolvers take for a number:
// "127.1", "0x7f000001", "2130706433".
var looksNumeric = regexp.MustCompile(`^(0[xX].*|[0-9]+)$`)

// isPublic reports whether a host may, by its looks alone, be one of the public
// Internet.
func isPublic(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Zone() == "" && guardian.SafeAddr(address) == nil
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c >= utf8.RuneSelf }) {
		name, err := idna.Lookup.ToASCII(host) // as the HTTP client reads it
		if err != nil {
			return false
		}
		host = name
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	labels := strings.Split(name, ".")
	return len(labels) > 1 && !slices.Contains(labels, "") && !looksNumeric.MatchString(labels[len(labels)-1]) &&
		!strings.ContainsAny(name, "%:[]") &&
		!slices.ContainsFunc(notPublic, func(zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) })
}

func isSecret(s string) bool {
	encoded, found := strings.CutPrefix(s, "whsec_")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return found && err == nil && !strings.ContainsAny(encoded, "\r\n") && len(raw) >= minSecret && len(raw) <= maxSecret
}
