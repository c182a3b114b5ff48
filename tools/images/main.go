// images builds an image of each function and of the duebell program, with ko and without
// Docker, into an OCI layout; and, if it is told a repository, publishes them there.
//
// The images are based on nothing: a program needs no file besides its own. Time zones and
// the certificates of public authorities are in it. Beside it there are the licences of
// what it is made of. The same sources give the same digests. What each image is made of
// (SBOM, in SPDX) is kept in build/sbom, and published with the image as cosign reads it.
//
// Usage: images -root FOLDER [-platforms linux/amd64,linux/arm64] [-repo registry.example.com/duebell]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/ko/pkg/build"
	"github.com/sigstore/cosign/v3/pkg/oci"
	"golang.org/x/sync/errgroup"
)

const (
	module = "github.com/duebell/duebell"
	// user is nobody in particular, and not root.
	user = "65532:65532"
)

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository's folder")
	platforms := flag.String("platforms", "linux/amd64", "what to build for, with commas between")
	flag.StringVar(&o.repo, "repo", "", "where to publish, such as registry.example.com/duebell; nothing is published without it")
	flag.Parse()
	log.SetOutput(io.Discard) // ko's
	o.platforms = strings.Split(*platforms, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

type options struct {
	root      string
	platforms []string
	repo      string
	only      []string // the programs to build; nil means all
}

// image is what was built of one program.
type image struct {
	name   string
	result build.Result
	digest v1.Hash
	size   int64 // of all layers, compressed
}

func run(ctx context.Context, o options) error {
	images, err := buildAll(ctx, o)
	if err != nil {
		return err
	}
	dir := filepath.Join(o.root, "build", "images")
	if err := writeLayout(dir, images); err != nil {
		return err
	}
	for _, i := range images {
		fmt.Printf("%-20s %6.1f MB  %s\n", i.name, float64(i.size)/1e6, i.digest)
	}
	if o.repo == "" {
		return nil
	}
	for _, i := range images {
		if err := publish(ctx, o.repo+"/"+i.name, i); err != nil {
			return fmt.Errorf("publishing %s: %w", i.name, err)
		}
	}
	return os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization(o.repo, images)), 0o644)
}

// programs returns the import paths to build.
func (o options) programs() ([]string, error) {
	functions, err := os.ReadDir(filepath.Join(o.root, "functions"))
	if err != nil {
		return nil, err
	}
	all := []string{module + "/cmd/duebell"}
	for _, f := range functions {
		all = append(all, module+"/functions/"+f.Name())
	}
	if o.only == nil {
		return all, nil
	}
	return o.only, nil
}

func buildAll(ctx context.Context, o options) ([]image, error) {
	programs, err := o.programs()
	if err != nil {
		return nil, err
	}
	if slices.Contains(programs, module+"/functions/console") {
		if _, err := os.Stat(filepath.Join(o.root, "functions", "console", "web", "dist", "index.html")); err != nil {
			return nil, errors.New("the console's web part is not built: make console")
		}
	}
	notices, err := notices(ctx, o.root, o.platforms)
	if err != nil {
		return nil, err
	}
	base, err := base(o.platforms, notices)
	if err != nil {
		return nil, err
	}
	builder, err := build.NewGo(ctx, o.root,
		build.WithBaseImages(func(context.Context, string) (name.Reference, build.Result, error) {
			return name.MustParseReference("scratch"), base, nil
		}),
		build.WithPlatforms(o.platforms...),
		build.WithDefaultEnv([]string{"CGO_ENABLED=0"}),
		build.WithTrimpath(true),
		build.WithDefaultLdflags([]string{"-s", "-w"}),
		build.WithUser(user),
		build.WithSPDX("(devel)"), // ko's version
		build.WithSBOMDir(filepath.Join(o.root, "build", "sbom")),
		build.WithJobs(2),
	)
	if err != nil {
		return nil, err
	}
	images := make([]image, len(programs))
	group, ctx := errgroup.WithContext(ctx)
	for n, program := range programs {
		group.Go(func() (err error) {
			images[n], err = buildOne(ctx, builder, program)
			return err
		})
	}
	return images, group.Wait()
}

