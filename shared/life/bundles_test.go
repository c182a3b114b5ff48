package life_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// newGathering is a world whose time is what a test says, in which ada is told in-app, and by e-mail in
// bundles of a quarter of an hour.
func newGathering(t *testing.T) *night {
	n := newNight(t, "2026-12-01T12:00:00+01:00")
	n.choose(func(p *preferences.Preferences) {
		p.QuietHours, p.Bundle = quiet.Hours{}, preferences.Bundle{task.Email: 15 * time.Minute}
	})
	return n
}

// later has it be later, and has what is due then sent.
func (n *night) later(d time.Duration) {
	n.Helper()
	n.at(n.now.Add(d).Format(time.RFC3339Nano))
	n.firer.send()
}

// titled makes a task of that title that is due now, and fires it.
func (n *night) titled(title string, change ...func(*task.Draft)) task.Task {
	n.Helper()
	return n.due(append(change, func(d *task.Draft) { d.Title = title })...)
}

// sent are the messages that a provider was given, each with its titles.
func (n *night) sent() (all []string) {
	for _, m := range n.mail.messages {
		titles := []string{m.Title}
		if m.Bundle != nil {
			titles = nil
		}
		for _, b := range m.Bundle {
			titles = append(titles, b.Title)
		}
		all = append(all, strings.Join(titles, "+"))
	}
	return all
}

// carriers say what has become of the bundles: state and attempts.
func (n *night) carriers() []string {
	n.Helper()
	return n.column(`select concat_ws(' ', d.state, d.attempts) from deliveries d join bundles b on b.id = d.id order by d.id`)
}

