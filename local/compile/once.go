package compile

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/duebell/duebell/local/lock"
)

// Once makes a folder of a cache, unless it is there. make gets a folder beside it, which
// takes the place when make has succeeded: so what is there is whole. If another process
// makes the same, Once waits for it; waiting hears that process's id.
func Once(ctx context.Context, place string, there func() bool, waiting func(holder string), make func(scratch string) error) error {
	held, err := lock.Wait(ctx, place+".lock", func(h *lock.HeldError) { waiting(h.Holder) })
	if err != nil {
		return err
	}
	defer func() { _ = held.Release() }()
	if there() {
		return nil // by the one we waited for
	}
	scratch := filepath.Join(filepath.Dir(place), "build-"+filepath.Base(place))
	// What a build that was killed has left is of no use.
	if err := errors.Join(os.RemoveAll(scratch), os.Mkdir(scratch, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := make(scratch); err != nil {
		return err
	}
	return os.Rename(scratch, place)
}
