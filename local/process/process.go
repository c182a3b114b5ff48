// Package process runs one child process and looks after it: it waits until
// the child is ready, starts it again when it dies, and makes sure that
// neither it nor a child of its own stays behind.
//
// Every child leads a process group of its own. So a Ctrl-C on the terminal
// reaches only this program, which then stops its children in its own
// order. On Linux the kernel ends the children whenever this program dies;
// elsewhere children go on running if this program is killed by SIGKILL.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	firstRestart  = 100 * time.Millisecond
	slowestPause  = 5 * time.Second
	steadyAfter   = 10 * time.Second // a child that ran this long starts again without delay
	readyInterval = 25 * time.Millisecond
	tailLines     = 10

	defaultLogLimit = 8 << 20
	rotateInterval  = time.Second
)

// Spec says what to run and how to treat it.
type Spec struct {
	// Name is what events and errors call the child.
	Name string
	// Path is the program; it is not searched for.
	Path string
	Args []string
	// Env is the child's whole environment: nothing is inherited.
	Env []string
	// Dir is the child's working directory; "" means this program's, or the
	// root if User has AnyFile.
	Dir string
	// User, if set, is whom the child runs as. Only root may ask for it.
	User *User
	// LogFile takes the child's standard output and standard error. The log of
	// an earlier Process is kept as LogFile.old. "" throws the output away.
	LogFile string
	// LogLimit is the size in bytes at which LogFile is copied to LogFile.old and emptied; 0 means
	// 8 MB. Output of that very moment may be lost.
	LogLimit int64
	// StopSignal asks the child to end; 0 means SIGTERM.
	StopSignal syscall.Signal
	// StopTimeout is how long it may take to end before it is killed; 0 means
	// five seconds.
	StopTimeout time.Duration
	// OrphanSignal is what the child gets if this program dies first; 0 means
	// SIGKILL. It has an effect on Linux only.
	OrphanSignal syscall.Signal
	// Ready is called again and again until it returns nil: then the child is
	// ready. Without it a child is ready once it runs.
	Ready func(context.Context) error
	// Restart asks for a new child whenever one dies unasked, except one that
	// dies before it was ever ready: starting that again would not help.
	Restart bool
}

// User is an account of this machine.
type User struct {
	UID, GID uint32
	// AnyFile lets the child read, write and traverse whatever it is pointed
	// at, whoever owns it (Linux's CAP_DAC_OVERRIDE).
	AnyFile bool
}

// Apply makes cmd, whose Path, Args and Dir are set, run as u. A nil u is this
// program's own user.
func (u *User) Apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if u == nil {
		return
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID}
	if u.AnyFile {
		// The capability holds only once a program runs: a shell, which then
		// enters the directory and becomes the program.
		setAnyFile(cmd.SysProcAttr)
		cmd.Args = append([]string{"sh", "-c", `cd "$0" && exec "$@"`, cmp.Or(cmd.Dir, "/"), cmd.Path}, cmd.Args[1:]...)
		cmd.Path, cmd.Dir = "/bin/sh", "/"
	}
}

// Event tells that a child died without having been stopped, or that it runs again.
type Event struct {
	// Name is the child's name, PID the child that died or that runs now.
	Name string
	PID  int
	// Err says how the child died; it is nil when the child runs again.
	Err error
	// LastLines are the last lines the dead child wrote.
	LastLines []string
	// RestartIn is when the next try follows, if WillRestart.
	RestartIn   time.Duration
	WillRestart bool
}

// String returns the event as a sentence, with the last lines below it.
func (e Event) String() string {
	if e.Err == nil {
		return fmt.Sprintf("%s runs again (pid %d)", e.Name, e.PID)
	}
	s := fmt.Sprintf("%s (pid %d) died: %v", e.Name, e.PID, e.Err)
	if e.WillRestart {
		s += fmt.Sprintf("; starting it again in %v", e.RestartIn.Round(time.Millisecond))
	}
	return s + indent(e.LastLines)
}

func indent(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "\n    " + strings.Join(lines, "\n    ")
}

// Process is a child that is looked after. Its methods may be called from any
// goroutine.
type Process struct {
	spec    Spec
	onEvent func(Event)

	control sync.Mutex // held by Start and Stop: one at a time

	mu    sync.Mutex // guards the rest, and signalling: never a pid that is reaped
	run   *run       // the current or last supervision
	child *child     // the running child, or nil
}