// What falls due within a quarter of an hour of the first goes out as one message when that is over, as
// one attempt. What comes later is in the next one. In-app tells of each at once.
func TestBundle(t *testing.T) {
	n := newGathering(t)
	before := metricstest.Read(t)
	a := n.titled("a")
	n.wants("at once", a, 0, "bundled 0")
	n.later(10 * time.Minute)
	b := n.titled("b")
	if len(n.inbox()) != 2 {
		t.Errorf("%d in the inbox", len(n.inbox()))
	}
	log, err := n.world.store.ListDeliveries(t.Context(), ada.ID, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	mail := log[slices.IndexFunc(log, func(d store.Delivery) bool { return d.Channel == task.Email })]
	if mail.State != store.Bundled || mail.Reason != store.ReasonBundled || mail.NextAttemptAt == nil || !mail.NextAttemptAt.Equal(n.now.Add(5*time.Minute)) || mail.FinishedAt != nil {
		t.Errorf("the log: %+v", mail)
	}
	n.later(5*time.Minute - time.Millisecond)
	sum := n.sweep()
	for of, waits := range sum.OldestWaitingSeconds {
		if waits != 0 {
			t.Errorf("something waits for %s, since %v s", of, waits)
		}
	}
	n.wants("just before its time", a, 0, "bundled 0")
	n.later(time.Millisecond)
	n.wants("at its time", a, 1, "sent 1")
	n.wants("at its time", b, 1, "sent 1")
	n.later(time.Minute)
	c := n.titled("c")
	n.wants("the next", c, 1, "bundled 0")
	n.later(15 * time.Minute)
	n.want("sent", n.sent(), "a+b", "c")
	if first, next := n.mail.messages[0], n.mail.messages[1]; first.Again || first.TaskID != uuid.Nil || next.TaskID != c.ID || next.Bundle != nil {
		t.Errorf("%+v and %+v", first, next)
	}
	if dead := n.letters(); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
	if diff := cmp.Diff(metricstest.Values{
		`duebell_bundled_total{channel="email"}`: 3, `duebell_bundle_reminders_count{channel="email"}`: 2, `duebell_bundle_reminders_sum{channel="email"}`: 3,
	}, metricstest.Since(t, before, "duebell_bundled_total", "duebell_bundle_reminders_count", "duebell_bundle_reminders_sum")); diff != "" {
		t.Error("metrics:", diff)
	}
}

// Each address of each user has its own, as long as its channel says. Other channels are told at once,
// and so are urgent tasks.
func TestWhatIsBundled(t *testing.T) {
	n := newGathering(t)
	n.everything()
	n.choose(func(p *preferences.Preferences) {
		chosen(p)
		p.Bundle = preferences.Bundle{task.Email: 15 * time.Minute, task.Push: time.Minute}
	})
	n.titled("a")
	n.titled("b")
	n.titled("urgent", func(d *task.Draft) { d.Urgent = true })
	states := func() []string {
		return n.column(`select concat_ws(' ', channel, state, count(*)) from deliveries where reminder_id is not null and channel <> 'in_app' and state <> 'failed' group by channel, state order by 1`)
	}
	n.want("at once", states(), "email bundled 4", "email sent 2", "push bundled 4", "push sent 2", "sms sent 6", "webhook sent 3")
	n.want("bundles", n.column(`select concat_ws(' ', channel, count(*)) from bundles group by channel order by 1`), "email 2", "push 2")
	told := n.mail.count()
	n.later(time.Minute)
	n.want("after a minute", states(), "email bundled 4", "email sent 2", "push sent 6", "sms sent 6", "webhook sent 3")
	n.later(14 * time.Minute)
	n.want("after a quarter", states(), "email sent 6", "push sent 6", "sms sent 6", "webhook sent 3")
	n.want("sent", n.sent()[told:], "a+b", "a+b", "a+b", "a+b")
}

// A task with two reminders is listed once, and what is left alone is a message as any other.
func TestOneTaskInABundle(t *testing.T) {
	n := newGathering(t)
	twice := n.create(task.Draft{Title: "twice", Notes: "notes", DueDate: ptr(n.now.Add(5 * time.Minute)), Before: task.Exactly(5*time.Minute, 0)})
	n.fire(wake(twice))
	n.later(5 * time.Minute)
	n.fire(atDue(twice))
	n.later(10 * time.Minute)
	n.want("sent", n.sent(), "twice")
	n.wants("both", twice, 1, "sent 1, sent 1")
	if m := n.mail.messages[0]; m.TaskID != twice.ID || m.Notes != "notes" || !m.DueDate.Equal(*twice.DueDate) {
		t.Errorf("%+v", m)
	}
}

// What is completed, moved or deleted before the bundle is sent is not in it, and the log says why. One
// that everybody has left is not sent.
func TestLeavingABundle(t *testing.T) {
	for want, change := range map[string]func(*night, task.Task){
		"completed": func(n *night, of task.Task) { n.update(of.ID, func(d *task.Draft) { d.Completed = true }) },
		"moved": func(n *night, of task.Task) {
			n.update(of.ID, func(d *task.Draft) { d.DueDate = ptr(n.now.Add(72 * time.Hour)) })
		},
		"deleted": func(n *night, of task.Task) { n.remove(of.ID) },
	} {
		n := newGathering(t)
		stays, leaves := n.titled("stays"), n.titled("leaves")
		change(n, leaves)
		n.later(15 * time.Minute)
		n.want(want, n.sent(), "stays")
		n.wants(want, stays, 1, "sent 1")
		n.wants(want, leaves, 1, "cancelled 0 "+want)
		last := n.titled("last")
		change(n, last)
		n.later(15 * time.Minute)
		n.wants("the last "+want, last, 1, "cancelled 0 "+want)
		n.want("bundles", n.carriers(), "sent 1", "cancelled 1")
		if dead := n.letters(); len(dead) > 0 {
			t.Errorf("dead letters: %v", dead)
		}
	}
}

// What is completed once the bundle is on its way stays in it, however often it is tried.
func TestCompletedAfterTheFreeze(t *testing.T) {
	n := newGathering(t)
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	a := n.titled("a")
	n.titled("b")
	n.later(15 * time.Minute)
	n.wants("tried", a, 1, "bundled 1")
	n.update(a.ID, func(d *task.Draft) { d.Completed = true })
	n.mail.answer = nil
	late := n.titled("late") // which is in the next one
	n.later(time.Minute)
	n.want("sent", n.sent(), "a+b", "a+b")
	n.wants("a", a, 2, "sent 2")
	if m := n.mail.messages; m[0].ID != m[1].ID || !m[1].Again {
		t.Errorf("sent as %v and %v", m[0].ID, m[1].ID)
	}
	n.later(15 * time.Minute)
	n.wants("late", late, 3, "sent 1")
}

// A provider that fails is asked again with the same; in the end each reminder's log says that it was
// given up, and a replay sends the same once more.
func TestBundleThatFails(t *testing.T) {
	for kind, c := range map[notify.Kind]struct{ once, last string }{
		notify.Retry:     {"bundled 1", "exhausted 3"},
		notify.Unknown:   {"bundled 1", "exhausted 3"},
		notify.Permanent: {"failed 1", "failed 1"},
	} {
		n := newGathering(t)
		n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: kind, Err: errDown} }
		a, b := n.titled("a"), n.titled("b")
		n.later(15 * time.Minute)
		n.wants("tried once", a, 1, c.once)
		for range settings.MaxAttempts {
			n.later(time.Hour)
		}
		for _, of := range []task.Task{a, b} {
			if got := n.mails(of); got != c.last {
				t.Errorf("%s: %s", kind, got)
			}
			if log := strings.Join(n.log(of), "; "); !strings.Contains(log, "sendgrid") || !strings.Contains(log, errDown.Error()) {
				t.Errorf("%s: the log says %s", kind, log)
			}
		}
		if kind == notify.Permanent {
			continue
		}
		letter := n.letter()
		if letter.State != store.Dead || !strings.HasPrefix(letter.JobName, "bundle-") {
			t.Errorf("the dead letter: %+v", letter)
		}
		n.update(a.ID, func(d *task.Draft) { d.Completed = true }) // b still wants it
		n.mail.answer = nil
		before := n.mail.count()
		if _, err := n.world.store.ReplayDeadLetter(t.Context(), letter.ID, false); err != nil {
			t.Fatal(err)
		}
		n.wants("replayed", b, before, "bundled 0")
		n.firer.send()
		n.want("replayed", n.sent()[before:], "a+b")
		n.wants("a", a, before+1, "sent 1")
		if m := n.mail.messages; m[0].ID != m[before].ID || n.letter().State != store.Resolved {
			t.Errorf("replayed as %v, was %v, %+v", m[before].ID, m[0].ID, n.letter())
		}
	}
}

