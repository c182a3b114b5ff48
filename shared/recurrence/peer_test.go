package recurrence_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/peers"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

var (
	comparisons = flag.Int("comparisons", 500, "how many random rules are compared with the peer")
	seed        = flag.Uint64("seed", 1, "what the random rules are made from; 0 is any")
)

// question is one rule that both expand.
type question struct {
	Start string          `json:"start"`
	Zone  string          `json:"zone"`
	Rule  string          `json:"rule"`
	Most  int             `json:"most"`
	skip  recurrence.Skip // in the rule, too, as the peer wants it
	own   string          // the rule as we want it
}

// answer is what the peer says.
type answer struct {
	Start string  `json:"start"` // the time of day that Node has at the start
	Found []found `json:"found"`
	Error string  `json:"error"`
}

type found struct {
	Local string `json:"local"`
	Unix  int64  `json:"unix"`
	Shown string `json:"shown"`
}

// askPeer has the npm package rrule-temporal answer all questions, in one process.
func askPeer(t *testing.T, questions []question) []answer {
	t.Helper()
	peer := peers.Node(t, "recurrence.mjs", "rrule-temporal", "temporal-polyfill")
	in, err := peer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := peer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer in.Close()
		encoder := json.NewEncoder(in)
		for _, q := range questions {
			if encoder.Encode(q) != nil {
				return // the peer has ended, which its missing answers show
			}
		}
	}()
	answers := make([]answer, 0, len(questions))
	for reader := bufio.NewReader(out); ; {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("the peer prints %q", line)
		}
		answers = append(answers, a)
	}
	if err := peer.Wait(); err != nil || len(answers) != len(questions) {
		t.Fatalf("the peer has answered %d of %d questions: %v", len(answers), len(questions), err)
	}
	return answers
}

// random makes questions.
type random struct{ *rand.Rand }

func (r random) oneIn(n int) bool { return r.IntN(n) == 0 }

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

// list writes up to most numbers.
func (r random) list(most int, number func() int) string {
	var parts []string
	for range 1 + r.IntN(most) {
		parts = append(parts, fmt.Sprint(number()))
	}
	return strings.Join(parts, ",")
}

func (r random) words(most int, word func() string) string {
	var parts []string
	for range 1 + r.IntN(most) {
		parts = append(parts, word())
	}
	return strings.Join(parts, ",")
}

func (r random) from(least, most int) func() int {
	return func() int { return least + r.IntN(most-least+1) }
}

func (r random) signed(most int) func() int {
	return func() int { return (1 + r.IntN(most)) * pick(r, 1, 1, -1) }
}

// zones change their clocks by an hour, two and half an hour, at midnight, in Ramadan, never.
var zones = []string{
	"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll",
	"Europe/Dublin", "Africa/Cairo", "America/Santiago", "Asia/Kolkata", "UTC", "Asia/Tehran", "America/Sao_Paulo", "Pacific/Auckland",
}

var weekdays = []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}

