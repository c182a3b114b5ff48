// Package guard connects to hosts that users choose, and only if they are on the public Internet.
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

// NewClient is notify.NewClient for hosts that users choose. It connects with Dial, and uses no
// proxy, since a proxy could connect to what Dial refuses.
func NewClient(rules preferences.Rules, names *net.Resolver) *http.Client {
	return notify.NewClientOn(&http.Transport{
		DialContext: Dial(rules, names), MaxIdleConns: 100, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	})
}

// Dial connects to addresses on the public Internet, and to hosts that the rules allow. The host's
// name is resolved as an absolute name. Otherwise a resolver would first try its search domains,
// such as a cluster's services. For any other address the error is preferences.ErrNotPublic.
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
