package main

import "testing"

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
