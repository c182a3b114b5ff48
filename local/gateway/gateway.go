// Package gateway is the one HTTP entry to the functions on this machine, as an
// ingress is in a cluster.
package gateway

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// Gateway passes requests on to functions. It is an http.Handler.
type Gateway struct {
	http.Handler
	transport *http.Transport
}

// New returns a gateway to the functions in backends, which maps names to base URLs. It does not
// serve the routes of other functions. own serves everything under /dev/, for requests whose Host
// is localhost or a loopback address. The gateway answers /healthz itself. If a function can't be reached,
// the answer is 503.
func New(backends map[string]*url.URL, own http.Handler) *Gateway {
	g := &Gateway{transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}}
	routes := web.Routes{
		"GET /healthz": func(w http.ResponseWriter, _ *http.Request) error {
			return web.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		},
		"/dev/": func(w http.ResponseWriter, r *http.Request) error {
			if !isThisMachine(r.Host) {
				return fault.Forbidden("what is under /dev/ is for this machine only: call it 127.0.0.1 or localhost")
			}
			own.ServeHTTP(w, r)
			return nil
		},
	}
	proxies := map[string]web.Handler{}
	for function, backend := range backends {
		proxies[function] = g.proxy(function, backend)
	}
	for _, route := range Routes {
		if proxy, ok := proxies[route.Function]; ok {
			routes[route.Pattern] = proxy
		}
	}
	mux, preflights := web.NewMux(routes), web.NewMux(preflights(proxies))
	g.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if web.IsPreflight(r) {
			preflights.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return g
}

// isThisMachine reports whether a request's Host is localhost or a loopback address.
// Otherwise a page of another site could let its own name lead here, and read what is served
// without a token (DNS rebinding).
func isThisMachine(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}

// preflights are the routes of CORS preflight requests. Each goes to one of the functions that
// serve its path, since all of them answer the same.
func preflights(proxies map[string]web.Handler) web.Routes {
	routes := web.Routes{}
	for _, route := range Routes {
		_, path, _ := strings.Cut(route.Pattern, " ")
		if proxy, ok := proxies[route.Function]; ok {
			routes["OPTIONS "+path] = proxy
		}
	}
	return routes
}

// Close lets go of the connections that no request uses.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

func (g *Gateway) proxy(function string, backend *url.URL) web.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery // also what is malformed: the function refuses it
		},
		Transport:     g.transport,
		FlushInterval: -1, // streams
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		web.LongBody(r) // the function itself knows how long it waits
		one := *proxy
		one.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
			web.WriteProblem(w, r, cmp.Or(web.Late(r), unreached(function, err)))
		}
		one.ServeHTTP(w, r)
		return nil
	}
}

// unreached says why a function has not answered.
func unreached(function string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fault.Unavailable(err, "the function %s is not running; it is started again by itself, so try again in a moment, or look at .duebell/logs/%s.log", function, function)
	}
	return web.WithStatus(fault.Unavailable(err, "the function %s ended before it answered; whether it did its work is not known", function), http.StatusBadGateway)
}
