package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/duebell/duebell/shared/config"
)

// made returns the secrets that were sent to the fake cluster.
func (f *fake) made() map[string]map[string]string {
	f.t.Helper()
	all := map[string]map[string]string{}
	sent, err := os.Open(filepath.Join(f.dir, "sent"))
	if err != nil {
		return all
	}
	defer sent.Close()
	for d := jsontext.NewDecoder(sent); d.PeekKind() == '{'; {
		var s struct {
			Kind     string            `json:"kind"`
			Metadata metadata          `json:"metadata"`
			Strings  map[string]string `json:"stringData"`
		}
		if err := json.UnmarshalDecode(d, &s); err != nil || s.Kind != "Secret" || s.Metadata.Namespace != "duebell" {
			f.t.Fatal(err, s.Kind)
		}
		all[s.Metadata.Name] = s.Strings
	}
	return all
}

// deploy installs Duebell on the fake cluster.
func (f *fake) deploy(ctx context.Context, o Options) error {
	f.t.Helper()
	f.write()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return Deploy(ctx, o)
}

// page returns the commands of docs/deploy.md between two of its lines.
func page(t *testing.T, from, to string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), from)
	part, _, ended := strings.Cut(rest, to)
	if !found || !ended {
		t.Fatal("docs/deploy.md has lost ", from)
	}
	for line := range strings.Lines(part) {
		if strings.HasPrefix(line, "kubectl ") {
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	return commands
}

// An installation runs the steps of docs/deploy.md in their order. It removes the Job of an earlier
// migration first, as an upgrade does. If all secrets exist, it makes none.
func TestDeployDoesWhatThePageSays(t *testing.T) {
	f := newFake(t)
	if err := f.deploy(t.Context(), f.options()); err != nil {
		t.Fatal(err, f.lines())
	}
	want := slices.Concat(
		[]string{"kubectl apply -f manifests/namespace/namespace.yaml"},
		page(t, "\n## Upgrading\n", "kubectl apply "),
		page(t, "\n**4. Migrate", "\n**5. "),
	)
	if got := f.calls(); !slices.Equal(got, want) {
		t.Errorf("it calls\n%s\nand the page says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if made := f.made(); len(made) != 0 {
		t.Errorf("it makes the secrets %v", made)
	}
}

// Missing secrets are made, and agree with existing ones. No command line shows them.
func TestDeployMakesSecrets(t *testing.T) {
	const app = "c0ffee00c0ffee00c0ffee00c0ffee00" // in testdata/cluster.json
	for name, c := range map[string]struct {
		there []string
		check func(t *testing.T, made map[string]map[string]string)
	}{
		"none is there": {nil, func(t *testing.T, made map[string]map[string]string) {
			shown, accepted := made["dapr-app-token"]["token"], made["duebell-callback"]["APP_API_TOKEN"]
			if len(made) != 5 || len(shown) != 64 || shown != accepted || len(made["dapr-api-token"]["token"]) != 64 || made["dapr-api-token"]["token"] == shown {
				t.Errorf("%d, and the tokens don't agree", len(made))
			}
			if made["duebell-database"]["DATABASE_URL"] == "" || made["duebell-kafka"]["password"] != "c0ffee-kafka" {
				t.Error("it has not made what was given to it")
			}
		}},
		"what daprd shows is there": {[]string{"dapr-app-token"}, func(t *testing.T, made map[string]map[string]string) {
			if len(made) != 4 || made["duebell-callback"]["APP_API_TOKEN"] != app {
				t.Errorf("%d, and the tokens don't agree", len(made))
			}
		}},
		"what functions accept is there": {[]string{"duebell-callback"}, func(t *testing.T, made map[string]map[string]string) {
			if len(made) != 4 || made["dapr-app-token"]["token"] != app {
				t.Errorf("%d, and the tokens don't agree", len(made))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			for path := range f.cluster {
				if secret, ok := strings.CutPrefix(path, secretsPath); ok && !slices.Contains(c.there, secret) {
					delete(f.cluster, path)
				}
			}
			o := f.options()
			o.Planned = map[string]Secrets{
				"duebell-database": {"DATABASE_URL": config.Secret(f.database)},
				"duebell-kafka":    {"username": "duebell", "password": "c0ffee-kafka", "ca": "c0ffee-ca"},
				"duebell-redis":    {"password": "nobody asks for it"},
			}
			if err := f.deploy(t.Context(), o); err != nil {
				t.Fatal(err, f.lines())
			}
			made := f.made()
			c.check(t, made)
			shown := strings.Join(f.calls(), "\n") + f.lines()
			for _, secret := range made {
				for key, value := range secret {
					if key != "username" && strings.Contains(shown, value) {
						t.Errorf("it shows %s:\n%s", key, shown)
					}
				}
			}
		})
	}
}

// An installation that can't work is refused, and changes nothing.
func TestDeployRefuses(t *testing.T) {
	for name, mistake := range map[string]func(*fake, *Options){
		"a cluster that can't have daprds": func(f *fake, _ *Options) {
			f.change(injector, `ALL_CAPABILITIES","value":"true"`, `ALL_CAPABILITIES","value":"false"`)
		},
		"settings of the example":   func(f *fake, _ *Options) { f.changeOverlay("api.duebell.test", "api.example.com") },
		"a database that is away":   func(_ *fake, o *Options) { o.DatabaseURL = "postgres://ada:c0ffee@127.0.0.1:1/duebell" },
		"a secret that nobody gave": func(f *fake, _ *Options) { delete(f.cluster, secretsPath+"duebell-kafka") },
		"no cluster":                func(f *fake, _ *Options) { f.fails["get --raw"] = "The connection was refused" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			o := f.options()
			mistake(f, &o)
			err := f.deploy(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), "nothing was changed") || f.calls() != nil || !strings.Contains(f.lines(), "✗") {
				t.Errorf("%v, %q\n%s", err, f.calls(), f.lines())
			}
		})
	}
}

// A step that fails ends the installation, with the reason.
func TestDeployFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault     func(*fake)
		want      string
		last      string // call
		alsoFound string
	}{
		"the secrets": {func(f *fake) {
			delete(f.cluster, secretsPath+"dapr-api-token")
			f.fails["-n duebell create"] = "Error from server (AlreadyExists): secrets already exists"
		}, "make the secret dapr-api-token: Error from server (AlreadyExists)", "kubectl apply -f manifests/namespace/namespace.yaml", ""},
		"the migration": {func(f *fake) {
			f.fails["-n duebell wait --for=condition=complete"] = "hang" // as kubectl does
			f.change(migrating, `"type":"Complete"`, `"type":"Failed"`)
		}, "migrate: the job has failed: Reached", "kubectl apply -k manifests/overlays/production -l duebell.dev/part=migrate", "✗ migration: the job migrate has failed"},
		"applying": {func(f *fake) { f.fails["apply -k manifests/overlays/production"] = "error: no matches for kind" }, "migrate: error: no matches", "kubectl -n duebell delete job migrate --ignore-not-found", ""},
		"the functions": {func(f *fake) {
			f.fails["-n duebell wait --for=condition=Ready"] = "error: timed out waiting for the condition on services/create-task"
			f.change(functions, `"conditions":[{"type":"Ready","status":"True"`, `"conditions":[{"type":"Ready","status":"False","message":"can't pull"`)
		}, "wait for functions: error: timed out", "kubectl -n duebell rollout status deployment/daprd", "✗ functions: create-task is not ready: can't pull"},
		"what is found afterwards": {func(f *fake) { f.fails["get --raw "+pings] = "error: gone" }, "everything is applied, and not all of it works", "kubectl -n duebell wait --for=condition=Ready services.serving.knative.dev --all --timeout=10m", "✗ schedules: PingSources: error: gone"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c.fault(f)
			o := f.options()
			o.Planned = map[string]Secrets{}
			err := f.deploy(t.Context(), o)
			calls := f.calls()
			if err == nil || !strings.Contains(err.Error(), c.want) || len(calls) == 0 || calls[len(calls)-1] != c.last || !strings.Contains(f.lines(), c.alsoFound) {
				t.Errorf("%v, %s\n%s", err, strings.Join(calls, "\n"), f.lines())
			}
		})
	}
}

