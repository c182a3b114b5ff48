package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// The commands of docs/deploy.md that install what is missing.
const (
	installServing = "kubectl apply -f https://github.com/knative/serving/releases/download/knative-v1.23.0/serving-crds.yaml" +
		" && kubectl apply -f https://github.com/knative/serving/releases/download/knative-v1.23.0/serving-core.yaml"
	installEventing = "kubectl apply -f https://github.com/knative/eventing/releases/download/knative-v1.23.0/eventing-crds.yaml" +
		" && kubectl apply -f https://github.com/knative/eventing/releases/download/knative-v1.23.0/eventing-core.yaml"
	installKourier = "kubectl apply -f https://github.com/knative-extensions/net-kourier/releases/download/knative-v1.23.0/kourier.yaml"
	setIngress     = `kubectl patch configmap config-network -n knative-serving --type merge -p '{"data": {"ingress-class": "kourier.ingress.networking.knative.dev"}}'`
	installGateway = "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.0/standard-install.yaml"
	installDapr    = "helm upgrade --install dapr dapr --repo https://dapr.github.io/helm-charts/ --version 1.18.3 -n dapr-system --create-namespace" +
		" --set global.ha.enabled=true --set dapr_sidecar_injector.sidecarDropALLCapabilities=true --set dapr_operator.watchInterval=1m --wait"
	changeDapr = "helm upgrade dapr dapr --repo https://dapr.github.io/helm-charts/ -n dapr-system --reuse-values --wait"
)

// release is a version of something: its first three numbers.
type release [3]int

func parseRelease(text string) (r release, ok bool) {
	n, _ := fmt.Sscanf(strings.TrimPrefix(text, "v"), "%d.%d.%d", &r[0], &r[1], &r[2])
	return r, n >= 2
}

func (r release) before(other release) bool { return slices.Compare(r[:], other[:]) < 0 }

func (i *inspection) serving(ctx context.Context) []Finding {
	return i.knative(ctx, "Knative Serving", "knative-serving", "/apis/serving.knative.dev/v1", installServing, "activator", "autoscaler", "controller", "webhook")
}

func (i *inspection) eventing(ctx context.Context) []Finding {
	return i.knative(ctx, "Knative Eventing", "knative-eventing", "/apis/sources.knative.dev/v1", installEventing, "eventing-controller", "eventing-webhook")
}

// knative checks whether a part of Knative is installed and its Deployments are ready.
func (i *inspection) knative(ctx context.Context, what, in, api, install string, parts ...string) []Finding {
	all, problem := i.controlPlane(ctx, what, in, api, install, parts...)
	if problem != nil {
		return []Finding{*problem}
	}
	version := all[0].Metadata.Labels["app.kubernetes.io/version"]
	switch r, ok := parseRelease(version); {
	case !ok:
		return []Finding{hint("", "%s is ready; it does not say its version, and Duebell was tried with 1.23", what)}
	case r.before(release{1, 23}):
		return []Finding{hint(install, "%s %s is ready; Duebell was tried with 1.23", what, version)}
	}
	return []Finding{good("%s %s is ready", what, version)}
}

// controlPlane returns the Deployments called parts, or a finding about what is wrong.
func (i *inspection) controlPlane(ctx context.Context, what, in, api, install string, parts ...string) ([]workload, *Finding) {
	wrong := func(f Finding) ([]workload, *Finding) { return nil, &f }
	var resources struct{}
	switch err := i.Kubectl.get(ctx, api, &resources); {
	case errors.Is(err, errAbsent):
		return wrong(bad(install, "%s is not installed: the cluster has no %s", what, strings.TrimPrefix(api, "/apis/")))
	case err != nil:
		return wrong(unseen(what, err))
	}
	deployments, err := list[workload](ctx, i.Kubectl, "/apis/apps/v1/namespaces/"+in+"/deployments")
	if err != nil {
		return wrong(unseen(what, err))
	}
	var found []workload
	for _, part := range parts {
		n := slices.IndexFunc(deployments, func(d workload) bool { return d.Metadata.Name == part })
		if n < 0 {
			return wrong(bad(install, "%s lacks its Deployment %s in the namespace %s", what, part, in))
		}
		d := deployments[n]
		if d.wants() == 0 || d.Status.AvailableReplicas == 0 {
			return wrong(bad("kubectl -n "+in+" describe deployment "+part, "%s: %s is not available: %s", what, part, find(d.Status.Conditions, "Available").says()))
		}
		found = append(found, d)
	}
	return found, nil
}

