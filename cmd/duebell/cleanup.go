package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/upkeep"
)

// openCleaner returns a Cleaner with the settings in the environment.
func openCleaner() (c *upkeep.Cleaner, closeAll func(), err error) {
	cfg, err := config.Parse[struct {
		Store   store.Config
		Dapr    jobs.Config
		Cleanup upkeep.CleanupRules
	}](os.Environ())
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return upkeep.NewCleaner(s, dapr, time.Now, cfg.Cleanup), func() { dapr.Close(); s.Close() }, nil
}

// cleanup runs a nightly cleanup by hand.
func cleanup(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("cleanup", flag.ContinueOnError)
	dryRun := flags.Bool("dry-run", false, "change nothing, and say what would be done")
	if err := parse(flags, args); err != nil {
		return err
	}
	c, closeAll, err := openCleaner()
	if err != nil {
		return err
	}
	defer closeAll()
	err = showReport(newScreen(os.Stdout), c.Cleanup(ctx, *dryRun))
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// showReport shows the result of a cleanup. Its error says that a step failed.
func showReport(out *screen, report upkeep.Report) error {
	heading := "Cleaned up"
	if report.DryRun {
		heading = "A dry run: nothing was changed; this would be done"
	}
	out.text(heading)
	for _, s := range report.Steps {
		took := took(time.Duration(s.TookSeconds * float64(time.Second)))
		switch {
		case s.Error != "":
			out.failure(s.Name, "%s: %d, then it failed: %s %s", s.Does, s.Count, s.Error, took)
		case !s.Complete:
			out.line(s.Name, "%s: %d, and there is more %s", s.Does, s.Count, took)
		default:
			out.line(s.Name, "%s: %d %s", s.Does, s.Count, took)
		}
	}
	if n := report.Failed(); n > 0 {
		return fmt.Errorf("%d of %d steps failed", n, len(report.Steps))
	}
	return nil
}

// reconcile schedules a job in Dapr for every reminder that should have one.
func reconcile(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("reconcile", flag.ContinueOnError)
	if err := parse(flags, args); err != nil {
		return err
	}
	c, closeAll, err := openCleaner()
	if err != nil {
		return err
	}
	defer closeAll()
	out := newScreen(os.Stdout)
	out.text("Scheduling again everything that should be scheduled; it may be interrupted and repeated")
	began := time.Now()
	var p upkeep.Progress
	err = c.Reconcile(ctx, func(now upkeep.Progress) {
		p = now
		out.step(system.Step{Name: "reconcile", Text: fmt.Sprintf("%d taken for lost, %d scheduled, %d left", p.Unconfirmed, p.Scheduled, p.Left)})
	})
	if err != nil {
		out.failure("reconcile", "%d scheduled, %d left; run it again", p.Scheduled, p.Left)
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			return errInterrupted
		}
		return err
	}
	out.step(system.Step{Name: "reconcile", Text: fmt.Sprintf("%d reminders scheduled", p.Scheduled), Done: true, Took: time.Since(began)})
	return nil
}
