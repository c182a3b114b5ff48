package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/task"
)

var zero = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func second(n float64) time.Time { return zero.Add(time.Duration(n * float64(time.Second))) }

// lifeOf makes a life of one reminder from lines "kind sent settled [due] state". A move or a new
// title counts the title up. A snooze ends at due. The line "repeats" makes it repeated.
func lifeOf(t *testing.T, lines ...string) *life {
	t.Helper()
	l := &life{script: script{n: 1, user: 1}, id: uuid.New()}
	reminder, due, step := uuid.New(), 0.0, 0
	for _, line := range lines {
		if line == "repeats" {
			l.repeats = true
			continue
		}
		var o op
		var sent, settled float64
		var state string
		until := 0.0
		switch name, _, _ := strings.Cut(line, " "); name {
		case "create", "move":
			fmt.Sscan(line, &o.kind, &sent, &settled, &due, &state)
		case "snooze":
			fmt.Sscan(line, &o.kind, &sent, &settled, &until, &state)
		default:
			fmt.Sscan(line, &o.kind, &sent, &settled, &state)
		}
		if len(l.ops) > 0 && slices.Contains([]kind{move, retitle, reopen}, o.kind) {
			step++
		}
		o.title, o.sent, o.settled = l.title(step), second(sent), second(settled)
		o.task.UpdatedAt = o.sent
		if o.kind != remove {
			at := second(due)
			o.task.Reminders = []api.Reminder{{ID: reminder, Kind: task.KindDue, FireAt: &at, State: state}}
			if o.until = second(until); o.kind == snooze && until > settled {
				o.task.Reminders = append(o.task.Reminders, api.Reminder{ID: uuid.New(), Kind: task.KindSnooze, FireAt: &o.until, State: "scheduled"})
			}
		}
		l.ops = append(l.ops, o)
	}
	return l
}

