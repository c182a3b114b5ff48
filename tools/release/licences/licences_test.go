package licences

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page lists exactly what is linked, and all of it is allowed.
func TestPage(t *testing.T) {
	const root = "../../.."
	parts, err := Collect(t.Context(), root, []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "licences.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Report(parts) {
		t.Error("docs/licences.md is not what is linked; make licences rewrites it")
	}
	for _, p := range parts {
		if p.Kind == Go && len(p.Files) == 0 {
			t.Errorf("the text of %s's licence does not come along", p.Name)
		}
	}
}

const (
	isc = `Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.`
	wtfpl = `DO WHAT THE FUCK YOU WANT TO PUBLIC LICENSE
Version 2, December 2004

Copyright (C) 2004 Sam Hocevar <sam@hocevar.net>

Everyone is permitted to copy and distribute verbatim or modified copies of this license document, and changing it is allowed as long as the name is changed.

DO WHAT THE FUCK YOU WANT TO PUBLIC LICENSE TERMS AND CONDITIONS FOR COPYING, DISTRIBUTION AND MODIFICATION

0. You just DO WHAT THE FUCK YOU WANT TO.`
)

// A part is taken only if each of its licences is known and allowed: also one of a package inside of it.
func TestLicencesOfAPart(t *testing.T) {
	for _, c := range []struct {
		files   map[string]string
		licence string
		problem string // part of what is said against it
	}{
		{map[string]string{"LICENSE": "Copyright (c) 2026 Ada\n\n" + isc}, "ISC", ""},
		{map[string]string{"COPYING.txt": isc, "NOTICE": "anything"}, "ISC", ""},
		{map[string]string{"LICENSE": isc, "inner/deep/LICENSE": wtfpl}, "", "under WTFPL"},
		{map[string]string{"LICENSE": wtfpl}, "", "under WTFPL"},
		{map[string]string{"LICENSE": "Ask Ada before you use this."}, "", "only 0 %"},
		{map[string]string{"LICENSE": isc + strings.Repeat("\nBut pay Ada for each word that you read here.", 20)}, "", "only"},
		{map[string]string{"NOTICE": isc}, "", "has no licence"},
		{map[string]string{"license.go": "package licence"}, "", "has no licence"},
	} {
		own := t.TempDir()
		inner := filepath.Join(own, "inner", "deep")
		if err := os.MkdirAll(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range c.files {
			if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		p := Part{Name: "example.com/part"}
		err := p.read([]string{own, inner})
		if err == nil {
			err = p.check()
		}
		switch {
		case c.problem == "" && (err != nil || p.Licence != c.licence || len(p.Files) != len(c.files)):
			t.Errorf("%v: %q, %d files, %v", c.files, p.Licence, len(p.Files), err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%v: %v, want %q", c.files, err, c.problem)
		}
	}
}

func TestURL(t *testing.T) {
	for want, p := range map[string]Part{
		"pkg:golang/github.com/sendgrid/rest@v2.6.9%2Bincompatible": {Kind: Go, Name: "github.com/sendgrid/rest", Version: "v2.6.9+incompatible"},
		"pkg:npm/%40babel/core@1.0.0":                               {Kind: NPM, Name: "@babel/core", Version: "1.0.0"},
		"":                                                          {Name: "Duebell"},
	} {
		if got := p.URL(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
