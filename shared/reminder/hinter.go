package reminder

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// hintTimeout bounds a notice: it is not worth more, as those who wait for it look
// by themselves every few seconds.
const hintTimeout = 500 * time.Millisecond

// hinter says whom something came for, to those who wait for it, after the commit.
// It makes one call at a time; whoever comes meanwhile shares the next one. So in a
// spike a process sends a notice now and then, each for many users, and not
// thousands at once.
type hinter struct {
	send func(ctx context.Context, users []string) error
	turn chan struct{} // held by the call that runs

	mu   sync.Mutex
	next *hints // the call that waits for its turn, if there is one
}

// hints is one call.
type hints struct {
	users []string
	sent  chan struct{} // closed when it is over
}

func newHinter(send func(context.Context, []string) error) *hinter {
	return &hinter{send: send, turn: make(chan struct{}, 1)}
}

// hint returns when the notice is on its way, or when that takes too long.
func (h *hinter) hint(ctx context.Context, users []string) {
	h.mu.Lock()
	call := h.next
	first := call == nil
	if first {
		call = &hints{sent: make(chan struct{})}
		h.next = call
	}
	call.users = append(call.users, users...)
	h.mu.Unlock()
	if !first {
		select {
		case <-call.sent:
		case <-ctx.Done(): // the first one sends it all the same
		}
		return
	}

	h.turn <- struct{}{}
	h.mu.Lock()
	h.next = nil // from here on users is the call's own
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hintTimeout)
	defer cancel()
	if err := h.send(ctx, call.users); err != nil {
		slog.DebugContext(ctx, "a notice was lost", "users", len(call.users), "error", err)
	}
	<-h.turn
	close(call.sent)
}
