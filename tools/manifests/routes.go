package main

import (
	"slices"
	"strings"

	subscriptions "github.com/dapr/dapr/pkg/apis/subscriptions/v2alpha1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	routes "github.com/duebell/duebell/local/gateway"
)

// trigger is what the public can't reach.
const trigger = "trigger-reminder"

// match is one way in: which requests, and the function that they come to.
type match struct {
	gateway.HTTPRouteMatch
	function string
	used     bool
}

// checkRoutes checks that each path of the public API leads to its function, and that
// nothing else does.
func (d *deployment) checkRoutes() {
	matches := d.matches()
	for _, route := range routes.Routes {
		if _, exists := d.functions[route.Function]; !exists {
			continue
		}
		method, path, _ := strings.Cut(route.Pattern, " ")
		path = strings.NewReplacer("{$}", "", "{", "", "}", "").Replace(path)
		best := lookUp(matches, method, path)
		switch {
		case route.Function == trigger && best != nil:
			d.fault("%s leads to %s, and is for daprd and operators only", route.Pattern, best.function)
		case route.Function == trigger:
		case best == nil:
			d.fault("%s leads nowhere, and should to %s", route.Pattern, route.Function)
		case best.function != route.Function:
			d.fault("%s leads to %s, and should to %s", route.Pattern, best.function, route.Function)
		}
		if best != nil {
			best.used = true
		}
		// A page of another site asks first whether it may.
		switch asked := lookUp(matches, "OPTIONS", path); {
		case asked != nil:
			asked.used = true
		case route.Function != trigger:
			d.fault("OPTIONS %s leads nowhere, and should to a function", path)
		}
	}
	for _, path := range []string{"/nowhere", "/metrics", "/healthz", "/readyz", "/job/x", "/dapr/config", "/events/x", "/dev/messages"} {
		for _, method := range []string{"GET", "POST"} {
			if best := lookUp(matches, method, path); best != nil {
				d.fault("%s %s leads to %s, and should nowhere", method, path, best.function)
			}
		}
	}
	for _, m := range matches {
		if !m.used {
			d.fault("a way to %s is no route of local/gateway/routes.go: %s %s", m.function, *m.Path.Type, *m.Path.Value)
		}
	}
}

// matches returns all ways in.
func (d *deployment) matches() (all []*match) {
	for _, o := range d.objects {
		switch o := o.any.(type) {
		case *gateway.HTTPRoute:
			if len(o.Spec.ParentRefs) == 0 || len(o.Spec.Hostnames) == 0 {
				d.fault("HTTPRoute/%s has no gateway or no host name", o.Name)
			}
			for _, rule := range o.Spec.Rules {
				all = append(all, d.waysIn(rule, rewritten(rule))...)
			}
		case *openFunction:
			s := o.Spec.Serving
			if s == nil || s.Triggers.HTTP == nil {
				continue
			}
			route := s.Triggers.HTTP.Route
			if route == nil || len(route.Hostnames) == 0 {
				d.fault("Function/%s has no host name: OpenFunction would make a public one up", o.Name)
				continue
			}
			if slices.Contains(route.Hostnames, gateway.Hostname(o.Name+inCluster)) { // not public
				if !slices.ContainsFunc(d.waysOf(o), func(w *match) bool { return *w.Path.Type == gateway.PathMatchPathPrefix && *w.Path.Value == "/" }) {
					d.fault("Function/%s has no rule for /: OpenFunction would lead only what is below /duebell/%s to it", o.Name, o.Name)
				}
				continue
			}
			events := d.events(o.Name)
			ways := d.waysOf(o)
			leads := func(w *match) bool { return *w.Path.Type == gateway.PathMatchExact && *w.Path.Value == events }
			if events != "" && !slices.ContainsFunc(ways, leads) {
				d.fault("Function/%s has no rule for %s, where its daprd brings events", o.Name, events)
			}
			all = append(all, slices.DeleteFunc(ways, leads)...)
		}
	}
	return all
}

// waysOf returns the ways to a function of OpenFunction.
func (d *deployment) waysOf(o *openFunction) (all []*match) {
	for _, rule := range o.Spec.Serving.Triggers.HTTP.Route.Rules {
		all = append(all, d.waysIn(rule, o.Name)...)
	}
	return all
}

// events returns the path to which a function's daprd brings events; "" if there is none.
func (d *deployment) events(function string) string {
	for _, o := range d.objects {
		if s, ok := o.any.(*subscriptions.Subscription); ok && slices.Contains(s.Scopes, function) {
			return s.Spec.Routes.Default
		}
	}
	return ""
}

func (d *deployment) waysIn(rule gateway.HTTPRouteRule, function string) (ways []*match) {
	if _, ok := d.functions[function]; !ok {
		d.fault("a route leads to %q, which is no function", function)
	}
	for _, m := range rule.Matches {
		if m.Path == nil || m.Path.Type == nil || m.Path.Value == nil || len(m.Headers)+len(m.QueryParams) > 0 {
			d.fault("a route to %s matches by something else than path and method", function)
			continue
		}
		ways = append(ways, &match{HTTPRouteMatch: m, function: function})
	}
	return ways
}

// rewritten returns the function that a rule's requests are sent to, by the host name that
// they are given.
func rewritten(rule gateway.HTTPRouteRule) string {
	for _, filter := range rule.Filters {
		if filter.URLRewrite != nil && filter.URLRewrite.Hostname != nil {
			if name, ok := strings.CutSuffix(string(*filter.URLRewrite.Hostname), inCluster); ok {
				return name
			}
		}
	}
	return ""
}

// lookUp returns the way that a request takes, by the precedence that the Gateway API
// gives: an exact path, then the longest prefix, then one that names the method.
func lookUp(all []*match, method, path string) (best *match) {
	rank := func(m *match) int {
		r := 2 * len(*m.Path.Value)
		if *m.Path.Type == gateway.PathMatchExact {
			r += 1 << 20
		}
		if m.Method != nil {
			r++
		}
		return r
	}
	for _, m := range all {
		value := strings.TrimSuffix(*m.Path.Value, "/")
		fits := path == *m.Path.Value
		if *m.Path.Type == gateway.PathMatchPathPrefix {
			fits = path == value || strings.HasPrefix(path, value+"/")
		}
		if m.Method != nil && string(*m.Method) != method {
			fits = false
		}
		if fits && (best == nil || rank(m) > rank(best)) {
			best = m
		}
	}
	return best
}
