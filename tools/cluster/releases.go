package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed addons
var addons embed.FS

// writeReleases writes the files that docs/deploy.md has Kubernetes take from the internet,
// below the names of their hosts: put together as the projects' own releases are, from their
// modules. Inside there is no internet.
func (h home) writeReleases(ctx context.Context, root string) error {
	in := filepath.Join(root, "tools", "cluster", "programs", "knative")
	dirs := map[string]string{}
	for _, m := range []string{servingModule, eventingModule, "knative.dev/networking", "knative.dev/caching"} {
		dir, err := moduleDir(ctx, in, m)
		if err != nil {
			return err
		}
		dirs[m] = dir
	}
	chartDir, err := moduleDir(ctx, filepath.Join(root, "tools", "dapr"), daprModule)
	if err != nil {
		return err
	}
	gatewayDir, err := moduleDir(ctx, filepath.Join(root, "tools", "manifests"), "sigs.k8s.io/gateway-api")
	if err != nil {
		return err
	}
	dirs["sigs.k8s.io/gateway-api"] = gatewayDir
	var problems []error
	join := func(of string, patterns ...string) []byte {
		all, err := joinYAML(dirs, of, patterns...)
		problems = append(problems, err)
		return all
	}
	const (
		serving  = "github.com/knative/serving/releases/download/knative-v1.23.0/"
		eventing = "github.com/knative/eventing/releases/download/knative-v1.23.0/"
		kourier  = "github.com/knative-extensions/net-kourier/releases/download/knative-v1.23.0/"
		charts   = "dapr.github.io/helm-charts/"
	)
	chart, err := packChart(filepath.Join(chartDir, "charts", "dapr"), daprRelease)
	problems = append(problems, err)
	gateway, err := addons.ReadFile("addons/kourier.yaml")
	problems = append(problems, err)
	for at, content := range map[string][]byte{
		serving + "serving-crds.yaml": join(servingModule,
			"knative.dev/networking/config/ingress.yaml", "knative.dev/networking/config/serverlessservice.yaml",
			"knative.dev/networking/config/certificate.yaml", "knative.dev/networking/config/domain-claim.yaml",
			"knative.dev/caching/config/image.yaml", "knative.dev/serving/config/core/300-resources/*.yaml"),
		serving + "serving-core.yaml": join(servingModule,
			"knative.dev/serving/config/core/100-namespace.yaml", "knative.dev/serving/config/core/200-serviceaccount.yaml",
			"knative.dev/serving/config/core/200-roles/*.yaml", "knative.dev/serving/config/core/300-knativecertificate.yaml",
			"knative.dev/serving/config/core/configmaps/*.yaml", "knative.dev/networking/config/config-network.yaml",
			"knative.dev/serving/config/core/deployments/*.yaml", "knative.dev/serving/config/core/webhooks/*.yaml",
			"knative.dev/serving/config/core/999-cache.yaml"),
		eventing + "eventing-crds.yaml": join(eventingModule, "knative.dev/eventing/config/core/resources/*.yaml"),
		eventing + "eventing-core.yaml": join(eventingModule,
			"knative.dev/eventing/config/core/100-namespace.yaml", "knative.dev/eventing/config/core/200-*.yaml",
			"knative.dev/eventing/config/core/roles/*.yaml", "knative.dev/eventing/config/core/configmaps/*.yaml",
			"knative.dev/eventing/config/core/deployments/controller.yaml", "knative.dev/eventing/config/core/deployments/pingsource-mt-adapter.yaml",
			"knative.dev/eventing/config/core/deployments/webhook.yaml", "knative.dev/eventing/config/core/webhooks/*.yaml",
			"knative.dev/eventing/third_party/eventing-integrations-latest/*-images.yaml"),
		kourier + "kourier.yaml":                gateway,
		charts + "index.yaml":                   chartIndex(daprRelease),
		charts + "dapr-" + daprRelease + ".tgz": chart,
		"gateway-api.yaml":                      join("the Gateway API", "sigs.k8s.io/gateway-api/config/crd/standard/*.yaml"),
	} {
		path := h.path("files", at)
		problems = append(problems, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644))
	}
	return errors.Join(problems...)
}

var (
	koImage = regexp.MustCompile(`ko://knative\.dev/(serving|eventing)/cmd/([a-z_]+)`)
	askedOf = regexp.MustCompile(`(requests:\n(?:\s+#.*\n)*\s+cpu: )\S+`)
)

// joinYAML joins files, with the images of our registry in the place of those that the
// project would have built. They ask for no processor: half of a node with two would be
// reserved for them, and of Duebell's functions not all could run at once.
func joinYAML(dirs map[string]string, of string, patterns ...string) ([]byte, error) {
	var b bytes.Buffer
	for _, p := range patterns {
		parts := strings.SplitN(p, "/", 3)
		module := parts[0] + "/" + parts[1]
		found, err := filepath.Glob(filepath.Join(dirs[module], parts[2]))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("%s has no %s (%w)", of, p, err)
		}
		slices.Sort(found)
		for _, path := range found {
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			b.WriteString("---\n")
			content = koImage.ReplaceAll(content, []byte(registryHost+"/knative/$1-$2:"+knativeTag))
			b.Write(askedOf.ReplaceAll(content, []byte(`${1}"0"`)))
			b.WriteString("\n")
		}
	}
	return b.Bytes(), nil
}

// packChart packs Dapr's chart as its release does: with its version, and its registry.
func packChart(dir, version string) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.Dir(dir), path)
		if err != nil {
			return err
		}
		switch {
		case e.Name() == "Chart.yaml":
			content = bytes.ReplaceAll(content, []byte("0.0.0"), []byte(version))
		case rel == filepath.Join("dapr", "values.yaml"):
			content = regexp.MustCompile(`(?m)^  registry: .*$`).ReplaceAll(content, []byte("  registry: "+registryHost+"/dapr"))
			content = regexp.MustCompile(`(?m)^  tag: .*$`).ReplaceAll(content, []byte("  tag: '"+version+"'"))
		}
		if err := t.WriteHeader(&tar.Header{Name: rel, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = t.Write(content)
		return err
	})
	err = errors.Join(err, t.Close(), z.Close())
	return b.Bytes(), err
}

func chartIndex(version string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
entries:
  dapr:
    - {apiVersion: v2, name: dapr, version: %q, appVersion: %q, urls: ["https://dapr.github.io/helm-charts/dapr-%s.tgz"]}
`, version, version, version)
}
