package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
)

const repository = "../.."

// checkout returns a repository with one commit, of the sources as they are now.
func checkout(t *testing.T, commands string) (root string) {
	t.Helper()
	root = t.TempDir()
	shell := exec.Command("bash", "-euo", "pipefail", "-c", `
		tar -c --exclude=node_modules --exclude=dist -C "$0" cmd functions shared local manifests go.mod go.sum LICENSE README.md CHANGELOG.md .gitignore | tar -x -C "$1"
		cd "$1"
		git init -q -b main .
		git add -A
		git commit -q -m everything
		`+commands, repository, root)
	// No settings of whoever runs the test: they may sign commits, or change line ends.
	shell.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
		"GIT_AUTHOR_DATE=2026-12-01T09:00:00Z", "GIT_COMMITTER_DATE=2026-12-01T09:00:00Z")
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return root
}

func of(root string, programs ...string) options {
	return options{root: root, platforms: []string{"linux/amd64"}, programs: programs}
}

const tagged = `sed -i 's/^## \[Unreleased\]$/## [0.1.0] - 2026-12-01/' CHANGELOG.md && git commit -q -a -m 'Version 0.1.0' && git tag v0.1.0`

// One commit makes the same archive wherever it is checked out. It holds the programs, which say what they are,
// and the list of what they are made of is complete.
func TestRelease(t *testing.T) {
	var sums []string
	var dir string
	one, other := checkout(t, tagged), t.TempDir()
	if out, err := exec.Command("git", "clone", "-q", one, other).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, root := range []string{one, other} {
		o := of(root, "./cmd/duebell", "./functions/get-tasks")
		if err := o.release(t.Context()); err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(o.root, "build", "release")
		text, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(text))
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 2 {
		t.Errorf("two builds of one commit make\n%sand\n%s", sums[0], sums[1])
	}
	check := exec.Command("sha256sum", "-c", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}

	const name = "duebell-v0.1.0-linux-amd64"
	out := t.TempDir()
	files := unpack(t, filepath.Join(dir, name+".tar.gz"), out)
	if want := []string{"CHANGELOG.md", "LICENSE", "NOTICES.txt", "README.md", "duebell", "get-tasks"}; !slices.Equal(files, prefixed(name+"/", want)) {
		t.Errorf("the archive holds %q", files)
	}
	said, err := exec.Command(filepath.Join(out, name, "duebell"), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "duebell    v0.1.0\n") || strings.Contains(string(said), "unknown") {
		t.Errorf("it says %s (%v)", said, err)
	}
	notices, err := os.ReadFile(filepath.Join(out, name, "NOTICES.txt"))
	if err != nil || !strings.Contains(string(notices), "==== github.com/jackc/pgx/v5 v5.") {
		t.Errorf("the notices lack pgx's: %v", err)
	}

	doc := readSBOM(t, filepath.Join(dir, name+".spdx.json"))
	if doc.SPDXVersion != "SPDX-2.3" || doc.CreationInfo.Created != "2026-12-01T09:00:00Z" {
		t.Errorf("the list is of %s, and says %s", doc.SPDXVersion, doc.CreationInfo.Created)
	}
	byName := map[string]*spdx.Package{}
	for _, p := range doc.Packages {
		byName[p.PackageName] = p
	}
	contains := func(a, b string) bool {
		return slices.ContainsFunc(doc.Relationships, func(r *spdx.Relationship) bool {
			return byName[a] != nil && byName[b] != nil && r.RefA.ElementRefID == byName[a].PackageSPDXIdentifier && r.RefB.ElementRefID == byName[b].PackageSPDXIdentifier && r.Relationship == "CONTAINS"
		})
	}
	for _, pair := range [][2]string{{name, "duebell"}, {name, "get-tasks"}, {"get-tasks", "github.com/jackc/pgx/v5"}, {"get-tasks", "stdlib"}, {"duebell", "github.com/twmb/franz-go"}} {
		if !contains(pair[0], pair[1]) {
			t.Errorf("the list does not say that %s contains %s", pair[0], pair[1])
		}
	}
	if contains("get-tasks", "github.com/twmb/franz-go") || contains("get-tasks", "preact") {
		t.Error("get-tasks is said to contain what only others have")
	}
	if p := byName["github.com/jackc/pgx/v5"]; p == nil || p.PackageLicenseDeclared != "MIT" || !strings.HasPrefix(p.PackageExternalReferences[0].Locator, "pkg:golang/github.com/jackc/pgx/v5@v5.") {
		t.Errorf("of pgx it says %+v", p)
	}
}

func prefixed(prefix string, names []string) (list []string) {
	for _, name := range names {
		list = append(list, prefix+name)
	}
	return list
}

// unpack unpacks an archive, and returns the names in it. All have the commit's time, and no owner.
func unpack(t *testing.T, archive, dir string) (names []string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compressed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if !header.ModTime.Equal(time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)) || header.Uid != 0 || header.Uname != "" {
			t.Errorf("%s is of %v, and belongs to %q", header.Name, header.ModTime, header.Uname)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		text, err := io.ReadAll(r)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, header.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	}
}

func readSBOM(t *testing.T, path string) *spdx.Document {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := spdxjson.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// What is not a commit, or a version that the changelog does not tell of, is not released.
func TestNotReleased(t *testing.T) {
	for commands, want := range map[string]string{
		"echo >>README.md":    "not committed",
		"echo >functions/new": "not committed",
		"git tag v0.9.9":      "CHANGELOG.md has no heading",
	} {
		o := of(checkout(t, commands), "./functions/get-tasks")
		if err := o.release(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("after %s: %v", commands, err)
		}
	}
}

func TestVersionOfAChangedCheckout(t *testing.T) {
	if err := of(repository).checkVersion("v0.1.0+dirty"); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Error(err)
	}
}

func TestConsoleIsNotLeftOut(t *testing.T) {
	o := of(checkout(t, ""), "./functions/...")
	if err := o.release(t.Context()); err == nil || !strings.Contains(err.Error(), "make console") {
		t.Error(err)
	}
}
