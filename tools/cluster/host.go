package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/duebell/duebell/local/checkout"
	"github.com/duebell/duebell/local/lock"
	"github.com/duebell/duebell/local/process"
)

// needs are the programs of this machine that a cluster takes, and Debian's packages of them.
var needs = map[string]string{
	"containerd": "containerd", "runc": "runc", "iptables": "iptables", "ipset": "ipset", "nft": "nftables", "ip": "iproute2",
	"conntrack": "conntrack", "socat": "socat", "ebtables": "ebtables", "sysctl": "procps", "nsenter": "util-linux",
	"/usr/lib/cni/bridge": "containernetworking-plugins",
	"openssl":             "openssl", "curl": "curl", "make": "make", "psql": "postgresql-client",
}

// lacks returns Debian's packages of the programs that this machine lacks.
func lacks() (packages []string) {
	for program, pkg := range needs {
		if _, err := exec.LookPath(program); err != nil && !slices.Contains(packages, pkg) {
			packages = append(packages, pkg)
		}
	}
	slices.Sort(packages)
	return packages
}

// suits says why a cluster can't run on this machine.
func suits() error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.New("a cluster needs root on Linux: it makes namespaces, mounts and a network of its own")
	}
	if packages := lacks(); len(packages) > 0 {
		return fmt.Errorf("this machine lacks programs; on Debian: apt-get install -y %s", strings.Join(packages, " "))
	}
	_, err := cgroups()
	return err
}

// home is the folder of one running cluster. It has a lock, held while the cluster runs.
type home string

func (h home) path(elements ...string) string {
	return filepath.Join(append([]string{string(h)}, elements...)...)
}

// name is what its cgroups are called.
func (h home) name() string { return filepath.Base(string(h)) }

func homes() ([]home, error) {
	dir, err := cacheDir("")
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "duebell-*"))
	var all []home
	for _, path := range found {
		all = append(all, home(path))
	}
	return all, err
}

// running returns the home of the cluster that runs, of this checkout if there are several.
func running() (home, error) {
	all, err := homes()
	if err != nil {
		return "", err
	}
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	var found home
	for _, h := range all {
		held, err := lock.Try(h.path("lock"))
		if err == nil {
			_ = held.Release()
		}
		_, runs := errors.AsType[*lock.HeldError](err)
		if _, err := os.Stat(h.path("run", "init.pid")); err != nil || !runs {
			continue
		}
		if from, _ := os.ReadFile(h.path("run", "root")); found == "" || string(from) == root {
			found = h
		}
	}
	if found == "" {
		return "", errors.New("no cluster runs; make cluster starts one")
	}
	return found, nil
}

// newHome makes a home, and takes away what clusters that were killed have left.
func newHome(say func(string)) (home, *lock.File, error) {
	old, err := homes()
	if err != nil {
		return "", nil, err
	}
	for _, h := range old {
		held, err := lock.Try(h.path("lock"))
		if err != nil {
			continue // it runs
		}
		say("taking away what a cluster that was killed has left")
		err = errors.Join(h.remove(), held.Release())
		if err != nil {
			return "", nil, err
		}
	}
	dir, err := cacheDir("")
	if err != nil {
		return "", nil, err
	}
	var random [3]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", nil, err
	}
	h := home(filepath.Join(dir, "duebell-"+hex.EncodeToString(random[:])))
	for _, sub := range []string{"bin", "etc", "log", "pki", "run", "checkout", "files", "var/registry"} {
		if err := os.MkdirAll(h.path(sub), 0o755); err != nil {
			return "", nil, err
		}
	}
	held, err := lock.Try(h.path("lock"))
	return h, held, err
}

// cgroups returns the folders below which groups are: one for each controller on cgroup v1, and that of v2 where
// it is there, too.
func cgroups() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return []string{root}, nil
	}
	entries, err := os.ReadDir(root)
	var found []string
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err == nil && e.IsDir() {
			found = append(found, path)
		}
	}
	if err == nil && len(found) == 0 {
		err = errors.New("there are no cgroups below " + root + ": Kubernetes needs them")
	}
	return found, err
}

