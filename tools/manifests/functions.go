package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/config"
)

// readFunctions returns the variables that each function reads, by the function's name.
func readFunctions(root string) (map[string][]config.Variable, error) {
	entries, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		return nil, err
	}
	functions := map[string][]config.Variable{}
	var mu sync.Mutex
	var group errgroup.Group
	for _, entry := range entries {
		group.Go(func() error {
			variables, err := variablesOf(root, entry.Name())
			mu.Lock()
			defer mu.Unlock()
			functions[entry.Name()] = variables
			return err
		})
	}
	return functions, group.Wait()
}

// variablesOf asks a function for the variables that it reads.
func variablesOf(root, name string) (variables []config.Variable, err error) {
	ask := exec.Command("go", "run", "./functions/"+name, "-variables") // it is built once
	ask.Dir = root
	var complaints strings.Builder
	ask.Stderr = &complaints
	out, err := ask.Output()
	if err == nil {
		err = json.Unmarshal(out, &variables)
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s for its variables: %w\n%s", name, err, complaints.String())
	}
	return variables, nil
}
