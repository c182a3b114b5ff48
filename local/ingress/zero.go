package ingress

import (
	"context"
	"sync"
	"time"
)

// Scale is how a function is started from zero and stopped.
type Scale struct {
	// Start starts it, and returns when it is ready; Stop stops it.
	Start, Stop func(context.Context) error
	// Cold is added to the time that a start takes.
	Cold time.Duration
	// Idle is how long after its last answer the function is stopped.
	Idle time.Duration
}

// ScaleToZero stops the function. From now on it runs only while there are callbacks, as with
// Knative. A callback starts it, and callbacks wait until it is ready. If it can't be started, they
// are answered 503, and the next callback tries again.
func (i *Ingress) ScaleToZero(ctx context.Context, s Scale) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	i.scaler.Store(&scaler{Scale: s, ctx: i.ctx})
	return nil
}

// Starts returns how often a callback has started the function.
func (i *Ingress) Starts() int {
	s := i.scaler.Load()
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts
}

// scaler runs a function while callbacks need it.
type scaler struct {
	Scale
	ctx context.Context //nolint:containedctx // ends starts that nobody waits for any more

	// changing is held while the function is started or stopped. It is locked before mu.
	changing sync.Mutex
	work     sync.WaitGroup // what starts and stops it

	mu      sync.Mutex
	starts  int
	serving int      // callbacks that wait or are being served
	up      *attempt // the start by which the function runs; nil while it is at zero
	idle    *time.Timer
}

// attempt is one start. err is set when done is closed.
type attempt struct {
	done chan struct{}
	err  error
}

// enter waits until the function is ready. The caller must call leave, also after an error.
func (s *scaler) enter(ctx context.Context) error {
	s.mu.Lock()
	s.serving++
	if s.idle != nil {
		s.idle.Stop()
	}
	if s.up == nil {
		s.starts++
		s.up = &attempt{done: make(chan struct{})}
		up := s.up
		s.work.Go(func() { s.start(up) })
	}
	up := s.up
	s.mu.Unlock()
	select {
	case <-up.done:
		return up.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *scaler) start(up *attempt) {
	s.changing.Lock()
	defer s.changing.Unlock()
	select {
	case <-time.After(s.Cold):
		up.err = s.Start(s.ctx)
	case <-s.ctx.Done():
		up.err = s.ctx.Err()
	}
	if up.err != nil {
		s.mu.Lock()
		s.up = nil
		s.mu.Unlock()
	}
	close(up.done)
}

func (s *scaler) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving--
	if s.serving == 0 && s.ctx.Err() == nil {
		s.idle = time.AfterFunc(s.Idle, func() { s.work.Go(s.stopIfIdle) })
	}
}

func (s *scaler) stopIfIdle() {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	rest := s.serving == 0 && s.up != nil && s.ctx.Err() == nil
	if rest {
		s.up = nil
	}
	s.mu.Unlock()
	if rest {
		_ = s.Stop(s.ctx) // an error means that it was killed: it has ended all the same
	}
}

// close waits until nothing starts or stops the function. s.ctx must have ended.
func (s *scaler) close() {
	s.mu.Lock()
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Unlock()
	s.work.Wait()
}
