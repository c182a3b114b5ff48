// bench measures Duebell through its HTTP API, on the whole system as it runs on one
// machine, beside what it is made of and what it could have been: Dapr Jobs alone, River
// (jobs on Postgres), and the loop that one writes first.
//
// All are measured in one run on one machine, by turns, so that their ratios mean
// something where their figures don't. It prints a table, and writes the figures to a
// file. BENCH=quick makes everything smaller.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// sizes says how much is measured.
type sizes struct {
	Rounds                        int
	Schedule, Creates, Sequential int // calls
	Near, Far, River              int // tasks, and River's jobs
	Spike, Spread                 int // reminders; the spread ones 1,000 a second
	Lead                          time.Duration
	Pending                       int // reminders waiting, for memory, the cleanup and the plans
	CleanupSmall, Expired         int
}

var (
	full = sizes{
		Rounds: 5, Schedule: 10_000, Creates: 5000, Sequential: 500, Near: 10_000, Far: 100_000, River: 100_000,
		Spike: 20_000, Spread: 20_000, Lead: 30 * time.Second, Pending: 1_000_000, CleanupSmall: 20_000, Expired: 10_000,
	}
	quick = sizes{
		Rounds: 2, Schedule: 2000, Creates: 1000, Sequential: 100, Near: 2000, Far: 10_000, River: 10_000,
		Spike: 1000, Spread: 2000, Lead: 6 * time.Second, Pending: 1_000_000, CleanupSmall: 20_000, Expired: 10_000,
	}
)

func main() {
	functions := flag.String("functions", "build/bin", "the folder with the functions' programs")
	out := flag.String("out", "build/bench.json", "where to write the figures")
	only := flag.String("only", "", "measure only those parts whose description has this in it")
	sizes := flag.String("sizes", "{}", `sizes other than the usual ones, as JSON: {"Near": 10000}`)
	rounds := flag.Int("rounds", 0, "how often everything is measured (0: as the size has it)")
	statements := flag.Bool("statements", false, "print after each part which statements have taken Postgres longest")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	size := full
	if os.Getenv("BENCH") == "quick" {
		size = quick
	}
	if err := json.Unmarshal([]byte(*sizes), &size); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -sizes:", err)
		os.Exit(2) //nolint:gocritic // nothing has been started
	}
	if *rounds > 0 {
		size.Rounds = *rounds
	}
	if err := run(ctx, size, *functions, *out, *only, *statements); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, size sizes, functions, out, only string, statements bool) (err error) {
	dir, err := os.MkdirTemp("", "duebell-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := start(ctx, dir, functions, size, statements)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	f := figures{}
	began := time.Now()
	defer func() {
		f.print(os.Stdout)
		err = errors.Join(err, f.write(out))
	}()
	for _, part := range []struct {
		name string
		run  func(context.Context, figures) error
	}{
		{"cold starts and memory at rest", w.atRest},
		{"a million pending reminders", w.million},
		{"a small cleanup", w.smallCleanup},
		{"creates, imports and what they are compared with", w.rates},
		{"many reminders in the same second", w.spikes},
		{"reminders spread over time", w.spreads},
		{"plans of all statements on a million rows", w.plans},
	} {
		if !strings.Contains(part.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%5.0fs %s\n", time.Since(began).Seconds(), part.name)
		if err := part.run(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if statements {
			if err := w.printStatements(ctx); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(os.Stderr, "%5.0fs done\n", time.Since(began).Seconds())
	return nil
}
