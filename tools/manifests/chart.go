package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/dapr/dapr/pkg/injector/patcher"
)

// dapr is the Dapr that a cluster has: its own chart, of the version in tools/dapr, with what
// the command in docs/deploy.md sets.
type dapr struct {
	values   map[string]any
	problems []string
}

// injector is the chart's part that says what daprd may do.
const injector = "dapr_sidecar_injector."

// readDapr reads the chart in Dapr's own module, and the command in docs/deploy.md.
func readDapr(root string) (*dapr, error) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "deploy.md"))
	if err != nil {
		return nil, err
	}
	values, version, err := readChart(root)
	if err != nil {
		return nil, fmt.Errorf("reading Dapr's chart: %w", err)
	}
	return install(values, version, string(page)), nil
}

// readChart returns the chart's values, those of its parts under their names, and its version.
func readChart(root string) (values map[string]any, version string, err error) {
	download := exec.Command("go", "mod", "download", "-json", "github.com/dapr/dapr")
	download.Dir = filepath.Join(root, "tools", "dapr")
	out, err := download.Output()
	if err != nil {
		return nil, "", err
	}
	var module struct{ Dir, Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, "", err
	}
	files, err := filepath.Glob(filepath.Join(module.Dir, "charts/dapr/charts/*/values.yaml"))
	if err != nil || len(files) == 0 {
		return nil, "", fmt.Errorf("%s has no parts (%w)", module.Dir, err)
	}
	for _, file := range append([]string{filepath.Join(module.Dir, "charts/dapr/values.yaml")}, files...) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		var part map[string]any
		if err := yaml.Unmarshal(text, &part); err != nil {
			return nil, "", fmt.Errorf("%s: %w", file, err)
		}
		if values == nil {
			values = part
		} else {
			values[filepath.Base(filepath.Dir(file))] = part
		}
	}
	return values, strings.TrimPrefix(module.Version, "v"), nil
}

// install sets in a copy of the chart's values what the page's command sets. A setting that
// the chart does not have is a problem: helm takes no notice of it.
func install(values map[string]any, version, page string) *dapr {
	d := &dapr{values: clone(values)}
	var words []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "helm upgrade --install dapr dapr ") {
			words = strings.Fields(line)
		}
	}
	if words == nil {
		d.fault("no line begins with helm upgrade --install dapr dapr")
		return d
	}
	for i, word := range words[:len(words)-1] {
		switch next := words[i+1]; word {
		case "--set":
			for setting := range strings.SplitSeq(next, ",") {
				d.set(setting)
			}
		case "--version":
			if minor := version[:strings.LastIndex(version, ".")+1]; !strings.HasPrefix(next, minor) {
				d.fault("it installs Dapr %s, and tools/dapr has %s: what was looked at is another chart", next, version)
			}
		}
	}
	d.checkVolumes(page)
	return d
}

func clone(values map[string]any) map[string]any {
	copied := map[string]any{}
	for name, value := range values {
		if inner, ok := value.(map[string]any); ok {
			value = clone(inner)
		}
		copied[name] = value
	}
	return copied
}

func (d *dapr) fault(format string, args ...any) {
	if problem := "docs/deploy.md: " + fmt.Sprintf(format, args...); !slices.Contains(d.problems, problem) {
		d.problems = append(d.problems, problem)
	}
}

func (d *dapr) set(setting string) {
	path, text, _ := strings.Cut(setting, "=")
	names := strings.Split(path, ".")
	in, last := d.values, names[len(names)-1]
	for _, name := range names[:len(names)-1] {
		in, _ = in[name].(map[string]any)
	}
	before, ok := in[last]
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil || !ok || fmt.Sprintf("%T", value) != fmt.Sprintf("%T", before) {
		d.fault("helm sets %s, which Dapr's chart does not have, or has as something else", setting)
		return
	}
	in[last] = value
}

// value returns what the chart has at a path.
func value[T any](d *dapr, path string) (v T) {
	var at any = d.values
	for name := range strings.SplitSeq(path, ".") {
		in, _ := at.(map[string]any)
		at = in[name]
	}
	v, ok := at.(T)
	if !ok {
		d.fault("Dapr's chart has no %s any more, or has it as something else", path)
	}
	return v
}

// configure tells a daprd what the injector would.
func (d *dapr) configure(sidecar *patcher.SidecarConfig) {
	sidecar.RunAsNonRoot = value[bool](d, injector+"sidecarRunAsNonRoot")
	sidecar.ReadOnlyRootFilesystem = value[bool](d, injector+"sidecarReadOnlyRootFilesystem")
	sidecar.SidecarDropALLCapabilities = value[bool](d, injector+"sidecarDropALLCapabilities")
	sidecar.EnableK8sDownwardAPIs = value[bool](d, injector+"enableK8sDownwardAPIs")
	sidecar.EnableNativeSidecar = value[bool](d, injector+"nativeSidecar")
	sidecar.KubeClusterDomain = value[string](d, injector+"kubeClusterDomain")
	sidecar.SchedulerEnabled = value[bool](d, "global.scheduler.enabled")
	sidecar.MTLSEnabled = value[bool](d, "global.mtls.enabled")
	sidecar.ImagePullPolicy = core.PullPolicy(value[string](d, injector+"sidecarImagePullPolicy"))
	sidecar.SidecarImage = value[string](d, injector+"image.name")
	for _, selector := range []string{"namespaceSelector", "objectSelector"} {
		if len(value[map[string]any](d, injector+selector)) > 0 {
			d.fault("with %s%s Dapr's injector may pass daprd's pods by", injector, selector)
		}
	}
	const watch = "dapr_operator.watchInterval"
	if slices.Contains([]string{"0", "once"}, value[string](d, watch)) {
		d.fault("without %s a pod of daprd that was made while Dapr's injector did not answer stays without it", watch)
	}
}

// checkVolumes checks that the page says which volumes the chart wants.
func (d *dapr) checkVolumes(page string) {
	wants := []string{value[string](d, "dapr_scheduler.cluster.storageSize")}
	if value[bool](d, "global.actors.enabled") && !value[bool](d, "dapr_placement.cluster.forceInMemoryLog") {
		wants = append(wants, value[string](d, "dapr_placement.volumeclaims.storageSize"))
	}
	for _, size := range wants {
		if !bytes.Contains([]byte(page), []byte("three of "+size)) {
			d.fault("Dapr's chart wants a volume of %s for each of three pods, and the page does not say so: \"three of %s\"", size, size)
		}
	}
}
