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
	// now, in the order of their latest changes. One of them may be in Came, too.
	Changed []store.Received
	// ReadAgain is true if there were too many changes to list. Then Changed is empty, and the
	// client has to read its list again.
	ReadAgain bool
}

// Client gets the notifications of one user, each once and in order, and the changes of their
// state from when it was opened on. Take and Close are for one goroutine.
//
// At first it reads the existing notifications from the database itself, page by page, as fast as
// they are taken. Then it is live: the Hub gives it what is new. If more comes
// than is taken, it reads for itself again.
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

// Take returns the notifications that came, and those that have changed, since the last call. There may be
// none. Take does not wait for more, but may read from the database.
func (c *Client) Take(ctx context.Context) (News, error) {
	h := c.hub
	h.mu.Lock()
	live, news := c.live, News{Came: c.pending, Changed: c.changed, ReadAgain: c.readAgain}
	c.pending, c.changed, c.readAgain = nil, nil, false
	h.mu.Unlock()
	if !live {
		// The feed reads the changes since changeSeq.
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

// offer gives a live client the notifications that its feed has read after a Seq, without those that it has.
func (c *Client) offer(news []store.Received, from int64) {
	// A client that went live during the read, and is further behind, would miss
	// what is in between. The feed reads that next.
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

// offerChanges gives a live client the changes that its feed has read after a ChangeSeq, without
// those that it has. all says that the feed has read every change there was.
func (c *Client) offerChanges(changes []store.Received, from int64, all bool) {
	// As in offer: a client that is further behind gets them later.
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

// detach ends the client's being live. It then reads for itself, after what was taken.
func (c *Client) detach() {
	if c.live {
		c.live, c.pending = false, nil
		c.feed.live--
	}
}
