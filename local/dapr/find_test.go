package dapr_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/lock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine makes an empty home, PATH, cache and source for Find.
func machine(t *testing.T) (home string, o dapr.FindOptions) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("PATH", filepath.Join(home, "bin")+":/usr/bin:/bin")
	return home, dapr.FindOptions{Cache: filepath.Join(home, "cache"), Source: t.TempDir()}
}

func program(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func install(t *testing.T, dir, version string) {
	t.Helper()
	program(t, filepath.Join(dir, "daprd"), "echo "+version)
	program(t, filepath.Join(dir, "scheduler"), "")
}

// compiler installs a go command that notes each build in a file and makes fake
// programs.
func compiler(t *testing.T, home string) (notes string) {
	t.Helper()
	notes = filepath.Join(home, "builds")
	program(t, filepath.Join(home, "bin", "go"), `
case "$1" in
list) printf 'a\nb\nc\n' ;;
build)
	echo "$PWD" >> `+notes+`
	while [ "$1" != -o ]; do shift; done
	for name in daprd scheduler; do echo >&2 "$name"; echo '#!/bin/sh' > "$2$name"; chmod +x "$2$name"; done ;;
esac`)
	return notes
}

func TestVersionIsTheOneThatIsPinned(t *testing.T) {
	pins, err := os.ReadFile("../../tools/dapr/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(pins), "github.com/dapr/dapr "+dapr.Version+"\n") &&
		!strings.Contains(string(pins), "github.com/dapr/dapr "+dapr.Version+" ") {
		t.Errorf("tools/dapr/go.mod does not pin %s", dapr.Version)
	}
}

func TestInstalledRuntimeMustBeOfTheVersion(t *testing.T) {
	for _, where := range []string{".dapr/bin", "bin"} {
		home, o := machine(t)
		notes := compiler(t, home)
		dir := filepath.Join(home, where)
		install(t, dir, "1.17.0")
		found, err := dapr.Find(t.Context(), o)
		if err != nil || filepath.Dir(found.Daprd) == dir {
			t.Errorf("%s: with an old one it found %+v (%v)", where, found, err)
		}
		if _, err := os.Stat(notes); err != nil {
			t.Errorf("%s: nothing was built: %v", where, err)
		}
		if err := os.RemoveAll(o.Cache); err != nil {
			t.Fatal(err)
		}
		install(t, dir, strings.TrimPrefix(dapr.Version, "v"))
		found, err = dapr.Find(t.Context(), o)
		if err != nil || filepath.Dir(found.Daprd) != dir {
			t.Errorf("%s: it found %+v (%v)", where, found, err)
		}
	}
}

func TestBuildsOnceForAll(t *testing.T) {
	home, o := machine(t)
	notes := compiler(t, home)
	var mu sync.Mutex
	var reports []string
	o.Report = func(s string) { mu.Lock(); defer mu.Unlock(); reports = append(reports, s) }
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			found, err := dapr.Find(t.Context(), o)
			if want := filepath.Join(o.Cache, dapr.Version, "daprd"); err != nil || found.Daprd != want {
				t.Errorf("it found %+v (%v)", found, err)
			}
		})
	}
	callers.Wait()
	built, err := os.ReadFile(notes)
	if err != nil || string(built) != o.Source+"\n" {
		t.Errorf("it was built in %q (%v), want once in %s", built, err, o.Source)
	}
	if len(reports) == 0 || !strings.Contains(strings.Join(reports, "\n"), "building the Dapr runtime "+dapr.Version) {
		t.Errorf("the reports are %q", reports)
	}
	left, err := filepath.Glob(filepath.Join(o.Cache, "build-*"))
	if err != nil || left != nil {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestWaitsForAnotherBuild(t *testing.T) {
	_, o := machine(t)
	if err := os.Mkdir(o.Cache, 0o755); err != nil {
		t.Fatal(err)
	}
	held, err := lock.Try(filepath.Join(o.Cache, dapr.Version+".lock"))
	if err != nil {
		t.Fatal(err)
	}
	o.Report = func(s string) {
		if want := fmt.Sprintf("waiting for process %d", os.Getpid()); !strings.Contains(s, want) {
			t.Errorf("it reports %q, want %q", s, want)
		}
		install(t, filepath.Join(o.Cache, dapr.Version), "") // by the other process
		_ = held.Release()
	}
	if _, err := dapr.Find(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func TestBuildThatFails(t *testing.T) {
	home, o := machine(t)
	program(t, filepath.Join(home, "bin", "go"), `[ "$1" = build ] && echo 'main.go:1: no such thing' >&2 && exit 1; echo a`)
	_, err := dapr.Find(t.Context(), o)
	for _, want := range []string{"~/.dapr/bin", "no such thing", dapr.Version} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if _, err := os.Stat(filepath.Join(o.Cache, dapr.Version)); err == nil {
		t.Error("it left half a runtime")
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	home, o := machine(t)
	program(t, filepath.Join(home, "bin", "go"), `[ "$1" = build ] && sleep 1000; echo a`)
	ctx, cancel := context.WithCancel(t.Context())
	o.Report = func(string) { cancel() }
	if _, err := dapr.Find(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("Find says %v", err)
	}
}

// release makes archives and checksums as Dapr publishes them. The daprd in them prints the given
// version.
func release(t *testing.T, version string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for program, text := range map[string]string{"daprd": "#!/bin/sh\necho " + version + "\n", "scheduler": "#!/bin/sh\n"} {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		files := tar.NewWriter(zip)
		for name, text := range map[string]string{"LICENSE": "of Dapr", program: text} {
			if err := files.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o755, Size: int64(len(text))}); err != nil {
				t.Fatal(err)
			}
			if _, err := files.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(files.Close(), zip.Close()); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s_%s_%s.tar.gz", program, runtime.GOOS, runtime.GOARCH)
		sum := fmt.Sprintf("%x *%s\n", sha256.Sum256(packed.Bytes()), name)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), packed.Bytes(), 0o644), os.WriteFile(filepath.Join(dir, name+".sha256"), []byte(sum), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDownloadedRuntimeSparesTheBuild(t *testing.T) {
	home, o := machine(t)
	notes := compiler(t, home)
	o.Archives = release(t, strings.TrimPrefix(dapr.Version, "v"))
	for range 2 { // the second time it is in the cache
		found, err := dapr.Find(t.Context(), o)
		if want := filepath.Join(o.Cache, dapr.Version, "daprd"); err != nil || found.Daprd != want {
			t.Errorf("it found %+v (%v), want %s", found, err, want)
		}
		o.Archives = ""
	}
	if _, err := os.Stat(notes); err == nil {
		t.Error("it was built all the same")
	}
}

// Archives that differ from what Dapr has published are refused. Nothing of them is kept, and the
// error says what to do.
func TestArchivesThatAreNotDaprs(t *testing.T) {
	pinned := strings.TrimPrefix(dapr.Version, "v")
	scheduler := fmt.Sprintf("scheduler_%s_%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	for what, tt := range map[string]struct {
		version string
		spoil   func(dir string) error
		want    string
	}{
		"another version": {"1.17.0", func(string) error { return nil }, "download those of " + dapr.Version},
		"no checksum":     {pinned, func(dir string) error { return os.Remove(filepath.Join(dir, scheduler+".sha256")) }, "checksum"},
		"no archive":      {pinned, func(dir string) error { return os.Remove(filepath.Join(dir, scheduler)) }, scheduler},
		"another archive": {pinned, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, scheduler), []byte("something else"), 0o644)
		}, "download both again"},
	} {
		_, o := machine(t)
		o.Archives = release(t, tt.version)
		if err := tt.spoil(o.Archives); err != nil {
			t.Fatal(err)
		}
		if _, err := dapr.Find(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(filepath.Join(o.Cache, dapr.Version)); err == nil {
			t.Errorf("%s: it was kept", what)
		}
	}
}

func TestOutsideACheckout(t *testing.T) {
	home, o := machine(t)
	compiler(t, home)
	o.Source = ""
	t.Chdir(home)
	if _, err := dapr.Find(t.Context(), o); err == nil || !strings.Contains(err.Error(), "checkout") {
		t.Errorf("Find says %v", err)
	}
}
