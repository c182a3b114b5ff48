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
	Ingress   int
	Mail      int // the sandbox's mail server
	Postgres  int
	Broker    int
	Scheduler dapr.SchedulerPorts
	Daprds    map[string]dapr.DaprdPorts // by their processes' names
	Functions map[string]int
}

// choosePorts returns free ports, if possible those that are stored at path. If gateway is not 0,
// it is used as it is.
func choosePorts(path string, functions []Function, daprds []daprd, gateway int) (ports, error) {
	var p ports
	if kept, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(kept, &p) // they are only preferred
	}
	places := []*int{
		&p.Gateway, &p.Ingress, &p.Mail, &p.Postgres, &p.Broker,
		&p.Scheduler.API, &p.Scheduler.Health, &p.Scheduler.EtcdClient, &p.Scheduler.EtcdPeer,
	}
	daprdPorts := make([]dapr.DaprdPorts, len(daprds))
	for i, d := range daprds {
		daprdPorts[i] = p.Daprds[d.name]
		places = append(places, &daprdPorts[i].GRPC, &daprdPorts[i].HTTP, &daprdPorts[i].Internal)
	}
	of := make([]int, len(functions))
	for i, f := range functions {
		of[i] = p.Functions[f.Name]
		places = append(places, &of[i])
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
	p.Daprds = map[string]dapr.DaprdPorts{}
	for i, d := range daprds {
		p.Daprds[d.name] = daprdPorts[i]
	}
	p.Functions = map[string]int{}
	for i, f := range functions {
		p.Functions[f.Name] = of[i]
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
