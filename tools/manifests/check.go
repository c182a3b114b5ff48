package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	components "github.com/dapr/dapr/pkg/apis/components/v1alpha1"
	subscriptions "github.com/dapr/dapr/pkg/apis/subscriptions/v2alpha1"
	"github.com/dapr/dapr/pkg/injector/patcher"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	pss "k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"
	sources "knative.dev/eventing/pkg/apis/sources/v1"
	serving "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/jobs"
)

// inCluster ends the host names by which functions are reached in the cluster.
const inCluster = ".duebell.svc.cluster.local"

// check returns everything that is wrong with the manifests, and how many objects there are.
func check(files tree, functions map[string][]config.Variable, all schemas, chart *dapr) (problems []string, count int) {
	examples, wrong := decode([]byte(files["secrets.yaml"]), all)
	for _, problem := range wrong {
		problems = append(problems, "secrets.yaml: "+problem)
	}
	overlays := files.overlays()
	if len(overlays) == 0 {
		problems = append(problems, "there is no overlay")
	}
	slices.Sort(overlays)
	for _, overlay := range overlays {
		text, err := files.render(overlay)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		objects, wrong := decode(text, all)
		d := newDeployment(objects, examples, functions, chart)
		d.problems = append(d.problems, wrong...)
		d.check()
		for _, problem := range d.problems {
			problems = append(problems, overlay+": "+problem)
		}
		count += len(objects)
	}
	return append(problems, chart.problems...), count
}

// deployment is what one overlay brings to a cluster.
type deployment struct {
	objects   []object
	functions map[string][]config.Variable
	dapr      *dapr // the cluster's
	// keys are the keys of the Secrets and ConfigMaps that there are, by kind/name.
	keys     map[string][]string
	pods     map[string]pod // all pods that will run, by the name of what runs them
	problems []string
}

// pod is a template of pods.
type pod struct {
	labels      map[string]string
	annotations map[string]string
	spec        *core.PodSpec
}

func newDeployment(objects, examples []object, functions map[string][]config.Variable, chart *dapr) *deployment {
	d := &deployment{objects: objects, functions: functions, dapr: chart, keys: map[string][]string{}, pods: map[string]pod{}}
	for _, o := range slices.Concat(objects, examples) {
		switch o := o.any.(type) {
		case *core.Secret:
			d.keys["Secret/"+o.Name] = slices.Concat(slices.Collect(maps.Keys(o.Data)), slices.Collect(maps.Keys(o.StringData)))
		case *core.ConfigMap:
			d.keys["ConfigMap/"+o.Name] = slices.Collect(maps.Keys(o.Data))
		}
	}
	for _, o := range objects {
		switch o := o.any.(type) {
		case *serving.Service:
			d.pods[o.Name] = pod{o.Spec.Template.Labels, o.Spec.Template.Annotations, &o.Spec.Template.Spec.PodSpec}
		case *openFunction:
			if s := o.Spec.Serving; s != nil && s.Template != nil {
				if len(s.Template.Containers) > 0 {
					s.Template.Containers[0].Image = o.Spec.Image // as OpenFunction does
				}
				d.pods[o.Name] = pod{s.Labels, s.Annotations, s.Template}
			}
		case *apps.Deployment:
			d.addPod(o.Name, o.Spec.Template)
		case *batch.Job:
			d.addPod(o.Name, o.Spec.Template)
		}
	}
	return d
}

// addPod adds pods, with the daprd that Dapr's injector will add to them.
func (d *deployment) addPod(name string, template core.PodTemplateSpec) {
	whole := &core.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	sidecar := patcher.NewSidecarConfig(whole)
	sidecar.Namespace = template.Namespace
	d.dapr.configure(sidecar)
	sidecar.SetFromPodAnnotations()
	patch, err := sidecar.GetPatch()
	if err == nil && patch != nil {
		whole, err = patcher.PatchPod(whole, patch)
	}
	if err != nil {
		d.fault("%s: Dapr can't add a daprd: %v", name, err)
		return
	}
	d.pods[name] = pod{whole.Labels, whole.Annotations, &whole.Spec}
}

func (d *deployment) fault(format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf(format, args...))
}

