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
	// mostTogether is how many endings of sends share a transaction, and
	// betweenEndings the pause between two such transactions: a send itself takes longer.
	mostTogether   = 500
	betweenEndings = 10 * time.Millisecond
	// betweenLeases is the pause between two statements that lease deliveries of a lane.
	betweenLeases = 10 * time.Millisecond
)

// Sender sends what is due, until nothing is. It is safe for concurrent use; any number of
// processes may have one.
//
// Deliveries wait in lanes: those for hosts that users choose, those for the operator's
// providers, and events. No lane waits for another. Within a lane users take turns, and
// each has few deliveries in flight, so that one user's thousand hanging webhooks take up
// the places of a few.
type Sender struct {
	store    *store.Store
	channels Channels
	names    map[task.Channel][]string // of the channels' providers
	rules    Rules
	links    verify.Links
	endings  together.Group[store.Ending]

	mu      sync.Mutex
	lanes   []*lane
	working int           // lanes that are at work
	done    chan struct{} // closed when none is any more
	stopped bool
}

// NewSender makes a Sender with the external channels that are set up. links are what owners
// of addresses are asked by. Its caller closes s, after Stop.
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
		// One channel whose provider hangs leaves half of the lane to the others.
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

// Wake has the sender look for what is due, and returns at once. The channel that it
// returns is closed when there is nothing left to do.
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

// rest ends a lane's work, unless it was asked to look again.
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

// Stop has the sender begin no more sends, and waits for those that it has begun to end
// and be recorded, until ctx ends: that takes as long as one send at most.
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

// result is what became of one attempt.
type result struct {
	state store.DeliveryState
	wait  time.Duration   // until the next attempt, if there is one
	asked []time.Duration // the waits that the providers of this round have asked for
	hung  bool            // it failed, and took long to do so
	lost  bool            // it is not recorded: the lease has to run out
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

// lease takes deliveries for this sender. Those that can't be taken now are left out. Among what it
// returns is what is over a limit or within quiet hours: that is not to be sent.
func (s *Sender) lease(ctx context.Context, chosen []item) (map[uuid.UUID]*store.Leased, error) {
	wanted := make([]store.Wanted, len(chosen))
	for i, c := range chosen {
		wanted[i] = s.rules.wanted(c)
	}
	rules := store.LeaseRules{For: s.rules.Lease, Providers: s.names, Limits: s.rules.Quota.Limits, Ceiling: s.rules.Quota.Ceiling}
	all, err := s.store.Lease(ctx, rules, wanted...)
	leased := make(map[uuid.UUID]*store.Leased, len(all))
	var free []store.Wanted // of those that had to be judged
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
	if err != nil { // the others are leased
		slog.WarnContext(ctx, "deliveries of users with quiet hours wait: they could not be leased", "deliveries", len(free), "error", err)
	}
	for _, l := range all {
		if l.Quiet == nil { // else the preferences have changed meanwhile: it is judged again
			leased[l.ID] = l
		}
	}
	return leased, nil
}
