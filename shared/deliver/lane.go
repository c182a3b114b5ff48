package deliver

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/together"
)

const (
	// most is how many deliveries a lane reads at a time.
	most = 2000
	// hangTime is how long a host that has hung is passed over for the user whose delivery hung. A
	// host that has hung for severalUsers is passed over for everybody.
	hangTime     = 30 * time.Second
	severalUsers = 3
	// troubleTime is how long a lane retries while the database fails.
	troubleTime  = 20 * time.Second
	troublePause = 500 * time.Millisecond
	// longestPause bounds the pause after a slow look for due deliveries.
	longestPause = time.Second
)

// lane sends the deliveries of one lane. One goroutine at a time does its work.
type lane struct {
	name    store.Lane
	sender  *Sender
	places  int  // how many sends may be in flight
	perUser int  // of these, for one user
	perHost int  // of these, for one host
	rests   bool // hosts that hang are passed over

	working bool          // sender.mu guards it
	asked   chan struct{} // a request to look again
	ended   chan ended    // sends that have ended

	// The following fields belong to the working goroutine.
	waiting  []*userQueue
	turn     int // index in waiting of the user whose turn it is
	inFlight int
	sending  map[uuid.UUID]bool // in flight
	users    map[string]int     // in flight
	hosts    map[string]int     // in flight
	served   map[string]int     // the number of each user's latest turn
	turns    int                // how many turns there were
	hung     map[store.UserHost]time.Time
	looked   time.Time     // when it last read due deliveries
	lookTook time.Duration // how long that took
	more     bool          // more are due than it read
	again    time.Time     // when to look again; zero: when asked
	wanted   bool          // it was asked, and has not looked since
	leased   time.Time     // when it last leased
	trouble  time.Time     // since when the database fails; zero: it works
}

// userQueue holds one user's waiting deliveries.
type userQueue struct {
	user  string
	items []item
}

// ask makes the lane look again. It returns at once.
func (l *lane) ask() {
	select {
	case l.asked <- struct{}{}:
	default: // a request is waiting already
	}
}

// work sends deliveries until none is due or due soon.
func (l *lane) work(ctx context.Context) {
	l.sending, l.users, l.hosts, l.served = map[uuid.UUID]bool{}, map[string]int{}, map[string]int{}, map[string]int{}
	l.waiting = nil
	l.want()
	for {
		if l.sender.isStopped() {
			l.waiting, l.again, l.wanted = nil, time.Time{}, false
		} else {
			l.look(ctx)
			if l.start(ctx) {
				l.takeNote()
				continue
			}
		}
		if l.idle() && l.sender.rest(l) {
			return
		}
		l.await()
	}
}

// idle reports whether no delivery is in flight, due, or due soon.
func (l *lane) idle() bool {
	soon := !l.again.IsZero() && time.Until(l.again) <= l.sender.rules.Linger
	return l.inFlight == 0 && len(l.waiting) == 0 && !l.wanted && !soon
}

// await waits for a request, for the end of a send, or for the time of the next look.
func (l *lane) await() {
	var timer <-chan time.Time
	if !l.again.IsZero() {
		timer = time.After(time.Until(l.again))
	}
	select {
	case <-l.asked:
		l.want()
	case e := <-l.ended:
		l.end(e)
	case <-timer:
	}
	l.takeNote()
}

// takeNote handles all requests, and all ends of sends, that have arrived.
func (l *lane) takeNote() {
	for {
		select {
		case <-l.asked:
			l.want()
		case e := <-l.ended:
			l.end(e)
		default:
			return
		}
	}
}

// want makes it look as soon as it may, and work at least until then.
func (l *lane) want() {
	l.wanted = true
	l.lookAt(time.Now())
}

// lookAt makes it look again at a time, if it would not look before. The pause after a look is at
// least five times what the look took, up to longestPause.
func (l *lane) lookAt(at time.Time) {
	if first := l.looked.Add(min(5*l.lookTook, longestPause)); at.Before(first) {
		at = first
	}
	if l.again.IsZero() || at.Before(l.again) {
		l.again = at
	}
}

