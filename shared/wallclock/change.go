package wallclock

import (
	"sort"
	"time"
)

// Change is an instant at which a zone's clocks are changed.
type Change struct {
	At            time.Time
	before, after int // seconds ahead of UTC
}

// ChangeNear returns the change because of which t does not exist in a zone, comes twice, or lies
// within a day of either. ok is false if there is none.
func ChangeNear(t Time, zone *time.Location) (c Change, ok bool) {
	return between(t.seconds-windowBefore, t.seconds+windowAfter, zone)
}

// LastChange returns the change that a zone had within the 25 hours before an instant, or at it.
// ok is false if there was none.
func LastChange(t time.Time, zone *time.Location) (c Change, ok bool) {
	return between(t.Unix()-25*60*60, t.Unix(), zone)
}

// between finds the one change after the instant from, and not after to.
func between(from, to int64, zone *time.Location) (c Change, ok bool) {
	c.before, c.after = offset(from, zone), offset(to, zone)
	if c.before == c.after {
		return c, false
	}
	first := from + int64(sort.Search(int(to-from), func(i int) bool { return offset(from+int64(i), zone) != c.before }))
	c.At = time.Unix(first, 0).UTC()
	return c, true
}

// Gap returns the times that do not exist because of the change: from is the first of them, to
// the first that exists again. ok is false if clocks go back.
func (c Change) Gap() (from, to Time, ok bool) {
	return Time{c.At.Unix() + int64(c.before)}, Time{c.At.Unix() + int64(c.after)}, c.after > c.before
}

// Overlap returns the times that come twice because of the change: from is the first of them,
// to the first that comes once again. ok is false if clocks go forward.
func (c Change) Overlap() (from, to Time, ok bool) {
	return Time{c.At.Unix() + int64(c.after)}, Time{c.At.Unix() + int64(c.before)}, c.after < c.before
}

// By returns how far clocks are changed.
func (c Change) By() time.Duration {
	return (time.Duration(max(c.after, c.before)-min(c.after, c.before)) * time.Second)
}
