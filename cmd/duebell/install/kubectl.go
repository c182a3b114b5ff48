package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Kubectl is the program kubectl with the first arguments of each call. Its own settings hold, such
// as KUBECONFIG and programs that sign in.
type Kubectl []string

var (
	errAbsent    = errors.New("it is not there")
	errForbidden = errors.New("you may not look at it")
	errNoKubectl = errors.New("there is no such program: install kubectl, or name it with the variable KUBECTL")
)

// patience is how long one read of the cluster may take.
const patience = 15 * time.Second

// command prepares a call. When ctx ends, kubectl is interrupted as by Ctrl-C.
func (k Kubectl) command(ctx context.Context, args ...string) *exec.Cmd {
	words := slices.Concat(k, args)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// output runs kubectl with input, and returns its output. The error has kubectl's complaint, and
// never the input.
func (k Kubectl) output(ctx context.Context, input string, args ...string) ([]byte, error) {
	cmd := k.command(ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	said := strings.TrimSpace(complaints.String())
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", k[0], errNoKubectl)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case strings.Contains(said, "(NotFound)"):
		return nil, errAbsent
	case strings.Contains(said, "(Forbidden)"):
		return nil, errForbidden
	case said == "":
		return nil, fmt.Errorf("kubectl %s: %w", args[0], err)
	}
	return nil, errors.New(lastLine(said))
}

// get reads the API server's object at a path. If there is none, or the API is not installed, the
// error is errAbsent.
func (k Kubectl) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := k.output(ctx, "", "get", "--raw", path)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the cluster does not answer within %v", patience)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("the cluster's answer for %s can't be read: %w", path, err)
	}
	return nil
}

// list reads a list of objects.
func list[T any](ctx context.Context, k Kubectl, path string) ([]T, error) {
	var all struct {
		Items []T `json:"items"`
	}
	err := k.get(ctx, path, &all)
	return all.Items, err
}

// lastLine returns the last line, in which programs say why they failed.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
