package main

import (
	"slices"
	"time"

	"github.com/duebell/duebell/shared/preferences"
)

// quietHours are the quiet hours of a run, in which some users get only urgent tasks and snoozes on
// external channels. The zero value means none.
type quietHours struct{ from, to time.Time }

// hasQuietHours reports whether a user has quiet hours: some of those with all channels, and some others.
func hasQuietHours(user int) bool { return user%10 == 0 || user%5 == 3 }

// isUrgent reports whether the task is urgent.
func (s script) isUrgent() bool { return s.n%8 == 0 }

// newQuietHours returns quiet hours of full minutes, in the middle of a run that begins now.
func newQuietHours(now time.Time, span time.Duration) quietHours {
	from := now.Add(span * 3 / 10).Truncate(time.Minute).Add(time.Minute)
	return quietHours{from, from.Add(max(span/5, time.Minute).Truncate(time.Minute))}
}

// where is the time zone of all users.
const where = "Europe/Paris"

// window is the quiet hours as preferences have them.
func (q quietHours) window() map[string]string {
	zone := preferences.Zone(where)
	return map[string]string{"from": q.from.In(zone).Format("15:04"), "to": q.to.In(zone).Format("15:04")}
}

// of returns the quiet hours for a life's messages; the zero value if there are none.
func (q quietHours) of(l *life) quietHours {
	if !hasQuietHours(l.user) || l.isUrgent() {
		return quietHours{}
	}
	return q
}

// has reports whether an instant is in the quiet hours, or before them by at most before.
func (q quietHours) has(at time.Time, before time.Duration) bool {
	return !at.Before(q.from.Add(-before)) && at.Before(q.to)
}

// untilHeld is how long before quiet hours a message may have been due that they hold, because it
// could not be sent in time.
const untilHeld = 3 * time.Minute

// leastAfter returns how many of the messages that are due at these instants have to come. Of those
// that may be held, the newest replaces the others.
func (q quietHours) leastAfter(due []time.Time) int {
	free := slices.DeleteFunc(slices.Clone(due), func(at time.Time) bool { return q.has(at, untilHeld) })
	return len(free) + min(1, len(due)-len(free))
}

// judgeQuiet finds messages that were sent in quiet hours. It allows a send that had begun before,
// and one whose sender was stopped and then continued. Possible snoozes are left out, since their
// user chose the time.
func (t *tally) judgeQuiet(l *life, channel string, came []told, faults []struck) {
	for _, m := range came {
		if slices.ContainsFunc(l.ops, func(o op) bool { return o.kind == snooze && !m.at.Before(o.until) }) {
			continue
		}
		if begun := m.at.Add(-sendTimeout - time.Second); l.quiet.has(begun, 0) && l.quiet.has(m.at, 0) && cause(m, time.Hour, faults) == "" {
			t.find(l, "quiet", "that of %s by %s came within quiet hours, from %s to %s", clock(m.at), channel, clock(l.quiet.from), clock(l.quiet.to))
		}
	}
}
