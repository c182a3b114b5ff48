package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endOrphan ends an old server on data whose parent was killed, or removes the pid file that a dead
// one has left. The caller holds the directory's lock, so a server that still runs has no parent.
func endOrphan(ctx context.Context, data string) error {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err == nil && pid > 0 && serves(pid, data) {
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		for serves(pid, data) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for the old server, process %d, to end: %w", pid, context.Cause(ctx))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
