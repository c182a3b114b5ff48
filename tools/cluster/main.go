// Cluster runs a real one-node Kubernetes on this machine, with Knative, Dapr and a plug-in
// that enforces network policies, and puts Duebell on it as docs/deploy.md says: the commands
// are read from that page.
//
// All of it lives in namespaces of its own (mounts, network, processes), whose first process
// ends with this one: then the kernel takes everything away, however this one ends.
//
// Who calls whom: main.go takes the command; programs.go builds what the cluster is made of;
// host.go makes the namespaces and takes them away; node.go is what runs inside and starts
// everything, with the configurations in node/ and the certificates of pki.go; outside.go is what
// the cluster finds outside of itself: the registry of registry.go, the files of releases.go,
// a database, a broker; page.go reads the commands from the page; deploy.go runs them; check*.go
// are the checks of make cluster-test.
//
// Usage: cluster up | test [-run REGEXP] | build | enter COMMAND...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/duebell/duebell/local/checkout"
)

const usage = `usage: cluster COMMAND
  up                     start a cluster, show a reminder arriving, and run until Ctrl-C
  test [-run REGEXP]     check the cluster that runs, or one that is started for it
  built                  exit with 0 if nothing would have to be built
  lacks                  print Debian's packages of programs that this machine lacks
  build                  only build what the cluster is made of
  enter COMMAND...       run a command inside the cluster that runs: enter kubectl get pods -A
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	var code *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &code) && len(os.Args) > 1 && os.Args[1] == "enter":
		os.Exit(code.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	switch args[0] {
	case "up":
		return up(ctx, "", "")
	case "test":
		return test(ctx, args[1:])
	case "build", "built":
		root, err := checkout.Root()
		if err != nil {
			return err
		}
		if args[0] == "built" {
			built, err := programsAreBuilt(root)
			if err == nil && !built {
				err = errors.New("there is something to build: make cluster does so")
			}
			return err
		}
		_, err = findPrograms(ctx, root, newProgress().say)
		return err
	case "lacks":
		fmt.Println(strings.Join(lacks(), " "))
		return nil
	case "enter":
		return enter(ctx, args[1:])
	// What follows is called by the above, inside the namespaces.
	case "init":
		return first()
	case "node":
		return runNode(ctx, args[1:])
	case "check":
		return check(ctx, args[1:])
	case "issuer":
		return serveIssuer(ctx, args[1])
	case "probe":
		return probe(args[1:])
	case "edit":
		return edit(args[1:])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
		return nil
	}
}

// progress says how far we are, each line with the seconds since it began.
type progress struct{ began time.Time }

func newProgress() progress { return progress{time.Now()} }

func (p progress) say(line string) {
	fmt.Printf("%5.0f s  %s\n", time.Since(p.began).Seconds(), strings.ReplaceAll(line, "\n", "\n         "))
}
