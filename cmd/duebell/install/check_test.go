package install

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/storetest"
)

// On a working installation each check reports success.
func TestAllIsWell(t *testing.T) {
	f := newFake(t)
	if n := f.check(f.options()); n != 0 {
		t.Errorf("%d are bad", n)
	}
	want := `✓ cluster: Kubernetes v1.34.4
✓ settings: manifests/overlays/production has 8 objects
✓ knative serving: Knative Serving 1.23.0 is ready
✓ knative eventing: Knative Eventing 1.23.0 is ready
✓ way to functions: kourier-system/kourier-internal is ready, of Knative's ingress class kourier.ingress.networking.knative.dev
✓ gateway: gateways/public is ready, and takes api.duebell.test
✓ dapr: Dapr 1.18.3 is ready
✓ dapr injector: daprd drops its capabilities, and does not run as root
✓ dapr scheduler: 3 of 3 copies of Dapr's scheduler are ready, and their volumes are bound
✓ network policies: cilium is there, which enforces them as a rule
✓ secrets: 5 are there, with the keys that are asked for
✓ secrets: daprd shows the app token that functions accept
✓ images: 3 images, each named by its digest
✓ sign-in: the issuer URL answers
✓ database: Postgres N answers
✓ schema: it is migrated, to N
CONNECTIONS
✓ pooler: each connection has a session of its own
✓ migration: the job migrate is complete
✓ daprd: daprd: ready
✓ functions: 2 are ready
✓ schedules: time invokes retry-dlq and nightly-cleanup
✓ route: the gateway serves it
✓ sweep: nothing is overdue
`
	got := regexp.MustCompile(`http://127\S+`).ReplaceAllString(f.lines(), "URL")
	got = regexp.MustCompile(`Postgres \S+`).ReplaceAllString(got, "Postgres N")
	got = regexp.MustCompile(`migrated, to \d+`).ReplaceAllString(got, "migrated, to N")
	got = regexp.MustCompile(`(?m)^[✓!] connections: \d+ connections are allowed, and the functions open 100 .*\n(    → psql .*\n)?`).ReplaceAllString(got, "CONNECTIONS\n")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

const (
	serving   = "/apis/apps/v1/namespaces/knative-serving/deployments"
	dapr      = "/apis/apps/v1/namespaces/dapr-system/deployments"
	injector  = "/apis/apps/v1/namespaces/dapr-system/deployments/dapr-sidecar-injector"
	scheduler = "/apis/apps/v1/namespaces/dapr-system/statefulsets/dapr-scheduler-server"
	claims    = "/api/v1/namespaces/dapr-system/persistentvolumeclaims"
	classes   = "/apis/storage.k8s.io/v1/storageclasses"
	network   = "/api/v1/namespaces/knative-serving/configmaps/config-network"
	endpoints = "/apis/discovery.k8s.io/v1/namespaces/kourier-system/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkourier-internal"
	public    = "/apis/gateway.networking.k8s.io/v1/namespaces/gateways/gateways/public"
	daprd     = "/apis/apps/v1/namespaces/duebell/deployments"
	pods      = "/api/v1/namespaces/duebell/pods?labelSelector=duebell.dev%2Fpart"
	functions = "/apis/serving.knative.dev/v1/namespaces/duebell/services"
	pings     = "/apis/sources.knative.dev/v1/namespaces/duebell/pingsources"
	route     = "/apis/gateway.networking.k8s.io/v1/namespaces/duebell/httproutes/duebell"
	migrating = "/apis/batch/v1/namespaces/duebell/jobs/migrate"
)

// Each of these mistakes is found, and the finding says what to do.
func TestMistakesAreFound(t *testing.T) {
	gone := func(paths ...string) func(*fake) {
		return func(f *fake) {
			for _, path := range paths {
				if _, there := f.cluster[path]; !there {
					f.t.Fatal("there is no", path)
				}
				delete(f.cluster, path)
			}
		}
	}
	changed := func(path, old, replacement string) func(*fake) {
		return func(f *fake) { f.change(path, old, replacement) }
	}
	overlay := func(old, replacement string) func(*fake) {
		return func(f *fake) { f.changeOverlay(old, replacement) }
	}
	secret := func(name, key, value string) func(*fake) {
		return func(f *fake) { f.secret(name, key, value) }
	}
	_, database := storetest.Open(t)
	for name, c := range map[string]struct {
		mistake    func(*fake)
		want, next string
	}{
		"an old Kubernetes":                {changed("/version", "v1.34.4", "v1.30.1"), "! cluster: Kubernetes v1.30.1", ""},
		"no Knative Serving":               {gone("/apis/serving.knative.dev/v1"), "✗ knative serving: Knative Serving is not installed", "serving-core.yaml"},
		"an old Knative Serving":           {changed(serving, `"1.23.0"`, `"1.15.2"`), "! knative serving: Knative Serving 1.15.2 is ready", "serving-core.yaml"},
		"a Knative that was built by hand": {changed(serving, `"1.23.0"`, `"devel"`), "! knative serving: Knative Serving is ready; it does not say its version", ""},
		"Knative Serving in part":          {changed(serving, `"name":"activator"`, `"name":"other"`), "✗ knative serving: Knative Serving lacks its Deployment activator", "serving-core.yaml"},
		"no activator":                     {changed(serving, `"availableReplicas":1`, `"availableReplicas":0`), "✗ knative serving: Knative Serving: activator is not available", "describe deployment activator"},
		"no Knative Eventing":              {gone("/apis/sources.knative.dev/v1"), "✗ knative eventing: Knative Eventing is not installed", "eventing-core.yaml"},
		"Knative's default ingress class":  {changed(network, `"ingress-class"`, `"_example"`), "✗ way to functions: Knative's ingress class is istio.ingress", "config-network"},
		"another ingress class":            {changed(network, "kourier.ingress", "traefik.ingress"), "✓ way to functions: kourier-system/kourier-internal is ready, of Knative's ingress class traefik", ""},
		"no Kourier":                       {changed(endpoints, `"kourier-internal-x2c4d"`, `"other"`), "✓ way to functions", ""},
		"a Kourier that is not ready":      {changed(endpoints, `"ready":true`, `"ready":false`), "✗ way to functions: nothing is ready behind the service kourier-system/kourier-internal", "get pods,services"},
		"no service of Kourier":            {func(f *fake) { f.cluster[endpoints] = `{"items": []}` }, "✗ way to functions: nothing is ready behind", "kourier.yaml"},
		"no Gateway API":                   {gone("/apis/gateway.networking.k8s.io/v1"), "✗ gateway: the Gateway API is not installed", "standard-install.yaml"},
		"no gateway":                       {gone(public), "✗ gateway: there is no gateway gateways/public", "get gateways"},
		"a gateway that is not ready":      {changed(public, `"type":"Programmed","status":"True","reason":"Programmed","message":""`, `"type":"Programmed","status":"False","reason":"AddressNotAssigned","message":"no\naddress"`), "✗ gateway: the gateway gateways/public is not ready: no address", "describe gateways"},
		"a gateway for its own namespace":  {changed(public, `"from":"All"`, `"from":"Same"`), "✗ gateway: no listener of the gateway gateways/public takes routes of the namespace duebell for api.duebell.test", "allowedRoutes"},
		"a gateway for another namespace":  {changed(public, `"from":"All"`, `"from":"Selector","selector":{"matchLabels":{"kubernetes.io/metadata.name":"other"}}`), "✗ gateway: no listener", "allowedRoutes"},
		"a gateway for another host":       {changed(public, "*.duebell.test", "*.other.test"), "✗ gateway: no listener of the gateway gateways/public serves api.duebell.test", "-o yaml"},
		"a gateway without TLS":            {changed(public, `"protocol":"HTTPS"`, `"protocol":"HTTP"`), "! gateway: the gateway gateways/public is ready and takes api.duebell.test, without TLS", ""},
		"the host name of the example": {func(f *fake) {
			f.changeOverlay("api.duebell.test", "api.example.com")
			f.change(public, "*.duebell.test", "*.example.com")
		}, "! gateway: the host name of the API is that of the example, api.example.com", "production/kustomization.yaml"},
		"no Dapr":                         {gone("/apis/dapr.io/v1alpha1"), "✗ dapr: Dapr is not installed", "sidecarDropALLCapabilities=true"},
		"an old Dapr":                     {changed(dapr, `"1.18.3"`, `"1.17.9"`), "✗ dapr: Dapr is 1.17.9, and Duebell needs 1.18", "helm upgrade"},
		"a Dapr whose scheduler stops":    {changed(dapr, `"1.18.3"`, `"1.18.1"`), "! dapr: Dapr is 1.18.1, whose scheduler may stop", "--version 1.18.3"},
		"a Dapr that does not look":       {changed(dapr, `"--watch-interval","1m"`, `"--watch-interval","0"`), "! dapr: Dapr 1.18.3 is ready, and does not look for pods", "watchInterval=1m"},
		"a Dapr that looks once":          {changed(dapr, `"--watch-interval","1m"`, `"--watch-interval","once"`), "! dapr: Dapr 1.18.3 is ready, and does not look for pods", "watchInterval=1m"},
		"a Dapr with one copy of each":    {changed(dapr, `"replicas":3,"selector"`, `"replicas":1,"selector"`), "! dapr: Dapr 1.18.3 is ready, with one copy of dapr-operator", "ha.enabled=true"},
		"an injector as the chart has it": {changed(injector, `"SIDECAR_DROP_ALL_CAPABILITIES","value":"true"`, `"SIDECAR_DROP_ALL_CAPABILITIES","value":"false"`), "✗ dapr injector: the option sidecarDropALLCapabilities is not set", "dapr_sidecar_injector.sidecarDropALLCapabilities=true"},
		"an injector that says nothing":   {changed(injector, "SIDECAR_DROP_ALL_CAPABILITIES", "OTHER"), "✗ dapr injector: the option sidecarDropALLCapabilities", ""},
		"daprds that run as root":         {changed(injector, `"SIDECAR_RUN_AS_NON_ROOT","value":"true"`, `"SIDECAR_RUN_AS_NON_ROOT","value":"false"`), "✗ dapr injector: the option sidecarRunAsNonRoot", "sidecarRunAsNonRoot=true"},
		"two schedulers of three":         {changed(scheduler, `"readyReplicas":3`, `"readyReplicas":2`), "! dapr scheduler: 2 of 3", "describe statefulset"},
		"one scheduler of three":          {changed(scheduler, `"readyReplicas":3`, `"readyReplicas":1`), "✗ dapr scheduler: 1 of 3", "describe statefulset"},
		"one scheduler":                   {changed(scheduler, `eplicas":3`, `eplicas":1`), "! dapr scheduler: Dapr's scheduler has 1 copies", "ha.enabled=true"},
		"a scheduler in memory":           {func(f *fake) { f.cluster[claims] = `{"items": []}` }, "! dapr scheduler: 3 of 3 copies of Dapr's scheduler are ready, without volumes", ""},
		"volumes that nobody makes":       {func(f *fake) { f.change(claims, "Bound", "Pending"); f.cluster[classes] = `{"items": []}` }, "✗ dapr scheduler: there is no StorageClass", "get storageclasses"},
		"volumes that are not there yet":  {changed(claims, "Bound", "Pending"), "✗ dapr scheduler: the volume dapr-scheduler-data-dir-dapr-scheduler-server-0 of Dapr's scheduler is pending", "describe pvc"},
		"no default StorageClass":         {func(f *fake) { delete(f.cluster, scheduler); f.change(classes, `"true"`, `"false"`) }, "! dapr scheduler: no StorageClass is the default", "storageClassName=standard"},
		"nothing that enforces policies":  {changed("/apis/apps/v1/daemonsets", "cilium", "kube-proxy"), "! network policies: nothing that is known for it", ""},
		"DaemonSets that may not be seen": {func(f *fake) {
			f.fails["get --raw /apis/apps/v1/daemonsets"] = "Error from server (Forbidden): daemonsets.apps is forbidden"
		}, "! network policies: DaemonSets: your user of the cluster may not look at it", "auth can-i"},
		"an answer that is none":    {func(f *fake) { f.cluster["/apis/apps/v1/daemonsets"] = `[]` }, "✗ network policies: DaemonSets: the cluster's answer", ""},
		"images of the example":     {overlay("registry.duebell.test/", "registry.example.com/"), "✗ images: 3 of 3 images are those of the example", "make images"},
		"images of no registry":     {overlay("registry.duebell.test/duebell/create-task", "create-task"), "✗ images: 1 of 3 images", "make images"},
		"images by tag":             {overlay("@sha256:", ":"), "! images: 3 of 3 images are named without a digest", "make images"},
		"the issuer of the example": {overlay("http://127", "https://login.example.com/127"), "✗ sign-in: the issuer is that of the example", "production/settings.yaml"},
		"an issuer that is none":    {overlay("OIDC_ISSUER: http", "OIDC_ISSUER: ftp"), "✗ sign-in: OIDC_ISSUER must be an https URL", "production/settings.yaml"},
		"no audience":               {overlay("  OIDC_AUDIENCE: duebell\n", ""), "✗ sign-in: OIDC_AUDIENCE", "production/settings.yaml"},
		"an issuer by another name": {overlay("OIDC_ISSUER: http://127.0.0.1", "OIDC_ISSUER: http://localhost"), "✗ sign-in: the issuer is set to", "production/settings.yaml"},
		"an issuer that does not answer": {func(f *fake) {
			f.overlay = regexp.MustCompile(`http://127\S+`).ReplaceAllString(f.overlay, "http://127.0.0.1:1")
		}, "✗ sign-in: the issuer http://127.0.0.1:1 does not answer", "curl"},
		"an issuer with another path":    {func(f *fake) { f.overlay = regexp.MustCompile(`http://127\S+`).ReplaceAllString(f.overlay, "$0/realm") }, "✗ sign-in: the issuer http", "curl"},
		"no settings of sign-ins":        {overlay("name: duebell-sign-in\n  namespace", "name: other\n  namespace"), "✗ sign-in: the overlay has no ConfigMap duebell-sign-in", ""},
		"no secret of the database":      {gone(secretsPath + "duebell-database"), "✗ secrets: there is no secret duebell-database", `create secret generic duebell-database --from-literal=DATABASE_URL="$DATABASE_URL"`},
		"no token":                       {gone(secretsPath + "duebell-callback"), "✗ secrets: there is no secret duebell-callback", "create secret generic duebell-callback"},
		"no secret of Kafka":             {gone(secretsPath + "duebell-kafka"), "✗ secrets: there is no secret duebell-kafka", "create secret generic duebell-kafka"},
		"a secret without its key":       {secret("dapr-api-token", "other", "x"), "✗ secrets: the secret dapr-api-token has no key token", "delete secret dapr-api-token"},
		"a token with the end of a line": {secret("dapr-api-token", "token", "0123456789abcdef\n"), "✗ secrets: the secret dapr-api-token has a space or the end of a line", "delete secret"},
		"a token that everybody knows":   {secret("dapr-api-token", "token", "at-least-32-random-characters-for-the-api"), "✗ secrets: the secret dapr-api-token is the one of manifests/secrets.yaml", "delete secret"},
		"tokens that differ":             {secret("duebell-callback", "APP_API_TOKEN", "another-token-than-daprd-has"), "✗ secrets: the app token of dapr-app-token is not one that duebell-callback accepts", "delete secret duebell-callback"},
		"a token that is being changed":  {secret("duebell-callback", "APP_API_TOKEN", "the-new-one-of-them,c0ffee00c0ffee00c0ffee00c0ffee00"), "✓ secrets: daprd shows the app token", ""},
		"a token that is short":          {secret("duebell-callback", "APP_API_TOKEN", "short"), "✗ secrets: the secret duebell-callback: APP_API_TOKEN must have at least", "delete secret"},
		"a secret that may not be seen": {func(f *fake) {
			f.fails["get --raw "+secretsPath+"dapr-api-token"] = "Error from server (Forbidden): secrets"
		}, "! secrets: the secret dapr-api-token: your user", ""},
		"unsubscribed, and not remembered": {func(f *fake) { channels(f, "UNSUBSCRIBE_KEY", "0123456789abcdef0123456789abcdef") }, "✗ secrets: the secret duebell-channels has UNSUBSCRIBE_KEY and no SUPPRESSION_KEY", "patch secret duebell-channels"},
		"nobody is remembered":             {func(f *fake) { channels(f, "TWILIO_FROM", "+15005550006") }, "! secrets: the secret duebell-channels has no SUPPRESSION_KEY", "patch secret duebell-channels"},
		"nobody can be asked":              {func(f *fake) { channels(f, "SUPPRESSION_KEY", "0123456789abcdef0123456789abcdef") }, "! secrets: there is no VERIFY_KEY in a secret duebell-verify", "create secret generic duebell-verify"},
		"links lead nowhere":               {func(f *fake) { channels(f, "SUPPRESSION_KEY", "0123456789abcdef0123456789abcdef") }, "! secrets: the secret duebell-channels has no PUBLIC_URL", "edit secret duebell-channels"},
		"a provider is not heard":          {func(f *fake) { channels(f, "SENDGRID_API_KEY", "x") }, "! secrets: the secret duebell-reports has no SENDGRID_EVENTS_KEY: bounces", "docs/channels.md"},
		"reports by a wrong key": {func(f *fake) {
			channels(f, "SENDGRID_API_KEY", "x")
			f.secret("duebell-reports", "SENDGRID_EVENTS_KEY", "x")
		}, "✗ secrets: the secret duebell-reports: SENDGRID_EVENTS_KEY must be a public key", "edit secret duebell-reports"},
		"Web Push by a wrong key": {func(f *fake) { channels(f, "WEBPUSH_KEY", "c0ffee") }, "✗ secrets: the secret duebell-channels: WEBPUSH_KEY must be a private key", "edit secret duebell-channels"},
		"a key that everybody knows": {func(f *fake) {
			channels(f, "X", "x")
			f.secret("duebell-verify", "VERIFY_KEY", "at-least-32-random-characters-for-the-codes")
		}, "✗ secrets: the secret duebell-verify is the one of manifests/secrets.yaml", "delete secret duebell-verify"},
		"another database":                 {secret("duebell-database", "DATABASE_URL", "postgres://other.test/duebell"), "! secrets: the secret duebell-database names another database", ""},
		"a migration that failed":          {changed(migrating, `"type":"Complete"`, `"type":"Failed"`), "✗ migration: the job migrate has failed: Reached", "logs job/migrate"},
		"a migration that is under way":    {changed(migrating, `"type":"Complete"`, `"type":"Suspended"`), "! migration: the job migrate is not done", "logs job/migrate"},
		"a migration that was tidied away": {gone(migrating), "✓ schema: it is migrated", ""},
		"daprds that Kubernetes refuses":   {changed(daprd, `"availableReplicas":2,"conditions":[`, `"availableReplicas":0,"conditions":[{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"violates PodSecurity"},`), "✗ daprd: daprd: no copy is ready: violates PodSecurity", "describe pods"},
		"a pod without daprd": {func(f *fake) {
			f.change(daprd, `"availableReplicas":2`, `"availableReplicas":1`)
			f.cluster[pods] = `{"items": [{"metadata": {"name": "daprd-7c5d"}, "spec": {"containers": [{"name": "pause"}]}}, {"metadata": {"name": "daprd-9f2b"}, "spec": {"containers": [{"name": "pause"}, {"name": "daprd"}]}}]}`
		}, "✗ daprd: daprd-7c5d was made while Dapr's injector did not answer", "delete pod daprd-7c5d"},
		"one daprd":                         {changed(daprd, `"availableReplicas":2`, `"availableReplicas":1`), "! daprd: daprd: 1 of 2", "get pods"},
		"daprds that were scaled away":      {changed(daprd, `"spec":{"replicas":2`, `"spec":{"replicas":0`), "✗ daprd: daprd is scaled to nothing", "--replicas=2"},
		"no daprd":                          {changed(daprd, `"name":"daprd"`, `"name":"other"`), "✗ daprd: there is no Deployment daprd", "apply -k manifests/overlays/production"},
		"a function that is not ready":      {changed(functions, `"conditions":[{"type":"Ready","status":"True"`, `"conditions":[{"type":"Ready","status":"False","reason":"RevisionFailed","message":"can't pull"`), "✗ functions: create-task is not ready: can't pull", "describe services.serving.knative.dev create-task"},
		"a function that is not there":      {changed(functions, `"name":"create-task"`, `"name":"other"`), "✗ functions: create-task is not there", "apply -k"},
		"no sweep":                          {changed(pings, `"name":"retry-dlq","namespace"`, `"name":"other","namespace"`), "✗ schedules: nothing invokes retry-dlq: its PingSource is not there", "apply -k"},
		"a sweep that is not called":        {changed(pings, `"status":"True"`, `"status":"False","message":"no sink"`), "✗ schedules: nothing invokes retry-dlq: no sink", "describe pingsources"},
		"no route":                          {gone(route), "✗ route: there is no HTTPRoute duebell", "apply -k"},
		"a route that was refused":          {changed(route, `"type":"ResolvedRefs","status":"True","reason":"ResolvedRefs","message":""`, `"type":"ResolvedRefs","status":"False","reason":"RefNotPermitted","message":""`), "✗ route: the gateway does not serve it: RefNotPermitted", "describe httproutes"},
		"a route that nobody has looked at": {func(f *fake) { f.cluster[route] = `{"status": {}}` }, "✗ route: no gateway has taken it", "describe httproutes"},
		"a folder that can't be applied":    {func(f *fake) { f.fails["kustomize"] = "error: accumulating resources: no such file" }, "✗ settings: manifests/overlays/production can't be applied: error: accumulating resources: no such file", "kubectl kustomize"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeOn(t, database)
			c.mistake(f)
			n := f.check(f.options())
			lines := f.lines()
			if !strings.Contains(lines, c.want) {
				t.Fatalf("nothing says %q:\n%s", c.want, lines)
			}
			if _, after, _ := strings.Cut(lines, c.want); !strings.Contains(after, c.next) {
				t.Errorf("nothing says what to do, %q:\n%s", c.next, lines)
			}
			if bad := strings.Count("\n"+lines, "\n✗ "); bad != n || strings.HasPrefix(c.want, "✗") == (n == 0) {
				t.Errorf("%d are bad, and it says %d:\n%s", bad, n, lines)
			}
			for _, found := range f.found {
				if found.State == Bad && len(found.Next) == 0 {
					t.Errorf("%s does not say what to do: %s", found.Name, found.Text)
				}
			}
			if text := lines; strings.Contains(text, "c0ffee") || strings.Contains(text, "password-of-kafka") {
				t.Errorf("it shows a secret:\n%s", text)
			}
			if calls := f.calls(); calls != nil {
				t.Errorf("it changes something: %q", calls)
			}
		})
	}
}

