package dapr

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/duebell/duebell/local/compile"
	"github.com/duebell/duebell/local/lock"
)

// packages are the programs to build.
var packages = []string{"github.com/dapr/dapr/cmd/daprd", "github.com/dapr/dapr/cmd/scheduler"}

// build builds the runtime from source into the cache.
func (o FindOptions) build(ctx context.Context) (_ Runtime, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("the Dapr runtime %s is not installed, and building it failed (DAPR_RUNTIME_DIR may name a folder that has daprd and scheduler): %w", Version, err)
		}
	}()
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return Runtime{}, err
	}
	held, err := lock.Wait(ctx, filepath.Join(o.Cache, Version+".lock"), func(h *lock.HeldError) {
		o.Report("waiting for process " + h.Holder + ", which builds the Dapr runtime too")
	})
	if err != nil {
		return Runtime{}, err
	}
	defer func() { _ = held.Release() }()
	place := filepath.Join(o.Cache, Version)
	if built, err := in(place); err == nil {
		return built, nil // by the one we waited for
	}
	if o.Source == "" {
		if o.Source, err = findSource(); err != nil {
			return Runtime{}, err
		}
	}
	removeAll(filepath.Join(o.Cache, "build-*")) // of builds that were killed
	scratch, err := os.MkdirTemp(o.Cache, "build-")
	if err != nil {
		return Runtime{}, err
	}
	defer os.RemoveAll(scratch)
	if err := o.compile(ctx, scratch); err != nil {
		return Runtime{}, err
	}
	if err := os.Chmod(scratch, 0o755); err != nil {
		return Runtime{}, err
	}
	if err := os.Rename(scratch, place); err != nil {
		return Runtime{}, err
	}
	return in(place)
}

func removeAll(pattern string) {
	found, _ := filepath.Glob(pattern) // the pattern is good
	for _, path := range found {
		_ = os.RemoveAll(path) // nobody minds what stays
	}
}

// compile builds both, and reports how it gets on.
func (o FindOptions) compile(ctx context.Context, into string) error {
	o.Report("building the Dapr runtime " + Version + ", once; on two cores it takes about seven minutes")
	return compile.Programs(ctx, compile.Options{
		What: "the Dapr runtime " + Version, Dir: o.Source, Packages: packages,
		Tags:    "stablecomponents", // without any daprd has no components at all, and panics
		LDFlags: "-X github.com/dapr/dapr/pkg/buildinfo.version=" + strings.TrimPrefix(Version, "v"),
		Into:    into, Report: o.Report,
	})
}
