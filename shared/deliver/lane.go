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
	// hangTime is for how long a user's host that has hung is passed over for this user, and
	// a host that has hung for severalUsers for everybody.
	hangTime     = 30 * time.Second
	severalUsers = 3
	// troubleTime is how long a lane goes on while the database refuses it.
	troubleTime  = 20 * time.Second
	troublePause = 500 * time.Millisecond
	// longestPause is for how long a lane does not look again because the last look took long.
	longestPause = time.Second
)

// lane sends deliveries that wait for parties of one kind. One goroutine works at a time.
type lane struct {
	name    store.Lane
	sender  *Sender
	places  int  // how many may be in flight
	perUser int  // of these, for one user
	perHost int  // of these, for one host
	rests   bool // hosts that hang are passed over for a while

	working bool          // sender.mu guards it
	asked   chan struct{} // somebody wants it to look again
	ended   chan ended    // sends that have ended

	// What follows belongs to the goroutine at work.
	waiting  []*userQueue
	turn     int // whose turn it is in waiting
	inFlight int
	sending  map[uuid.UUID]bool // in flight
	users    map[string]int     // in flight
	hosts    map[string]int     // in flight
	served   map[string]int     // when each user last had a turn, in turns
	turns    int                // that users have had
	hung     map[store.UserHost]time.Time
	looked   time.Time     // when it last read what is due
	lookTook time.Duration // how long that took
	more     bool          // there was more than it read
	again    time.Time     // when it is to look again; zero: when it is asked
	wanted   bool          // it was asked, and has not looked since
	leased   time.Time     // when it last leased
	trouble  time.Time     // since when the database has refused; zero: it has not
}

// userQueue is what waits for one user.
type userQueue struct {
	user  string
	items []item
}

// ask has the lane look again.
func (l *lane) ask() {
	select {
	case l.asked <- struct{}{}:
	default: // it will
	}
}

// work sends until nothing is due, or due soon.
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

// idle reports whether nothing is due, or soon will be.
func (l *lane) idle() bool {
	soon := !l.again.IsZero() && time.Until(l.again) <= l.sender.rules.Linger
	return l.inFlight == 0 && len(l.waiting) == 0 && !l.wanted && !soon
}

// await returns when there may be something to do.
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

// takeNote takes note of what has happened meanwhile.
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

// want has it look as soon as it may, and not end before.
func (l *lane) want() {
	l.wanted = true
	l.lookAt(time.Now())
}

// lookAt has it look again at a time, or before. A new look costs what the last one did:
// so looks take a fifth of the time.
func (l *lane) lookAt(at time.Time) {
	if first := l.looked.Add(min(5*l.lookTook, longestPause)); at.Before(first) {
		at = first
	}
	if l.again.IsZero() || at.Before(l.again) {
		l.again = at
	}
}

// end takes note of a send that has ended.
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

// drop takes out of what waits what is passed over.
func (l *lane) drop(over store.PassedOver) {
	for _, q := range l.waiting {
		q.items = slices.DeleteFunc(q.items, func(i item) bool {
			return slices.Contains(over.Hosts, i.host) || slices.Contains(over.Of, store.UserHost{User: i.user, Host: i.host})
		})
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(q *userQueue) bool { return len(q.items) == 0 })
}

// putFirst has a delivery be the next of its user's.
func (l *lane) putFirst(i item) {
	for _, q := range l.waiting {
		if q.user == i.user {
			q.items = append([]item{i}, q.items...)
			return
		}
	}
	l.waiting = append(l.waiting, &userQueue{i.user, []item{i}})
}

// look reads what is due, if it is time for that.
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

// wait has what is due wait, and nothing else. Who has had no turn for the longest time has
// the next one.
func (l *lane) wait(due []store.DueDelivery) {
	byUser := make(map[string]*userQueue)
	kept := map[uuid.UUID][]time.Duration{} // what those whose round goes on were asked for
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
			continue // its lease has run out, or its end has yet to be noted
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

// passedOver returns the hosts that have hung, and for whom.
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

// inTrouble has it try again soon, for a while. The sweep wakes the sender again after that.
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

// start leases as many deliveries as may be in flight, and begins to send them. It reports
// whether others should be tried at once, because somebody else has some of these.
func (l *lane) start(ctx context.Context) (goOn bool) {
	if len(l.waiting) == 0 || l.inFlight >= l.places {
		return false
	}
	time.Sleep(time.Until(l.leased.Add(betweenLeases)))
	chosen := l.choose()
	if len(chosen) == 0 {
		return false
	}
	began := time.Now() // the database counts from then, or a little later
	leased, err := l.sender.lease(ctx, chosen)
	l.leased = time.Now()
	if err != nil {
		l.inTrouble(ctx, err)
		return false
	}
	if len(leased) < len(chosen) {
		goOn = len(l.waiting) > 0
		l.lookAt(l.leased.Add(time.Second)) // somebody holds the others' rows, or has sent them
	}
	for _, c := range chosen {
		delivery, ok := leased[c.id]
		if !ok {
			continue
		}
		delete(leased, c.id) // whatever waits twice is sent once
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

// choose takes from what waits as many as there are places for, one for each user in turn.
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

// firstReady returns which of a user's deliveries is the first whose host may get another
// one; -1 if there is none. more are those that are about to be sent there.
func (l *lane) firstReady(q *userQueue, more map[string]int) int {
	for at, i := range q.items {
		if l.hosts[i.host]+more[i.host] < l.perHost {
			return at
		}
	}
	return -1
}