// run is one supervision: from Start to Stop, or to a death without restart.
type run struct {
	stop   chan struct{} // closed by Stop
	done   chan struct{} // closed when no child is left and none will follow
	change chan struct{} // closed and replaced whenever ready or failed change
	ready  bool
	steady bool  // has been ready once
	failed error // why the run ended by itself
}

type child struct {
	pid     int
	exited  chan struct{}
	logFrom atomic.Int64 // where its output starts in the log
}

// Start runs the child and returns as soon as it runs; see Ready. onEvent may be
// nil; it is called from one goroutine at a time and must not call Stop.
func Start(spec Spec, onEvent func(Event)) (*Process, error) {
	if onEvent == nil {
		onEvent = func(Event) {}
	}
	if spec.StopSignal == 0 {
		spec.StopSignal = syscall.SIGTERM
	}
	if spec.StopTimeout == 0 {
		spec.StopTimeout = 5 * time.Second
	}
	if spec.LogLimit == 0 {
		spec.LogLimit = defaultLogLimit
	}
	if spec.OrphanSignal == 0 {
		spec.OrphanSignal = syscall.SIGKILL
	}
	if spec.LogFile != "" {
		if err := os.Rename(spec.LogFile, spec.LogFile+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", spec.Name, err)
		}
	}
	p := &Process{spec: spec, onEvent: onEvent}
	return p, p.Start()
}

// Start runs the child again after it was stopped, or has died and was not restarted. It does
// nothing while the child runs or is being restarted.
func (p *Process) Start() error {
	p.control.Lock()
	defer p.control.Unlock()
	if p.run != nil {
		select {
		case <-p.run.done:
		default:
			return nil
		}
	}
	r := &run{stop: make(chan struct{}), done: make(chan struct{}), change: make(chan struct{})}
	p.mu.Lock()
	p.run = r
	p.mu.Unlock()
	started := make(chan error, 1)
	go p.supervise(r, started)
	return <-started
}

// supervise runs the child, and the next one whenever it has to be restarted. It stays on one
// thread, because Linux sends the orphan signal when the thread that forked the child ends.
func (p *Process) supervise(r *run, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(r.done)
	pause := &backoff.ExponentialBackOff{
		InitialInterval: firstRestart, MaxInterval: slowestPause, Multiplier: 2, RandomizationFactor: 0.1,
	}
	pause.Reset()
	for first := true; ; first = false {
		since := time.Now()
		c, cmd, err := p.spawn(r)
		if first {
			started <- err
			if err != nil {
				p.update(r, func() { r.failed = err })
				return
			}
		} else if err == nil {
			p.onEvent(Event{Name: p.spec.Name, PID: c.pid})
		}
		pid := 0
		var lines []string
		if err == nil {
			pid = c.pid
			err = p.await(r, c, cmd)
			lines = Tail(p.spec.LogFile, c.logFrom.Load(), tailLines)
		}
		if time.Since(since) > steadyAfter {
			pause.Reset()
		}
		select {
		case <-r.stop:
			return
		default:
		}
		if err == nil {
			err = errors.New("it ended by itself, with status 0")
		}
		event := Event{Name: p.spec.Name, PID: pid, Err: err, LastLines: lines}
		if !p.spec.Restart || !r.steady {
			p.update(r, func() { r.failed = p.failure(err, lines) })
			p.onEvent(event)
			return
		}
		event.WillRestart, event.RestartIn = true, pause.NextBackOff()
		p.onEvent(event)
		timer := time.NewTimer(event.RestartIn)
		select {
		case <-r.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (p *Process) failure(err error, lines []string) error {
	where := ""
	if p.spec.LogFile != "" {
		where = "; its log is " + p.spec.LogFile
	}
	return fmt.Errorf("%s died: %w%s%s", p.spec.Name, err, where, indent(lines))
}

var errStopped = errors.New("stopped")

// spawn starts a child and makes it the one that signals go to.
func (p *Process) spawn(r *run) (*child, *exec.Cmd, error) {
	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Env = append([]string{}, p.spec.Env...)
	cmd.Dir = p.spec.Dir
	p.spec.User.Apply(cmd)
	cmd.SysProcAttr.Setpgid = true
	setOrphanSignal(cmd.SysProcAttr, p.spec.OrphanSignal)
	c := &child{exited: make(chan struct{})}
	if p.spec.LogFile != "" {
		// The child writes to the file itself, so its output is there even if this program dies.
		log, err := os.OpenFile(p.spec.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.spec.Name, err)
		}
		defer log.Close()
		if info, err := log.Stat(); err == nil {
			c.logFrom.Store(info.Size())
		}
		cmd.Stdout, cmd.Stderr = log, log
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-r.stop: // Stop's signal came too early for this child
		return nil, nil, errStopped
	default:
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	c.pid = cmd.Process.Pid
	p.child = c
	return c, cmd, nil
}

// await watches the child until it has died, and returns how it did.
func (p *Process) await(r *run, c *child, cmd *exec.Cmd) error {
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		for p.spec.Ready != nil && p.spec.Ready(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(readyInterval):
			}
		}
		if ctx.Err() == nil {
			p.update(r, func() { r.ready, r.steady = true, true })
		}
	})
	watch.Go(func() { p.rotate(ctx, c) })
	err := reap(cmd, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = syscall.Kill(-c.pid, syscall.SIGKILL) // ends what it may have left of its group
		p.child = nil
	})
	cancel()
	watch.Wait()
	p.update(r, func() { r.ready = false })
	close(c.exited)
	return err
}

