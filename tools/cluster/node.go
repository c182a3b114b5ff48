package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
)

//go:embed node
var configurations embed.FS

// node is what runs inside the namespaces.
type node struct {
	home
	*outside
	say   func(string)
	ended chan error // a program that should go on has ended
}

// runNode starts everything inside the namespaces, deploys Duebell, and goes on until ctx
// ends, or until the checks are through.
func runNode(ctx context.Context, args []string) error {
	n := node{home: home(args[0]), say: newProgress().say, ended: make(chan error, 20)}
	checks, only := args[1], args[2]
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-n.ended:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	if err := n.up(ctx); err != nil {
		err = errors.Join(context.Cause(ctx), err)
		if os.Getenv("CLUSTER_KEEP") != "" {
			fmt.Printf("%v\n\nIt stays as it is until Ctrl-C, as CLUSTER_KEEP is set: build/bin/cluster enter looks around.\n", err)
			<-ctx.Done()
		}
		return err
	}
	if checks != "" {
		return check(ctx, []string{string(n.home), only})
	}
	fmt.Printf("\nThe cluster runs until Ctrl-C. In another terminal, from this checkout:\n" +
		"  build/bin/cluster enter kubectl get pods -A     look around\n" +
		"  build/bin/cluster enter                         a shell inside, with kubectl, helm and psql\n" +
		"  make cluster-test                               the checks\n\n")
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (n *node) up(ctx context.Context) error {
	for _, step := range []struct {
		said string
		do   func(context.Context) error
	}{
		{"", n.makeHost},
		{"Kubernetes", n.startKubernetes},
		{"images in the registry; database, issuer and broker outside of the cluster", n.startOutside},
		{"DNS, a gateway, and a plug-in that enforces network policies", n.addOns},
		{"Knative and Dapr, as docs/deploy.md says", n.installNeeds},
		{"Duebell, as docs/deploy.md says", n.deploy},
		{"a reminder has arrived, as docs/deploy.md says", n.firstReminder},
	} {
		if err := step.do(ctx); err != nil {
			return err
		}
		if step.said != "" {
			n.say("✓ " + step.said)
		}
	}
	return nil
}

// makeHost makes the namespaces look like a machine of their own.
func (n *node) makeHost(context.Context) error {
	if err := syscall.Sethostname([]byte("node")); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return err
	}
	for target, source := range map[string]string{
		"/var/lib/kubelet": "var/kubelet", "/var/lib/containerd": "var/containerd", "/var/log/pods": "var/pods", "/var/log/containers": "var/containers",
	} {
		if err := errors.Join(os.MkdirAll(target, 0o755), os.MkdirAll(n.path(source), 0o755)); err != nil {
			return err
		}
		if err := syscall.Mount(n.path(source), target, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	for _, dir := range []string{"/run/netns", "/run/lock", n.path("etc/cni"), n.path("etc/registries/_default")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for i := range 6 {
		dir := n.path("var", "volumes", fmt.Sprint(i))
		if err := errors.Join(os.MkdirAll(dir, 0o777), os.Chmod(dir, 0o777)); err != nil { //nolint:gosec // pods of any user write there
			return err
		}
	}
	authority, err := newAuthority(n.home)
	if err == nil {
		err = authority.issueAll()
	}
	if err != nil {
		return err
	}
	for name, to := range map[string]string{
		"apiserver.args": "etc/apiserver.args", "controller-manager.args": "etc/controller-manager.args", "scheduler.args": "etc/scheduler.args",
		"etcd.args": "etc/etcd.args", "kube-router.args": "etc/kube-router.args", "kubelet.yaml": "etc/kubelet.yaml", "proxy.yaml": "etc/proxy.yaml",
		"containerd.toml": "etc/containerd.toml", "registries.toml": "etc/registries/_default/hosts.toml", "cni.conflist": "etc/cni/10-pods.conflist",
		"resolv.conf": "etc/resolv.conf", "hosts": "etc/hosts",
	} {
		if err := n.configure(name, to, n.home); err != nil {
			return err
		}
	}
	for _, who := range []string{"admin", "kubelet", "controller-manager", "scheduler", "proxy"} {
		if err := n.configure("kubeconfig", "etc/"+who+".kubeconfig", map[string]string{"Home": string(n.home), "Who": who}); err != nil {
			return err
		}
	}
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	if err := authority.trustToo(bundle, n.path("etc", "ca-certificates.crt")); err != nil {
		return err
	}
	for target, source := range map[string]string{"/etc/hosts": "hosts", "/etc/resolv.conf": "resolv.conf", bundle: "ca-certificates.crt"} {
		resolved, err := filepath.EvalSymlinks(target)
		if err != nil {
			return err
		}
		if err := syscall.Mount(n.path("etc", source), resolved, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil { // volumes reach containers
		return err
	}
	for _, command := range []string{
		"ip link set lo up",
		"ip link add node0 type veth peer name node1", // there may be no dummy links here
		"ip link set node1 up",
		"ip addr add " + nodeAddress + "/24 dev node0",
		"ip addr add " + filesAddress + "/24 dev node0",
		"ip link set node0 up",
		"ip route add default dev node0",
		"sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1",
	} {
		if _, err := output(exec.Command("sh", "-c", command)); err != nil {
			return err
		}
	}
	_, _ = output(exec.Command("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")) // where the kernel has the module
	return nil
}

// configure writes a configuration of node/ for one home.
func (n *node) configure(name, to string, data any) error {
	text, err := configurations.ReadFile("node/" + name)
	if err != nil {
		return err
	}
	return fill(string(text), n.path(to), data)
}

func fill(text, to string, data any) error {
	t, err := template.New(to).Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o600)
}

// Name is what node/kubelet.yaml calls the group that everything is below.
func (h home) Name() string { return h.name() }

// start starts a program of the node, which is to run as long as we do.
func (n *node) start(name, program string, args ...string) error {
	log, err := os.Create(n.path("log", name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, n.environment()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		err := cmd.Wait()
		content, _ := os.ReadFile(log.Name())
		tail := string(content[max(0, len(content)-1500):])
		n.ended <- fmt.Errorf("%s has ended (%w); %s ends with\n%s", name, err, log.Name(), tail)
	}()
	return nil
}

// startKube starts a component of Kubernetes, with the arguments in etc/NAME.args.
func (n *node) startKube(component, name string) error {
	lines, err := os.ReadFile(n.path("etc", name+".args"))
	if err != nil {
		return err
	}
	return n.start(component, n.path("bin", "kube"), append([]string{component}, strings.Fields(string(lines))...)...)
}

// kubectl runs kubectl, and returns what it prints.
func (n *node) kubectl(ctx context.Context, args ...string) (string, error) {
	return n.kubectlWith(ctx, "", args...)
}

// kubectlWith runs kubectl with something on its standard input.
func (n *node) kubectlWith(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.path("bin", "kubectl"), args...)
	cmd.Env = n.environment()
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	return output(cmd)
}

// until tries something again and again, every 200 ms, until it succeeds or a time is over.
func until(ctx context.Context, within time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", within, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (n *node) startKubernetes(ctx context.Context) error {
	if err := n.startKube("etcd", "etcd"); err != nil {
		return err
	}
	if err := n.start("containerd", "containerd", "--config", n.path("etc", "containerd.toml")); err != nil {
		return err
	}
	if err := n.startKube("kube-apiserver", "apiserver"); err != nil {
		return err
	}
	err := until(ctx, 2*time.Minute, func() error { _, err := n.kubectl(ctx, "get", "--raw", "/readyz"); return err })
	if err != nil {
		return err
	}
	return errors.Join(
		n.startKube("kube-controller-manager", "controller-manager"),
		n.startKube("kube-scheduler", "scheduler"),
		n.start("kubelet", n.path("bin", "kube"), "kubelet", "--config="+n.path("etc", "kubelet.yaml"), "--kubeconfig="+n.path("etc", "kubelet.kubeconfig"),
			"--node-ip="+nodeAddress, "--hostname-override=node"),
		n.start("kube-proxy", n.path("bin", "kube"), "kube-proxy", "--config="+n.path("etc", "proxy.yaml")),
		until(ctx, time.Minute, func() error {
			_, err := n.kubectl(ctx, "wait", "--for=condition=Ready", "node/node", "--timeout=1s")
			return err
		}))
}

func (n *node) startOutside(ctx context.Context) error {
	registry := newRegistry(n.path("var", "registry"))
	if err := serveRegistry(registry); err != nil {
		return err
	}
	group, pushing := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, i := range images() {
		group.Go(func() error { return i.push(pushing, n.home) })
	}
	var err error
	n.outside, err = startOutside(ctx, n.home, registry)
	return errors.Join(err, group.Wait())
}

// addOns puts on the cluster what every cluster has.
func (n *node) addOns(ctx context.Context) error {
	if _, err := n.kubectl(ctx, "apply", "--server-side", "-f", n.path("files", "gateway-api.yaml")); err != nil {
		return err
	}
	for _, name := range []string{"dns", "volumes", "outside", "gateway"} {
		text, err := addons.ReadFile("addons/" + name + ".yaml")
		if err != nil {
			return err
		}
		filled := n.path("etc", name+".yaml")
		if err := fill(string(text), filled, n.home); err != nil {
			return err
		}
		if err := until(ctx, 20*time.Second, func() error { // until the types just added are known
			_, err := n.kubectl(ctx, "apply", "-f", filled)
			return err
		}); err != nil {
			return err
		}
	}
	if _, err := n.kubectl(ctx, "-n", "login", "create", "secret", "generic", "issuer", "--from-file=key="+n.path("run", "issuer.key")); err != nil {
		return err
	}
	if _, err := n.kubectl(ctx, "-n", "gateways", "create", "secret", "tls", "api-example-org", "--cert="+n.path("pki", "api.crt"), "--key="+n.path("pki", "api.key")); err != nil {
		return err
	}
	args, err := os.ReadFile(n.path("etc", "kube-router.args"))
	if err != nil {
		return err
	}
	if err := n.start("kube-router", n.path("bin", "kube-router"), strings.Fields(string(args))...); err != nil {
		return err
	}
	_, err = n.kubectl(ctx, "-n", "kube-system", "wait", "--for=condition=Available", "deployment/coredns", "--timeout=2m")
	return err
}
