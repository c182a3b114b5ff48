package process

import (
	"io"
	"os"
)

// empty empties a log that its writer keeps open, so that it can't be renamed, and leaves
// what it held as path.old. The writer appends, and so goes on at its beginning.
func empty(path string) error {
	log, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	old, err := os.OpenFile(path+".old.new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer old.Close()
	if _, err := io.Copy(old, log); err != nil {
		return err
	}
	if err := os.Rename(path+".old.new", path+".old"); err != nil {
		return err
	}
	return log.Truncate(0)
}
