package preferences

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net"
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
	"golang.org/x/net/publicsuffix"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/text"
)

// Rules are the operator's.
type Rules struct {
	// AllowedHosts are hosts that webhooks and Web Push may go to although they are none of the
	// public Internet, or without TLS.
	AllowedHosts []string `env:"WEBHOOK_ALLOWED_HOSTS" help:"hosts with their ports, like 127.0.0.1:9000, with commas between, that webhooks and Web Push may reach although they are private or without TLS; for development"`
}

// Validate reports what is wrong with the rules.
func (r Rules) Validate() error {
	for _, allowed := range r.AllowedHosts {
		host, port, err := net.SplitHostPort(strings.TrimSpace(allowed))
		if n, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || host == "" || n == 0 {
			return fmt.Errorf("WEBHOOK_ALLOWED_HOSTS must be a list of hosts with their ports, like 127.0.0.1:9000, separated by commas, not %.40q", allowed)
		}
	}
	return nil
}

// Allows reports whether webhooks and Web Push may go to a host and port whatever these are.
func (r Rules) Allows(address string) bool {
	return slices.ContainsFunc(r.AllowedHosts, func(allowed string) bool { return strings.EqualFold(strings.TrimSpace(allowed), address) })
}

// WebhookPorts are the ports that webhooks and push services may have: those that the network policies let
// the functions reach.
var WebhookPorts = []string{"443", "8443"}

// CheckWebhook refuses a URL that plainly can't be a webhook's: whatever its host is
// called, it must be one of the public Internet. What a name leads to is seen only
// when it is connected to, by CheckAddress. The error is a fault with code invalid.
func (r Rules) CheckWebhook(address string) error {
	return r.checkURL(address, "webhook: url", "https://example.com/hook", "; check the signature instead, with a secret")
}

// CheckEndpoint refuses an address that can't be that of a browser at its push service, as
// CheckWebhook does.
func (r Rules) CheckEndpoint(address string) error {
	return r.checkURL(address, "devices: subscription.endpoint", "https://push.example.com/send/abc, as subscription.toJSON() gives it", "")
}

// checkURL checks a URL that is called what; insteadOfUser is said of one with a user's name.
func (r Rules) checkURL(address, what, example, insteadOfUser string) error {
	if found := text.Invisible(strings.ReplaceAll(address, " ", "")); found != "" {
		return fault.Invalid("%s contains %s, which can't be seen; write it anew, without", what, found)
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || !validPort(u) || (u.Scheme != "https" && u.Scheme != "http") {
		return fault.Invalid("%s must be an absolute URL such as %s", what, example)
	}
	switch {
	case utf8.RuneCountInString(address) > maxURL:
		return fault.Invalid("%s has more than the %d characters that are allowed", what, maxURL)
	case u.User != nil:
		return fault.Invalid("%s must not hold a user name or password%s", what, insteadOfUser)
	case u.Fragment != "" || strings.Contains(address, "#"):
		return fault.Invalid("%s must not have a fragment, the part from # on: it is never sent", what)
	case r.Allows(hostPort(u)):
		return nil
	case u.Scheme != "https":
		return fault.Invalid("%s must begin with https://", what)
	case !IsPublic(u.Hostname()):
		return fault.Invalid("%s must be one on the public Internet", what)
	case u.Port() != "" && !slices.Contains(WebhookPorts, u.Port()):
		return fault.Invalid("%s must have port %s", what, strings.Join(WebhookPorts, " or "))
	}
	return nil
}

// CheckAddress refuses connections to addresses that are none of the public Internet.
// It is a net.Dialer's Control: it sees the address that a name has led to, at the moment
// of connecting, so that a name can't change in between.
func CheckAddress(network, address string, c syscall.RawConn) error {
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

func hostPort(u *url.URL) string {
	port := cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
	return net.JoinHostPort(u.Hostname(), port)
}

// notPublic are the names below which nothing is of the public Internet: reserved by
// RFC 2606, 6761, 6762, 7686 and 8375, by ICANN, or commonly used so.
var notPublic = []string{"localhost", "local", "internal", "home.arpa", "onion", "invalid", "test", "localdomain", "svc", "lan", "home", "corp", "mail", "intranet", "private"}

// looksNumeric is how a host's last part begins that some resolvers take for a number:
// "127.1", "0x7f000001", "2130706433".
var looksNumeric = regexp.MustCompile(`^(0[xX].*|[0-9]+)$`)

// IsPublic reports whether a host may, by its looks alone, be one of the public
// Internet.
func IsPublic(host string) bool {
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
	// A name below no domain of the Internet's, such as kubernetes.default, could only be
	// one of the network here.
	suffix, known := publicsuffix.PublicSuffix(name)
	return (known || strings.Contains(suffix, ".")) && len(labels) > 1 && !slices.Contains(labels, "") && !looksNumeric.MatchString(labels[len(labels)-1]) &&
		!strings.ContainsAny(name, "%:[]") &&
		!slices.ContainsFunc(notPublic, func(zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) })
}

func isSecret(s string) bool {
	encoded, found := strings.CutPrefix(s, "whsec_")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return found && err == nil && !strings.ContainsAny(encoded, "\r\n") && len(raw) >= minSecret && len(raw) <= maxSecret
}
