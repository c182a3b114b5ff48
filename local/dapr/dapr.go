// Package dapr finds or builds Dapr's programs, and runs two of them on this machine: the
// scheduler, which stores and triggers jobs, and daprd, which functions call, and which calls the
// trigger function.
//
// Both listen on 127.0.0.1, with one exception: the scheduler's health port can't be restricted
// (its flag for that has no effect). That port shows only whether the scheduler is healthy.
package dapr

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/manifests"
)

// SchedulerOptions says how a scheduler runs. All fields but ReachedAt and OnEvent are needed.
type SchedulerOptions struct {
	Runtime Runtime
	// Dir has the jobs. They do not depend on the ports, which may differ each time. Only one
	// scheduler may use a Dir.
	Dir   string
	Ports SchedulerPorts
	// ReachedAt is the port by which daprds reach it; 0 means Ports.API.
	ReachedAt int
	LogFile   string
	// OnEvent is called when the scheduler dies and when it runs again.
	OnEvent func(process.Event)
}

// SchedulerPorts are the ports that a scheduler listens on.
type SchedulerPorts struct {
	API, Health, EtcdClient, EtcdPeer int
}

// StartScheduler starts a scheduler; it can be used when it is Ready. After a scheduler was killed,
// no job fires for 20 seconds, even if the next one runs at once, until the killed one's lease has
// run out. A scheduler that is stopped returns its lease.
func StartScheduler(o SchedulerOptions) (*process.Process, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	const id = "dapr-scheduler-server-0"
	return process.Start(process.Spec{
		Name: "scheduler",
		Path: o.Runtime.Scheduler,
		Args: []string{
			"--id=" + id,
			"--listen-address=127.0.0.1",
			"--port=" + strconv.Itoa(o.Ports.API),
			"--override-broadcast-host-port=" + process.Address(cmp.Or(o.ReachedAt, o.Ports.API)),
			"--healthz-port=" + strconv.Itoa(o.Ports.Health),
			"--healthz-listen-address=127.0.0.1",
			"--etcd-data-dir=" + filepath.Join(o.Dir, "data"),
			"--etcd-client-listen-address=127.0.0.1",
			"--etcd-client-port=" + strconv.Itoa(o.Ports.EtcdClient),
			"--etcd-initial-cluster=" + id + "=http://" + process.Address(o.Ports.EtcdPeer),
			"--identity-directory-write=" + filepath.Join(o.Dir, "identity"),
			"--enable-metrics=false",
		},
		Env:     []string{"HOME=" + o.Dir, "DAPR_HOST_IP=127.0.0.1"},
		Dir:     o.Dir,
		LogFile: o.LogFile,
		// So that it returns its lease, which takes a tenth of a second.
		OrphanSignal: syscall.SIGTERM,
		Ready:        process.Answers("http://"+process.Address(o.Ports.Health)+"/healthz", http.StatusOK),
		Restart:      true,
	}, o.OnEvent)
}

// DaprdOptions says how a daprd runs. All fields but SchedulerPort, ResourcesPaths, Env and
// OnEvent are needed.
type DaprdOptions struct {
	// Name is the name of its process; "" means daprd.
	Name    string
	Runtime Runtime
	// Dir is daprd's folder. Nothing in it has to be kept.
	Dir   string
	AppID string
	// AppPort is where callbacks go, on 127.0.0.1.
	AppPort int
	Ports   DaprdPorts
	// APIToken is what callers of daprd must show; AppToken is what daprd shows
	// the app, in the header dapr-api-token.
	APIToken, AppToken string
	// SchedulerPort is the scheduler's; 0 is for a daprd without jobs.
	SchedulerPort int
	// ResourcesPaths are folders of components and subscriptions.
	ResourcesPaths []string
	// Env is added to daprd's environment, for components.
	Env     []string
	LogFile string
	// OnEvent is called when daprd dies and when it runs again.
	OnEvent func(process.Event)
}

// DaprdPorts are the ports that a daprd listens on.
type DaprdPorts struct {
	GRPC, HTTP, Internal int
}

// StartDaprd starts a daprd. When it is Ready its API can be used. It makes callbacks only
// once the app listens: see AppIsConnected.
func StartDaprd(o DaprdOptions) (*process.Process, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(o.Dir, "config.yaml")
	if err := os.WriteFile(config, manifests.Configuration, 0o600); err != nil {
		return nil, err
	}
	args := []string{
		"--app-id=" + o.AppID,
		"--app-port=" + strconv.Itoa(o.AppPort),
		"--app-protocol=http",
		"--app-channel-address=127.0.0.1",
		"--dapr-listen-addresses=127.0.0.1",
		"--dapr-grpc-port=" + strconv.Itoa(o.Ports.GRPC),
		"--dapr-http-port=" + strconv.Itoa(o.Ports.HTTP),
		"--dapr-internal-grpc-listen-address=127.0.0.1",
		"--dapr-internal-grpc-port=" + strconv.Itoa(o.Ports.Internal),
		"--dapr-graceful-shutdown-seconds=2",
		"--max-body-size=32Mi", // as manifests/dapr/daprd.yaml has it
		"--disable-init-endpoints=config,subscribe",
		"--enable-metrics=false",
		"--config=" + config,
	}
	if o.SchedulerPort != 0 {
		args = append(args, "--scheduler-host-address="+process.Address(o.SchedulerPort))
	}
	for _, path := range o.ResourcesPaths {
		args = append(args, "--resources-path="+path)
	}
	return process.Start(process.Spec{
		Name: cmp.Or(o.Name, "daprd"),
		Path: o.Runtime.Daprd,
		Args: args,
		Env: append([]string{
			"HOME=" + o.Dir, "DAPR_HOST_IP=127.0.0.1",
			"DAPR_API_TOKEN=" + o.APIToken, "APP_API_TOKEN=" + o.AppToken,
		}, o.Env...),
		Dir:     o.Dir,
		LogFile: o.LogFile,
		// It should end within two seconds, but takes longer on a busy machine.
		StopTimeout: 8 * time.Second,
		Ready:       process.Answers(o.Ports.url("/v1.0/healthz/outbound"), http.StatusNoContent),
		Restart:     true,
	}, o.OnEvent)
}

func (p DaprdPorts) url(path string) string { return "http://" + process.Address(p.HTTP) + path }

// AppIsConnected returns nil if the daprd on these ports has found its app: from then
// on jobs fire.
func (p DaprdPorts) AppIsConnected(ctx context.Context) error {
	return process.Answers(p.url("/v1.0/healthz"), http.StatusNoContent)(ctx)
}
