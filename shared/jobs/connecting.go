package jobs

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// connecting makes calls wait for a connection to daprd. A new pod's first call may come before the
// cluster's network policies admit it, or while daprd restarts. Both take a moment. Without
// waiting, the call would fail and leave its reminder to the sweep.
//
// A call waits for at most maxWait, and at most nine tenths of its time, so that some is left to
// report the error. Once daprd has been away for longAway, calls fail at once.
type connecting struct {
	since atomic.Int64 // when daprd was first not reached, in Unix nanoseconds; 0: it was reached last time
}

const (
	maxWait  = 2 * time.Second
	longAway = 10 * time.Second
)

// call is a grpc.UnaryClientInterceptor.
func (c *connecting) call(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	began := time.Now()
	if since := c.since.Load(); since == 0 || began.Sub(time.Unix(0, since)) < longAway {
		wait(ctx, conn)
	}
	var reached peer.Peer
	err := invoke(ctx, method, request, answer, conn, append(options, grpc.Peer(&reached))...)
	if reached.Addr != nil || err == nil {
		c.since.Store(0)
		return err
	}
	c.since.CompareAndSwap(0, began.UnixNano())
	if status.Code(err) == codes.DeadlineExceeded { // the time ran out while connecting: nothing was sent
		return status.Errorf(codes.Unavailable, "no connection to Dapr within the time of the call: %v", err)
	}
	return err
}

// wait returns when there is a connection, or when its time is over.
func wait(ctx context.Context, conn *grpc.ClientConn) {
	most := maxWait
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end)*9/10)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}
