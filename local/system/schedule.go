package system

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/duebell/duebell/local/process"
)

// startSchedules invokes the functions that have a schedule, as a cluster's PingSources do. stop
// ends that.
func (s *System) startSchedules() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	running := 0
	for _, f := range s.functions {
		if f.Every == 0 {
			continue
		}
		running++
		go func() {
			defer func() { ended <- struct{}{} }()
			s.invokeEvery(ctx, f.Every, f.Name)
		}()
	}
	return func() {
		cancel()
		for range running {
			<-ended
		}
	}
}

// invokeEvery invokes a function until ctx ends, with a pause after each answer. Errors are in the
// function's log.
func (s *System) invokeEvery(ctx context.Context, pause time.Duration, name string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		_ = s.Invoke(ctx, name)
	}
}

// Invoke invokes a function that has a schedule, and waits for its answer.
func (s *System) Invoke(ctx context.Context, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+process.Address(s.ports.Functions[name])+"/", http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", name, resp.StatusCode)
	}
	return nil
}