// makeCgroups makes the groups below which everything of the cluster is.
func (h home) makeCgroups() error {
	controllers, err := cgroups()
	if err != nil {
		return err
	}
	for _, c := range controllers {
		if filepath.Base(c) == "unified" { // v2 beside v1 has no controllers: who runs the containers makes groups there
			continue
		}
		group := filepath.Join(c, h.name())
		if err := os.MkdirAll(group, 0o755); err != nil {
			return err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // v1 does not inherit them
			if all, err := os.ReadFile(filepath.Join(c, file)); err == nil {
				if err := os.WriteFile(filepath.Join(group, file), all, 0o644); err != nil {
					return err
				}
			}
		}
		if offered, err := os.ReadFile(filepath.Join(c, "cgroup.controllers")); err == nil { // v2
			for _, dir := range []string{c, group} {
				for _, name := range strings.Fields(string(offered)) {
					_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0o644) // those that can be had
				}
			}
		}
	}
	return nil
}

// remove takes away all that is outside of the namespaces: groups and files.
func (h home) remove() error {
	controllers, err := cgroups()
	if err != nil {
		return err
	}
	for _, c := range controllers {
		var groups []string
		_ = filepath.WalkDir(filepath.Join(c, h.name()), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for i := len(groups) - 1; i >= 0; i-- {
			deadline := time.Now().Add(10 * time.Second)
			for err = syscall.Rmdir(groups[i]); errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline); err = syscall.Rmdir(groups[i]) {
				time.Sleep(50 * time.Millisecond) // the kernel is still ending its processes
			}
			if err != nil {
				return fmt.Errorf("the group %s stays: %w", groups[i], err)
			}
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for err = os.RemoveAll(string(h)); err != nil && time.Now().Before(deadline); err = os.RemoveAll(string(h)) {
		time.Sleep(50 * time.Millisecond) // somebody who was let in writes there until the kernel has ended that
	}
	return err
}

// left looks for what is still there after remove.
func (h home) left() error {
	var found []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, h.name()) {
			found = append(found, "mount "+line)
		}
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Name() == "node0" || l.Name() == "node1" || l.Name() == "cni0" {
			found = append(found, "network link "+l.Name())
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, p := range processes {
		if line, err := os.ReadFile(p); err == nil && strings.Contains(string(line), h.name()) {
			found = append(found, "process "+filepath.Base(filepath.Dir(p))+": "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	controllers, err := cgroups()
	if err != nil {
		return err
	}
	for _, c := range controllers {
		if _, err := os.Stat(filepath.Join(c, h.name())); err == nil {
			found = append(found, "group "+filepath.Join(c, h.name()))
		}
	}
	if _, err := os.Stat(string(h)); err == nil {
		found = append(found, "folder "+string(h))
	}
	if len(found) > 0 {
		return errors.New("the cluster has left:\n" + strings.Join(found, "\n"))
	}
	return nil
}

// up runs a cluster until ctx ends or, if checks is given, until these are through.
func up(ctx context.Context, checks, only string) (err error) {
	if err := suits(); err != nil {
		return err
	}
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	p := newProgress()
	built, err := findPrograms(ctx, root, p.say)
	if err != nil {
		return err
	}
	h, held, err := newHome(p.say)
	if err != nil {
		return err
	}
	defer func() {
		p.say("taking the cluster away")
		left := errors.Join(h.remove(), held.Release())
		if left == nil {
			left = h.left()
		}
		if left == nil {
			p.say("✓ nothing of it is left: no process, mount, network link, group or file")
		}
		err = errors.Join(err, left)
	}()
	if err := h.prepare(ctx, root, built, p.say); err != nil {
		return err
	}
	return h.run(ctx, checks, only)
}

// prepare brings together what the node needs of what is outside of its namespaces.
func (h home) prepare(ctx context.Context, root string, built programs, say func(string)) error {
	if err := h.makeCgroups(); err != nil {
		return err
	}
	for name, path := range built {
		if err := os.Symlink(path, h.path("bin", name)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(h.path("run", "root"), []byte(root), 0o644); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := errors.Join(os.Symlink(built["kube"], h.path("bin", "kubectl")), os.Symlink(self, h.path("bin", "cluster"))); err != nil {
		return err
	}
	say("copying the checkout, and compiling what its images are made of")
	if err := copyCheckout(ctx, root, h.path("checkout")); err != nil {
		return err
	}
	return errors.Join(h.writeReleases(ctx, root), h.warm(ctx))
}

// copyCheckout copies what belongs to the checkout, changes that are not committed included:
// the page's commands change files.
func copyCheckout(ctx context.Context, from, to string) error {
	cmd := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = from
	said, err := output(cmd)
	if err != nil {
		return err
	}
	for _, name := range strings.Split(strings.TrimSuffix(said, "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not yet committed
		}
		info, infoErr := os.Stat(filepath.Join(from, name))
		if err = errors.Join(err, infoErr, os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755)); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), content, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// warm downloads and compiles what the page's commands build: inside there is no internet.
func (h home) warm(ctx context.Context) error {
	for _, args := range [][]string{
		{"make", "console"},
		{"go", "build", "-o", h.path("checkout", "build", "bin") + "/", "./cmd/..."},
		{"go", "-C", "tools/images", "build", "-o", "../../build/bin/images", "."},
		{"env", "CGO_ENABLED=0", "go", "list", "-export", "-deps", "-trimpath", "-f", "{{.Name}}", "./functions/...", "./cmd/..."},
		{"go", "-C", "tools/manifests", "list", "-export", "-deps", "-test", "-f", "{{.Name}}", "."},
		{"go", "-C", "tools/cluster", "list", "-export", "-deps", "-test", "-f", "{{.Name}}", "."},
		{"go", "-C", "tools/monitoring", "list", "-export", "-deps", "-test", "-f", "{{.Name}}", "."},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Env = h.path("checkout"), os.Environ()
		if _, err := output(cmd); err != nil {
			return err
		}
	}
	return nil
}

// run starts the namespaces, and waits until their first process has ended.
func (h home) run(ctx context.Context, checks, only string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the kernel ends the child when the thread that made it ends
	defer runtime.UnlockOSThread()
	cmd := exec.Command(self, "init", "node", string(h), checks, only)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // Ctrl-C is for us alone: we tell it
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("namespaces can't be made: %w", err)
	}
	if err := os.WriteFile(h.path("run", "init.pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		err = cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		if err != nil {
			return errors.New("the cluster has ended: what went wrong is above")
		}
		return nil
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		<-ended
	}
	return nil
}

// first is the first process of the namespaces: it starts the node, hands it the signal to
// stop, and reaps whom nobody else waits for.
func first() error {
	runtime.LockOSThread()
	attr := &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Env: os.Environ()}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	node, err := os.StartProcess("/proc/self/exe", append([]string{"cluster"}, os.Args[2:]...), attr)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for range stop {
			_ = node.Signal(syscall.SIGTERM)
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if pid == node.Pid && (status.Exited() || status.Signaled()) {
			os.Exit(status.ExitStatus() & 0xff)
		}
	}
}

// enter runs a command inside the cluster that runs.
func enter(ctx context.Context, command []string) error {
	h, err := running()
	if err != nil {
		return err
	}
	if len(command) == 0 {
		command = []string{"bash"}
	}
	cmd, err := h.inside(ctx, command)
	if err != nil {
		return err
	}
	return cmd.Run()
}

// inside is a command that is run inside the cluster's namespaces.
func (h home) inside(ctx context.Context, command []string) (*exec.Cmd, error) {
	pid, err := os.ReadFile(h.path("run", "init.pid"))
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", string(pid), "-m", "-n", "-u", "-i", "-p", "--wdns=" + dir, "--"}, command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = h.environment()
	return cmd, nil
}

// environment is what commands inside see.
func (h home) environment() []string {
	return append(os.Environ(),
		"PATH="+h.path("bin")+":"+os.Getenv("PATH")+":/usr/sbin:/sbin",
		"KUBECONFIG="+h.path("etc", "admin.kubeconfig"),
		"GOFLAGS=-mod=readonly", "GOPROXY=off", "GOWORK=off")
}

// test checks the cluster that runs, or one that is started for it.
func test(ctx context.Context, args []string) error {
	only := ""
	if len(args) == 2 && args[0] == "-run" {
		only = args[1]
	} else if len(args) > 0 {
		return errors.New("cluster test takes -run REGEXP and nothing else")
	}
	if h, err := running(); err == nil {
		cmd, err := h.inside(ctx, []string{h.path("bin", "cluster"), "check", string(h), only})
		if err != nil {
			return err
		}
		return process.Run(cmd) // with what nsenter has started, if it is broken off
	}
	return up(ctx, "checks", only)
}
