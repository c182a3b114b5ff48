// manifests-check holds what is in the folder manifests against what will read it: the
// types and the rules of Kubernetes, Knative, Dapr, the Gateway API and OpenFunction, and
// against Duebell's own functions, their variables, routes and schedules. It prints
// everything that is wrong, and ends with status 1 if anything is.
//
// Usage: manifests-check FOLDER, which is the repository's.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manifests-check FOLDER")
		os.Exit(2)
	}
	problems, summary, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "manifests-check:", err)
		os.Exit(1)
	}
	if len(problems) > 0 {
		fmt.Fprintln(os.Stderr, strings.Join(problems, "\n"))
		os.Exit(1)
	}
	fmt.Println(summary)
}

func run(root string) (problems []string, summary string, err error) {
	functions, err := readFunctions(root)
	if err != nil {
		return nil, "", err
	}
	files, err := readManifests(root)
	if err != nil {
		return nil, "", err
	}
	schemas, err := readSchemas()
	if err != nil {
		return nil, "", err
	}
	chart, err := readDapr(root)
	if err != nil {
		return nil, "", err
	}
	problems, objects := check(files, functions, schemas, chart)
	return problems, fmt.Sprintf("%d objects of %d functions are as they should be", objects, len(functions)), nil
}
