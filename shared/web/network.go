package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Network names the network that a request comes from, for limits: an IPv4 address, or the
// first 64 bits of an IPv6 address, which one subscriber has to themselves.
//
// Each proxy on the way appends whom it was called by to X-Forwarded-For, and the function's
// peer called last. Those of the cluster have private addresses; the last one that is not
// private is the caller, or the operator's own proxy. What the caller has written itself
// comes before that, and does not count. Where all are private it is the first.
func Network(r *http.Request) string {
	var hops []netip.Addr
	for _, hop := range append(strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ","), r.RemoteAddr) {
		hop = strings.TrimSpace(hop)
		if host, _, err := net.SplitHostPort(hop); err == nil {
			hop = host
		}
		if address, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
			hops = append(hops, address.Unmap().WithZone(""))
		}
	}
	if len(hops) == 0 {
		return ""
	}
	caller := hops[0]
	for i := len(hops) - 1; i >= 0; i-- {
		if hop := hops[i]; !hop.IsPrivate() && !hop.IsLoopback() && !hop.IsLinkLocalUnicast() {
			caller = hop
			break
		}
	}
	bits := 32
	if caller.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(caller, bits).Masked().String()
}
