// Package licences says what Duebell's programs are made of, and under which licences.
package licences

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// Allowed are the licences, by their SPDX ids, that what is linked into Duebell may have. All of them allow
// programs under Apache-2.0 to be made with it, and ask for no more than that their text comes along.
var Allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unlicense", PublicDomain}

// PublicDomain is what SPDX has no id for.
const PublicDomain = "LicenseRef-public-domain"

// readByHand are texts that the scanner does not know, and that a person has read, by their SHA-256.
var readByHand = map[string]string{
	"5c640056d513f276d56635af7a0bed81cb7eac02a31b6e56d40c416557a8d8ce": PublicDomain, // github.com/xi2/xz
}

// Kinds of parts.
const (
	Go  = "golang" // a Go module
	NPM = "npm"    // an npm package
)

// Part is something that Duebell's programs are made of.
type Part struct {
	Kind    string // Go or NPM; "" is Duebell itself, or Go's own library
	Name    string
	Version string // "" if the name says all
	Licence string // an SPDX expression, such as "Apache-2.0 AND MIT"
	Files   []File // the licences and notices; of an npm package the console has them itself
}

// File is the text of a licence or a notice.
type File struct {
	Name string // its path in the part
	Text []byte
}

// Collect returns what the programs of the checkout at root are made of on any of the platforms
// ("linux/amd64"): Duebell, Go, each module that a program has a package of, and each npm package
// of the console. It fails if a part has no licence, if a licence is not recognised, or if one is not
// in Allowed.
func Collect(ctx context.Context, root string, platforms []string) ([]Part, error) {
	goroot, err := run(ctx, root, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	parts := []Part{{Name: "Duebell"}, {Name: "Go and its standard library"}}
	folders := [][]string{{root}, {strings.TrimSpace(goroot)}}
	modules, err := linked(ctx, root, platforms)
	if err != nil {
		return nil, err
	}
	for _, m := range slices.Sorted(maps.Keys(modules)) {
		name, version, _ := strings.Cut(m, " ")
		parts, folders = append(parts, Part{Kind: Go, Name: name, Version: version}), append(folders, modules[m])
	}
	var problems []error
	for i := range parts {
		if err := parts[i].read(folders[i]); err != nil {
			problems = append(problems, err)
		}
	}
	packages, err := console(root)
	parts = append(parts, packages...)
	for _, p := range parts {
		problems = append(problems, p.check())
	}
	return parts, errors.Join(append(problems, err)...)
}

// check returns an error if a part has a licence that is not in Allowed.
func (p *Part) check() error {
	for id := range strings.SplitSeq(p.Licence, " AND ") {
		if p.Licence != "" && !slices.Contains(Allowed, id) {
			return fmt.Errorf("%s is under %s, which is not among the allowed licences", p.Name, id)
		}
	}
	return nil
}

// linked returns the modules that programs have packages of, "path version", each with its folder, which is the
// first, and the folders of these packages.
func linked(ctx context.Context, root string, platforms []string) (map[string][]string, error) {
	modules := map[string][]string{}
	for _, platform := range platforms {
		system, processor, _ := strings.Cut(platform, "/")
		list, err := run(ctx, root, []string{"CGO_ENABLED=0", "GOOS=" + system, "GOARCH=" + processor},
			"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./cmd/...", "./functions/...")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(list) {
			cells := strings.Split(strings.TrimSpace(line), "\t")
			if len(cells) != 3 {
				continue
			}
			if modules[cells[0]] == nil {
				modules[cells[0]] = cells[1:2]
			}
			if !slices.Contains(modules[cells[0]], cells[2]) {
				modules[cells[0]] = append(modules[cells[0]], cells[2])
			}
		}
	}
	return modules, nil
}

func run(ctx context.Context, root string, env []string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir, command.Stderr, command.Env = root, os.Stderr, append(os.Environ(), env...)
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return string(out), nil
}

var (
	licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([.-].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|copyright|patents)([.-].*)?$`)
)

// recognised is how much of a licence's file has to be words of known licences, in per cent. The rest
// is names, years and headings.
const recognised = 75

// read reads the licences of a part: those in the first of the folders, which is its own, and those
// between it and each of the others.
func (p *Part) read(folders []string) error {
	own := folders[0]
	seen, ids := map[string]bool{}, map[string]bool{}
	for _, folder := range folders {
		for dir := folder; !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			if err := p.readFolder(own, dir, ids); err != nil {
				return err
			}
			if dir == own {
				break
			}
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("%s has no licence in %s", p.Name, own)
	}
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	p.Licence = strings.Join(slices.Sorted(maps.Keys(ids)), " AND ")
	return nil
}

func (p *Part) readFolder(own, dir string, ids map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		isLicence := licenceFile.MatchString(e.Name())
		if e.IsDir() || filepath.Ext(e.Name()) == ".go" || !isLicence && !noticeFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		inPart, err := filepath.Rel(own, filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		p.Files = append(p.Files, File{Name: filepath.ToSlash(inPart), Text: text})
		if !isLicence {
			continue
		}
		if id := readByHand[fmt.Sprintf("%x", sha256.Sum256(text))]; id != "" {
			ids[id] = true
			continue
		}
		found := licensecheck.Scan(text)
		if found.Percent < recognised {
			return fmt.Errorf("%s: only %.0f %% of %s is a licence that is known", p.Name, found.Percent, inPart)
		}
		for _, m := range found.Match {
			if !m.IsURL {
				ids[m.ID] = true
			}
		}
	}
	return nil
}

// console returns the npm packages that the console's page has, as the file that pins them says.
func console(root string) (parts []Part, err error) {
	text, err := os.ReadFile(filepath.Join(root, "functions", "console", "web", "package-lock.json"))
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct {
			Version, License string
			Dev              bool
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, fmt.Errorf("package-lock.json: %w", err)
	}
	for _, folder := range slices.Sorted(maps.Keys(lock.Packages)) {
		p := lock.Packages[folder]
		_, name, found := strings.Cut(folder, "node_modules/")
		if !found || p.Dev {
			continue
		}
		if p.License == "" {
			err = errors.Join(err, fmt.Errorf("the npm package %s does not say its licence", name))
		}
		parts = append(parts, Part{Kind: NPM, Name: name, Version: p.Version, Licence: p.License})
	}
	return parts, err
}

// Notices returns the texts of all licences and notices, as they have to come along with the programs.
func Notices(parts []Part) []byte {
	var out bytes.Buffer
	for _, p := range parts {
		for _, f := range p.Files {
			fmt.Fprintf(&out, "==== %s: %s\n\n%s\n\n", p.title(), f.Name, bytes.TrimSpace(f.Text))
		}
	}
	out.WriteString("==== The time zones (IANA tz database) are in the public domain.\n")
	return out.Bytes()
}

func (p Part) title() string { return strings.TrimSpace(p.Name + " " + p.Version) }

// URL returns the package URL by which other programs know a part, or "" of Duebell and Go.
func (p Part) URL() string {
	if p.Kind == "" {
		return ""
	}
	return "pkg:" + p.Kind + "/" + strings.ReplaceAll(p.Name, "@", "%40") + "@" + strings.ReplaceAll(p.Version, "+", "%2B")
}

// Report returns the page that lists all parts.
func Report(parts []Part) string {
	var out strings.Builder
	out.WriteString(`# Licences

For whoever has to know what Duebell's programs are made of. Afterwards you know each part, and its licence.

Duebell is under the [Apache License 2.0](../LICENSE). This page lists what is linked into its programs on Linux and macOS, and what the console's page holds. Build tools, tests and
benchmarks are not part of the programs, and not listed. The texts of the licences are in each archive as ` + "`NOTICES.txt`" + `, in each image as ` + "`/licenses/NOTICES.txt`" + `, and for the console's page at ` + "`/console/licenses.md`" + `.
The time zones (IANA tz database) are in the public domain.

The page is made by ` + "`make licences`" + `. A test fails if it is out of date, or if a licence is not among these: ` + strings.Join(Allowed, ", ") + `.

| part | version | licence |
| --- | --- | --- |
`)
	for _, p := range parts {
		version := p.Version
		switch {
		case p.Name == "Duebell":
			continue
		case p.Kind == NPM:
			version += " (npm)"
		}
		fmt.Fprintf(&out, "| %s | %s | %s |\n", p.Name, version, p.Licence)
	}
	return out.String()
}
