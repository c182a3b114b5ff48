package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/duebell/duebell/local/process"
)

// commands are those of one block of the documentation.
type commands struct{ page, heading, with string }

// documented are the blocks that are run, by what they do.
var documented = map[string]commands{
	"needs":      {deployPage, "What you need", "kubectl apply"},
	"images":     {deployPage, "A quarter of an hour", "make images"},
	"settings":   {deployPage, "A quarter of an hour", "${EDITOR"},
	"secrets":    {deployPage, "A quarter of an hour", "create secret"},
	"everything": {deployPage, "A quarter of an hour", "duebell.dev/part=migrate"},
	"reminder":   {deployPage, "A quarter of an hour", "export API"},
	"upgrade":    {deployPage, "Upgrading", "delete job migrate"},
	"reconcile":  {deployPage, "Upgrading", "build/bin/duebell reconcile"},
	"stop":       {deployPage, "Backup and restore", "delete pingsources"},
	"mark":       {deployPage, "Backup and restore", "psql"},
	"take away":  {deployPage, "Taking it away", "kubectl delete -k"},
	"at once":    {deployPage, "In one command", "duebell deploy"},

	"restart":         {securityPage, "Changing secrets", "restart() {"},
	"app token":       {securityPage, "Changing secrets", "put dapr-app-token"},
	"API token":       {securityPage, "Changing secrets", "put dapr-api-token"},
	"database":        {securityPage, "Changing secrets", "put duebell-database"},
	"broker":          {securityPage, "Changing secrets", "put duebell-kafka"},
	"provider's key":  {securityPage, "Changing secrets", "put duebell-channels SENDGRID_API_KEY"},
	"reports' key":    {securityPage, "Changing secrets", "put duebell-reports SENDGRID_EVENTS_KEY"},
	"limits":          {securityPage, "Changing secrets", "put duebell-limits SMS_ALLOWED_PREFIXES"},
	"unsubscribe key": {securityPage, "Changing secrets", "put duebell-channels UNSUBSCRIBE_KEY"},
	"suppression key": {securityPage, "Changing secrets", "put duebell-channels SUPPRESSION_KEY"},
	"link key":        {securityPage, "Changing secrets", "put duebell-links LINK_KEY"},
	"verify key":      {securityPage, "Changing secrets", "put duebell-verify VERIFY_KEY"},
}

const (
	deployPage     = "docs/deploy.md"
	securityPage   = "docs/security.md"
	operationsPage = "docs/operations.md"
)

// find returns the block in a checkout.
func (c commands) find(root string) (block, error) {
	p, err := readPage(root, c.page)
	if err != nil {
		return block{}, err
	}
	return p.block(c.heading, c.with)
}

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

// Names of this cluster, as differs makes them of the pages'. The files in node/ and addons/
// have them, too.
const (
	apiHost      = "api.example.org"
	registryHost = "registry.example.org"
)

// differs is what is done in another way than the pages say, and why.
var differs = strings.NewReplacer(
	"--version 1.18.3", "--version "+daprRelease, // the newest that the Go module proxy serves whole
	"example.com", "example.org", // the first stands for names of one's own, and is refused by duebell doctor
)

// runBlock runs commands as somebody would who has copied it into a shell in the checkout, and
// returns what it prints. It ends at the first command that fails.
func (n *node) runBlock(ctx context.Context, code string, env ...string) (string, error) {
	// A file, and no pipe: what the commands leave in the background would keep that open.
	printed, err := os.CreateTemp(n.path("log"), "commands-")
	if err != nil {
		return "", err
	}
	defer printed.Close()
	cmd := exec.CommandContext(ctx, "bash", "-eo", "pipefail", "-c", differs.Replace(code))
	cmd.Dir = n.path("checkout")
	cmd.Env = append(n.environment(), env...)
	cmd.Stdout, cmd.Stderr = printed, printed
	err = process.Run(cmd)
	if cmd.Process != nil { // what it has left in the background ends with it
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	said, readErr := os.ReadFile(printed.Name())
	return string(said), errors.Join(err, readErr)
}

// do runs documented commands. What fails is said with the page and the line. change, if
// given, changes them first.
func (n *node) do(ctx context.Context, what string, change func(string) string, env ...string) (string, error) {
	b, err := documented[what].find(n.path("checkout"))
	if err != nil {
		return "", err
	}
	at := fmt.Sprintf("%s:%d", documented[what].page, b.line)
	n.say("  " + at)
	if change != nil {
		b.code = change(b.code)
	}
	said, err := n.runBlock(ctx, b.code, env...)
	if err != nil {
		return said, fmt.Errorf("the commands from %s on have failed: %w\n%s", at, err, said[max(0, len(said)-2000):])
	}
	return said, nil
}
