package system

import (
	"os"
	"path/filepath"

	"github.com/duebell/duebell/local/broker"
	"github.com/duebell/duebell/manifests"
	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/upkeep"
)

// Broker returns the broker for events, so that a test can stop and start it.
func (s *System) Broker() *broker.Broker { return s.broker }

func (s *System) startBroker() (err error) {
	s.broker, err = broker.Start(broker.Options{
		Dir: s.path("kafka"), Port: s.ports.Broker, Topics: []string{events.Topic, upkeep.AlertTopic},
	})
	return err
}

// writeResources writes the components and subscriptions that every daprd reads.
func (s *System) writeResources() error {
	dir := s.path("daprd-resources")
	if err := os.RemoveAll(dir); err != nil { // those of another version
		return err
	}
	if err := os.CopyFS(dir, manifests.Local); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "local", "resiliency.yaml"), manifests.Resiliency, 0o600); err != nil {
		return err
	}
	return os.CopyFS(dir, manifests.Subscriptions)
}

func (s *System) resources() []string {
	return []string{s.path("daprd-resources", "local"), s.path("daprd-resources", "subscriptions")}
}
