package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/duebell/duebell/local/compile"
	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/process"
)

// What is built, all of it from Go modules. Versions are in the modules' go.mod.
const (
	kubernetesVersion = "v1.34.4" // the last whose kubelet runs on cgroup v1
	servingModule     = "knative.dev/serving"
	eventingModule    = "knative.dev/eventing"
	traefikModule     = "github.com/traefik/traefik/v3"
	legoModule        = "github.com/go-acme/lego/v5"
	daprModule        = "github.com/dapr/dapr"
)

// daprRelease is what Dapr's chart and images are called.
var daprRelease = strings.TrimPrefix(dapr.Version, "v")

// set is what is built of one module: its programs end up in one folder.
type set struct {
	name     string
	module   string // its folder, from the checkout's root
	programs []program
	tags     string
	ldflags  string
	prepare  func(ctx context.Context, module string) error // changes a copy of the module first
}

// program is one of them, called name in the cache and in its image.
type program struct{ name, pkg string }

func sets() []set {
	var knative []program
	for _, c := range []string{"activator", "autoscaler", "controller", "webhook", "queue"} {
		knative = append(knative, program{"serving-" + c, servingModule + "/cmd/" + c})
	}
	for _, c := range []string{"controller", "webhook", "mtping"} {
		knative = append(knative, program{"eventing-" + c, eventingModule + "/cmd/" + c})
	}
	var daprs []program
	for _, c := range []string{"daprd", "scheduler", "operator", "sentry", "injector", "placement"} {
		daprs = append(daprs, program{"dapr-" + c, daprModule + "/cmd/" + c})
	}
	const version = "-X k8s.io/component-base/version."
	return []set{
		{
			name: "pause", module: "tools/cluster/programs/pause",
			programs: []program{{"pause", "."}},
		},
		{
			name: "Kubernetes " + kubernetesVersion, module: "tools/cluster/programs/kube",
			programs: []program{{"kube", "."}},
			tags:     "selinux_off,providerless",
			ldflags:  version + "gitVersion=" + kubernetesVersion + " " + version + "gitMajor=1 " + version + "gitMinor=34",
		},
		{name: "Knative", module: "tools/cluster/programs/knative", programs: knative},
		{name: "CoreDNS", module: "tools/cluster/programs/coredns", programs: []program{{"coredns", "."}}},
		{
			name: "kube-router", module: "tools/cluster/programs/router",
			programs: []program{{"kube-router", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"}},
		},
		{
			name: "Dapr " + dapr.Version, module: "tools/dapr", programs: daprs,
			tags:    "stablecomponents",
			ldflags: "-X " + daprModule + "/pkg/buildinfo.version=" + daprRelease,
		},
		{name: "Helm", module: "tools/cluster/programs/helm", programs: []program{{"helm", "helm.sh/helm/v3/cmd/helm"}}},
		{
			name: "Traefik", module: "tools/cluster/programs/traefik",
			programs: []program{{"traefik", traefikModule + "/cmd/traefik"}}, prepare: prepareTraefik,
		},
		{ // Debian's does not look for pods in Kubernetes
			name: "Prometheus", module: "tools/cluster/programs/prometheus",
			programs: []program{{"prometheus", "github.com/prometheus/prometheus/cmd/prometheus"}},
			tags:     "remove_all_sd,enable_kubernetes_sd",
		},
	}
}

// programs are the paths of what was built, by name.
type programs map[string]string

// findPrograms returns all that the cluster is made of, and builds what the cache lacks.
// If another process builds the same, it waits for it.
func findPrograms(ctx context.Context, root string, report func(string)) (programs, error) {
	cache, err := cacheDir("programs")
	if err != nil {
		return nil, err
	}
	found := programs{}
	all := sets()
	for i, s := range all {
		dir, err := s.place(cache, root)
		if err != nil {
			return nil, err
		}
		if !s.in(dir) {
			err := s.build(ctx, root, dir, func(line string) { report(fmt.Sprintf("%d of %d: %s", i+1, len(all), line)) })
			if err != nil {
				return nil, fmt.Errorf("building %s: %w", s.name, err)
			}
		}
		for _, p := range s.programs {
			found[p.name] = filepath.Join(dir, p.name)
		}
	}
	return found, nil
}

// programsAreBuilt reports whether the cache has all.
func programsAreBuilt(root string) (bool, error) {
	cache, err := cacheDir("programs")
	if err != nil {
		return false, err
	}
	for _, s := range sets() {
		if dir, err := s.place(cache, root); err != nil || !s.in(dir) {
			return false, err
		}
	}
	return true, nil
}

// cacheDir returns a folder of ours in the user's cache.
func cacheDir(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "duebell", "cluster", name)
	return dir, os.MkdirAll(dir, 0o755)
}

// place returns where the set is kept: its name has a hash of all that it is made from.
func (s set) place(cache, root string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), s.programs, s.tags, s.ldflags, s.prepare != nil)
	module := os.DirFS(filepath.Join(root, s.module))
	err := fs.WalkDir(module, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(module, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	return filepath.Join(cache, fmt.Sprintf("%s-%x", filepath.Base(s.module), sum.Sum(nil)[:6])), err
}

func (s set) in(dir string) bool {
	for _, p := range s.programs {
		if info, err := os.Stat(filepath.Join(dir, p.name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func (s set) build(ctx context.Context, root, place string, report func(string)) error {
	waiting := func(holder string) { report("waiting for process " + holder + ", which builds " + s.name + ", too") }
	return compile.Once(ctx, place, func() bool { return s.in(place) }, waiting, func(scratch string) error {
		began := time.Now()
		module := filepath.Join(root, s.module)
		if s.prepare != nil {
			copied := filepath.Join(scratch, "module")
			if err := errors.Join(os.CopyFS(copied, os.DirFS(module)), s.prepare(ctx, copied)); err != nil {
				return err
			}
			defer os.RemoveAll(copied)
			module = copied
		}
		for _, p := range s.programs { // one by one: several may be called alike
			if err := s.buildOne(ctx, module, p, scratch, report); err != nil {
				return err
			}
		}
		report(fmt.Sprintf("built %s in %v", s.name, time.Since(began).Round(time.Second)))
		return nil
	})
}

// buildOne builds a program, and puts it into a folder under its own name.
func (s set) buildOne(ctx context.Context, module string, p program, into string, report func(string)) error {
	alone, err := os.MkdirTemp(into, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(alone)
	err = compile.Programs(ctx, compile.Options{
		What: s.name + " (" + p.name + ")", Dir: module, Packages: []string{p.pkg}, Tags: s.tags, LDFlags: s.ldflags,
		Env: []string{"CGO_ENABLED=0"}, Into: alone, Report: report,
	})
	if err != nil {
		return err
	}
	built, err := os.ReadDir(alone)
	if err != nil || len(built) != 1 {
		return fmt.Errorf("%s was not built: %d files, %w", p.name, len(built), err)
	}
	return os.Rename(filepath.Join(alone, built[0].Name()), filepath.Join(into, p.name))
}

// prepareTraefik makes Traefik something that can be built from what the module proxy has,
// and that takes Kourier's place. The module's go.mod names the copies that are made here.
func prepareTraefik(ctx context.Context, module string) error {
	for from, to := range map[string]string{traefikModule: "src", legoModule: "lego"} {
		dir, err := moduleDir(ctx, module, from)
		if err != nil {
			return err
		}
		if err := os.CopyFS(filepath.Join(module, to), os.DirFS(dir)); err != nil {
			return err
		}
	}
	// The dashboard is not in the module.
	page := filepath.Join(module, "src", "webui", "static", "index.html")
	if err := errors.Join(os.MkdirAll(filepath.Dir(page), 0o755), os.WriteFile(page, nil, 0o644)); err != nil {
		return err
	}
	// lego's DNS providers draw in modules that are not served.
	providers := filepath.Join(module, "lego", "providers", "dns")
	const none = `package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("there is no DNS provider %s here", name)
}
`
	err := errors.Join(os.RemoveAll(providers), os.MkdirAll(providers, 0o755), os.WriteFile(filepath.Join(providers, "none.go"), []byte(none), 0o644))
	if err != nil {
		return err
	}
	// What Knative calls the gateway, so that it is set up in Kourier's words.
	class := filepath.Join(module, "src", "pkg", "provider", "kubernetes", "knative", "kubernetes.go")
	code, err := os.ReadFile(class)
	if err != nil {
		return err
	}
	mended := strings.Replace(string(code), "traefik.ingress.networking.knative.dev", "kourier.ingress.networking.knative.dev", 1)
	if mended == string(code) {
		return fmt.Errorf("%s has no ingress class to replace", class)
	}
	return errors.Join(os.Chmod(class, 0o644), os.WriteFile(class, []byte(mended), 0o644))
}

// moduleDir returns the folder of a module, as another that requires it sees it. What a
// replacement hides is found all the same.
func moduleDir(ctx context.Context, in, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}}@{{.Version}}", module)
	cmd.Dir, cmd.Env = in, append(os.Environ(), "GOWORK=off")
	said, err := output(cmd)
	if err != nil {
		return "", err
	}
	cmd = exec.CommandContext(ctx, "go", "mod", "download", "-json", strings.TrimSpace(said))
	cmd.Dir, cmd.Env = os.TempDir(), append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOSUMDB=off")
	said, err = output(cmd)
	if err != nil {
		return "", err
	}
	var found struct{ Dir string }
	err = json.Unmarshal([]byte(said), &found)
	return found.Dir, err
}

// output runs a program to its end, and returns what it prints. What it complains of is in
// the error.
func output(cmd *exec.Cmd) (string, error) {
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := process.Run(cmd); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return out.String(), nil
}
