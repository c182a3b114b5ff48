package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/store/migrate"
)

// twice are the functions with two instances.
var twice = []string{"trigger-reminder", "send"}

// instances returns the functions' instances of a run.
func (run *run) instances() (all []system.Function) {
	for _, f := range system.Functions {
		if run.noSweep && f.Name == "retry-dlq" {
			f.Every = 0
		}
		all = append(all, f)
		if slices.Contains(twice, f.Name) {
			f.Program, f.Name = f.Name, f.Name+"-2"
			if f.Program == "send" {
				f.Every = time.Second // nothing else wakes this one
			}
			all = append(all, f)
		}
	}
	return all
}

// start starts the system, and signs its users in.
func (run *run) start(ctx context.Context) error {
	err := run.open(ctx, firstAgenda+agendaUsers, system.Options{
		Functions: run.instances(), Ingress: true, Links: true, Daprds: 2,
		Env: []string{
			"DELIVERY_SEND_TIMEOUT=" + sendTimeout.String(), "DELIVERY_LEASE=" + lease.String(),
			// A sweep that does little at a time takes long between scheduling and confirming.
			"SWEEP_CONCURRENCY=2", "SWEEP_DAPR_CONCURRENCY=2", "SWEEP_BUDGET=10s",
			// Reminders far ahead have jobs, which can be lost, overtaken and left over.
			"REMINDER_HORIZON=0",
			// A few users have all tasks.
			"MAX_TASKS_PER_USER=0", "MAX_REMINDERS_PER_MINUTE=0", "MAX_JOBS_PER_USER=0", "MAX_IMPORT_ROWS_PER_HOUR=0",
			// Messages are counted, but no user is over a limit, since all that is due must be
			// sent.
			"QUOTA_PER_HOUR=email=1000000,push=1000000,sms=1000000,webhook=1000000", "QUOTA_PER_DAY=email=1000000,push=1000000,sms=1000000,webhook=1000000",
			"QUOTA_PER_RECIPIENT=email=1000000,sms=1000000", "SMS_DAILY_COST=1000000",
			// Few places, for a hog to take.
			"SEND_CONCURRENCY=16", "SEND_CONCURRENCY_PER_USER=4",
		},
	})
	if err != nil {
		return err
	}
	environment := run.sys.Environment()
	run.dapr, err = jobs.Open(jobs.Config{
		Endpoint: environment["DAPR_GRPC_ENDPOINT"], APIToken: config.Secret(environment["DAPR_API_TOKEN"]),
		RetryInterval: time.Second, MaxRetries: 1,
	})
	if err != nil {
		return errors.Join(err, run.close(ctx))
	}
	return nil
}

// open starts a system, and signs that many users in. The caller closes it, unless there is an
// error.
func (run *run) open(ctx context.Context, users int, o system.Options) (err error) {
	o.Dir, o.FunctionsDir = run.dir, run.bin
	o.Migrate = func(ctx context.Context, url string) error {
		_, err := migrate.Up(ctx, url)
		return err
	}
	o.OnEvent = func(e process.Event) {
		if e.Err == nil || strings.Contains(e.Err.Error(), "killed") {
			return
		}
		run.say("  %v", e)
		if slices.ContainsFunc(o.Functions, func(f system.Function) bool { return f.Name == e.Name }) {
			run.mu.Lock()
			defer run.mu.Unlock()
			run.crashed = append(run.crashed, e)
		}
	}
	o.Report = func(s system.Step) {
		if s.Done {
			run.say("✓ %s", s.Name)
		}
	}
	if run.sys, err = system.Start(ctx, o); err != nil {
		return err
	}
	run.databaseURL = run.sys.Environment()["DATABASE_URL"]
	if run.db, err = pgxpool.New(ctx, run.databaseURL); err != nil {
		return errors.Join(err, run.close(ctx))
	}
	tokens := make([]string, users)
	for i := range tokens {
		if tokens[i], err = run.sys.Token(issuer.Claims{Subject: nameOf(i), Email: nameOf(i) + "@example.com", EmailVerified: true, Scope: "act", Lifetime: time.Hour}); err != nil {
			return errors.Join(err, run.close(ctx))
		}
	}
	run.client = newClient(run.sys.URL(), tokens)
	return nil
}

// close stops all that open started.
func (run *run) close(ctx context.Context) error {
	if run.dapr != nil {
		run.dapr.Close()
	}
	if run.db != nil {
		run.db.Close()
	}
	return run.sys.Stop(context.WithoutCancel(ctx))
}

// nameOf returns a user's id.
func nameOf(user int) string { return fmt.Sprintf("user%d", user) }

// choose switches a user's channels on.
func (run *run) choose(ctx context.Context, user int) error {
	on := map[string]bool{}
	for _, channel := range channelsOf(user) {
		on[channel] = true
	}
	device := map[string]string{"provider": "fcm", "token": fmt.Sprintf("token:of-user-%d", user)}
	if user%10 == 0 {
		device = map[string]string{"provider": "onesignal", "token": uuid.NewSHA1(uuid.Nil, fmt.Append(nil, user)).String()}
	}
	windows := []map[string]string{}
	if hasQuietHours(user) {
		windows = append(windows, run.quiet.window())
	}
	bundle := map[string]string{}
	if hasBundles(user) {
		bundle["email"] = bundleTime.String()
	}
	return run.client.must(ctx, http.StatusOK, user, "PUT", "/api/preferences", map[string]any{
		"time_zone": where, "quiet_hours": windows, "bundle": bundle, "language": []string{"en", "de"}[user%2], "channels": on,
		// The scope act vouches for addresses. Asking their owners is not part of this run.
		"phones":  []any{map[string]any{"address": fmt.Sprintf("+1555010%04d", user), "verified": true}},
		"devices": []map[string]string{device},
		"webhook": map[string]any{"url": fmt.Sprintf("%s%s/user%d", run.sys.URL(), sandbox.WebhookPath, user)},
	})
}
