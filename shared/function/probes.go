package function

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/web"
	"github.com/duebell/duebell/shared/zone"
)

// checkTimeout bounds all checks of one /readyz together.
const checkTimeout = 2 * time.Second

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
	return func(w http.ResponseWriter, r *http.Request) error {
		var answer struct {
			Status string   `json:"status"`
			Checks []result `json:"checks"`
		}
		answer.Status, answer.Checks = "ready", runAll(r.Context(), checks)
		status := http.StatusOK
		for _, result := range answer.Checks {
			if !result.OK {
				answer.Status, status = "not ready", http.StatusServiceUnavailable
			}
		}
		select {
		case <-s.draining:
			answer.Status, status = "stopping", http.StatusServiceUnavailable
		default:
		}
		return web.WriteJSON(w, status, answer)
	}
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
