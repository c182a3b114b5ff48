package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/ingress"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/system"
)

// The system's leases are short, so that many end during a run. They are longer than Postgres takes
// to come back, since a sender waits for it to record a send.
const (
	sendTimeout = 2 * time.Second
	lease       = 12 * time.Second
	// paused is how long a process is stopped. It is longer than a lease.
	paused = 14 * time.Second
)

// senders are the processes that send external messages.
var senders = []string{"send", "send-2"}

// fault is something that can go wrong.
type fault struct {
	name string
	// part is what the fault breaks. Two faults do not break the same part at the same time, and no
	// other one breaks what is in also.
	part, also string
	lasts      time.Duration
	// gentle says that the fault only makes a part slow. Others should notice little.
	gentle bool
	// strike begins the fault, and returns a function that ends it.
	strike func(context.Context, *run) (heal func(), err error)
}

// faults returns all faults.
func faults(sys *system.System, o options) (all []fault) {
	for _, name := range sys.Processes() {
		all = append(all, fault{name: "kill " + name, part: name, strike: func(ctx context.Context, run *run) (func(), error) {
			p := run.sys.Process(name)
			// Once it was ready, it is restarted by itself.
			err := ready(ctx, p)
			p.Kill()
			return func() { _ = ready(ctx, p) }, err
		}})
		if name == "postgres" {
			continue
		}
		all = append(all, fault{name: "pause " + name, part: name, lasts: paused, strike: func(_ context.Context, run *run) (func(), error) {
			p := run.sys.Process(name)
			p.Pause()
			return p.Continue, nil
		}})
	}
	if !o.noSweep {
		all = append(all, invocations("retry-dlq", 3))
	}
	all = append(all,
		invocations("nightly-cleanup", 2),
		fault{name: "wipe the scheduler's data", part: "scheduler", lasts: time.Second, strike: wipe},
		fault{name: "take Postgres's connections", part: "postgres", lasts: 4 * time.Second, strike: takeConnections},
		fault{name: "one of two daprds leaves", part: "daprd-2", lasts: 8 * time.Second, strike: func(ctx context.Context, run *run) (func(), error) {
			p := run.sys.Process("daprd-2")
			return func() { _ = p.Start() }, p.Stop(ctx)
		}},
		fault{name: "the broker is away", part: "broker", lasts: 8 * time.Second, strike: func(_ context.Context, run *run) (func(), error) {
			run.sys.Broker().Stop()
			return func() { _ = run.sys.Broker().Start() }, nil
		}},
		provider("answers 500", 6*time.Second, sandbox.Fault{Status: 500}),
		provider("answers 429", 6*time.Second, sandbox.Fault{Status: 429, RetryAfter: 2 * time.Second}),
		providersDo("one of several providers answers 503", 8*time.Second, sandbox.Fault{Status: 503}, sandbox.SendGrid, sandbox.Twilio),
		provider("accepts and cuts the connection", 3*time.Second, sandbox.Fault{Cut: sandbox.CutAfter}),
		fault{name: "daprd stutters and dies", part: "daprd", lasts: 12 * time.Second, strike: stutter},
		callbacks("come again", ingress.Fault{Again: time.Second}),
		callbacks("come late", ingress.Fault{Delay: 3 * time.Second}),
		callbacks("come to all instances at once", ingress.Fault{Everywhere: true}),
		slowly(callbacks("come to all instances at once, and again", ingress.Fault{Everywhere: true, Again: 300 * time.Millisecond})),
		callbacks("lose their answers", ingress.Fault{Cut: true}),
		callbacks("are answered 404", ingress.Fault{Status: 404}),
		callbacks("are answered 500", ingress.Fault{Status: 500}),
	)
	return append(append(all, slowParts()...), hogFault(o))
}

