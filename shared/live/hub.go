package live

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// Hub reads notifications once for all clients of a user and hands them out. It is
// safe for concurrent use.
//
// It works, and keeps a connection for LISTEN, only while there are clients.
type Hub struct {
	source  Source
	rules   Rules
	readers int
	pages   chan struct{} // held by clients while they read for themselves

	mu      sync.Mutex
	feeds   map[string]*feed // of the users who have clients
	clients int
	queue   []*feed       // those to read, each at most once
	queued  chan struct{} // says that there is something in it
	stop    func()        // ends the run; nil while there is none
	ended   chan struct{} // closed when the last run has ended
	closed  bool
}

// feed is a user who has clients.
type feed struct {
	user    string
	clients map[*Client]struct{}
	live    int   // how many of them get what the feed reads
	seq     int64 // how far it has read; what comes after goes to the live ones

	changeSeq int64 // the same of the changes

	queued, reading bool
	again           bool // woken while reading
}

// NewHub makes a Hub that runs up to readers queries at a time to find what is new,
// and up to readers more for clients that catch up. It does nothing before the first client.
func NewHub(source Source, rules Rules, readers int) *Hub {
	ended := make(chan struct{})
	close(ended)
	return &Hub{
		source: source, rules: rules, readers: max(1, readers),
		pages: make(chan struct{}, max(1, readers)), feeds: map[string]*feed{}, queued: make(chan struct{}, 1), ended: ended,
	}
}

// Open adds a client that gets a user's notifications, from those after the given
// one. If that is uuid.Nil, it gets all notifications; if it is nil, only those from now on. The
// caller must Close it.
//
// The error is rate_limited if the user has too many clients, and unavailable if
// there are too many altogether, the Hub is closed or the database is away.
func (h *Hub) Open(ctx context.Context, user string, after *uuid.UUID) (*Client, error) {
	c := &Client{hub: h, ready: make(chan struct{}, 1)}
	if err := h.add(c, user); err != nil {
		return nil, err
	}
	err := h.read(ctx, func() (err error) {
		c.start, err = h.source.FindPlace(ctx, user, after)
		return err
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	c.taken, c.seq, c.changeSeq = c.start.Seq, c.start.Seq, c.start.ChangeSeq
	if after == nil {
		h.mu.Lock()
		h.attach(c)
		h.mu.Unlock()
	} else {
		c.wake()
	}
	return c, nil
}

// Close ends the Hub. Clients that are still open get nothing more.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.halt()
	ended := h.ended
	h.mu.Unlock()
	<-ended
}

func (h *Hub) add(c *Client, user string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[user]
	switch {
	case h.closed:
		return fault.Unavailable(nil, "this copy of the function is stopping; try again")
	case h.clients >= h.rules.MaxClients:
		return tooMany(fault.CodeUnavailable, "too many streams are open here; try again in a moment")
	case f != nil && len(f.clients) >= h.rules.MaxClientsPerUser:
		return tooMany(fault.CodeRateLimited, "you have too many streams open; close one first")
	case f == nil:
		f = &feed{user: user, clients: map[*Client]struct{}{}}
		h.feeds[user] = f
	}
	c.feed = f
	f.clients[c] = struct{}{}
	h.clients++
	if h.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		before, ended := h.ended, make(chan struct{})
		h.stop, h.ended = cancel, ended
		go func() {
			defer close(ended)
			<-before // so that there is never more than one connection that listens
			h.run(ctx)
		}()
	}
	return nil
}

func (h *Hub) remove(c *Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := c.feed
	if _, there := f.clients[c]; !there {
		return
	}
	c.detach()
	delete(f.clients, c)
	if len(f.clients) == 0 {
		delete(h.feeds, f.user)
	}
	if h.clients--; h.clients == 0 {
		h.halt()
	}
}

