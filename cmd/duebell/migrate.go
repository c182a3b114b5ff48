package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/store"
	migrations "github.com/duebell/duebell/shared/store/migrate"
)

// migrate applies the missing migrations to the database.
func migrate(ctx context.Context, args []string) error {
	if err := parse(flag.NewFlagSet("migrate", flag.ContinueOnError), args); err != nil {
		return err
	}
	cfg, err := config.Parse[store.Config](os.Environ())
	if err != nil {
		return err
	}
	applied, err := migrations.Up(ctx, cfg.URL.Reveal())
	if err != nil {
		return err
	}
	for _, m := range applied {
		fmt.Printf("applied %s in %v\n", m.Name, m.Duration.Round(time.Millisecond))
	}
	if len(applied) == 0 {
		fmt.Println("the database is up to date")
	}
	return nil
}
