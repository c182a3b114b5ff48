package fire

import (
	"context"
	"sync"
)

// turns lets one of each user's callbacks be fired at a time. So all callbacks of a user whose
// row somebody holds wait with one connection to the database, and the others are left to other
// users. It is safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	users map[string]*turn
}

type turn struct {
	free   chan struct{} // holds one value while nobody has it
	wanted int           // by so many, who has it included
}

// take waits for a user's turn. Whoever got it calls end.
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
