package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const repository = "../.."

func buildFrom(t *testing.T, root string, platforms ...string) image {
	t.Helper()
	t.Chdir(root)
	built, err := buildAll(t.Context(), options{root: root, platforms: platforms, only: []string{module + "/functions/get-tasks"}})
	if err != nil {
		t.Fatal(err)
	}
	return built[0]
}

// copyOfSources puts what images are made of elsewhere.
func copyOfSources(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	copied := exec.Command("sh", "-c", `tar -c --exclude=node_modules -C "$0" cmd functions shared local manifests go.mod go.sum LICENSE | tar -x -C "$1"`, repository, root)
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return root
}

// The same sources, wherever they are, make the same image. It holds one static program,
// which runs without anything around it, as nobody in particular.
func TestImage(t *testing.T) {
	t.Setenv("GOFLAGS", "-buildvcs=false") // the copy is of no commit
	elsewhere := copyOfSources(t)
	here, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	one, other := buildFrom(t, here, "linux/amd64"), buildFrom(t, elsewhere, "linux/amd64")
	if one.digest != other.digest {
		t.Errorf("two builds make %s and %s", one.digest, other.digest)
	}
	img := one.result.(v1.Image)
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/ko-app/get-tasks" {
		t.Errorf("it runs %v as %q", config.Config.Entrypoint, config.Config.User)
	}
	program := extract(t, img, config.Config.Entrypoint[0])
	if one.size < 1e6 || one.size > int64(len(program)) {
		t.Errorf("its size is said to be %d; the program has %d bytes", one.size, len(program))
	}
	binary, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program is not static: %v", p.Type)
		}
	}
	notices := string(extract(t, img, "/"+noticesPath))
	for _, want := range []string{"==== Duebell: LICENSE", "==== Go and its standard library: LICENSE", "==== github.com/jackc/pgx/v5 v5.", "Permission is hereby granted", "Apache License", "public domain"} {
		if !strings.Contains(notices, want) {
			t.Errorf("the notices, of %d bytes, lack %q", len(notices), want)
		}
	}
	path := filepath.Join(t.TempDir(), "get-tasks")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "-variables").Output()
	var variables []any
	if err != nil || json.Unmarshal(out, &variables) != nil || len(variables) == 0 {
		t.Errorf("the program says %s (%v)", out, err)
	}
}

// extract returns a file of an image, which must have none but the program and the licences.
func extract(t *testing.T, img v1.Image, path string) (content []byte) {
	t.Helper()
	all := mutate.Extract(img)
	defer all.Close()
	files := tar.NewReader(all)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return content
		}
		if err != nil {
			t.Fatal(err)
		}
		switch file := filepath.Join("/", header.Name); {
		case header.Typeflag == tar.TypeDir:
		case file == path:
			if content, err = io.ReadAll(files); err != nil {
				t.Fatal(err)
			}
		case file != "/ko-app/get-tasks" && file != "/"+noticesPath:
			t.Errorf("the image holds %s", header.Name)
		}
	}
}

// Images are kept in the layout by their names, published, and the component that is
// written names exactly what was published.
func TestPublish(t *testing.T) {
	root := copyOfSources(t)
	server := httptest.NewServer(registry.New())
	defer server.Close()
	repo := strings.TrimPrefix(server.URL, "http://") + "/duebell"
	t.Chdir(root)
	err := run(t.Context(), options{root: root, platforms: []string{"linux/amd64"}, repo: repo, only: []string{module + "/functions/get-tasks"}})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := layout.ImageIndexFromPath(filepath.Join(root, "build", "images"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := kept.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "get-tasks" {
		t.Errorf("the layout holds %+v", manifest.Manifests)
	}
	written, err := os.ReadFile(filepath.Join(root, "build", "images", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	digest := manifest.Manifests[0].Digest.String()
	want := "  - name: get-tasks\n    newName: " + repo + "/get-tasks\n    digest: " + digest + "\n"
	if !strings.HasSuffix(string(written), want) {
		t.Errorf("the component is %s", written)
	}
	ref, err := name.ParseReference(repo + "/get-tasks@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(ref); err != nil {
		t.Error(err)
	}
	// The list of what is in it is kept, and beside it where cosign looks for it.
	tag, err := name.ParseReference(repo + "/get-tasks:" + strings.Replace(digest, ":", "-", 1) + ".sbom")
	if err != nil {
		t.Fatal(err)
	}
	list, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := list.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatal(layers, err)
	}
	layer, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	published, err := io.ReadAll(layer)
	if err != nil {
		t.Fatal(err)
	}
	kepts, err := filepath.Glob(filepath.Join(root, "build", "sbom", "*get-tasks*.spdx.json"))
	if err != nil || len(kepts) == 0 {
		t.Fatal(kepts, err)
	}
	keptList, err := os.ReadFile(kepts[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"published": string(published), "kept": string(keptList)} {
		for _, want := range []string{"SPDX-2.3", "github.com/jackc/pgx/v5", "github.com/prometheus/client_golang"} {
			if !strings.Contains(text, want) {
				t.Errorf("what is %s lacks %q: %.200s", what, want, text)
			}
		}
	}
}

// For several platforms there is an image for each.
func TestSeveralPlatforms(t *testing.T) {
	layer := static.NewLayer([]byte("x"), types.OCILayer)
	several, err := base([]string{"linux/amd64", "linux/arm64"}, layer)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := several.(v1.ImageIndex).IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
	}
	if got := strings.Join(platforms, " "); got != "linux/amd64 linux/arm64" {
		t.Errorf("it is for %s", got)
	}
	if _, err := base([]string{"linux/amd64/v1/v2/v3"}, layer); err == nil {
		t.Error("a platform that is none is taken")
	}
}

// An image of the console without its page is not made.
func TestConsoleWantsItsPage(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "functions"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := buildAll(t.Context(), options{root: root, platforms: []string{"linux/amd64"}, only: []string{module + "/functions/console"}})
	if err == nil || !strings.Contains(err.Error(), "make console") {
		t.Errorf("without its page the console's image is made: %v", err)
	}
}
