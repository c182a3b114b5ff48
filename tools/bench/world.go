package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/store/migrate"
)

// horizon is how far ahead reminders are with Dapr.
const horizon = 24 * time.Hour

// world is the whole system, and what it is compared with.
type world struct {
	sizes
	dir, functions string
	sys            *system.System
	environment    map[string]string
	db             *pgxpool.Pool
	token          string
	ports          ports
	client         http.Client
	raw            *rawDapr
	river          *riverJobs
}

func start(ctx context.Context, dir, functions string, size sizes, statements bool) (w *world, err error) {
	w = &world{sizes: size, dir: dir, functions: functions}
	w.client.Transport = &http.Transport{MaxIdleConnsPerHost: 100}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	w.sys, err = system.Start(ctx, system.Options{
		Dir: filepath.Join(dir, "system"), FunctionsDir: functions, NoSchedules: true,
		// All tasks are one user's.
		Env: []string{
			"RATE_LIMIT=0", "MAX_TASKS_PER_USER=0", "MAX_REMINDERS_PER_MINUTE=0", "MAX_JOBS_PER_USER=0", "MAX_IMPORT_ROWS_PER_HOUR=0",
			"REMINDER_HORIZON=" + horizon.String(), "LOG_LEVEL=error",
		},
		Migrate: func(ctx context.Context, url string) error {
			_, err := migrate.Up(ctx, url)
			return err
		},
		OnEvent: func(e process.Event) { fmt.Fprintln(os.Stderr, e.Name, e.Err) },
	})
	if err != nil {
		return w, err
	}
	w.environment = w.sys.Environment()
	if w.token, err = w.sys.Token(issuer.Claims{Subject: "bench", Lifetime: 24 * time.Hour}); err != nil {
		return w, err
	}
	if err := w.readPorts(); err != nil {
		return w, err
	}
	if statements {
		if err := w.countStatements(ctx); err != nil {
			return w, err
		}
	}
	if err := w.trackCommits(ctx); err != nil {
		return w, err
	}
	if w.raw, err = startRawDapr(ctx, w); err != nil {
		return w, err
	}
	w.river, err = startRiver(ctx, w)
	return w, err
}

func (w *world) stop() error {
	var errs []error
	if w.river != nil {
		w.river.stop()
	}
	if w.raw != nil {
		errs = append(errs, w.raw.stop())
	}
	if w.db != nil {
		w.db.Close()
	}
	if w.sys != nil {
		errs = append(errs, w.sys.Stop(context.Background()))
	}
	return errors.Join(errs...)
}

// trackCommits has Postgres keep when each row was committed: that, and not when its
// transaction began, is when a notification is there.
func (w *world) trackCommits(ctx context.Context) error {
	c, err := pgx.Connect(ctx, w.environment["DATABASE_URL"])
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, `alter system set track_commit_timestamp = on`)
	if err = errors.Join(err, c.Close(ctx)); err != nil {
		return err
	}
	return w.restartPostgres(ctx)
}

func (w *world) restartPostgres(ctx context.Context) error {
	if err := w.sys.Process("postgres").Restart(ctx); err != nil {
		return err
	}
	if err := w.sys.Ready(ctx); err != nil {
		return err
	}
	// Connections that have been idle for a second are looked at before they are used,
	// so that those of before don't fail the first requests.
	time.Sleep(1500 * time.Millisecond)
	return w.reconnect(ctx)
}

func (w *world) reconnect(ctx context.Context) (err error) {
	w.db, err = pgxpool.New(ctx, w.environment["DATABASE_URL"])
	return err
}

// ports are where the system's parts listen. Functions are called there, as Dapr alone
// and River are called where they are: the gateway, which stands for a cluster's ingress,
// is not what is measured, and runs in the benchmark's own process.
type ports struct {
	Scheduler dapr.SchedulerPorts
	Functions map[string]int
}

func (w *world) readPorts() error {
	text, err := os.ReadFile(filepath.Join(w.dir, "system", "ports.json"))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &w.ports)
}

// url is a function's.
func (w *world) url(function string) string {
	return "http://" + process.Address(w.ports.Functions[function])
}

// clear removes all tasks, and the jobs of Duebell and of Dapr alone, so that one
// measurement does not weigh on the next.
func (w *world) clear(ctx context.Context) error {
	if err := w.raw.deleteAll(ctx); err != nil {
		return err
	}
	if err := w.quiet(ctx); err != nil {
		return err
	}
	_, err := w.db.Exec(ctx, everyTask)
	return err
}

