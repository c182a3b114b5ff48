package process

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Answers returns a function for Spec.Ready: it requests url, and returns nil if the answer has the
// status want. It waits two seconds at most, and closes its connection.
func Answers(url string, want int) func(context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != want {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}