func (i *inspection) openFunction(ctx context.Context) []Finding {
	if len(i.of("core.openfunction.io", "Function")) == 0 {
		return nil
	}
	var resources struct{}
	err := i.Kubectl.get(ctx, "/apis/core.openfunction.io/v1beta2", &resources)
	switch {
	case errors.Is(err, errAbsent):
		return []Finding{bad("helm upgrade --install openfunction openfunction --repo https://openfunction.github.io/charts/ -n openfunction --create-namespace",
			"OpenFunction is not installed: the cluster has no core.openfunction.io/v1beta2")}
	case err != nil:
		return []Finding{unseen("OpenFunction", err)}
	}
	return []Finding{good("OpenFunction is there")}
}

// httpRoute is a route from a gateway to the functions.
type httpRoute struct {
	ParentRefs []struct {
		Name        string `json:"name"`
		Namespace   string `json:"namespace"`
		SectionName string `json:"sectionName"`
	} `json:"parentRefs"`
	Hostnames []string `json:"hostnames"`
	Rules     []struct {
		BackendRefs []struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"backendRefs"`
	} `json:"rules"`
}

// routes returns the overlay's routes.
func (i *inspection) routes() (all []httpRoute) {
	for _, o := range i.of("gateway.networking.k8s.io", "HTTPRoute") {
		var r httpRoute
		if json.Unmarshal(o.Spec, &r) == nil {
			all = append(all, r)
		}
	}
	return all
}

// ownGateways are the namespaces of Knative's own gateways, by their class.
var ownGateways = map[string]string{
	"kourier.ingress.networking.knative.dev": "kourier-system", "istio.ingress.networking.knative.dev": "istio-system",
}

// ingress checks Knative's own gateway, through which functions are reached in the cluster.
func (i *inspection) ingress(ctx context.Context) []Finding {
	var network object
	switch err := i.Kubectl.get(ctx, "/api/v1/namespaces/knative-serving/configmaps/config-network", &network); {
	case errors.Is(err, errAbsent):
		return nil // Knative is not there
	case err != nil:
		return []Finding{unseen("Knative's settings of its network", err)}
	}
	class := network.Data["ingress-class"]
	if class == "" {
		class = network.Data["ingress.class"] // the key's old name
	}
	if class == "" {
		class = "istio.ingress.networking.knative.dev" // Knative's default
	}
	backends := map[string][2]string{}
	for _, r := range i.routes() {
		for _, rule := range r.Rules {
			for _, b := range rule.BackendRefs {
				backends[b.Namespace+"/"+b.Name] = [2]string{b.Namespace, b.Name}
			}
		}
	}
	for _, name := range sorted(backends) {
		in, service := backends[name][0], backends[name][1]
		if own, known := ownGateways[class]; known && own != in {
			return []Finding{bad(setIngress, "Knative's ingress class is %s, whose gateway is in %s, and the route leads to %s: set the class, or replace the gateway in manifests as docs/deploy.md says", class, own, name)}
		}
		endpoints, err := list[struct {
			Endpoints []struct {
				Conditions struct {
					Ready *bool `json:"ready"`
				} `json:"conditions"`
			} `json:"endpoints"`
		}](ctx, i.Kubectl, "/apis/discovery.k8s.io/v1/namespaces/"+in+"/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D"+service)
		if err != nil {
			return []Finding{unseen(name, err)}
		}
		ready := 0
		for _, slice := range endpoints {
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready == nil || *e.Conditions.Ready {
					ready++
				}
			}
		}
		if ready == 0 {
			next := "kubectl -n " + in + " get pods,services"
			if in == "kourier-system" && len(endpoints) == 0 {
				next = installKourier
			}
			return []Finding{bad(next, "nothing is ready behind the service %s, to which the route leads", name)}
		}
	}
	if len(backends) == 0 {
		return []Finding{good("Knative's ingress class is %s", class)}
	}
	return []Finding{good("%s is ready, of Knative's ingress class %s", strings.Join(sorted(backends), ", "), class)}
}

type gatewayObject struct {
	Spec struct {
		Listeners []listener `json:"listeners"`
	} `json:"spec"`
	Status struct {
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

type listener struct {
	Name          string `json:"name"`
	Hostname      string `json:"hostname"`
	Protocol      string `json:"protocol"`
	AllowedRoutes struct {
		Namespaces struct {
			From     string `json:"from"`
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
		} `json:"namespaces"`
	} `json:"allowedRoutes"`
}

// serves reports whether a listener serves a host. section, if not "", is the only listener that
// counts.
func (l listener) serves(section, host string) bool {
	if section != "" && section != l.Name || l.Protocol != "HTTP" && l.Protocol != "HTTPS" {
		return false
	}
	suffix, wild := strings.CutPrefix(l.Hostname, "*")
	return l.Hostname == "" || l.Hostname == host || wild && strings.HasSuffix(host, suffix)
}

// takes reports whether a listener accepts routes from Duebell's namespace. in is its gateway's
// namespace. If it can't be known, it reports true.
func (l listener) takes(in string) bool {
	switch l.AllowedRoutes.Namespaces.From {
	case "All":
		return true
	case "Selector":
		name, set := l.AllowedRoutes.Namespaces.Selector.MatchLabels["kubernetes.io/metadata.name"]
		return !set || name == namespace
	}
	return in == namespace // Same, which is the default
}

// gateway checks the public gateway, and whether it accepts the route.
func (i *inspection) gateway(ctx context.Context) (found []Finding) {
	for _, r := range i.routes() {
		edit := "${EDITOR:-vi} " + i.Overlay + "/kustomization.yaml"
		if len(r.Hostnames) == 0 || slices.ContainsFunc(r.Hostnames, isPlaceholder) {
			found = append(found, hint(edit, "the host name of the API is that of the example, %s, which nobody outside finds: set yours", strings.Join(r.Hostnames, ", ")))
		}
		var resources struct{}
		switch err := i.Kubectl.get(ctx, "/apis/gateway.networking.k8s.io/v1", &resources); {
		case errors.Is(err, errAbsent):
			return append(found, bad(installGateway, "the Gateway API is not installed: the cluster has no gateway.networking.k8s.io/v1"))
		case err != nil:
			return append(found, unseen("the Gateway API", err))
		}
		if len(r.ParentRefs) == 0 {
			found = append(found, bad(edit, "the route names no gateway"))
		}
		for _, parent := range r.ParentRefs {
			in := parent.Namespace
			if in == "" {
				in = namespace
			}
			name := in + "/" + parent.Name
			var g gatewayObject
			switch err := i.Kubectl.get(ctx, "/apis/gateway.networking.k8s.io/v1/namespaces/"+in+"/gateways/"+parent.Name, &g); {
			case errors.Is(err, errAbsent):
				found = append(found, bad("kubectl get gateways.gateway.networking.k8s.io --all-namespaces", "there is no gateway %s: name one that exists in %s/kustomization.yaml", name, i.Overlay))
				continue
			case err != nil:
				found = append(found, unseen("the gateway "+name, err))
				continue
			}
			for _, host := range r.Hostnames {
				found = append(found, g.finding(name, in, parent.SectionName, host))
			}
		}
	}
	return found
}

func (g gatewayObject) finding(name, in, section, host string) Finding {
	gateway := strings.TrimPrefix(name, in+"/")
	programmed := find(g.Status.Conditions, "Programmed")
	var serving, taking []listener
	for _, l := range g.Spec.Listeners {
		if l.serves(section, host) {
			serving = append(serving, l)
			if l.takes(in) {
				taking = append(taking, l)
			}
		}
	}
	encrypts := func(l listener) bool { return l.Protocol == "HTTPS" }
	switch {
	case len(serving) == 0:
		return bad("kubectl -n "+in+" get gateways.gateway.networking.k8s.io "+gateway+" -o yaml", "no listener of the gateway %s serves %s by HTTP", name, host)
	case len(taking) == 0:
		return bad("kubectl -n "+in+" patch gateways.gateway.networking.k8s.io "+gateway+` --type json -p '[{"op": "add", "path": "/spec/listeners/0/allowedRoutes", "value": `+
			`{"namespaces": {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "`+namespace+`"}}}}}]'`,
			"no listener of the gateway %s takes routes of the namespace %s for %s", name, namespace, host)
	case programmed.Status != "True":
		return bad("kubectl -n "+in+" describe gateways.gateway.networking.k8s.io "+gateway, "the gateway %s is not ready: %s", name, programmed.says())
	case !slices.ContainsFunc(taking, encrypts):
		return hint("", "the gateway %s is ready and takes %s, without TLS: have something in front of it encrypt, or tokens can be read on the way", name, host)
	}
	return good("%s is ready, and takes %s", name, host)
}

