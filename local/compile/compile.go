// Package compile builds Go programs, and reports the progress.
package compile

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
	"sync/atomic"
	"time"

	"github.com/duebell/duebell/local/process"
)

const reportInterval = 2 * time.Second

// Options say what to build. All but Tags, LDFlags and Env are needed.
type Options struct {
	What     string   // what is built, as reports call it
	Dir      string   // the folder of the module whose go.mod is used
	Packages []string // of the programs
	Tags     string   // build tags, with commas between
	LDFlags  string   // in addition to -s and -w
	Env      []string // added to this process's
	Into     string   // the folder that gets the programs, each named like its package
	// Report is called with the progress, every 2 seconds.
	Report func(string)
}

// Programs builds programs. If ctx ends, the compiler is stopped, and some of the programs may be
// in Into.
func Programs(ctx context.Context, o Options) error {
	started := time.Now()
	all, err := o.goCommand(ctx, nil, append([]string{"list", "-deps", "-tags=" + o.Tags}, o.Packages...)...)
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
			"build", "-v", "-trimpath", "-tags=" + o.Tags, "-ldflags", "-s -w " + o.LDFlags, "-o", o.Into + string(filepath.Separator),
		}, o.Packages...)...)
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
			o.Report(fmt.Sprintf("building %s: %d of at most %d packages, %v", o.What, compiled.lines.Load(), total, time.Since(started).Round(time.Second)))
		}
	}
}

// goCommand runs the go command, and returns its output. progress, if not nil, gets its standard
// error while it runs.
func (o Options) goCommand(ctx context.Context, progress *lineCounter, args ...string) ([]byte, error) {
	program, err := exec.LookPath("go")
	if err != nil {
		return nil, errors.New("the go command is not installed")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = o.Dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), o.Env...)
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
