package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/config"
)

// built is what a build leaves.
var built = fstest.MapFS{
	"web/dist-missing.txt":         {Data: []byte("make console\n")},
	"web/dist/index.html":          {Data: []byte("<!doctype html>the page")},
	"web/dist/index.html.br":       {Data: []byte("br")},
	"web/dist/index.html.gz":       {Data: []byte("gzip")},
	"web/dist/licenses.md":         {Data: []byte("# Licenses")},
	"web/dist/push-worker.js":      {Data: []byte("worker")},
	"web/dist/app.webmanifest":     {Data: []byte("{}")},
	"web/dist/icon-192.png":        {Data: []byte("icon")},
	"web/dist/assets/a-1234567.js": {Data: []byte("script")},
}

var environment = []string{"OIDC_ISSUER=https://login.example.com/realms/main", "OIDC_AUDIENCE=duebell"}

func start(t *testing.T, files fstest.MapFS, environ ...string) http.Handler {
	t.Helper()
	cfg, err := config.Parse[Config](append(environ, environment...))
	if err != nil {
		t.Fatal(err)
	}
	f, err := serve(cfg, files)
	if err != nil {
		t.Fatal(err)
	}
	return f.Handler
}

func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer
}

const (
	page    = "<!doctype html>the page"
	forEver = "public, max-age=31536000, immutable"
)

// Each path has its answer: the page for screens, files for files, and nothing else for what
// is the API's or nobody's.
func TestPaths(t *testing.T) {
	h := start(t, built)
	for path, want := range map[string]struct {
		status            int
		body, kind, cache string
	}{
		"/":                               {200, page, "text/html; charset=utf-8", "no-cache"},
		"/console":                        {200, page, "text/html; charset=utf-8", "no-cache"},
		"/console/":                       {200, page, "text/html; charset=utf-8", "no-cache"},
		"/console/inbox":                  {200, page, "text/html; charset=utf-8", "no-cache"},
		"/console/tasks/1?x=y":            {200, page, "text/html; charset=utf-8", "no-cache"},
		"/console/licenses.md":            {200, "# Licenses", "text/plain; charset=utf-8", "no-cache"},
		"/console/push-worker.js":         {200, "worker", "text/javascript; charset=utf-8", "no-cache"},
		"/console/app.webmanifest":        {200, "{}", "application/manifest+json", "no-cache"},
		"/console/icon-192.png":           {200, "icon", "image/png", "no-cache"},
		"/console/index.html.gz":          {200, page, "text/html; charset=utf-8", "no-cache"},
		"/console/assets/a-1234567.js":    {200, "script", "text/javascript; charset=utf-8", forEver},
		"/console/assets/old-7654321.js":  {404, "", "application/problem+json", "no-store"},
		"/console/assets/":                {404, "", "application/problem+json", "no-store"},
		"/api/nothing":                    {404, "", "application/problem+json", "no-store"},
		"/consoles":                       {404, "", "application/problem+json", "no-store"},
		"/console/../console/assets/a.js": {404, "", "application/problem+json", "no-store"},
	} {
		answer := ask(h, "GET", path)
		header := answer.Header()
		if answer.Code != want.status || header.Get("Content-Type") != want.kind || header.Get("Cache-Control") != want.cache || want.body != "" && answer.Body.String() != want.body {
			t.Errorf("%s: %d %s, %s: %s", path, answer.Code, header.Get("Content-Type"), header.Get("Cache-Control"), answer.Body)
		}
	}
	if answer := ask(h, "POST", "/console/inbox"); answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST is answered with %d", answer.Code)
	}
	if answer := ask(h, "HEAD", "/"); answer.Code != 200 || answer.Body.Len() > 0 {
		t.Errorf("a HEAD is answered with %d and %d bytes", answer.Code, answer.Body.Len())
	}
}

// Who takes it gets the smallest form; each form has an ETag of its own, with which it is not
// sent twice.
func TestForms(t *testing.T) {
	h := start(t, built)
	tags := map[string]bool{}
	for accepted, want := range map[string]struct{ encoding, body string }{
		"":                        {"", page},
		"identity":                {"", page},
		"gzip":                    {"gzip", "gzip"},
		"gzip, deflate, br, zstd": {"br", "br"},
		"GZIP;q=1.0, br;q=0":      {"gzip", "gzip"},
		"br;q=nonsense, gzip;q=0": {"", page},
		"x-gzip, brotli":          {"", page},
	} {
		answer := ask(h, "GET", "/", "Accept-Encoding", accepted)
		tag := answer.Header().Get("ETag")
		if answer.Header().Get("Content-Encoding") != want.encoding || answer.Body.String() != want.body || answer.Header().Get("Vary") != "Accept-Encoding" || tag == "" {
			t.Errorf("%q: %v %s", accepted, answer.Header(), answer.Body)
		}
		tags[tag] = true
		if again := ask(h, "GET", "/", "Accept-Encoding", accepted, "If-None-Match", tag); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%q: the same again is %d", accepted, again.Code)
		}
		if other := ask(h, "GET", "/", "Accept-Encoding", accepted, "If-None-Match", `"old"`); other.Code != http.StatusOK {
			t.Errorf("%q: an old one is %d", accepted, other.Code)
		}
	}
	if len(tags) != 3 {
		t.Errorf("three forms have %d ETags", len(tags))
	}
}

