package recurrence

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/wallclock"
)

// Limits on what a user may write.
const (
	MaxRule     = 500     // characters of a rule
	MaxExcept   = 1000    // dates and times that are left out
	MaxCount    = 10_000  // COUNT
	MaxInterval = 100_000 // INTERVAL
)

// Skip says what happens to a day that a month does not have: RFC 7529's SKIP.
type Skip string

// What may become of the 31st in a month of 30 days, and of 29 February.
const (
	Omit     Skip = "omit"     // there is no occurrence; the default
	Backward Skip = "backward" // it is on the month's last day
	Forward  Skip = "forward"  // it is on the next month's first day
)

// From says what the next occurrence is counted from.
type From string

// What an occurrence may be counted from.
const (
	Schedule   From = "schedule"   // the rule alone; the default
	Completion From = "completion" // when the one before was completed
)

// Definition is a recurrence as a user writes it.
type Definition struct {
	Rule   string   // an RRULE's value, such as "FREQ=MONTHLY;BYMONTHDAY=31"
	Skip   Skip     // "" is Omit
	From   From     // "" is Schedule
	Except []string // dates and local times
}

// Rule is a Definition that was parsed. It is not changed any more, and may be used
// concurrently.
type Rule struct {
	definition Definition
	freq       frequency
	interval   int
	count      int // 0: no COUNT
	until      until
	months     []int
	weekNos    []int
	yearDays   []int
	monthDays  []int
	weekdays   []weekdayNum
	hours      []int
	minutes    []int
	seconds    []int
	positions  []int
	weekStart  time.Weekday

	exceptDays  map[int]bool
	exceptTimes map[wallclock.Time]bool
}

// frequency is FREQ, the coarsest first.
type frequency int

const (
	yearly frequency = iota
	monthly
	weekly
	daily
	hourly
)

var frequencies = []string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"}

func (f frequency) String() string { return frequencies[f] }

// until is UNTIL as it was written.
type until struct {
	given bool
	local wallclock.Time // at midnight for a date
	date  bool           // the whole day is inside
	utc   bool           // local is in UTC, and is to be turned into the due's zone
}

// weekdayNum is one of BYDAY: the n-th such day of a month or year, from its end if n is
// negative; every one if it is 0.
type weekdayNum struct {
	n   int
	day time.Weekday
}

var weekdayNames = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

// Definition returns what the Rule was parsed from.
func (r *Rule) Definition() Definition { return r.definition }

// FromCompletion reports whether occurrences are counted from the completion of the one before.
func (r *Rule) FromCompletion() bool { return r.definition.From == Completion }

// Parse reads a Definition. The error is a fault with code invalid; it names the part that is
// wrong and says what to write instead. What depends on the start is for [Series.Check].
func Parse(d Definition) (*Rule, error) {
	d.Skip, d.From = cmp.Or(d.Skip, Omit), cmp.Or(d.From, Schedule)
	if d.Skip != Omit && d.Skip != Backward && d.Skip != Forward {
		return nil, fault.Invalid("recurrence: skip must be \"omit\", \"backward\" or \"forward\", not %.40q", string(d.Skip))
	}
	if d.From != Schedule && d.From != Completion {
		return nil, fault.Invalid("recurrence: from must be \"schedule\" or \"completion\", not %.40q", string(d.From))
	}
	r := &Rule{definition: d, interval: 1, weekStart: time.Monday}
	if err := r.parse(d.Rule); err != nil {
		return nil, err
	}
	if err := r.parseExcept(d.Except); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Rule) parse(text string) error {
	switch {
	case text == "":
		return fault.Invalid("recurrence: rule is empty: write it like FREQ=WEEKLY;BYDAY=MO")
	case len(text) > MaxRule:
		return fault.Invalid("recurrence: rule has %d characters: at most %d are allowed", len(text), MaxRule)
	case strings.HasPrefix(strings.ToUpper(text), "RRULE:"):
		return fault.Invalid("recurrence: rule must be without \"RRULE:\": write only what follows it")
	case strings.ContainsAny(text, "\r\n"):
		return fault.Invalid("recurrence: rule must be one line like FREQ=WEEKLY;BYDAY=MO; a start goes into due_local and left-out dates into except")
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToUpper(name)
		switch {
		case part == "":
			return fault.Invalid("recurrence: rule has an empty part: write one ; between parts, and none at the ends")
		case !ok || value == "":
			return fault.Invalid("recurrence: rule: %.40q has no value: write NAME=value, as in FREQ=WEEKLY;BYDAY=MO", part)
		case seen[name]:
			return fault.Invalid("recurrence: rule has %.40s twice: write it once, with all its values", name)
		}
		seen[name] = true
		if err := r.parsePart(name, strings.ToUpper(value)); err != nil {
			return err
		}
	}
	if !seen["FREQ"] {
		return fault.Invalid("recurrence: rule has no FREQ: write FREQ=HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY, as in FREQ=WEEKLY;BYDAY=MO")
	}
	return r.checkCombination(seen)
}

