package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	migrations "github.com/duebell/duebell/shared/store/migrate"
	"github.com/duebell/duebell/shared/web"
)

// up runs the whole system on this machine until ctx ends. First it shows that reminders arrive.
func up(ctx context.Context, args []string) error {
	env, err := config.Parse[struct {
		Port        int           `env:"PORT" envDefault:"8080" help:"the port to serve on"`
		DatabaseURL config.Secret `env:"DATABASE_URL" help:"the URL of the database to use instead of one of our own"`
		Webhooks    preferences.Rules
		CORS        web.CORS
	}](os.Environ())
	if err != nil {
		return err
	}
	if env.DatabaseURL != "" {
		if err := store.CheckURL(env.DatabaseURL); err != nil {
			return err
		}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	dir := flags.String("dir", ".duebell", "the folder that all data is kept in")
	functions := flags.String("functions", filepath.Dir(program), "the folder with the functions' programs")
	demo := flags.Bool("demo", true, "show at the beginning that reminders arrive")
	if err := parse(flags, args); err != nil {
		return err
	}

	out := newScreen(os.Stdout)
	out.text("Duebell is starting")
	sys, err := system.Start(ctx, system.Options{
		Dir: *dir, Port: env.Port, FunctionsDir: *functions, DatabaseURL: env.DatabaseURL.Reveal(), WebhookHosts: env.Webhooks.AllowedHosts,
		Migrate: func(ctx context.Context, url string) error {
			_, err := migrations.Up(ctx, url)
			return err
		},
		Env:    []string{"CORS_ORIGINS=" + strings.Join(env.CORS.Origins, ",")},
		Report: out.step, OnEvent: out.event,
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	if *demo {
		if err := showTour(ctx, sys, out); err != nil && ctx.Err() == nil {
			out.failure("tour", "%v; the logs are in %s", err, filepath.Join(*dir, "logs"))
		}
	}
	if ctx.Err() == nil {
		envFile := filepath.Join(*dir, "dev.env")
		out.text("Duebell serves at "+sys.URL()+" until Ctrl-C. Open that in a browser, or try it in another terminal:",
			"",
			"  source "+envFile,
			`  curl -s $DUEBELL_URL/api/tasks -H "Authorization: Bearer $DUEBELL_TOKEN" -H "Content-Type: application/json" \`,
			`    -d '{"title": "Stretch", "due_date": "'$(date -u -d '+5 seconds' +%FT%TZ)'"}'`,
			`  sleep 6; curl -s $DUEBELL_URL/api/notifications -H "Authorization: Bearer $DUEBELL_TOKEN"; curl -s $DUEBELL_URL/dev/messages`,
			"")
	}
	<-ctx.Done()
	out.text("Duebell is stopping: " + context.Cause(ctx).Error())
	began := time.Now()
	if err := sys.Stop(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	out.line("stopped", "everything, in %.1f s", time.Since(began).Seconds())
	return nil
}

// showTour runs the tour as a user of its own, so that it is in nobody else's inbox.
func showTour(ctx context.Context, sys *system.System, out *screen) error {
	token, err := sys.Token(issuer.Claims{Subject: "tour", Email: "tour@example.com", EmailVerified: true, Lifetime: time.Hour})
	if err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, sys.Environment()["DATABASE_URL"])
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	out.text("Reminders of the user tour, from end to end")
	return tour{url: sys.URL(), token: token, db: db, out: out}.run(ctx)
}

// runtime finds, unpacks or builds the Dapr runtime.
func runtime(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("runtime", flag.ContinueOnError)
	archives := flags.String("archives", "", "a folder with daprd_OS_ARCH.tar.gz and scheduler_OS_ARCH.tar.gz of Dapr's release "+dapr.Version+", each with its .sha256 beside it, to unpack them instead of building")
	if err := parse(flags, args); err != nil {
		return err
	}
	out := newScreen(os.Stdout)
	began := time.Now()
	found, err := dapr.Find(ctx, dapr.FindOptions{
		Archives: *archives,
		Report:   func(text string) { out.step(system.Step{Name: "dapr", Text: text}) },
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	out.step(system.Step{Name: "dapr", Text: dapr.Version + " in " + filepath.Dir(found.Daprd), Done: true, Took: time.Since(began)})
	return nil
}
