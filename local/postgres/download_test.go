package postgres

import (
	"archive/zip"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// TestDownload fetches fake programs from a fake repository.
func TestDownload(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("needs xz to pack the programs")
	}
	packed := filepath.Join(t.TempDir(), "programs.txz")
	source := t.TempDir()
	fakePrograms(t, filepath.Join(source, "bin"), "18.3")
	if out, err := exec.Command("tar", "-cJf", packed, "-C", source, "bin").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	programs, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	archive := zip.NewWriter(&jar)
	file, err := archive.Create("programs.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(programs); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	downloads := 0
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".jar") {
			http.NotFound(w, r)
			return
		}
		downloads++
		_, _ = w.Write(jar.Bytes())
	}))
	defer repository.Close()

	root := filepath.Join(t.TempDir(), "cache", "18")
	t.Setenv("TMPDIR", t.TempDir()) // the library leaves its log there
	config := embedded.DefaultConfig().BinaryRepositoryURL(repository.URL)
	for range 2 {
		i, err := downloadTo(t.Context(), root, config, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		if i.major != 18 || i.program("initdb") != filepath.Join(root, "bin", "initdb") {
			t.Errorf("it is %+v", i)
		}
	}
	if downloads != 1 {
		t.Errorf("it was downloaded %d times", downloads)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(root), "download-*"))
	if err != nil || left != nil {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestDownloadThatFails(t *testing.T) {
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	t.Setenv("TMPDIR", t.TempDir()) // the library leaves its log there
	config := embedded.DefaultConfig().BinaryRepositoryURL(repository.URL)
	_, err := downloadTo(t.Context(), filepath.Join(t.TempDir(), "18"), config, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}
