// Package system runs the whole of Duebell on this machine: Postgres, Dapr's
// scheduler and daprd, every function as a process of its own, and in this process
// the gateway, an issuer of tokens and a sandbox for providers. Everything listens
// on 127.0.0.1, but for one port that package dapr names.
//
//	client ── gateway ── functions ── Postgres
//	                         │  ▲
//	                         ▼  │
//	                        daprd ── scheduler
//
// All data is in one folder: stop the system, start it again, and it goes on.
package system

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/file"
	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/lock"
	"github.com/duebell/duebell/local/postgres"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/sandbox"
)

const (
	appID    = "duebell"
	audience = "duebell"
	sender   = "Duebell <reminders@duebell.example>"

	// readyTimeout is for each process; none needs more than some seconds.
	readyTimeout = time.Minute
	stopTimeout  = 9 * time.Second
	// drainTimeout is how long a function may take to end its requests.
	drainTimeout = 3 * time.Second
)

// Options says what to run, and where.
type Options struct {
	// Dir holds all data, and is made if need be. One system can use it at a time.
	Dir string
	// Port is the gateway's; 0 means the one it had last time, or any.
	Port int
	// FunctionsDir holds the functions' programs.
	FunctionsDir string
	// Functions are the functions to run; nil means the package's Functions.
	Functions []Function
	// Env is added to the environment of every function.
	Env []string
	// DatabaseURL is the database to use; "" means one of its own.
	DatabaseURL string
	// Migrate brings the database up to date.
	Migrate func(ctx context.Context, databaseURL string) error
	// Runtime says where to find Dapr; its Report is not used.
	Runtime dapr.FindOptions
	// Report hears how the start gets on, and OnEvent when something died unasked
	// and runs again. Both may be nil. Neither is called twice at a time, and
	// neither may call the system.
	Report  func(Step)
	OnEvent func(process.Event)
}

// Step is a part of the start.
type Step struct {
	// Name says which part; it comes once when it begins, as often as there is
	// something new to say, and once when it is Done.
	Name string
	// Text says what is being done, or what came of it.
	Text string
	Done bool
	// Took is how long it took, once it is Done.
	Took time.Duration
}

// System is a Duebell that runs. It is safe for concurrent use.
type System struct {
	options   Options
	functions []Function
	lock      *lock.File
	ports     ports
	url       string
	secrets   secrets

	issuer  *issuer.Issuer
	sandbox *sandbox.Sandbox
	gateway *gateway.Gateway
	server  *http.Server
	served  chan struct{} // closed when server has ended

	callbacks sync.Mutex // held while Report or OnEvent runs

	mu          sync.Mutex
	processes   map[string]*process.Process
	databaseURL string
	environment map[string]string
	stop        func() // lets go of what is not a process
}

type secrets struct{ daprAPI, appAPI, sendGrid string }

