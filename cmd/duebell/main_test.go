package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, nil) }

func TestCommandLine(t *testing.T) {
	for line, want := range map[string]struct {
		status int
		out    string // part of what is printed
	}{
		"":              {2, "Usage:"},
		"help":          {0, "Usage:"},
		"--help":        {0, "Usage:"},
		"fly":           {2, `no command "fly"`},
		"migrate -x":    {2, ""},
		"migrate extra": {2, ""},
		"migrate":       {1, "DATABASE_URL"},
	} {
		t.Setenv("DATABASE_URL", "")
		var out bytes.Buffer
		if status := run(context.Background(), strings.Fields(line), &out, &out); status != want.status || !strings.Contains(out.String(), want.out) {
			t.Errorf("duebell %s: %d, %s", line, status, &out)
		}
	}
}

func TestMigrate(t *testing.T) {
	t.Setenv("DATABASE_URL", pgtest.URL(t))
	for range 2 { // the second time there is nothing to do
		var out bytes.Buffer
		if status := run(t.Context(), []string{"migrate"}, &out, &out); status != 0 {
			t.Fatalf("%d: %s", status, &out)
		}
	}
}

func TestInterruptedStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("PORT", "0")
	t.Setenv("DATABASE_URL", "")
	var out bytes.Buffer
	if status := run(ctx, []string{"up", "-dir", t.TempDir()}, &out, &out); status != 130 {
		t.Errorf("%d: %s", status, &out)
	}
}