func (d *deployment) check() {
	for _, name := range slices.Sorted(maps.Keys(d.pods)) {
		d.checkPod(name, d.pods[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.functions)) {
		if _, ok := d.pods[name]; !ok {
			d.fault("functions/%s has no manifest", name)
			continue
		}
		d.checkVariables(name)
		d.checkNetwork(name)
	}
	for _, o := range d.objects {
		switch o := o.any.(type) {
		case *serving.Service:
			d.checkService(o)
		case *openFunction:
			d.checkIsFunction(o.Name)
		case *core.ConfigMap:
			d.checkIssuer(o.Data["OIDC_ISSUER"])
		case *components.Component:
			for _, item := range o.Spec.Metadata {
				if item.SecretKeyRef.Name != "" {
					d.checkKey("Component/"+o.Name, "Secret/"+item.SecretKeyRef.Name, cmp.Or(item.SecretKeyRef.Key, item.SecretKeyRef.Name))
				}
			}
		}
	}
	d.checkSchedules()
	d.checkRoutes()
	d.checkDaprds()
}

// checkService checks that a Knative Service is a function's, and not public.
func (d *deployment) checkService(s *serving.Service) {
	d.checkIsFunction(s.Name)
	if s.Labels["networking.knative.dev/visibility"] != "cluster-local" {
		d.fault("Service/%s is public by itself: it lacks the label networking.knative.dev/visibility: cluster-local", s.Name)
	}
}

func (d *deployment) checkIsFunction(name string) {
	if _, ok := d.functions[name]; !ok {
		d.fault("%s has a manifest and no folder in functions", name)
	}
}

// checkPod checks that pods may do no more than they must, and that what they refer to is
// there.
func (d *deployment) checkPod(name string, p pod) {
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		d.fault("%v", err)
		return
	}
	restricted := pss.LevelVersion{Level: pss.LevelRestricted, Version: pss.LatestVersion()}
	results := evaluator.EvaluatePod(restricted, &meta.ObjectMeta{Labels: p.labels, Annotations: p.annotations}, p.spec)
	if all := podsecurity.AggregateCheckResults(results); !all.Allowed {
		d.fault("%s: %s (%s)", name, all.ForbiddenReason(), all.ForbiddenDetail())
	}
	for _, c := range p.spec.Containers {
		if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
			d.fault("%s: the container %s can write to its root", name, c.Name)
		}
		if c.Image != "daprd" && !strings.Contains(c.Image, "/") {
			d.fault("%s: the image %q has no registry: images/kustomization.yaml does not name it", name, c.Image)
		}
		if _, ok := c.Resources.Requests[core.ResourceMemory]; !ok {
			d.fault("%s: the container %s requests no memory", name, c.Name)
		}
		d.variables(name, c)
	}
}

// variables returns the names of the variables that a container is given, and checks that
// what they are taken from is there.
func (d *deployment) variables(name string, c core.Container) (names []string) {
	for _, v := range c.Env {
		names = append(names, v.Name)
		if v.ValueFrom == nil {
			continue
		}
		if ref := v.ValueFrom.SecretKeyRef; ref != nil {
			d.checkKey(name, "Secret/"+ref.Name, ref.Key)
		}
		if ref := v.ValueFrom.ConfigMapKeyRef; ref != nil {
			d.checkKey(name, "ConfigMap/"+ref.Name, ref.Key)
		}
	}
	for _, from := range c.EnvFrom {
		source := ""
		switch {
		case from.SecretRef != nil:
			source = "Secret/" + from.SecretRef.Name
		case from.ConfigMapRef != nil:
			source = "ConfigMap/" + from.ConfigMapRef.Name
		}
		keys, ok := d.keys[source]
		if !ok {
			d.fault("%s: there is no %s: add it to the overlay, or to secrets.yaml", name, source)
		}
		for _, key := range keys {
			names = append(names, from.Prefix+key)
		}
	}
	return names
}

func (d *deployment) checkKey(who, source, key string) {
	if !slices.Contains(d.keys[source], key) {
		d.fault("%s: there is no %s with the key %s: add it to the overlay, or to secrets.yaml", who, source, key)
	}
}

// checkVariables checks that a function is given what it needs, what the local system
// gives it, and nothing that it does not read.
func (d *deployment) checkVariables(function string) {
	var container core.Container
	if containers := d.pods[function].spec.Containers; len(containers) > 0 {
		container = containers[0]
	}
	image, _, _ := strings.Cut(container.Image[strings.LastIndex(container.Image, "/")+1:], ":")
	if image, _, _ = strings.Cut(image, "@"); image != function {
		d.fault("%s: its image is %s", function, container.Image)
	}
	given := (&deployment{keys: d.keys}).variables(function, container)
	reads := map[string]config.Variable{}
	for _, v := range d.functions[function] {
		reads[v.Name] = v
		if v.Required && !slices.Contains(given, v.Name) {
			d.fault("%s: %s is missing: %s", function, v.Name, v.Help)
		}
	}
	for _, name := range given {
		if _, ok := reads[name]; !ok && !strings.HasPrefix(name, "OTEL_") { // those OpenTelemetry reads itself
			d.fault("%s: it is given %s, which it does not read", function, name)
		}
	}
	i := slices.IndexFunc(system.Functions, func(f system.Function) bool { return f.Name == function })
	if i < 0 {
		d.fault("%s has no entry in local/system/functions.go", function)
		return
	}
	// What has a default, is a provider's address, or allows webhooks to go to the sandbox, may
	// be set here or there only; and a cluster may set what is optional.
	for _, name := range system.Functions[i].Variables {
		if reads[name].Default == "" && !strings.HasSuffix(name, "_URL") && name != "WEBHOOK_ALLOWED_HOSTS" && !slices.Contains(given, name) {
			d.fault("%s: local/system/functions.go gives it %s, and the manifests don't", function, name)
		}
	}
	for _, name := range given {
		if reads[name].Required && !slices.Contains(system.Functions[i].Variables, name) {
			d.fault("%s: it is given %s, and not so in local/system/functions.go", function, name)
		}
	}
}

