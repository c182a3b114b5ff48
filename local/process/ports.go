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
	blockSize   = 100
)

// own are the ports that this process gives as any, each once: it may be a while until
// something listens on them. They are of blocks that no other process has.
var own struct {
	sync.Mutex
	next, end int
	// held listen on the first port of each block, for as long as this process lives.
	held []net.Listener
}

// ownPort returns a port that nobody else here is given.
func ownPort() (int, error) {
	own.Lock()
	defer own.Unlock()
	if own.next == own.end {
		for _, block := range rand.Perm((highestPort - lowestPort) / blockSize) {
			first := lowestPort + block*blockSize
			if l, err := net.Listen("tcp4", Address(first)); err == nil {
				own.held = append(own.held, l)
				own.next, own.end = first+1, first+blockSize
				break
			}
		}
	}
	if own.next == own.end {
		return 0, fmt.Errorf("no %d ports between %d and %d are free", blockSize, lowestPort, highestPort)
	}
	own.next++
	return own.next - 1, nil
}

// FreePorts returns ports of 127.0.0.1 that nothing listens on, all different: for
// each wanted one that port if it is free, else any. 0 wants any. What it gives as any, no
// other process gets from it.
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
		for ports[i] == 0 {
			port, err := ownPort()
			if err != nil {
				return nil, err
			}
			if take(port) {
				ports[i] = port
			}
		}
	}
	return ports, nil
}

// Address returns the address of a port of 127.0.0.1.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