// channels sets a channel up with one key of its secret.
func channels(f *fake, key, value string) {
	f.changeOverlay("        - secretRef:\n            name: duebell-channels\n            optional: true\n", `        - secretRef:
            name: duebell-channels
            optional: true
        - secretRef:
            name: duebell-reports
            optional: true
`)
	f.changeOverlay("        - name: SEND_URL\n", `        - name: VERIFY_KEY
          valueFrom:
            secretKeyRef:
              key: VERIFY_KEY
              name: duebell-verify
              optional: true
        - name: SEND_URL
`)
	f.secret("duebell-channels", key, value)
}

// A channel that is set up with all protection against abuse is reported as such.
func TestAddressesAreWell(t *testing.T) {
	f := newFake(t)
	channels(f, "X", "x")
	f.cluster[secretsPath+"duebell-channels"] = `{"data": {"SUPPRESSION_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "PUBLIC_URL": "aHR0cHM6Ly9hcGkuZHVlYmVsbC50ZXN0"}}`
	f.secret("duebell-verify", "VERIFY_KEY", "0123456789abcdef0123456789abcdef")
	if n := f.check(f.options()); n != 0 || !strings.Contains(f.lines(), "✓ secrets: addresses can be verified and suppressed, and providers are heard") {
		t.Errorf("%d are bad:\n%s", n, f.lines())
	}
}

