// chaos runs the whole local system under a stream of requests, and breaks its parts at random
// moments. It records what was asked for, and compares that with what came in the inboxes and at
// the providers.
//
//	script  what clients will ask for          ─┐ made from the seed
//	plan    what will break or be slow, when   ─┘
//	life    a script that was run: the record of what was accepted
//	oracle  compares the record with what came
//
// It ends with status 1 if a reminder was lost, came twice in the inbox, came early or after it was
// cancelled, or if an external message came twice without a fault that explains it. It also does so
// if a reminder was late while parts were only slow, or busy with another user. It ends with status
// 2 if the run could not be made, or if nothing was found and a part did not come up again or did
// not stop. The verdict is the last line, except of a run that could not be made.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(command(ctx, os.Args[1:]))
}

// command makes a run as the arguments say, and returns the exit status.
func command(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	n := flags.Int("n", 5000, "how many reminders")
	seed := flags.Uint64("seed", 0, "what requests and faults are made of; 0: any")
	span := flags.Duration("span", 0, "in which everything falls due, and breaks; 0: 25 reminders a second, at least 2m")
	match := flags.String("faults", ".", "a regular expression: only the faults with such names strike")
	broken := flags.String("break", "", "break the system first, to see that it is found: "+strings.Join(breakageNames(), ", "))
	keep := flags.Bool("keep", false, "keep the data and the logs")
	var hogs []int
	flags.Func("hog", "measure instead what a user with so many messages to a webhook that never answers costs the others; may be given again", func(text string) error {
		size, err := strconv.Atoi(text)
		hogs = append(hogs, size)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	failed := func(err error) int {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	pattern, err := regexp.Compile(*match)
	if err != nil {
		return failed(fmt.Errorf("-faults: %w", err))
	}
	dir, err := os.MkdirTemp("", "duebell-chaos-")
	if err != nil {
		return failed(err)
	}
	if !*keep {
		defer os.RemoveAll(dir)
	}
	o := options{
		reminders: *n, seed: *seed, span: *span, faults: pattern, noSweep: *broken == noSweep,
		bin: filepath.Join(dir, "bin"), dir: filepath.Join(dir, "data"), say: func(text string) { fmt.Println(text) },
	}
	if o.seed == 0 {
		o.seed = rand.Uint64() % 1_000_000
	}
	if o.span == 0 {
		o.span = spanOf(o.reminders)
	}
	if err := build(ctx, o.bin, *broken, "github.com/duebell/duebell/functions/..."); err != nil {
		return failed(err)
	}
	if len(hogs) > 0 {
		if err := measure(ctx, o, hogs); err != nil {
			return failed(err)
		}
		return 0
	}
	fmt.Printf("chaos: to repeat this, SEED=%d N=%d\n", o.seed, o.reminders)
	t, err := chaos(ctx, o)
	if err != nil {
		return failed(err)
	}
	fmt.Print(t)
	if *keep {
		fmt.Println("data and logs are in", o.dir)
	}
	return conclude(os.Stdout, t)
}

// conclude prints the result, with the verdict last, and returns the exit status. Findings count
// more than trouble with the parts.
func conclude(w io.Writer, t tally) int {
	if t.trouble != nil {
		fmt.Fprintln(w, "chaos: at the end:", t.trouble)
	}
	fmt.Fprintln(w, t.verdict())
	switch {
	case len(t.findings) > 0:
		return 1
	case t.trouble != nil:
		return 2
	default:
		return 0
	}
}

// spanOf returns how long a run with that many reminders should take.
func spanOf(reminders int) time.Duration {
	return max(time.Duration(reminders)*time.Second/25, 2*time.Minute)
}

// build builds packages into bin, with the named mistake if broken is not "".
func build(ctx context.Context, bin, broken string, packages ...string) error {
	args := []string{"build", "-o", bin + "/"}
	if edits, ok := breakages[broken]; ok {
		overlay, err := overlay(filepath.Dir(bin), edits)
		if err != nil {
			return err
		}
		args = append(args, "-overlay="+overlay)
	} else if broken != "" && broken != noSweep {
		return fmt.Errorf("there is no way to break called %q; choose from %s", broken, strings.Join(breakageNames(), ", "))
	}
	out, err := exec.CommandContext(ctx, "go", append(args, packages...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building: %w\n%s", err, out)
	}
	return nil
}