// The policy lets the page do what it does, and nothing else.
func TestPolicy(t *testing.T) {
	for name, test := range map[string]struct {
		environ []string
		connect string
	}{
		"one issuer":          {nil, "'self' https://login.example.com"},
		"endpoints elsewhere": {[]string{"CONSOLE_CONNECT_ORIGINS=https://token.example.com:8443,https://b.example.com"}, "'self' https://login.example.com https://token.example.com:8443 https://b.example.com"},
		"another issuer": {[]string{
			`OIDC_FURTHER_ISSUERS=[{"issuer":"https://staff.example.com/x","audience":"duebell","prefix":"staff:"}]`, "CONSOLE_ISSUER=https://staff.example.com/x",
		}, "'self' https://staff.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			header := ask(start(t, built, test.environ...), "GET", "/console/inbox").Header()
			want := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src " + test.connect +
				"; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types push-worker"
			if diff := cmp.Diff(want, header.Get("Content-Security-Policy")); diff != "" {
				t.Error(diff)
			}
			for name, value := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if header.Get(name) != value {
					t.Errorf("%s is %q", name, header.Get(name))
				}
			}
		})
	}
}

// The page is told how to sign in: by the settings, and nothing that is secret.
func TestConfiguration(t *testing.T) {
	further := `OIDC_FURTHER_ISSUERS=[{"issuer":"https://staff.example.com","audience":"duebell","prefix":"staff:","admin_scope":"boss","scope_claims":["roles"]}]`
	for name, test := range map[string]struct {
		environ []string
		want    string
	}{
		"by default": {nil, `{"issuer":"https://login.example.com/realms/main","client_id":"duebell-console","scope":"openid email","token":"access_token","admin_scope":"admin","scope_claims":["scope","scp","permissions"]}`},
		"all set": {[]string{
			"CONSOLE_CLIENT_ID=abc", "CONSOLE_SCOPES=openid,admin", "CONSOLE_AUDIENCE=https://duebell.example.com", "CONSOLE_TOKEN=id_token", "OIDC_ADMIN_SCOPE=Duebell.Admin", "OIDC_SCOPE_CLAIMS=roles",
		}, `{"issuer":"https://login.example.com/realms/main","client_id":"abc","scope":"openid admin","audience":"https://duebell.example.com","token":"id_token","admin_scope":"Duebell.Admin","scope_claims":["roles"]}`},
		"another issuer": {
			[]string{further, "CONSOLE_ISSUER=https://staff.example.com"},
			`{"issuer":"https://staff.example.com","client_id":"duebell-console","scope":"openid email","token":"access_token","admin_scope":"boss","scope_claims":["roles"]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ask(start(t, built, test.environ...), "GET", "/console/config.json")
			if diff := cmp.Diff(test.want+"\n", answer.Body.String()); diff != "" || answer.Header().Get("Cache-Control") != "no-store" {
				t.Error(answer.Header(), diff)
			}
		})
	}
}

func TestWrongSettings(t *testing.T) {
	for setting, want := range map[string]string{
		"CONSOLE_ISSUER=https://nobody.example.com":                 "CONSOLE_ISSUER must be",
		"CONSOLE_SCOPES=email":                                      "CONSOLE_SCOPES must have openid",
		"CONSOLE_TOKEN=refresh_token":                               "CONSOLE_TOKEN must be",
		"CONSOLE_CONNECT_ORIGINS=https://a.example.com/":            "is no origin",
		"CONSOLE_CONNECT_ORIGINS=http://a.example.com":              "is no origin",
		"CONSOLE_CONNECT_ORIGINS=https://*.example.com":             "is no origin",
		"CONSOLE_CONNECT_ORIGINS=https://a.example.com; script-src": "is no origin",
	} {
		_, err := config.Parse[Config](append(environment, setting))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// A program that was built without the page says how to build it.
func TestNotBuilt(t *testing.T) {
	h := start(t, fstest.MapFS{"web/dist-missing.txt": built["web/dist-missing.txt"]})
	for _, path := range []string{"/", "/console/inbox"} {
		if answer := ask(h, "GET", path); answer.Code != http.StatusServiceUnavailable || answer.Body.String() != "make console\n" {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
	if answer := ask(h, "GET", "/console/assets/a-1234567.js"); answer.Code != http.StatusNotFound {
		t.Errorf("an asset: %d", answer.Code)
	}
	if missing, err := content.ReadFile("web/dist-missing.txt"); err != nil || !strings.Contains(string(missing), "make console") {
		t.Errorf("the text is %q (%v)", missing, err)
	}
}
