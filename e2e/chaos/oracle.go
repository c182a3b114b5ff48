package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/task"
)

// told is a message that arrived, in an inbox, at a provider or in the audit log.
type told struct {
	id       uuid.UUID // the delivery's
	provider string
	title    string
	at       time.Time
	cut      bool // its sender got no answer
	// occurrence is set for a recurring task in the inbox.
	occurrence string
	// frozen is when the bundle was frozen; zero: it was no bundle.
	frozen time.Time
}

// arrivals are all messages of one task.
type arrivals struct {
	inbox    []told
	external map[string][]told // by channel, copies included
	events   []told            // as the audit log has them
}

// shot is an instant at which a reminder should be told. One request armed the reminder, and
// another may have disarmed it.
type shot struct {
	at      time.Time
	armed   *op
	fired   bool // an answer said so
	never   bool // an answer said that it was cancelled
	endedBy *op  // nil: nothing disarmed it
	doubt   bool // it is not known whether it was armed
}

// bounds returns how often the shot may be told, 0 or 1 each. They differ if it was disarmed at
// about the time it was due.
func (s shot) bounds(end time.Time) (least, most int) {
	switch {
	case s.fired:
		return 1, 1
	case s.never, s.at.After(end), s.endedBy != nil && s.at.After(s.endedBy.settled):
		return 0, 0
	case s.endedBy != nil, s.doubt:
		return 0, 1
	}
	return 1, 1
}

// asked returns when the shot should be told: at its instant, or when it was asked for if that was
// later.
func (s shot) asked() time.Time {
	if s.armed.task.UpdatedAt.After(s.at) {
		return s.armed.task.UpdatedAt
	}
	return s.at
}

// arming is what one request armed, with the titles that the task had while that was in force. No
// other arming is told under these titles.
type arming struct {
	titles []string
	shots  []*shot
}

// armings returns what a life's requests armed.
func (l *life) armings() (all []arming) {
	current := map[uuid.UUID]*shot{} // by the reminder's id
	var repeated *shot
	for i := range l.ops {
		o := &l.ops[i]
		states := map[uuid.UUID]string{}
		for _, r := range o.task.Reminders {
			states[r.ID] = r.State
			// The previous answer about the shot still holds, unless this request may have replaced
			// the shot.
			if s := current[r.ID]; s != nil && s.endedBy == nil && o.kind != move {
				s.fired = s.fired || r.State == "fired"
				s.never = !s.fired && r.State == "cancelled"
			}
		}
		if o.kind == move || o.kind == remove || o.kind == complete {
			for id, s := range current {
				if s.endedBy == nil && (o.kind != complete || states[id] != "fired") {
					s.endedBy = o
				}
			}
		}
		switch o.kind {
		case create, move, reopen:
			a := arming{titles: []string{o.title}}
			for _, r := range o.task.Reminders {
				s := current[r.ID]
				kept := s != nil && s.endedBy == nil // of a completed task it has fired before
				if armed := r.State == "pending" || r.State == "scheduled" || r.State == "fired"; armed && !kept {
					s = &shot{at: *r.FireAt, armed: o, fired: r.State == "fired"}
					current[r.ID] = s
					a.shots = append(a.shots, s)
				}
			}
			all = append(all, a)
		case retitle:
			last := &all[len(all)-1]
			last.titles = append(last.titles, o.title)
		case snooze:
			last := &all[len(all)-1]
			shown := slices.ContainsFunc(o.task.Reminders, func(r api.Reminder) bool { return r.Kind == task.KindSnooze })
			last.shots = append(last.shots, &shot{at: o.until, armed: o, doubt: !shown})
		case acknowledge:
			// Before anything was told there is nothing to stop.
			told := slices.ContainsFunc(o.task.Reminders, func(r api.Reminder) bool { return r.Kind == task.KindDue && r.State == "fired" })
			if repeated != nil && told {
				repeated.endedBy = o
			}
		}
		if o.kind == create && l.repeats {
			last := &all[len(all)-1]
			for _, s := range slices.Clone(last.shots) {
				repeated = &shot{at: s.at.Add(every), armed: o}
				last.shots = append(last.shots, repeated)
			}
		}
	}
	return all
}

