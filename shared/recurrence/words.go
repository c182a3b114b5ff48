package recurrence

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/wallclock"
)

// Describe says in English sentences when the series has occurrences, what happens at the ends of
// months and to times that clocks do not show, and when it ends.
func (s *Series) Describe() string {
	sentences := []string{s.when() + s.endInWords() + "."}
	if omitted := s.omitted(); omitted != "" {
		sentences = append(sentences, omitted)
	}
	if n := len(s.rule.exceptDays) + len(s.rule.exceptTimes); n == 1 {
		sentences = append(sentences, "One date or time is left out.")
	} else if n > 1 {
		sentences = append(sentences, fmt.Sprintf("%d dates and times are left out.", n))
	}
	if moved := s.gapInWords(); moved != "" {
		sentences = append(sentences, moved)
	}
	return strings.Join(sentences, " ")
}

var units = []string{"year", "month", "week", "day", "hour"}

// when is the rule in words, without its end.
func (s *Series) when() string {
	r, p := s.rule, s.pattern
	every := "Every " + units[r.freq]
	if r.interval > 1 {
		every = fmt.Sprintf("Every %d %ss", r.interval, units[r.freq])
	}
	if r.FromCompletion() {
		every = fmt.Sprintf("%s after it was completed", strings.Replace(every, "Every ", map[bool]string{true: "One ", false: ""}[r.interval == 1], 1))
		if r.freq == hourly {
			return every
		}
		return every + s.clockInWords()
	}
	var parts []string
	if len(p.byMonth) > 0 {
		parts = append(parts, "in "+list(p.byMonth, func(m int) string { return time.Month(m).String() }, "and"))
	}
	if len(r.weekNos) > 0 {
		parts = append(parts, "in "+list(r.weekNos, func(n int) string { return fromEnd("week", n) }, "and"))
		if r.weekStart != time.Monday {
			parts = append(parts, "with weeks that begin on "+r.weekStart.String())
		}
	}
	if len(r.yearDays) > 0 {
		parts = append(parts, "on "+list(r.yearDays, func(n int) string { return fromEnd("day", n) }, "or")+" of the year")
	}
	if len(p.byMonthDay) > 0 {
		parts = append(parts, "on "+list(p.byMonthDay, func(n int) string { return fromEnd("day", n) }, "or")+" of the month")
	}
	if len(p.byWeekday) > 0 {
		of := ""
		if slices.ContainsFunc(p.byWeekday, func(w weekdayNum) bool { return w.n != 0 }) {
			of = " of the month"
			if r.freq == yearly && len(r.months) == 0 {
				of = " of the year"
			}
		}
		if len(r.monthDays)+len(r.yearDays) > 0 {
			parts = append(parts, "if that is "+list(p.byWeekday, weekdayInWords, "or")+of)
		} else {
			parts = append(parts, "on "+list(p.byWeekday, weekdayInWords, "and")+of)
		}
	}
	words := strings.Join(append([]string{every}, parts...), " ")
	if r.freq == weekly && r.interval > 1 && r.weekStart != time.Monday {
		words += " (weeks begin on " + r.weekStart.String() + ")"
	}
	words += s.clockInWords()
	if len(r.positions) > 0 {
		words += ", of these only the " + list(r.positions, ordinalFromEnd, "and") + " in each " + units[r.freq]
	}
	return words
}

// clockInWords says at which times of day.
func (s *Series) clockInWords() string {
	times := s.pattern.times
	switch n := times.len(); {
	case s.start.AllDay:
		return ", all day"
	case s.rule.freq == hourly && len(s.rule.hours) == 0 && len(times.minutes) == 1 && len(times.seconds) == 1:
		return " at " + clock(0, times.minutes[0], times.seconds[0])[len("00"):] + " past"
	case s.rule.freq == hourly && len(s.rule.hours) == 0:
		return " at minutes " + list(times.minutes, strconv.Itoa, "and") + secondsInWords(times.seconds)
	case n <= 6:
		var all []string
		for i := range n {
			second := times.at(i)
			all = append(all, clock(second/3600, second/60%60, second%60))
		}
		return " at " + list(all, func(s string) string { return s }, "and")
	}
	return " in the hours " + list(times.hours, strconv.Itoa, "and") + " at minutes " + list(times.minutes, strconv.Itoa, "and") + secondsInWords(times.seconds)
}

func secondsInWords(seconds []int) string {
	if len(seconds) == 1 && seconds[0] == 0 {
		return ""
	}
	return " and seconds " + list(seconds, strconv.Itoa, "and")
}

