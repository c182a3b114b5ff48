// Package broker is a Kafka broker in this process, for the local system. It speaks
// Kafka's protocol, so Dapr's own Kafka component connects to it, and it keeps
// topics and offsets in a folder.
package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/duebell/duebell/local/process"
)

const (
	// partitions is how many partitions a topic has, and so how many events a subscriber handles at a time.
	partitions = 4
	// rebalanceTimeout is how long a consumer group waits for its members when one joins.
	rebalanceTimeout = 6 * time.Second
)

// Options says how a broker runs. The first three fields are needed.
type Options struct {
	// Dir holds the published events and the offset of each subscriber. Only one broker may use
	// a Dir. Other users of this machine can't read it.
	Dir  string
	Port int
	// Topics are made when Dir is new. Others are made when they are first used.
	Topics []string
	// Host is the address that it listens on; "" means 127.0.0.1.
	Host string
	// TLS, if not nil, has clients connect by TLS.
	TLS *tls.Config
	// User, if not empty, is the name that clients sign in with, by SCRAM-SHA-512.
	User, Password string
}

// Broker is a broker that can be stopped and started again. It is safe for
// concurrent use.
type Broker struct {
	options Options

	mu      sync.Mutex
	cluster *kfake.Cluster // nil while it is stopped
	delay   time.Duration
	changed chan struct{} // closed when delay is another
}

// Start starts a broker. It can be used at once.
func Start(o Options) (*Broker, error) {
	b := &Broker{options: o, changed: make(chan struct{})}
	return b, b.Start()
}

// Address returns where it listens.
func (b *Broker) Address() string {
	if b.options.Host == "" {
		return process.Address(b.options.Port)
	}
	return net.JoinHostPort(b.options.Host, strconv.Itoa(b.options.Port))
}

// Start starts a stopped broker again, on the same port and with its data. If the broker runs, it
// does nothing.
func (b *Broker) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		return nil
	}
	// The broker makes files that everybody may read, so the folder is closed to others.
	if err := errors.Join(os.MkdirAll(b.options.Dir, 0o700), os.Chmod(b.options.Dir, 0o700)); err != nil { //nolint:gosec // a folder
		return err
	}
	options := []kfake.Opt{
		kfake.Ports(b.options.Port), kfake.DataDir(b.options.Dir),
		kfake.SeedTopics(partitions, b.options.Topics...), kfake.DefaultNumPartitions(partitions), kfake.AllowAutoTopicCreation(),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, b.Address()) }),
	}
	if b.options.TLS != nil {
		options = append(options, kfake.TLS(b.options.TLS))
	}
	if b.options.User != "" {
		options = append(options, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", b.options.User, b.options.Password))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return fmt.Errorf("the broker on %s, which keeps its data in %s: %w", b.Address(), b.options.Dir, err)
	}
	// If a consumer is killed while its group waits for others, this broker forgets it only when
	// that time is over. daprd's client asks for a minute, gives up earlier itself, and would be
	// waited for next, without end. So the time is shortened.
	cluster.ControlKey(int16(kmsg.JoinGroup), func(request kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // its order
		if join, ok := request.(*kmsg.JoinGroupRequest); ok {
			join.RebalanceTimeoutMillis = min(join.RebalanceTimeoutMillis, int32(rebalanceTimeout.Milliseconds()))
		}
		return nil, nil, false // the broker answers it
	})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // its order
		if b.isSlow() {
			cluster.SleepControl(b.wait)
		}
		return nil, nil, false
	})
	b.cluster = cluster
	return nil
}

// Slow delays the answer to each published event, also to those that are waiting. 0 ends the delay.
func (b *Broker) Slow(by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = by
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *Broker) isSlow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.delay > 0
}

// wait returns when the delay of an event is over.
func (b *Broker) wait() {
	for came := time.Now(); ; {
		b.mu.Lock()
		left, changed := time.Until(came.Add(b.delay)), b.changed
		b.mu.Unlock()
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
			return
		case <-changed:
		}
	}
}

// Stop stops the broker and closes all connections. It may be called more than once.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		b.cluster.Close()
		b.cluster = nil
	}
}
