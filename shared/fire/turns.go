package fire

import (
	"context"
	"sync"
)

// turns lets one callback of each user fire at a time. So if another transaction holds a row of a
// user, all callbacks of that user wait with one database connection, and leave the others to other
// users. It is safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	users map[string]*turn
}

type turn struct {
	free   chan struct{} // holds one value while the turn is free
	wanted int           // how many callers want it or have it
}

// take waits for a user's turn. The caller that gets it must call end.
func (t *turns) take(ctx context.Context, user string) (end func(), err error) {
	t.mu.Lock()
	if t.users == nil {
		t.users = map[string]*turn{}
	}
	of := t.users[user]
	if of == nil {
		of = &turn{free: make(chan struct{}, 1)}
		of.free <- struct{}{}
		t.users[user] = of
	}
	of.wanted++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if of.wanted--; of.wanted == 0 {
			delete(t.users, user)
		}
	}
	select {
	case <-of.free:
		return func() { of.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