func (i *inspection) dapr(ctx context.Context) []Finding {
	all, problem := i.controlPlane(ctx, "Dapr", "dapr-system", "/apis/dapr.io/v1alpha1", installDapr, "dapr-operator", "dapr-sentry", "dapr-sidecar-injector")
	if problem != nil {
		return []Finding{*problem}
	}
	version := all[0].Metadata.Labels["app.kubernetes.io/version"]
	if containers := all[0].Spec.Template.Spec.Containers; version == "" && len(containers) > 0 {
		version = containers[0].Image[strings.LastIndex(containers[0].Image, ":")+1:]
	}
	r, ok := parseRelease(version)
	switch {
	case !ok:
		return []Finding{hint("", "Dapr is ready; it does not say its version, and Duebell needs 1.18 or later")}
	case r.before(release{1, 18}):
		return []Finding{bad(installDapr, "Dapr is %s, and Duebell needs 1.18 or later; docs/deploy.md says how to upgrade", version)}
	case r.before(release{1, 18, 3}):
		return []Finding{hint(changeDapr+" --version 1.18.3", "Dapr is %s, whose scheduler may stop delivering jobs after a daprd has died; run 1.18.3 or later", version)}
	}
	for _, d := range all {
		if d.wants() < 2 {
			return []Finding{hint(changeDapr+" --set global.ha.enabled=true", "Dapr %s is ready, with one copy of %s: while that is away, no daprd can start", version, d.Metadata.Name)}
		}
	}
	if !watches(all[0]) {
		return []Finding{hint(changeDapr+" --set dapr_operator.watchInterval=1m",
			"Dapr %s is ready, and does not look for pods that were made without daprd while its injector did not answer: they would stay so, and reminders would wait for the sweep", version)}
	}
	return []Finding{good("Dapr %s is ready", version)}
}

