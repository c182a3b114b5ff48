// Package postgres runs a PostgreSQL server for this machine alone: it finds the
// programs, makes the cluster, and starts and stops the server. The server
// listens on 127.0.0.1 only and asks for a password.
package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/file"
	"github.com/duebell/duebell/local/lock"
	"github.com/duebell/duebell/local/process"
)

// name is the database, and the user who owns it.
const name = "duebell"

const (
	// stopTimeout is longer than a checkpoint of a small database takes.
	stopTimeout = 8 * time.Second
	// fastStopTimeout is for tests, which may have written much, on a busy machine.
	fastStopTimeout = time.Minute
)

// Options says where and how a server runs.
type Options struct {
	// Dir holds the cluster, its password and its lock. It is made if need be. If
	// this program runs as root, it is given to the user whom the server runs as.
	Dir string
	// Port of 127.0.0.1; 0 means any that is free.
	Port int
	// Fast does not wait for the disk: a crash of the machine may lose data. For tests.
	Fast bool
	// LogFile takes the server's log; "" means postgres.log in Dir.
	LogFile string
	// Settings are more of PostgreSQL's, such as max_connections=300.
	Settings []string
	// OnEvent hears when the server dies and runs again; it may be nil.
	OnEvent func(process.Event)
	// Report is told in a sentence what takes long; it may be nil.
	Report func(string)
}

// Server is a server that runs. Kill makes it crash and start again, as a
// process.Process does.
type Server struct {
	*process.Process
	lock     *lock.File
	port     int
	password string
}

// Start makes the cluster if there is none yet, starts its server, and returns
// when the database can be used. If an earlier program was killed, its server is ended and its
// files are cleared away first. Only one Server can use a Dir at a time.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("postgres: %w", err)
		}
	}()
	if o.Report == nil {
		o.Report = func(string) {}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if o.LogFile == "" {
		o.LogFile = filepath.Join(o.Dir, "postgres.log")
	}
	held, err := lock.Try(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Server{lock: held, port: o.Port}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, o Options) error {
	data := filepath.Join(o.Dir, "data")
	installed, err := findInstallation(ctx, majorOf(data), o.Report)
	if err != nil {
		return err
	}
	account, err := chooseAccount(ctx, o.Dir, data, installed)
	if err != nil {
		return err
	}
	password, err := file.Keep(filepath.Join(o.Dir, "password"), func() ([]byte, error) { return []byte(rand.Text()), nil })
	if err != nil {
		return err
	}
	s.password = string(password)
	if err := s.initCluster(ctx, o.Dir, data, installed, account); err != nil {
		return err
	}
	if err := endOrphan(ctx, data); err != nil {
		return err
	}
	if s.port == 0 {
		ports, err := process.FreePorts(0)
		if err != nil {
			return err
		}
		s.port = ports[0]
	}
	timeout := stopTimeout
	if o.Fast {
		timeout = fastStopTimeout
	}
	s.Process, err = process.Start(process.Spec{
		Name:        "postgres",
		Path:        installed.program("postgres"),
		Args:        arguments(data, s.port, o.Fast, o.Settings),
		Env:         environment,
		Dir:         o.Dir,
		User:        account,
		LogFile:     o.LogFile,
		StopSignal:  syscall.SIGINT, // fast shutdown: does not wait for clients
		StopTimeout: timeout,
		// Immediate shutdown: the server takes its children with it.
		OrphanSignal: syscall.SIGQUIT,
		Ready:        s.accepts,
		Restart:      true,
	}, o.OnEvent)
	if err != nil {
		return err
	}
	if err := s.Ready(ctx); err != nil {
		return err
	}
	return s.createDatabase(ctx)
}

// URL returns the URL of the server's database, for its owner.
func (s *Server) URL() string { return s.databaseURL(name) }

func (s *Server) databaseURL(database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", name, s.password, process.Address(s.port), database)
}

// Port returns the port of 127.0.0.1 that the server listens on.
func (s *Server) Port() int { return s.port }

// Stop shuts the server down, without waiting for its clients to go, and lets
// go of Dir. It may be called more than once.
func (s *Server) Stop(ctx context.Context) error {
	var err error
	if s.Process != nil {
		err = s.Process.Stop(ctx)
	}
	_ = s.lock.Release() // it may be released already
	return err
}

// environment is all that the programs see.
var environment = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}

func arguments(data string, port int, fast bool, more []string) []string {
	args := []string{"-D", data}
	set := func(setting string) { args = append(args, "-c", setting) }
	set("listen_addresses=127.0.0.1")
	set("port=" + strconv.Itoa(port))
	set("unix_socket_directories=")
	set("max_connections=200")
	set("shared_buffers=128MB")
	set("log_checkpoints=off")
	set("timezone=UTC")
	set("log_timezone=UTC")
	if fast {
		set("fsync=off")
		set("full_page_writes=off")
		set("autovacuum=off")
	}
	for _, setting := range more {
		set(setting)
	}
	return args
}

func (s *Server) accepts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.databaseURL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (s *Server) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.databaseURL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	}
	return err
}

// majorOf returns the major version that made the cluster, or 0 if there is none.
func majorOf(data string) int {
	text, _ := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	major, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return major
}

// initCluster makes the cluster if there is none. It is made in another folder and
// moved to its place at the end, so that the cluster is there as a whole or not at all.
func (s *Server) initCluster(ctx context.Context, dir, data string, installed installation, account *process.User) error {
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	made := filepath.Join(dir, "data.new")
	passwordFile := filepath.Join(dir, "password.init")
	defer os.Remove(passwordFile)
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	if err := os.WriteFile(passwordFile, []byte(s.password), 0o600); err != nil {
		return err
	}
	if account != nil {
		if err := os.Chown(passwordFile, int(account.UID), int(account.GID)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, installed.program("initdb"),
		"--pgdata="+made, "--username="+name, "--pwfile="+passwordFile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	if err := runAs(cmd, account, dir); err != nil {
		return err
	}
	return os.Rename(made, data)
}

// runAs runs cmd in dir as account, or as this program's user if that is nil.
func runAs(cmd *exec.Cmd, account *process.User, dir string) error {
	cmd.Dir = dir
	cmd.Env = environment
	program := filepath.Base(cmd.Path)
	account.Apply(cmd)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := process.Run(cmd); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(out.String()))
	}
	return nil
}
