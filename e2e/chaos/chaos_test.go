package main

import (
	"path/filepath"
	"regexp"
	"testing"
)

// A small run: every fault once. `make chaos` makes large ones.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs Postgres and Dapr")
	}
	o := options{
		reminders: 400, seed: 1, faults: regexp.MustCompile("."),
		bin: filepath.Join(t.TempDir(), "bin"), dir: filepath.Join(t.TempDir(), "data"), say: func(text string) { t.Log(text) },
	}
	o.span = spanOf(o.reminders)
	if err := build(t.Context(), o.bin, "", "github.com/duebell/duebell/functions/..."); err != nil {
		t.Fatal(err)
	}
	tally, err := chaos(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + tally.String())
	if len(tally.findings) > 0 || tally.shots == 0 || len(tally.late) != 1+len(external) || len(tally.calm["email"]) == 0 {
		t.Error(tally.verdict())
	}
}
