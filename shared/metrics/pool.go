package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pool is the state of a pool of database connections.
type Pool struct {
	Acquired, Idle, Max int           // connections
	Waits               int64         // how often somebody waited for one
	Waited              time.Duration // for how long, in all
}

// WatchPool adds a pool to those that are shown, as their sum; it is asked for its
// state whenever the metrics are. The returned function takes it out again.
func WatchPool(state func() Pool) (forget func()) {
	pools.mu.Lock()
	defer pools.mu.Unlock()
	key := new(int)
	pools.states[key] = state
	return func() {
		pools.mu.Lock()
		defer pools.mu.Unlock()
		delete(pools.states, key)
	}
}

// poolCollector asks the pools. A process has one; its tests have more.
type poolCollector struct {
	conns, most, waits, waited *prometheus.Desc

	mu     sync.Mutex
	states map[*int]func() Pool
}

var pools = &poolCollector{
	conns:  prometheus.NewDesc("duebell_database_connections", "Connections to the database, by state: acquired or idle.", []string{"state"}, nil),
	most:   prometheus.NewDesc("duebell_database_connections_max", "How many connections to the database there may be.", nil, nil),
	waits:  prometheus.NewDesc("duebell_database_connection_waits_total", "How often a connection was wanted and none was free.", nil, nil),
	waited: prometheus.NewDesc("duebell_database_connection_wait_seconds_total", "For how long connections were waited for, in all.", nil, nil),
	states: map[*int]func() Pool{},
}

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.conns, c.most, c.waits, c.waited} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.states) == 0 {
		return
	}
	var sum Pool
	for _, state := range c.states {
		p := state()
		sum.Acquired += p.Acquired
		sum.Idle += p.Idle
		sum.Max += p.Max
		sum.Waits += p.Waits
		sum.Waited += p.Waited
	}
	ch <- prometheus.MustNewConstMetric(c.conns, prometheus.GaugeValue, float64(sum.Acquired), "acquired")
	ch <- prometheus.MustNewConstMetric(c.conns, prometheus.GaugeValue, float64(sum.Idle), "idle")
	ch <- prometheus.MustNewConstMetric(c.most, prometheus.GaugeValue, float64(sum.Max))
	ch <- prometheus.MustNewConstMetric(c.waits, prometheus.CounterValue, float64(sum.Waits))
	ch <- prometheus.MustNewConstMetric(c.waited, prometheus.CounterValue, sum.Waited.Seconds())
}
