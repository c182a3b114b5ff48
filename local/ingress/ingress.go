// Package ingress is an ingress between daprd and a function, as in a cluster. It forwards every
// callback, unless a test makes it fail as an ingress or a network can. It can also start the
// function when a callback comes, and stop it when it is idle.
package ingress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Fault says what happens to a callback.
type Fault struct {
	// Status, if not zero, is the answer, and the callback is not forwarded. An ingress
	// answers 404 for a host that it does not know yet.
	Status int
	// Delay is how long the callback waits before it is forwarded.
	Delay time.Duration
	// Everywhere forwards the callback to all instances at the same time. The caller gets one of
	// their answers.
	Everywhere bool
	// Again, if not zero, forwards the callback a second time, that long after the first answer.
	Again time.Duration
	// Cut breaks the caller's connection instead of returning the answer.
	Cut bool
}

// Ingress forwards callbacks to the instances of one function, in turn. It is safe
// for concurrent use.
type Ingress struct {
	instances []*url.URL
	client    *http.Client
	next      atomic.Uint32
	fault     atomic.Pointer[Fault]
	struck    atomic.Int64
	scaler    atomic.Pointer[scaler] // nil if the function always runs

	ctx    context.Context //nolint:containedctx // ends the copies that come later
	cancel context.CancelFunc
	copies sync.WaitGroup
}

// New makes an Ingress before the instances at the given URLs.
func New(instances ...*url.URL) *Ingress {
	i := &Ingress{instances: instances, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}}}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	i.Heal()
	return i
}

// Fail applies f to every callback from now on.
func (i *Ingress) Fail(f Fault) { i.fault.Store(&f) }

// Heal ends a fault: callbacks are forwarded unchanged again.
func (i *Ingress) Heal() { i.Fail(Fault{}) }

// Struck returns how many callbacks a fault was applied to.
func (i *Ingress) Struck() int { return int(i.struck.Load()) }

// Close cancels copies that are still to be forwarded.
func (i *Ingress) Close() {
	i.cancel()
	i.copies.Wait()
	if s := i.scaler.Load(); s != nil {
		s.close()
	}
	i.client.CloseIdleConnections()
}

// ServeHTTP forwards a callback, and returns the answer.
func (i *Ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := *i.fault.Load()
	if f != (Fault{}) {
		i.struck.Add(1)
	}
	if f.Status != 0 {
		http.Error(w, http.StatusText(f.Status), f.Status)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	ctx := r.Context()
	if f.Delay > 0 {
		ctx = i.ctx // it is forwarded even if its caller dies
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
		}
	}
	if s := i.scaler.Load(); s != nil {
		defer s.leave()
		if err := s.enter(ctx); err != nil {
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
			return
		}
	}
	instance := i.instances[int(i.next.Add(1))%len(i.instances)]
	if f.Everywhere {
		for _, other := range i.instances {
			if other != instance {
				i.later(0, other, r, body)
			}
		}
	}
	in, err := i.pass(ctx, instance, r, body)
	if err != nil {
		panic(http.ErrAbortHandler) // as without an ingress
	}
	defer in.Body.Close()
	if f == (Fault{}) {
		maps.Copy(w.Header(), in.Header)
		w.WriteHeader(in.StatusCode)
		if err := flow(w, in.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	answer, err := io.ReadAll(in.Body)
	if f.Again > 0 {
		i.later(f.Again, instance, r, body)
	}
	if err != nil || f.Cut {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), in.Header)
	w.WriteHeader(in.StatusCode)
	_, _ = w.Write(answer)
}

// flow copies an answer to the caller as it arrives.
func flow(w http.ResponseWriter, answer io.Reader) error {
	control := http.NewResponseController(w)
	for part := make([]byte, 4096); ; {
		if err := control.Flush(); err != nil {
			return err
		}
		n, err := answer.Read(part)
		if _, failed := w.Write(part[:n]); failed != nil {
			return failed
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (i *Ingress) pass(ctx context.Context, to *url.URL, r *http.Request, body []byte) (*http.Response, error) {
	out, err := http.NewRequestWithContext(ctx, r.Method, to.JoinPath(r.URL.EscapedPath()).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.URL.RawQuery = r.URL.RawQuery
	out.Header = r.Header.Clone()
	return i.client.Do(out)
}

// later forwards a copy of a callback after a while.
func (i *Ingress) later(wait time.Duration, to *url.URL, r *http.Request, body []byte) {
	copied := r.Clone(i.ctx)
	i.copies.Go(func() {
		select {
		case <-time.After(wait):
			if in, err := i.pass(i.ctx, to, copied, body); err == nil { // nobody reads the answer
				_, _ = io.Copy(io.Discard, in.Body)
				_ = in.Body.Close()
			}
		case <-i.ctx.Done():
		}
	})
}
