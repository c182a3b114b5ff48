package recurrence

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/duebell/duebell/shared/wallclock"
)

// Days are numbered from 1970-01-01 on. This file calculates with numbers of days and
// wall-clock seconds only, and knows no zone.

const secondsADay = 24 * 60 * 60

func dayOf(t wallclock.Time) int { return int(t.Midnight().UTC().Unix() / secondsADay) }

func dayNumber(year int, month time.Month, day int) int {
	return dayOf(wallclock.New(year, month, day, 0, 0, 0))
}

func timeOf(day, second int) wallclock.Time {
	return wallclock.FromUTC(time.Unix(int64(day)*secondsADay+int64(second), 0))
}

func dateOf(day int) (year int, month time.Month, dayOfMonth int) { return timeOf(day, 0).Date() }

func weekdayOf(day int) time.Weekday { return time.Weekday(((day+4)%7 + 7) % 7) }

func daysIn(year int, month time.Month) int {
	return dayNumber(year, month+1, 1) - dayNumber(year, month, 1)
}

// lastDay is the last day but one of the last year, so that instants are in it everywhere, and longest how many days a series goes on: the
// 400 years after which the calendar is the same again.
var lastDay = dayNumber(wallclock.MaxYear, time.December, 30)

const longest = 146_097

// pattern is a Rule, completed with what RFC 5545 takes from the start where the rule says nothing. It
// has one set of times for each period. A period is a year, month, week, day or hour: every
// INTERVAL-th, beginning with the start's. Periods are numbered from 0.
//
// Each period costs a bounded amount of work, since a set is never written out: it is a list of
// at most 366 days, each with the same times of day, which are a product of hours, minutes and seconds.
type pattern struct {
	*Rule
	start      wallclock.Time
	year       int // the start's
	month      int // the start's, counted from year 0 on
	week       int // the day on which the start's week begins
	hour       int // the start's, counted from 1970 on
	byMonthDay []int
	byMonth    []int
	byWeekday  []weekdayNum
	times      clockTimes
	lastDay    int  // of the series
	empty      bool // it surely has no time
}

func newPattern(r *Rule, start wallclock.Time) *pattern {
	year, month, day := start.Date()
	hour, minute, second := start.Clock()
	p := &pattern{
		Rule: r, start: start, year: year, month: 12*year + int(month) - 1,
		week: weekOf(dayOf(start), r.weekStart), hour: 24*dayOf(start) + hour,
		byMonth: r.months, byMonthDay: r.monthDays, byWeekday: r.weekdays,
		times: clockTimes{r.hours, r.minutes, r.seconds}, lastDay: min(dayOf(start)+longest, lastDay),
	}
	if len(p.times.hours) == 0 {
		p.times.hours = []int{hour}
	}
	if len(p.times.minutes) == 0 {
		p.times.minutes = []int{minute}
	}
	if len(p.times.seconds) == 0 {
		p.times.seconds = []int{second}
	}
	p.empty = r.freq == hourly && !p.everMatchesHour(hour)
	if len(r.monthDays) > 0 || len(r.yearDays) > 0 || len(r.weekdays) > 0 {
		return p
	}
	switch {
	case r.freq == weekly || len(r.weekNos) > 0:
		p.byWeekday = []weekdayNum{{day: start.Weekday()}}
	case r.freq == monthly:
		p.byMonthDay = []int{day}
	case r.freq == yearly:
		p.byMonthDay = []int{day}
		if len(r.months) == 0 {
			p.byMonth = []int{int(month)}
		}
	}
	return p
}

