package live

import (
	"context"
	"math"

	"github.com/duebell/duebell/shared/store"
)

// News is what a client has not been told yet.
type News struct {
	// Came are notifications, in order.
	Came []store.Received
	// Changed are notifications whose state has changed since the client was opened, as they are
	// now, in the order of their latest changes. Of one that came, too, this may be the same again.
	Changed []store.Received
	// ReadAgain is true if there were more changes than are told one by one, and none of them is:
	// what the client has is out of date.
	ReadAgain bool
}

// Client gets the notifications of one user, each once and in order, and the changes of their
// state from when it was opened on. Take and Close are for one goroutine.
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

	live      bool
	seq       int64 // of the last one that was put into pending
	pending   []store.Received
	changeSeq int64 // of the last change that was put into changed, or is covered by readAgain
	changed   []store.Received
	readAgain bool
}

// Start returns where the client began.
func (c *Client) Start() store.Place { return c.start }

// Ready has something in it when Take may have something to return.
func (c *Client) Ready() <-chan struct{} { return c.ready }

// Take returns what came, and what has changed, since the last call, which may be nothing. It
// does not wait for more, but may read from the database.
func (c *Client) Take(ctx context.Context) (News, error) {
	h := c.hub
	h.mu.Lock()
	live, news := c.live, News{Came: c.pending, Changed: c.changed, ReadAgain: c.readAgain}
	c.pending, c.changed, c.readAgain = nil, nil, false
	h.mu.Unlock()
	if !live {
		// The changes are left to the feed, which reads those since changeSeq.
		reader := store.Reader{UserID: c.feed.user, Seq: c.taken, ChangeSeq: math.MaxInt64}
		err := h.read(ctx, func() (err error) {
			news.Came, _, err = h.source.NotificationsAfter(ctx, []store.Reader{reader}, pageSize)
			return err
		})
		if err != nil {
			return News{}, err
		}
	}
	if len(news.Came) > 0 {
		c.taken = news.Came[len(news.Came)-1].Seq
	}
	if !live {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.seq = c.taken
		if len(news.Came) < pageSize {
			h.attach(c)
		} else {
			c.wake()
		}
	}
	return news, nil
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

// offerChanges gives a live client the changes that its feed has read after a ChangeSeq, less
// those that it has. all says whether there were no others.
func (c *Client) offerChanges(changes []store.Received, from int64, all bool) {
	// As in offer: one that went live from further back is given them later.
	if !c.live || c.changeSeq < from || len(changes) == 0 || changes[len(changes)-1].ChangeSeq <= c.changeSeq {
		return
	}
	// Those that are missing lie before the first.
	missed := !all && changes[0].ChangeSeq > c.changeSeq
	for changes[0].ChangeSeq <= c.changeSeq {
		changes = changes[1:]
	}
	c.changeSeq = changes[len(changes)-1].ChangeSeq
	if missed || c.readAgain || len(c.changed)+len(changes) > maxChanged {
		c.changed, c.readAgain = nil, true
	} else {
		c.changed = append(c.changed, changes...)
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
