package main

import (
	"slices"
	"time"

	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
)

// occurrences returns the occurrences of a recurring task, by its rule and the start in the answer.
func (l *life) occurrences() (all []recurrence.Occurrence, err error) {
	rule, err := recurrence.Parse(recurrence.Definition{Rule: l.rule()})
	if err != nil {
		return nil, err
	}
	start, err := wallclock.Parse(*l.ops[0].task.DueLocal)
	if err != nil {
		return nil, err
	}
	series := rule.From(recurrence.Start{Local: start, Zone: time.UTC})
	for o, ok := series.First(); ok; o, ok = series.After(o) {
		all = append(all, o)
	}
	return all, nil
}

// ending returns the request that ended the task's series; nil if none has.
func (l *life) ending() *op {
	i := slices.IndexFunc(l.ops, func(o op) bool { return o.kind == complete || o.kind == remove })
	if i < 0 {
		return nil
	}
	return &l.ops[i]
}

// judgeRecurring compares what came for a recurring task with its rule. Each occurrence is told
// once, or is recorded as missed. None is told after the series ended. Those that passed before the
// task was stored, or about when the series ended, may be told or not.
func (t *tally) judgeRecurring(l *life, came arrivals, faults []struck) {
	occurrences, err := l.occurrences()
	if err != nil {
		t.find(l, "wrong", "%v", err)
		return
	}
	created, ending := l.ops[0].task.CreatedAt, l.ending()
	inbox := map[string][]told{}
	for _, m := range came.inbox {
		inbox[m.occurrence] = append(inbox[m.occurrence], m)
	}
	for _, o := range occurrences {
		name := o.Local.String()
		got := inbox[name]
		delete(inbox, name)
		switch {
		case len(got) > 1:
			t.find(l, "duplicate", "%s came %d times to the inbox", name, len(got))
		case len(got) == 1 && got[0].at.Before(o.Instant):
			t.find(l, "early", "%s came at %s", name, clock(got[0].at))
		case len(got) == 1 && ending != nil && got[0].at.After(ending.settled):
			t.find(l, "cancelled", "%s came at %s, after a %s that was answered at %s", name, clock(got[0].at), ending.kind, clock(ending.settled))
		case len(got) == 1:
			t.shots++
			t.tooLate(l, "in_app", slices.MaxFunc([]time.Time{o.Instant, created}, time.Time.Compare), got[0].at, faults)
		case ending != nil || !o.Instant.After(created):
			t.either++
		case slices.Contains(l.missed, name):
			t.missed++
		default:
			t.find(l, "lost", "%s did not come to the inbox, and is not said to be missed", name)
		}
	}
	for name, got := range inbox {
		t.find(l, "wrong", "%d came to the inbox for %q, which is no occurrence", len(got), name)
	}
	var sent []time.Time
	for _, m := range came.inbox {
		sent = append(sent, m.at)
	}
	all, least := len(came.inbox), l.quiet.leastAfter(sent)
	if ending != nil {
		least = 0 // what was unsent is cancelled
	}
	for _, channel := range external {
		switch {
		case l.isBundled(channel):
			if ending == nil {
				t.judgeBundled(l, channel, came.external[channel], sent)
			}
			t.judgeExternal(l, channel, came.external[channel], faults, 0, all, nil)
		case channel == "email":
			t.judgeExternal(l, channel, came.external[channel], faults, least, all, nil)
		default:
			t.judgeExternal(l, channel, came.external[channel], faults, 0, 0, nil)
		}
	}
	if n := len(came.events); n < all {
		t.find(l, "lost", "the audit log has %d of %d events", n, all)
	} else if n > all {
		t.find(l, "duplicate", "the audit log has %d events, %d were told", n, all)
	}
}
