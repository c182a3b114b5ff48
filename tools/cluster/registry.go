package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// newRegistry makes a registry that keeps its blobs in a folder.
func newRegistry(dir string) http.Handler {
	return registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(log.New(io.Discard, "", 0)))
}

const knativeTag = "v0.50.0"

// images are what the cluster itself runs: the path in the registry, the program in the
// cache, where it is in the image, and who runs it.
func images() (all []image) {
	for _, c := range []string{"activator", "autoscaler", "controller", "webhook", "queue"} {
		all = append(all, image{"knative/serving-" + c + ":" + knativeTag, "serving-" + c, "/ko-app/" + c, nobody})
	}
	for _, c := range []string{"controller", "webhook", "mtping"} {
		all = append(all, image{"knative/eventing-" + c + ":" + knativeTag, "eventing-" + c, "/ko-app/" + c, nobody})
	}
	for _, c := range []string{"daprd", "scheduler", "operator", "sentry", "injector", "placement"} {
		all = append(all, image{"dapr/" + c + ":" + daprRelease, "dapr-" + c, "/" + c, nobody})
	}
	return append(all,
		image{"pause:3.10", "pause", "/pause", "65535:65535"},
		image{"coredns:1", "coredns", "/coredns", "0:0"},
		image{"traefik:3", "traefik", "/traefik", "0:0"},
		image{"cluster:1", "cluster", "/cluster", nobody})
}

const nobody = "65532:65532"

type image struct{ to, program, path, user string }

// push puts an image that is nothing but one program into the registry.
func (i image) push(ctx context.Context, h home) error {
	program, err := os.ReadFile(h.path("bin", i.program))
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	t := tar.NewWriter(&layer)
	err = t.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir})
	if dir := path.Dir(i.path); dir != "/" {
		err = errors.Join(err, t.WriteHeader(&tar.Header{Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755, Typeflag: tar.TypeDir}))
	}
	err = errors.Join(err, t.WriteHeader(&tar.Header{Name: strings.TrimPrefix(i.path, "/"), Mode: 0o755, Size: int64(len(program))}))
	if err == nil {
		_, err = t.Write(program)
	}
	if err = errors.Join(err, t.Close()); err != nil {
		return err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	// It is not compressed: it never leaves this machine.
	img, err := mutate.AppendLayers(base, static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = runtime.GOOS, runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{i.path}, User: i.user, Env: []string{"PATH=/"}, WorkingDir: "/"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	to, err := name.ParseReference("127.0.0.1:5000/" + i.to)
	if err != nil {
		return err
	}
	if err := remote.Write(to, img, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("the image %s: %w", i.to, err)
	}
	return nil
}
