// Package peers runs the npm packages of tools/peers in tests: implementations by others, which
// Duebell's results are compared with.
package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/duebell/duebell/local/checkout"
)

// Node returns a command, not started, that runs a script of tools/peers with Node. Its standard
// error is shown. If the packages that it needs are not installed, the test fails and says what to
// type. It is skipped with -short.
func Node(t testing.TB, script string, packages ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Node and the npm packages of tools/peers")
	}
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(root, "tools", "peers")
	for _, name := range packages {
		if _, err := os.Stat(filepath.Join(folder, "node_modules", name)); err != nil {
			t.Fatalf("the npm package %s is missing; install it with: npm ci --prefix tools/peers", name)
		}
	}
	node := exec.CommandContext(t.Context(), "node", script)
	node.Dir, node.Stderr = folder, os.Stderr
	return node
}
