package process

import (
	"io"
	"os"
)

// empty copies a log to path.old and empties it. The log can't just be renamed, since its writer
// keeps it open. The writer appends, so it goes on at the beginning of the emptied file.
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
