package system_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/manifests"
	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/jobs"
)

// A function is a folder, and everybody has to know of it: ARCHITECTURE.md, this runner,
// and whoever invokes it.
func TestEveryFunctionIsKnown(t *testing.T) {
	root := filepath.Join("..", "..")
	entries, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		t.Fatal(err)
	}
	architecture, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		name := entry.Name()
		folders = append(folders, name)
		main, err := os.ReadFile(filepath.Join(root, "functions", name, "main.go"))
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(main), `function.Run("`+name+`", `) {
			t.Errorf("functions/%s/main.go does not run it under its name", name)
		}
		if !strings.Contains(string(architecture), "\n| ["+name+"](functions/"+name+"/handler.go) | ") {
			t.Errorf("%s has no row in ARCHITECTURE.md", name)
		}
		i := slices.IndexFunc(system.Functions, func(f system.Function) bool { return f.Name == name })
		if i < 0 {
			t.Errorf("%s has no entry in local/system/functions.go", name)
			continue
		}
		routed := slices.ContainsFunc(gateway.Routes, func(r gateway.Route) bool { return r.Function == name })
		woken := slices.ContainsFunc(system.Functions, func(f system.Function) bool {
			return slices.Contains(f.Variables, strings.ToUpper(name)+"_URL") // by another function
		})
		f := system.Functions[i]
		if !routed && !woken && f.Every == 0 && !f.Subscribes {
			t.Errorf("nothing invokes %s: it has neither a route in local/gateway/routes.go, nor a schedule in local/system/functions.go, nor does it subscribe, nor is another function told its URL", name)
		}
		if f.Subscribes {
			checkSubscription(t, name)
		}
	}
	for _, f := range system.Functions {
		if !slices.Contains(folders, f.Name) {
			t.Errorf("local/system/functions.go has %s, which has no folder", f.Name)
		}
	}
	for _, row := range regexp.MustCompile(`\(functions/([^/)]+)/`).FindAllStringSubmatch(string(architecture), -1) {
		if !slices.Contains(folders, row[1]) {
			t.Errorf("ARCHITECTURE.md has %s, which has no folder", row[1])
		}
	}
}

// checkSubscription checks that a subscriber is brought the events, to the path that it
// serves.
func checkSubscription(t *testing.T, name string) {
	t.Helper()
	manifest, err := manifests.Subscriptions.ReadFile("subscriptions/" + name + ".yaml")
	if err != nil {
		t.Error(err)
		return
	}
	for _, want := range []string{
		"pubsubname: " + jobs.PubSub, "topic: " + events.Topic, "default: " + strings.TrimPrefix(events.Route, "POST "), "scopes: [" + name + "]",
	} {
		if !strings.Contains(string(manifest), want+"\n") {
			t.Errorf("manifests/subscriptions/%s.yaml does not say %q", name, want)
		}
	}
}