func TestOracle(t *testing.T) {
	type came struct {
		inbox string // "title at" for each
		mails string // "delivery at" for each; + behind it: cut
	}
	killed := []struck{{"kill send", "send", false, second(11), second(11)}}
	stopped := []struck{{"pause send", "send", false, second(10), second(24)}}
	slow := []struck{{"slow daprd", "daprd", true, second(9), second(12)}}
	nothing := []struck{{"kill inbox", "inbox", false, second(-60), second(-59)}}
	for name, test := range map[string]struct {
		life   []string
		came   came
		faults []struck
		want   []string
		events int // more in the audit log than in the inbox
	}{
		"all is well":           {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 10.2"}, nil, nil, 0},
		"nothing came":          {[]string{"create 0 1 10 scheduled"}, came{}, nil, []string{"lost", "lost"}, 0},
		"no e-mail came":        {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", ""}, nil, []string{"lost"}, 0},
		"twice in the inbox":    {[]string{"create 0 1 10 scheduled"}, came{"0 10.1 0 10.2", "a 10.1"}, nil, []string{"duplicate"}, 0},
		"two deliveries":        {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 10.1 b 10.2"}, nil, []string{"duplicate"}, 0},
		"a copy, uncaused":      {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 10.1 a 18"}, nil, []string{"duplicate"}, 0},
		"a copy after a cut":    {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a+ 10.1 a 18"}, nil, nil, 0},
		"a cut, by two at once": {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a+ 10.1 a 10.2"}, nil, []string{"duplicate"}, 0},
		"the last one is cut":   {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 10.1 a+ 18"}, nil, []string{"duplicate"}, 0},
		"a copy of a sender that was killed": {
			[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 10.1 a 18"}, killed, nil, 0,
		},
		"a copy of a sender that was stopped, when it goes on": {
			[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 22.9 a 24.1"}, stopped, nil, 0,
		},
		"the same, when it has gone on long ago": {
			[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 22.9 a 26.5"}, stopped, []string{"duplicate"}, 0,
		},
		"the same, before its lease is over": {
			[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 18 a 19"}, stopped, []string{"duplicate"}, 0,
		},
		"killed long before": {[]string{"create 0 1 20 scheduled"}, came{"0 20.1", "a 20.1 a 28"}, killed, []string{"duplicate"}, 0},
		"another was killed": {
			[]string{"create 0 1 10 scheduled"},
			came{"0 10.1", "a 10.1 a 18"},
			[]struck{{"kill inbox", "inbox", false, second(11), second(11)}},
			[]string{"duplicate"},
			0,
		},
		"early":                       {[]string{"create 0 1 10 scheduled"}, came{"0 9.9", "a 10"}, nil, []string{"early"}, 0},
		"overdue when it was created": {[]string{"create 0 1 -10 pending"}, came{"0 0.5", "a 0.6"}, nil, nil, 0},
		"missed":                      {[]string{"create 0 1 -90000 missed"}, came{"0 0.5", ""}, nil, []string{"duplicate"}, 0},

		"deleted":                         {[]string{"create 0 1 10 scheduled", "delete 5 6"}, came{}, nil, nil, 0},
		"deleted, and told":               {[]string{"create 0 1 10 scheduled", "delete 5 6"}, came{"0 10.1", ""}, nil, []string{"duplicate"}, 0},
		"deleted when it was due":         {[]string{"create 0 1 10 scheduled", "delete 9 11"}, came{"0 10.1", "a 10.2"}, nil, nil, 0},
		"deleted when it was due, silent": {[]string{"create 0 1 10 scheduled", "delete 9 11"}, came{}, nil, nil, 0},
		"told after it was deleted":       {[]string{"create 0 1 10 scheduled", "delete 9 11"}, came{"0 11.1", ""}, nil, []string{"cancelled"}, 0},
		"mailed long after":               {[]string{"create 0 1 10 scheduled", "delete 9 11"}, came{"0 10.5", "a 15"}, nil, []string{"cancelled"}, 0},
		"snoozed":                         {[]string{"create 0 1 10 scheduled", "snooze 12 13 20 fired"}, came{"0 10.1 0 20.1", "a 10.2 b 20.2"}, nil, nil, 0},
		"snoozed, and not told":           {[]string{"create 0 1 10 scheduled", "snooze 12 13 20 fired"}, came{"0 10.1", "a 10.2"}, nil, []string{"lost"}, 0},
		"snoozed, and too early":          {[]string{"create 0 1 10 scheduled", "snooze 12 13 20 fired"}, came{"0 10.1 0 19", "a 10.2 b 20.2"}, nil, []string{"early"}, 0},
		"snoozed, and told twice": {
			[]string{"create 0 1 10 scheduled", "snooze 12 13 20 fired"}, came{"0 10.1 0 20.1 0 20.2", "a 10.2 b 20.2"}, nil, []string{"duplicate"}, 0,
		},
		"snoozed before it was mailed":        {[]string{"create 0 1 10 scheduled", "snooze 12 13 20 fired"}, came{"0 10.1 0 20.1", "b 20.2"}, nil, nil, 0},
		"a snooze that was answered too late": {[]string{"create 0 1 10 scheduled", "snooze 12 21 20 fired"}, came{"0 10.1", "a 10.2"}, nil, nil, 0},
		"the same, and it was told":           {[]string{"create 0 1 10 scheduled", "snooze 12 21 20 fired"}, came{"0 10.1 0 22", "a 10.2 b 22.1"}, nil, nil, 0},
		"repeated":                            {[]string{"repeats", "create -20 -19 -10 scheduled"}, came{"0 -9.9 0 50.1", "a -9.8 b 50.2"}, nil, nil, 0},
		"not repeated":                        {[]string{"repeats", "create -20 -19 -10 scheduled"}, came{"0 -9.9", "a -9.8"}, nil, []string{"lost", "lost"}, 0},
		"acknowledged":                        {[]string{"repeats", "create -20 -19 -10 scheduled", "acknowledge -8 -7 fired"}, came{"0 -9.9", "a -9.8"}, nil, nil, 0},
		"acknowledged before it was mailed":   {[]string{"repeats", "create -20 -19 -10 scheduled", "acknowledge -8 -7 fired"}, came{"0 -9.9", ""}, nil, nil, 0},
		"acknowledged, and repeated":          {[]string{"repeats", "create -20 -19 -10 scheduled", "acknowledge -8 -7 fired"}, came{"0 -9.9 0 50.1", "a -9.8"}, nil, []string{"duplicate"}, 0},
		"acknowledged too early":              {[]string{"repeats", "create -20 -19 -10 scheduled", "acknowledge -15 -14 scheduled"}, came{"0 -9.9 0 50.1", "a -9.8 b 50.2"}, nil, nil, 0},
		"acknowledged when it was repeated":   {[]string{"repeats", "create -20 -19 -10 scheduled", "acknowledge 49 51 fired"}, came{"0 -9.9 0 50.1", "a -9.8 b 50.2"}, nil, nil, 0},
		"the same, and not repeated":          {[]string{"repeats", "create -20 -19 -10 scheduled", "acknowledge 49 51 fired"}, came{"0 -9.9", "a -9.8"}, nil, nil, 0},
		"repeated after it was acknowledged":  {[]string{"repeats", "create -20 -19 -10 scheduled", "acknowledge 49 51 fired"}, came{"0 -9.9 0 52", "a -9.8"}, nil, []string{"cancelled"}, 0},
		"completed":                           {[]string{"create 0 1 10 scheduled", "complete 5 6 cancelled"}, came{}, nil, nil, 0},
		"completed late, unfired":             {[]string{"create 0 1 10 scheduled", "complete 12 13 cancelled"}, came{"0 11", ""}, nil, []string{"duplicate"}, 0},
		"completed late, fired":               {[]string{"create 0 1 10 scheduled", "complete 12 13 fired"}, came{"0 11", ""}, nil, nil, 0},
		"completed late, fired, lost":         {[]string{"create 0 1 10 scheduled", "complete 12 13 fired"}, came{}, nil, []string{"lost"}, 0},
		"reopened": {
			[]string{"create 0 1 10 scheduled", "complete 2 3 cancelled", "reopen 4 5 scheduled"},
			came{"1 10.1", "a 10.2"},
			nil, nil, 0,
		},
		"reopened, told as it was before": {
			[]string{"create 0 1 10 scheduled", "complete 2 3 cancelled", "reopen 4 5 scheduled"},
			came{"0 10.1", "a 10.2"},
			nil,
			[]string{"duplicate", "lost"},
			0,
		},
		"moved":                 {[]string{"create 0 1 10 scheduled", "move 2 3 20 scheduled"}, came{"1 20.1", "a 20.2"}, nil, nil, 0},
		"moved, told twice":     {[]string{"create 0 1 10 scheduled", "move 2 3 20 scheduled"}, came{"0 10.1 1 20.1", "a 20.2"}, nil, []string{"duplicate"}, 0},
		"moved, told early":     {[]string{"create 0 1 10 scheduled", "move 2 3 20 scheduled"}, came{"1 10.1", "a 20.2"}, nil, []string{"early"}, 0},
		"moved after it fired":  {[]string{"create 0 1 10 scheduled", "look 11 12 fired", "move 12 13 20 scheduled"}, came{"0 10.1 1 20.1", "a 10.1 b 20.2"}, nil, nil, 0},
		"moved, the first lost": {[]string{"create 0 1 10 scheduled", "look 11 12 fired", "move 12 13 20 scheduled"}, came{"1 20.1", "b 20.2"}, nil, []string{"lost"}, 0},
		"moved when it was due": {[]string{"create 0 1 10 scheduled", "move 9 11 20 scheduled"}, came{"1 20.1", "b 20.2"}, nil, nil, 0},
		"a new title":           {[]string{"create 0 1 10 scheduled", "retitle 2 3 scheduled"}, came{"1 10.1", "a 10.1"}, nil, nil, 0},
		"a new title, twice":    {[]string{"create 0 1 10 scheduled", "retitle 2 3 scheduled"}, came{"0 10.1 1 10.1", "a 10.1"}, nil, []string{"duplicate"}, 0},
		"no event":              {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 10.1"}, nil, []string{"lost"}, -1},
		"two events":            {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 10.1"}, nil, []string{"duplicate"}, 1},
		"by two providers":      {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a@ses+ 10.1 a@sendgrid 18"}, nil, []string{"duplicate"}, 0},
		"a title of nobody's":   {[]string{"create 0 1 10 scheduled"}, came{"0 10.1 7 10.1", "a 10.1"}, nil, []string{"wrong"}, 0},
		"late":                  {[]string{"create 0 1 10 scheduled"}, came{"0 36", "a 10.1"}, nil, []string{"late"}, 0},
		"late e-mail":           {[]string{"create 0 1 10 scheduled"}, came{"0 10.1", "a 41"}, nil, []string{"late"}, 0},
		"late when one is slow": {[]string{"create 0 1 10 scheduled"}, came{"0 36", "a 41"}, slow, []string{"late", "late"}, 0},
		"late long after":       {[]string{"create 0 1 10 scheduled"}, came{"0 36", "a 41"}, nothing, []string{"late", "late"}, 0},
		"late, and explained":   {[]string{"create 0 1 10 scheduled"}, came{"0 36", "a 41"}, killed, nil, 0},
		"not very late":         {[]string{"create 0 1 10 scheduled"}, came{"0 34", "a 39"}, slow, nil, 0},
		"far ahead":             {[]string{"create 0 1 9000 scheduled"}, came{}, nil, nil, 0},
		"far ahead, and told":   {[]string{"create 0 1 9000 scheduled"}, came{"0 10", ""}, nil, []string{"duplicate"}, 0},
		"never made":            {nil, came{"0 10", ""}, nil, []string{"wrong"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := lifeOf(t, test.life...)
			var c arrivals
			words := strings.Fields(test.came.inbox)
			for i := 0; i < len(words); i += 2 {
				var step int
				var at float64
				fmt.Sscan(words[i]+" "+words[i+1], &step, &at)
				c.inbox = append(c.inbox, told{id: uuid.New(), title: l.title(step), at: second(at)})
			}
			words = strings.Fields(test.came.mails)
			for i := 0; i < len(words); i += 2 {
				var at float64
				fmt.Sscan(words[i+1], &at)
				name, cut := strings.CutSuffix(words[i], "+")
				name, by, _ := strings.Cut(name, "@")
				if c.external == nil {
					c.external = map[string][]told{}
				}
				c.external["email"] = append(c.external["email"], told{id: uuid.NewSHA1(uuid.Nil, []byte(name)), provider: by, at: second(at), cut: cut})
			}
			c.events = make([]told, len(c.inbox)+test.events)
			var tally tally
			tally.judge(l, c, test.faults, second(60))
			var got []string
			for _, f := range tally.findings {
				got = append(got, f.what)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s%v", diff, tally.findings)
			}
		})
	}
}

func TestChannelsOfATask(t *testing.T) {
	for channel, c := range map[string]arrivals{
		"in_app": {inbox: []told{{title: (&script{n: 1}).title(0), at: second(10)}}, events: make([]told, 1)},
		"email":  {external: map[string][]told{"email": {{id: uuid.New(), at: second(10)}}}, events: make([]told, 1)},
	} {
		l := lifeOf(t, "create 0 1 10 scheduled")
		l.channels = []string{channel}
		var right, wrong tally
		right.judge(l, c, nil, second(60))
		l.channels = []string{map[string]string{"in_app": "email", "email": "in_app"}[channel]}
		wrong.judge(l, arrivals{inbox: c.inbox, external: c.external, events: c.events[:len(c.inbox)]}, nil, second(60))
		if len(right.findings) != 0 || len(wrong.findings) != 2 {
			t.Errorf("%s: %v, on the other %v", channel, right.findings, wrong.findings)
		}
	}
}

// In quiet hours only urgent messages come, and after them the newest of those that were held.
func TestQuietOracle(t *testing.T) {
	hours := quietHours{second(15), second(60)}
	for name, test := range map[string]struct {
		life   []string
		mails  []float64
		quiet  quietHours
		faults []struck
		want   []string
	}{
		"held":                         {[]string{"create 0 1 20 scheduled"}, []float64{60.1}, hours, nil, nil},
		"sent all the same":            {[]string{"create 0 1 20 scheduled"}, []float64{30}, hours, nil, []string{"quiet"}},
		"by one that was stopped":      {[]string{"create 0 1 20 scheduled"}, []float64{30}, hours, []struck{{"pause send", "send", false, second(16), second(30)}}, nil},
		"begun before":                 {[]string{"create 0 1 14 scheduled"}, []float64{16}, hours, nil, nil},
		"urgent":                       {[]string{"create 0 1 20 scheduled"}, []float64{20.1}, quietHours{}, nil, nil},
		"lost":                         {[]string{"create 0 1 20 scheduled"}, nil, hours, nil, []string{"lost"}},
		"the newest of two":            {[]string{"create 0 1 20 scheduled", "look 21 22 fired", "move 25 26 30 scheduled"}, []float64{60.1}, hours, nil, nil},
		"one held, one after them":     {[]string{"create 0 1 50 scheduled", "look 51 52 fired", "move 55 56 70 scheduled"}, []float64{70.1}, hours, nil, nil},
		"held, and completed":          {[]string{"create 0 1 20 scheduled", "look 21 22 fired", "complete 25 26 fired"}, nil, hours, nil, nil},
		"after them, late":             {[]string{"create 0 1 20 scheduled"}, []float64{95}, hours, nil, []string{"late"}},
		"after them, late by a reason": {[]string{"create 0 1 20 scheduled"}, []float64{95}, hours, []struck{{"kill send", "send", false, second(61), second(90)}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := lifeOf(t, test.life...)
			l.quiet, l.channels = test.quiet, []string{"email"}
			c := arrivals{external: map[string][]told{}}
			for _, at := range test.mails {
				c.external["email"] = append(c.external["email"], told{id: uuid.New(), provider: "sendgrid", at: second(at)})
			}
			for _, a := range l.armings() {
				c.events = append(c.events, make([]told, len(a.shots))...)
			}
			var tally tally
			tally.judge(l, c, test.faults, second(200))
			var got []string
			for _, f := range tally.findings {
				got = append(got, f.what)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s%v", diff, tally.findings)
			}
		})
	}
	for _, span := range []time.Duration{2 * time.Minute, 200 * time.Second, 10 * time.Minute} {
		if q := newQuietHours(zero.Add(59*time.Second), span); q.from.Sub(zero) < span/4 || q.to.Sub(q.from) < time.Minute || q.to.Sub(zero) > span*7/10+2*time.Minute {
			t.Errorf("in %v they go from %v to %v", span, q.from.Sub(zero), q.to.Sub(zero))
		}
	}
}

// Each bundled reminder has a message after it was due, whatever else is in it, and none that was
// frozen after its task was completed.
func TestBundleOracle(t *testing.T) {
	for name, test := range map[string]struct {
		life  []string
		mails string // "delivery at frozen" for each
		want  []string
	}{
		"in a bundle":            {[]string{"create 0 1 10 scheduled"}, "a 13.1 13", nil},
		"nothing came":           {[]string{"create 0 1 10 scheduled"}, "", []string{"lost"}},
		"only before it":         {[]string{"create 0 1 10 scheduled"}, "a 9 8", []string{"lost"}},
		"two in one":             {[]string{"create 0 1 10 scheduled", "look 11 12 fired", "move 12 13 14 scheduled"}, "a 17 17", nil},
		"the second lost":        {[]string{"create 0 1 10 scheduled", "look 11 12 fired", "move 12 13 20 scheduled"}, "a 13 13", []string{"lost"}},
		"in two bundles":         {[]string{"create 0 1 10 scheduled"}, "a 13.1 13 b 14 14", []string{"duplicate"}},
		"a copy, uncaused":       {[]string{"create 0 1 10 scheduled"}, "a 13.1 13 a 18 13", []string{"duplicate"}},
		"late":                   {[]string{"create 0 1 10 scheduled"}, "a 44 13", []string{"late"}},
		"not very late":          {[]string{"create 0 1 10 scheduled"}, "a 42 13", nil},
		"completed, and left it": {[]string{"create 0 1 10 scheduled", "look 10 10.5 fired", "complete 11 12 fired"}, "", nil},
		"completed too late":     {[]string{"create 0 1 10 scheduled", "look 10 10.5 fired", "complete 12 14 fired"}, "a 30 13", nil},
		"completed, and sent":    {[]string{"create 0 1 10 scheduled", "look 10 10.5 fired", "complete 11 12 fired"}, "a 13.1 13", []string{"cancelled"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := lifeOf(t, test.life...)
			l.user, l.channels = 2, []string{"email"}
			c := arrivals{external: map[string][]told{}}
			words := strings.Fields(test.mails)
			for i := 0; i < len(words); i += 3 {
				var at, frozen float64
				fmt.Sscan(words[i+1]+" "+words[i+2], &at, &frozen)
				c.external["email"] = append(c.external["email"], told{id: uuid.NewSHA1(uuid.Nil, []byte(words[i])), provider: "sendgrid", at: second(at), frozen: second(frozen)})
			}
			for _, a := range l.armings() {
				c.events = append(c.events, make([]told, len(a.shots))...)
			}
			var tally tally
			tally.judge(l, c, nil, second(60))
			var got []string
			for _, f := range tally.findings {
				got = append(got, f.what)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s%v", diff, tally.findings)
			}
		})
	}
	for subject, want := range map[string]bool{
		"3 reminders: t1.0 <chaos> & ✓, t2.0 <chaos> & ✓": true, "12 Erinnerungen: t1.0 <chaos> & ✓": true, "Reminder: t1.0 <chaos> & ✓": false, "Erinnerung: 3 reminders: x": false,
	} {
		if bundleSubject.MatchString(subject) != want {
			t.Errorf("%q", subject)
		}
	}
}

func TestSeedRepeats(t *testing.T) {
	a, b := write(7, 500, time.Minute), write(7, 500, time.Minute)
	if diff := cmp.Diff(a, b, cmp.AllowUnexported(script{}, step{})); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(a, write(8, 500, time.Minute), cmp.AllowUnexported(script{}, step{})) {
		t.Error("another seed makes the same")
	}
	reminders := 0
	for _, s := range a {
		reminders += len(s.before)
		for _, step := range s.steps {
			if step.at < 0 || step.due > time.Minute+25*time.Second && step.due < far {
				t.Errorf("task %d has a step at %v, due %v", s.n, step.at, step.due)
			}
		}
	}
	if reminders != 500 {
		t.Errorf("%d reminders", reminders)
	}
	all := []fault{{name: "a"}, {name: "b"}, {name: "c"}}
	if diff := cmp.Diff(plan(7, all, regexp.MustCompile("a|b"), time.Minute), plan(7, all, regexp.MustCompile("a|b"), time.Minute), cmp.AllowUnexported(planned{}, fault{})); diff != "" {
		t.Error(diff)
	}
	counts := map[string]int{}
	for _, p := range plan(7, all, regexp.MustCompile("."), 3*time.Second) {
		counts[p.name]++
	}
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1}, counts); diff != "" {
		t.Errorf("a short run has not each fault once: %s", diff)
	}
	last := map[bool]time.Duration{}
	for _, p := range plan(7, append(all, fault{name: "d", gentle: true}), regexp.MustCompile("."), time.Minute) {
		last[p.gentle] = p.at
	}
	if last[false] > time.Minute/2 || last[true] < time.Minute*7/10 {
		t.Errorf("the last that breaks something strikes at %v, the last gentle one at %v", last[false], last[true])
	}
}

// The code that is to be broken exists, and the broken code builds.
func TestBreakages(t *testing.T) {
	t.Parallel()
	for name := range breakages {
		if err := build(t.Context(), t.TempDir()+"/bin", name, "github.com/duebell/duebell/functions/retry-dlq", "github.com/duebell/duebell/functions/send"); err != nil {
			t.Error(err)
		}
	}
	if err := build(t.Context(), t.TempDir()+"/bin", "nothing"); err == nil || !strings.Contains(err.Error(), "fairness, lease, quiet, revision, slow, unasked, sweep") {
		t.Errorf("an unknown one: %v", err)
	}
}
