// Package lock locks a file between processes. The system releases the lock when its holder ends,
// however it ends.
package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// HeldError says that another process holds the lock.
type HeldError struct {
	Path string
	// Holder is the holder's process id as the file says it, or "".
	Holder string
}

// Error names the file and who holds it.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by process %s", e.Path, e.Holder)
}

// File is a lock that is held.
type File struct{ f *os.File }

// Try takes the lock, creating its file if need be, and writes this process's id
// into it. If another process (or another File of this one) holds it, the error
// is a *HeldError.
func Try(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			holder, _ := os.ReadFile(path)
			return nil, &HeldError{Path: path, Holder: strings.TrimSpace(string(holder))}
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return &File{f}, nil
}

// Wait takes the lock as soon as it is free. waiting, if not nil, is called once if
// another process holds it.
func Wait(ctx context.Context, path string, waiting func(*HeldError)) (*File, error) {
	for {
		l, err := Try(path)
		held, ok := errors.AsType[*HeldError](err)
		if !ok {
			return l, err
		}
		if waiting != nil {
			waiting(held)
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a lock: %w: %w", held, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Release releases the lock. The file stays.
func (l *File) Release() error { return l.f.Close() }
