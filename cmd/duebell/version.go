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

// version says which version this is of Duebell, and of what it brings along.
func version(_ context.Context, args []string) error {
	if err := parse(flag.NewFlagSet("version", flag.ContinueOnError), args); err != nil {
		return err
	}
	return writeVersion(os.Stdout)
}

func writeVersion(out io.Writer) error {
	schema, err := migrations.Version()
	if err != nil {
		return err
	}
	var build, commit, changed, compiler string
	if info, ok := debug.ReadBuildInfo(); ok {
		build, compiler = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.modified":
				changed = map[string]string{"true": ", changed since"}[s.Value]
			}
		}
	}
	_, err = fmt.Fprintf(out, "duebell    %s\ncommit     %s%s\nschema     %d\ntime zones %s\nDapr       %s\nGo         %s\n",
		cmp.Or(build, "unknown"), cmp.Or(commit, "unknown"), changed, schema, zone.Release(), dapr.Version, compiler)
	return err
}