// end handles the end of a send.
func (l *lane) end(e ended) {
	l.inFlight--
	delete(l.sending, e.id)
	l.users[e.user]--
	l.hosts[e.host]--
	if l.users[e.user] == 0 {
		delete(l.users, e.user)
	}
	if l.hosts[e.host] == 0 {
		delete(l.hosts, e.host)
	}
	if e.hung && l.rests {
		l.hung[store.UserHost{User: e.user, Host: e.host}] = time.Now().Add(hangTime)
		l.drop(l.passedOver(time.Now()))
	}
	switch {
	case e.lost:
		l.lookAt(time.Now().Add(l.sender.rules.Lease))
	case e.state != store.Planned && e.state != store.Unknown:
		// It is finished.
	case e.wait == 0: // the next provider's turn
		e.item.asked = e.result.asked
		l.putFirst(e.item)
	default:
		l.lookAt(time.Now().Add(e.wait))
	}
}

// drop removes waiting deliveries to hosts that are passed over.
func (l *lane) drop(over store.PassedOver) {
	for _, q := range l.waiting {
		q.items = slices.DeleteFunc(q.items, func(i item) bool {
			return slices.Contains(over.Hosts, i.host) || slices.Contains(over.Of, store.UserHost{User: i.user, Host: i.host})
		})
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(q *userQueue) bool { return len(q.items) == 0 })
}

// putFirst puts a delivery in front of its user's others.
func (l *lane) putFirst(i item) {
	for _, q := range l.waiting {
		if q.user == i.user {
			q.items = append([]item{i}, q.items...)
			return
		}
	}
	l.waiting = append(l.waiting, &userQueue{i.user, []item{i}})
}

// look reads the due deliveries, if it is time to.
func (l *lane) look(ctx context.Context) {
	through := l.more && len(l.waiting) == 0
	if !through && (l.again.IsZero() || time.Now().Before(l.again)) {
		return
	}
	began := time.Now()
	due, soon, err := l.sender.store.DueDeliveries(ctx, l.name, l.passedOver(began), most)
	l.looked, l.lookTook = time.Now(), time.Since(began)
	if err != nil {
		l.inTrouble(ctx, err)
		return
	}
	l.trouble, l.again, l.wanted, l.more = time.Time{}, time.Time{}, false, len(due) == most
	if soon != nil {
		l.lookAt(l.looked.Add(max(*soon, betweenLeases)))
	}
	l.wait(due)
}

// wait replaces the waiting deliveries. Users who have had no turn for the longest time come first.
func (l *lane) wait(due []store.DueDelivery) {
	byUser := make(map[string]*userQueue)
	kept := map[uuid.UUID][]time.Duration{} // waits that providers have asked for, of deliveries whose round goes on
	for _, q := range l.waiting {
		for _, i := range q.items {
			if i.asked != nil {
				kept[i.id] = i.asked
			}
		}
	}
	l.waiting, l.turn = nil, 0
	for _, d := range due {
		if l.sending[d.ID] {
			continue // its lease has run out, or its end was not handled yet
		}
		q := byUser[d.UserID]
		if q == nil {
			q = &userQueue{user: d.UserID}
			byUser[d.UserID] = q
			l.waiting = append(l.waiting, q)
		}
		q.items = append(q.items, item{d.ID, d.UserID, d.Host, d.Channel, d.Target, d.Bundle, kept[d.ID]})
	}
	maps.DeleteFunc(l.served, func(user string, _ int) bool { return byUser[user] == nil && l.users[user] == 0 })
	slices.SortStableFunc(l.waiting, func(a, b *userQueue) int { return cmp.Compare(l.served[a.user], l.served[b.user]) })
}

