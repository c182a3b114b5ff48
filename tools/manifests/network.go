package main

import (
	"net/url"
	"slices"
	"strings"

	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// gateways are the namespaces of Knative's own gateways, on the way to any function.
var gateways = []string{"kourier-system", "istio-system"}

// checkNetwork checks that a function reaches the Internet if it fetches an issuer's keys or
// Amazon's, or sends, and the function send if it wakes that, and neither otherwise.
func (d *deployment) checkNetwork(function string) {
	reads := func(names ...string) bool {
		for _, v := range d.functions[function] {
			if slices.Contains(names, v.Name) {
				return true
			}
		}
		return false
	}
	internet, gateway := d.reaches(d.pods[function].labels)
	verifies := reads("OIDC_ISSUER") && !reads("CONSOLE_CLIENT_ID") // the console only tells browsers who the issuer is
	if want := verifies || reads("SES_EVENTS_TOPICS", "DELIVERY_SEND_TIMEOUT"); internet != want {
		d.fault("%s: NetworkPolicies let it reach the Internet is %v, and should be %v", function, internet, want)
	}
	if want := reads("SEND_URL"); gateway != want {
		d.fault("%s: NetworkPolicies let it reach other functions is %v, and should be %v", function, gateway, want)
	}
}

// checkIssuer checks that NetworkPolicies let functions reach an issuer that is in the cluster
// and spoken to over http: every other one is reached as the Internet is.
func (d *deployment) checkIssuer(issuer string) {
	at, err := url.Parse(issuer)
	if err != nil || at.Scheme != "http" {
		return
	}
	host := strings.Split(at.Hostname(), ".")
	if len(host) < 3 || host[2] != "svc" {
		return
	}
	for _, policy := range d.egress(map[string]string{"duebell.dev/part": "function", "duebell.dev/internet": "true"}) {
		for _, rule := range policy.Spec.Egress {
			for _, to := range rule.To {
				if to.NamespaceSelector != nil && to.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] == host[1] {
					return
				}
			}
		}
	}
	d.fault("no NetworkPolicy lets functions reach the issuer %s: add manifests/issuer-in-cluster to the overlay's components, with the namespace %s", issuer, host[1])
}

// reaches says where NetworkPolicies let a pod with these labels go.
func (d *deployment) reaches(pod map[string]string) (internet, gateway bool) {
	policies := d.egress(pod)
	for _, policy := range policies {
		for _, rule := range policy.Spec.Egress {
			for _, to := range rule.To {
				internet = internet || to.IPBlock != nil
				gateway = gateway || to.NamespaceSelector != nil && slices.Contains(gateways, to.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
			}
		}
	}
	return internet || len(policies) == 0, gateway || len(policies) == 0
}

// egress returns the policies on where a pod with these labels may go.
func (d *deployment) egress(pod map[string]string) (policies []*networking.NetworkPolicy) {
	for _, o := range d.objects {
		policy, ok := o.any.(*networking.NetworkPolicy)
		if !ok || !slices.Contains(policy.Spec.PolicyTypes, networking.PolicyTypeEgress) {
			continue
		}
		selector, err := meta.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil {
			d.fault("NetworkPolicy/%s: %v", policy.Name, err)
		} else if selector.Matches(labels.Set(pod)) {
			policies = append(policies, policy)
		}
	}
	return policies
}
