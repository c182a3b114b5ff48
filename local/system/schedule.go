package system

import (
	"context"
	"net/http"
	"time"

	"github.com/duebell/duebell/local/process"
)

// startSchedules invokes the functions that time invokes, as a cluster's
// PingSources do. It returns what ends that.
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
			invokeEvery(ctx, f.Every, "http://"+process.Address(s.ports.Functions[f.Name])+"/")
		}()
	}
	return func() {
		cancel()
		for range running {
			<-ended
		}
	}
}

// invokeEvery posts to a URL, and again so long after each answer, until ctx ends.
// What goes wrong is in the function's log.
func invokeEvery(ctx context.Context, pause time.Duration, url string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
		if err != nil {
			return
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
}