// An issuer inside the cluster is called through the API server.
func TestIssuerInTheCluster(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"it answers":     {`{"issuer": "http://issuer.login.svc.cluster.local:443"}`, "✓ sign-in: the issuer http://issuer.login.svc.cluster.local:443 answers"},
		"as another one": {`{"issuer": "http://issuer.login.svc"}`, "✗ sign-in: the issuer is set to"},
		"it does not":    {"", "! sign-in: the issuer http://issuer.login.svc.cluster.local:443 is in the cluster, and can't be asked from here"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.overlay = regexp.MustCompile(`http://127\S+`).ReplaceAllString(f.overlay, "http://issuer.login.svc.cluster.local:443")
			if c.answer != "" {
				f.cluster["/api/v1/namespaces/login/services/http:issuer:443/proxy/.well-known/openid-configuration"] = c.answer
			}
			f.check(f.options())
			if !strings.Contains(f.lines(), c.want) {
				t.Errorf("nothing says %q:\n%s", c.want, f.lines())
			}
		})
	}
}

// Without a cluster or kubectl there is one finding about that. Checks that need neither are done.
func TestNoCluster(t *testing.T) {
	f := newFake(t)
	f.fails["get --raw"] = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
	if n := f.check(f.options()); n != 1 || !strings.Contains(f.lines(), "✗ cluster: it can't be reached: The connection") || !strings.Contains(f.lines(), "✓ database") {
		t.Errorf("%d:\n%s", n, f.lines())
	}
	f.found = nil
	o := f.options()
	o.Kubectl = Kubectl{"/there/is/no/kubectl"}
	if n := f.check(o); n != 1 || !strings.Contains(f.lines(), "✗ cluster: /there/is/no/kubectl: there is no such program") || !strings.Contains(f.lines(), "✓ database") {
		t.Errorf("%d:\n%s", n, f.lines())
	}
}

