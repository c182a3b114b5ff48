package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What make cluster runs of the documentation, and what make cluster-test holds the cluster
// to, is still there.
func TestPages(t *testing.T) {
	const root = "../.."
	for what, c := range documented {
		if _, err := c.find(root); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range checks() {
		if _, err := c.promise.at(root); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

var routed = regexp.MustCompile(`path: \{type: \w+, value: ([^}]+)\}`)

// Each path that the route makes public is asked for by the check.
func TestPublicCalls(t *testing.T) {
	route, err := os.ReadFile("../../manifests/knative/route.yaml")
	if err != nil {
		t.Fatal(err)
	}
	paths := routed.FindAllStringSubmatch(string(route), -1)
	if len(paths) < 20 {
		t.Fatalf("only %d paths were found in the route", len(paths))
	}
	for _, path := range paths {
		if !slices.ContainsFunc(publicCalls, func(c publicCall) bool { return strings.HasPrefix(c.path, path[1]) }) {
			t.Errorf("%s is public, and publicCalls does not ask for it", path[1])
		}
	}
}
