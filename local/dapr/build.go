package dapr

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/duebell/duebell/local/lock"
	"github.com/duebell/duebell/local/process"
)

const reportInterval = 2 * time.Second

// packages are the programs to build.
var packages = []string{"github.com/dapr/dapr/cmd/daprd", "github.com/dapr/dapr/cmd/scheduler"}

// tags lets daprd have components at all: without one it panics.
const tags = "-tags=stablecomponents"

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

// compile runs the Go compiler and reports how it gets on.
func (o FindOptions) compile(ctx context.Context, into string) error {
	started := time.Now()
	o.Report("building the Dapr runtime " + Version + ", once; on two cores it takes about seven minutes")
	all, err := o.goCommand(ctx, nil, append([]string{"list", "-deps", tags}, packages...)...)
	if err != nil {
		return err
	}
	total := bytes.Count(all, []byte("\n"))

	var compiled lineCounter
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	ended := make(chan error, 1)
	go func() {
		_, err := o.goCommand(ctx, &compiled, append([]string{
			"build", "-v", "-trimpath", tags,
			"-ldflags", "-s -w -X github.com/dapr/dapr/pkg/buildinfo.version=" + strings.TrimPrefix(Version, "v"),
			"-o", into + string(filepath.Separator),
		}, packages...)...)
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
			o.Report(fmt.Sprintf("building the Dapr runtime %s: %d of at most %d packages, %v",
				Version, compiled.lines.Load(), total, time.Since(started).Round(time.Second)))
		}
	}
}

// goCommand runs the go command in the module that pins Dapr, and returns what it
// says. progress, if not nil, gets its standard error as it comes.
func (o FindOptions) goCommand(ctx context.Context, progress *lineCounter, args ...string) ([]byte, error) {
	program, err := exec.LookPath("go")
	if err != nil {
		return nil, errors.New("the go command is not installed")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = o.Source
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if progress != nil {
		cmd.Stderr = io.MultiWriter(&complaints, progress)
	}
	if err := process.Run(cmd); err != nil {
		text := complaints.String()
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], cmp.Or(context.Cause(ctx), err), text[max(0, len(text)-2000):])
	}
	return out.Bytes(), nil
}

// lineCounter counts the lines that are written to it.
type lineCounter struct{ lines atomic.Int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines.Add(int64(bytes.Count(p, []byte("\n"))))
	return len(p), nil
}