// While the installation waits, it shows its progress. It can be interrupted.
func TestDeployIsBrokenOff(t *testing.T) {
	f := newFake(t)
	f.fails["-n duebell wait --for=condition=Ready"] = "hang"
	ctx, cancel := context.WithCancel(t.Context())
	o := f.options()
	o.Doing = func(_, text string) {
		if text == "2 of 2 functions are ready" {
			cancel()
		}
	}
	if err := f.deploy(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// checkout changes to a copy of the manifests until the test ends.
func checkout(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "manifests"), os.DirFS("../../../manifests")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}

var given = Settings{Host: "api.duebell.test", Gateway: "gateways/public", Issuer: "https://login.duebell.test/realms/x", Audience: "duebell,other"}

// The overlay is the example with the user's settings, and contains no value of the example.
func TestWriteOverlay(t *testing.T) {
	checkout(t)
	for name, c := range map[string]struct {
		folder, events, broker string
		want, not              []string
	}{
		"no events": {"manifests/overlays/a", "", "", []string{"../../dapr/pubsub/in-memory\n", "- ../../knative\n"}, []string{"subscribers", "kafka"}},
		"Kafka":     {"manifests/overlays/b", "kafka", "kafka.test:9093", []string{"../../dapr/pubsub/kafka\n", "../../dapr/subscribers", `value: "kafka.test:9093"`}, nil},
		"Redis":     {"manifests/overlays/c", "redis", "redis.test:6379", []string{"../../dapr/pubsub/redis\n", "../../dapr/subscribers", `value: "redis.test:6379"`}, []string{"9093"}},
		"elsewhere": {"somewhere/else/d", "none", "", []string{"- ../../../manifests/knative\n", "- ../../../manifests/images\n"}, []string{"- ../../dapr"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := given
			s.Events, s.Broker = c.events, c.broker
			for range 2 { // it writes its own again
				if err := WriteOverlay(c.folder, s); err != nil {
					t.Fatal(err)
				}
			}
			var all strings.Builder
			for _, name := range []string{"kustomization.yaml", "settings.yaml", "grant.yaml"} {
				text, err := os.ReadFile(filepath.Join(c.folder, name))
				if err != nil {
					t.Fatal(err)
				}
				all.Write(text)
			}
			for _, want := range slices.Concat(c.want, []string{"[{name: public, namespace: gateways}]", "[api.duebell.test]", `OIDC_ISSUER: "https://login.duebell.test/realms/x"`, `OIDC_AUDIENCE: "duebell,other"`}) {
				if !strings.Contains(all.String(), want) {
					t.Errorf("it lacks %q:\n%s", want, &all)
				}
			}
			for _, not := range slices.Concat(c.not, []string{"api.example.com", "login.example.com", "kafka.kafka.svc"}) {
				if strings.Contains(all.String(), "- "+not) || strings.Contains(all.String(), ": "+not) || strings.Contains(all.String(), "["+not) {
					t.Errorf("it has %q:\n%s", not, &all)
				}
			}
		})
	}
}

// The error names each missing or wrong setting. A file that was written by hand is not changed.
func TestWriteOverlayRefuses(t *testing.T) {
	checkout(t)
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"nothing but a host":   {func(s *Settings) { *s = Settings{Host: s.Host} }, "-gateway is missing\n-issuer is missing\n-audience is missing"},
		"a gateway's name":     {func(s *Settings) { s.Gateway = "public" }, "-gateway must be NAMESPACE/NAME"},
		"a gateway too many":   {func(s *Settings) { s.Gateway = "a/b/c" }, "-gateway must be NAMESPACE/NAME"},
		"a host that is more":  {func(s *Settings) { s.Host = "a]\n- op: add" }, "-host has a character"},
		"the example's host":   {func(s *Settings) { s.Host = "api.example.com" }, "-host is that of the example"},
		"the example's issuer": {func(s *Settings) { s.Issuer = "https://login.example.com/x" }, "-issuer is that of the example"},
		"no kind of events":    {func(s *Settings) { s.Events = "nats" }, "-events must be kafka, redis or none"},
		"no broker":            {func(s *Settings) { s.Events = "kafka" }, "-broker must be the HOST:PORT of kafka"},
		"a broker for no one":  {func(s *Settings) { s.Broker = "kafka:9093" }, "-broker is for -events kafka or redis"},
	} {
		t.Run(name, func(t *testing.T) {
			s := given
			c.change(&s)
			err := WriteOverlay("manifests/overlays/new", s)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if _, err := os.Stat("manifests/overlays/new"); err == nil {
				t.Error("it has written something")
			}
		})
	}
	if err := WriteOverlay("manifests/overlays/knative", given); err == nil || !strings.Contains(err.Error(), "was written by hand") {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if err := WriteOverlay("overlay", given); err == nil || !strings.Contains(err.Error(), "in a checkout of Duebell") {
		t.Error(err)
	}
}
