package postgres

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

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/lock"
)

// parentVariable makes the test binary play a program that runs a server in the
// named folder and hangs.
const parentVariable = "POSTGRES_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		s, err := Start(context.Background(), Options{Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		select {}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	o.Fast = true
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestDataSurvivesStopAndCrash(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	execute(t, s.URL(), "CREATE TABLE survives (n int)")
	s.Kill()
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, s.URL(), "INSERT INTO survives VALUES (1)")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, s.URL(), "INSERT INTO survives VALUES (2)")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The pid of a process that lives, but is no server: the machine was
	// started anew.
	stale := fmt.Sprintf("%d\n%s\n", os.Getppid(), filepath.Join(dir, "data"))
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, Options{Dir: dir})
	execute(t, again.URL(), "INSERT INTO survives VALUES (3)")
}

func TestOnlyThisMachineWithThePasswordGetsIn(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	if conn, err := pgx.Connect(t.Context(), strings.Replace(s.URL(), s.password, "guess", 1)); err == nil {
		_ = conn.Close(t.Context())
		t.Error("it lets in whoever does not know the password")
	}
	// A server that listened on all addresses would have this one, too.
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.2", strconv.Itoa(s.Port())))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		t.Error("it listens on other addresses than 127.0.0.1")
	case err == nil:
		_ = l.Close()
	}
}

func TestOneServerPerFolder(t *testing.T) {
	dir := t.TempDir()
	start(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Dir: dir})
	if held, ok := errors.AsType[*lock.HeldError](err); !ok || held.Holder != strconv.Itoa(os.Getpid()) {
		t.Errorf("the second start says %v", err)
	}
}

func TestFolderThatTheServersUserCannotReach(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: filepath.Join(closed, "postgres")})
	execute(t, s.URL(), "CREATE TABLE reached (n int)")
}

func TestHalfMadeClusterIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, "data.new", "base")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: dir})
	execute(t, s.URL(), "SELECT 1")
}

func TestStartAfterTheParentWasKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentVariable+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	execute(t, strings.TrimSpace(url), "CREATE TABLE committed (n int)")
	pid, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if runtime.GOOS == "linux" {
		server, _, _ := strings.Cut(string(pid), "\n")
		deadline := time.Now().Add(time.Minute)
		for err == nil && time.Now().Before(deadline) {
			_, err = os.Stat("/proc/" + server + "/cwd/PG_VERSION")
		}
		if err == nil {
			t.Error("the server outlives its parent")
		}
	}
	s := start(t, Options{Dir: dir})
	execute(t, s.URL(), "INSERT INTO committed VALUES (1)")
}

func TestFailureSaysWhy(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	_, err = Start(t.Context(), Options{Dir: dir, Port: busy.Addr().(*net.TCPAddr).Port})
	for _, want := range []string{"postgres", "already in use", filepath.Join(dir, "postgres.log")} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if _, err := lock.Try(filepath.Join(dir, "lock")); err != nil {
		t.Errorf("the folder is still locked: %v", err)
	}
}

func TestWrongVersionIsNamed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir) // nothing is downloaded yet
	t.Setenv("XDG_CACHE_HOME", dir)
	programs := filepath.Join(dir, "duebell", "postgres", string(downloaded), "bin")
	fakePrograms(t, programs, "18.3")
	_, err := findInstallation(t.Context(), 9, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL 9") {
		t.Errorf("the error is %v", err)
	}
}

// fakePrograms makes a folder look like an installation.
func fakePrograms(t *testing.T, bin, version string) {
	t.Helper()
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"initdb", "postgres", "pg_ctl"} {
		script := "#!/bin/sh\n[ \"$1\" = --version ] && echo '" + program + " (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVersionThatMadeTheData also covers that the installation on PATH, whatever its
// version, is used for new data.
func TestVersionThatMadeTheData(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"15.1", "16.2", "9.6.24"} {
		fakePrograms(t, filepath.Join(dir, "lib", version, "bin"), version)
	}
	was := folders
	folders = []string{filepath.Join(dir, "lib", "*", "bin")}
	t.Cleanup(func() { folders = was })
	for _, test := range []struct {
		path       string
		want, uses int
	}{
		{"", 0, 16},
		{"", 15, 15},
		{"15.1", 0, 15},
		{"15.1", 16, 16},
	} {
		t.Setenv("PATH", "/bin:"+filepath.Join(dir, "lib", test.path, "bin"))
		i, err := findInstallation(t.Context(), test.want, func(string) {})
		if err != nil || i.major != test.uses {
			t.Errorf("with %q on PATH and data of %d it uses %d (%v), want %d", test.path, test.want, i.major, err, test.uses)
		}
	}
}

func TestAccountsFallBack(t *testing.T) {
	account, err := lookUp("no-such-user", "nobody")
	if err != nil || account.UID == 0 {
		t.Errorf("it chose %v (%v)", account, err)
	}
	if _, err := lookUp("no-such-user"); err == nil {
		t.Error("it chose nobody at all")
	}
}
