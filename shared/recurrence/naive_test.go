package recurrence_test

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

// naiveEnd is where naive stops.
const naiveEnd = "2060-01-01T00:00:00"

// naive expands a question's rule in the plainest way: it walks from day to day, writes out all
// times of each period, and asks of each day whether RFC 5545 wants it. It has no bounds, and
// goes to naiveEnd only.
func naive(q question) []string {
	parts := map[string]string{}
	for part := range strings.SplitSeq(q.own, ";") {
		name, value, _ := strings.Cut(part, "=")
		parts[name] = value
	}
	lists := map[string][]int{}
	numbers := func(name string) (list []int) {
		if parts[name] == "" {
			return nil
		}
		if list, ok := lists[name]; ok {
			return list
		}
		defer func() { lists[name] = list }()
		for text := range strings.SplitSeq(parts[name], ",") {
			n, _ := strconv.Atoi(text)
			list = append(list, n)
		}
		return list
	}
	start, _ := time.Parse("2006-01-02T15:04:05", q.Start)
	freq := parts["FREQ"]
	interval := 1
	if n := numbers("INTERVAL"); n != nil {
		interval = n[0]
	}
	weekStart := time.Monday
	if i := slices.Index([]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}, parts["WKST"]); i >= 0 {
		weekStart = time.Weekday(i)
	}
	monthDays, months, days := numbers("BYMONTHDAY"), numbers("BYMONTH"), parts["BYDAY"]
	if parts["BYMONTHDAY"]+parts["BYYEARDAY"]+parts["BYDAY"] == "" {
		switch {
		case freq == "WEEKLY" || parts["BYWEEKNO"] != "":
			days = strings.ToUpper(start.Weekday().String()[:2])
		case freq == "MONTHLY" || freq == "YEARLY":
			monthDays = []int{start.Day()}
			if freq == "YEARLY" && months == nil {
				months = []int{int(start.Month())}
			}
		}
	}
	weekOf := func(d time.Time) time.Time { return d.AddDate(0, 0, -(int(d.Weekday()-weekStart)+7)%7) }
	midnight := func(d time.Time) time.Time { return d.Truncate(24 * time.Hour) }
	weekYear := func(d time.Time) (year, week, weeks int) {
		middle := weekOf(d).AddDate(0, 0, 3) // the day that decides on the year
		year = middle.Year()
		// Weeks are counted by their middles.
		count := func(until time.Time) int { return (until.YearDay()-1)/7 + 1 }
		last := weekOf(time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC)).AddDate(0, 0, 3)
		if last.Year() > year {
			last = last.AddDate(0, 0, -7)
		}
		return year, count(middle), count(last)
	}
	// wanted says whether the rule takes a day because of everything but BYMONTHDAY and BYMONTH.
	wanted := func(d time.Time) bool {
		yearDay, length := d.YearDay(), time.Date(d.Year(), 12, 31, 0, 0, 0, 0, time.UTC).YearDay()
		if list := numbers("BYYEARDAY"); list != nil && !slices.Contains(list, yearDay) && !slices.Contains(list, yearDay-length-1) {
			return false
		}
		if list := numbers("BYWEEKNO"); list != nil {
			_, week, weeks := weekYear(d)
			if !slices.Contains(list, week) && !slices.Contains(list, week-weeks-1) {
				return false
			}
		}
		if days == "" {
			return true
		}
		for text := range strings.SplitSeq(days, ",") {
			name := text[len(text)-2:]
			if !strings.HasPrefix(strings.ToUpper(d.Weekday().String()), name) {
				continue
			}
			n, _ := strconv.Atoi(text[:len(text)-2])
			nth := (d.Day()-1)/7 + 1
			fromEnd := -((time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()-d.Day())/7 + 1)
			if freq == "YEARLY" && parts["BYMONTH"] == "" {
				nth, fromEnd = (yearDay-1)/7+1, -((length-yearDay)/7 + 1)
			}
			if n == 0 || n == nth || n == fromEnd {
				return true
			}
		}
		return false
	}
	// period is the number of the period that a day is in, and hours are counted beside.
	period := func(d time.Time) int {
		switch freq {
		case "YEARLY":
			if parts["BYWEEKNO"] != "" {
				year, _, _ := weekYear(d)
				return year - start.Year()
			}
			return d.Year() - start.Year()
		case "MONTHLY":
			return 12*(d.Year()-start.Year()) + int(d.Month()) - int(start.Month())
		case "WEEKLY":
			return int(weekOf(d).Sub(weekOf(midnight(start))).Hours()) / 24 / 7
		default:
			return int(midnight(d).Sub(midnight(start)).Hours()) / 24
		}
	}
	sets := map[int][]time.Time{} // by period
	addDay := func(n int, d time.Time) {
		if n < 0 || (freq != "HOURLY" && n%interval != 0) || !wanted(d) {
			return
		}
		for hour := range 24 {
			if list := numbers("BYHOUR"); list == nil && freq != "HOURLY" && hour != start.Hour() || list != nil && !slices.Contains(list, hour) {
				continue
			}
			key := n
			if freq == "HOURLY" {
				key = 24*n + hour - start.Hour()
				if key < 0 || key%interval != 0 {
					continue
				}
			}
			for minute := range 60 {
				if list := numbers("BYMINUTE"); list == nil && minute != start.Minute() || list != nil && !slices.Contains(list, minute) {
					continue
				}
				for second := range 60 {
					if list := numbers("BYSECOND"); list == nil && second != start.Second() || list != nil && !slices.Contains(list, second) {
						continue
					}
					sets[key] = append(sets[key], d.Add(time.Duration(hour*3600+minute*60+second)*time.Second))
				}
			}
		}
	}
	end, _ := time.Parse("2006-01-02T15:04:05", naiveEnd)
	end = end.Add(-time.Second)
	location, _ := zone.Load(q.Zone)
	if until := parts["UNTIL"]; until != "" {
		instant, _ := time.Parse("20060102T150405Z", until)
		if last := wallclock.At(instant, location).UTC(); last.Before(end) {
			end = last
		}
	}
	most := q.Most
	if n := numbers("COUNT"); n != nil {
		most = min(most, n[0])
	}
	expands := freq == "MONTHLY" || freq == "YEARLY"
	first := midnight(start).AddDate(-1, 0, -start.YearDay())
	seen := 0
	for d := first; !d.After(end.AddDate(1, 0, 7)); d = d.AddDate(0, 0, 1) {
		length := time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		if months == nil || slices.Contains(months, int(d.Month())) {
			if monthDays == nil || slices.Contains(monthDays, d.Day()) || slices.Contains(monthDays, d.Day()-length-1) {
				addDay(period(d), d)
			}
			if expands && parts["BYWEEKNO"] == "" && q.skip != recurrence.Omit && d.Day() == length && slices.ContainsFunc(monthDays, func(n int) bool { return n > length }) {
				if q.skip == recurrence.Backward {
					addDay(period(d), d)
				} else {
					addDay(period(d), d.AddDate(0, 0, 1))
				}
			}
		}
		// Count what is surely complete, to end early.
		if seen++; seen%500 == 0 && len(sets) > 0 {
			if out := naiveOut(sets, numbers("BYSETPOS"), start, minTime(end, d.AddDate(-1, 0, -40)), most); len(out) == most {
				return out
			}
		}
	}
	out := naiveOut(sets, numbers("BYSETPOS"), start, end, most)
	if out == nil {
		return []string{}
	}
	return out
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// naiveOut puts the sets of all periods together.
func naiveOut(sets map[int][]time.Time, positions []int, start, end time.Time, most int) (out []string) {
	var all []time.Time
	for _, set := range sets {
		set = slices.Clone(set)
		slices.SortFunc(set, time.Time.Compare)
		set = slices.Compact(set)
		if positions == nil {
			all = append(all, set...)
			continue
		}
		for _, p := range positions {
			if p < 0 {
				p += len(set) + 1
			}
			if p >= 1 && p <= len(set) {
				all = append(all, set[p-1])
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	for _, t := range slices.Compact(all) {
		if !t.Before(start) && !t.After(end) && len(out) < most {
			out = append(out, t.Format("2006-01-02T15:04:05"))
		}
	}
	return out
}
