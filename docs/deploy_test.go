package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// stub is what stands in for a program that needs a cluster or the network: it records its
// arguments, one call a line, and answers what it is asked.
const stub = `#!/bin/bash
{ printf '%s' "${0##*/}"; printf '\t%s' "$@"; printf '\n'; } >>"$RECORD"
case "${0##*/} $*" in
openssl*) echo 0123456789abcdef ;;
*port-forward*) exec sleep 60 ;;
*'get services.serving'*) echo "${FUNCTIONS}" ;;
*'get deployments'*) printf 'deployment.apps/%s\n' send-00001-deployment ${DAPRDS} ;;
*jsonpath*) printf b2xk ;;
esac
for arg in "$@"; do
	case "$last" in -f | -k) [[ $arg == https://* || -e $arg ]] || { echo "there is no $arg"; exit 1; } ;; esac
	last=$arg
done
`

// typed runs all that a page says to type, in a copy of what it is about, and returns the
// calls of the programs that were stood in for, each as its words.
func typed(t *testing.T, page string) (calls [][]string) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "manifests"), os.DirFS(filepath.Join(root, "manifests"))); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"kubectl", "helm", "curl", "psql", "make", "openssl", "cosign"} {
		if err := os.WriteFile(filepath.Join(bin, program), []byte(stub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// What make images and make build leave.
	if err := errorOf(os.MkdirAll(filepath.Join(dir, "build", "bin"), 0o755), os.MkdirAll(filepath.Join(dir, "build", "images"), 0o755),
		os.WriteFile(filepath.Join(dir, "build", "bin", "duebell"), []byte(stub), 0o755),
		os.WriteFile(filepath.Join(dir, "build", "images", "kustomization.yaml"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(dir, "record")
	var script strings.Builder
	script.WriteString("set -euo pipefail\nsleep() { :; }\n")
	for _, block := range shellBlock.FindAllStringSubmatch(read(t, page), -1) {
		script.WriteString(block[1])
	}
	shell := exec.Command("bash", "-c", script.String())
	shell.Dir = dir
	shell.Env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "RECORD=" + record, "EDITOR=true", "DATABASE_URL=postgres://x", "KAFKA_PASSWORD=x", "KAFKA_CA=x", "SENDGRID_API_KEY=SG.x", "SENDGRID_EVENTS_KEY=x", "SES_EVENTS_TOPICS=x", "TOKEN=x", "WEBPUSH_KEY=x", "WEBPUSH_PUBLIC_KEY=x",
		"FUNCTIONS=" + strings.Join(folders(t), " "), "DAPRDS=" + strings.Join(daprds(t), " "),
	}
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", page, err, out)
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		calls = append(calls, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return calls
}

func errorOf(errs ...error) error {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

// folders are the names of the functions.
func folders(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

var (
	secretName = regexp.MustCompile(`(?m)^  name: (\S+)$`)
	secretKey  = regexp.MustCompile(`(?m)^  ([A-Za-z_]+): \S`)
)

// examples returns the keys of each secret in manifests/secrets.yaml.
func examples(t *testing.T) map[string][]string {
	t.Helper()
	secrets := map[string][]string{}
	for document := range strings.SplitSeq(read(t, "manifests/secrets.yaml"), "\n---\n") {
		_, data, _ := strings.Cut(document, "stringData:\n")
		var keys []string
		for _, m := range secretKey.FindAllStringSubmatch(data, -1) {
			keys = append(keys, m[1])
		}
		secrets[secretName.FindStringSubmatch(document)[1]] = keys
	}
	return secrets
}

// daprds returns the names of the Deployments of daprd in the manifests.
func daprds(t *testing.T) (names []string) {
	t.Helper()
	for _, pattern := range []string{"manifests/dapr/daprd.yaml", "manifests/dapr/subscribers/daprd-*.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(file), ".yaml"))
		}
	}
	return names
}

// Who types what docs/deploy.md says makes every secret that there is an example of, and
// names only what is in the manifests.
func TestDeployingAsThePageSays(t *testing.T) {
	want := examples(t)
	delete(want, "duebell-redis") // not with Kafka
	made := map[string][]string{}
	applied := 0
	for _, call := range typed(t, "docs/deploy.md") {
		line := strings.Join(call, " ")
		if _, rest, ok := strings.Cut(line, "create secret generic "); ok {
			name, _, _ := strings.Cut(rest, " ")
			for _, m := range regexp.MustCompile(`--from-literal=(\w+)=\S`).FindAllStringSubmatch(rest, -1) {
				made[name] = append(made[name], m[1])
			}
		}
		if strings.HasPrefix(line, "kubectl apply -k manifests/overlays/production") {
			applied++
		}
	}
	for name, keys := range want {
		slices.Sort(keys)
		slices.Sort(made[name])
		if name == "duebell-channels" { // of which the page chooses a provider
			keys = slices.DeleteFunc(keys, func(key string) bool { return !slices.Contains(made[name], key) })
		}
		if !slices.Equal(keys, made[name]) {
			t.Errorf("the page makes the secret %s with %v, and manifests/secrets.yaml has %v", name, made[name], keys)
		}
	}
	if len(made) != len(want) {
		t.Errorf("the page makes %d secrets, want %d", len(made), len(want))
	}
	if applied != 4 { // the migrations and the rest; at first, and for an upgrade
		t.Errorf("the page applies the overlay %d times", applied)
	}
}

// What docs/security.md says to type changes keys that exist, and restarts functions that
// exist: each that is given what has changed.
func TestChangingSecretsAsThePageSays(t *testing.T) {
	secrets := examples(t)
	changed := map[string]bool{}
	var restarted []string
	for _, call := range typed(t, "docs/security.md") {
		line := strings.Join(call, " ")
		if _, rest, ok := strings.Cut(line, "patch secret "); ok {
			name, patch, _ := strings.Cut(rest, " ")
			keys := regexp.MustCompile(`"(\w+)": ?"[^"]+"`).FindAllStringSubmatch(patch, -1)
			if len(keys) == 0 || slices.ContainsFunc(keys, func(key []string) bool { return !slices.Contains(secrets[name], key[1]) }) {
				t.Errorf("there is no such key: %s", line)
			}
			changed[name] = true
		}
		if _, rest, ok := strings.Cut(line, "patch services.serving.knative.dev "); ok {
			name, _, _ := strings.Cut(rest, " ")
			restarted = append(restarted, name)
		}
		if _, names, ok := strings.Cut(line, "rollout restart "); ok {
			for name := range strings.FieldsSeq(names) {
				if !slices.Contains(daprds(t), path.Base(name)) {
					t.Errorf("%s is restarted, and is not there", name)
				}
			}
		}
	}
	for name := range secrets {
		if !changed[name] && name != "duebell-redis" {
			t.Errorf("the page does not say how to change %s", name)
		}
	}
	known := folders(t)
	for _, name := range restarted {
		if !slices.Contains(known, name) {
			t.Errorf("%s is restarted, and is no function", name)
		}
	}
	// Of the two tokens, the page restarts exactly whom they are given to.
	page := read(t, "docs/security.md")
	for secret, start := range map[string]string{"dapr-api-token": "restart create-task", "duebell-callback": `put duebell-callback APP_API_TOKEN="$new" && restart`} {
		line := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(start)+`.*$`).FindString(page) + " "
		for _, name := range known {
			given := strings.Contains(read(t, "manifests/knative/functions/"+name+".yaml"), "name: "+secret+",")
			if given != strings.Contains(line, " "+name+" ") {
				t.Errorf("%s is given %s: %v; the page restarts these for it: %s", name, secret, given, line)
			}
		}
	}
}

var heredoc = regexp.MustCompile(`(?s)<<'SQL'\n(.*?)\nSQL\n`)

// What the page says to run on a restored database marks what was due before now, and
// nothing else. It leaves no bundle open whose delivery is cancelled: what joined it would
// never be sent.
func TestRestoringAsThePageSays(t *testing.T) {
	_, url := storetest.Open(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const rows = `
		insert into users (id) values ('ada');
		insert into tasks (id, user_id, title, created_at, updated_at) values ('00000000-0000-0000-0000-000000000001', 'ada', 'a', now(), now());
		insert into reminders (id, task_id, user_id, before, fire_at, state, revision) values
			('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', 'ada', '0', now() - interval '1 minute', 'armed', 1),
			('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000001', 'ada', '1 hour', now() + interval '1 hour', 'armed', 1),
			('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-000000000001', 'ada', '2 hours', now() - interval '2 days', 'armed', 1);
		insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, next_attempt_at, created_at) values
			('00000000-0000-0000-0000-0000000000d1', '00000000-0000-0000-0000-00000000000a', 1, '00000000-0000-0000-0000-000000000001', 'ada', 'email', 'planned', now(), now() - interval '2 days');
		insert into deliveries (id, bundle_id, revision, user_id, channel, state, next_attempt_at, created_at) values
			('00000000-0000-0000-0000-0000000000d2', '00000000-0000-0000-0000-0000000000d2', 1, 'ada', 'email', 'planned', now(), now() - interval '2 days');
		insert into bundles (id, user_id, channel, target) values ('00000000-0000-0000-0000-0000000000d2', 'ada', 'email', '');
		insert into deliveries (id, bundle_id, reminder_id, revision, task_id, user_id, channel, state, created_at) values
			('00000000-0000-0000-0000-0000000000d3', '00000000-0000-0000-0000-0000000000d2', '00000000-0000-0000-0000-00000000000c', 1, '00000000-0000-0000-0000-000000000001', 'ada', 'email', 'bundled', now() - interval '2 days');`
	if _, err := conn.Exec(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	script := heredoc.FindStringSubmatch(read(t, "docs/deploy.md"))
	if script == nil {
		t.Fatal("docs/deploy.md has no SQL")
	}
	if _, err := conn.Exec(t.Context(), strings.ReplaceAll(script[1], ":backup", "(now() - interval '1 day')")); err != nil {
		t.Fatal(err)
	}
	var states string
	err = conn.QueryRow(t.Context(), `
		select (select string_agg(state, ' ' order by id) from reminders) || ', ' || (select string_agg(state, ' ') from deliveries) || ', ' ||
			(select count(*) from bundles where frozen_at is null) || ' open'`).Scan(&states)
	if want := "missed armed armed, cancelled cancelled cancelled, 0 open"; err != nil || states != want {
		t.Errorf("the states are %q, want %q (%v)", states, want, err)
	}
}
