// Package system runs the whole of Duebell on this machine: Postgres, Dapr's
// scheduler and daprd, every function as a process of its own, and in this process
// the gateway, an issuer of tokens and a sandbox for providers. Everything listens
// on 127.0.0.1, but for one port that package dapr names.
//
//	client ── gateway ── functions ── Postgres
//	                         │  ▲
//	                         ▼  │
//	                        daprd ── scheduler
//	                         │
//	                         ▼
//	subscribers ◀── daprd ── broker
//
// A subscriber is a function that has a daprd of its own. The broker is in this process.
// All data is in one folder: stop the system, start it again, and it goes on.
package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/duebell/duebell/local/broker"
	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/local/ingress"
	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/link"
	"github.com/duebell/duebell/local/lock"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/web"
)

const (
	appID      = "duebell"
	firstDaprd = "daprd"
	scheduler  = "scheduler"
	audience   = "duebell"
	sender     = "Duebell <reminders@duebell.example>"

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
	// WebhookHosts are hosts with their ports that webhooks may go to, beside the sandbox,
	// although they are on this machine or in another private network.
	WebhookHosts []string
	// NoSchedules does not invoke the functions with a schedule, for tests of what happens without
	// them.
	NoSchedules bool
	// Ingress sends daprd's callbacks through an ingress to the function's instances in turn; see
	// System.Ingress. Without it they go to the function directly.
	Ingress bool
	// Links names the parts that are reached through links, which can be made slow; see System.Link.
	Links bool
	// Daprds is how many daprds serve the functions; 0 means one. Functions call the
	// first; Dapr calls back through any.
	Daprds int
	// DatabaseURL is the database to use; "" means one of its own.
	DatabaseURL string
	// Migrate brings the database up to date.
	Migrate func(ctx context.Context, databaseURL string) error
	// Report is called with the progress of the start, and OnEvent when something died by itself or
	// runs again. Both may be nil. Neither is called twice at a time, and neither may call the
	// system.
	Report  func(Step)
	OnEvent func(process.Event)
}

// Step is a part of the start.
type Step struct {
	// Name is the part. It is reported once when it begins, whenever there is something new, and
	// once when it is Done.
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
	broker  *broker.Broker
	gateway *gateway.Gateway
	ingress *ingress.Ingress      // nil without Options.Ingress
	links   map[string]*link.Link // nil without Options.Links
	servers []*web.Server
	mail    net.Listener   // the sandbox's
	served  sync.WaitGroup // until they have ended

	callbacks sync.Mutex // held while Report or OnEvent runs

	mu            sync.Mutex
	processes     map[string]*process.Process
	databaseURL   string
	environment   map[string]string
	stop          func() // lets go of what is not a process
	stopSchedules func() // ends what invokes functions by time; nil if nothing does
}

type secrets struct{ daprAPI, appAPI, unsubscribe, suppression, verify, link, webPush, webPushPublic string }

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
	// Others may enter the folder, but not list it: if this is root, Postgres has a user of its
	// own.
	if err := os.MkdirAll(s.options.Dir, 0o711); err != nil {
		return err
	}
	s.lock, err = lock.Try(s.path("lock"))
	if held, ok := errors.AsType[*lock.HeldError](err); ok {
		return fmt.Errorf("another Duebell runs in %s, as process %s: stop that first, or use another folder", s.options.Dir, held.Holder)
	}
	return err
}

func (s *System) path(elements ...string) string {
	return filepath.Join(append([]string{s.options.Dir}, elements...)...)
}

func (s *System) program(f Function) string {
	return filepath.Join(s.options.FunctionsDir, cmp.Or(f.Program, f.Name))
}

func (s *System) log(name string) string { return s.path("logs", name+".log") }

// URL returns the gateway's URL, without a slash at its end.
func (s *System) URL() string { return s.url }

// Issuer returns the issuer whose tokens the functions accept; Token makes those.
func (s *System) Issuer() *issuer.Issuer { return s.issuer }

// Sandbox returns the sandbox of the providers.
func (s *System) Sandbox() *sandbox.Sandbox { return s.sandbox }

// Ingress returns the ingress for daprd's callbacks; nil without Options.Ingress.
func (s *System) Ingress() *ingress.Ingress { return s.ingress }

// Link returns the link in front of a part: daprd, for the functions; the scheduler, for daprd; or
// a subscriber, for its own daprd. It is nil without Options.Links.
func (s *System) Link(part string) *link.Link { return s.links[part] }

// Process returns the process called postgres, scheduler, daprd (a second one is
// called daprd-2, a subscriber's own daprd-audit-log, say) or like a function: to kill,
// pause, stop or start it. It is nil if there is none of that name.
func (s *System) Process(name string) *process.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processes[name]
}

// Processes returns the names of all processes there are, in their order.
func (s *System) Processes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.processes))
}

// Ready waits until everything is ready again, after something was killed or
// started anew.
func (s *System) Ready(ctx context.Context) error {
	for _, p := range s.all() {
		if err := p.Ready(ctx); err != nil {
			return err
		}
	}
	for _, d := range s.daprds() {
		if err := s.appIsConnected(ctx, s.ports.Daprds[d.name]); err != nil {
			return err
		}
	}
	return nil
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

// Stop ends everything within ten seconds; what takes longer is killed. It stops the callbacks
// first, then the functions' requests, then the rest. It may be called more than once.
func (s *System) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	s.mu.Lock()
	stopSchedules := s.stopSchedules
	s.stopSchedules = nil
	s.mu.Unlock()
	if stopSchedules != nil {
		stopSchedules()
	}
	var names []string
	for _, d := range s.daprds() {
		names = append(names, d.name)
	}
	errs := []error{removeFile(s.path(environmentFile)), s.stopProcesses(ctx, names...)}
	names = []string{scheduler}
	for _, f := range s.functions {
		names = append(names, f.Name)
	}
	errs = append(errs, s.stopProcesses(ctx, names...))
	// Until now the functions needed the keys and the sandbox.
	shutdown, cancelShutdown := context.WithTimeout(ctx, time.Second)
	defer cancelShutdown()
	for _, server := range s.servers {
		_ = server.Shutdown(shutdown) // a client that still waits is cut off
	}
	if s.mail != nil {
		_ = s.mail.Close() // its clients have ended
	}
	s.served.Wait()
	for _, l := range s.links {
		l.Close()
	}
	if s.ingress != nil {
		s.ingress.Close()
	}
	if s.gateway != nil {
		s.gateway.Close()
	}
	if s.broker != nil {
		s.broker.Stop()
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