// question makes a rule, a zone and a start. The starts lie where all releases of the
// time-zone data agree.
func (r random) question() question {
	q := question{Zone: pick(r, zones...), Most: 10, skip: recurrence.Omit}
	start := wallclock.New(1998+r.IntN(22), time.Month(1+r.IntN(12)), 1+r.IntN(31), pick(r, 0, 0, 1, 2, 2, 3, r.IntN(24)), pick(r, 0, 0, 30, 15, r.IntN(60)), pick(r, 0, 0, 0, 0, r.IntN(60)))
	location, _ := zone.Load(q.Zone)
	if r.oneIn(3) { // near a change of the clocks
		for range 400 {
			change, ok := wallclock.ChangeNear(start, location)
			if ok {
				begin, _, _ := change.Gap()
				begin = begin.AddDays(-r.IntN(4))
				start = pick(r, begin.Midnight().Add(start.SinceMidnight()), begin.Add(time.Duration(r.IntN(8))*15*time.Minute))
				break
			}
			start = start.AddDays(1)
		}
	}
	exists := func(t wallclock.Time) bool { return wallclock.At(t.In(location), location) == t }
	if !exists(start) { // the peer takes no such start
		start = start.Midnight().Add(12 * time.Hour)
		if !exists(start) { // a whole day that was skipped
			start = start.AddDays(1)
		}
	}
	q.Start = start.UTC().Format("2006-01-02T15:04:05")

	freq := pick(r, "YEARLY", "YEARLY", "MONTHLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
	parts := []string{"FREQ=" + freq}
	add := func(name, value string) { parts = append(parts, name+"="+value) }
	most := map[string]int{"YEARLY": 4, "MONTHLY": 14, "WEEKLY": 9, "DAILY": 40, "HOURLY": 50}[freq]
	if r.oneIn(2) {
		add("INTERVAL", fmt.Sprint(1+r.IntN(most)))
	}
	by := false
	maybe := func(n int, name string, value func() string) {
		if r.oneIn(n) {
			by = true
			add(name, value())
		}
	}
	maybe(4, "BYMONTH", func() string { return r.list(4, r.from(1, 12)) })
	weekNo := freq == "YEARLY" && r.oneIn(4)
	if weekNo {
		by = true
		add("BYWEEKNO", r.list(4, r.signed(53)))
	}
	if freq == "YEARLY" || freq == "HOURLY" {
		maybe(6, "BYYEARDAY", func() string { return r.list(6, r.signed(366)) })
	}
	monthDay := false
	if freq != "WEEKLY" {
		maybe(3, "BYMONTHDAY", func() string { monthDay = true; return r.list(4, r.signed(31)) })
	}
	maybe(3, "BYDAY", func() string {
		return r.words(3, func() string {
			day := pick(r, weekdays...)
			switch {
			case freq == "MONTHLY" && r.oneIn(2):
				return fmt.Sprint(r.signed(5)()) + day
			case freq == "YEARLY" && !weekNo && r.oneIn(2):
				return fmt.Sprint(pick(r, r.signed(5)(), r.signed(53)())) + day
			}
			return day
		})
	})
	maybe(4, "BYHOUR", func() string { return r.list(4, r.from(0, pick(r, 3, 23))) })
	maybe(5, "BYMINUTE", func() string { return r.list(3, r.from(0, 59)) })
	maybe(12, "BYSECOND", func() string { return r.list(2, r.from(0, 59)) })
	if by && r.oneIn(4) {
		add("BYSETPOS", r.list(3, r.signed(pick(r, 1, 2, 2, 5, 20))))
	}
	if r.oneIn(3) {
		add("WKST", pick(r, weekdays...))
	}
	switch r.IntN(6) {
	case 0:
		add("COUNT", fmt.Sprint(1+r.IntN(15)))
	case 1:
		days := map[string]int{"YEARLY": 4000, "MONTHLY": 900, "WEEKLY": 200, "DAILY": 60, "HOURLY": 5}[freq]
		end := start.AddDays(r.IntN(days)).Midnight().Add(time.Duration(r.IntN(86400)) * time.Second)
		add("UNTIL", end.In(location).Format("20060102T150405Z"))
	}
	q.own = strings.Join(parts, ";")
	q.Rule = q.own
	_, _, day := start.Date()
	if (monthDay || day > 28) && (freq == "MONTHLY" || freq == "YEARLY") && r.oneIn(2) {
		q.skip = pick(r, recurrence.Backward, recurrence.Forward)
		q.Rule = "RSCALE=GREGORIAN;" + q.own + ";SKIP=" + strings.ToUpper(string(q.skip))
	}
	return q
}

// series is the question's rule from its start.
func (q question) series(t *testing.T) (*recurrence.Series, *time.Location) {
	t.Helper()
	rule, err := recurrence.Parse(recurrence.Definition{Rule: q.own, Skip: q.skip})
	if err != nil {
		t.Fatalf("%s: %v", q.own, err)
	}
	start, err := wallclock.Parse(strings.TrimSuffix(q.Start, ":00"))
	if err != nil {
		t.Fatal(err)
	}
	location, _ := zone.Load(q.Zone)
	return rule.From(recurrence.Start{Local: start, Zone: location}), location
}

// inGap is the one difference that we want.
const inGap = "an occurrence in a gap is moved, and the peer drops it"

// The differences that there may be, each with what must be so where it is. Where
// one is found, TestPeer expands the rule a third time, by looking at each day.
var differences = []struct {
	name string
	is   func(q question, own []recurrence.Occurrence, peer answer, location *time.Location) bool
}{
	{inGap, func(q question, own []recurrence.Occurrence, peer answer, location *time.Location) bool {
		moved := func(o recurrence.Occurrence) bool { return wallclock.At(o.Instant, location) != o.Local }
		if slices.ContainsFunc(own, moved) {
			return true
		}
		if !q.has("BYSETPOS=") || len(own) == 0 {
			return false
		}
		// The peer drops it before BYSETPOS chooses.
		q.own = setPos.ReplaceAllString(q.own, "")
		q.Most = 5000
		all, err := ours(q)
		end := own[len(own)-1].Instant.AddDate(1, 0, 0)
		return err == nil && slices.ContainsFunc(all, func(o recurrence.Occurrence) bool { return moved(o) && o.Instant.Before(end) })
	}},
	{"the peer gives up after 2,000 periods", func(_ question, _ []recurrence.Occurrence, peer answer, _ *time.Location) bool {
		return strings.Contains(peer.Error, "exceeded")
	}},
	{"the peer counts hours that have gone by where clocks were changed, not those that clocks show", func(q question, own []recurrence.Occurrence, peer answer, location *time.Location) bool {
		return q.has("FREQ=HOURLY") && changed(own, peer, location, q)
	}},
	{"the peer does not see changes of the clocks that last some weeks, as Node under it does", func(q question, _ []recurrence.Occurrence, peer answer, _ *time.Location) bool {
		return peer.Start != q.Start[11:] || slices.ContainsFunc(peer.Found, func(f found) bool {
			otherHour := !q.has("FREQ=HOURLY") && !q.has("BYHOUR=") && f.Local[11:13] != q.Start[11:13]
			return f.Local[11:] != f.Shown || otherHour
		})
	}},
	{"beside BYWEEKNO the peer does not look at BYMONTHDAY and BYYEARDAY", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.has("BYWEEKNO=") && (q.has("BYMONTHDAY=") || q.has("BYYEARDAY="))
	}},
	{"beside BYYEARDAY the peer does not limit by BYDAY or BYMONTHDAY", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.has("FREQ=YEARLY") && q.has("BYYEARDAY=") && (q.has("BYDAY=") || q.has("BYMONTHDAY="))
	}},
	{"of weekdays with a number and without, the peer takes only those with one", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return mixed.MatchString(q.own)
	}},
	{"beside a weekday with a number, the peer does not look at BYMONTHDAY in a yearly rule", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.has("FREQ=YEARLY") && q.has("BYMONTHDAY=") && numbered.MatchString(q.own)
	}},
	{"a 53rd weekday that the year lacks, the peer takes from the year beside it", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.has("FREQ=YEARLY") && lacking.MatchString(q.own)
	}},
	{"the peer compares with UNTIL before it moves a day that the month lacks", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.skip != recurrence.Omit && q.has("UNTIL=")
	}},
	{"the peer moves a day that the month lacks past BYDAY and BYSETPOS, which come after SKIP", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.skip != recurrence.Omit && (q.has("BYDAY=") || q.has("BYSETPOS="))
	}},
	{"of several days of the month or times of day, the peer does not move all", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.skip != recurrence.Omit && several.MatchString(q.own)
	}},
	{"a day counted from the month's end that the month lacks, the peer takes for its last day", func(q question, _ []recurrence.Occurrence, _ answer, _ *time.Location) bool {
		return q.skip != recurrence.Omit && fromEnd.MatchString(q.own)
	}},
	{"a day that the month lacks, the peer does not always move to the last day before it", func(q question, own []recurrence.Occurrence, peer answer, _ *time.Location) bool {
		return q.skip == recurrence.Backward && slices.ContainsFunc(own, func(o recurrence.Occurrence) bool {
			return o.Local.AddDays(1).UTC().Day() == 1 && !slices.ContainsFunc(peer.Found, func(f found) bool { return o.Local.UTC().Format("2006-01-02T15:04:05") == f.Local })
		})
	}},
}

