package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	embedded "github.com/fergusstrange/embedded-postgres"

	"github.com/duebell/duebell/local/lock"
	"github.com/duebell/duebell/local/process"
)

// folders are where distributions install PostgreSQL's programs if they are not on PATH.
var folders = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/local/pgsql/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// downloaded is the version that is fetched where none is installed.
const downloaded = embedded.V18

// installation is one PostgreSQL on this machine.
type installation struct {
	bin   string // the folder that holds initdb and postgres
	major int
}

func (i installation) program(name string) string { return filepath.Join(i.bin, name) }

// findInstallation returns the PostgreSQL to use: the one on PATH, or else the newest that is
// installed. If want is not 0, it must have that major version, since others can't read the data.
func findInstallation(ctx context.Context, want int, report func(string)) (installation, error) {
	var best installation
	for _, bin := range candidates() {
		i, err := inspect(ctx, bin)
		switch {
		case err != nil, want != 0 && i.major != want:
		case want != 0, bin == onPath():
			return i, nil
		case i.major > best.major:
			best = i
		}
	}
	if best.bin != "" {
		return best, nil
	}
	i, err := download(ctx, report)
	switch {
	case err != nil:
		return installation{}, err
	case want != 0 && i.major != want:
		return installation{}, fmt.Errorf("the data was made by PostgreSQL %d, which is not installed here: install it, or start with fresh data", want)
	}
	return i, nil
}

// candidates returns the folders that may hold PostgreSQL, that of PATH first.
func candidates() []string {
	var bins []string
	if bin := onPath(); bin != "" {
		bins = append(bins, bin)
	}
	for _, pattern := range folders {
		found, _ := filepath.Glob(pattern) // the patterns are good
		bins = append(bins, found...)
	}
	return bins
}

func onPath() string {
	path, err := exec.LookPath("initdb")
	if err != nil {
		return ""
	}
	// initdb may be a link, and looks for postgres beside what it points to.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return ""
	}
	return filepath.Dir(path)
}

var versionNumber = regexp.MustCompile(`\) (\d+)`)

// inspect finds out which PostgreSQL is in bin, if it is a whole one.
func inspect(ctx context.Context, bin string) (installation, error) {
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return installation{}, err
	}
	said, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return installation{}, err
	}
	number := versionNumber.FindSubmatch(said) // "postgres (PostgreSQL) 17.5 (Debian ...)"
	if number == nil {
		return installation{}, fmt.Errorf("%s/postgres --version says %q", bin, said)
	}
	major, err := strconv.Atoi(string(number[1]))
	return installation{bin: bin, major: major}, err
}

// download fetches PostgreSQL's programs into the user's cache, once.
func download(ctx context.Context, report func(string)) (installation, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return installation{}, err
	}
	return downloadTo(ctx, filepath.Join(cache, "duebell", "postgres", string(downloaded)), embedded.DefaultConfig(), report)
}

func downloadTo(ctx context.Context, root string, config embedded.Config, report func(string)) (installation, error) {
	if i, err := inspect(ctx, filepath.Join(root, "bin")); err == nil {
		return i, nil
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return installation{}, err
	}
	held, err := lock.Wait(ctx, root+".lock", nil)
	if err != nil {
		return installation{}, err
	}
	defer func() { _ = held.Release() }()
	if i, err := inspect(ctx, filepath.Join(root, "bin")); err == nil {
		return i, nil
	}
	report("no PostgreSQL is installed here: downloading " + string(downloaded))
	scratch, err := os.MkdirTemp(filepath.Dir(root), "download-")
	if err != nil {
		return installation{}, err
	}
	defer os.RemoveAll(scratch)
	ports, err := process.FreePorts(0)
	if err != nil {
		return installation{}, err
	}
	// The library can only download and start in one call. A locale that does not exist makes it
	// fail before the start, so it never runs a server that nothing supervises.
	fetched := filepath.Join(scratch, "programs")
	startErr := embedded.NewDatabase(config.
		Version(downloaded).
		Port(uint32(ports[0])).
		BinariesPath(fetched).
		CachePath(scratch).
		RuntimePath(filepath.Join(scratch, "runtime")).
		DataPath(filepath.Join(scratch, "data")).
		Locale("none").
		Logger(io.Discard)).Start()
	http.DefaultClient.CloseIdleConnections() // the library's
	i, err := inspect(ctx, filepath.Join(fetched, "bin"))
	if err != nil {
		return installation{}, fmt.Errorf(
			"no PostgreSQL is installed here, and it could not be downloaded (install it, or set DATABASE_URL to a server): %w",
			errors.Join(startErr, err))
	}
	if err := os.Rename(fetched, root); err != nil {
		return installation{}, err
	}
	i.bin = filepath.Join(root, "bin")
	return i, nil
}
