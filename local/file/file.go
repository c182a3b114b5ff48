// Package file writes and keeps small files that only this user may read, and
// that are whole or not there at all, whenever the program is killed.
package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes the file at path, in place of the one that may be there.
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

// Keep returns what the file at path holds. If it is not there, its content is
// made, kept and returned.
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
