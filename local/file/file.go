// Package file writes small files that only this user may read. A file is complete or does not
// exist, even if the program is killed.
package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes the file at path, and replaces one that exists.
func Replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Keep returns the content of the file at path. If the file does not exist, Keep makes the content,
// and stores it.
func Keep(path string, content func() ([]byte, error)) ([]byte, error) {
	kept, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	made, err := content()
	if err != nil {
		return nil, err
	}
	return made, Replace(path, made)
}