// A bundle of which nobody wants anything any more is replayed by force only, and discarding it is in
// each log.
func TestReplayOfABundle(t *testing.T) {
	n := newGathering(t)
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	a, b := n.titled("a"), n.titled("b")
	n.later(15 * time.Minute)
	letter := n.letter()
	if err := n.world.store.DiscardDeadLetter(t.Context(), letter.ID); err != nil {
		t.Fatal(err)
	}
	n.wants("discarded", a, 1, "cancelled 1 discarded")
	n.wants("discarded", b, 1, "cancelled 1 discarded")
	for _, of := range []task.Task{a, b} {
		n.remove(of.ID)
	}
	n.mail.answer = nil
	if _, err := n.world.store.ReplayDeadLetter(t.Context(), letter.ID, false); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("replayed: %v", err)
	}
	if _, err := n.world.store.ReplayDeadLetter(t.Context(), letter.ID, true); err != nil {
		t.Fatal(err)
	}
	n.firer.send()
	n.want("forced", n.sent(), "a+b", "a+b")
}

// A replay of many dead letters replays a bundle once, with all its reminders, if at least one of them is
// still wanted. It skips a bundle if another transaction is changing one of its reminders.
func TestReplayOfManyBundles(t *testing.T) {
	n := newGathering(t)
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	fail := func(titles ...string) (made []task.Task) {
		for _, title := range titles {
			made = append(made, n.titled(title))
		}
		n.later(15 * time.Minute)
		for range settings.MaxAttempts {
			n.later(time.Hour)
		}
		return made
	}
	first, second, third, unwanted := fail("a", "b"), fail("c", "d", "e"), fail("f"), fail("g", "h")
	for _, of := range []task.Task{first[0], unwanted[0], unwanted[1]} { // b is still wanted, so a is sent with it
		n.update(of.ID, func(d *task.Draft) { d.Completed = true })
	}
	n.mail.answer = nil
	before := n.mail.count()
	replay := func(want int) {
		t.Helper()
		of := store.DeadLetterFilter{State: store.Dead, Channel: task.Email}
		if counted, err := n.world.store.CountReplayable(t.Context(), of); err != nil || counted < want {
			t.Errorf("counted %d, %v; want %d at least", counted, err, want)
		}
		if got, err := n.world.store.ReplayDeadLetters(t.Context(), of, 100, 1000); err != nil || got != want {
			t.Errorf("replayed %d, %v; want %d", got, err, want)
		}
	}
	release := n.holdOpen(`select from tasks where id = '` + second[1].ID.String() + `' for update`)
	replay(2)
	release()
	n.wants("replayed", first[1], before, "bundled 0")
	n.wants("passed over", second[0], before, "exhausted 3")
	release = n.holdOpen(`select from deliveries where task_id = '` + second[2].ID.String() + `' for update`)
	replay(0)
	release()
	replay(1)
	replay(0)
	n.later(time.Minute)
	n.want("sent", n.sent()[before:], "a+b", "f", "c+d+e")
	for _, of := range []task.Task{first[0], first[1], second[0], second[1], second[2], third[0]} {
		n.wants(of.Title, of, before+3, "sent 1")
	}
	n.wants("not wanted", unwanted[0], before+3, "exhausted 3")
}

