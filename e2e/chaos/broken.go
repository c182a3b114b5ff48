package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// noSweep is the breakage that is none of the code: nobody invokes the sweep.
const noSweep = "sweep"

// breakage is a mistake that a run must find, or it finds nothing.
type breakage struct{ file, right, wrong string }

var breakages = map[string]breakage{
	// Two senders may have one delivery.
	"lease": {
		"shared/store/deliveries.go",
		"where id = $1 and state in ('planned', 'sending', 'unknown') and next_attempt_at <= now()",
		"where id = $1 and state in ('planned', 'sending', 'unknown')",
	},
	// What was scheduled before a reminder was moved counts for what it is now.
	"revision": {
		"shared/store/reminders.go",
		"update reminders r set confirmed_revision = a.revision from asked a\n				where r.id = a.id and a.state = 'armed' and a.current = a.revision",
		"update reminders r set confirmed_revision = r.revision from asked a\n				where r.id = a.id",
	},
}

func breakageNames() []string {
	return append(slices.Sorted(maps.Keys(breakages)), noSweep)
}

// overlay writes, in dir, what `go build -overlay` needs to build the broken code, and
// returns the file's path.
func (b breakage) overlay(dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	original := filepath.Join(root, b.file)
	code, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if strings.Count(string(code), b.right) != 1 {
		return "", fmt.Errorf("%s no longer has once what is to be broken: %s", b.file, b.right)
	}
	broken := filepath.Join(dir, "broken.go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(code), b.right, b.wrong, 1)), 0o600); err != nil {
		return "", err
	}
	content, err := json.Marshal(map[string]any{"Replace": map[string]string{original: broken}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, content, 0o600)
}

// moduleRoot is the folder with go.mod, here or above.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			err = errors.New("this is not Duebell's folder")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
