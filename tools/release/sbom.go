package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/duebell/duebell/tools/release/licences"
)

const home = "https://github.com/duebell/duebell"

// writeSBOM writes what an archive is made of: the archive contains programs, and each program contains the modules that
// Go's linker says are in it, and Go itself. The console contains npm packages, too.
func writeSBOM(path, archive, version string, at time.Time, programs []file, parts []licences.Part) error {
	digits, err := sum(archive)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(archive), ".tar.gz")
	whole := duebell(name, version, digits, "ARCHIVE")
	whole.PackageFileName = filepath.Base(archive)
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: name,
		DocumentNamespace: home + "/sbom/" + name + "-" + digits, // unique, and the same for the same archive
		CreationInfo: &spdx.CreationInfo{
			Created:  at.Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "duebell-release"}},
		},
		Packages: []*spdx.Package{whole},
		OtherLicenses: []*spdx.OtherLicense{{
			LicenseIdentifier: licences.PublicDomain, LicenseName: "Public domain", ExtractedText: "The authors have put the files into the public domain. NOTICES.txt has their words.",
		}},
	}
	relate(doc, "DOCUMENT", common.TypeRelationshipDescribe, whole.PackageSPDXIdentifier)
	b := builder{doc: doc, parts: map[string]licences.Part{}, ids: map[string]common.ElementID{}}
	for _, p := range parts {
		b.parts[p.Name+" "+p.Version] = p
	}
	for _, program := range programs {
		if err := b.add(whole.PackageSPDXIdentifier, program, version, parts); err != nil {
			return fmt.Errorf("%s: %w", program.name, err)
		}
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := spdxjson.Write(doc, out, spdxjson.Indent(" "), spdxjson.EscapeHTML(false)); err != nil {
		return err
	}
	return out.Close()
}

type builder struct {
	doc   *spdx.Document
	parts map[string]licences.Part    // by "name version"
	ids   map[string]common.ElementID // of the parts that the document has
}

// add adds a program, and what it contains.
func (b *builder) add(archive common.ElementID, program file, version string, parts []licences.Part) error {
	digits, err := sum(program.path)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program.path)
	if err != nil {
		return err
	}
	own := duebell(program.name, version, digits, "APPLICATION")
	b.doc.Packages = append(b.doc.Packages, own)
	relate(b.doc, archive, common.TypeRelationshipContains, own.PackageSPDXIdentifier)
	contains := []licences.Part{{Kind: licences.Go, Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go"), Licence: "BSD-3-Clause"}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		part, found := b.parts[m.Path+" "+m.Version]
		if !found {
			return fmt.Errorf("the licence of %s %s is not known", m.Path, m.Version)
		}
		contains = append(contains, part)
	}
	for _, p := range parts {
		if p.Kind == licences.NPM && program.name == "console" {
			contains = append(contains, p)
		}
	}
	for _, p := range contains {
		relate(b.doc, own.PackageSPDXIdentifier, common.TypeRelationshipContains, b.part(p))
	}
	return nil
}

// part returns the id of a part, which it adds if it is not there.
func (b *builder) part(p licences.Part) common.ElementID {
	if id := b.ids[p.URL()]; id != "" {
		return id
	}
	id := idOf(p.Kind + "-" + p.Name + "-" + p.Version)
	b.ids[p.URL()] = id
	b.doc.Packages = append(b.doc.Packages, &spdx.Package{
		PackageName: p.Name, PackageSPDXIdentifier: id, PackageVersion: p.Version, PackageDownloadLocation: "NOASSERTION",
		PackageLicenseConcluded: p.Licence, PackageLicenseDeclared: p.Licence, PackageCopyrightText: "NOASSERTION", PrimaryPackagePurpose: "LIBRARY",
		PackageExternalReferences: []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: p.URL()}},
	})
	return id
}

// duebell returns a package that is of Duebell itself.
func duebell(name, version, digits, purpose string) *spdx.Package {
	return &spdx.Package{
		PackageName: name, PackageSPDXIdentifier: idOf("duebell-" + purpose + "-" + name), PackageVersion: version, PackageDownloadLocation: home,
		PackageLicenseConcluded: "Apache-2.0", PackageLicenseDeclared: "Apache-2.0", PackageCopyrightText: "NOASSERTION", PrimaryPackagePurpose: purpose,
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: digits}},
	}
}

func relate(doc *spdx.Document, a common.ElementID, how string, b common.ElementID) {
	doc.Relationships = append(doc.Relationships, &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(a)), RefB: common.MakeDocElementID("", string(b)), Relationship: how,
	})
}

var notInIDs = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// idOf makes an id of a name: letters, digits, dots and hyphens.
func idOf(name string) common.ElementID {
	return common.ElementID(notInIDs.ReplaceAllString(name, "-"))
}
