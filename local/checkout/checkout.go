// Package checkout finds the checkout of Duebell that contains the working directory, for programs
// that build parts of it.
package checkout

import (
	"errors"
	"os"
	"path/filepath"
)

// Root returns the checkout's folder: the nearest one upwards that has tools/dapr.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "tools", "dapr", "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("this works in a checkout of Duebell only, and the working directory is in none")
		}
		dir = parent
	}
}
