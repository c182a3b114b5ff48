// Package together carries out at once what many ask for at the same time.
package together

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// Group makes one call for all that is asked for while the call before is being made. Who
// comes alone waits for nobody. It is safe for concurrent use, once its fields are set.
type Group[T any] struct {
	// Call carries out all items or none. Its context is nobody's in particular, and has
	// no deadline.
	Call func(context.Context, []T) error
	Most int // who may share a call at most; 0 means all
	// Pause is how long there is between two calls, so that more of those for whom time
	// matters less share one.
	Pause time.Duration

	mu      sync.Mutex
	busy    bool // calls are being made
	waiting []asked[T]
	ended   time.Time // the latest call; whoever makes calls has it
}

type asked[T any] struct {
	items []T
	done  chan error
}

// Do carries items out, with those of others, and returns when that is done. If the call
// for all of them fails, or panics, each one's items have a call of their own, unless the
// error is an unavailable fault, which is everybody's.
func (g *Group[T]) Do(ctx context.Context, items ...T) error {
	a := asked[T]{items: items, done: make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, a)
	begin := !g.busy
	g.busy = true
	g.mu.Unlock()
	if begin {
		go g.run(context.WithoutCancel(ctx))
	}
	return <-a.done
}

// run makes calls until nobody waits.
func (g *Group[T]) run(ctx context.Context) {
	for {
		time.Sleep(time.Until(g.ended.Add(g.Pause)))
		g.mu.Lock()
		all := g.waiting
		if g.Most > 0 && len(all) > g.Most {
			all = all[:g.Most]
		}
		g.waiting = g.waiting[len(all):]
		g.mu.Unlock()
		g.carryOut(ctx, all)

		g.mu.Lock()
		g.ended = time.Now()
		g.busy = len(g.waiting) > 0
		more := g.busy
		g.mu.Unlock()
		if !more {
			return
		}
	}
}

// carryOut makes one call for all. If something in one of them is the trouble, it makes
// a call for each, so that the others have none, until the trouble is another one.
func (g *Group[T]) carryOut(ctx context.Context, all []asked[T]) {
	var items []T
	for _, a := range all {
		items = append(items, a.items...)
	}
	err := g.try(ctx, items)
	each := err != nil && len(all) > 1
	for _, a := range all {
		if each && fault.CodeOf(err) != fault.CodeUnavailable {
			err = g.try(ctx, a.items)
		}
		a.done <- err
	}
}

// try makes a call.
func (g *Group[T]) try(ctx context.Context, items []T) error {
	return Caught(func() error { return g.Call(ctx, items) })
}

// Caught calls a function whose panic is an error for who asked for the call, as in a
// handler, and not the end of the process, with what all others are doing.
func Caught(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return call()
}