// halt ends the run, if there is one, without waiting for it.
func (h *Hub) halt() {
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// attach adds a client to those that get what the feed reads. The client has
// everything up to its seq.
func (h *Hub) attach(c *Client) {
	f := c.feed
	// If the feed is ahead of the client, it reads that part again; its other clients
	// skip what they have. It looks in any case, since LISTEN may have been off.
	if f.live == 0 || c.seq < f.seq {
		f.seq = c.seq
	}
	if f.live == 0 || c.changeSeq < f.changeSeq {
		f.changeSeq = c.changeSeq
	}
	f.live++
	c.live = true
	h.look(f)
}

// look puts a feed into the queue to be read.
func (h *Hub) look(f *feed) {
	switch {
	case f.reading:
		f.again = true
	case !f.queued && f.live > 0:
		f.queued = true
		h.queue = append(h.queue, f)
		h.signal()
	}
}

func (h *Hub) signal() {
	select {
	case h.queued <- struct{}{}:
	default:
	}
}

func (h *Hub) lookForAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.feeds {
		h.look(f)
	}
}

// hint is what to do when there may be something new for a user.
func (h *Hub) hint(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.feeds[user]; f != nil {
		h.look(f)
	}
}

func (h *Hub) run(ctx context.Context) {
	h.lookForAll() // what the last run, as it ended, may have left
	var group sync.WaitGroup
	group.Go(func() { h.listen(ctx) })
	for range h.readers {
		group.Go(func() { h.readFeeds(ctx) })
	}
	group.Go(func() {
		ticker := time.NewTicker(h.rules.LookInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				h.lookForAll()
			case <-ctx.Done():
				return
			}
		}
	})
	group.Wait()
}

// listen runs LISTEN until ctx ends, and begins again whenever it fails.
func (h *Hub) listen(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, h.rules.LookInterval
	for {
		err := h.source.Listen(ctx, func() {
			pause.Reset()
			h.lookForAll()
		}, h.hint)
		if ctx.Err() != nil {
			return
		}
		slog.WarnContext(ctx, "can't listen for new notifications, so they are late by some seconds", "error", err)
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return
		}
	}
}

// readFeeds reads the feeds in the queue, many in one query if many have piled up.
func (h *Hub) readFeeds(ctx context.Context) {
	for {
		select {
		case <-h.queued:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil {
			h.signal() // for the next run, which waits for this one
			return
		}
		feeds, readers := h.dequeue()
		if len(feeds) == 0 {
			continue
		}
		came, changed, err := h.source.NotificationsAfter(ctx, readers, pageSize)
		if err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "can't read new notifications, so they are late", "users", len(feeds), "error", err)
		}
		h.deliver(feeds, readers, byUser(came), byUser(changed), err)
	}
}

func (h *Hub) dequeue() (feeds []*feed, readers []store.Reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(h.queue), batchSize)
	for _, f := range h.queue[:n] {
		f.queued = false
		if f.live == 0 {
			continue
		}
		f.reading, f.again = true, false
		feeds = append(feeds, f)
		readers = append(readers, store.Reader{UserID: f.user, Seq: f.seq, ChangeSeq: f.changeSeq})
	}
	h.queue = h.queue[n:]
	if len(h.queue) > 0 {
		h.signal() // for the next reader
	} else {
		h.queue = nil
	}
	return feeds, readers
}

// deliver gives the clients of each feed what was read for it, from the place that its reader says.
func (h *Hub) deliver(feeds []*feed, readers []store.Reader, came, changed map[string][]store.Received, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, f := range feeds {
		f.reading = false
		if err != nil {
			continue // looked for again at the next interval, not at once
		}
		news, changes, from := came[f.user], changed[f.user], readers[i]
		for c := range f.clients {
			c.offer(news, from.Seq)
			c.offerChanges(changes, from.ChangeSeq, len(changes) < pageSize)
		}
		// But not if a client that is further behind has joined.
		if len(news) > 0 && f.seq == from.Seq {
			f.seq = news[len(news)-1].Seq
		}
		if len(changes) > 0 && f.changeSeq == from.ChangeSeq {
			f.changeSeq = changes[len(changes)-1].ChangeSeq
		}
		if f.again || len(news) == pageSize {
			h.look(f)
		}
	}
}

func byUser(list []store.Received) map[string][]store.Received {
	of := map[string][]store.Received{}
	for _, n := range list {
		of[n.UserID] = append(of[n.UserID], n)
	}
	return of
}

// read runs a query for a single client. Only a few of these run at a time.
func (h *Hub) read(ctx context.Context, query func() error) error {
	select {
	case h.pages <- struct{}{}:
		defer func() { <-h.pages }()
		return query()
	case <-ctx.Done():
		return ctx.Err()
	}
}