// watches reports whether Dapr's operator deletes pods that lack their daprd.
func watches(operator workload) bool {
	for _, c := range operator.Spec.Template.Spec.Containers {
		if at := slices.Index(c.Args, "--watch-interval"); at >= 0 && at+1 < len(c.Args) {
			return !slices.Contains([]string{"0", "once", ""}, c.Args[at+1])
		}
	}
	return false
}

// injector checks whether the daprds that Dapr adds to pods may run in Duebell's namespace, which
// enforces the pod security standard `restricted`.
func (i *inspection) injector(ctx context.Context) []Finding {
	var d workload
	switch err := i.Kubectl.get(ctx, "/apis/apps/v1/namespaces/dapr-system/deployments/dapr-sidecar-injector", &d); {
	case errors.Is(err, errAbsent):
		return nil // Dapr is not there
	case err != nil:
		return []Finding{unseen("Dapr's injector", err)}
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Name != "dapr-sidecar-injector" {
			continue
		}
		for _, option := range [][3]string{
			{"SIDECAR_DROP_ALL_CAPABILITIES", "sidecarDropALLCapabilities", "false"}, {"SIDECAR_RUN_AS_NON_ROOT", "sidecarRunAsNonRoot", "true"},
		} {
			value := c.value(option[0])
			if value == "" {
				value = option[2] // Dapr's default
			}
			if value != "true" {
				return []Finding{bad(changeDapr+" --set dapr_sidecar_injector."+option[1]+"=true",
					"the option %s is not set: Kubernetes would refuse every pod with a daprd, since Duebell's namespace enforces the standard `restricted`", option[1])}
			}
		}
	}
	return []Finding{good("daprd drops its capabilities, and does not run as root")}
}

