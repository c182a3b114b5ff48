package function

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/web"
	"github.com/duebell/duebell/shared/zone"
)

const (
	// checkTimeout bounds all checks together.
	checkTimeout = 2 * time.Second
	// readyFor is for how long a probe is told that all checks passed without another look.
	readyFor = time.Second
)

// Check says whether something that a function needs is there.
type Check struct {
	Name string                      // as /readyz shows it
	Func func(context.Context) error // returns when the context ends; its error is logged, not shown
}

type result struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// healthz says that the process is alive, and which release of the time zones it has.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return web.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok", "tzdata": zone.Release()})
}

// readyz answers 200 if every check passes, else 503. The answer says which do
// not, in general words; the log says why.
func (s *server) readyz(checks []Check) web.Handler {
	ready := readiness{checks: checks}
	return func(w http.ResponseWriter, r *http.Request) error {
		var answer struct {
			Status string   `json:"status"`
			Checks []result `json:"checks"`
		}
		results, ok := ready.look(r.Context())
		if !ok {
			panic(http.ErrAbortHandler) // nobody is there to be answered
		}
		answer.Status, answer.Checks = "ready", results
		status := http.StatusOK
		if !allOK(results) {
			answer.Status, status = "not ready", http.StatusServiceUnavailable
		}
		select {
		case <-s.draining:
			answer.Status, status = "stopping", http.StatusServiceUnavailable
		default:
		}
		return web.WriteJSON(w, status, answer)
	}
}

// readiness runs the checks for all who ask, once at a time. Knative's probes hang up after
// 100 ms: the checks they began go on, and what comes of them answers those who ask meanwhile
// or soon after. So a database that takes longer than a probe waits does not keep the function from
// becoming ready.
type readiness struct {
	checks []Check

	mu      sync.Mutex
	running chan struct{} // closed at the end of the run that is under way; nil if there is none
	results []result      // of the last one
	ended   time.Time
}

// look returns what the checks say. It is false if ctx ends before they have.
func (r *readiness) look(ctx context.Context) ([]result, bool) {
	r.mu.Lock()
	if r.running == nil && allOK(r.results) && time.Since(r.ended) < readyFor {
		defer r.mu.Unlock()
		return r.results, true
	}
	if r.running == nil {
		r.running = make(chan struct{})
		go r.run(context.WithoutCancel(ctx), r.running)
	}
	running := r.running
	r.mu.Unlock()
	select {
	case <-running:
	case <-ctx.Done():
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results, true
}

func (r *readiness) run(ctx context.Context, running chan struct{}) {
	results := runAll(ctx, r.checks)
	r.mu.Lock()
	r.results, r.ended, r.running = results, time.Now(), nil
	r.mu.Unlock()
	close(running)
}

func allOK(results []result) bool {
	return !slices.ContainsFunc(results, func(r result) bool { return !r.OK })
}

// runAll runs the checks side by side. It does not wait for one that outstays
// the time-out.
func runAll(ctx context.Context, checks []Check) []result {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	outcomes := make([]chan error, len(checks))
	for i, check := range checks {
		outcomes[i] = make(chan error, 1)
		go func() { outcomes[i] <- call(ctx, check) }()
	}
	results := make([]result, len(checks))
	for i, check := range checks {
		var err error
		select {
		case err = <-outcomes[i]:
		case <-ctx.Done():
			err = ctx.Err()
		}
		results[i] = result{Name: check.Name, OK: err == nil}
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			results[i].Reason = "no answer in time"
		case err != nil:
			results[i].Reason = "not available"
		}
		if err != nil {
			slog.WarnContext(ctx, "not ready", "check", check.Name, "error", err)
		}
	}
	return results
}

func call(ctx context.Context, check Check) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v", value)
		}
	}()
	return check.Func(ctx)
}
