package main

import (
	"slices"

	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// gateways are the namespaces of Knative's own gateways, on the way to any function.
var gateways = []string{"kourier-system", "istio-system"}

// checkNetwork checks that a function reaches the Internet if it fetches an issuer's keys or
// sends, and the function send if it wakes that, and neither otherwise.
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
	if want := reads("OIDC_ISSUER", "DELIVERY_SEND_TIMEOUT"); internet != want {
		d.fault("%s: NetworkPolicies let it reach the Internet is %v, and should be %v", function, internet, want)
	}
	if want := reads("SEND_URL"); gateway != want {
		d.fault("%s: NetworkPolicies let it reach other functions is %v, and should be %v", function, gateway, want)
	}
}

// reaches says where NetworkPolicies let a pod with these labels go.
func (d *deployment) reaches(pod map[string]string) (internet, gateway bool) {
	selected := false
	for _, o := range d.objects {
		policy, ok := o.any.(*networking.NetworkPolicy)
		if !ok || !slices.Contains(policy.Spec.PolicyTypes, networking.PolicyTypeEgress) {
			continue
		}
		selector, err := meta.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil {
			d.fault("NetworkPolicy/%s: %v", policy.Name, err)
			continue
		}
		if !selector.Matches(labels.Set(pod)) {
			continue
		}
		selected = true
		for _, rule := range policy.Spec.Egress {
			for _, to := range rule.To {
				internet = internet || to.IPBlock != nil
				gateway = gateway || to.NamespaceSelector != nil && slices.Contains(gateways, to.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
			}
		}
	}
	return internet || !selected, gateway || !selected
}
