package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/jobs"
)

// options are the settings of a run.
type options struct {
	reminders int
	seed      uint64
	span      time.Duration  // in which all reminders fall due, and parts break
	faults    *regexp.Regexp // the names of the faults
	noSweep   bool           // nobody invokes retry-dlq: reminders will be lost
	bin, dir  string         // the programs, and where data is kept
	say       func(string)   // called with the progress
}

// run is one run.
type run struct {
	options
	sys         *system.System
	client      *client
	databaseURL string
	db          *pgxpool.Pool
	dapr        *jobs.Dapr
	began       time.Time
	lives       []*life

	mu      sync.Mutex
	struck  []struck
	read    [][]notification // by users: what a client has that continues after the last one
	crashed []process.Event  // functions that died by themselves
	hogged  int              // how many reminders the hog has
	held    held
	wiped   time.Time // when the scheduler's data was last deleted
	quiet   quietHours
	agendas map[int]time.Time // when they are due, by users
}

func (run *run) say(format string, args ...any) {
	run.options.say(fmt.Sprintf("%6.1fs  ", time.Since(run.began).Seconds()) + fmt.Sprintf(format, args...))
}

// settling is how long everything may take to end after the last fault.
const settling = 4 * time.Minute

// chaos makes a run, and returns the result. An error means that the run could not be made.
func chaos(ctx context.Context, o options) (t tally, err error) {
	// The gateway logs that functions are away, which is expected.
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	run := &run{options: o, began: time.Now(), read: make([][]notification, users)}
	if err := run.start(ctx); err != nil {
		return t, err
	}
	defer func() {
		if stopErr := run.close(ctx); err != nil {
			err = errors.Join(err, stopErr)
		} else {
			t.trouble = errors.Join(t.trouble, stopErr)
		}
	}()
	run.began = time.Now()
	run.quiet = newQuietHours(run.began, o.span)
	for user := range users {
		if err := run.choose(ctx, user); err != nil {
			return t, err
		}
	}
	if err := run.planAgendas(ctx); err != nil {
		return t, err
	}
	scripts := write(o.seed, o.reminders, o.span)
	strikes := plan(o.seed, faults(run.sys, o), o.faults, o.span)
	run.say("%d tasks of %d users within %v, %d faults, seed %d", len(scripts), users, o.span, len(strikes), o.seed)
	loadCtx, cancel := context.WithTimeout(ctx, o.span+settling)
	defer cancel()
	var working, watching sync.WaitGroup
	watchCtx, stopWatching := context.WithCancel(ctx)
	for user := range users {
		watching.Go(func() { run.follow(watchCtx, user) })
	}
	watching.Go(func() { run.report(watchCtx) })
	jobless := map[jobless]bool{}
	watching.Go(func() { run.audit(watchCtx, jobless) })
	for i := 0; i < len(scripts); {
		n := 1 // the tasks of one import begin together
		for i+n < len(scripts) && scripts[i].batch != 0 && scripts[i+n].batch == scripts[i].batch {
			n++
		}
		var lives []*life
		for _, s := range scripts[i : i+n] {
			lives = append(lives, &life{script: s})
		}
		run.lives = append(run.lives, lives...)
		working.Go(func() { run.live(loadCtx, lives) })
		i += n
	}
	working.Go(func() { run.strike(loadCtx, strikes) })
	working.Wait()
	run.say("everything is healed; waiting until nothing is left to do")
	settleErr := run.settle(ctx)
	// Long enough for second copies to come.
	select {
	case <-time.After(lease + 5*time.Second):
	case <-ctx.Done():
	}
	stopWatching()
	watching.Wait()
	if ctx.Err() != nil {
		return t, context.Cause(ctx)
	}
	run.say("comparing")
	t, err = run.judge(ctx, jobless)
	t.trouble = settleErr
	return t, err
}

// waiting counts what is still to be done, in the database.
const waiting = `
	select (select count(*) from reminders where state = 'armed' and (fire_at < now() + interval '1 hour' or confirmed_revision is distinct from revision))
	     + (select count(*) from deliveries where state in ('planned', 'sending', 'unknown'))
	     + (select count(*) from agendas where state = 'armed' and fire_at < now() + interval '1 hour')
	     + (select count(*) from deliveries d where channel = 'event' and state = 'sent'
	        and (not exists (select from audit_events where event_id = d.id) or not exists (select from counted_events where event_id = d.id)))`

// settle waits until nothing is left to do.
func (run *run) settle(ctx context.Context) error {
	if err := run.sys.Ready(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(settling)
	for {
		left := -1
		if err := run.db.QueryRow(ctx, waiting).Scan(&left); err == nil && left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			run.say("%d things are still to be done", left)
			return nil // the comparison shows what is missing
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
