package main

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A small run with every fault once. `make chaos` makes large ones.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs Postgres and Dapr")
	}
	t.Parallel()
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
	if tally.trouble != nil || len(tally.findings) > 0 || tally.shots == 0 || len(tally.late) != 2+len(external) || len(tally.calm["email"]) == 0 {
		t.Error(tally.verdict(), tally.trouble)
	}
}

// The last line is the verdict, and the status says what was found, however the run ends.
func TestConclusion(t *testing.T) {
	lost, late := finding{what: "lost"}, finding{what: "late"}
	stuck := errors.New("postgres does not stop")
	for name, tt := range map[string]struct {
		tally
		status int
		want   string
	}{
		"all is well":          {tally{reminders: 3}, 0, "CHAOS reminders=3 lost=0 duplicates=0\n"},
		"lost":                 {tally{reminders: 3, findings: []finding{lost, late}}, 1, "1 late\nCHAOS reminders=3 lost=1 duplicates=0\n"},
		"a part does not stop": {tally{reminders: 3, trouble: stuck}, 2, "chaos: at the end: postgres does not stop\nCHAOS reminders=3 lost=0 duplicates=0\n"},
		"both":                 {tally{reminders: 3, findings: []finding{lost}, trouble: stuck}, 1, "chaos: at the end: postgres does not stop\nCHAOS reminders=3 lost=1 duplicates=0\n"},
	} {
		var said strings.Builder
		if status := conclude(&said, tt.tally); status != tt.status || said.String() != tt.want {
			t.Errorf("%s: status %d, want %d\n%s", name, status, tt.status, said.String())
		}
	}
}
