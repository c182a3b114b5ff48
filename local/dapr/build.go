package dapr

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/duebell/duebell/local/checkout"
	"github.com/duebell/duebell/local/compile"
)

// packages are the programs to build.
var packages = []string{"github.com/dapr/dapr/cmd/daprd", "github.com/dapr/dapr/cmd/scheduler"}

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