// scheduler checks whether Dapr's scheduler is ready, and where it stores jobs.
func (i *inspection) scheduler(ctx context.Context) []Finding {
	describe := "kubectl -n dapr-system describe statefulset dapr-scheduler-server"
	var s workload
	switch err := i.Kubectl.get(ctx, "/apis/apps/v1/namespaces/dapr-system/statefulsets/dapr-scheduler-server", &s); {
	case errors.Is(err, errAbsent):
		return i.storage(ctx)
	case err != nil:
		return []Finding{unseen("Dapr's scheduler", err)}
	}
	claims, err := list[struct {
		Metadata metadata `json:"metadata"`
		Status   struct {
			Phase string `json:"phase"`
		} `json:"status"`
	}](ctx, i.Kubectl, "/api/v1/namespaces/dapr-system/persistentvolumeclaims")
	if err != nil {
		return []Finding{unseen("the volumes of Dapr's scheduler", err)}
	}
	volumes := 0
	for _, c := range claims {
		if !strings.HasPrefix(c.Metadata.Name, "dapr-scheduler-data-dir") {
			continue
		}
		if c.Status.Phase != "Bound" {
			return append([]Finding{bad("kubectl -n dapr-system describe pvc "+c.Metadata.Name, "the volume %s of Dapr's scheduler is %s: the cluster needs a StorageClass that makes it", c.Metadata.Name, strings.ToLower(c.Status.Phase))}, i.storage(ctx)...)
		}
		volumes++
	}
	switch ready, wants := s.Status.ReadyReplicas, s.wants(); {
	case 2*ready <= wants:
		return []Finding{bad(describe, "%d of %d copies of Dapr's scheduler are ready, and it works with more than half", ready, wants)}
	case ready < wants:
		return []Finding{hint(describe, "%d of %d copies of Dapr's scheduler are ready: it works, and must not lose another", ready, wants)}
	case wants < 3:
		return []Finding{hint(changeDapr+" --set global.ha.enabled=true", "Dapr's scheduler has %d copies: while one is away, reminders wait for the sweep", wants)}
	case volumes == 0:
		return []Finding{hint("", "%d of %d copies of Dapr's scheduler are ready, without volumes: after all of them have restarted, the sweep schedules everything again", ready, wants)}
	default:
		return []Finding{good("%d of %d copies of Dapr's scheduler are ready, and their volumes are bound", ready, wants)}
	}
}

// storage checks whether the cluster creates volumes by itself.
func (i *inspection) storage(ctx context.Context) []Finding {
	classes, err := list[object](ctx, i.Kubectl, "/apis/storage.k8s.io/v1/storageclasses")
	if err != nil {
		return []Finding{unseen("StorageClasses", err)}
	}
	if slices.ContainsFunc(classes, func(c object) bool {
		return c.Metadata.Annotations["storageclass.kubernetes.io/is-default-class"] == "true"
	}) {
		return nil
	}
	if len(classes) == 0 {
		return []Finding{bad("kubectl get storageclasses", "there is no StorageClass, and Dapr's scheduler needs volumes: install one for your storage")}
	}
	return []Finding{hint(installDapr+" --set dapr_scheduler.cluster.storageClassName="+classes[0].Metadata.Name, "no StorageClass is the default: name one for the volumes of Dapr's scheduler")}
}

// enforcers are network plug-ins that enforce NetworkPolicies, by the names of their
// DaemonSets.
var enforcers = []string{"calico-node", "canal", "cilium", "antrea-agent", "kube-router", "ovnkube-node", "ovs-node", "weave-net", "kube-network-policies", "azure-npm", "anetd", "kube-ovn-cni"}

// policies checks for a network plug-in that enforces NetworkPolicies. Whether it does can't be
// known from outside.
func (i *inspection) policies(ctx context.Context) []Finding {
	sets, err := list[object](ctx, i.Kubectl, "/apis/apps/v1/daemonsets")
	if err != nil {
		return []Finding{unseen("DaemonSets", err)}
	}
	for _, s := range sets {
		if slices.Contains(enforcers, s.Metadata.Name) {
			return []Finding{good("%s is there, which enforces them as a rule", s.Metadata.Name)}
		}
	}
	return []Finding{hint("", "nothing that is known for it enforces them here: if nothing does, every pod of the cluster reaches Duebell's")}
}