var (
	mixed    = regexp.MustCompile(`BYDAY=([^;]*,)?[A-Z]{2}(,[^;]*)?[0-9]|BYDAY=[^;]*[0-9][A-Z]{2}[^;]*,[A-Z]{2}`)
	lacking  = regexp.MustCompile(`BYDAY=[^;]*(53|5)[A-Z]{2}`)
	setPos   = regexp.MustCompile(`;(BYSETPOS|COUNT|UNTIL)=[^;]*`)
	numbered = regexp.MustCompile(`BYDAY=[^;]*[0-9]`)
	fromEnd  = regexp.MustCompile(`BYMONTHDAY=[^;]*-(29|30|31)`)
	several  = regexp.MustCompile(`BY(MONTHDAY|HOUR|MINUTE|SECOND)=[^;]*,`)
)

func (q question) has(part string) bool { return strings.Contains(";"+q.own, ";"+part) }

// changed reports whether clocks were changed between the start and the last occurrence.
func changed(own []recurrence.Occurrence, peer answer, location *time.Location, q question) bool {
	start, _ := time.Parse("2006-01-02T15:04:05", q.Start)
	from := wallclock.FromUTC(start).In(location).Add(-24 * time.Hour) // it may have come twice
	to := from.AddDate(0, 0, 2)
	for _, o := range own {
		to = later(to, o.Instant)
	}
	for _, f := range peer.Found {
		to = later(to, time.Unix(f.Unix, 0))
	}
	_, offset := from.In(location).Zone()
	for at := from; at.Before(to); at = at.AddDate(0, 0, 7) {
		if _, o := at.In(location).Zone(); o != offset {
			return true
		}
	}
	_, o := to.In(location).Zone()
	return o != offset
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// ours expands a question's rule.
func ours(q question) ([]recurrence.Occurrence, error) {
	rule, err := recurrence.Parse(recurrence.Definition{Rule: q.own, Skip: q.skip})
	if err != nil {
		return nil, err
	}
	start, _ := time.Parse("2006-01-02T15:04:05", q.Start)
	location, _ := zone.Load(q.Zone)
	return first(rule.From(recurrence.Start{Local: wallclock.FromUTC(start), Zone: location}), q.Most), nil
}

// Random rules give the same occurrences as an independent implementation gives, but for the
// differences that are named, and counted.
func TestPeer(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("%d comparisons, -seed %d", *comparisons, *seed)
	r := random{rand.New(rand.NewPCG(*seed, 0))}
	var questions []question
	var all [][]recurrence.Occurrence
	never := 0
	for len(questions) < *comparisons {
		q := r.question()
		series, _ := q.series(t)
		var own []recurrence.Occurrence
		for o, ok := series.First(); ok && len(own) < q.Most; o, ok = series.After(o) {
			own = append(own, o)
		}
		if len(own) == 0 {
			// The peer takes long to see that there is none: one in ten is enough.
			if never++; never%10 != 0 {
				continue
			}
		}
		questions, all = append(questions, q), append(all, own)
	}
	began := time.Now()
	answers := askPeer(t, questions)
	t.Logf("the peer took %v", time.Since(began))
	counts, same, occurrences, empty := map[string]int{}, 0, 0, 0
	for i, q := range questions {
		own, peer := all[i], answers[i]
		series, location := q.series(t)
		// A series ends after 400 years, and the peer's goes on.
		over := strconv.Itoa(yearOf(q)+400) + q.Start[4:] + "~"
		peer.Found = slices.DeleteFunc(peer.Found, func(f found) bool { return f.Local >= over })
		occurrences += len(own)
		start, _ := time.Parse("2006-01-02T15:04:05", q.Start)
		inTime := len(own) > 0 && own[0].Local.Before(wallclock.FromUTC(start).Midnight().AddDays(36526)) // else its first is more than 100 years away
		if err := series.Check(); (err == nil) != inTime {
			t.Errorf("%s from %s in %s: %d occurrences, %v", q.Rule, q.Start, q.Zone, len(own), err)
		}
		if len(own) == 0 && len(peer.Found) == 0 {
			empty++
			continue
		}
		if agree(own, peer.Found) {
			same++
			continue
		}
		named := ""
		for _, d := range differences {
			if d.is(q, own, peer, location) {
				named = d.name
				break
			}
		}
		counts[named]++
		if named == inGap {
			// A gap changes the order, too, and this is about what there is.
			q.Most = 60
			own, _ = ours(q)
			slices.SortFunc(own, func(a, b recurrence.Occurrence) int { return a.Local.Compare(b.Local) })
			own = own[:min(len(own), 20)]
			q.Most = 20
		}
		if want := naive(q); named == "" || !slices.Equal(early(own), want) {
			t.Errorf("%s from %s in %s, %q:\n ours  %v\n peer  %v %s\n naive %v", q.Rule, q.Start, q.Zone, named, locals(own), peer.Found, peer.Error, want)
		}
	}
	t.Logf("%d the same, %d without occurrence, %d occurrences in all", same, empty, occurrences)
	for _, d := range differences {
		t.Logf("%5d: %s", counts[d.name], d.name)
	}
	if same < *comparisons*3/4 {
		t.Errorf("only %d of %d are the same", same, *comparisons)
	}
}

func yearOf(q question) int {
	year, _ := strconv.Atoi(q.Start[:4])
	return year
}

// agree compares wall clocks, and instants up to 2024: from then on the time-zone data of
// the peer may be older.
func agree(own []recurrence.Occurrence, peer []found) bool {
	return slices.EqualFunc(own, peer, func(o recurrence.Occurrence, f found) bool {
		return o.Local.UTC().Format("2006-01-02T15:04:05") == f.Local && (o.Instant.Year() > 2024 || o.Instant.Unix() == f.Unix)
	})
}

// early has the wall clocks of those that naive gets to.
func early(list []recurrence.Occurrence) []string {
	return slices.DeleteFunc(locals(list), func(local string) bool { return local >= naiveEnd })
}

func locals(list []recurrence.Occurrence) (out []string) {
	for _, o := range list {
		out = append(out, o.Local.UTC().Format("2006-01-02T15:04:05"))
	}
	return out
}
