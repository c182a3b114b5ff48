// Package pgtest gives each test a PostgreSQL database of its own, cloned in some
// milliseconds from one that was migrated once.
//
// A package that uses it says so in its TestMain:
//
//	func TestMain(m *testing.M) { pgtest.Main(m, store.Migrate) }
//
// The server is started when the first test asks for a database, one for each test
// binary, and ended with it. If TEST_DATABASE_URL names a server (a URL of a
// database whose user may create others), that one is used instead.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/duebell/duebell/local/lock"
	"github.com/duebell/duebell/local/postgres"
)

// timeout bounds each step here. It is reached only if something hangs.
const timeout = time.Minute

// cluster is the server of this test binary.
var cluster struct {
	once    sync.Once
	migrate func(ctx context.Context, databaseURL string) error

	server   *postgres.Server // nil if it is not ours
	dir      string
	admin    *url.URL // a database to create others from
	template string
	err      error
}

// Main runs the tests, ends the server if one was started, checks that no
// goroutine is left (leaks are options for that), and exits. migrate brings an
// empty database up to date; nil means that databases are empty.
func Main(m *testing.M, migrate func(ctx context.Context, databaseURL string) error, leaks ...goleak.Option) {
	cluster.migrate = migrate
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(leaks...); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// URL returns the URL of a migrated database that is t's alone and is dropped when t
// ends. It skips t if tests are to be -short.
func URL(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	cluster.once.Do(func() { cluster.err = start() })
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	name := newName()
	if err := create(name, cluster.template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := execute("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return database(name)
}

func start() error {
	address := os.Getenv("TEST_DATABASE_URL")
	if address == "" {
		removeLeftovers()
		dir, err := os.MkdirTemp(folder(), prefix)
		if err != nil {
			return err
		}
		cluster.dir = dir
		ctx, cancel := context.WithTimeout(context.Background(), 10*timeout) // it may have to be downloaded
		defer cancel()
		if cluster.server, err = postgres.Start(ctx, postgres.Options{Dir: dir, Fast: true, Settings: []string{"max_connections=600"}}); err != nil {
			return err
		}
		address = cluster.server.URL()
	}
	var err error
	if cluster.admin, err = url.Parse(address); err != nil {
		return errors.New("TEST_DATABASE_URL is not a URL")
	}
	name := newName()
	if err := create(name, "template0"); err != nil {
		return err
	}
	cluster.template = name
	if cluster.migrate == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := cluster.migrate(ctx, database(name)); err != nil {
		return fmt.Errorf("migrating the template: %w", err)
	}
	return nil
}

func stop() error {
	var errs []error
	if cluster.server == nil && cluster.template != "" {
		errs = append(errs, execute("DROP DATABASE "+cluster.template+" WITH (FORCE)"))
	}
	if cluster.server != nil {
		errs = append(errs, cluster.server.Stop(context.Background()))
	}
	if cluster.dir != "" {
		errs = append(errs, os.RemoveAll(cluster.dir))
	}
	return errors.Join(errs...)
}

// newName returns a name that no other test, here or elsewhere, has.
func newName() string { return "duebell_test_" + strings.ToLower(rand.Text()) }

func database(name string) string {
	u := *cluster.admin
	u.Path = "/" + name
	return u.String()
}

// create clones a database. It retries for a while, since it fails while connections to the
// template are being closed.
func create(name, template string) error {
	var err error
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); {
		err = execute("CREATE DATABASE " + name + " TEMPLATE " + template)
		inUse, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || inUse.Code != "55006" {
			break
		}
	}
	return err
}

func execute(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, cluster.admin.String())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(strings.Fields(sql)[:2], " "), err)
	}
	return nil
}

const prefix = "duebell-pgtest-"

// memory is a folder whose files are in memory, on Linux.
const memory = "/dev/shm"

// folder returns the folder for the data. It is in memory if there is plenty. On disk it would be
// slow: each database has hundreds of files, and ext4 takes long to create files while others are
// being deleted.
func folder() string {
	const plenty = 4 << 30
	var free unix.Statfs_t
	if unix.Statfs(memory, &free) == nil && free.Bavail*uint64(free.Bsize) > plenty { //nolint:gosec // a size is not negative
		return memory
	}
	return os.TempDir()
}

// removeLeftovers removes the data of test binaries that were killed.
func removeLeftovers() {
	inMemory, _ := filepath.Glob(filepath.Join(memory, prefix+"*"))
	onDisk, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range slices.Concat(inMemory, onDisk) {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Hour {
			continue
		}
		if held, err := lock.Try(filepath.Join(dir, "lock")); err == nil {
			_ = os.RemoveAll(dir)
			_ = held.Release()
		}
	}
}
