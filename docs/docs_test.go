// Package docs_test holds what the documentation says against the code.
package docs_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/shared/api/openapi"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/preferences"
)

var update = flag.Bool("update", false, "rewrite the generated parts of pages")

const root = ".."

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// pages are all pages of documentation.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	if err != nil || len(found) == 0 {
		t.Fatal("no pages", err)
	}
	list := []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, name := range found {
		list = append(list, "docs/"+name)
	}
	return list
}

// sources calls do with each Go file below the folders.
func sources(t *testing.T, do func(path, text string), folders ...string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			do(path, string(text))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// reader is a function and a variable that it reads.
type reader struct {
	config.Variable
	functions []string
}

// variables asks every function what it reads. The order is that of their first
// appearance.
func variables(t *testing.T) (functions []string, list []*reader) {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin+"/", "./functions/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	entries, err := os.ReadDir(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		functions = append(functions, name)
		out, err := exec.Command(filepath.Join(bin, name), "-variables").Output()
		if err != nil {
			t.Fatal(name, err)
		}
		var reads []config.Variable
		if err := json.Unmarshal(out, &reads); err != nil {
			t.Fatalf("%s: %v in %s", name, err, out)
		}
		for _, v := range reads {
			i := slices.IndexFunc(list, func(r *reader) bool { return r.Name == v.Name })
			if i < 0 {
				i = len(list)
				list = append(list, &reader{Variable: v})
			}
			if list[i].Variable != v {
				t.Errorf("%s means different things: %+v in %s, %+v in %s", v.Name, list[i].Variable, list[i].functions[0], v, name)
			}
			list[i].functions = append(list[i].functions, name)
		}
	}
	return functions, list
}

const (
	generatedFrom = "<!-- generated: go test ./docs -update -->\n"
	generatedTo   = "<!-- end of what is generated -->\n"
)

