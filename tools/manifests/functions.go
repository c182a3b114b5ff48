package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/duebell/duebell/shared/config"
)

// readFunctions returns the variables that each function reads, by the function's name.
func readFunctions(root string) (map[string][]config.Variable, error) {
	entries, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		return nil, err
	}
	bin, err := os.MkdirTemp("", "manifests-check-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-o", bin+"/", "./functions/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the functions: %w\n%s", err, out)
	}
	functions := map[string][]config.Variable{}
	for _, entry := range entries {
		out, err := exec.Command(filepath.Join(bin, entry.Name()), "-variables").Output()
		if err != nil {
			return nil, fmt.Errorf("asking %s for its variables: %w", entry.Name(), err)
		}
		var variables []config.Variable
		if err := json.Unmarshal(out, &variables); err != nil {
			return nil, fmt.Errorf("%s -variables: %w", entry.Name(), err)
		}
		functions[entry.Name()] = variables
	}
	return functions, nil
}