func (r *Rule) parsePart(name, value string) (err error) {
	switch name {
	case "FREQ":
		i := slices.Index(frequencies, value)
		if value == "SECONDLY" || value == "MINUTELY" {
			return fault.Invalid("recurrence: rule: FREQ=%s is too often: the most frequent is FREQ=HOURLY", value)
		}
		if i < 0 {
			return fault.Invalid("recurrence: rule: FREQ must be HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY, not %.40q", value)
		}
		r.freq = frequency(i)
	case "INTERVAL":
		r.interval, err = number(name, value, 1, MaxInterval)
	case "COUNT":
		r.count, err = number(name, value, 1, MaxCount)
	case "UNTIL":
		r.until, err = parseUntil(value)
	case "BYMONTH":
		r.months, err = numbers(name, value, 1, 12, false)
	case "BYWEEKNO":
		r.weekNos, err = numbers(name, value, 1, 53, true)
	case "BYYEARDAY":
		r.yearDays, err = numbers(name, value, 1, 366, true)
	case "BYMONTHDAY":
		r.monthDays, err = numbers(name, value, 1, 31, true)
	case "BYDAY":
		r.weekdays, err = parseWeekdays(value)
	case "BYHOUR":
		r.hours, err = numbers(name, value, 0, 23, false)
	case "BYMINUTE":
		r.minutes, err = numbers(name, value, 0, 59, false)
	case "BYSECOND":
		r.seconds, err = numbers(name, value, 0, 60, false)
		// A leap second counts as the one before it: RFC 5545, section 3.3.12.
		for i, s := range r.seconds {
			r.seconds[i] = min(s, 59)
		}
		r.seconds = slices.Compact(r.seconds)
	case "BYSETPOS":
		r.positions, err = numbers(name, value, 1, 366, true)
	case "WKST":
		i := slices.Index(weekdayNames, value)
		if i < 0 {
			return fault.Invalid("recurrence: rule: WKST must be a weekday such as MO or SU, not %.40q", value)
		}
		r.weekStart = time.Weekday(i)
	case "SKIP":
		return fault.Invalid("recurrence: rule must be without SKIP: write \"skip\": %.40q beside the rule", strings.ToLower(value))
	case "RSCALE":
		return fault.Invalid("recurrence: rule must be without RSCALE: all rules are of the Gregorian calendar")
	default:
		return fault.Invalid("recurrence: rule: there is no %.40q; choose from FREQ, INTERVAL, COUNT, UNTIL, BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSECOND, BYSETPOS, WKST", name)
	}
	return err
}

var digits = regexp.MustCompile(`^[0-9]{1,9}$`)

func number(name, text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if !digits.MatchString(text) || err != nil || n < least || n > most {
		return 0, fault.Invalid("recurrence: rule: %s must be a number from %d to %d, not %.40q", name, least, most, text)
	}
	return n, nil
}

// numbers reads a list, sorted and each number once. signed ones may be negative, too.
func numbers(name, text string, least, most int, signed bool) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		unsigned, sign := part, 1
		if signed {
			unsigned = strings.TrimPrefix(part, "+")
			if rest, negative := strings.CutPrefix(part, "-"); negative {
				unsigned, sign = rest, -1
			}
		}
		n, err := strconv.Atoi(unsigned)
		if !digits.MatchString(unsigned) || err != nil || n < least || n > most {
			also := ""
			if signed {
				also = fmt.Sprintf(", or from -%d to -%d,", most, least)
			}
			return nil, fault.Invalid("recurrence: rule: %s must have numbers from %d to %d%s with commas between them, not %.40q", name, least, most, also, part)
		}
		list = append(list, sign*n)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

var weekdayPattern = regexp.MustCompile(`^([+-]?)([0-9]{0,2})(SU|MO|TU|WE|TH|FR|SA)$`)

