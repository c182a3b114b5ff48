package install

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// kubectl answers as kubectl does: what the API server has from the folder api, and what
// kustomize makes from overlay.yaml. The file fails says which calls go wrong, and how. It
// keeps what else it is called with in the file calls, and what it is sent in the file sent.
const kubectl = `#!/bin/bash
line="$*"
cd "${0%/*}"
while IFS=$'\t' read -r call how; do
	[[ $line == "$call"* ]] || continue
	[[ $how == hang ]] && exec sleep 60
	echo "$how" >&2
	exit 1
done <fails
case "$1 $2" in
"get --raw")
	cat "api/${3//\//_}" 2>/dev/null || { echo "Error from server (NotFound): the server could not find the requested resource" >&2; exit 1; } ;;
"kustomize "*) cat overlay.yaml ;;
*)
	echo "kubectl $line" >>calls
	if [[ $line == *" -f -" ]]; then cat >>sent; echo >>sent; fi ;;
esac
`

// fake is a cluster with a working installation of Duebell.
type fake struct {
	t        *testing.T
	dir      string
	cluster  map[string]string // what the API server has, by path
	overlay  string
	fails    map[string]string
	database string
	found    []Finding
}

func newFake(t *testing.T) *fake {
	t.Helper()
	_, url := storetest.Open(t)
	return newFakeOn(t, url)
}

// newFakeOn is like newFake, with an existing database.
func newFakeOn(t *testing.T, database string) *fake {
	t.Helper()
	f := &fake{t: t, dir: t.TempDir(), cluster: map[string]string{}, fails: map[string]string{}, database: database}
	text, err := os.ReadFile("testdata/cluster.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]jsontext.Value
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for path, o := range all {
		f.cluster[path] = string(o)
	}
	f.secret("duebell-database", "DATABASE_URL", f.database)
	overlay, err := os.ReadFile("testdata/overlay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f.overlay = strings.ReplaceAll(string(overlay), "https://login.duebell.test", issuer(t))
	return f
}

// issuer starts a fake issuer with the paths that the functions call, and returns its URL.
func issuer(t *testing.T) string {
	t.Helper()
	var url string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/openid-configuration" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": "%s/keys"}`, url, url)
	}))
	url = server.URL
	t.Cleanup(server.Close)
	return url
}

const secretsPath = "/api/v1/namespaces/duebell/secrets/"

// secret changes a key of a secret.
func (f *fake) secret(name, key, value string) {
	f.cluster[secretsPath+name] = fmt.Sprintf(`{"data": {%q: %q}}`, key, base64.StdEncoding.EncodeToString([]byte(value)))
}

// change replaces a text, which must exist, in the API server's answer for a path.
func (f *fake) change(path, old, replacement string) {
	f.t.Helper()
	if !strings.Contains(f.cluster[path], old) {
		f.t.Fatalf("%s has no %s", path, old)
	}
	f.cluster[path] = strings.ReplaceAll(f.cluster[path], old, replacement)
}

func (f *fake) changeOverlay(old, replacement string) {
	f.t.Helper()
	if !strings.Contains(f.overlay, old) {
		f.t.Fatalf("the overlay has no %s", old)
	}
	f.overlay = strings.ReplaceAll(f.overlay, old, replacement)
}

// write writes all files of the fake kubectl.
func (f *fake) write() {
	f.t.Helper()
	files := map[string]string{"kubectl": kubectl, "overlay.yaml": f.overlay, "fails": ""}
	for call, how := range f.fails {
		files["fails"] += call + "\t" + how + "\n"
	}
	for path, o := range f.cluster {
		files["api/"+strings.ReplaceAll(path, "/", "_")] = o
	}
	if err := os.RemoveAll(filepath.Join(f.dir, "api")); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(f.dir, "api"), 0o700); err != nil {
		f.t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o700); err != nil {
			f.t.Fatal(err)
		}
	}
}

// options are the options for all checks.
func (f *fake) options() Options {
	return Options{
		Kubectl: Kubectl{filepath.Join(f.dir, "kubectl")}, Overlay: "manifests/overlays/production", DatabaseURL: config.Secret(f.database),
		Doing: func(string, string) {}, Found: func(found Finding) { f.found = append(f.found, found) },
	}
}

// check runs all checks.
func (f *fake) check(o Options) (count int) {
	f.t.Helper()
	f.write()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	count, err := Check(ctx, o)
	if err != nil {
		f.t.Fatal(err)
	}
	return count
}

// calls returns the calls that changed something, in order.
func (f *fake) calls() []string {
	text, err := os.ReadFile(filepath.Join(f.dir, "calls"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// lines returns the findings, one a line.
func (f *fake) lines() string {
	var b strings.Builder
	for _, found := range f.found {
		fmt.Fprintf(&b, "%s %s: %s\n", []string{"✓", "!", "✗"}[found.State], found.Name, found.Text)
		for _, next := range found.Next {
			fmt.Fprintf(&b, "    → %s\n", next)
		}
	}
	return b.String()
}