func buildOne(ctx context.Context, builder build.Interface, program string) (image, error) {
	i := image{name: filepath.Base(program)}
	var err error
	if i.result, err = builder.Build(ctx, build.StrictScheme+program); err != nil {
		return image{}, fmt.Errorf("building %s: %w", i.name, err)
	}
	if i.digest, err = i.result.Digest(); err != nil {
		return image{}, err
	}
	i.size, err = sizeOf(i.result)
	return i, err
}

// base returns an image with one layer, or one for each of several platforms.
func base(platforms []string, layer v1.Layer) (build.Result, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return nil, fmt.Errorf("the platform %q: %w", text, err)
		}
		nothing := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		only, err := mutate.ConfigFile(nothing, &v1.ConfigFile{
			OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant, RootFS: v1.RootFS{Type: "layers"},
		})
		if err == nil {
			only, err = mutate.AppendLayers(only, layer)
		}
		if err != nil {
			return nil, err
		}
		if len(platforms) == 1 {
			return only, nil
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: only, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index, nil
}

// sizeOf returns how much is transferred to run an image; of one for several platforms,
// the first of them.
func sizeOf(r build.Result) (size int64, err error) {
	img, ok := r.(v1.Image)
	if index, several := r.(v1.ImageIndex); several {
		manifest, err := index.IndexManifest()
		if err != nil {
			return 0, err
		}
		if img, err = index.Image(manifest.Manifests[0].Digest); err != nil {
			return 0, err
		}
	} else if !ok {
		return 0, fmt.Errorf("%T is no image", r)
	}
	layers, err := img.Layers()
	for _, layer := range layers {
		n, err := layer.Size()
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, err
}

// writeLayout writes the images into a new OCI layout; each has its name in the annotation
// that tools look for.
func writeLayout(dir string, images []image) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for _, i := range images {
		named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": i.name})
		switch r := i.result.(type) {
		case v1.ImageIndex:
			err = path.AppendIndex(r, named)
		case v1.Image:
			err = path.AppendImage(r, named)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func publish(ctx context.Context, repository string, i image) error {
	ref, err := name.ParseReference(repository)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithContext(ctx)}
	if index, ok := i.result.(v1.ImageIndex); ok {
		err = remote.WriteIndex(ref, index, options...)
	} else {
		err = remote.Write(ref, i.result.(v1.Image), options...)
	}
	if err != nil {
		return err
	}
	lists, err := sboms(i.result)
	for digest, list := range lists {
		// Where cosign looks for it.
		tag := ref.Context().Tag(digest.Algorithm + "-" + digest.Hex + ".sbom")
		err = errors.Join(err, remote.Write(tag, list, options...))
	}
	return err
}

// sboms returns the lists of what is in an image, or in an index and its images, by the
// digests of these.
func sboms(r build.Result) (map[v1.Hash]v1.Image, error) {
	entities := []oci.SignedEntity{}
	switch r := r.(type) {
	case oci.SignedImageIndex:
		manifest, err := r.IndexManifest()
		if err != nil {
			return nil, err
		}
		entities = append(entities, r)
		for _, m := range manifest.Manifests {
			img, err := r.SignedImage(m.Digest)
			if err != nil {
				return nil, err
			}
			entities = append(entities, img)
		}
	case oci.SignedImage:
		entities = append(entities, r)
	}
	lists := map[v1.Hash]v1.Image{}
	for _, e := range entities {
		digest, err := e.Digest()
		if err != nil {
			return nil, err
		}
		if lists[digest], err = e.Attachment("sbom"); err != nil {
			return nil, err
		}
	}
	return lists, nil
}

// kustomization returns a component that has the published images run, exactly these. It
// takes the place of manifests/images/kustomization.yaml.
func kustomization(repo string, images []image) string {
	var b strings.Builder
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nconfigurations: [openfunction.yaml]\nimages:\n")
	for _, i := range images {
		fmt.Fprintf(&b, "  - name: %s\n    newName: %s/%s\n    digest: %s\n", i.name, repo, i.name, i.digest)
	}
	return b.String()
}
