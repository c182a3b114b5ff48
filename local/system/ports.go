package system

import (
	"encoding/json"
	"net/url"
	"os"

	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/file"
	"github.com/duebell/duebell/local/process"
)

// ports are the ports that the system uses. They are kept, so that the next start
// takes the same ones if they are free.
type ports struct {
	Gateway   int
	Postgres  int
	Scheduler dapr.SchedulerPorts
	Broker    int
	Daprd     dapr.DaprdPorts
	Functions map[string]int
	// Subscribers are those of the functions' own daprds.
	Subscribers map[string]dapr.DaprdPorts
}

// choosePorts returns free ports, preferring those that are kept at path. If gateway
// is not 0, it is taken as it is.
func choosePorts(path string, functions []Function, gateway int) (ports, error) {
	var p ports
	if kept, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(kept, &p) // they are only a wish
	}
	places := []*int{
		&p.Gateway, &p.Postgres, &p.Broker,
		&p.Scheduler.API, &p.Scheduler.Health, &p.Scheduler.EtcdClient, &p.Scheduler.EtcdPeer,
		&p.Daprd.GRPC, &p.Daprd.HTTP, &p.Daprd.Internal,
	}
	of := make([]int, len(functions))
	daprds := make([]dapr.DaprdPorts, len(functions))
	for i, f := range functions {
		of[i], daprds[i] = p.Functions[f.Name], p.Subscribers[f.Name]
		places = append(places, &of[i])
		if f.Subscribes {
			places = append(places, &daprds[i].GRPC, &daprds[i].HTTP, &daprds[i].Internal)
		}
	}
	wanted := make([]int, len(places))
	for i, place := range places {
		wanted[i] = *place
	}
	free, err := process.FreePorts(wanted...)
	if err != nil {
		return ports{}, err
	}
	for i, place := range places {
		*place = free[i]
	}
	p.Functions, p.Subscribers = map[string]int{}, map[string]dapr.DaprdPorts{}
	for i, f := range functions {
		p.Functions[f.Name] = of[i]
		if f.Subscribes {
			p.Subscribers[f.Name] = daprds[i]
		}
	}
	if gateway != 0 {
		p.Gateway = gateway
	}
	return p, nil
}

func (p ports) save(path string) error {
	content, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	return file.Replace(path, content)
}

// backends returns the functions' base URLs.
func (p ports) backends() map[string]*url.URL {
	backends := map[string]*url.URL{}
	for name, port := range p.Functions {
		backends[name] = &url.URL{Scheme: "http", Host: process.Address(port)}
	}
	return backends
}