func parseWeekdays(text string) ([]weekdayNum, error) {
	var list []weekdayNum
	for part := range strings.SplitSeq(text, ",") {
		match := weekdayPattern.FindStringSubmatch(part)
		wrong := fault.Invalid("recurrence: rule: BYDAY must have weekdays such as MO, 2TU (the second Tuesday) or -1FR (the last Friday), with commas between them, not %.40q", part)
		if match == nil || (match[2] == "" && match[1] != "") {
			return nil, wrong
		}
		w := weekdayNum{day: time.Weekday(slices.Index(weekdayNames, match[3]))}
		if match[2] != "" {
			n, err := strconv.Atoi(match[2])
			if err != nil || n < 1 || n > 53 {
				return nil, wrong
			}
			w.n = n
			if match[1] == "-" {
				w.n = -n
			}
		}
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list, nil
}

var untilPattern = regexp.MustCompile(`^(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?$`)

func parseUntil(text string) (until, error) {
	match := untilPattern.FindStringSubmatch(text)
	if match == nil {
		return until{}, fault.Invalid("recurrence: rule: UNTIL must be a date, a local time or a UTC time: write it as 20261224, 20261224T090000 or 20261224T090000Z, not %.40q", text)
	}
	date, err := wallclock.ParseDate(match[1] + "-" + match[2] + "-" + match[3])
	if err != nil {
		return until{}, prefix("recurrence: rule: UNTIL ", err)
	}
	if match[4] == "" {
		return until{given: true, local: date, date: true}, nil
	}
	clock, err := wallclock.ParseClock(match[4] + ":" + match[5] + ":" + match[6])
	if err != nil {
		return until{}, prefix("recurrence: rule: UNTIL ", err)
	}
	return until{given: true, local: date.Add(clock), utc: match[7] != ""}, nil
}

// messageOf is what package wallclock finds wrong, to be put after what has it.
func messageOf(err error) string {
	if invalid, ok := errors.AsType[*fault.Error](err); ok {
		return invalid.Message
	}
	return err.Error()
}

// prefix puts what is wrong before an error of package wallclock.
func prefix(what string, err error) error {
	return fault.Invalid("%s%s", what, messageOf(err))
}

// checkCombination refuses what RFC 5545 says must not be together.
func (r *Rule) checkCombination(seen map[string]bool) error {
	numbered := slices.ContainsFunc(r.weekdays, func(w weekdayNum) bool { return w.n != 0 })
	by := slices.DeleteFunc([]string{"BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND"}, func(name string) bool { return !seen[name] })
	switch {
	case r.until.given && r.count > 0:
		return fault.Invalid("recurrence: rule has both UNTIL and COUNT: write the one that is meant")
	case r.FromCompletion():
		for _, name := range slices.Sorted(maps.Keys(seen)) {
			if !slices.Contains([]string{"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"}, name) {
				return fault.Invalid("recurrence: with from \"completion\" the rule takes FREQ, INTERVAL, COUNT and UNTIL only: leave %s out, or write \"from\": \"schedule\"", name)
			}
		}
	case seen["BYSETPOS"] && len(by) == 0:
		return fault.Invalid("recurrence: rule has BYSETPOS alone: write what it chooses from, as in FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1")
	case seen["BYWEEKNO"] && r.freq != yearly:
		return fault.Invalid("recurrence: rule has BYWEEKNO with FREQ=%s: write FREQ=YEARLY, or leave it out", r.freq)
	case seen["BYYEARDAY"] && r.freq != yearly && r.freq != hourly:
		return fault.Invalid("recurrence: rule has BYYEARDAY with FREQ=%s: write FREQ=YEARLY, or leave it out", r.freq)
	case seen["BYMONTHDAY"] && r.freq == weekly:
		return fault.Invalid("recurrence: rule has BYMONTHDAY with FREQ=WEEKLY: write FREQ=MONTHLY, or leave it out")
	case numbered && r.freq != monthly && r.freq != yearly:
		return fault.Invalid("recurrence: rule has a number in BYDAY with FREQ=%s: write the weekday alone, or FREQ=MONTHLY or YEARLY", r.freq)
	case numbered && seen["BYWEEKNO"]:
		return fault.Invalid("recurrence: rule has a number in BYDAY beside BYWEEKNO: write the weekday alone")
	}
	return nil
}

func (r *Rule) parseExcept(list []string) error {
	if len(list) > MaxExcept {
		return fault.Invalid("recurrence: except has %d entries: at most %d are allowed", len(list), MaxExcept)
	}
	r.exceptDays, r.exceptTimes = make(map[int]bool), make(map[wallclock.Time]bool)
	for _, text := range list {
		if date, err := wallclock.ParseDate(text); err == nil {
			r.exceptDays[dayOf(date)] = true
			continue
		} else if !strings.Contains(text, "T") {
			return fault.Invalid("recurrence: except: an entry %s; or name a local time, 2026-12-01T09:00", messageOf(err))
		}
		local, err := wallclock.Parse(text)
		if err != nil {
			return prefix("recurrence: except: an entry ", err)
		}
		r.exceptTimes[local] = true
	}
	return nil
}
