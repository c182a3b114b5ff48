package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

const dlqUsage = `Usage: duebell dlq list [-state retrying|dead|resolved|discarded] [FILTERS] [-limit 50]
       duebell dlq show ID
       duebell dlq replay [-force] ID
       duebell dlq replay [-state dead|retrying] [FILTERS] [-rate 50] [-yes]
       duebell dlq discard ID

FILTERS: -channel email|push|sms|webhook|event; -provider NAME; -since 2h and -until 10m: it failed for the
first time at most, and at least, that long ago.
Without an ID, replay counts the dead letters, asks, and makes -rate of them due in each second.

DATABASE_URL names the database.
`

// dlq lists, shows, replays and discards dead letters.
func dlq(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, dlqUsage)
		return errUsage
	}
	flags := flag.NewFlagSet("dlq "+args[0], flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), dlqUsage) }
	state := flags.String("state", "", "")
	limit := flags.Int("limit", 50, "")
	force := flags.Bool("force", false, "")
	channel := flags.String("channel", "", "")
	provider := flags.String("provider", "", "")
	since := flags.Duration("since", 0, "")
	until := flags.Duration("until", 0, "")
	rate := flags.Int("rate", 50, "")
	yes := flags.Bool("yes", false, "")
	if err := flags.Parse(args[1:]); err != nil {
		return errUsage
	}
	cfg, err := config.Parse[store.Config](os.Environ())
	if err != nil {
		return err
	}
	s, err := store.Open(cfg)
	if err != nil {
		return err
	}
	defer s.Close()

	filter := store.DeadLetterFilter{State: store.DeadLetterState(*state), Channel: task.Channel(*channel), Provider: *provider}
	if *since != 0 {
		filter.Since = time.Now().Add(-*since)
	}
	if *until != 0 {
		filter.Until = time.Now().Add(-*until)
	}
	if args[0] == "replay" && flags.NArg() == 0 && !*force {
		return replayMany(ctx, s, filter, *rate, *yes)
	}
	if args[0] == "list" {
		list, more, err := s.ListDeadLetters(ctx, filter, uuid.Nil, max(*limit, 1))
		if err != nil {
			return err
		}
		return printLetters(os.Stdout, list, more, time.Now())
	}
	id, err := uuid.Parse(flags.Arg(0))
	if err != nil || flags.NArg() != 1 {
		fmt.Fprint(os.Stderr, dlqUsage)
		return errUsage
	}
	var l store.DeadLetter
	switch args[0] {
	case "show":
		l, err = s.GetDeadLetter(ctx, id)
	case "replay":
		l, err = s.ReplayDeadLetter(ctx, id, *force)
	case "discard":
		if err = s.DiscardDeadLetter(ctx, id); err == nil {
			l, err = s.GetDeadLetter(ctx, id)
		}
	default:
		fmt.Fprint(os.Stderr, dlqUsage)
		return errUsage
	}
	if err != nil {
		return err
	}
	return printLetter(os.Stdout, l)
}

// replayMany counts the dead letters of a filter, asks for agreement, and replays them.
func replayMany(ctx context.Context, s *store.Store, f store.DeadLetterFilter, rate int, yes bool) error {
	f.State = cmp.Or(f.State, store.Dead)
	if f.State != store.Dead && f.State != store.Retrying || rate < 1 || rate > 1000 {
		fmt.Fprint(os.Stderr, dlqUsage)
		return errUsage
	}
	n, err := s.CountReplayable(ctx, f)
	if err != nil {
		return err
	}
	if n == 0 {
		fmt.Println("There is nothing to replay.")
		return nil
	}
	fmt.Printf("%d dead letters can be replayed. Their messages go out within %s, %d in a second.\n", n, time.Duration(n)*time.Second/time.Duration(rate), rate)
	if n == store.MostReplayed {
		fmt.Println("There are more: these are the oldest. Replay the others afterwards.")
	}
	if !yes && !agreed("Replay them? [y/N] ") {
		return errors.New("nothing was replayed; answer y, or say -yes")
	}
	done, err := s.ReplayDeadLetters(ctx, f, n, rate)
	fmt.Printf("%d are replayed.\n", done)
	return err
}

// agreed asks, and reports whether the answer is yes.
func agreed(question string) bool {
	fmt.Print(question)
	var answer string
	_, _ = fmt.Scanln(&answer)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

// printLetters writes a table with a line for each dead letter.
func printLetters(out io.Writer, list []store.DeadLetter, more bool, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "There are no dead letters.")
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSTATE\tCHANNEL\tPROVIDER\tATTEMPTS\tAGE\tERROR")
	for _, l := range list {
		channel, provider := "-", "-"
		if l.Channel != nil {
			channel = string(*l.Channel)
		}
		if l.Provider != nil {
			provider = *l.Provider
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", l.ID, l.State, channel, provider, l.Attempts, age(now.Sub(l.CreatedAt)), line(l.Error, 80))
	}
	if more {
		fmt.Fprintln(t, "... and more: see -limit and -state")
	}
	return t.Flush()
}

func printLetter(out io.Writer, l store.DeadLetter) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, field := range [][2]string{
		{"ID", l.ID.String()},
		{"State", string(l.State)},
		{"Job", line(l.JobName, 200)},
		{"Attempts", fmt.Sprint(l.Attempts)},
		{"Created", l.CreatedAt.Format(time.RFC3339)},
		{"Updated", l.UpdatedAt.Format(time.RFC3339)},
		{"Error", line(l.Error, 500)},
		{"Data", line(l.Data, 2000)},
	} {
		fmt.Fprintf(t, "%s\t%s\n", field[0], field[1])
	}
	return t.Flush()
}

// line returns one printable line of a text that may come from anybody.
func line(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return ' '
		}
		return c
	}, s)
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func age(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
