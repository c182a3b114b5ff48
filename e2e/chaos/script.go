package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is a kind of request.
type kind string

const (
	create   kind = "create"
	move     kind = "move"
	retitle  kind = "retitle"
	complete kind = "complete"
	reopen   kind = "reopen"
	remove   kind = "delete"
	look     kind = "look" // only reads the task

	snooze      kind = "snooze"
	acknowledge kind = "acknowledge"
)

// step is one request in a task's life. Times count from the beginning of the run.
type step struct {
	kind kind
	at   time.Duration
	due  time.Duration // of create and move; of snooze, when it ends
}

// script is what a client does with one task.
type script struct {
	n        int // its number, which its title contains
	user     int
	before   []time.Duration // offsets of its reminders
	channels []string        // nil: the user's preferences
	// unkeyed says that it is created without an Idempotency-Key. Without an answer, only the end
	// shows whether it exists.
	unkeyed bool
	// recurs is how many occurrences the task has, some seconds apart; 0: it does not recur.
	recurs int
	// repeats says that its reminder is repeated once, after a minute, unless it is acknowledged
	// before.
	repeats bool
	// import groups tasks that are created in one request; 0: by itself.
	batch int
	steps []step
}

// title returns the task's title from a step on. It shows which step was the last one when a
// reminder fired.
func (s script) title(step int) string { return fmt.Sprintf("t%d.%d <chaos> & ✓", s.n, step) }

const (
	users = 25
	// apart is the time between two occurrences.
	apart = 5 * time.Second
	// every is the time after which a reminder is repeated.
	every = time.Minute
	// far is a due date after the end of the run.
	far = 30 * 24 * time.Hour
)

// rule returns a recurring task's rule.
func (s script) rule() string {
	list := func(step int) string {
		var all []string
		for i := 0; i < 60; i += step {
			all = append(all, strconv.Itoa(i))
		}
		return strings.Join(all, ",")
	}
	return fmt.Sprintf("FREQ=HOURLY;BYMINUTE=%s;BYSECOND=%s;COUNT=%d", list(1), list(int(apart/time.Second)), s.recurs)
}

// write makes the scripts of tasks with that many reminders in total, all within span. The same
// seed makes the same scripts.
func write(seed uint64, reminders int, span time.Duration) (scripts []script) {
	r := rand.New(rand.NewPCG(seed, 1))
	between := func(low, high time.Duration) time.Duration {
		if high <= low {
			return low
		}
		return low + time.Duration(r.Int64N(int64(high-low)))
	}
	batch, left := 0, 0
	var batchAt time.Duration
	for have := 0; have < reminders; {
		s := script{n: len(scripts) + 1, user: r.IntN(users), before: []time.Duration{0}}
		switch r.IntN(20) {
		case 0:
			s.channels = []string{"in_app"}
		case 1:
			s.channels = []string{"email"}
		}
		at := between(0, span*9/10)
		switch {
		case left > 0: // the same import
			left--
			s.batch, s.user, at = batch, scripts[len(scripts)-1].user, batchAt
		case r.IntN(100) == 0:
			batch++
			left, batchAt, s.batch = r.IntN(40), at, batch
		default:
			s.unkeyed = r.IntN(5) == 0
		}
		due := at + between(3*time.Second, min(45*time.Second, span-at))
		// One reminder only if there is an SMS, which has no room to say which reminder it is.
		if due-at > 10*time.Second && r.IntN(6) == 0 && have+2 <= reminders && !slices.Contains(channelsOf(s.user), "sms") {
			s.before = append(s.before, 4*time.Second)
		}
		add := func(k kind, at, due time.Duration) { s.steps = append(s.steps, step{k, at, due}) }
		early := at + (due-at)*time.Duration(20+r.IntN(40))/100 // some time before it is due
		late := due + between(time.Second, 8*time.Second)
		add(create, at, due)
		if s.batch == 0 && r.IntN(10) == 0 {
			// Only the inbox, and an e-mail's id, say which occurrence a message is of.
			s.recurs, s.before, s.channels = 2+r.IntN(4), s.before[:1], []string{"in_app", "email"}
			while := due + between(0, time.Duration(s.recurs)*apart)
			switch n := r.IntN(100); {
			case n < 12:
				add(complete, while, 0)
			case n < 24:
				add(remove, while, 0)
			case n < 36:
				add(retitle, while, 0)
			}
			have++
			scripts = append(scripts, s)
			continue
		}
		switch n := r.IntN(100); {
		case n < 12:
			add(move, early, early+between(2*time.Second, 30*time.Second))
		case n < 19:
			add(complete, early, 0)
		case n < 24:
			add(complete, early, 0)
			add(reopen, early+200*time.Millisecond, 0)
		case n < 31:
			add(remove, early, 0)
		case n < 34:
			add(retitle, early, 0)
		case n < 38:
			add(look, late, 0)
			add(complete, late, 0)
		case n < 42:
			add(look, late, 0)
			add(move, late, late+between(3*time.Second, 15*time.Second))
		case n < 48: // just when it is due
			at := due + between(-300*time.Millisecond, 300*time.Millisecond)
			switch r.IntN(3) {
			case 0:
				add(complete, at, 0)
			case 1:
				add(remove, at, 0)
			case 2:
				add(move, at, at+between(3*time.Second, 15*time.Second))
			}
		case n < 51: // overdue when it is created
			s.steps[0].due = at - between(time.Second, 10*time.Minute)
		case n < 66: // moved several times
			at, due := at, max(due, at+15*time.Second)
			for range 2 + r.IntN(4) {
				at += between(200*time.Millisecond, 700*time.Millisecond)
				due += time.Second
				add(move, at, due)
			}
		case n < 75: // far ahead, and moved several times
			s.before = s.before[:1]
			s.steps[0].due = far
			for i := range 1 + r.IntN(8) {
				at += between(0, (span-at)/3)
				add(move, at, far+time.Duration(i+1)*time.Hour)
			}
		case n >= 90 || slices.Contains(channelsOf(s.user), "sms"): // an SMS has no room to say which reminder it is
		case n < 83:
			s.before = s.before[:1]
			add(snooze, late, late+between(3*time.Second, 20*time.Second))
		default: // before it is due, after it, at about its repetition, or never
			s.before, s.repeats = s.before[:1], true
			if whens := []time.Duration{early, late, due + every + between(-300*time.Millisecond, 300*time.Millisecond)}; r.IntN(10) > 0 {
				add(acknowledge, whens[r.IntN(len(whens))], 0)
			}
		}
		have += len(s.before)
		scripts = append(scripts, s)
	}
	return scripts
}