// Before the installation there are no findings about it; without an overlay there are none about
// settings.
func TestNotInstalled(t *testing.T) {
	f := newFake(t)
	for path := range f.cluster {
		if strings.Contains(path, "/duebell/") && !strings.Contains(path, "/secrets/") {
			delete(f.cluster, path)
		}
	}
	o := f.options()
	o.Overlay = ""
	n := f.check(o)
	lines := f.lines()
	if n != 0 || !strings.Contains(lines, "! settings: none are looked at") {
		t.Errorf("%d:\n%s", n, lines)
	}
	for _, c := range []string{"daprd", "functions", "sweep", "images", "sign-in", "secrets"} {
		if regexp.MustCompile("(?m)^. " + c + ":").MatchString(lines) {
			t.Errorf("it says something of %s:\n%s", c, lines)
		}
	}
}

// The commands that findings recommend are those of docs/deploy.md.
func TestSaysWhatThePageSays(t *testing.T) {
	page, err := os.ReadFile("../../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, commands := range []string{installServing, installEventing, installKourier, setIngress, installDapr} {
		for command := range strings.SplitSeq(commands, " && ") {
			if !strings.Contains(string(page), command+"\n") {
				t.Errorf("docs/deploy.md does not say %s", command)
			}
		}
	}
}
