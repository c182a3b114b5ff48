package compile

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/duebell/duebell/local/lock"
)

// Once makes a folder of a cache, unless it exists. make fills another folder, which is renamed
// after it has succeeded, so the folder is complete if it exists. If another process is making it,
// Once calls waiting with that process's id, and waits.
func Once(ctx context.Context, place string, there func() bool, waiting func(holder string), make func(scratch string) error) error {
	held, err := lock.Wait(ctx, place+".lock", func(h *lock.HeldError) { waiting(h.Holder) })
	if err != nil {
		return err
	}
	defer func() { _ = held.Release() }()
	if there() {
		return nil // the process that we waited for has made it
	}
	scratch := filepath.Join(filepath.Dir(place), "build-"+filepath.Base(place))
	// What a killed build has left is useless.
	if err := errors.Join(os.RemoveAll(scratch), os.Mkdir(scratch, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := make(scratch); err != nil {
		return err
	}
	return os.Rename(scratch, place)
}