// A sender that dies between the freeze and the send leaves the same reminders and the same id to the
// next, whatever came meanwhile.
func TestSenderDiesAfterTheFreeze(t *testing.T) {
	n := newGathering(t)
	a, b := n.titled("a"), n.titled("b")
	n.at(n.now.Add(15 * time.Minute).Format(time.RFC3339))
	l := n.leaseBundle()
	if l == nil || len(l.Bundle.Members) != 2 {
		t.Fatalf("%+v", l)
	}
	n.titled("c")
	n.update(b.ID, func(d *task.Draft) { d.Completed = true })
	n.firer.send()
	n.wants("while the lease lasts", a, 0, "bundled 0")
	n.later(time.Minute)
	n.want("sent", n.sent(), "a+b")
	if m := n.mail.messages[0]; m.ID != l.ID {
		t.Errorf("sent as %v, not %v", m.ID, l.ID)
	}
	n.wants("a", a, 1, "sent 2")
	// What the dead one would have said, were it only slow, changes nothing.
	if err := n.world.store.Finish(t.Context(), store.Alone, store.Ending{Of: l, State: store.Failed, Error: "late"}); err != nil {
		t.Fatal(err)
	}
	n.wants("a, in the end", a, 1, "sent 2")
}

// leaseBundle takes the delivery of a bundle that is due, nil if there is nothing to take.
func (n *night) leaseBundle() *store.Leased {
	n.Helper()
	due, _, err := n.world.store.DueDeliveries(n.Context(), store.Providers, store.PassedOver{}, 100)
	if err != nil {
		n.Fatal(err)
	}
	for _, d := range due {
		if !d.Bundle {
			continue
		}
		leased, err := n.world.store.Lease(n.Context(), store.LeaseRules{For: 20 * time.Second}, store.Wanted{ID: d.ID, UserID: d.UserID, Channel: d.Channel, Bundle: true})
		if err != nil {
			n.Fatal(err)
		}
		if len(leased) > 0 {
			return leased[0]
		}
	}
	return nil
}

// Who joins while the bundle is being frozen waits, and opens the next. Who completes a task at that
// moment waits, too, and changes nothing in it.
func TestJoiningAgainstFreezing(t *testing.T) {
	n := newGathering(t)
	a := n.titled("a")
	n.at(n.now.Add(15 * time.Minute).Format(time.RFC3339))
	freeze := n.holdOpen(`update bundles set frozen_at = clock_timestamp()`)
	joins := n.create(task.Draft{Title: "joins", DueDate: &n.now})
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() {
		if _, err := n.firer.Firer.Fire(t.Context(), wake(joins)); err != nil {
			t.Error(err)
		}
	})
	meanwhile.Go(func() { n.update(a.ID, func(d *task.Draft) { d.Completed = true }) })
	n.waiting(2)
	freeze()
	meanwhile.Wait()
	n.firer.send()
	n.want("sent", n.sent(), "a")
	n.wants("a", a, 1, "sent 1")
	n.wants("what joined", joins, 1, "bundled 0")
	n.later(15 * time.Minute)
	n.want("sent in the end", n.sent(), "a", "joins")
}

