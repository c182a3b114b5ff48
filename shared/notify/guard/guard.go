// Package guard connects to hosts that users choose: to what is on the public Internet, and to
// nothing else.
package guard

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
)

// NewClient is notify.NewClient for hosts that users choose. It connects by Dial, and uses no
// proxy: that would connect on our behalf to what we refuse to connect to.
func NewClient(rules preferences.Rules, names *net.Resolver) *http.Client {
	return notify.NewClientOn(&http.Transport{
		DialContext: Dial(rules, names), MaxIdleConns: 100, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	})
}

// Dial connects to what is on the public Internet only, and to the hosts that the rules
// allow. The name is taken as it is: a resolver would try it below its own search domains
// first, a cluster's services, say. For an address that is not public the error is
// preferences.ErrNotPublic.
func Dial(rules preferences.Rules, names *net.Resolver) func(ctx context.Context, network, address string) (net.Conn, error) {
	anywhere, guarded := net.Dialer{Resolver: names}, net.Dialer{Resolver: names, Control: preferences.CheckAddress}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if rules.Allows(address) {
			return anywhere.DialContext(ctx, network, address)
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if _, err := netip.ParseAddr(host); err != nil {
			host = strings.TrimSuffix(host, ".") + "."
		}
		return guarded.DialContext(ctx, network, net.JoinHostPort(host, port))
	}
}