// The page on configuration lists every variable of every function as the structs
// have it.
func TestConfiguration(t *testing.T) {
	functions, list := variables(t)
	// Those of all functions first; the others stay in their order.
	slices.SortStableFunc(list, func(a, b *reader) int {
		all := func(r *reader) int { return map[bool]int{true: 0, false: 1}[len(r.functions) == len(functions)] }
		return cmp.Compare(all(a), all(b))
	})
	var table strings.Builder
	table.WriteString("| variable | default | what it is | read by |\n| --- | --- | --- | --- |\n")
	for _, r := range list {
		standard := "none"
		switch {
		case r.Required:
			standard = "**required**"
		case r.Default != "":
			standard = "`" + r.Default + "`"
		}
		what := r.Help
		if what == "" {
			t.Errorf("%s has no help tag", r.Name)
		}
		if r.Secret {
			what += " (secret)"
		}
		by := strings.Join(r.functions, ", ")
		if len(r.functions) == len(functions) {
			by = "all"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", r.Name, standard, strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(what), by)
	}

	wantGenerated(t, "docs/configuration.md", table.String())
}

// The page on the API lists every call of its description.
func TestCalls(t *testing.T) {
	var description struct {
		Paths map[string]struct{ Get, Put, Post, Patch, Delete *struct{ Summary string } }
	}
	if err := json.Unmarshal(openapi.Document, &description); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| call | does |\n| --- | --- |\n")
	for _, path := range slices.Sorted(maps.Keys(description.Paths)) {
		p := description.Paths[path]
		row := func(method string, call *struct{ Summary string }) {
			if call != nil {
				fmt.Fprintf(&table, "| `%s %s` | %s |\n", method, path, call.Summary)
			}
		}
		row("POST", p.Post)
		row("GET", p.Get)
		row("PUT", p.Put)
		row("PATCH", p.Patch)
		row("DELETE", p.Delete)
	}
	wantGenerated(t, "docs/api.md", table.String())
}

// wantGenerated checks what a page has between its marks, or with -update rewrites it.
func wantGenerated(t *testing.T, page, want string) {
	t.Helper()
	before, rest, found := strings.Cut(read(t, page), generatedFrom)
	old, after, ended := strings.Cut(rest, generatedTo)
	if !found || !ended {
		t.Fatalf("%s has lost the marks around its generated part", page)
	}
	if old == want {
		return
	}
	if !*update {
		t.Errorf("%s is out of date; go test ./docs -update rewrites it", page)
		return
	}
	if err := os.WriteFile(filepath.Join(root, page), []byte(before+generatedFrom+want+generatedTo+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// What the pages say to type could be typed: the shell understands it, and the
// targets, commands, packages and routes exist.
func TestCommands(t *testing.T) {
	makefile := read(t, "Makefile")
	program := read(t, "cmd/duebell/main.go")
	routes := http.NewServeMux()
	for _, r := range gateway.Routes {
		routes.Handle(r.Pattern, http.NotFoundHandler())
	}
	for _, pattern := range []string{"POST /{$}", "GET /metrics", "GET /healthz", "GET /readyz", "/dev/"} {
		routes.Handle(pattern, http.NotFoundHandler())
	}
	for _, page := range pages(t) {
		for _, block := range shellBlock.FindAllStringSubmatch(read(t, page), -1) {
			shell := exec.Command("bash", "-n")
			shell.Stdin = strings.NewReader(block[1])
			if out, err := shell.CombinedOutput(); err != nil {
				t.Errorf("%s: %s%s", page, out, block[1])
			}
			for _, line := range strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n") {
				if problem := checkLine(line, makefile, program, routes); problem != "" {
					t.Errorf("%s: %q: %s", page, strings.TrimSpace(line), problem)
				}
			}
		}
	}
}

var (
	makeTarget     = regexp.MustCompile(`(?:^|\s)make ([a-z-]+)`)
	duebellCommand = regexp.MustCompile(`(?:^|\s|/)duebell ([a-z-]+)`)
	goCommand      = regexp.MustCompile(`(?:^|\s)go (?:test|run|build|vet) .*?(\./\S*)`)
	curlMethod     = regexp.MustCompile(`\s-X ?([A-Z]+)`)
	curlURL        = regexp.MustCompile(`\s"?(?:\$\w+|\$\{\w+\}|https?://[^/\s"]+)(/[^\s"]*)`)
)

func checkLine(line, makefile, program string, routes *http.ServeMux) (problem string) {
	if m := makeTarget.FindStringSubmatch(line); m != nil && !strings.Contains(makefile, "\n"+m[1]+":") {
		return "there is no such target"
	}
	if m := duebellCommand.FindStringSubmatch(strings.ReplaceAll(line, "-n duebell ", "")); m != nil && !strings.Contains(program, `"`+m[1]+`": `) {
		return "duebell has no such command"
	}
	if m := goCommand.FindStringSubmatch(line); m != nil {
		if _, err := os.Stat(filepath.Join(root, strings.TrimSuffix(m[1], "..."))); err != nil {
			return err.Error()
		}
	}
	command, _, _ := strings.Cut(line, " # ")
	if !regexp.MustCompile(`(?:^|\s)curl `).MatchString(command) {
		return ""
	}
	address := curlURL.FindStringSubmatch(command)
	if address == nil {
		return "which path does curl ask for?"
	}
	method := http.MethodGet
	if regexp.MustCompile(`\s(-d|--data\S*)\s`).MatchString(command) {
		method = http.MethodPost
	}
	if m := curlMethod.FindStringSubmatch(command); m != nil {
		method = m[1]
	}
	path, err := url.Parse(address[1])
	if err != nil {
		return err.Error()
	}
	if _, pattern := routes.Handler(&http.Request{Method: method, URL: path}); pattern == "" {
		return "no function serves " + method + " " + path.Path
	}
	return ""
}

var settingsBlock = regexp.MustCompile("(?s)```env\n(.*?)```")

// The settings for each identity provider are ones that a function starts with.
func TestIdentityProviders(t *testing.T) {
	page := read(t, "docs/identity-providers.md")
	blocks := settingsBlock.FindAllStringSubmatch(page, -1)
	if len(blocks) != strings.Count(page, "\n## ")-2 { // all but what a token must have, and the console
		t.Errorf("%d blocks of settings", len(blocks))
	}
	for _, block := range blocks {
		environ := strings.Split(strings.TrimSpace(block[1]), "\n")
		if _, err := config.Parse[auth.Config](environ); err != nil {
			t.Errorf("%s%v", block[1], err)
		}
		known := config.Variables[auth.Config]()
		for _, line := range environ {
			name, _, _ := strings.Cut(line, "=")
			if !slices.ContainsFunc(known, func(v config.Variable) bool { return v.Name == name }) {
				t.Errorf("there is no %s", name)
			}
		}
	}
}

var (
	testName   = regexp.MustCompile(`\bTest[A-Z]\w*`)
	testLink   = regexp.MustCompile(`\[(Test[A-Z]\w*)\]\(\.\./([^)]+)\)`)
	testDefine = regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(`)
)

// Each promise names the tests that show it, and they exist.
func TestNamedTestsExist(t *testing.T) {
	page := read(t, "docs/guarantees.md")
	links := testLink.FindAllStringSubmatch(page, -1)
	if len(links) == 0 {
		t.Fatal("docs/guarantees.md names no test")
	}
	for _, link := range links {
		if !strings.Contains(read(t, link[2]), "\nfunc "+link[1]+"(") {
			t.Errorf("docs/guarantees.md: %s has no %s", link[2], link[1])
		}
	}
	if named := len(testName.FindAllString(page, -1)); named != len(links) {
		t.Errorf("docs/guarantees.md names %d tests and links to %d", named, len(links))
	}
	defined := map[string]bool{}
	sources(t, func(path, text string) {
		for _, m := range testDefine.FindAllStringSubmatch(text, -1) {
			defined[m[1]] = true
		}
	}, "shared", "functions", "local", "cmd", "e2e", "docs")
	for _, other := range pages(t) {
		for _, name := range testName.FindAllString(read(t, other), -1) {
			if !defined[name] {
				t.Errorf("%s names %s, which does not exist", other, name)
			}
		}
	}
}

var (
	metricDefined = regexp.MustCompile(`"(duebell_[a-z_]+)"`)
	metricNamed   = regexp.MustCompile(`\bduebell_[a-z_]+`)
)

// Every metric is explained, and no page tells of one that is not there.
func TestMetricsAreExplained(t *testing.T) {
	defined := map[string]bool{}
	sources(t, func(path, text string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, m := range metricDefined.FindAllStringSubmatch(text, -1) {
			defined[m[1]] = true
		}
	}, "shared/metrics")
	operations := read(t, "docs/operations.md")
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		if !strings.Contains(operations, "\n| `"+name+"` ") {
			t.Errorf("docs/operations.md has no row for %s", name)
		}
	}
	for _, page := range pages(t) {
		for _, name := range metricNamed.FindAllString(read(t, page), -1) {
			short := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				short = strings.TrimSuffix(short, suffix)
			}
			if !defined[name] && !defined[short] {
				t.Errorf("%s tells of %s, which does not exist", page, name)
			}
		}
	}
}

var logged = regexp.MustCompile(`slog\.(?:Warn|Error)(?:Context)?\((?:ctx, )?"([^"]+)"`)

// What the functions log at warn and error level is explained.
func TestLogLinesAreExplained(t *testing.T) {
	operations := read(t, "docs/operations.md")
	sources(t, func(path, text string) {
		if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/") {
			return
		}
		for _, m := range logged.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(operations, "\n| `"+m[1]+"` ") {
				t.Errorf("docs/operations.md has no row for what %s logs: %q", path, m[1])
			}
		}
	}, "shared", "functions")
}

var link = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]+))?[^)]*\)`)

// links returns where the links of a page lead within the repository: paths from its root,
// and the anchors there, or "".
func links(t *testing.T, page string) (found [][2]string) {
	t.Helper()
	for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
		switch {
		case strings.Contains(m[1], "://"):
		case m[1] == "":
			found = append(found, [2]string{page, m[2]})
		default:
			found = append(found, [2]string{filepath.Join(filepath.Dir(page), m[1]), m[2]})
		}
	}
	return found
}

var (
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fence      = regexp.MustCompile("(?s)```.*?```")
	notInLinks = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are what links may name of a page's headings, as GitHub makes them.
func anchors(t *testing.T, page string) (list []string) {
	t.Helper()
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(read(t, page), ""), -1) {
		list = append(list, strings.ReplaceAll(notInLinks.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return list
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, l := range links(t, page) {
			path, anchor := l[0], l[1]
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if anchor != "" && !slices.Contains(anchors(t, path), anchor) {
				t.Errorf("%s: %s has no heading for #%s", page, path, anchor)
			}
		}
	}
}

// The index lists every page, and each page says at once whom it is for.
func TestIndex(t *testing.T) {
	index := links(t, "docs/README.md")
	for _, page := range pages(t) {
		listed := slices.ContainsFunc(index, func(l [2]string) bool { return l[0] == page })
		if filepath.Dir(page) == "docs" && page != "docs/README.md" && !listed {
			t.Errorf("docs/README.md does not list %s", page)
		}
		if _, text, _ := strings.Cut(read(t, page), "\n\n"); page != "README.md" && !strings.HasPrefix(text, "For ") {
			t.Errorf("%s does not begin with whom it is for", page)
		}
	}
	if lines := strings.Count(read(t, "README.md"), "\n"); lines > 120 {
		t.Errorf("the README has %d lines, more than 120", lines)
	}
}

// What ARCHITECTURE.md says of packages holds: each of shared has its place in the table,
// and imports only those of its own row and of the rows below.
func TestPackagesImportDownwards(t *testing.T) {
	const module = "github.com/duebell/duebell/"
	_, rooms, _ := strings.Cut(read(t, "ARCHITECTURE.md"), "\n## Packages\n")
	rooms, _, _ = strings.Cut(rooms, "\nBeside them:")
	rows := map[string]int{}
	for row, line := range strings.Split(rooms, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range regexp.MustCompile(`\[([a-z/]+)\]`).FindAllStringSubmatch(cells[1], -1) {
			rows[m[1]] = row
		}
	}
	// rowOf returns the row of a package, or of the folder that it is in.
	rowOf := func(name string) (row int, found bool) {
		for ; name != "."; name = filepath.Dir(name) {
			if row, found = rows[name]; found {
				return row, true
			}
		}
		return 0, false
	}
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./shared/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for line := range strings.Lines(string(out)) {
		names := strings.Fields(strings.ReplaceAll(line, module, ""))
		own, found := rowOf(names[0])
		if base := filepath.Base(names[0]); !found {
			if !strings.HasSuffix(base, "test") && base != "life" {
				t.Errorf("ARCHITECTURE.md has no place for %s", names[0])
			}
			continue
		}
		for _, imported := range names[1:] {
			if !strings.HasPrefix(imported, "shared/") {
				continue
			}
			held++
			if row, found := rowOf(imported); found && row < own {
				t.Errorf("%s imports %s, which ARCHITECTURE.md has above it", names[0], imported)
			}
		}
	}
	if held < 100 {
		t.Errorf("only %d imports were looked at", held)
	}
}

// The ports of webhooks that the documentation promises are those that the rules take, and
// the network policies let out; with those of mail servers, no others go anywhere.
func TestWebhookPorts(t *testing.T) {
	if want := "on port " + strings.Join(preferences.WebhookPorts, " or ") + ","; !strings.Contains(read(t, "docs/channels.md"), want) {
		t.Errorf("channels.md does not say %q", want)
	}
	_, anywhere, _ := strings.Cut(read(t, "manifests/namespace/network.yaml"), "ipBlock: ")
	list := regexp.MustCompile(`ports: \[(.*)\]`).FindStringSubmatch(anywhere)
	if list == nil {
		t.Fatal("network.yaml lets functions go nowhere")
	}
	var open []string
	for _, port := range regexp.MustCompile(`\{port: ([0-9]+)\}`).FindAllStringSubmatch(list[1], -1) {
		open = append(open, port[1])
	}
	mail := []string{"465", "587"}
	if want := append(slices.Clone(preferences.WebhookPorts), mail...); !slices.Equal(want, open) {
		t.Errorf("network.yaml lets functions reach %v everywhere, not %v", open, want)
	}
	if want := fmt.Sprintf("ports %s, %s and %s of any address", strings.Join(preferences.WebhookPorts, ", "), mail[0], mail[1]); !strings.Contains(read(t, "docs/security.md"), want) {
		t.Errorf("security.md does not say %q", want)
	}
}
