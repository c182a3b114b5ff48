package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dapr/dapr/pkg/apis/common"
	components "github.com/dapr/dapr/pkg/apis/components/v1alpha1"
	core "k8s.io/api/core/v1"
	serving "knative.dev/serving/pkg/apis/serving/v1"

	duebell "github.com/duebell/duebell/cmd/duebell/install"
	"github.com/duebell/duebell/shared/config"
)

const root = "../.."

var (
	files     tree
	functions map[string][]config.Variable
	all       schemas
	chart     *dapr
)

func TestMain(m *testing.M) {
	var err error
	if functions, err = readFunctions(root); err != nil {
		panic(err)
	}
	if files, err = readManifests(root); err != nil {
		panic(err)
	}
	if all, err = readSchemas(); err != nil {
		panic(err)
	}
	if chart, err = readDapr(root); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestManifests(t *testing.T) {
	problems, objects := check(files, functions, all, chart)
	for _, problem := range problems {
		t.Error(problem)
	}
	if objects < 2*len(functions) {
		t.Errorf("only %d objects were looked at", objects)
	}
}

// What duebell deploy writes is as good as the overlay that it is made of, wherever events go.
func TestOverlaysThatDeployWrites(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "manifests"), os.DirFS(filepath.Join(root, "manifests"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for events, broker := range map[string]string{"none": "", "kafka": "kafka.test:9093", "redis": "redis.test:6379"} {
		err := duebell.WriteOverlay("manifests/overlays/"+events, duebell.Settings{
			Host: "api.duebell.test", Gateway: "gateways/public", Issuer: "https://login.duebell.test", Audience: "duebell", Events: events, Broker: broker,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	written, err := readManifests(".")
	if err != nil {
		t.Fatal(err)
	}
	problems, objects := check(written, functions, all, chart)
	for _, problem := range problems {
		t.Error(problem)
	}
	if _, before := check(files, functions, all, chart); objects < before+3*2*len(functions) {
		t.Errorf("only %d objects were looked at", objects)
	}
}

// What the check is for: each of these mistakes in a copy makes it fail, and say so.
func TestMistakesAreFound(t *testing.T) {
	const service = "knative/functions/create-task.yaml"
	for name, mistake := range map[string]struct {
		file, old, replacement string
		want                   string
	}{
		"a field that does not exist":                {service, "containerConcurrency:", "containerConcurency:", `unknown field "containerConcurency"`},
		"a field twice":                              {service, "      timeoutSeconds: 30\n", "      timeoutSeconds: 30\n      timeoutSeconds: 40\n", "timeoutSeconds"},
		"a value that Knative refuses":               {service, `max-scale: "5"`, `max-scale: "-5"`, "max-scale"},
		"a probe that Knative refuses":               {"knative/every-function.yaml", "path: /readyz}}", "path: /readyz}, timeoutSeconds: 3}", "timeoutSeconds is disallowed"},
		"a kind that nobody knows":                   {"knative/schedules.yaml", "kind: PingSource", "kind: PongSource", "PongSource"},
		"a secret that is not there":                 {service, "name: duebell-database", "name: duebell-data", "create-task: there is no Secret/duebell-data"},
		"a key that is not there":                    {service, "key: token", "key: tokens", "create-task: there is no Secret/dapr-api-token with the key tokens"},
		"an example that lacks a key":                {"secrets.yaml", "  DATABASE_URL:", "  DATABASE_URI:", "DATABASE_URL is missing"},
		"an example that has too much":               {"secrets.yaml", "  PUBLIC_URL:", "  PUBLIC_URI:", "it is given PUBLIC_URI, which it does not read"},
		"a token that daprd would not find":          {"dapr/daprd.yaml", "app-token-secret: dapr-app-token", "app-token-secret: app-token", "daprd: there is no Secret/app-token with the key token"},
		"a variable that is missing":                 {service, "            - name: DAPR_GRPC_ENDPOINT\n              value: daprd.duebell.svc.cluster.local:50001\n", "", "create-task: DAPR_GRPC_ENDPOINT is missing"},
		"a variable that nobody reads":               {service, "name: DATABASE_MAX_CONNS", "name: DATABASE_MAX", "create-task: it is given DATABASE_MAX, which it does not read"},
		"a function that is left out":                {"knative/kustomization.yaml", "  - functions/inbox.yaml\n", "", "functions/inbox has no manifest"},
		"another function's image":                   {service, "image: create-task", "image: update-task", "create-task: its image is"},
		"an image that is nobody's":                  {"images/kustomization.yaml", "  - name: create-task\n", "  - name: create-tusk\n", `the image "create-task" has no registry`},
		"a path that leads nowhere":                  {"knative/route.yaml", "value: /api/dlq", "value: /api/dlqs", "GET /api/dlq leads nowhere"},
		"a path that leads elsewhere":                {"knative/route.yaml", "hostname: inbox.", "hostname: preferences.", "GET /api/notifications leads to preferences, and should to inbox"},
		"a way in for all":                           {"knative/route.yaml", "value: /api/dlq}", "value: /}", "GET /metrics leads to dead-letters, and should nowhere"},
		"a route that the API server refuses":        {"knative/route.yaml", "value: /api/preferences}", "value: api/preferences}", "must be an absolute path"},
		"a port that is missing":                     {"knative/route.yaml", "namespace: kourier-system, port: 80}", "namespace: kourier-system}", "Must have port for Service reference"},
		"a route without a host":                     {"overlays/knative/kustomization.yaml", "path: /spec/hostnames", "path: /spec/rules/0/matches/0/headers", "HTTPRoute/duebell has no gateway or no host name"},
		"a function that is public":                  {"knative/every-function.yaml", "visibility: cluster-local", "visible: cluster-local", "is public by itself"},
		"a sweep every hour":                         {"knative/schedules.yaml", `"* * * * *"`, `"0 * * * *"`, "retry-dlq: time invokes it at"},
		"a schedule that is none":                    {"knative/schedules.yaml", `"* * * * *"`, `"* * *"`, "invalid value"},
		"a cleanup by another clock":                 {"knative/schedules.yaml", "schedule: \"0 2 * * *\"\n  timezone: UTC", "schedule: \"0 2 * * *\"\n  timezone: Europe/Paris", "nightly-cleanup: time invokes it at"},
		"a schedule for nobody":                      {"knative/schedules.yaml", "kind: Service, name: retry-dlq", "kind: Service, name: retry", "time invokes retry, which is no function"},
		"a container that runs as root":              {"knative/every-function.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "create-task: runAsNonRoot"},
		"a container that can write":                 {"knative/every-function.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can write to its root"},
		"a daprd without seccomp":                    {"dapr/daprd.yaml", "dapr.io/sidecar-seccomp-profile-type: RuntimeDefault", "dapr.io/log-level: info", "daprd: seccompProfile"},
		"a console that reaches somebody":            {"knative/kustomization.yaml", "name: create-task|create-tasks-batch", "name: console|create-task|create-tasks-batch", "console: NetworkPolicies let it reach the Internet is true"},
		"a console on every path":                    {"knative/route.yaml", "{type: PathPrefix, value: /console}", "{type: PathPrefix, value: /}", "GET /metrics leads to console, and should nowhere"},
		"a daprd that wakes its app":                 {"dapr/daprd.yaml", `enable-app-health-check: "false"`, `enable-app-health-check: "true"`, "keep it awake"},
		"a daprd that calls somebody else":           {"dapr/daprd.yaml", "app-channel-address: trigger-reminder.", "app-channel-address: retry-dlq.", "--app-channel-address"},
		"a daprd that nobody adds":                   {"dapr/daprd.yaml", `dapr.io/enabled: "true"`, `dapr.io/enabled: "false"`, "Dapr would add no daprd"},
		"a subscriber that nobody brings events":     {"dapr/subscribers/kustomization.yaml", ", ../../subscriptions]", "]", "analytics: no Subscription brings it task-reminders"},
		"a bulk that no subscriber takes":            {"subscriptions/analytics.yaml", "maxMessagesCount: 100", "maxMessagesCount: 2000", "1000 at a time"},
		"a subscriber without a daprd":               {"dapr/subscribers/kustomization.yaml", "daprd-audit-log.yaml, ", "", "there is no Deployment/daprd-audit-log"},
		"an OpenFunction field that does not exist":  {"openfunction/functions/inbox.yaml", "maxReplicas:", "maxReplica:", `Function/inbox: error unmarshaling JSON: while decoding JSON: json: unknown field "maxReplica"`},
		"an OpenFunction value that Knative refuses": {"openfunction/functions/inbox.yaml", `target: "1000"`, `target: "-1"`, "autoscaling.knative.dev/target"},
		"an OpenFunction container by another name":  {"openfunction/functions/inbox.yaml", "name: function", "name: inbox", `called "function"`},
		"an OpenFunction probe without a port":       {"openfunction/every-function.yaml", "path: /readyz, port: 8080", "path: /readyz", "a probe has no port"},
		"an OpenFunction path that leads elsewhere":  {"openfunction/functions/inbox.yaml", "/api/notifications", "/api/notes", "overlays/openfunction: GET /api/notifications leads nowhere"},
		"an OpenFunction function that is public":    {"openfunction/functions/retry-dlq.yaml", "hostnames: [retry-dlq", "gatewayRef: {name: x, namespace: y} #", "would make a public one up"},
		"an OpenFunction function without its way":   {"openfunction/functions/send.yaml", "value: /}", "value: /x}", "Function/send has no rule for /"},
		"an OpenFunction subscriber without its way": {"openfunction/functions/analytics.yaml", "/events/task-reminders", "/events", "has no rule for /events/task-reminders"},
		"an OpenFunction schedule for nobody":        {"openfunction/schedules.yaml", "//retry-dlq.", "//retry.", "time invokes retry, which is no function"},
		"a function that could take keys out":        {"knative/kustomization.yaml", "|analytics|send}", "|analytics|send|trigger-reminder}", "trigger-reminder: NetworkPolicies let it reach the Internet is true"},
		"a sender that reaches no provider":          {"knative/kustomization.yaml", "|analytics|send}", "|analytics}", "send: NetworkPolicies let it reach the Internet is false"},
		"a sweep that can't wake the sender":         {"openfunction/kustomization.yaml", "name: trigger-reminder|retry-dlq|preferences}", "name: trigger-reminder}", "retry-dlq: NetworkPolicies let it reach other functions is false"},
		"a pod that misses its daprd unnoticed":      {"dapr/subscribers/every-daprd.yaml", "port: 3501", "port: 3500", "daprd-analytics: the container pause does not probe a port of its daprd"},
		"a Dapr field that does not exist":           {"dapr/configuration.yaml", "defaultAction: deny", "defaultActions: deny", `unknown field "defaultActions"`},
	} {
		t.Run(name, func(t *testing.T) {
			copied := maps.Clone(files)
			if !strings.Contains(copied[mistake.file], mistake.old) {
				t.Fatalf("manifests/%s does not say %q", mistake.file, mistake.old)
			}
			copied[mistake.file] = strings.ReplaceAll(copied[mistake.file], mistake.old, mistake.replacement)
			problems, _ := check(copied, functions, all, chart)
			if found := strings.Join(problems, "\n"); !strings.Contains(found, mistake.want) {
				t.Errorf("it does not say %q:\n%s", mistake.want, found)
			}
		})
	}
}

// The command on the page is part of what is checked: without one of its settings, or with a
// setting that the chart does not know, daprd's pods would not start.
func TestMistakesInstallingDaprAreFound(t *testing.T) {
	values, version, err := readChart(root)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(root + "/docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, mistake := range map[string]struct{ old, replacement, want string }{
		"a setting left out":               {" --set dapr_sidecar_injector.sidecarDropALLCapabilities=true", "", `daprd-analytics: unrestricted capabilities (unrestricted capabilities (container "daprd"`},
		"pods that stay without daprd":     {" --set dapr_operator.watchInterval=1m", "", "stays without it"},
		"a setting that is misspelt":       {"sidecarDropALLCapabilities=true", "sidecarDropAllCapabilities=true", "sidecarDropAllCapabilities=true, which Dapr's chart does not have"},
		"a setting with a wrong value":     {"sidecarDropALLCapabilities=true", "sidecarDropALLCapabilities=yes-please", "or has as something else"},
		"a setting that has daprd as root": {"sidecarDropALLCapabilities=true", "sidecarDropALLCapabilities=true,dapr_sidecar_injector.sidecarRunAsNonRoot=false", "daprd: runAsNonRoot != true"},
		"a root that can be written":       {"sidecarDropALLCapabilities=true", "sidecarDropALLCapabilities=true,dapr_sidecar_injector.sidecarReadOnlyRootFilesystem=false", "daprd: the container daprd can write to its root"},
		"a Dapr without jobs":              {"sidecarDropALLCapabilities=true", "sidecarDropALLCapabilities=true,global.scheduler.enabled=false", "its daprd knows no scheduler"},
		"another version":                  {"--version 1.18.", "--version 1.17.", "it installs Dapr 1.17."},
		"no word of the volumes":           {"three of 16Gi", "some", "wants a volume of 16Gi"},
		"no command":                       {"helm upgrade --install dapr", "helm install dapr", "no line begins with"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(page), mistake.old) {
				t.Fatalf("docs/deploy.md does not say %q", mistake.old)
			}
			problems, _ := check(files, functions, all, install(values, version, strings.ReplaceAll(string(page), mistake.old, mistake.replacement)))
			if found := strings.Join(problems, "\n"); !strings.Contains(found, mistake.want) {
				t.Errorf("it does not say %q:\n%s", mistake.want, found)
			}
		})
	}
}

// An issuer in the cluster that is spoken to over http needs a policy of its own.
func TestIssuerInTheCluster(t *testing.T) {
	const settings, overlay = "overlays/knative/settings.yaml", "overlays/knative/kustomization.yaml"
	copied := maps.Clone(files)
	copied[settings] = strings.ReplaceAll(copied[settings], "https://login.example.com", "http://keycloak.keycloak.svc.cluster.local/realms/x")
	problems, _ := check(copied, functions, all, chart)
	if found := strings.Join(problems, "\n"); !strings.Contains(found, "no NetworkPolicy lets functions reach the issuer http://keycloak") {
		t.Errorf("without the component it says %q", found)
	}
	copied[overlay] = strings.ReplaceAll(copied[overlay], "# - ../../issuer-in-cluster", "- ../../issuer-in-cluster")
	if problems, _ = check(copied, functions, all, chart); len(problems) > 0 {
		t.Errorf("with it: %s", strings.Join(problems, "\n"))
	}
}

func TestFunctionWithoutManifestIsFound(t *testing.T) {
	more := maps.Clone(functions)
	more["send-postcard"] = nil
	problems, _ := check(files, more, all, chart)
	if found := strings.Join(problems, "\n"); !strings.Contains(found, "functions/send-postcard has no manifest") {
		t.Errorf("it says %q", found)
	}
}

func TestManifestWithoutFunctionIsFound(t *testing.T) {
	fewer := maps.Clone(functions)
	delete(fewer, "inbox")
	problems, _ := check(files, fewer, all, chart)
	if found := strings.Join(problems, "\n"); !strings.Contains(found, "inbox has a manifest and no folder in functions") {
		t.Errorf("it says %q", found)
	}
}

// An overlay is copied to be changed; the copy is checked like the others.
func TestCopiedOverlay(t *testing.T) {
	copied := maps.Clone(files)
	for name, text := range files {
		if rest, ok := strings.CutPrefix(name, "overlays/knative/"); ok {
			copied["overlays/production/"+rest] = strings.ReplaceAll(text, "OIDC_ISSUER:", "OIDC_ISSUE:")
		}
	}
	problems, _ := check(copied, functions, all, chart)
	if found := strings.Join(problems, "\n"); !strings.Contains(found, "overlays/production: create-task: OIDC_ISSUER is missing") || strings.Contains(found, "overlays/knative") {
		t.Errorf("it says %q", found)
	}
}

// signIn are the fields of the component on Kafka by which it signs in.
var signIn = []string{"authType", "saslMechanism", "saslUsername", "saslPassword", "caCert"}

// Whoever can write to the topic can tell subscribers of reminders: the component signs in, with
// what is in a Secret, and over TLS.
func TestKafkaAsksWhoWrites(t *testing.T) {
	objects, problems := decode([]byte(files["dapr/pubsub/kafka/kafka-pubsub.yaml"]), all)
	if len(objects) != 1 || len(problems) > 0 {
		t.Fatal(problems)
	}
	c := objects[0].any.(*components.Component)
	got := map[string]string{}
	for _, item := range c.Spec.Metadata {
		if slices.Contains(signIn, item.Name) || strings.Contains(strings.ToLower(item.Name), "tls") || item.Name == "skipVerify" {
			got[item.Name] = strings.Trim(item.Value.String(), `"`)
			if item.SecretKeyRef.Name != "" {
				got[item.Name] = item.SecretKeyRef.Name + " " + item.SecretKeyRef.Key
			}
		}
	}
	if want := map[string]string{"authType": "password", "saslMechanism": "SHA-512", "saslUsername": "duebell-kafka username", "saslPassword": "duebell-kafka password", "caCert": "duebell-kafka ca"}; !maps.Equal(got, want) {
		t.Errorf("it signs in with %v, want %v", got, want)
	}
	if c.SecretStore != "kubernetes" {
		t.Errorf("its secrets are of %q", c.SecretStore)
	}
}

// The component is, but for its brokers and how to sign in to them, that of the local
// system, on which it is tested.
func TestKafkaIsAsItIsTested(t *testing.T) {
	settings := func(file string) (others []common.NameValuePair) {
		objects, problems := decode([]byte(files[file]), all)
		if len(objects) != 1 || len(problems) > 0 {
			t.Fatal(file, problems)
		}
		c := objects[0].any.(*components.Component)
		for _, item := range c.Spec.Metadata {
			if item.Name != "brokers" && !slices.Contains(signIn, item.Name) {
				others = append(others, common.NameValuePair{Name: item.Name, Value: item.Value})
			}
		}
		return append(others, common.NameValuePair{Name: fmt.Sprint(c.Name, c.Spec.Type, c.Spec.Version, c.Spec.IgnoreErrors)})
	}
	if here, there := settings("local/kafka-pubsub.yaml"), settings("dapr/pubsub/kafka/kafka-pubsub.yaml"); !reflect.DeepEqual(here, there) {
		t.Errorf("here it is %v, there %v", here, there)
	}
}

// The page on deploying says how many connections Postgres has to allow.
func TestConnections(t *testing.T) {
	text, err := files.render("overlays/knative")
	if err != nil {
		t.Fatal(err)
	}
	objects, _ := decode(text, all)
	sum := 0
	for _, o := range objects {
		s, ok := o.any.(*serving.Service)
		if !ok || !slices.ContainsFunc(functions[s.Name], func(v config.Variable) bool { return v.Name == "DATABASE_URL" }) {
			continue
		}
		copies, err := strconv.Atoi(s.Spec.Template.Annotations["autoscaling.knative.dev/max-scale"])
		if err != nil {
			t.Errorf("%s has no bound: %v", o.name, err)
		}
		i := slices.IndexFunc(s.Spec.Template.Spec.Containers[0].Env, func(v core.EnvVar) bool { return v.Name == "DATABASE_MAX_CONNS" })
		if i < 0 {
			t.Errorf("%s does not say how many connections a copy has", o.name)
			continue
		}
		each, err := strconv.Atoi(s.Spec.Template.Spec.Containers[0].Env[i].Value)
		if err != nil {
			t.Error(err)
		}
		sum += copies * each
	}
	page, err := os.ReadFile(root + "/docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("with room for %d connections", sum), fmt.Sprintf("| %d if every function", sum)} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/deploy.md does not say %q", want)
		}
	}
}

// Who wants no events leaves the subscribers out.
func TestWithoutSubscribers(t *testing.T) {
	copied := maps.Clone(files)
	overlay := "overlays/knative/kustomization.yaml"
	const line = "  - ../../dapr/subscribers # leave it out if nobody wants events\n"
	if !strings.Contains(copied[overlay], line) {
		t.Fatal("there are none")
	}
	copied[overlay] = strings.ReplaceAll(copied[overlay], line, "")
	problems, _ := check(copied, functions, all, chart)
	for _, problem := range problems {
		t.Error(problem)
	}
}

// The other pub/sub components can be put in Kafka's place.
func TestOtherBrokers(t *testing.T) {
	for _, broker := range []string{"redis", "in-memory"} {
		copied := maps.Clone(files)
		overlay := "overlays/knative/kustomization.yaml"
		copied[overlay] = strings.ReplaceAll(copied[overlay], "dapr/pubsub/kafka #", "dapr/pubsub/"+broker+" #")
		copied[overlay], _, _ = strings.Cut(copied[overlay], "  - target: {kind: Component") // Kafka's addresses
		problems, _ := check(copied, functions, all, chart)
		for _, problem := range problems {
			t.Errorf("%s: %s", broker, problem)
		}
		text, err := copied.render("overlays/knative")
		if err != nil || !strings.Contains(string(text), "type: pubsub."+broker) {
			t.Errorf("%s is not there (%v)", broker, err)
		}
	}
}
