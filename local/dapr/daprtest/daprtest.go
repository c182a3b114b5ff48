// Package daprtest runs a real scheduler and daprd for a test.
package daprtest

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/process"
)

// The tokens of every Dapr that Start starts.
const (
	APIToken = "token-of-daprd"   // daprd's own API wants it
	AppToken = "token-of-the-app" // daprd sends it to the app
)

// Dapr is a scheduler and a daprd, ready.
type Dapr struct {
	Scheduler, Daprd *process.Process
	SchedulerPorts   dapr.SchedulerPorts
	DaprdPorts       dapr.DaprdPorts
}

// Endpoint is the address of daprd's gRPC API.
func (d *Dapr) Endpoint() string { return process.Address(d.DaprdPorts.GRPC) }

// Stop stops both, and lets them store their data.
func (d *Dapr) Stop(t testing.TB) {
	t.Helper()
	for _, p := range []*process.Process{d.Daprd, d.Scheduler} {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// Start starts both on new ports, with their data in dir, for the app that listens
// at an address. They are stopped when t ends, if not before. It skips t if tests
// are to be -short.
func Start(t testing.TB, dir string, app net.Addr) *Dapr {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Dapr runtime")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute) // it may have to be built
	defer cancel()
	runtime, err := dapr.Find(ctx, dapr.FindOptions{Report: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	ports, err := process.FreePorts(make([]int, 7)...)
	if err != nil {
		t.Fatal(err)
	}
	d := &Dapr{
		SchedulerPorts: dapr.SchedulerPorts{API: ports[0], Health: ports[1], EtcdClient: ports[2], EtcdPeer: ports[3]},
		DaprdPorts:     dapr.DaprdPorts{GRPC: ports[4], HTTP: ports[5], Internal: ports[6]},
	}
	d.Scheduler, err = dapr.StartScheduler(dapr.SchedulerOptions{
		Runtime: runtime, Dir: filepath.Join(dir, "scheduler"), Ports: d.SchedulerPorts,
		LogFile: filepath.Join(dir, "scheduler.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Scheduler.Stop(context.Background()) })
	d.Daprd, err = dapr.StartDaprd(dapr.DaprdOptions{
		Name: "daprd", Runtime: runtime, Dir: filepath.Join(dir, "daprd"), AppID: "duebell",
		AppPort: app.(*net.TCPAddr).Port, Ports: d.DaprdPorts,
		APIToken: APIToken, AppToken: AppToken, SchedulerPort: d.SchedulerPorts.API,
		LogFile: filepath.Join(dir, "daprd.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Daprd.Stop(context.Background()) })
	ready, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for _, p := range []*process.Process{d.Scheduler, d.Daprd} {
		if err := p.Ready(ready); err != nil {
			t.Fatal(err)
		}
	}
	return d
}
