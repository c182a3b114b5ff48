package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// noticesPath is where the licences are in an image.
const noticesPath = "licenses/NOTICES.txt"

// notices returns a layer with the licences of all that the programs are made of.
func notices(ctx context.Context, root string) (v1.Layer, error) {
	text, err := licences(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("collecting the licences: %w", err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, header := range []tar.Header{
		{Name: filepath.Dir(noticesPath) + "/", Typeflag: tar.TypeDir, Mode: 0o555},
		{Name: noticesPath, Typeflag: tar.TypeReg, Mode: 0o444, Size: int64(len(text))},
	} {
		if err := w.WriteHeader(&header); err != nil { // without a date: the same licences make the same layer
			return nil, err
		}
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}

// licences returns the texts of the licences and notices of Duebell, of Go and of each
// module that a program has a package of.
func licences(ctx context.Context, root string) ([]byte, error) {
	list := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...", "./functions/...")
	list.Dir, list.Stderr = root, os.Stderr
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	modules, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	folders := []string{"Duebell\t" + root, "Go and its standard library\t" + strings.TrimSpace(string(goroot))}
	all := slices.Sorted(strings.SplitSeq(strings.TrimSpace(string(modules)), "\n"))
	folders = append(folders, slices.DeleteFunc(slices.Compact(all), func(line string) bool { return line == "" })...)
	var out bytes.Buffer
	for _, line := range folders {
		name, dir, _ := strings.Cut(line, "\t")
		files, err := licenceFiles(dir)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s has no licence in %s", name, dir)
		}
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&out, "==== %s: %s\n\n%s\n\n", name, file, bytes.TrimSpace(text))
		}
	}
	out.WriteString("==== The time zones (IANA tz database) are in the public domain.\n")
	return out.Bytes(), nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|notice|copying|copyright|patents)([.-].*)?$`)

func licenceFiles(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !e.IsDir() && licenceFile.MatchString(e.Name()) && filepath.Ext(e.Name()) != ".go" {
			names = append(names, e.Name())
		}
	}
	return names, err
}
