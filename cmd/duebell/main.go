// duebell is the operator's program. It runs the whole system on one machine, or installs it on a
// cluster and checks it there. It migrates the database, cleans it up, and reconciles Dapr with it.
// It imports and exports tasks, settles dead letters, and edits the list of suppressed addresses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // an image may come without certificates
)

const usage = `duebell tells people at the exact moment.

Usage: duebell COMMAND [FLAGS]

  up        run the whole system on this machine, until Ctrl-C
  migrate   bring the database that DATABASE_URL names to the schema of this version
  import    create the tasks of a file, lines of JSON or CSV, on a server; may be interrupted and repeated
  export    write a user's tasks to a file that import reads again
  dlq       list, show, replay and discard dead letters
  vapid     make the keys of Web Push, and show what to do with them
  suppress  list, add and lift suppressions: addresses that nothing is sent to
  deploy    install or upgrade Duebell on a cluster, by the steps of docs/deploy.md, after checking what it needs
  doctor    show what would keep an installation on a cluster from working, and what to do
  cleanup   delete leftover jobs and old rows, as the nightly cleanup does; -dry-run only counts
  reconcile schedule all reminders in Dapr again, after it has lost jobs
  runtime   find the pinned Dapr runtime, unpack its -archives or build it, and show where it is
  version   show the version and commit, and those of the schema, time zones and Dapr
  help      show this

duebell COMMAND -h shows a command's flags.
`

// command is one of duebell's commands. Its error is shown to people as it is.
type command func(ctx context.Context, args []string) error

var commands = map[string]command{"up": up, "migrate": migrate, "import": importFile, "export": exportFile, "dlq": dlq, "vapid": makeKeys, "suppress": suppressed, "deploy": deploy, "doctor": doctor, "cleanup": cleanup, "reconcile": reconcile, "runtime": runtime, "version": version}

func main() {
	// The first signal ends the program in order, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs a command line and returns the exit status: 0, 1 if it failed, 2 if it was not
// understood, 130 if it was interrupted.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	switch args[0] {
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	}
	c, known := commands[args[0]]
	if !known {
		fmt.Fprintf(stderr, "duebell: there is no command %q\n\n%s", args[0], usage)
		return 2
	}
	switch err := c(ctx, args[1:]); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, errInterrupted):
		return 130 // as shells do
	default:
		fmt.Fprintf(stderr, "duebell %s: %v\n", args[0], err)
		return 1
	}
}

// errInterrupted says that the user interrupted a command.
var errInterrupted = errors.New("interrupted")

// errUsage says that the flags were wrong. The message was printed already.
var errUsage = errors.New("wrong flags")

// parse reads a command's flags, and refuses anything else.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(flags.Output(), "duebell %s takes no argument %q\n", flags.Name(), flags.Arg(0))
		return errUsage
	}
	return nil
}
