package live

import (
	"context"

	"github.com/duebell/duebell/shared/store"
)

// Client gets the notifications of one user, each once and in order. Take and Close
// are for one goroutine.
//
// It begins by reading what there is already for itself, page by page, as fast as
// they are taken. Then it goes live: the Hub hands it what comes. If that is more
// than it takes, it goes back to reading for itself.
type Client struct {
	hub   *Hub
	feed  *feed
	start store.Place
	ready chan struct{}
	taken int64 // the Seq of the last one that Take returned

	// Of the Hub's lock:

	live    bool
	seq     int64 // of the last one that was put into pending
	pending []store.Received
}

// Start returns where the client began.
func (c *Client) Start() store.Place { return c.start }

// Ready has something in it when Take may have something to return.
func (c *Client) Ready() <-chan struct{} { return c.ready }

// Take returns what came since the last call, which may be nothing. It does not
// wait for more, but may read from the database.
func (c *Client) Take(ctx context.Context) ([]store.Received, error) {
	h := c.hub
	h.mu.Lock()
	live, list := c.live, c.pending
	c.pending = nil
	h.mu.Unlock()
	if !live {
		err := h.read(ctx, func() (err error) {
			list, err = h.source.NotificationsAfter(ctx, []store.Reader{{UserID: c.feed.user, Seq: c.taken}}, pageSize)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(list) > 0 {
		c.taken = list[len(list)-1].Seq
	}
	if !live {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.seq = c.taken
		if len(list) < pageSize {
			h.attach(c)
		} else {
			c.wake()
		}
	}
	return list, nil
}

// Close removes the client from the Hub.
func (c *Client) Close() { c.hub.remove(c) }

// wake makes the client ready.
func (c *Client) wake() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// offer gives a live client what its feed has read after a Seq, less what it has.
func (c *Client) offer(news []store.Received, from int64) {
	// One that went live while this was being read, from further back, would miss
	// what is between. The feed reads that now.
	if !c.live || c.seq < from {
		return
	}
	for len(news) > 0 && news[0].Seq <= c.seq {
		news = news[1:]
	}
	if len(news) == 0 {
		return
	}
	if len(c.pending)+len(news) > maxPending {
		c.detach()
	} else {
		c.pending = append(c.pending, news...)
		c.seq = news[len(news)-1].Seq
	}
	c.wake()
}

// detach takes the client back from live; it reads on after what was taken.
func (c *Client) detach() {
	if c.live {
		c.live, c.pending = false, nil
		c.feed.live--
	}
}
