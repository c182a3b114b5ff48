package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
)

// client makes requests as the users. It is safe for concurrent use.
type client struct {
	base   string
	tokens []string // of the users
	http   *http.Client
	busy   chan struct{} // one value for each request in flight

	requests, unanswered atomic.Int64
}

func newClient(base string, tokens []string) *client {
	return &client{
		base: base, tokens: tokens, busy: make(chan struct{}, 128),
		http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
	}
}

// answer is the result of a request. Without a clear answer its status is 0.
type answer struct {
	status int
	body   []byte
}

func (a answer) into(out any) error {
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("%w in %.200s", err, a.body)
	}
	return nil
}

// once makes a request once. If it is not clear whether the request took effect, that counts as no
// answer.
func (c *client) once(ctx context.Context, user int, method, path string, in any, header ...string) answer {
	c.busy <- struct{}{}
	defer func() { <-c.busy }()
	c.requests.Add(1)
	a := c.exchange(ctx, user, method, path, in, header...)
	if a.status >= 500 || a.status == http.StatusTooManyRequests || a.status == http.StatusConflict {
		a.status = 0
	}
	if a.status == 0 {
		c.unanswered.Add(1)
	}
	return a
}

func (c *client) exchange(ctx context.Context, user int, method, path string, in any, header ...string) answer {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			panic(err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.tokens[user])
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}
	}
	return answer{resp.StatusCode, content}
}

// settled repeats a request until the answer is clear. The request must take effect once, however
// often it is made.
func (c *client) settled(ctx context.Context, user int, method, path string, in any, header ...string) (answer, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if a := c.once(ctx, user, method, path, in, header...); a.status != 0 {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return answer{}, fmt.Errorf("%s %s was never answered: %w", method, path, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// must is settled for a request that has to be answered with a status.
func (c *client) must(ctx context.Context, want, user int, method, path string, in any, header ...string) error {
	a, err := c.settled(ctx, user, method, path, in, header...)
	if err == nil && a.status != want {
		err = fmt.Errorf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return err
}

// notification is a notification in a user's inbox.
type notification struct {
	ID        uuid.UUID `json:"id"`
	TaskID    uuid.UUID `json:"task_id"`
	Title     string    `json:"title"`
	CreatedAt time.Time `json:"created_at"`
	// Occurrence is for recurring tasks; "" for others.
	Occurrence string `json:"occurrence"`
}

// inbox reads a user's notifications after one of them; the nil UUID means all.
func (c *client) inbox(ctx context.Context, user int, after uuid.UUID) (all []notification, err error) {
	for {
		const limit = 1000
		a, err := c.settled(ctx, user, "GET", fmt.Sprintf("/api/notifications?after=%s&limit=%d", after, limit), nil)
		if err != nil {
			return nil, err
		}
		var page struct{ Notifications []notification }
		if err := a.into(&page); err != nil {
			return nil, err
		}
		all = append(all, page.Notifications...)
		if len(page.Notifications) < limit {
			return all, nil
		}
		after = all[len(all)-1].ID
	}
}

// tasks lists a user's tasks.
func (c *client) tasks(ctx context.Context, user int) (all []api.Task, err error) {
	for cursor := ""; ; {
		a, err := c.settled(ctx, user, "GET", "/api/tasks?limit=100&cursor="+cursor, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Tasks      []api.Task
			NextCursor *string `json:"next_cursor"`
		}
		if err := a.into(&page); err != nil {
			return nil, err
		}
		all = append(all, page.Tasks...)
		if page.NextCursor == nil || *page.NextCursor == "" {
			return all, nil
		}
		cursor = *page.NextCursor
	}
}
