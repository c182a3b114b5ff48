package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/duebell/duebell/local/dapr"
	migrations "github.com/duebell/duebell/shared/store/migrate"
	"github.com/duebell/duebell/shared/zone"
)

// version prints Duebell's version, and the versions of its parts.
func version(_ context.Context, args []string) error {
	if err := parse(flag.NewFlagSet("version", flag.ContinueOnError), args); err != nil {
		return err
	}
	info, _ := debug.ReadBuildInfo()
	return writeVersion(os.Stdout, info)
}

// writeVersion writes the versions. info is what Go wrote into the program when it was built: its
// version is the commit's tag, or a pseudo-version. It may be nil.
func writeVersion(out io.Writer, info *debug.BuildInfo) error {
	schema, err := migrations.Version()
	if err != nil {
		return err
	}
	build, compiler, commit, at, changed := "unknown", "unknown", "unknown", "", ""
	if info != nil {
		build, compiler = cmp.Or(info.Main.Version, build), info.GoVersion
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.time":
				at = " of " + s.Value
			case "vcs.modified":
				if s.Value == "true" {
					changed = ", changed since"
				}
			}
		}
	}
	_, err = fmt.Fprintf(out, "duebell    %s\ncommit     %s%s%s\nschema     %d\ntime zones %s\nDapr       %s\nGo         %s\n",
		build, commit, at, changed, schema, zone.Release(), dapr.Version, compiler)
	return err
}
