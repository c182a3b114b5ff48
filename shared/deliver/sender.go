package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/together"
	"github.com/duebell/duebell/shared/verify"
)

const (
	// mostTogether is how many endings share a transaction. betweenEndings is the pause between two
	// such transactions; a send itself takes longer.
	mostTogether   = 500
	betweenEndings = 10 * time.Millisecond
	// betweenLeases is the pause between two statements that lease deliveries of a lane.
	betweenLeases = 10 * time.Millisecond
)

// Sender sends due deliveries until none is left. It is safe for concurrent use, and any number of
// processes may have one.
//
// Each lane has places for a number of sends at a time. No lane waits for another. Within a lane
// users take turns, and each user has few places. So one user with a thousand webhooks that hang
// takes up only these few.
type Sender struct {
	store    *store.Store
	channels Channels
	names    map[task.Channel][]string // of the channels' providers
	rules    Rules
	links    verify.Links
	endings  together.Group[store.Ending]

	mu      sync.Mutex
	lanes   []*lane
	working int           // how many lanes are at work
	done    chan struct{} // closed when no lane is at work
	stopped bool
}

// NewSender returns a Sender for the configured channels. links are for messages that ask the
// owners of addresses. The caller closes s, after Stop.
func NewSender(s *store.Store, channels Channels, rules Rules, links verify.Links) *Sender {
	sender := &Sender{store: s, channels: channels, names: channels.Names(), rules: rules, links: links}
	sender.endings.Most, sender.endings.Pause = mostTogether, betweenEndings
	sender.endings.Everyones = store.IsAway
	sender.endings.Call = func(ctx context.Context, endings []store.Ending) error {
		return s.Finish(ctx, store.Shared, endings...)
	}
	sender.endings.Alone = func(ctx context.Context, endings []store.Ending) error { return s.Finish(ctx, store.Alone, endings...) }
	all := rules.Concurrent
	sender.lanes = []*lane{
		{name: store.Hosts, places: all, perUser: rules.PerUser, perHost: all / 4, rests: true},
		// A channel whose provider hangs takes up half of the places at most.
		{name: store.Providers, places: all, perUser: rules.PerUser, perHost: all / 2},
		{name: store.Events, places: all, perUser: all, perHost: all},
	}
	for _, l := range sender.lanes {
		l.sender, l.hung = sender, map[store.UserHost]time.Time{}
		l.asked = make(chan struct{}, 1)
		l.ended = make(chan ended, all)
	}
	return sender
}

// Wake makes the sender look for due deliveries, and returns at once. done is closed when none is
// left.
func (s *Sender) Wake() (done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working == 0 {
		s.done = make(chan struct{})
		if s.stopped {
			close(s.done)
		}
	}
	for _, l := range s.lanes {
		switch {
		case s.stopped:
		case l.working:
			l.ask()
		default:
			l.working = true
			s.working++
			go l.work(context.Background())
		}
	}
	return s.done
}

// rest ends a lane's work. It reports false if the lane was asked to look again.
func (s *Sender) rest(l *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.asked) > 0 && !s.stopped {
		return false
	}
	l.working = false
	if s.working--; s.working == 0 {
		close(s.done)
	}
	return true
}

func (s *Sender) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Stop begins no more sends. It waits until the sends in flight have ended and are recorded, or
// until ctx ends. That takes no longer than a send.
func (s *Sender) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	done, working := s.done, s.working > 0
	for _, l := range s.lanes {
		l.ask()
	}
	s.mu.Unlock()
	if !working {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sends were cut off: %w", ctx.Err())
	}
}

// result is how an attempt ended.
type result struct {
	state store.DeliveryState
	wait  time.Duration   // until the next attempt, if there is one
	asked []time.Duration // the waits that providers of this round have asked for
	hung  bool            // it failed, and took long
	lost  bool            // it is not recorded, so its lease has to run out
}

// ended is a send that has ended.
type ended struct {
	item
	result
}

// item is a delivery in a lane.
type item struct {
	id         uuid.UUID
	user, host string
	channel    task.Channel
	target     string
	bundle     bool
	asked      []time.Duration
}

// lease leases deliveries, and leaves out those that can't be leased now. Some of what it returns
// is not leased and must not be sent: deliveries over a limit (Over) or within quiet hours (Quiet).
func (s *Sender) lease(ctx context.Context, chosen []item) (map[uuid.UUID]*store.Leased, error) {
	wanted := make([]store.Wanted, len(chosen))
	for i, c := range chosen {
		wanted[i] = s.rules.wanted(c)
	}
	rules := store.LeaseRules{For: s.rules.Lease, Providers: s.names, Limits: s.rules.Quota.Limits, Ceiling: s.rules.Quota.Ceiling}
	all, err := s.store.Lease(ctx, rules, wanted...)
	leased := make(map[uuid.UUID]*store.Leased, len(all))
	var free []store.Wanted // deliveries that were judged and may be sent
	for _, l := range all {
		if l.Quiet != nil && !isQuiet(l) {
			w := wanted[slices.IndexFunc(wanted, func(w store.Wanted) bool { return w.ID == l.ID })]
			w.Judged = l.Quiet.Version
			free = append(free, w)
			continue
		}
		leased[l.ID] = l
	}
	if len(free) == 0 {
		return leased, err
	}
	all, err = s.store.Lease(ctx, rules, free...)
	if err != nil { // the other deliveries are leased all the same
		slog.WarnContext(ctx, "deliveries of users with quiet hours wait: they could not be leased", "deliveries", len(free), "error", err)
	}
	for _, l := range all {
		if l.Quiet == nil { // with Quiet, the preferences have changed meanwhile, and it is judged again later
			leased[l.ID] = l
		}
	}
	return leased, nil
}
