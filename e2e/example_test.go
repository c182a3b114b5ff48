package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/duebell/duebell/local/issuer"
)

// client is what a backend needs to call Duebell for its users.
type client struct {
	url   string // where the API is
	token string // a token with the scope act
}

// call makes a request for a user, and reads the answer into out. If there was no answer, or one that
// asks for a later try (429, 5xx), it makes the request again, until ctx ends. So a request that
// creates something needs an Idempotency-Key: requests with the same key create it once. Other
// requests need none.
func (c client) call(ctx context.Context, user, key, method, path, body string, out any) error {
	for {
		wait, err := c.try(ctx, user, key, method, path, body, out)
		if err == nil || wait == 0 {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// try makes a request once. wait is how long to wait before the next try; 0: another try would fail,
// too.
func (c client) try(ctx context.Context, user, key, method, path, body string, out any) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Duebell-User", user)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return time.Second, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return time.Second, err
	case resp.StatusCode < 300:
		return 0, json.Unmarshal(answer, out)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		wait = max(time.Second, time.Duration(seconds)*time.Second)
	}
	return wait, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer) // its detail says what to do
}

// A backend creates a task for one of its users, and reads that user's inbox. The order's number is
// the Idempotency-Key. So the order gets one task, however often the backend repeats the request.
func Example() {
	token, err := sys.Token(issuer.Claims{Subject: "shop", Scope: "act", Lifetime: time.Hour}) // your backend gets its token from your issuer
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	shop := client{sys.URL(), token}

	task := fmt.Sprintf(`{"title": "Pay the invoice of order 4712", "due_date": %q}`, time.Now().Add(2*time.Second).Format(time.RFC3339Nano))
	var first, again struct{ ID string }
	for _, answer := range []*struct{ ID string }{&first, &again} {
		if err := shop.call(ctx, "customer-18", "order-4712", "POST", "/api/tasks", task, answer); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("one task:", first == again)

	var inbox struct{ Notifications []struct{ Title string } }
	for ; len(inbox.Notifications) == 0; time.Sleep(100 * time.Millisecond) { // your page would open the stream instead
		if err := shop.call(ctx, "customer-18", "", "GET", "/api/notifications", "", &inbox); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, n := range inbox.Notifications {
		fmt.Println("told:", n.Title)
	}
	// Output:
	// one task: true
	// told: Pay the invoice of order 4712
}