// on reports whether the task's reminders are told on a channel: one of its own, or else of its
// user's.
func (l *life) on(channel string) bool {
	if l.channels != nil {
		return slices.Contains(l.channels, channel)
	}
	return slices.Contains(channelsOf(l.user), channel)
}

// external are the channels with providers.
var external = []string{"email", "push", "sms", "webhook"}

// channelsOf returns the channels that a user has on: all for some, the usual ones for most.
func channelsOf(user int) []string {
	if user%5 == 0 {
		return append([]string{"in_app"}, external...)
	}
	return []string{"in_app", "email"}
}

// finding is something that went wrong.
type finding struct {
	what    string // lost, duplicate, early, cancelled, quiet, wrong, late
	life    *life  // nil: it belongs to no task and no agenda
	text    string
	history string
}

// tally is the sum of all comparisons.
type tally struct {
	reminders int // that were asked for
	shots     int // instants at which a reminder had to be told
	either    int // instants at which it may or may not have been told
	ahead     int // still to come at the end
	missed    int // occurrences that were not told because of an outage
	agendas   int // how many agendas had to come
	findings  []finding
	late      map[string][]time.Duration // by channels
	calm      map[string][]time.Duration // the part of these while parts were slow at most
	copies    map[string]int             // external duplicates, by their cause
	trouble   error                      // a part did not come up again, or did not stop
}

func (t *tally) find(l *life, what, format string, args ...any) {
	t.findings = append(t.findings, finding{what: what, life: l, text: fmt.Sprintf(format, args...)})
}

// judge compares what came for a task with what was asked for until the end of the run.
func (t *tally) judge(l *life, came arrivals, faults []struck, end time.Time) {
	t.reminders += len(l.before)
	for _, r := range l.refused {
		t.find(l, "wrong", "the answer should not have been: %s", r)
	}
	if len(l.ops) == 0 {
		if len(came.inbox) > 0 || len(came.external) > 0 || len(came.events) > 0 {
			t.find(l, "wrong", "messages came for a task that was never made: %v", came)
		}
		return
	}
	if l.recurs > 0 {
		t.judgeRecurring(l, came, faults)
		return
	}
	leastEvents, most := 0, 0
	var sent []time.Time // when those are due that have to be sent
	var shots []*shot
	known := map[string]bool{}
	armings := l.armings()
	for _, a := range armings {
		leastHere, mostHere := 0, 0
		for _, s := range a.shots {
			low, high := s.bounds(end)
			leastHere, mostHere = leastHere+low, mostHere+high
			if high == 1 {
				shots = append(shots, s)
			}
			// Moving or ending a task cancels its unsent messages, but not an event.
			if low == 1 && !l.endedAfter(s) {
				sent = append(sent, s.asked())
			}
		}
		leastEvents, most = leastEvents+leastHere, most+mostHere
		t.shots += leastHere
		t.either += mostHere - leastHere
		var got []told
		for _, m := range came.inbox {
			if slices.Contains(a.titles, m.title) {
				known[m.title] = true
				got = append(got, m)
			}
		}
		if !l.on("in_app") {
			leastHere, mostHere = 0, 0
		}
		t.judgeInbox(l, a, got, leastHere, mostHere, faults, end)
	}
	for _, m := range came.inbox {
		if !known[m.title] {
			t.find(l, "wrong", "%s came to the inbox under the title %q, which it never had", clock(m.at), m.title)
		}
	}
	for _, channel := range external {
		messages := slices.Clone(came.external[channel])
		for i, m := range messages {
			if m.id == uuid.Nil { // it has no room for that; its text tells
				messages[i].id = deliveryOf(l, armings, m.title)
			}
		}
		switch {
		case l.on(channel) && l.isBundled(channel):
			t.judgeBundled(l, channel, messages, sent)
			t.judgeExternal(l, channel, messages, faults, 0, most, shots)
		case l.on(channel):
			t.judgeExternal(l, channel, messages, faults, l.quiet.leastAfter(sent), most, shots)
		default:
			t.judgeExternal(l, channel, messages, faults, 0, 0, nil)
		}
	}
	if l.on("in_app") { // then it is known how many have fired
		leastEvents, most = len(came.inbox), len(came.inbox)
	}
	if n := len(came.events); n < leastEvents {
		t.find(l, "lost", "the audit log has %d of %d events", n, leastEvents)
	} else if n > most {
		t.find(l, "duplicate", "the audit log has %d events, %d at most should be", n, most)
	}
}

