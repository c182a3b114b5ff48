package system

import (
	"context"
	"os"

	"github.com/duebell/duebell/local/broker"
	"github.com/duebell/duebell/local/dapr"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/manifests"
	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/reminder"
)

// Broker returns the broker that events go through: to stop and start it.
func (s *System) Broker() *broker.Broker { return s.broker }

func (s *System) startBroker() (err error) {
	s.broker, err = broker.Start(broker.Options{
		Dir: s.path("kafka"), Port: s.ports.Broker, Topics: []string{events.Topic, reminder.AlertTopic},
	})
	return err
}

// writeResources writes what every daprd reads, and returns the folders.
func (s *System) writeResources() (folders []string, err error) {
	dir := s.path("daprd-resources")
	if err := os.RemoveAll(dir); err != nil { // those of another version
		return nil, err
	}
	if err := os.CopyFS(dir, manifests.Local); err != nil {
		return nil, err
	}
	return []string{s.path("daprd-resources", "local"), s.path("daprd-resources", "subscriptions")}, os.CopyFS(dir, manifests.Subscriptions)
}

// startSubscriber starts a subscriber's own daprd, which has nothing to do with jobs.
func (s *System) startSubscriber(ctx context.Context, runtime dapr.Runtime, resources []string, f Function) error {
	name, ports := daprdOf(f), s.ports.Subscribers[f.Name]
	return s.step(ctx, name, "starting", func(ctx context.Context, _ func(string)) (string, error) {
		err := s.run(ctx, name, func() (*process.Process, error) {
			return dapr.StartDaprd(dapr.DaprdOptions{
				Name: name, Runtime: runtime, Dir: s.path(name), AppID: f.Name, AppPort: s.ports.Functions[f.Name], Ports: ports,
				APIToken: s.secrets.daprAPI, AppToken: s.secrets.appAPI, ResourcesPaths: resources, Env: s.brokers(),
				LogFile: s.log(name), OnEvent: s.event,
			})
		})
		if err != nil {
			return "", err
		}
		return process.Address(ports.GRPC), appIsConnected(ctx, ports)
	})
}

// daprdOf names a subscriber's own daprd.
func daprdOf(f Function) string { return "daprd-" + f.Name }

// brokers is what the pub/sub component takes from daprd's environment.
func (s *System) brokers() []string { return []string{"KAFKA_BROKERS=" + s.broker.Address()} }
