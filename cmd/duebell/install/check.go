// Package install finds what would keep an installation on a cluster from working, says what to do,
// and installs Duebell by the steps of docs/deploy.md. It uses the cluster only through kubectl.
package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/config"
)

// namespace is Duebell's namespace. Host names in the manifests contain it.
const namespace = "duebell"

// State is how serious a finding is.
type State int

// A Hint prevents nothing, or can't be known for sure. A Bad one must be corrected.
const (
	Good State = iota
	Hint
	Bad
)

// Finding is the result of a check.
type Finding struct {
	Name  string
	State State
	Text  string
	Next  []string // the commands to type next; a Bad finding has one
}

func good(format string, args ...any) Finding { return Finding{Text: fmt.Sprintf(format, args...)} }

func hint(next string, format string, args ...any) Finding {
	return Finding{State: Hint, Text: fmt.Sprintf(format, args...), Next: commands(next)}
}

func bad(next string, format string, args ...any) Finding {
	return Finding{State: Bad, Text: fmt.Sprintf(format, args...), Next: commands(next)}
}

func commands(next string) []string {
	if next == "" {
		return nil
	}
	return []string{next}
}

// unseen returns the finding for a check that the cluster did not answer.
func unseen(what string, err error) Finding {
	if errors.Is(err, errForbidden) {
		return hint("kubectl auth can-i --list", "%s: your user of the cluster may not look at it", what)
	}
	return bad("kubectl version", "%s: %v", what, err)
}

// Options say what to check.
type Options struct {
	Kubectl Kubectl
	// Overlay is the folder that will be applied; "": no settings are checked.
	Overlay string
	// DatabaseURL is the database as it is reached from here; "": that of the secret.
	DatabaseURL config.Secret
	// Planned are secrets that will be created if they do not exist, by name.
	Planned map[string]Secrets
	// Doing is called with what is being done, and with "" when it is over. Found is called with
	// the findings of the checks, in a fixed order.
	Doing func(name, text string)
	Found func(Finding)
}

// Secrets are the values of one Secret's keys.
type Secrets map[string]config.Secret

// inspection is one run of the checks.
type inspection struct {
	Options
	objects   []object           // of the overlay
	secrets   map[string]Secrets // the secrets that the overlay needs and that exist, or will
	secretErr map[string]error   // why one of these can't be read
}

type check struct {
	name string
	look func(*inspection, context.Context) []Finding
}

// before are the checks of the installation's requirements: first of the cluster, then without it.
var (
	before = slices.Concat([]check{
		{"knative serving", (*inspection).serving},
		{"knative eventing", (*inspection).eventing},
		{"openfunction", (*inspection).openFunction},
		{"way to functions", (*inspection).ingress},
		{"gateway", (*inspection).gateway},
		{"dapr", (*inspection).dapr},
		{"dapr injector", (*inspection).injector},
		{"dapr scheduler", (*inspection).scheduler},
		{"network policies", (*inspection).policies},
		{"secrets", (*inspection).checkSecrets},
	}, elsewhere)
	elsewhere = []check{
		{"images", (*inspection).images},
		{"sign-in", (*inspection).signIn},
		{"database", (*inspection).database},
	}
)

// after are the checks of Duebell itself, if it is installed.
var after = []check{
	{"migration", (*inspection).migration},
	{"daprd", (*inspection).daprds},
	{"functions", (*inspection).functions},
	{"schedules", (*inspection).schedules},
	{"route", (*inspection).route},
	{"sweep", (*inspection).sweep},
}

// Check checks the installation's requirements and, if it is installed, Duebell itself. It returns
// how many findings are Bad; the error is ctx's.
func Check(ctx context.Context, o Options) (int, error) {
	i := &inspection{Options: o}
	count, err := i.begin(ctx)
	switch {
	case ctx.Err() != nil:
		return count, ctx.Err()
	case err != nil:
		n, err := i.run(ctx, elsewhere)
		return count + n, err
	}
	checks := before
	if i.installed(ctx) {
		checks = slices.Concat(before, after)
	}
	n, err := i.run(ctx, checks)
	return count + n, err
}

// begin reaches the cluster, and reads the overlay and its secrets. The error says that the cluster
// can't be reached; it is reported already.
func (i *inspection) begin(ctx context.Context) (count int, err error) {
	const name = "cluster"
	i.Doing(name, "looking for it")
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	err = i.Kubectl.get(ctx, "/version", &version)
	i.Doing(name, "")
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	r, ok := parseRelease(version.GitVersion)
	switch {
	case errors.Is(err, errNoKubectl):
		return i.report(name, bad("export KUBECTL=/usr/local/bin/kubectl", "%v", err)), err
	case err != nil:
		count = i.report(name, bad("kubectl version", "it can't be reached: %v", err))
	case !ok || r.before(release{1, 33}):
		i.report(name, hint("", "Kubernetes %s; Duebell was tried with 1.33 and later", version.GitVersion))
	default:
		i.report(name, good("Kubernetes %s", version.GitVersion))
	}
	return count + i.settings(ctx), err
}

// installed reports whether Duebell, or a part of it, is on the cluster.
func (i *inspection) installed(ctx context.Context) bool {
	for _, path := range []string{
		"/apis/apps/v1/namespaces/" + namespace + "/deployments/daprd", "/apis/serving.knative.dev/v1/namespaces/" + namespace + "/services/trigger-reminder",
	} {
		var o object
		if i.Kubectl.get(ctx, path, &o) == nil {
			return true
		}
	}
	return false
}

// settings renders the overlay, and reads the secrets that it needs.
func (i *inspection) settings(ctx context.Context) int {
	i.secrets, i.secretErr = map[string]Secrets{}, map[string]error{}
	if i.Overlay == "" {
		return i.report("settings", hint("build/bin/duebell doctor -overlay manifests/overlays/production", "none are looked at: there is no folder manifests/overlays/production here"))
	}
	objects, err := i.Kubectl.render(ctx, i.Overlay)
	if err != nil {
		if ctx.Err() != nil {
			return 0
		}
		return i.report("settings", bad("kubectl kustomize "+i.Overlay, "%s can't be applied: %v", i.Overlay, err))
	}
	i.objects = objects
	i.readSecrets(ctx)
	return i.report("settings", good("%s has %d objects", i.Overlay, len(objects)))
}

// report passes on findings, and returns how many are Bad.
func (i *inspection) report(name string, found ...Finding) (count int) {
	for _, f := range found {
		if f.Name == "" {
			f.Name = name
		}
		if f.State == Bad {
			count++
		}
		i.Found(f)
	}
	return count
}

// run runs checks, some at a time, and reports them in order.
func (i *inspection) run(ctx context.Context, checks []check) (count int, err error) {
	var group errgroup.Group
	group.SetLimit(4)
	results := make([]chan []Finding, len(checks))
	for n := range checks {
		results[n] = make(chan []Finding, 1)
	}
	go func() { // the limit blocks
		for n, c := range checks {
			group.Go(func() error {
				i.Doing(c.name, "looking at it")
				found := c.look(i, ctx)
				i.Doing(c.name, "")
				results[n] <- found
				return nil
			})
		}
	}()
	for n, c := range checks {
		found := <-results[n]
		if ctx.Err() == nil {
			count += i.report(c.name, found...)
		}
	}
	return count, ctx.Err()
}

// of returns the overlay's objects of a kind, in the API's group.
func (i *inspection) of(group, kind string) (some []object) {
	for _, o := range i.objects {
		if o.group() == group && o.Kind == kind {
			some = append(some, o)
		}
	}
	return some
}

// sorted are the keys of a map, in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
