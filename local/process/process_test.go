package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/process"
)

// parentVariable makes the test binary play a program that starts a child and hangs.
const parentVariable = "PROCESS_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) != "" {
		playParent()
	}
	goleak.VerifyTestMain(m)
}

func playParent() {
	p, err := process.Start(shell("hang", "exec sleep 1000"), nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	select {}
}

func shell(name, script string) process.Spec {
	return process.Spec{
		Name: name, Path: "/bin/sh", Args: []string{"-c", script},
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
	}
}

func start(t *testing.T, spec process.Spec, onEvent func(process.Event)) *process.Process {
	t.Helper()
	p, err := process.Start(spec, onEvent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// eventually waits until ok, and fails t if that takes unreasonably long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func TestKilledChildRunsAgain(t *testing.T) {
	spec := shell("bell", "echo one; echo two; exec sleep 1000")
	spec.Restart = true
	spec.LogFile = filepath.Join(t.TempDir(), "bell.log")
	spec.Ready = func(context.Context) error {
		if len(process.Tail(spec.LogFile, 0, 10))%2 == 1 {
			return errors.New("not all written")
		}
		return nil
	}
	events := make(chan process.Event, 10)
	p := start(t, spec, func(e process.Event) { events <- e })
	eventually(t, "two lines", func() bool { return len(process.Tail(spec.LogFile, 0, 10)) == 2 })
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := p.PID()
	p.Kill()
	if alive(first) {
		t.Error("Kill returned before the child was gone")
	}
	died := <-events
	if died.Name != "bell" || died.PID != first || !died.WillRestart || !strings.Contains(died.String(), "signal: killed") {
		t.Errorf("the event of its death is %+v", died)
	}
	if got := strings.Join(died.LastLines, "|"); got != "one|two" {
		t.Errorf("its last lines are %q", got)
	}
	again := <-events
	if again.Err != nil || again.PID == first {
		t.Errorf("the event of its return is %+v", again)
	}
	if err := p.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestChildThatNeverWasReadyIsNotStartedAgain(t *testing.T) {
	spec := shell("broken", "echo no such setting >&2; exit 3")
	spec.Restart = true
	spec.LogFile = filepath.Join(t.TempDir(), "broken.log")
	spec.Ready = func(ctx context.Context) error { return errors.New("not ready") }
	p := start(t, spec, nil)
	err := p.Ready(t.Context())
	for _, want := range []string{"broken", "exit status 3", "no such setting", spec.LogFile} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	spec := shell("slow", "exec sleep 1000")
	spec.Ready = func(ctx context.Context) error { return errors.New("not yet") }
	p := start(t, spec, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ready says %v", err)
	}
}

func TestStopAndStart(t *testing.T) {
	p := start(t, shell("bell", "exec sleep 1000"), func(e process.Event) { t.Errorf("an event for what was asked for: %v", e) })
	for range 2 {
		pid := p.PID()
		for range 2 {
			if err := p.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if alive(pid) || p.PID() != 0 {
			t.Error("the child is still there")
		}
		if err := p.Ready(t.Context()); err == nil {
			t.Error("a stopped child is ready")
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if err := p.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestStopKillsTheDeafAndTheirChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "grandchild")
	spec := shell("deaf", "trap '' TERM; sleep 1000 & echo $! > "+file+"; while :; do sleep 1000; done")
	spec.StopTimeout = 50 * time.Millisecond
	p := start(t, spec, nil)
	grandchild := readPID(t, file)
	pid := p.PID()
	if err := p.Stop(t.Context()); err == nil {
		t.Error("Stop does not say that it had to kill")
	}
	if alive(pid) {
		t.Error("the child is still there")
	}
	eventually(t, "the grandchild is gone", func() bool { return !alive(grandchild) || isZombie(grandchild) })
}

func TestGrandchildGoesWithTheChild(t *testing.T) {
	file := filepath.Join(t.TempDir(), "grandchild")
	p := start(t, shell("short", "sleep 1000 & echo $! > "+file+"; read line < "+file+"; exit 1"), nil)
	grandchild := readPID(t, file)
	eventually(t, "the child has ended", func() bool { return p.PID() == 0 })
	eventually(t, "the grandchild is gone", func() bool { return !alive(grandchild) || isZombie(grandchild) })
}

func readPID(t *testing.T, file string) (pid int) {
	t.Helper()
	eventually(t, "a pid in "+file, func() bool {
		text, _ := os.ReadFile(file)
		var err error
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && strings.HasSuffix(string(text), "\n")
	})
	return pid
}

// isZombie reports whether a process is dead and only waits for its parent to notice.
func isZombie(pid int) bool { return state(pid) == "Z" }

// state returns a process's state letter as ps shows it.
func state(pid int) string {
	said, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return fmt.Sprintf("%.1s", said)
}

func TestPausedChild(t *testing.T) {
	p := start(t, shell("bell", "exec sleep 1000"), nil)
	p.Pause()
	eventually(t, "paused", func() bool { return state(p.PID()) == "T" })
	p.Continue()
	eventually(t, "going on", func() bool { return state(p.PID()) == "S" })
	p.Pause()
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("stopping a paused child: %v", err)
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("SECRET", "inherited")
	spec := shell("env", "/usr/bin/env")
	spec.Env = []string{"GIVEN=yes"}
	spec.LogFile = filepath.Join(t.TempDir(), "env.log")
	p := start(t, spec, nil)
	eventually(t, "the child has ended", func() bool { return p.PID() == 0 })
	got := strings.Join(process.Tail(spec.LogFile, 0, 100), " ")
	if !strings.Contains(got, "GIVEN=yes") || strings.Contains(got, "SECRET") {
		t.Errorf("the child's environment is %q", got)
	}
}

func TestMissingProgram(t *testing.T) {
	if _, err := process.Start(process.Spec{Name: "ghost", Path: "/no/such/program"}, nil); err == nil || !strings.Contains(err.Error(), "ghost") {
		t.Errorf("Start says %v", err)
	}
}

func TestChildDoesNotOutliveAKilledParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends the children of a killed process")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentVariable+"=yes")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !alive(child) {
		t.Fatalf("the parent says %q", line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the child is gone", func() bool { return !alive(child) || isZombie(child) })
}

func TestChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	started := make(chan *process.Process)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with this goroutine
		p, _ := process.Start(shell("bell", "exec sleep 1000"), func(e process.Event) { t.Errorf("%v", e) })
		started <- p
	}()
	p := <-started
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	for range 100 {
		runtime.Gosched()
	}
	if pid := p.PID(); pid == 0 || !alive(pid) {
		t.Error("the child went with the thread")
	}
}

func TestRunEndsTheWholeGroupWithItsContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "grandchild")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- process.Run(exec.CommandContext(ctx, "/bin/sh", "-c", "sleep 1000 & echo $! > "+file+"; wait"))
	}()
	grandchild := readPID(t, file)
	cancel()
	if err := <-ended; err == nil {
		t.Error("Run does not say that the program was killed")
	}
	eventually(t, "the grandchild is gone", func() bool { return !alive(grandchild) || isZombie(grandchild) })
}

