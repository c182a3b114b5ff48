// Package together batches: it carries out in one call what many ask for at the same time.
package together

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// Group batches items into calls. A call that finds the group idle runs at once; what is
// asked for meanwhile shares the next call. It is safe for concurrent use, once its fields
// are set.
type Group[T any] struct {
	// Call carries out all items or none. Its context has no deadline and outlives those
	// who ask.
	Call func(context.Context, []T) error
	// Alone carries out one asker's items if a shared call has failed; nil means Call. Its
	// context is the asker's.
	Alone func(context.Context, []T) error
	// Most is how many askers share a call; 0 means all.
	Most int
	// Everyones reports whether an error would meet each asker alone, too; nil means that
	// an unavailable fault would.
	Everyones func(error) bool
	// Pause is the least time between two calls, so that more askers share one.
	Pause time.Duration

	mu      sync.Mutex
	busy    bool // calls are being made
	waiting []*asker[T]
	ended   time.Time // the latest call; the goroutine that makes calls owns it
}

type asker[T any] struct {
	ctx   context.Context //nolint:containedctx // says whether the asker still waits
	items []T
	done  chan outcome
}

type outcome struct {
	err   error
	alone bool // the asker has to carry its items out itself
}

// mostWaiting is how many askers may wait. More would not have their turn while anybody
// still waits for them.
const mostWaiting = 20_000

// Do carries items out, with those of others, and returns when that is done.
//
// If the shared call fails, or panics, each asker's items are carried out on their own, at
// the same time: so the item that is the trouble fails its own asker. An error that is
// everyone's fails all at once.
//
// Do returns early if ctx ends. Items whose call has not begun by then are not carried out;
// of others nobody knows. With too many askers waiting it fails with an unavailable fault
// and carries out nothing.
func (g *Group[T]) Do(ctx context.Context, items ...T) error {
	a := &asker[T]{ctx: ctx, items: items, done: make(chan outcome, 1)}
	g.mu.Lock()
	if len(g.waiting) >= mostWaiting {
		g.mu.Unlock()
		return fault.Unavailable(nil, "too many requests wait; try again in a moment")
	}
	g.waiting = append(g.waiting, a)
	begin := !g.busy
	g.busy = true
	g.mu.Unlock()
	if begin {
		go g.run(context.WithoutCancel(ctx))
	}
	select {
	case o := <-a.done:
		if !o.alone {
			return o.err
		}
	case <-ctx.Done():
		return fmt.Errorf("gave up waiting: %w", ctx.Err())
	}
	return Caught(func() error {
		if g.Alone != nil {
			return g.Alone(ctx, items)
		}
		return g.Call(ctx, items)
	})
}

// run makes calls until nobody waits.
func (g *Group[T]) run(ctx context.Context) {
	for {
		time.Sleep(time.Until(g.ended.Add(g.Pause)))
		g.carryOut(ctx, g.take())

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

// take returns those who share the next call. Those who have given up are left out.
func (g *Group[T]) take() (all []*asker[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := 0
	for _, a := range g.waiting {
		if g.Most > 0 && len(all) == g.Most {
			break
		}
		if taken++; a.ctx.Err() == nil {
			all = append(all, a)
		}
	}
	g.waiting = g.waiting[taken:]
	return all
}

// carryOut makes one call for all, and says to each what came of it.
func (g *Group[T]) carryOut(ctx context.Context, all []*asker[T]) {
	if len(all) == 0 {
		return
	}
	var items []T
	for _, a := range all {
		items = append(items, a.items...)
	}
	err := Caught(func() error { return g.Call(ctx, items) })
	each := err != nil && !g.everyones(err) && (len(all) > 1 || g.Alone != nil)
	for _, a := range all {
		a.done <- outcome{err: err, alone: each}
	}
}

func (g *Group[T]) everyones(err error) bool {
	if g.Everyones != nil {
		return g.Everyones(err)
	}
	return fault.CodeOf(err) == fault.CodeUnavailable
}

// Caught calls a function and returns its panic as an error, so that one item that makes
// the code panic does not end the process.
func Caught(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n%s", value, debug.Stack())
		}
	}()
	return call()
}