// deliveryOf returns a check for the delivery id of a message: that it is of the arming that has
// this title. The task has one reminder only.
func deliveryOf(l *life, armings []arming, title string) uuid.UUID {
	for i, a := range armings {
		if slices.Contains(a.titles, title) {
			return uuid.NewSHA1(l.id, []byte{byte(i)})
		}
	}
	return uuid.NewSHA1(l.id, []byte(title))
}

// endedAfter reports whether a request came after the shot was due that cancels its unsent
// messages.
func (l *life) endedAfter(s *shot) bool {
	return slices.ContainsFunc(l.ops, func(o op) bool {
		switch o.kind {
		case move, remove, complete:
			return o.settled.After(s.armed.settled)
		case snooze, acknowledge: // which end what was told before
			return o.settled.After(s.at)
		}
		return false
	})
}

func (t *tally) judgeInbox(l *life, a arming, got []told, least, most int, faults []struck, end time.Time) {
	if len(got) < least {
		t.find(l, "lost", "%d of %d came to the inbox", len(got), least)
	}
	if len(got) > most {
		t.find(l, "duplicate", "%d came to the inbox, %d at most should", len(got), most)
	}
	instants := make([]*shot, 0, len(a.shots))
	for _, s := range a.shots {
		if _, high := s.bounds(end); high == 1 {
			instants = append(instants, s)
		}
	}
	slices.SortFunc(instants, func(a, b *shot) int { return a.at.Compare(b.at) })
	slices.SortFunc(got, func(a, b told) int { return a.at.Compare(b.at) })
	for i := range min(len(got), len(instants)) {
		s, m := instants[i], got[i]
		if m.at.Before(s.at) {
			t.find(l, "early", "%s is %v before it was due", clock(m.at), s.at.Sub(m.at))
		}
		if s.endedBy != nil && m.at.After(s.endedBy.settled) {
			t.find(l, "cancelled", "%s came to the inbox after a %s that was answered at %s", clock(m.at), s.endedBy.kind, clock(s.endedBy.settled))
		}
		if len(got) == len(instants) {
			t.tooLate(l, "in_app", s.asked(), m.at, faults)
		}
	}
}

// latest is how late a reminder may come by a channel while parts are only slow. For the inbox that
// is the sum of these, and something for a busy machine:
//
//	5 s   the sweep leaves it to its callback
//	10 s  a sweep has begun just before, and takes all of its time
//	2 s   until the next one begins
//	3 s   until that one is past locked rows
var latest = map[string]time.Duration{"in_app": 25 * time.Second, "email": 30 * time.Second, agenda: 30 * time.Second}

// tooLate notes how late something came. It is a finding if that was later than allowed while parts
// are only slow.
func (t *tally) tooLate(l *life, channel string, asked, came time.Time, faults []struck) {
	if t.late == nil {
		t.late, t.calm = map[string][]time.Duration{}, map[string][]time.Duration{}
	}
	by := came.Sub(asked)
	t.late[channel] = append(t.late[channel], by)
	if l.held || !isCalm(asked, came, faults) {
		return
	}
	t.calm[channel] = append(t.calm[channel], by)
	if most, ok := latest[channel]; ok && by > most {
		t.find(l, "late", "that of %s came at %s by %s, %v late, while parts were slow at most", clock(asked), clock(came), channel, by.Round(time.Millisecond))
	}
}

// recovery is how long after its end a fault may still delay others: a scheduler that was killed
// takes 20 seconds.
const recovery = 25 * time.Second

// isCalm reports whether parts were at most slow from a while before one instant until another.
func isCalm(from, to time.Time, faults []struck) bool {
	return !slices.ContainsFunc(faults, func(f struck) bool {
		return !f.gentle && f.from.Before(to) && f.to.After(from.Add(-recovery))
	})
}