func clock(hour, minute, second int) string {
	return timeOf(0, 3600*hour+60*minute+second).ClockString()
}

func weekdayInWords(w weekdayNum) string {
	if w.n == 0 {
		return w.day.String()
	}
	return "the " + ordinalFromEnd(w.n) + " " + w.day.String()
}

// fromEnd is "day 3", or "the last day but one" for -2.
func fromEnd(what string, n int) string {
	if n > 0 {
		return fmt.Sprintf("%s %d", what, n)
	}
	return "the " + strings.Replace(ordinalFromEnd(n), "last", "last "+what, 1)
}

// ordinalFromEnd is "3rd", or "last but 1" for -2.
func ordinalFromEnd(n int) string {
	switch {
	case n == -1:
		return "last"
	case n < 0:
		return fmt.Sprintf("last but %d", -n-1)
	}
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		suffix = map[int]string{1: "st", 2: "nd", 3: "rd"}[n%10]
	}
	if suffix == "" {
		suffix = "th"
	}
	return strconv.Itoa(n) + suffix
}

// list is "a", "a and b", or "a, b and c". Of more than twelve it says how many there are.
func list[T any](values []T, word func(T) string, and string) string {
	words := make([]string, 0, len(values))
	for _, v := range values {
		words = append(words, word(v))
	}
	if n := len(words); n > 12 {
		return fmt.Sprintf("%s, ..., %s (%d in all)", strings.Join(words[:3], ", "), words[n-1], n)
	}
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " " + and + " " + words[n-1]
	}
	return words[0]
}

func (s *Series) endInWords() string {
	switch r := s.rule; {
	case r.count == 1:
		return ", once"
	case r.count > 1:
		return fmt.Sprintf(", %d times", r.count)
	case r.until.given && (r.until.date || s.start.AllDay):
		return ", until " + s.until.DateString()
	case r.until.given:
		return ", until " + s.until.String()
	}
	return ""
}

// omitted says what becomes of days that some months lack.
func (s *Series) omitted() string {
	days := s.pattern.byMonthDay
	if s.rule.freq > monthly || len(s.rule.weekNos) > 0 {
		return ""
	}
	if !s.rule.FromCompletion() && !slices.ContainsFunc(days, s.lacking) {
		return ""
	}
	switch s.rule.definition.Skip {
	case Backward:
		return "Where a month has no such day, its last day is taken."
	case Forward:
		return "Where a month has no such day, the first day of the next month is taken."
	}
	return "Months without such a day are left out."
}

// lacking reports whether one of the rule's months may lack a day.
func (s *Series) lacking(day int) bool {
	for month := 1; month <= 12; month++ {
		if length := daysIn(2027, time.Month(month)); allows(s.pattern.byMonth, month) && (day > length || -day > length) {
			return true
		}
	}
	return false
}

// gapInWords says what becomes of times that a zone's clocks do not show. It is empty where
// they are not changed in the year after the start.
func (s *Series) gapInWords() string {
	if s.start.Zone == nil {
		return ""
	}
	changed := false
	at := s.start.Local.In(s.start.Zone)
	_, offset := at.In(s.start.Zone).Zone()
	for range 53 {
		at = at.AddDate(0, 0, 7)
		if _, o := at.In(s.start.Zone).Zone(); o != offset {
			changed = true
		}
	}
	if !changed {
		return ""
	}
	return "Where clocks go forward past the time, you are told as much later; where it comes twice, the first time."
}

// Note says what is special about an occurrence's time: that its clocks do not show it, or that
// they show it twice. It is empty for all others.
func (s *Series) Note(o Occurrence) string {
	local := s.clock(o.Local)
	change, ok := wallclock.ChangeNear(local, s.start.Zone)
	if !ok {
		return ""
	}
	if from, to, ok := change.Gap(); ok && !local.Before(from) && local.Before(to) {
		shown := wallclock.At(o.Instant, s.start.Zone)
		if shown.Midnight() != local.Midnight() {
			return fmt.Sprintf("%s does not exist: clocks go from %s to %s; you are told at %s", local, from, to, shown)
		}
		return fmt.Sprintf("%s does not exist: clocks go from %s to %s; you are told at %s", local.ClockString(), from.ClockString(), to.ClockString(), shown.ClockString())
	}
	if from, to, ok := change.Overlap(); ok && !local.Before(from) && local.Before(to) {
		return fmt.Sprintf("%s comes twice: you are told the first time", local.ClockString())
	}
	return ""
}
