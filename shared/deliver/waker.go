package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// WakerConfig has the URL of the function send.
type WakerConfig struct {
	URL string `env:"SEND_URL,required" help:"the URL of the function send, to wake it"`
}

// Validate reports what is wrong with the configuration.
func (c WakerConfig) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("SEND_URL must be a URL like http://send.duebell.svc.cluster.local")
	}
	return nil
}

const (
	// wakeTimeout bounds the wait for the answer's beginning. The function answers at once, but may
	// have to start from zero.
	wakeTimeout = 30 * time.Second
	// wakePatience is how long Wake retries. After that the sweep does it.
	wakePatience = 20 * time.Second
	// wakePause is the least time between two requests.
	wakePause = 10 * time.Millisecond
)

// Waker asks the function send to look for due deliveries. The request is a hint: it has no content
// and may be lost, since the sweep sends one every minute. It is safe for concurrent use.
type Waker struct {
	url    string
	client *http.Client
	ctx    context.Context //nolint:containedctx // ends the requests in the background
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	asking bool // a request is under way
	again  bool // another request is wanted, for what the running one may have missed
}

// NewWaker returns a Waker. It does not connect.
func NewWaker(cfg WakerConfig) *Waker {
	w := &Waker{url: cfg.URL, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: wakeTimeout,
	}}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Wake sends the request in the background, and returns at once. Calls during a running request
// share the next one.
func (w *Waker) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ctx.Err() != nil: // it is closed
		return
	case w.asking:
		w.again = true
		return
	}
	w.asking = true
	w.work.Go(w.ask)
}

func (w *Waker) ask() {
	for {
		_, err := backoff.Retry(w.ctx, func() (struct{}, error) { return struct{}{}, w.WakeNow(w.ctx) }, backoff.WithMaxElapsedTime(wakePatience))
		if err != nil && w.ctx.Err() == nil {
			slog.WarnContext(w.ctx, "the sender could not be woken: the sweep wakes it", "error", err)
		}
		select {
		case <-time.After(wakePause):
		case <-w.ctx.Done():
		}
		w.mu.Lock()
		more := w.again && w.ctx.Err() == nil
		w.again, w.asking = false, more
		w.mu.Unlock()
		if !more {
			return
		}
	}
}

// WakeNow sends one request, and returns when the function has begun to look.
//
// The function may keep its answer open while it works, which keeps it from being scaled to zero.
// The Waker reads the answer to its end in the background.
func (w *Waker) WakeNow(ctx context.Context) error {
	// ctx bounds only the answer's beginning.
	answer, end := context.WithCancel(w.ctx)
	stop := context.AfterFunc(ctx, end)
	req, err := http.NewRequestWithContext(answer, http.MethodPost, w.url, http.NoBody)
	if err != nil {
		end()
		return err
	}
	resp, err := w.client.Do(req)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		end()
		return fmt.Errorf("wake the sender: %w", err)
	}
	w.work.Go(func() {
		defer end()
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	})
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("wake the sender: it answers %s", resp.Status)
	}
	return nil
}

// Close ends the requests in the background. Running ones get half a second to be received.
func (w *Waker) Close() {
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end) && w.isAsking(); {
		time.Sleep(5 * time.Millisecond)
	}
	w.mu.Lock() // no request begins after this
	w.cancel()
	w.mu.Unlock()
	w.work.Wait()
	w.client.CloseIdleConnections()
}

func (w *Waker) isAsking() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asking
}