func (t *tally) judgeExternal(l *life, channel string, came []told, faults []struck, least, most int, shots []*shot) {
	firsts := firstsOf(came)
	if len(firsts) < least {
		t.find(l, "lost", "%d of %d came by %s", len(firsts), least, channel)
	}
	if len(firsts) > most {
		t.find(l, "duplicate", "%d different ones came by %s, %d at most should", len(firsts), channel, most)
	}
	if len(firsts) == len(shots) {
		slices.SortFunc(shots, func(a, b *shot) int { return a.at.Compare(b.at) })
		slices.SortFunc(firsts, func(a, b told) int { return a.at.Compare(b.at) })
		for i, s := range shots {
			asked := s.asked()
			switch {
			case l.quiet.has(asked, 0):
				asked = l.quiet.to
			case l.quiet.has(asked, latest[channel]):
				continue // it may be held, and may not
			}
			if l.isBundled(channel) {
				asked = asked.Add(bundleTime)
			}
			t.tooLate(l, channel, asked, firsts[i].at, faults)
		}
	}
	t.judgeQuiet(l, channel, came, faults)
	t.judgeCopies(l, channel, came, faults)
	// A completed or deleted task is silent, except for a send that had begun.
	last := l.ops[len(l.ops)-1]
	if last.kind != complete && last.kind != remove {
		return
	}
	for _, m := range came {
		begun := m.at.Add(-sendTimeout - time.Second)
		if !m.frozen.IsZero() { // all attempts send the same from then on
			if m.frozen.After(last.settled) {
				t.find(l, "cancelled", "that of %s by %s is of a bundle that was frozen at %s, after a %s that was answered at %s", clock(m.at), channel, clock(m.frozen), last.kind, clock(last.settled))
			}
			continue
		}
		if begun.After(last.settled) && cause(m, time.Hour, faults) == "" {
			t.find(l, "cancelled", "that of %s by %s was sent after a %s that was answered at %s", clock(m.at), channel, last.kind, clock(last.settled))
		}
	}
}

// firstsOf returns the first message of each delivery.
func firstsOf(came []told) (firsts []told) {
	for _, m := range came {
		if !slices.ContainsFunc(firsts, func(f told) bool { return f.id == m.id }) {
			firsts = append(firsts, m)
		}
	}
	return firsts
}

// judgeCopies counts the messages that came after one of the same delivery. It is a finding if no
// fault explains them, or if another provider took them.
func (t *tally) judgeCopies(l *life, channel string, came []told, faults []struck) {
	copies := map[uuid.UUID][]told{}
	for _, m := range came {
		copies[m.id] = append(copies[m.id], m)
	}
	for id, c := range copies {
		for i, m := range c[:len(c)-1] {
			why := cause(m, c[i+1].at.Sub(m.at), faults)
			if why == "" {
				t.find(l, "duplicate", "%s came %d times by %s; the copy of %s has no cause", id, len(c), channel, clock(m.at))
				continue
			}
			if c[i+1].provider != m.provider {
				t.find(l, "duplicate", "%s was taken by %s, and then by %s", id, m.provider, c[i+1].provider)
				continue
			}
			if t.copies == nil {
				t.copies = map[string]int{}
			}
			t.copies[why]++
		}
	}
}

// cause returns why a message's sender may not have learnt that it was taken, which explains
// another copy a while later; "" if there is no reason. A sender without an answer waits before the
// next attempt, and another sender waits for the lease of one that died. So copies that are closer
// together come from two senders at once, unless one of them was stopped for longer than its lease
// and then continued.
func cause(m told, while time.Duration, faults []struck) string {
	const firstWait, leaseAfterSend = 750 * time.Millisecond, lease - sendTimeout
	if m.cut && while > firstWait/2 {
		return "accepted, and the sender was not told"
	}
	for _, f := range faults {
		if f.isSenderAway() && m.at.After(f.from.Add(-sendTimeout)) && m.at.Before(f.to.Add(time.Second)) && while > leaseAfterSend/2 {
			return "the sender was killed or stopped in mid-send"
		}
		if next := m.at.Add(while); f.isSenderAway() && m.at.After(f.from.Add(leaseAfterSend)) && next.After(f.to.Add(-time.Second)) && next.Before(f.to.Add(sendTimeout)) {
			return "the sender was stopped in mid-send for longer than its lease, and went on"
		}
	}
	return ""
}