// A bundle that somebody joins or leaves at this moment is left alone, and nobody waits for that. Who has
// joined is in it, and who has left is not.
func TestFreezingAgainstJoining(t *testing.T) {
	n := newGathering(t)
	n.titled("a")
	leaves := n.titled("leaves")
	joins := n.create(task.Draft{Title: "joins", DueDate: ptr(n.now.Add(time.Minute))})
	n.at(n.now.Add(15 * time.Minute).Format(time.RFC3339))
	// Both have locked the bundle, and wait for what somebody else holds.
	release := n.holdOpen(`select from users for update`)
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() {
		if _, err := n.firer.Firer.Fire(t.Context(), wake(joins)); err != nil {
			t.Error(err)
		}
	})
	n.waiting(1)
	if l := n.leaseBundle(); l != nil {
		t.Errorf("leased while somebody joins: %+v", l)
	}
	release()
	meanwhile.Wait()
	release = n.holdOpen(`select from deliveries where task_id = '` + leaves.ID.String() + `' for update`)
	meanwhile.Go(func() { n.update(leaves.ID, func(d *task.Draft) { d.Completed = true }) })
	n.waiting(1)
	if l := n.leaseBundle(); l != nil {
		t.Errorf("leased while somebody leaves: %+v", l)
	}
	release()
	meanwhile.Wait()
	n.firer.send()
	n.want("sent", n.sent(), "a+joins")
}

// However many fire, complete and send at the same time: each reminder is in one message, or its task
// was completed before.
func TestManyMeetInBundles(t *testing.T) {
	n := newGathering(t)
	n.choose(func(p *preferences.Preferences) { p.Emails = []string{"a@x.org", "b@x.org"} })
	const tasks = 40
	made := make([]task.Task, tasks)
	for i := range made {
		made[i] = n.create(task.Draft{Title: fmt.Sprint(i), DueDate: &n.now})
	}
	n.choose(func(p *preferences.Preferences) { p.Bundle = preferences.Bundle{task.Email: time.Nanosecond} }) // due at once
	var all sync.WaitGroup
	for i, of := range made {
		all.Go(func() {
			if _, err := n.firer.Fire(t.Context(), wake(of)); err != nil {
				t.Error(err)
			}
			if i%4 == 0 {
				n.update(of.ID, func(d *task.Draft) { d.Completed = true })
			}
			n.firer.send()
		})
	}
	all.Wait()
	for range 3 {
		n.later(time.Minute)
	}
	times := map[string]int{} // by address and title
	ids := map[uuid.UUID]bool{}
	for i, m := range n.mail.messages {
		if ids[m.ID] {
			t.Errorf("%v was sent twice", m.ID)
		}
		ids[m.ID] = true
		for title := range strings.SplitSeq(n.sent()[i], "+") {
			times[m.To+" "+title]++
		}
	}
	for i := range made {
		for _, to := range []string{"a@x.org", "b@x.org"} {
			if got := times[fmt.Sprint(to, " ", i)]; got != 1 && (got != 0 || i%4 != 0) {
				t.Errorf("task %d came %d times to %s", i, got, to)
			}
		}
	}
	n.want("left", n.column(`select id::text from deliveries where finished_at is null`))
	sent := n.column(`select count(*)::text from deliveries where reminder_id is not null and channel = 'email' and state = 'sent'`)[0]
	total := 0
	for _, n := range times {
		total += n
	}
	if sent != fmt.Sprint(total) {
		t.Errorf("%s are said to be sent, %d were", sent, total)
	}
}

