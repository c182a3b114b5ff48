// tzdata makes shared/zone/zones.zip, the time zones that are in every program, out of a
// folder with compiled ones. It refuses a release that is older than what is there, and one
// that lacks a name that is there: users may have chosen that.
//
// Usage: tzdata RELEASE FOLDER FILE
package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: tzdata RELEASE FOLDER FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "tzdata:", err)
		os.Exit(1)
	}
}

var release = regexp.MustCompile(`^20[0-9]{2}[a-z]+$`)

func run(name, folder, file string) error {
	if !release.MatchString(name) {
		return fmt.Errorf("%q is not the name of a release, such as 2026f", name)
	}
	rules := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == "Factory" { // which stands for no zone
			return err
		}
		if rules[path], err = os.ReadFile(filepath.Join(folder, path)); err == nil {
			_, err = time.LoadLocationFromTZData(path, rules[path])
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case len(rules) < 500:
		return fmt.Errorf("%s has only %d zones", folder, len(rules))
	}
	if err := compare(name, rules, file); err != nil {
		return err
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, zone := range slices.Sorted(maps.Keys(rules)) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: zone, Method: zip.Deflate}) // without a date: the same input gives the same file
		if err != nil {
			return err
		}
		if _, err := f.Write(rules[zone]); err != nil {
			return err
		}
	}
	if err := errors.Join(w.SetComment(name), w.Close()); err != nil {
		return err
	}
	fmt.Printf("%s: release %s, %d zones, %d bytes\n", file, name, len(rules), out.Len())
	return os.WriteFile(file, out.Bytes(), 0o644) //nolint:gosec // everybody may read it
}

// compare says what a release changes, and refuses one that must not take the place of what
// is in the file.
func compare(name string, rules map[string][]byte, file string) error {
	r, err := zip.OpenReader(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if name < r.Comment {
		return fmt.Errorf("release %s is older than %s, which is there", name, r.Comment)
	}
	var lost, changed []string
	for _, f := range r.File {
		before, err := fs.ReadFile(r, f.Name)
		if err != nil {
			return err
		}
		now, ok := rules[f.Name]
		switch {
		case !ok:
			lost = append(lost, f.Name)
		case !bytes.Equal(before, now):
			changed = append(changed, f.Name)
		}
	}
	if lost != nil {
		return fmt.Errorf("release %s lacks %s, which users may have chosen", name, strings.Join(lost, ", "))
	}
	fmt.Printf("%s to %s: %d zones differ: %s\n", r.Comment, name, len(changed), strings.Join(changed, ", "))
	return nil
}
