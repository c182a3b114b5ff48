package lock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/duebell/duebell/local/lock"
)

func TestOnlyOneHoldsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lock.Try(path)
	held, ok := errors.AsType[*lock.HeldError](err)
	if !ok || held.Holder != strconv.Itoa(os.Getpid()) {
		t.Fatalf("the second holder is told %v", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := lock.Try(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	defer second.Release()
}

func TestWaitForRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	waited := false
	second, err := lock.Wait(t.Context(), path, func(*lock.HeldError) {
		waited = true
		_ = first.Release()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if !waited {
		t.Error("it did not say that it waits")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := lock.Wait(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait says %v", err)
	}
}
