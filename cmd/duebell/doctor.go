package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/duebell/duebell/cmd/duebell/install"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/config"
)

// production is the overlay that docs/deploy.md makes.
const production = "manifests/overlays/production"

// clusterConfig has the settings of the commands for clusters.
type clusterConfig struct {
	Kubectl     string        `env:"KUBECTL" envDefault:"kubectl" help:"the program kubectl, with arguments such as --context if need be"`
	DatabaseURL config.Secret `env:"DATABASE_URL" help:"the database as it is reached from here"`
}

// options returns the options for checking or deploying an overlay.
func (c clusterConfig) options(overlay string, out *screen) install.Options {
	return install.Options{
		Kubectl: strings.Fields(c.Kubectl), Overlay: overlay, DatabaseURL: c.DatabaseURL,
		Doing: func(name, text string) {
			if text == "" {
				out.over(name)
				return
			}
			out.step(system.Step{Name: name, Text: text})
		},
		Found: func(f install.Finding) { showFinding(out, f) },
	}
}

func (c clusterConfig) Validate() error {
	if len(strings.Fields(c.Kubectl)) == 0 {
		return errors.New("KUBECTL must be a program, and its arguments")
	}
	return nil
}

// showFinding shows a finding, and below it what to do.
func showFinding(out *screen, f install.Finding) {
	style, sign := good, "✓"
	switch f.State {
	case install.Good:
	case install.Hint:
		style, sign = warning, "!"
	case install.Bad:
		style, sign = bad, "✗"
	}
	out.mark(style, sign, f.Name, "%s", f.Text)
	for _, next := range f.Next {
		out.mark(faint, " ", "", "→ %s", next)
	}
}

// doctor shows what would keep an installation from working.
func doctor(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	overlay := flags.String("overlay", "", "the folder that is applied to the cluster; "+production+" if it is there")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg, err := config.Parse[clusterConfig](os.Environ())
	if err != nil {
		return err
	}
	if *overlay == "" {
		if _, err := os.Stat(production); err == nil {
			*overlay = production
		}
	}
	out := newScreen(os.Stdout)
	out.text("What Duebell needs, and what of it is there")
	switch n, err := install.Check(ctx, cfg.options(*overlay, out)); {
	case err != nil:
		return errInterrupted
	case n == 1:
		return errors.New("1 thing keeps the installation from working")
	case n > 1:
		return fmt.Errorf("%d things keep the installation from working", n)
	}
	out.text("Nothing that can be seen keeps the installation from working")
	return nil
}