// rotate keeps the log short while the child runs.
func (p *Process) rotate(ctx context.Context, c *child) {
	if p.spec.LogFile == "" {
		return
	}
	ticker := time.NewTicker(rotateInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if info, err := os.Stat(p.spec.LogFile); err != nil || info.Size() < p.spec.LogLimit {
			continue
		}
		if empty(p.spec.LogFile) == nil {
			c.logFrom.Store(0)
		}
	}
}

func (p *Process) update(r *run, change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(r.change)
	r.change = make(chan struct{})
}

// Ready waits until the child is ready. It fails when ctx ends, when the child
// is stopped, or when it died and is not started again; the error then holds
// the child's last lines and the path of its log.
func (p *Process) Ready(ctx context.Context) error {
	for {
		p.mu.Lock()
		r := p.run
		ready, failed, change := r.ready, r.failed, r.change
		p.mu.Unlock()
		switch {
		case ready:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-change:
		case <-r.stop:
			return fmt.Errorf("%s was stopped", p.spec.Name)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w%s", p.spec.Name, context.Cause(ctx), indent(Tail(p.spec.LogFile, 0, tailLines)))
		}
	}
}

// Name returns the child's name.
func (p *Process) Name() string { return p.spec.Name }

// PID returns the running child's process id, or 0 if none runs.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil {
		return 0
	}
	return p.child.pid
}

// Stop asks the child to end and waits until it has. If it takes longer than
// its StopTimeout, or ctx ends, it is killed, which is an error. Stopping a
// child that does not run does nothing.
func (p *Process) Stop(ctx context.Context) error {
	p.control.Lock()
	defer p.control.Unlock()
	r := p.run
	select {
	case <-r.done:
		return nil
	default:
	}
	close(r.stop)
	p.signal(p.spec.StopSignal)
	p.signal(syscall.SIGCONT) // it may be paused
	timer := time.NewTimer(p.spec.StopTimeout)
	defer timer.Stop()
	select {
	case <-r.done:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	p.signalGroup(syscall.SIGKILL)
	<-r.done
	return fmt.Errorf("%s did not end when asked and was killed", p.spec.Name)
}

// Restart stops the child and starts it again.
func (p *Process) Restart(ctx context.Context) error {
	return errors.Join(p.Stop(ctx), p.Start())
}

// Kill kills the child and all of its group, as a crash would, and returns when
// it is gone. If the Spec says Restart, another one follows.
func (p *Process) Kill() {
	p.mu.Lock()
	c := p.child
	p.mu.Unlock()
	if c == nil {
		return
	}
	p.signalGroup(syscall.SIGKILL)
	<-c.exited
}

// Pause stops the child's group from running, as a machine that hangs would,
// until Continue.
func (p *Process) Pause() { p.signalGroup(syscall.SIGSTOP) }

// Continue lets a paused child run again.
func (p *Process) Continue() { p.signalGroup(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil {
		_ = syscall.Kill(p.child.pid, s)
	}
}

func (p *Process) signalGroup(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil {
		_ = syscall.Kill(-p.child.pid, s)
	}
}
