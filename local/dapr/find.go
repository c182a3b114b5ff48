package dapr

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/duebell/duebell/local/compile"
)

// Version is the release of Dapr that Duebell runs and is tested with. It is the one
// that tools/dapr/go.mod pins; a test holds the two together.
const Version = "v1.18.2"

// Runtime is where Dapr's programs are.
type Runtime struct {
	Daprd, Scheduler string
}

// FindOptions says where to look for Dapr's programs.
type FindOptions struct {
	// Source is the folder of the module that pins Dapr; "" means tools/dapr of
	// the checkout that the working directory is in.
	Source string
	// Cache is where builds are kept; "" means duebell/dapr in the user's cache.
	Cache string
	// Archives is a folder with the archives and checksums of Dapr's release. Find unpacks the
	// programs from them. "" means that there is no such folder.
	Archives string
	// Report is told, in a sentence each time, how a build gets on; it may be nil.
	Report func(string)
}

// Find returns Dapr's programs of exactly Version. It looks in the cache, then in the archives, then
// among installed programs (~/.dapr/bin, or the folder of the daprd on PATH). If it finds none, it
// builds them, which takes minutes. What it unpacks or builds is in the cache afterwards. If several
// processes ask at once, one of them unpacks or builds.
func Find(ctx context.Context, o FindOptions) (Runtime, error) {
	if o.Cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Runtime{}, err
		}
		o.Cache = filepath.Join(cache, "duebell", "dapr")
	}
	if o.Report == nil {
		o.Report = func(string) {}
	}
	if built, err := in(filepath.Join(o.Cache, Version)); err == nil {
		return built, nil
	}
	if o.Archives != "" {
		return o.make(ctx, o.unpack)
	}
	for _, dir := range installed() {
		if found, err := in(dir); err == nil && found.version(ctx) == Version {
			return found, nil
		}
	}
	r, err := o.make(ctx, o.compile)
	if err != nil {
		err = fmt.Errorf("the Dapr runtime %s is not installed, and building it failed (daprd and scheduler of that release in ~/.dapr/bin spare the build): %w", Version, err)
	}
	return r, err
}

// make fills the cache, by compile or unpack.
func (o FindOptions) make(ctx context.Context, fill func(ctx context.Context, into string) error) (Runtime, error) {
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return Runtime{}, err
	}
	place := filepath.Join(o.Cache, Version)
	there := func() bool { _, err := in(place); return err == nil }
	waiting := func(holder string) {
		o.Report("waiting for process " + holder + ", which makes the Dapr runtime too")
	}
	if err := compile.Once(ctx, place, there, waiting, func(scratch string) error { return fill(ctx, scratch) }); err != nil {
		return Runtime{}, err
	}
	return in(place)
}

// in returns the runtime that a folder holds.
func in(dir string) (Runtime, error) {
	r := Runtime{Daprd: filepath.Join(dir, "daprd"), Scheduler: filepath.Join(dir, "scheduler")}
	for _, path := range []string{r.Daprd, r.Scheduler} {
		if info, err := os.Stat(path); err != nil {
			return Runtime{}, err
		} else if info.IsDir() || info.Mode()&0o111 == 0 {
			return Runtime{}, fmt.Errorf("%s is not a program", path)
		}
	}
	return r, nil
}

// installed returns the folders where the Dapr CLI or a person may have installed the runtime.
func installed() []string {
	var dirs []string
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".dapr", "bin"))
	}
	if path, err := exec.LookPath("daprd"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs
}

// version returns what daprd calls itself, "" if it says nothing. The scheduler beside
// it cannot be asked.
func (r Runtime) version(ctx context.Context) string {
	said, err := exec.CommandContext(ctx, r.Daprd, "--version").Output()
	if err != nil {
		return ""
	}
	return "v" + strings.TrimPrefix(strings.TrimSpace(string(said)), "v")
}
