// Package peers runs the npm packages of tools/peers in tests: implementations that are none of ours, and
// which what Duebell makes is held against.
package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/duebell/duebell/local/checkout"
)

// Node returns a command, not started, that has Node run a script of tools/peers. What it prints on standard
// error is seen. The test fails, and says what to type, unless the npm packages are there that the script needs; it is
// skipped with -short.
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
