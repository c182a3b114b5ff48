package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are below the range that systems use for outgoing connections, so that no such connection
// takes one between choosing and use.
const (
	lowestPort  = 20000
	highestPort = 32000
)

// given has the ports that this process has handed out. It may be a while until something listens
// on them, and nobody else here may get them meanwhile.
var given sync.Map

// FreePorts returns ports of 127.0.0.1 that nothing listens on, all different: for
// each wanted one that port if it is free, else any. 0 wants any.
func FreePorts(wanted ...int) ([]int, error) {
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	take := func(port int) bool {
		l, err := net.Listen("tcp4", Address(port))
		if err == nil {
			listeners = append(listeners, l)
		}
		return err == nil
	}
	ports := make([]int, len(wanted))
	for i, port := range wanted {
		if port != 0 && take(port) {
			ports[i] = port
		}
	}
	for i := range ports {
		for tries := 0; ports[i] == 0; tries++ {
			if tries == 1000 {
				return nil, fmt.Errorf("no port between %d and %d is free", lowestPort, highestPort)
			}
			port := lowestPort + rand.IntN(highestPort-lowestPort)
			if _, taken := given.LoadOrStore(port, true); !taken && take(port) {
				ports[i] = port
			}
		}
	}
	return ports, nil
}

// Address returns the address of a port of 127.0.0.1.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