func TestFreePorts(t *testing.T) {
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().(*net.TCPAddr).Port
	some, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := process.FreePorts(taken, some[0], some[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[1] != some[0] {
		t.Errorf("wanting %d second, it gives %v", some[0], got)
	}
	seen := map[int]bool{}
	for _, port := range got {
		if port < 20000 || port >= 32000 || seen[port] {
			t.Errorf("%v has a port twice, or one out of range", got)
		}
		seen[port] = true
	}
}

func TestLogOfTheRunBeforeIsKept(t *testing.T) {
	spec := shell("bell", "echo $RUN")
	spec.LogFile = filepath.Join(t.TempDir(), "bell.log")
	for _, run := range []string{"first", "second", "third"} {
		spec.Env = []string{"RUN=" + run}
		p := start(t, spec, nil)
		eventually(t, "the child has ended", func() bool { return p.PID() == 0 })
	}
	now, before := process.Tail(spec.LogFile, 0, 9), process.Tail(spec.LogFile+".old", 0, 9)
	if strings.Join(now, "|") != "third" || strings.Join(before, "|") != "second" {
		t.Errorf("the logs hold %q and %q", now, before)
	}
}

// What goes on for weeks does not fill the disk, and its last lines are still there.
func TestLongLogIsRotated(t *testing.T) {
	spec := shell("bell", "i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo last words; exit 3")
	spec.LogFile, spec.LogLimit = filepath.Join(t.TempDir(), "bell.log"), 1000
	events := make(chan process.Event, 1)
	start(t, spec, func(e process.Event) { events <- e })
	eventually(t, "the log was rotated", func() bool { return len(process.Tail(spec.LogFile+".old", 0, 1)) == 1 })
	old := process.Tail(spec.LogFile+".old", 0, 1000)
	if old[0] != "line 1" {
		t.Errorf("what was taken out begins with %q", old[0])
	}
	eventually(t, "it goes on at the log's beginning", func() bool {
		text, err := os.ReadFile(spec.LogFile)
		return err == nil && strings.HasPrefix(string(text), "line ")
	})
	died := <-events
	if n := len(died.LastLines); n == 0 || died.LastLines[n-1] != "last words" {
		t.Errorf("its last lines are %q", died.LastLines)
	}
	info, err := os.Stat(spec.LogFile)
	if err != nil || info.Size() > 5000 {
		t.Errorf("the log has %v bytes, %v", info.Size(), err)
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte("old\n"+strings.Repeat("x\n", 20000)+"a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(process.Tail(file, 0, 3), "|"); got != "x|a|b" {
		t.Errorf("the last three lines are %q", got)
	}
	if got := process.Tail(file, 4+40000+4, 3); got != nil {
		t.Errorf("after the end there is %q", got)
	}
	if got := process.Tail(file+".none", 0, 3); got != nil {
		t.Errorf("a file that is not there has %q", got)
	}
}

// What one caller was given, and does not use yet, no other gets, in this process or in another.
func TestFreePortsAreGivenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 100 {
		ports, err := process.FreePorts(make([]int, 10)...)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			if seen[port] {
				t.Fatalf("%d is given twice", port)
			}
			seen[port] = true
		}
	}
	for port := range seen {
		if l, err := net.Listen("tcp4", process.Address(port-port%100)); err == nil {
			_ = l.Close()
			t.Fatalf("another process can take the block of %d", port)
		}
	}
}
