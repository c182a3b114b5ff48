package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/duebell/duebell/local/file"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, content := range []string{"a long first one", "second"} {
		if err := file.Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("the file holds %q (%v), want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v (%v)", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v)", entries, err)
	}
}

func TestReplaceThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := file.Replace(path, []byte("x")); err == nil {
		t.Error("it replaced a folder that is not empty")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v)", entries, err)
	}
}

func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	failed := errors.New("no randomness")
	if _, err := file.Keep(path, func() ([]byte, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("the error is %v", err)
	}
	for _, made := range []string{"first", "second"} {
		got, err := file.Keep(path, func() ([]byte, error) { return []byte(made), nil })
		if err != nil || string(got) != "first" {
			t.Errorf("it is %q (%v), want the first one made", got, err)
		}
	}
}