// Start starts everything and returns when all of it is ready. If something fails,
// or ctx ends, it stops what it has started; the error says what failed, with the
// last lines of its log.
func Start(ctx context.Context, o Options) (*System, error) {
	s := &System{options: o, functions: o.Functions, processes: map[string]*process.Process{}}
	if s.functions == nil {
		s.functions = Functions
	}
	if err := s.claim(); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil { // whatever that broke
			err = fmt.Errorf("the start was stopped: %w", context.Cause(ctx))
		}
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// claim takes the folder.
func (s *System) claim() (err error) {
	for _, dir := range []*string{&s.options.Dir, &s.options.FunctionsDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	// Others may pass through, to what is theirs: Postgres has a user of its own
	// if this is root.
	if err := os.MkdirAll(s.options.Dir, 0o711); err != nil {
		return err
	}
	s.lock, err = lock.Try(s.path("lock"))
	if held, ok := errors.AsType[*lock.HeldError](err); ok {
		return fmt.Errorf("Duebell runs in %s already, as process %s: stop that first, or use another folder", s.options.Dir, held.Holder)
	}
	return err
}

func (s *System) path(elements ...string) string {
	return filepath.Join(append([]string{s.options.Dir}, elements...)...)
}

func (s *System) program(f Function) string { return filepath.Join(s.options.FunctionsDir, f.Name) }

func (s *System) log(name string) string { return s.path("logs", name+".log") }

func (s *System) start(ctx context.Context) (err error) {
	for _, dir := range []string{"logs", "secrets"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := removeFile(s.path(environmentFile)); err != nil { // of one that was killed
		return err
	}
	for _, f := range s.functions {
		if _, err := os.Stat(s.program(f)); err != nil {
			return fmt.Errorf("the function %s is not built: %w", f.Name, err)
		}
	}
	for name, secret := range map[string]*string{
		"dapr-api-token": &s.secrets.daprAPI, "app-api-token": &s.secrets.appAPI, "sendgrid-api-key": &s.secrets.sendGrid,
	} {
		kept, err := file.Keep(s.path("secrets", name), func() ([]byte, error) { return []byte(rand.Text()), nil })
		if err != nil {
			return err
		}
		*secret = string(kept)
	}
	if s.ports, err = choosePorts(s.path("ports.json"), s.functions, s.options.Port); err != nil {
		return err
	}
	if err := s.serve(); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.startDatabaseAndFunctions(groupCtx) })
	group.Go(func() error { return s.startDapr(groupCtx) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.ports.save(s.path("ports.json")); err != nil {
		return err
	}
	return s.writeEnvironment()
}

// serve starts what runs in this process.
func (s *System) serve() (err error) {
	s.url = "http://" + process.Address(s.ports.Gateway)
	if s.issuer, err = issuer.New(s.url+"/dev/issuer", s.path("secrets", "issuer-key")); err != nil {
		return err
	}
	s.sandbox = sandbox.New(s.secrets.sendGrid)
	own := http.NewServeMux()
	own.Handle("/dev/issuer/", s.issuer.Handler())
	own.Handle("/", s.sandbox.Handler())
	s.gateway = gateway.New(s.ports.backends(), own)

	listener, err := net.Listen("tcp4", process.Address(s.ports.Gateway))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d of this machine is taken: choose another one, for instance PORT=%d make run", s.ports.Gateway, s.ports.Gateway+1)
	}
	if err != nil {
		return err
	}
	s.server = &http.Server{Handler: s.gateway, ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // ends when it is closed
	}()
	return nil
}

func (s *System) startDatabaseAndFunctions(ctx context.Context) error {
	databaseURL := s.options.DatabaseURL
	if databaseURL == "" {
		err := s.step(ctx, "postgres", "starting", func(ctx context.Context, say func(string)) (string, error) {
			server, err := postgres.Start(ctx, postgres.Options{
				Dir: s.path("postgres"), Port: s.ports.Postgres, LogFile: s.log("postgres"), OnEvent: s.event, Report: say,
			})
			if err != nil {
				return "", err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.processes["postgres"] = server.Process
			s.stop = func() { _ = server.Stop(context.Background()) } // it has stopped, and lets go of its folder
			databaseURL = server.URL()
			return process.Address(server.Port()), nil
		})
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.databaseURL = databaseURL
	s.mu.Unlock()
	err := s.step(ctx, "migrations", "bringing the database up to date", func(ctx context.Context, _ func(string)) (string, error) {
		if err := s.options.Migrate(ctx, databaseURL); err != nil {
			return "", fmt.Errorf("bringing the database up to date: %w", err)
		}
		return "the database is up to date", nil
	})
	if err != nil {
		return err
	}
	variables := s.variables()
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range s.functions {
		group.Go(func() error {
			return s.step(ctx, f.Name, "starting", func(ctx context.Context, _ func(string)) (string, error) {
				return process.Address(s.ports.Functions[f.Name]), s.startFunction(ctx, f, variables)
			})
		})
	}
	return group.Wait()
}

// variables returns all that functions may need to know.
func (s *System) variables() map[string]string {
	return map[string]string{
		"DATABASE_URL":       s.databaseURL,
		"DAPR_GRPC_ENDPOINT": process.Address(s.ports.Daprd.GRPC),
		"DAPR_API_TOKEN":     s.secrets.daprAPI,
		"APP_API_TOKEN":      s.secrets.appAPI,
		"OIDC_ISSUER":        s.issuer.URL(),
		"OIDC_AUDIENCE":      audience,
		"SENDGRID_API_KEY":   s.secrets.sendGrid,
		"SENDGRID_URL":       s.url + sandbox.SendGridPath,
		"EMAIL_FROM":         sender,
	}
}

func (s *System) startFunction(ctx context.Context, f Function, variables map[string]string) error {
	port := s.ports.Functions[f.Name]
	host, _, _ := strings.Cut(process.Address(port), ":")
	environment := []string{"HOST=" + host, fmt.Sprintf("PORT=%d", port), "SHUTDOWN_GRACE=" + drainTimeout.String()}
	for _, name := range f.Variables {
		environment = append(environment, name+"="+variables[name])
	}
	return s.run(ctx, f.Name, func() (*process.Process, error) {
		return process.Start(process.Spec{
			Name: f.Name, Path: s.program(f), Env: append(environment, s.options.Env...), Dir: s.options.Dir,
			LogFile: s.log(f.Name), StopTimeout: drainTimeout + time.Second,
			Ready: process.Answers("http://"+process.Address(port)+"/readyz", http.StatusOK), Restart: true,
		}, s.event)
	})
}

func (s *System) startDapr(ctx context.Context) error {
	var runtime dapr.Runtime
	err := s.step(ctx, "dapr", "looking for the runtime", func(ctx context.Context, say func(string)) (_ string, err error) {
		find := s.options.Runtime
		find.Report = say
		runtime, err = dapr.Find(ctx, find)
		return dapr.Version + " in " + filepath.Dir(runtime.Daprd), err
	})
	if err != nil {
		return err
	}
	err = s.step(ctx, "scheduler", "starting", func(ctx context.Context, _ func(string)) (string, error) {
		return process.Address(s.ports.Scheduler.API), s.run(ctx, "scheduler", func() (*process.Process, error) {
			return dapr.StartScheduler(dapr.SchedulerOptions{
				Runtime: runtime, Dir: s.path("scheduler"), Ports: s.ports.Scheduler, LogFile: s.log("scheduler"), OnEvent: s.event,
			})
		})
	})
	if err != nil {
		return err
	}
	return s.step(ctx, "daprd", "starting", func(ctx context.Context, say func(string)) (string, error) {
		err := s.run(ctx, "daprd", func() (*process.Process, error) {
			return dapr.StartDaprd(dapr.DaprdOptions{
				Runtime: runtime, Dir: s.path("daprd"), AppID: appID, AppPort: s.ports.Functions[trigger], Ports: s.ports.Daprd,
				APIToken: s.secrets.daprAPI, AppToken: s.secrets.appAPI, SchedulerPort: s.ports.Scheduler.API,
				LogFile: s.log("daprd"), OnEvent: s.event,
			})
		})
		if err != nil {
			return "", err
		}
		say("waiting for " + trigger)
		return process.Address(s.ports.Daprd.GRPC), s.appIsConnected(ctx)
	})
}

// run starts a process, keeps it, and waits until it is ready.
func (s *System) run(ctx context.Context, name string, start func() (*process.Process, error)) error {
	p, err := start()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.processes[name] = p
	s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not after %v; its log is %s", readyTimeout, s.log(name)))
	defer cancel()
	return p.Ready(ctx)
}

func (s *System) appIsConnected(ctx context.Context) error {
	for {
		err := s.ports.Daprd.AppIsConnected(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("daprd has not found its app: %w: %w", err, context.Cause(ctx))
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// step reports a part of the start. do is given a function to say more while it is
// under way, and returns what came of it.
func (s *System) step(ctx context.Context, name, doing string, do func(context.Context, func(string)) (string, error)) error {
	started := time.Now()
	say := func(text string) { s.report(Step{Name: name, Text: text}) }
	say(doing)
	text, err := do(ctx, say)
	if err == nil {
		s.report(Step{Name: name, Text: text, Done: true, Took: time.Since(started)})
	}
	return err
}

func (s *System) report(step Step) {
	if s.options.Report != nil {
		s.callbacks.Lock()
		defer s.callbacks.Unlock()
		s.options.Report(step)
	}
}

func (s *System) event(e process.Event) {
	if s.options.OnEvent != nil {
		s.callbacks.Lock()
		defer s.callbacks.Unlock()
		s.options.OnEvent(e)
	}
}

// URL returns the gateway's URL, without a slash at its end.
func (s *System) URL() string { return s.url }

// Issuer returns the issuer whose tokens the functions accept; Token makes those.
func (s *System) Issuer() *issuer.Issuer { return s.issuer }

// Sandbox returns what stands in for the providers.
func (s *System) Sandbox() *sandbox.Sandbox { return s.sandbox }

// Process returns the process called postgres, scheduler, daprd or like a function:
// to kill, pause, stop or start it. It is nil if there is none of that name.
func (s *System) Process(name string) *process.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processes[name]
}

// Ready waits until everything is ready again, after something was killed or
// started anew.
func (s *System) Ready(ctx context.Context) error {
	for _, p := range s.all() {
		if err := p.Ready(ctx); err != nil {
			return err
		}
	}
	return s.appIsConnected(ctx)
}

func (s *System) all() []*process.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*process.Process
	for _, p := range s.processes {
		all = append(all, p)
	}
	return all
}

// Stop ends everything, within ten seconds: what takes longer is killed. First come
// no more callbacks, then the functions end their requests, then the rest goes. It
// may be called more than once.
func (s *System) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	errs := []error{removeFile(s.path(environmentFile)), s.stopProcesses(ctx, "daprd")}
	names := []string{"scheduler"}
	for _, f := range s.functions {
		names = append(names, f.Name)
	}
	errs = append(errs, s.stopProcesses(ctx, names...))
	if s.server != nil {
		// Until here it served the functions themselves: keys, and the sandbox.
		shutdown, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if s.server.Shutdown(shutdown) != nil {
			_ = s.server.Close() // whoever still waits is cut off
		}
		<-s.served
	}
	if s.gateway != nil {
		s.gateway.Close()
	}
	errs = append(errs, s.stopProcesses(ctx, "postgres"))
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	_ = s.lock.Release() // it may be released already
	return errors.Join(errs...)
}

// stopProcesses stops those that there are, at the same time.
func (s *System) stopProcesses(ctx context.Context, names ...string) error {
	errs := make([]error, len(names))
	var stopping sync.WaitGroup
	for i, name := range names {
		if p := s.Process(name); p != nil {
			stopping.Go(func() { errs[i] = p.Stop(ctx) })
		}
	}
	stopping.Wait()
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