// everMatchesHour reports whether an hourly rule ever reaches one of the hours of BYHOUR, counting from the
// start's, and has something to choose there.
func (p *pattern) everMatchesHour(start int) bool {
	step := gcd(p.interval, 24)
	hits := len(p.hours) == 0 || slices.ContainsFunc(p.hours, func(h int) bool { return (h-start)%step == 0 })
	perHour := len(p.times.minutes) * len(p.times.seconds)
	chosen := len(p.positions) == 0 || slices.ContainsFunc(p.positions, func(n int) bool { return max(n, -n) <= perHour })
	return hits && chosen
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// weekOf returns the first day of the week that a day is in.
func weekOf(day int, weekStart time.Weekday) int {
	return day - (int(weekdayOf(day)-weekStart)+7)%7
}

// firstWeek returns the first day of the year's week 1, the first that has at least four days
// of the year. It may lie in the year before.
func firstWeek(year int, weekStart time.Weekday) int {
	january1 := dayNumber(year, time.January, 1)
	first := weekOf(january1, weekStart)
	if january1-first > 3 {
		first += 7
	}
	return first
}

// clockTimes are times of day: each hour with each minute and each second.
type clockTimes struct{ hours, minutes, seconds []int }

func (c clockTimes) len() int { return len(c.hours) * len(c.minutes) * len(c.seconds) }

// at returns the i-th of the times, in seconds since midnight.
func (c clockTimes) at(i int) int {
	perHour := len(c.minutes) * len(c.seconds)
	return 3600*c.hours[i/perHour] + 60*c.minutes[i%perHour/len(c.seconds)] + c.seconds[i%len(c.seconds)]
}

// set is a sorted set of times: those that BYSETPOS has chosen, or each of the days with each
// time of day.
type set struct {
	days   []int
	times  clockTimes
	chosen []wallclock.Time
}

func (s set) len() int { return len(s.days)*s.times.len() + len(s.chosen) }

func (s set) at(i int) wallclock.Time {
	if s.chosen != nil {
		return s.chosen[i]
	}
	return timeOf(s.days[i/s.times.len()], s.times.at(i%s.times.len()))
}

// search returns the place of the first time that is not before t.
func (s set) search(t wallclock.Time) int {
	return sort.Search(s.len(), func(i int) bool { return !s.at(i).Before(t) })
}

// choose leaves what BYSETPOS names.
func (s set) choose(positions []int) set {
	n, chosen := s.len(), []wallclock.Time{}
	for _, position := range positions {
		i := position - 1
		if position < 0 {
			i = n + position
		}
		if i >= 0 && i < n {
			chosen = append(chosen, s.at(i))
		}
	}
	slices.SortFunc(chosen, wallclock.Time.Compare)
	return set{chosen: slices.Compact(chosen)}
}

// period returns the number of the last period that begins at or before t.
func (p *pattern) period(t wallclock.Time) int {
	var since int
	switch year, month, _ := t.Date(); p.freq {
	case yearly:
		since = year - p.year
	case monthly:
		since = 12*year + int(month) - 1 - p.month
	case weekly:
		since = (weekOf(dayOf(t), p.weekStart) - p.week) / 7
	case daily:
		since = dayOf(t) - dayOf(p.start)
	case hourly:
		hour, _, _ := t.Clock()
		since = 24*dayOf(t) + hour - p.hour
	}
	return int(math.Floor(float64(since) / float64(p.interval)))
}

// begin returns the first day of a period.
func (p *pattern) begin(n int) int {
	n *= p.interval
	switch p.freq {
	case yearly:
		return dayNumber(p.year+n, time.January, 1)
	case monthly:
		return dayNumber((p.month+n)/12, time.Month((p.month+n)%12+1), 1)
	case weekly:
		return p.week + 7*n
	case daily:
		return dayOf(p.start) + n
	default:
		return (p.hour + n) / 24
	}
}

// set returns the times of a period, those before the start, too. The times of a later period
// are later.
func (p *pattern) set(n int) set {
	s := p.own(n)
	if p.freq != monthly || p.definition.Skip != Forward || p.interval > 1 {
		return s
	}
	// The 31st of a month with 30 days may have moved to the next month, which has
	// times of its own. So the set of a month has the times that lie in it, wherever they are from.
	first, next := p.begin(n), p.begin(n+1)
	s = s.within(first, next)
	if n == 0 {
		return s
	}
	before := p.own(n-1).within(first, next)
	if len(p.positions) > 0 {
		s.chosen = append(s.chosen, before.chosen...)
		slices.SortFunc(s.chosen, wallclock.Time.Compare)
		s.chosen = slices.Compact(s.chosen)
		return s
	}
	s.days = append(before.days, s.days...)
	s.days = slices.Compact(s.days)
	return s
}

// within leaves the times of the days from first up to next.
func (s set) within(first, next int) set {
	s.days = slices.DeleteFunc(s.days, func(d int) bool { return d < first || d >= next })
	s.chosen = slices.DeleteFunc(s.chosen, func(t wallclock.Time) bool { return dayOf(t) < first || dayOf(t) >= next })
	return s
}

func (p *pattern) own(n int) set {
	s := set{times: p.times}
	if p.freq == hourly {
		hour := (p.hour + n*p.interval) % 24
		if !allows(p.hours, hour) {
			return s
		}
		s.times.hours = []int{hour}
	}
	if s.days = p.days(n); len(s.days) == 0 {
		return s
	}
	if len(p.positions) > 0 {
		return s.choose(p.positions)
	}
	return s
}

// days returns the days of a period, in their order.
func (p *pattern) days(n int) []int {
	var list []int
	first := p.begin(n)
	switch p.freq {
	case yearly:
		list = p.daysOfYear(p.year + n*p.interval)
	case monthly:
		year, month, _ := dateOf(first)
		list = p.daysOfMonth(year, month, nil)
	case weekly:
		for d := first; d < first+7; d++ {
			if p.matches(d) {
				list = append(list, d)
			}
		}
	default:
		if !p.matches(first) {
			return nil
		}
		return []int{first}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (p *pattern) daysOfYear(year int) (list []int) {
	if len(p.weekNos) > 0 {
		return p.daysOfWeeks(year)
	}
	for month := time.January; month <= time.December; month++ {
		list = p.daysOfMonth(year, month, list)
	}
	return list
}

// daysOfMonth appends the days of one month. Where the month has no such day, they may lie in the
// next.
func (p *pattern) daysOfMonth(year int, month time.Month, list []int) []int {
	if !allows(p.byMonth, int(month)) {
		return list
	}
	first, length := dayNumber(year, month, 1), daysIn(year, month)
	add := func(day int) {
		if p.matchesYearDay(day) && p.matchesWeekday(day) {
			list = append(list, day)
		}
	}
	if len(p.byMonthDay) == 0 {
		for day := first; day < first+length; day++ {
			add(day)
		}
		return list
	}
	for _, n := range p.byMonthDay {
		switch {
		case n < 0 && -n <= length:
			add(first + length + n)
		case n > 0 && n <= length:
			add(first + n - 1)
		case n > 0 && p.definition.Skip == Backward:
			add(first + length - 1)
		case n > 0 && p.definition.Skip == Forward:
			add(first + length)
		}
	}
	return list
}

// daysOfWeeks returns the days of the weeks that BYWEEKNO names. A week belongs to the year that
// has its number, though some of its days may lie in the year before or after.
func (p *pattern) daysOfWeeks(year int) (list []int) {
	first := firstWeek(year, p.weekStart)
	weeks := (firstWeek(year+1, p.weekStart) - first) / 7
	for _, n := range p.weekNos {
		if n < 0 {
			n = weeks + 1 + n
		}
		if n < 1 || n > weeks {
			continue
		}
		for d := first + 7*(n-1); d < first+7*n; d++ {
			if p.matches(d) {
				list = append(list, d)
			}
		}
	}
	return list
}

// allows reports whether a list has v. An empty one allows everything.
func allows(list []int, v int) bool { return len(list) == 0 || slices.Contains(list, v) }

// matches reports whether a day is one of the rule's months, days of the year, days of the month
// and weekdays.
func (p *pattern) matches(day int) bool {
	if !p.matchesWeekday(day) {
		return false
	}
	if len(p.byMonth) == 0 && len(p.byMonthDay) == 0 && len(p.yearDays) == 0 {
		return true
	}
	year, month, dayOfMonth := dateOf(day)
	return allows(p.byMonth, int(month)) &&
		(allows(p.byMonthDay, dayOfMonth) || slices.Contains(p.byMonthDay, dayOfMonth-daysIn(year, month)-1)) &&
		p.matchesYearDay(day)
}

func (p *pattern) matchesYearDay(day int) bool {
	if len(p.yearDays) == 0 {
		return true
	}
	year, _, _ := dateOf(day)
	first, next := dayNumber(year, time.January, 1), dayNumber(year+1, time.January, 1)
	return slices.Contains(p.yearDays, day-first+1) || slices.Contains(p.yearDays, day-next)
}

func (p *pattern) matchesWeekday(day int) bool {
	if len(p.byWeekday) == 0 {
		return true
	}
	weekday := weekdayOf(day)
	return slices.ContainsFunc(p.byWeekday, func(w weekdayNum) bool {
		return w.day == weekday && (w.n == 0 || p.isNumber(day, w.n))
	})
}

// isNumber reports whether a day is the n-th of its weekday in its month, or in its year if
// the rule is of whole years.
func (p *pattern) isNumber(day, n int) bool {
	year, month, _ := dateOf(day)
	first, next := dayNumber(year, month, 1), dayNumber(year, month+1, 1)
	if p.freq == yearly && len(p.months) == 0 {
		first, next = dayNumber(year, time.January, 1), dayNumber(year+1, time.January, 1)
	}
	if n > 0 {
		return (day-first)/7+1 == n
	}
	return (next-1-day)/7+1 == -n
}

// first returns the first time of the pattern that is not before t, and lies no later than on
// the day last, nor after the series' last day. ok is false if there is none.
func (p *pattern) first(t wallclock.Time, last int) (found wallclock.Time, ok bool) {
	if t.Before(p.start) {
		t = p.start
	}
	last = min(last, p.lastDay)
	if p.empty {
		return found, false
	}
	for n := max(0, p.period(t)-p.behind()); p.begin(n) <= last+7; n = p.after(n) {
		s := p.set(n)
		if i := s.search(t); i < s.len() {
			found = s.at(i)
			return found, dayOf(found) <= last
		}
	}
	return found, false
}

// last returns the last time of the pattern that is not after t. ok is false if there is none.
func (p *pattern) last(t wallclock.Time) (found wallclock.Time, ok bool) {
	if end := timeOf(p.lastDay, secondsADay-1); t.After(end) {
		t = end
	}
	if p.empty {
		return found, false
	}
	for n := p.period(t) + p.behind(); n >= 0 && !t.Before(p.start); n = p.before(n) {
		s := p.set(n)
		if i := s.search(t.Add(time.Second)); i > 0 {
			found = s.at(i - 1)
			return found, !found.Before(p.start)
		}
	}
	return found, false
}

// ends returns the last time that COUNT allows, counting those that are left out, too. ok is
// false if there are fewer until the series' last day.
func (p *pattern) ends() (last wallclock.Time, ok bool) {
	left := p.count
	for n := 0; p.begin(n) <= p.lastDay && !p.empty; n = p.after(n) {
		s := p.set(n)
		from := s.search(p.start)
		if s.len()-from >= left {
			return s.at(from + left - 1), true
		}
		left -= s.len() - from
	}
	return last, false
}

// behind is by how many periods the times of a period may lie outside of it. For example, a year's weeks may
// begin in the year before, and end in the next.
func (p *pattern) behind() int {
	if len(p.weekNos) > 0 {
		return 1
	}
	return 0
}

// after returns a period that follows n. It may skip periods that have no times because their day or month
// does not match the rule.
func (p *pattern) after(n int) int {
	if p.freq < daily || p.matches(p.begin(n)) {
		return n + 1
	}
	day := p.begin(n)
	next := day + 1
	if year, month, _ := dateOf(day); !allows(p.byMonth, int(month)) {
		next = dayNumber(year, month+1, 1)
	}
	// The last period that begins before that day, and then one more.
	return max(n, p.period(timeOf(next, -1))) + 1
}

// before returns the period before n, as after does.
func (p *pattern) before(n int) int {
	if p.freq < daily || p.matches(p.begin(n)) {
		return n - 1
	}
	day := p.begin(n)
	first := day
	if year, month, _ := dateOf(day); !allows(p.byMonth, int(month)) {
		first = dayNumber(year, month, 1)
	}
	return min(n-1, p.period(timeOf(first, -1)))
}
