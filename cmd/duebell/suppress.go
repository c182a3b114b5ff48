package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
)

const suppressUsage = `Usage: duebell suppress list [-lifted] [-limit 50] [ADDRESS]
       duebell suppress add -reason WHY ADDRESS
       duebell suppress lift -reason WHY ADDRESS|ID

An address is an e-mail address or a phone number. Only its hash is stored, so the list does not show
addresses. Name an address to see whether it is suppressed.

DATABASE_URL names the database, SUPPRESSION_KEY is the functions' own.
`

// suppressConfig is what the command reads.
type suppressConfig struct {
	Store store.Config
	Keys  suppress.Keys
}

// suppressed lists, adds and lifts suppressions.
func suppressed(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, suppressUsage)
		return errUsage
	}
	flags := flag.NewFlagSet("suppress "+args[0], flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), suppressUsage) }
	lifted := flags.Bool("lifted", false, "")
	limit := flags.Int("limit", 50, "")
	reason := flags.String("reason", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		return errUsage
	}
	list, change := args[0] == "list", args[0] == "add" || args[0] == "lift"
	understood := list && flags.NArg() <= 1 || change && flags.NArg() == 1 && *reason != "" && len(*reason) <= store.MaxNote
	if !understood {
		fmt.Fprint(os.Stderr, suppressUsage)
		return errUsage
	}
	cfg, err := config.Parse[suppressConfig](os.Environ())
	if err != nil {
		return err
	}
	s, err := store.Open(cfg.Store)
	if err != nil {
		return err
	}
	defer s.Close()

	if list {
		f := store.SuppressionFilter{InForce: !*lifted, Limit: max(*limit, 1)}
		if flags.NArg() == 1 {
			channel, err := suppress.Channel(flags.Arg(0))
			if err != nil {
				return err
			}
			of := cfg.Keys.Hashes(channel, flags.Arg(0))
			f.Of = &of
		}
		list, more, err := s.ListSuppressions(ctx, f)
		if err != nil {
			return err
		}
		return printSuppressions(os.Stdout, list, more)
	}
	var changed []store.Suppression
	err = s.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		if changed, err = carryOut(ctx, tx, cfg.Keys, args[0], flags.Arg(0), *reason); err != nil {
			return err
		}
		for _, c := range changed {
			act := store.Act{Caller: operator(), UserID: operator(), Method: "suppress", Path: args[0] + " " + c.ID.String()}
			if err := tx.RecordAct(ctx, act); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return printSuppressions(os.Stdout, changed, false)
}

// carryOut suppresses an address, or lifts the suppressions of an address or the one with an id.
func carryOut(ctx context.Context, tx store.Tx, keys suppress.Keys, what, of, reason string) ([]store.Suppression, error) {
	if id, err := uuid.Parse(of); err == nil && what == "lift" {
		s, err := tx.LiftSuppression(ctx, id, operator(), reason)
		return []store.Suppression{s}, err
	}
	channel, err := suppress.Channel(of)
	if err != nil {
		return nil, err
	}
	if what == "add" {
		s, _, err := tx.Suppress(ctx, keys.Hashes(channel, of), store.Suppression{
			Channel: channel, Reason: store.ReasonOperator, Note: reason, By: operator(),
		})
		return []store.Suppression{s}, err
	}
	lifted, err := tx.LiftAll(ctx, keys.Hashes(channel, of), operator(), reason)
	if err == nil && len(lifted) == 0 {
		err = fault.NotFound("this address is not suppressed")
	}
	return lifted, err
}

// operator returns who runs the command, as the audit log names them.
func operator() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname() //nolint:errcheck // then it is left out
	return fmt.Sprintf("duebell suppress (%s@%s)", name, host)
}

func printSuppressions(out io.Writer, list []store.Suppression, more bool) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "Nothing is suppressed.")
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tCHANNEL\tREASON\tSINCE\tBY\tNOTE\tLIFTED")
	for _, s := range list {
		lifted := ""
		if s.LiftedAt != nil {
			lifted = s.LiftedAt.Format(time.RFC3339) + " by " + line(*s.LiftedBy, 80) + " " + line(s.LiftNote, 80)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Channel, s.Reason, s.Since.Format(time.RFC3339), line(s.By, 80), line(s.Note, 80), lifted)
	}
	if more {
		fmt.Fprintln(t, "... and more: see -limit")
	}
	return t.Flush()
}