// passedOver returns the hosts to pass over, for everybody or for one user.
func (l *lane) passedOver(now time.Time) (over store.PassedOver) {
	hung := map[string]int{}
	for of, until := range l.hung {
		if until.Before(now) {
			delete(l.hung, of)
			continue
		}
		over.Of = append(over.Of, of)
		if hung[of.Host]++; hung[of.Host] == severalUsers {
			over.Hosts = append(over.Hosts, of.Host)
		}
	}
	return over
}

// inTrouble makes the lane retry for troubleTime after an error of the database. After that, the
// sweep wakes the sender again.
func (l *lane) inTrouble(ctx context.Context, err error) {
	now := time.Now()
	if l.trouble.IsZero() {
		l.trouble = now
		slog.WarnContext(ctx, "deliveries wait: they could not be read, or leased", "lane", l.name, "error", err)
	}
	l.waiting, l.more, l.again, l.wanted = nil, false, now.Add(troublePause), false
	if now.Sub(l.trouble) > troubleTime {
		l.trouble, l.again = time.Time{}, time.Time{}
	}
}

// start leases as many deliveries as may be in flight, and begins to send them. goOn reports
// whether to try others at once, since another sender has some of these.
func (l *lane) start(ctx context.Context) (goOn bool) {
	if len(l.waiting) == 0 || l.inFlight >= l.places {
		return false
	}
	time.Sleep(time.Until(l.leased.Add(betweenLeases)))
	chosen := l.choose()
	if len(chosen) == 0 {
		return false
	}
	began := time.Now() // the lease begins by the database's clock, now or a little later
	leased, err := l.sender.lease(ctx, chosen)
	l.leased = time.Now()
	if err != nil {
		l.inTrouble(ctx, err)
		return false
	}
	if len(leased) < len(chosen) {
		goOn = len(l.waiting) > 0
		l.lookAt(l.leased.Add(time.Second)) // another sender holds the missing ones, or has sent them
	}
	for _, c := range chosen {
		delivery, ok := leased[c.id]
		if !ok {
			continue
		}
		delete(leased, c.id) // a delivery that was chosen twice is sent once
		l.inFlight++
		l.sending[c.id] = true
		l.users[c.user]++
		l.hosts[c.host]++
		go func() {
			e := ended{item: c}
			defer func() { l.ended <- e }()
			err := together.Caught(func() error {
				e.result = l.sender.attempt(ctx, delivery, began, c.asked)
				return nil
			})
			if err != nil {
				slog.ErrorContext(ctx, "a send has failed: its lease has to run out", "delivery_id", c.id, "error", err)
				e.result = result{lost: true}
			}
		}()
	}
	return goOn
}

// choose removes as many deliveries from waiting as there are free places, one of each user in
// turn.
func (l *lane) choose() (chosen []item) {
	free := l.places - l.inFlight
	users, hosts := map[string]int{}, map[string]int{}
	for progress := true; progress && len(chosen) < free; {
		progress = false
		for n := len(l.waiting); n > 0 && len(chosen) < free; n-- {
			if l.turn >= len(l.waiting) {
				l.turn = 0
			}
			q := l.waiting[l.turn]
			at := -1
			if l.users[q.user]+users[q.user] < l.perUser {
				at = l.firstReady(q, hosts)
			}
			if at < 0 {
				l.turn++
				continue
			}
			i := q.items[at]
			q.items = append(q.items[:at], q.items[at+1:]...)
			chosen = append(chosen, i)
			users[i.user]++
			hosts[i.host]++
			l.turns++
			l.served[i.user] = l.turns
			progress = true
			if len(q.items) == 0 {
				l.waiting = append(l.waiting[:l.turn], l.waiting[l.turn+1:]...)
			} else {
				l.turn++
			}
		}
	}
	return chosen
}

// firstReady returns the index of a user's first delivery whose host has a free place; -1 if there
// is none. more counts the deliveries that were just chosen, by host.
func (l *lane) firstReady(q *userQueue, more map[string]int) int {
	for at, i := range q.items {
		if l.hosts[i.host]+more[i.host] < l.perHost {
			return at
		}
	}
	return -1
}
