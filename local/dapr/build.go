package dapr

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/duebell/duebell/local/checkout"
	"github.com/duebell/duebell/local/compile"
)

// packages are the programs to build.
var packages = []string{"github.com/dapr/dapr/cmd/daprd", "github.com/dapr/dapr/cmd/scheduler"}

// build builds the runtime from source into the cache.
func (o FindOptions) build(ctx context.Context) (_ Runtime, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("the Dapr runtime %s is not installed, and building it failed (daprd and scheduler of that release in ~/.dapr/bin spare the build): %w", Version, err)
		}
	}()
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return Runtime{}, err
	}
	place := filepath.Join(o.Cache, Version)
	there := func() bool { _, err := in(place); return err == nil }
	waiting := func(holder string) {
		o.Report("waiting for process " + holder + ", which builds the Dapr runtime too")
	}
	if err := compile.Once(ctx, place, there, waiting, func(scratch string) error { return o.compile(ctx, scratch) }); err != nil {
		return Runtime{}, err
	}
	return in(place)
}

// compile builds both, and reports how it gets on.
func (o FindOptions) compile(ctx context.Context, into string) error {
	if o.Source == "" {
		root, err := checkout.Root()
		if err != nil {
			return err
		}
		o.Source = filepath.Join(root, "tools", "dapr")
	}
	o.Report("building the Dapr runtime " + Version + ", once; on two cores it takes about seven minutes")
	return compile.Programs(ctx, compile.Options{
		What: "the Dapr runtime " + Version, Dir: o.Source, Packages: packages,
		Tags:    "stablecomponents", // without any daprd has no components at all, and panics
		LDFlags: "-X github.com/dapr/dapr/pkg/buildinfo.version=" + strings.TrimPrefix(Version, "v"),
		Into:    into, Report: o.Report,
	})
}
