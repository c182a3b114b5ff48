package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"github.com/duebell/duebell/local/process"
)

// chooseAccount returns the account that the server runs as; nil means this program's user.
// PostgreSQL refuses to run as root. If this program runs as root, the account is the cluster's
// owner or, for a new cluster, the user postgres or nobody, who then owns dir.
func chooseAccount(ctx context.Context, dir, data string, installed installation) (*process.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := ownerOf(data)
	if errors.Is(err, fs.ErrNotExist) || err == nil && account.UID == 0 {
		account, err = lookUp("postgres", "nobody")
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(account.UID), int(account.GID)); err != nil {
		return nil, err
	}
	// dir may be in a folder that the user can't enter, such as root's home.
	if reaches(ctx, account, dir, installed) == nil {
		return account, nil
	}
	account.AnyFile = true
	if err := reaches(ctx, account, dir, installed); err != nil {
		return nil, fmt.Errorf("root may not run a server, and user %d cannot reach %s: %w", account.UID, dir, err)
	}
	return account, nil
}

// reaches reports whether the account can enter dir and run the programs.
func reaches(ctx context.Context, account *process.User, dir string, installed installation) error {
	return runAs(exec.CommandContext(ctx, installed.program("postgres"), "--version"), account, dir)
}

func ownerOf(path string) (*process.User, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return &process.User{UID: stat.Uid, GID: stat.Gid}, nil
}

func lookUp(names ...string) (*process.User, error) {
	var err error
	for _, name := range names {
		var found *user.User
		if found, err = user.Lookup(name); err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if err = errors.Join(uidErr, gidErr); err == nil {
			return &process.User{UID: uint32(uid), GID: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("root may not run a server, and there is no other user to run it as: %w", err)
}
