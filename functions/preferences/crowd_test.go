package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/verify"
)

// Ten accounts, or whoever has stolen their tokens, try to have messages sent to addresses of
// others. For every order, concurrency and provider's answer these hold: an address gets at most
// three verifications in a day, and ten in a year. It gets no reminder of a user until its owner
// has agreed for that user, and no verification after its owner has refused. No verification
// contains a user's text.
func TestNobodyCanBeMadeToSend(t *testing.T) {
	o := newOwners(t, "VERIFY_PER_NETWORK=1000000", "RATE_LIMIT=100000", "RATE_BURST=100000")
	run := 0
	agreed, refused := map[string]bool{}, map[string]bool{} // of all runs: what waits in one may be sent in a later one
	rapid.Check(t, func(t *rapid.T) {
		run++
		c := &crowd{owners: o, t: t, agreed: agreed, refused: refused, since: time.Now()}
		for i := range 10 {
			c.users = append(c.users, fmt.Sprintf("u%d-%d", run, i))
		}
		victim := fmt.Sprintf("v%d", run)
		c.addresses = []string{
			victim + "@x.org", strings.ToUpper(victim) + "@X.org", victim + "+a@x.org", victim + "+b@x.org",
			fmt.Sprintf("+1555%07d", run),
		}
		for range rapid.IntRange(5, 30).Draw(t, "steps") {
			rapid.SampledFrom(c.actions()).Draw(t, "action")()
			c.look()
		}
	})
}

// crowd are accounts that try to have messages sent to others.
type crowd struct {
	*owners
	t                *rapid.T
	users, addresses []string
	since            time.Time
	passed           time.Duration
	asks             map[string][]time.Duration // when each owner was asked
	latest           []notify.Message           // that asked owners
	agreed           map[string]bool            // by user and address, as far as it is listed
	refused          map[string]bool            // by mailbox
}

// typed is part of every text that the crowd writes, except addresses.
const typed = "BUY-CHEAP-THINGS"

func (c *crowd) user() string    { return rapid.SampledFrom(c.users).Draw(c.t, "user") }
func (c *crowd) address() string { return rapid.SampledFrom(c.addresses).Draw(c.t, "address") }

func (c *crowd) actions() []func() {
	return []func(){
		func() { c.put(c.user(), c.address()) },
		func() { c.resend(c.user(), c.address()) },
		func() {
			user := c.user()
			c.As(user, "PUT", path, `{}`)
			c.keep(user, "")
		},
		func() {
			c.enter(c.user(), c.address(), fmt.Sprintf("%06d", rapid.IntRange(0, 999999).Draw(c.t, "code")))
		},
		func() { // many at once
			var group sync.WaitGroup
			for _, user := range c.users {
				group.Go(func() {
					for range 3 {
						c.add(user, c.addresses[0])
						c.resend(user, c.addresses[0])
					}
				})
			}
			group.Wait()
			for _, user := range c.users {
				c.keep(user, c.addresses[0])
			}
		},
		func() { // a task's title is typed, too
			user := c.user()
			due := task.Instant(time.Now().Add(-time.Second))
			created := c.Seed(user, task.Draft{Title: typed, Notes: typed, DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.Email, task.SMS}})
			if _, err := c.firer.Fire(c.Context(), task.Revision{TaskID: created.ID, UserID: user, ReminderID: created.Reminders[0].ID, Number: 1}); err != nil {
				c.t.Fatal(err)
			}
		},
		func() {
			d := rapid.SampledFrom([]time.Duration{time.Minute, 11 * time.Minute, 7 * time.Hour, 25 * time.Hour, 60 * 24 * time.Hour}).Draw(c.t, "passes")
			c.pass(d)
			c.passed += d
			c.retry()
		},
		func() { c.owner(func(m notify.Message) { c.click(m.Verification.NotMe, ""); c.refuse(m, true) }) },
		func() {
			c.owner(func(m notify.Message) { c.click(m.Verification.NotMe, "again=1"); c.refuse(m, false) })
		},
		func() {
			c.owner(func(m notify.Message) { c.click(m.Verification.Link, ""); c.agreed[c.key(m.UserID, m.To)] = true })
		},
		func() {
			c.owner(func(m notify.Message) {
				c.enter(m.UserID, m.To, m.Verification.Code)
				c.agreed[c.key(m.UserID, m.To)] = true
			})
		},
		func() { c.fail = &notify.Error{Kind: notify.Permanent, Err: errors.New("no such mailbox")} },
		func() { c.fail = &notify.Error{Kind: notify.Retry, Err: errors.New("down")} },
		func() { c.fail = &notify.Error{Kind: notify.Unknown, Err: errors.New("no answer")} },
		c.retry,
		func() { c.fail = nil },
	}
}

// retry makes all deliveries that wait for another try due.
func (c *crowd) retry() {
	c.Exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
}

// owner has the owner of a random message, if there is one, do something with it.
func (c *crowd) owner(does func(notify.Message)) {
	if len(c.latest) > 0 {
		does(rapid.SampledFrom(c.latest).Draw(c.t, "message"))
	}
}

func (c *crowd) refuse(m notify.Message, no bool) {
	c.refused[preferences.Mailbox(m.To)] = no
}

// put makes an address the only one of a user.
func (c *crowd) put(user, address string) {
	c.add(user, address)
	c.keep(user, address)
}

// keep forgets the addresses that owners have agreed to for a user, except one.
func (c *crowd) keep(user, address string) {
	maps.DeleteFunc(c.agreed, func(key string, _ bool) bool {
		return strings.HasPrefix(key, user+" ") && key != c.key(user, address)
	})
}

// key returns the same key for all spellings of an address.
func (c *crowd) key(user, address string) string { return user + " " + preferences.AddressKey(address) }

var anyLink = regexp.MustCompile(`https://\S+`)

// look sends what is due, and checks it.
func (c *crowd) look() {
	before := c.refused
	for _, m := range c.sendDue() {
		if kind, _ := notify.KindOf(c.fail); c.fail != nil && kind != notify.Unknown {
			break // none of them has arrived
		}
		box := preferences.Mailbox(m.To)
		switch {
		case strings.HasSuffix(m.To, "@example.com"): // the sign-in's
			continue
		case m.Verification == nil && !c.agreed[c.key(m.UserID, m.To)]:
			c.t.Fatalf("%s was sent a reminder of %s, to which its owner has not agreed", m.To, m.UserID)
		case m.Verification == nil:
			continue
		case before[box]:
			c.t.Fatalf("%s was asked after its owner has said no", m.To)
		}
		if c.asks == nil {
			c.asks = map[string][]time.Duration{}
		}
		at := c.passed + time.Since(c.since)
		c.asks[box] = append(c.asks[box], at)
		c.latest = append(c.latest, m)
		for within, most := range map[time.Duration]int{24 * time.Hour: verify.AddressDaily, 365 * 24 * time.Hour: verify.AddressYearly} {
			// The test's own running time does not count: a minute of tolerance.
			n := len(slices.DeleteFunc(slices.Clone(c.asks[box]), func(then time.Duration) bool { return at-then > within-time.Minute }))
			if n > most {
				c.t.Fatalf("%s was asked %d times within %v", box, n, within)
			}
		}
		if text := anyLink.ReplaceAllString(m.Subject()+m.Text()+m.VerificationSMS(), ""); strings.Contains(text, typed) || strings.Contains(text, m.UserID) || strings.Contains(text, "@") {
			c.t.Fatalf("a user has typed some of this: %s", text)
		}
	}
}