// quiet waits until nothing is left to be sent and subscribers have heard it, so that
// what one contender has left behind is not the next one's load.
func (w *world) quiet(ctx context.Context) error {
	heard := -1
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
		var open, now int
		err := w.db.QueryRow(ctx, `select (select count(*) from deliveries where finished_at is null), (select count(*) from audit_events)`).Scan(&open, &now)
		switch {
		case err != nil:
			return err
		case open == 0 && now == heard:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d deliveries are still to be sent", open)
		}
		heard = now
	}
}

// everyTask removes all tasks and what hangs on them.
const everyTask = `truncate tasks, occurrences, reminders, deliveries, bundles, notifications, leftover_jobs, dead_letters, idempotency_keys`

// memory is how much memory a process holds, in MB.
func memory(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc does not say how much memory process %d holds", pid)
}

func (w *world) addRSS(f figures, figure, name string) error {
	mb, err := memory(w.sys.Process(name).PID())
	f.add(figure, mb)
	return err
}

// atRest measures what is there before there is any load.
func (w *world) atRest(ctx context.Context, f figures) error {
	if err := w.addRSS(f, "scheduler_rss_mb_idle", "scheduler"); err != nil {
		return err
	}
	for range w.Rounds + 3 {
		took, rss, err := w.coldStart(ctx, "create-task", func(url string) error {
			status, err := w.create(ctx, url, once(time.Now().Add(time.Hour)))
			if err == nil && status != "scheduled" {
				err = fmt.Errorf("a reminder is %s, not scheduled", status)
			}
			return err
		})
		if err != nil {
			return err
		}
		f.add("cold_start_ms", float64(took.Microseconds())/1000)
		f.add("rss_mb_create_task", rss)
		took, rss, err = w.coldStart(ctx, "trigger-reminder", func(url string) error { return w.wake(ctx, url) })
		if err != nil {
			return err
		}
		f.add("cold_start_trigger_reminder_ms", float64(took.Microseconds())/1000)
		f.add("rss_mb_trigger_reminder", rss)
	}
	return nil
}

// wake makes a callback for a reminder that is not there.
func (w *world) wake(ctx context.Context, url string) error {
	const nobodys = `{"task_id":"01a20dd0-b585-7d53-8b12-7a2c1c952027","user_id":"bench","reminder_id":"01a20dd0-b585-7d5c-a9c3-b669dfb18640","revision":1}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/job/reminder-01a20dd0-b585-7d5c-a9c3-b669dfb18640-1", strings.NewReader(nobodys))
	if err != nil {
		return err
	}
	req.Header.Set("dapr-api-token", w.environment["APP_API_TOKEN"])
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && !strings.Contains(string(answer), "not_found") {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}

// coldStart starts a function and returns how long its first answer took from there,
// with everything that it has to connect to, and how much memory it then holds.
func (w *world) coldStart(ctx context.Context, name string, ask func(url string) error) (took time.Duration, rss float64, err error) {
	ports, err := process.FreePorts(0)
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(w.functions, name))
	cmd.Env = []string{
		"HOST=127.0.0.1", fmt.Sprint("PORT=", ports[0]), "OIDC_ISSUER=" + w.sys.URL() + "/dev/issuer", "OIDC_AUDIENCE=duebell", "LOG_LEVEL=error",
		"SEND_URL=" + w.url("send"),
	}
	for _, name := range []string{"DATABASE_URL", "DAPR_GRPC_ENDPOINT", "DAPR_API_TOKEN", "APP_API_TOKEN"} {
		cmd.Env = append(cmd.Env, name+"="+w.environment[name])
	}
	cmd.Stderr = os.Stderr // says why it did not start
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for {
		err := ask("http://" + process.Address(ports[0]))
		if err == nil {
			took = time.Since(began)
			rss, err = memory(cmd.Process.Pid)
			return took, rss, err
		}
		if ctx.Err() != nil || time.Since(began) > 10*time.Second {
			return 0, 0, fmt.Errorf("%s does not answer: %w", name, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// interleaved calls each function once a round, each time in another order, so that what
// disturbs the machine for a while does not meet the same one always.
func (w *world) interleaved(ctx context.Context, measure ...func(context.Context) error) error {
	for range w.Rounds {
		for _, i := range rand.Perm(len(measure)) {
			if err := w.clear(ctx); err != nil {
				return err
			}
			if err := measure[i](ctx); err != nil {
				return err
			}
		}
	}
	return w.clear(ctx)
}