// slowly makes the provider slow during a fault, so that sends are in flight then.
func slowly(f fault) fault {
	alone, provider := f.strike, provider("is slow", 0, sandbox.Fault{Delay: sendTimeout / 2})
	f.name, f.also = f.name+", while "+provider.name, provider.part
	f.strike = func(ctx context.Context, run *run) (func(), error) {
		healProvider, _ := provider.strike(ctx, run)
		heal, err := alone(ctx, run)
		return func() { heal(); healProvider() }, err
	}
	return f
}

func ready(ctx context.Context, p *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return p.Ready(ctx)
}

// invocations is not a fault: it invokes a function several times at once.
func invocations(name string, times int) fault {
	return fault{name: fmt.Sprintf("%s invoked %d times at once", name, times), strike: func(ctx context.Context, run *run) (func(), error) {
		for range times {
			go func() { _ = run.sys.Invoke(ctx, name) }() // it may be away
		}
		return nil, nil
	}}
}

// provider is a fault of all providers at once.
func provider(does string, lasts time.Duration, f sandbox.Fault) fault {
	return providersDo("every provider "+does, lasts, f, slices.Collect(maps.Keys(channelOf))...)
}

func providersDo(name string, lasts time.Duration, f sandbox.Fault, providers ...string) fault {
	return fault{name: name, part: "provider", lasts: lasts, strike: func(_ context.Context, run *run) (func(), error) {
		for _, name := range providers {
			own := f
			own.Provider = name
			if name == sandbox.SMTP && f.Status != 0 {
				own.Status = 451 // its status for "not now"
			}
			run.sys.Sandbox().Fail(own)
		}
		return func() { run.sys.Sandbox().Heal(providers...) }, nil
	}}
}

func callbacks(do string, f ingress.Fault) fault {
	return fault{name: "callbacks " + do, part: "ingress", lasts: 6 * time.Second, strike: func(_ context.Context, run *run) (func(), error) {
		run.sys.Ingress().Fail(f)
		return run.sys.Ingress().Heal, nil
	}}
}

// stutter makes daprd so slow that some callers give up and others do not. Then daprd is killed,
// together with the calls that it has not handled.
func stutter(_ context.Context, run *run) (heal func(), err error) {
	p := run.sys.Process("daprd")
	stop := make(chan struct{})
	var stuttering sync.WaitGroup
	stuttering.Go(func() {
		defer p.Kill()
		for {
			p.Pause()
			select {
			case <-time.After(1600 * time.Millisecond):
			case <-stop:
				return
			}
			p.Continue()
			time.Sleep(150 * time.Millisecond)
		}
	})
	return func() { close(stop); stuttering.Wait() }, nil
}

// wipe deletes the scheduler's data.
func wipe(ctx context.Context, run *run) (heal func(), err error) {
	p := run.sys.Process("scheduler")
	_ = p.Stop(ctx) // or it was killed
	run.mu.Lock()
	run.wiped = time.Now()
	run.mu.Unlock()
	heal = func() { _ = p.Start() }
	dir := filepath.Join(run.dir, "scheduler")
	if err := os.RemoveAll(dir); err != nil {
		return heal, err
	}
	return heal, os.Mkdir(dir, 0o700)
}

// takeConnections ends others' connections and takes all that Postgres allows.
func takeConnections(ctx context.Context, run *run) (heal func(), err error) {
	var mu sync.Mutex
	var taken []*pgx.Conn
	ctx, cancel := context.WithCancel(ctx)
	var taking sync.WaitGroup
	for range 8 {
		taking.Go(func() {
			for ctx.Err() == nil {
				c, err := pgx.Connect(ctx, run.databaseURL)
				if err != nil {
					time.Sleep(150 * time.Millisecond) // none is left for others
					continue
				}
				_, _ = c.Exec(ctx, `
					select pg_terminate_backend(pid) from pg_stat_activity
					where application_name = 'duebell' and state = 'idle' and random() < 0.2`)
				mu.Lock()
				taken = append(taken, c)
				mu.Unlock()
			}
		})
	}
	return func() {
		cancel()
		taking.Wait()
		for _, c := range taken {
			_ = c.Close(context.Background())
		}
	}, nil
}