// Quiet hours hold a bundle as anything else, and who falls due meanwhile joins it.
func TestBundleInTheNight(t *testing.T) {
	n := newGathering(t)
	n.at("2026-12-01T21:50:00+01:00")
	n.choose(func(p *preferences.Preferences) { p.QuietHours = hours(t, "22:00", "07:00") })
	a := n.titled("a")
	n.later(time.Hour)
	n.wants("at night", a, 0, "bundled 0")
	log, err := n.world.store.ListDeliveries(t.Context(), ada.ID, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(log, func(d store.Delivery) bool { return d.Channel == task.Email }); log[i].Reason != store.ReasonQuietHours || !log[i].NextAttemptAt.Equal(time.Date(2026, 12, 2, 6, 0, 0, 0, time.UTC)) {
		t.Errorf("the log: %+v", log[i])
	}
	n.titled("b")
	n.at("2026-12-02T07:00:00+01:00")
	n.firer.send()
	n.want("in the morning", n.sent(), "a+b")
	n.want("bundles", n.carriers(), "sent 1")
}

// A bundle whose address gets nothing any more is told in-app, each reminder once, and so is one that is
// over a limit. Each log says why.
func TestBundleThatMayNotBeSent(t *testing.T) {
	withdraw := func(n *night) {
		n.choose(func(p *preferences.Preferences) { p.Emails, p.Verified = []string{"b@x.org"}, []string{"b@x.org"} })
	}
	for name, c := range map[string]struct {
		change func(*night)
		want   string
		told   int
	}{
		"suppressed":   {func(n *night) { n.suppress("a@x.org") }, "suppressed 1", 2},
		"unverified":   {func(n *night) { n.exec(`update preferences set verified = '{}'`) }, "unverified 1", 2},
		"withdrawn":    {withdraw, "failed 1", 0},
		"unsubscribed": {func(n *night) { n.exec(`update preferences set unsubscribed = true, channels = '{}'`) }, "failed 1", 0},
		"over the day": {func(n *night) {
			n.limit(perUser(0, 1))
			n.due(func(d *task.Draft) { d.Urgent, d.Channels = true, []task.Channel{task.Email} }) // the one for today
		}, "refused 0", 2},
		"the provider knows": {func(n *night) {
			n.mail.answer = func(notify.Message) error {
				return &notify.Error{Kind: notify.Permanent, Stop: notify.OwnerStopped, Err: errors.New("stopped")}
			}
		}, "suppressed 1", 2},
	} {
		t.Run(name, func(t *testing.T) {
			n := newGathering(t)
			n.choose(func(p *preferences.Preferences) { p.Channels = []task.Channel{task.Email} })
			a, b := n.titled("a"), n.titled("b")
			c.change(n)
			n.later(15 * time.Minute)
			n.titled("later") // opens another one
			n.later(time.Second)
			for _, of := range []task.Task{a, b} {
				if got := n.mails(of); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if log := strings.Join(n.log(of), "; "); strings.Contains(log, "in_app sent") != (c.told > 0) {
					t.Errorf("the log: %s", log)
				}
			}
			told := slices.DeleteFunc(n.inbox(), func(r store.Received) bool { return r.Title == "later" })
			if len(told) != c.told {
				t.Errorf("%d in the inbox", len(told))
			}
		})
	}
}

// A bundle that is over the hour's limit is told in-app, and sent with what joins it in the next.
func TestBundleIsHeldByALimit(t *testing.T) {
	n := newGathering(t)
	n.limit(quota.Rules{Limits: quota.Limits{PerHour: quota.PerChannel{task.Email: 1}}})
	n.choose(func(p *preferences.Preferences) { p.Channels = []task.Channel{task.Email} })
	n.due(func(d *task.Draft) { d.Title, d.Urgent = "urgent", true })
	a := n.titled("a")
	n.titled("b")
	n.later(15 * time.Minute)
	n.wants("over it", a, 1, "bundled 0")
	if len(n.inbox()) != 2 {
		t.Errorf("%d in the inbox", len(n.inbox()))
	}
	if log := strings.Join(n.log(a), "; "); !strings.Contains(log, "held until") {
		t.Errorf("the log: %s", log)
	}
	n.titled("c")
	n.later(time.Hour)
	n.want("an hour later", n.sent(), "urgent", "a+b+c")
	n.want("counted", n.column(`select used::text from quotas where kind = 'user'`), "2")
	if len(n.inbox()) != 2 {
		t.Errorf("%d in the inbox in the end", len(n.inbox()))
	}
}

// Somebody else's bundle to the same address is another one, and what a provider reports of one counts
// for each of its reminders.
func TestBundlesOfUsers(t *testing.T) {
	n := newGathering(t)
	eve := store.User{ID: "eve"}
	n.chooseFor(eve, func(p *preferences.Preferences) {
		p.Channels, p.Emails, p.Bundle = []task.Channel{task.Email}, []string{"a@x.org"}, preferences.Bundle{task.Email: 15 * time.Minute}
	})
	n.titled("a")
	n.titled("b")
	of, err := n.planner.Create(t.Context(), eve, task.Draft{Title: "eve's", DueDate: &n.now, Before: task.DefaultBefore()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.fire(wake(of))
	n.later(15 * time.Minute)
	sent := n.sent()
	slices.Sort(sent)
	n.want("sent", sent, "a+b", "eve's")
	at := slices.Index(n.sent(), "a+b")
	if err := n.world.store.TakeReports(t.Context(), []store.Report{{Provider: "sendgrid", EventID: "1", Channel: task.Email, Delivery: n.mail.messages[at].ID, Outcome: store.Delivered}}, settings.Suppression.Hashes); err != nil {
		t.Fatal(err)
	}
	n.want("reported", n.column(`select t.title from deliveries d join tasks t on t.id = d.task_id where d.report = 'delivered' order by 1`), "a", "b")
}

// A report that a bundle has arrived settles what nobody could say, for each of its reminders.
func TestReportSettlesABundle(t *testing.T) {
	n := newGathering(t)
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Unknown, Err: errDown} }
	a, b := n.titled("a"), n.titled("b")
	n.later(15 * time.Minute)
	if err := n.world.store.TakeReports(t.Context(), []store.Report{{Provider: "sendgrid", EventID: "1", Channel: task.Email, Delivery: n.mail.messages[0].ID, Outcome: store.Delivered}}, settings.Suppression.Hashes); err != nil {
		t.Fatal(err)
	}
	n.wants("a", a, 1, "sent 1")
	n.wants("b", b, 1, "sent 1")
	n.later(time.Hour)
	if n.mail.count() != 1 {
		t.Errorf("%d sent", n.mail.count())
	}
}

// A callback that comes again finds that its reminder is still to be sent.
func TestCallbackOfWhatIsBundled(t *testing.T) {
	n := newGathering(t)
	a := n.titled("a")
	if o := n.fire(wake(a)); o.Status != "in_progress" {
		t.Errorf("in its bundle: %+v", o)
	}
	n.later(15 * time.Minute)
	if o := n.fire(wake(a)); o.Status != "skipped" {
		t.Errorf("sent: %+v", o)
	}
	if n.mail.count() != 1 {
		t.Errorf("%d sent", n.mail.count())
	}
}

// A bundle goes with its delivery, and its reminders stay in their logs for as long as somebody has to settle it.
func TestBundlesAreKept(t *testing.T) {
	n := newGathering(t)
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	n.titled("a")
	n.later(15 * time.Minute)
	for range settings.MaxAttempts {
		n.later(time.Hour)
	}
	letter := n.letter()
	n.titled("open")
	purge := func() []string {
		for _, k := range []store.Kept{store.SettledDeadLetters, store.FinishedDeliveries} {
			if _, err := n.world.store.Purge(t.Context(), k, 24*time.Hour, 100); err != nil {
				t.Fatal(err)
			}
		}
		return n.column(`select concat_ws(' ', (select count(*) from bundles), (select count(*) from deliveries where bundle_id is not null))`)
	}
	n.at(n.now.Add(48 * time.Hour).Format(time.RFC3339))
	n.want("to be settled", purge(), "2 4")
	if err := n.world.store.DiscardDeadLetter(t.Context(), letter.ID); err != nil {
		t.Fatal(err)
	}
	n.at(n.now.Add(48 * time.Hour).Format(time.RFC3339))
	n.want("settled", purge(), "1 2")
}