// checkSchedules checks that time invokes what it is to invoke, and nothing else.
func (d *deployment) checkSchedules() {
	invoked := map[string]string{}
	for _, o := range d.objects {
		source, ok := o.any.(*sources.PingSource)
		if !ok {
			continue
		}
		name := ""
		if ref := source.Spec.Sink.Ref; ref != nil && ref.Kind == "Service" && ref.APIVersion == "serving.knative.dev/v1" {
			name = ref.Name
		} else if source.Spec.Sink.URI != nil {
			name = strings.TrimSuffix(source.Spec.Sink.URI.Host, inCluster)
		}
		invoked[name] = source.Spec.Timezone + " " + source.Spec.Schedule
	}
	for _, f := range system.Functions {
		want := ""
		switch {
		case f.Every >= 24*time.Hour:
			want = "UTC 0 2 * * *"
		case f.Every > 0:
			want = "UTC * * * * *"
		}
		if _, exists := d.functions[f.Name]; exists && invoked[f.Name] != want {
			d.fault("%s: time invokes it at %q, and should at %q", f.Name, invoked[f.Name], want)
		}
		delete(invoked, f.Name)
	}
	for name := range invoked {
		d.fault("time invokes %s, which is no function", name)
	}
}

// checkDaprds checks that each daprd calls its function, lets it sleep, and that the shared
// one is where functions look for it.
func (d *deployment) checkDaprds() {
	d.checkDaprd("daprd", map[string]string{
		"--app-id": "duebell", "--app-channel-address": trigger + inCluster, "--dapr-grpc-port": "50001", "--dapr-listen-addresses": "0.0.0.0",
	})
	for _, f := range system.Functions {
		if _, exists := d.functions[f.Name]; !exists || !f.Subscribes {
			continue
		}
		subscribes := slices.ContainsFunc(d.objects, func(o object) bool {
			s, ok := o.any.(*subscriptions.Subscription)
			return ok && slices.Contains(s.Scopes, f.Name) && s.Spec.Pubsubname == jobs.PubSub && s.Spec.Topic == events.Topic &&
				"POST "+s.Spec.Routes.Default == events.Route && s.Spec.BulkSubscribe.MaxMessagesCount <= events.MaxBulk
		})
		_, has := d.pods["daprd-"+f.Name]
		switch {
		case !has && !subscribes: // nobody wants events
		case !subscribes:
			d.fault("%s: no Subscription brings it %s, %d at a time at most", f.Name, events.Topic, events.MaxBulk)
		default:
			d.checkDaprd("daprd-"+f.Name, map[string]string{
				"--app-id": f.Name, "--app-channel-address": f.Name + inCluster, "--dapr-listen-addresses": "[::1],127.0.0.1",
			})
		}
	}
}

func (d *deployment) checkDaprd(name string, want map[string]string) {
	pod, ok := d.pods[name]
	if !ok {
		d.fault("there is no Deployment/%s", name)
		return
	}
	i := slices.IndexFunc(pod.spec.Containers, func(c core.Container) bool { return c.Name == "daprd" })
	if i < 0 {
		d.fault("Dapr would add no daprd to Deployment/%s", name)
		return
	}
	args := pod.spec.Containers[i].Args
	want["--app-port"], want["--disable-init-endpoints"] = "80", "config,subscribe"
	for flag, value := range want {
		if got := argument(args, flag); got != value {
			d.fault("Deployment/%s: its daprd is started with %s %q, want %q", name, flag, got, value)
		}
	}
	// Dapr's injector may be away when the pod is made, and the pod is made all the same: only
	// the other container's probe tells that there is no daprd in it.
	listens := func(probe *core.Probe) bool {
		return probe != nil && probe.TCPSocket != nil && slices.ContainsFunc([]string{"--dapr-grpc-port", "--dapr-public-port"}, func(flag string) bool {
			return argument(args, flag) == probe.TCPSocket.Port.String()
		})
	}
	for n, c := range pod.spec.Containers {
		if n != i && !listens(c.ReadinessProbe) {
			d.fault("Deployment/%s: the container %s does not probe a port of its daprd", name, c.Name)
		}
	}
	if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--scheduler-host-address") }) {
		d.fault("Deployment/%s: its daprd knows no scheduler", name)
	}
	if slices.Contains(args, "--enable-app-health-check") {
		d.fault("Deployment/%s: its daprd checks its app's health, which would keep it awake", name)
	}
	for _, token := range []string{"DAPR_API_TOKEN", "APP_API_TOKEN"} {
		if !slices.ContainsFunc(pod.spec.Containers[i].Env, func(v core.EnvVar) bool { return v.Name == token }) {
			d.fault("Deployment/%s: its daprd has no %s", name, token)
		}
	}
}

// argument returns what follows a flag.
func argument(args []string, flag string) string {
	if n := slices.Index(args, flag); n >= 0 && n+1 < len(args) {
		return args[n+1]
	}
	return ""
}
