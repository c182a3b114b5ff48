package reminder

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// together carries out at once what many ask for at the same time: what comes while a
// call is being made waits for the next one. Who comes alone waits for nobody.
type together[T any] struct {
	// call carries out all items or none. Its context is nobody's in particular.
	call func(context.Context, []T) error
	most int // who may share a call at most; 0 means all
	// pause is how long there is between two calls, so that more of those for whom time
	// matters less share one.
	pause time.Duration

	mu      sync.Mutex
	busy    bool // calls are being made
	waiting []asked[T]
	ended   time.Time // the latest call; whoever makes calls has it
}

type asked[T any] struct {
	items []T
	done  chan error
}

// Do carries items out, with those of others, and returns when that is done.
func (g *together[T]) Do(ctx context.Context, items ...T) error {
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
func (g *together[T]) run(ctx context.Context) {
	for {
		time.Sleep(time.Until(g.ended.Add(g.pause)))
		g.mu.Lock()
		all := g.waiting
		if g.most > 0 && len(all) > g.most {
			all = all[:g.most]
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
func (g *together[T]) carryOut(ctx context.Context, all []asked[T]) {
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
func (g *together[T]) try(ctx context.Context, items []T) error {
	return caught(func() error { return g.call(ctx, items) })
}

// caught calls a function whose panic is an error for who asked for the call, as in a
// handler, and not the end of the process, with what all others are doing.
func caught(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return call()
}
