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

// connecting has calls wait for a connection to daprd. A new pod's first call may come
// before the cluster's network policies let it through, and daprd may be restarting. Both
// last for a moment only; without waiting, the call would fail and leave its reminder to the sweep.
//
// A call waits for at most maxWait, and for nine tenths of the time that it has, so that
// there is time left to say why there is no connection. Once daprd has been away for longAway,
// calls fail at once, so that nobody waits for a daprd that is really away.
type connecting struct {
	since atomic.Int64 // when the first call of those failed that have not reached daprd, in Unix nanoseconds; 0: none
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
	if status.Code(err) == codes.DeadlineExceeded { // the time was over while it connected: nothing was sent
		return status.Errorf(codes.Unavailable, "no connection to Dapr within the time of the call: %v", err)
	}
	return err
}

// wait returns when there is a connection, or when there has been none for too long.
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
