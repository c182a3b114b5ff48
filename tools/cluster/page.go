package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// page is one of the documentation's, whose commands we run.
type page struct {
	path   string // from the checkout's root
	blocks []block
}

// block is what stands between ```sh and ```.
type block struct {
	heading string // the nearest one above
	line    int    // of its first command
	code    string
}

func readPage(root, path string) (page, error) {
	content, err := os.ReadFile(root + "/" + path)
	if err != nil {
		return page{}, err
	}
	p := page{path: path}
	heading, inside := "", false
	for i, line := range strings.Split(string(content), "\n") {
		switch {
		case inside && strings.TrimSpace(line) == "```":
			inside = false
		case inside:
			last := &p.blocks[len(p.blocks)-1]
			last.code += line + "\n"
		case strings.TrimSpace(line) == "```sh":
			inside = true
			p.blocks = append(p.blocks, block{heading: heading, line: i + 2})
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return p, nil
}

// block returns the one block below a heading that has a text in it.
func (p page) block(heading, with string) (block, error) {
	var found []block
	for _, b := range p.blocks {
		if b.heading == heading && strings.Contains(b.code, with) {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		return block{}, fmt.Errorf("%s has %d blocks of commands with %q below %q, want 1", p.path, len(found), with, heading)
	}
	return found[0], nil
}

// differs is what is done in another way than the pages say, and why.
var differs = strings.NewReplacer(
	"--version 1.18.3", "--version "+strings.TrimPrefix(daprVersion, "v"), // the newest that the Go module proxy serves whole
)

// run runs a block as somebody would who has copied it into a shell in the checkout, and
// returns what it prints. It ends at the first command that fails.
func (n *node) runBlock(ctx context.Context, b block, env ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-eo", "pipefail", "-c", differs.Replace(b.code))
	cmd.Dir = n.path("checkout")
	cmd.Env = append(n.environment(), env...)
	// What it leaves in the background is ended with it.
	defer func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}()
	return output(cmd)
}

// do runs the block of a page that is below a heading and has a text in it. What fails is
// said with the page and the line.
func (n *node) do(ctx context.Context, path, heading, with string, env ...string) (string, error) {
	p, err := readPage(n.path("checkout"), path)
	if err != nil {
		return "", err
	}
	b, err := p.block(heading, with)
	if err != nil {
		return "", err
	}
	n.say(fmt.Sprintf("  %s:%d", path, b.line))
	said, err := n.runBlock(ctx, b, env...)
	if err != nil {
		return said, fmt.Errorf("the commands of %s from line %d on have failed: %w\n%s", path, b.line, err, said)
	}
	return said, nil
}
