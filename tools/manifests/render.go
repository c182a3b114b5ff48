package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// tree is the folder manifests: its files by their paths in it.
type tree map[string]string

func readManifests(root string) (tree, error) {
	files := tree{}
	dir := os.DirFS(filepath.Join(root, "manifests"))
	err := fs.WalkDir(dir, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".yaml" && filepath.Ext(name) != ".yml" {
			return err
		}
		text, err := fs.ReadFile(dir, name)
		files[name] = string(text)
		return err
	})
	return files, err
}

// overlays returns the folders that are applied to a cluster.
func (t tree) overlays() (names []string) {
	for name := range t {
		if ok, _ := path.Match("overlays/*/kustomization.yaml", name); ok { // the pattern is good
			names = append(names, path.Dir(name))
		}
	}
	return names
}

// render builds one of the folders, as kubectl apply -k does.
func (t tree) render(folder string) ([]byte, error) {
	memory := filesys.MakeFsInMemory()
	for name, text := range t {
		if err := memory.WriteFile("/manifests/"+name, []byte(text)); err != nil {
			return nil, err
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/manifests/"+folder)
	if err != nil {
		return nil, fmt.Errorf("manifests/%s: %w", folder, err)
	}
	return built.AsYaml()
}
