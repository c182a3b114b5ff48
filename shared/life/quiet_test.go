package life_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// night is a world whose time, Postgres's too, is what a test says. Ada is told in-app and by e-mail.
type night struct {
	*world
	timeless
	now time.Time
}

// newNight makes one in which ada has quiet hours in Berlin from 22:00 to 07:00.
func newNight(t *testing.T, now string) *night {
	n := &night{timeless: newTimeless(t)}
	n.world = newWorldOn(t, n.timeless.store, n.conn.Config().ConnString(), func() time.Time { return n.now })
	n.at(now)
	n.choose(func(p *preferences.Preferences) {
		p.TimeZone, p.QuietHours = "Europe/Berlin", hours(t, "22:00", "07:00")
		p.Channels, p.Emails = []task.Channel{task.InApp, task.Email}, []string{"a@x.org"}
	})
	return n
}

// at has it be an instant.
func (n *night) at(now string) {
	n.Helper()
	var err error
	if n.now, err = time.Parse(time.RFC3339, now); err == nil {
		_, err = n.conn.Exec(context.Background(), `update clock.hand set at = $1`, n.now)
	}
	if err != nil {
		n.Fatal(err)
	}
}

// due makes a task that is due now, and fires it.
func (n *night) due(change ...func(*task.Draft)) task.Task {
	n.Helper()
	d := task.Draft{DueDate: &n.now}
	for _, c := range change {
		c(&d)
	}
	created := n.create(d)
	n.fire(wake(created))
	return created
}

// mails says what has become of a task's e-mails, the oldest first: state, attempts, and why.
func (n *night) mails(t task.Task) string {
	n.Helper()
	return strings.Join(n.column(`select concat_ws(' ', state, attempts, reason) from deliveries where channel = 'email' and task_id = '`+t.ID.String()+`' order by due_at, id`), ", ")
}

func (n *night) wants(what string, t task.Task, sent int, mails string) {
	n.Helper()
	if got := n.mails(t); got != mails || n.mail.count() != sent {
		n.Errorf("%s: %d sent; %s; want %d; %s", what, n.mail.count(), got, sent, mails)
	}
}

// hours are quiet hours of one window.
func hours(t *testing.T, from, to string, days ...string) quiet.Hours {
	t.Helper()
	h, err := quiet.Parse([]quiet.Window{{From: from, To: to, Days: days}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What falls due in the night is told in-app, and by e-mail at the first instant of the morning: as a first
// attempt, and without having waited for anybody.
func TestQuietHours(t *testing.T) {
	n := newNight(t, "2026-12-01T23:00:00+01:00")
	created := n.due()
	n.wants("at night", created, 0, "planned 0 quiet_hours")
	if len(n.inbox()) != 1 {
		t.Errorf("%d in the inbox", len(n.inbox()))
	}
	log, err := n.world.store.ListDeliveries(t.Context(), ada.ID, created.ID)
	if err != nil {
		t.Fatal(err)
	}
	held := log[slices.IndexFunc(log, func(d store.Delivery) bool { return d.Channel == task.Email })]
	if want := time.Date(2026, 12, 2, 6, 0, 0, 0, time.UTC); !held.Held() || !held.NextAttemptAt.Equal(want) || held.LastError != "" {
		t.Errorf("the log: %+v", held)
	}
	n.at("2026-12-02T06:59:59+01:00")
	sum := n.sweep()
	n.wants("just before the morning", created, 0, "planned 0 quiet_hours")
	for of, waits := range sum.OldestWaitingSeconds {
		if waits != 0 {
			t.Errorf("something waits for %s, since %v s", of, waits)
		}
	}
	if n, err := n.world.store.HeldByQuietHours(t.Context()); n != 1 || err != nil {
		t.Errorf("%d are held, %v", n, err)
	}
	n.at("2026-12-02T07:00:00+01:00")
	n.sweep()
	n.wants("in the morning", created, 1, "sent 1")
	if m := n.mail.messages[0]; m.Again {
		t.Error("it is said to have been tried before")
	}
	if n, err := n.world.store.HeldByQuietHours(t.Context()); n != 0 || err != nil {
		t.Errorf("%d are held in the end, %v", n, err)
	}
	if dead := n.letters(); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
	n.wants("at daytime", n.due(), 2, "sent 1")
}

// External channels are silent, but not for urgent tasks. In-app, events, and what asks owners of addresses are not held.
func TestWhatQuietHoursHold(t *testing.T) {
	n := newNight(t, "2026-12-01T23:00:00+01:00")
	n.choose(func(p *preferences.Preferences) { chosen(p) })
	n.everything()
	n.due()
	states := func() []string {
		return n.column(`select concat_ws(' ', channel, state, reason, count(*)) from deliveries where state <> 'failed' group by channel, state, reason order by 1`) // OneSignal is not set up
	}
	held := []string{"email planned quiet_hours 2", "in_app sent 1", "push planned quiet_hours 2", "sms planned quiet_hours 2", "webhook planned quiet_hours 1"}
	if diff := cmp.Diff(held, states()); diff != "" || n.mail.count() != 0 {
		t.Errorf("%d sent: %s", n.mail.count(), diff)
	}
	n.due(func(d *task.Draft) { d.Urgent = true })
	if diff := cmp.Diff([]string{
		held[0], "email sent 2", "in_app sent 2", held[2], "push sent 2", held[3], "sms sent 2", held[4], "webhook sent 1",
	}, states()); diff != "" || n.mail.count() != 7 {
		t.Errorf("urgent: %d sent: %s", n.mail.count(), diff)
	}
	n.exec(`insert into verifications (id, user_id, address, address_hash, code_until, link_until) values ('01a20dd0-b585-7d53-8b12-7a2c1c952027', 'ada', '+15551234567', '\x00112233445566778899aabbccddeeff', now(), now());
		insert into deliveries (id, revision, user_id, channel, target, state, due_at, next_attempt_at) values ('01a20dd0-b585-7d53-8b12-7a2c1c952027', 1, 'ada', 'sms', '+15551234567', 'planned', 'epoch', 'epoch')`)
	n.firer.send()
	if got := n.column(`select concat_ws(' ', state, attempts) from deliveries where reminder_id is null`); !slices.Equal(got, []string{"failed 1"}) { // it is verified already
		t.Errorf("a verification is %v", got)
	}
	published := n.due(func(d *task.Draft) { d.Channels = []task.Channel{task.InApp} })
	n.exec(`update deliveries set channel = 'event', state = 'planned', finished_at = null, next_attempt_at = 'epoch' where task_id = '` + published.ID.String() + `'`)
	n.firer.send()
	if got := n.column(`select concat_ws(' ', state, attempts, reason) from deliveries where channel = 'event'`); !slices.Equal(got, []string{"planned 1"}) { // nobody publishes here
		t.Errorf("an event is %v", got)
	}
}

// Until when something is held, where clocks are changed in the night.
func TestHeldWhileClocksChange(t *testing.T) {
	for _, c := range []struct{ zone, from, to, at, until string }{
		{"America/New_York", "22:00", "07:00", "2026-03-07T23:00:00-05:00", "2026-03-08T07:00:00-04:00"},
		{"America/New_York", "01:00", "02:30", "2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00"}, // its end is skipped
		{"America/New_York", "22:00", "07:00", "2026-10-31T23:00:00-04:00", "2026-11-01T07:00:00-05:00"},
		{"America/New_York", "01:30", "02:00", "2026-11-01T01:45:00-04:00", "2026-11-01T01:00:00-05:00"}, // set back to before it
		{"Australia/Lord_Howe", "22:00", "02:15", "2026-10-04T01:00:00+10:30", "2026-10-04T02:30:00+11:00"},
	} {
		n := newNight(t, c.at)
		n.choose(func(p *preferences.Preferences) { p.TimeZone, p.QuietHours = c.zone, hours(t, c.from, c.to) })
		created := n.due()
		until, _ := time.Parse(time.RFC3339, c.until)
		n.at(until.Add(-time.Millisecond).Format(time.RFC3339Nano))
		n.firer.send()
		n.wants(c.zone+" before "+c.until, created, 0, "planned 0 quiet_hours")
		n.at(c.until)
		n.firer.send()
		n.wants(c.zone+" at "+c.until, created, 1, "sent 1")
	}
}

// Whatever changes, what is held is judged again at once.
func TestHeldIsJudgedAgain(t *testing.T) {
	held := func(t *testing.T) (*night, task.Task) {
		n := newNight(t, "2026-12-01T23:00:00+01:00")
		return n, n.due()
	}
	for name, change := range map[string]func(*night, task.Task){
		"another zone": func(n *night, _ task.Task) { n.moves("America/New_York") }, // where it is 17:00
		"another window": func(n *night, _ task.Task) {
			n.choose(func(p *preferences.Preferences) { p.QuietHours = hours(n.T, "23:30", "07:00") })
		},
		"another day": func(n *night, _ task.Task) {
			n.choose(func(p *preferences.Preferences) { p.QuietHours = hours(n.T, "22:00", "07:00", "fr", "sa") })
		},
		"no quiet hours": func(n *night, _ task.Task) {
			n.choose(func(p *preferences.Preferences) { p.QuietHours = quiet.Hours{} })
		},
		"urgent": func(n *night, of task.Task) { n.update(of.ID, func(d *task.Draft) { d.Urgent = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			n, of := held(t)
			change(n, of)
			n.firer.send()
			n.wants(name, of, 1, "sent 1")
		})
	}
	t.Run("longer", func(t *testing.T) {
		n, of := held(t)
		n.choose(func(p *preferences.Preferences) { p.QuietHours = hours(t, "22:00", "09:00") })
		n.at("2026-12-02T07:00:00+01:00")
		n.firer.send()
		n.wants("at the earlier end", of, 0, "planned 0 quiet_hours")
		n.at("2026-12-02T09:00:00+01:00")
		n.firer.send()
		n.wants("at the later end", of, 1, "sent 1")
	})
	t.Run("another language", func(t *testing.T) {
		n, of := held(t)
		n.choose(func(p *preferences.Preferences) { p.Language = "de" })
		n.firer.send()
		n.wants("still night", of, 0, "planned 0 quiet_hours")
	})
}

// What nobody wants any more in the morning is not sent, and the log says why.
func TestHeldAndNotWanted(t *testing.T) {
	for want, change := range map[string]func(*night, task.Task){
		"completed": func(n *night, of task.Task) { n.update(of.ID, func(d *task.Draft) { d.Completed = true }) },
		"moved": func(n *night, of task.Task) {
			n.update(of.ID, func(d *task.Draft) { d.DueDate = ptr(n.now.Add(72 * time.Hour)) })
		},
		"deleted": func(n *night, of task.Task) { n.remove(of.ID) },
	} {
		n := newNight(t, "2026-12-01T23:00:00+01:00")
		of := n.due()
		change(n, of)
		n.at("2026-12-02T07:00:00+01:00")
		n.sweep()
		n.wants(want, of, 0, "cancelled 0 "+want)
	}
	for _, to := range []task.Settled{task.Completed, task.Skipped} {
		n := newNight(t, "2026-12-01T23:00:00+01:00")
		of := n.due(func(d *task.Draft) {
			d.DueDate, d.Due = nil, task.Due{Form: task.ByClock, Local: wallclock.At(n.now, preferences.Zone("Europe/Berlin"))}
			d.Recurrence = &recurrence.Definition{Rule: "FREQ=DAILY"}
		})
		n.at("2026-12-01T23:30:00+01:00")
		if _, err := n.settleAs(of, to, "2026-12-01T23:00"); err != nil {
			t.Fatal(err)
		}
		n.at("2026-12-02T07:00:00+01:00")
		n.sweep()
		n.wants(string(to), of, 0, "cancelled 0 "+string(to))
	}
}

// Of one task's reminders only the newest is sent to each address in the morning.
func TestHeldAreReplaced(t *testing.T) {
	n := newNight(t, "2026-12-01T23:00:00+01:00")
	n.choose(func(p *preferences.Preferences) { p.Emails = []string{"a@x.org", "b@x.org"} })
	before := metricstest.Read(t)
	early := n.create(task.Draft{DueDate: ptr(n.now.Add(time.Hour)), Before: task.Exactly(time.Hour, 0)})
	n.fire(wake(early))
	other := n.due()
	n.at("2026-12-02T00:00:00+01:00")
	n.fire(atDue(early))
	n.wants("at night", early, 0, "cancelled 0 replaced, cancelled 0 replaced, planned 0 quiet_hours, planned 0 quiet_hours")
	n.wants("another task", other, 0, "planned 0 quiet_hours, planned 0 quiet_hours")
	if diff := cmp.Diff(metricstest.Values{
		`duebell_deliveries_held_total{channel="email",outcome="held"}`: 6, `duebell_deliveries_held_total{channel="email",outcome="replaced"}`: 2,
		`duebell_deliveries_total{channel="in_app",outcome="sent"}`: 3,
	}, metricstest.Since(t, before, "duebell_deliveries_held_total", "duebell_deliveries_total")); diff != "" {
		t.Error("metrics:", diff)
	}
	n.sweep()
	if got := metricstest.Read(t)["duebell_held_deliveries"]; got != 4 {
		t.Errorf("%v are held", got)
	}
	n.at("2026-12-02T07:00:00+01:00")
	n.firer.send()
	n.wants("in the morning", early, 4, "cancelled 0 replaced, cancelled 0 replaced, sent 1, sent 1")
	n.wants("another task in the morning", other, 4, "sent 1, sent 1")
	if len(n.inbox()) != 3 {
		t.Errorf("%d in the inbox", len(n.inbox()))
	}
}

// What failed in the evening is held in the night as it is: tried as often, and, if its provider may have it, with
// that. The one that replaces it settles its dead letter.
func TestHeldAfterFailures(t *testing.T) {
	n := newNight(t, "2026-12-01T21:59:59+01:00")
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Unknown, Err: errDown} }
	of := n.create(task.Draft{DueDate: ptr(n.now.Add(time.Hour)), Before: task.Exactly(time.Hour, 0)})
	n.fire(wake(of))
	n.wants("in the evening", of, 1, "unknown 1")
	n.at("2026-12-01T22:30:00+01:00")
	n.firer.send()
	n.wants("at night", of, 1, "unknown 1 quiet_hours")
	n.mail.answer = nil
	n.at("2026-12-01T22:59:59+01:00")
	n.fire(atDue(of))
	n.wants("later", of, 1, "cancelled 1 replaced, planned 0 quiet_hours")
	if got := n.column(`select state from dead_letters`); !slices.Equal(got, []string{"resolved"}) {
		t.Errorf("dead letters: %v", got)
	}
	n.at("2026-12-02T07:00:00+01:00")
	n.firer.send()
	n.wants("in the morning", of, 2, "cancelled 1 replaced, sent 1")
}

// A sender that dies anywhere between leaves a delivery as it was: judged anew by the next.
func TestSenderDiesWhileItJudges(t *testing.T) {
	n := newNight(t, "2026-12-01T23:00:00+01:00")
	judge := func(created task.Task) *store.Leased {
		t.Helper()
		l, err := n.lease(n.mailOf(created), time.Minute, nil)
		if err != nil || l == nil || l.Quiet == nil || l.State != store.Planned || l.Attempts != 0 {
			t.Fatalf("%+v, %v", l, err)
		}
		return l
	}
	of := n.planned()
	judge(of) // and dies
	n.firer.send()
	n.wants("held by the next", of, 0, "planned 0 quiet_hours")
	n.at("2026-12-02T07:00:00+01:00")
	judge(of) // and dies
	n.firer.send()
	n.wants("sent by the next", of, 1, "sent 1")
}

// planned makes a task that has fired, and of which nobody has looked at what it has planned.
func (n *night) planned() task.Task {
	n.Helper()
	created := n.create(task.Draft{DueDate: &n.now})
	if _, err := n.firer.Firer.Fire(n.Context(), wake(created)); err != nil {
		n.Fatal(err)
	}
	return created
}

// mailOf is the id of a task's e-mail.
func (n *night) mailOf(t task.Task) uuid.UUID {
	n.Helper()
	return uuid.MustParse(n.column(`select id::text from deliveries where channel = 'email' and task_id = '` + t.ID.String() + `'`)[0])
}

// What was judged by what holds no more is neither held nor sent.
func TestJudgedTooEarly(t *testing.T) {
	for name, change := range map[string]func(*night, task.Task){
		"preferences": func(n *night, _ task.Task) { n.moves("America/New_York") },
		"urgent":      func(n *night, of task.Task) { n.update(of.ID, func(d *task.Draft) { d.Urgent = true }) },
		"completed":   func(n *night, of task.Task) { n.update(of.ID, func(d *task.Draft) { d.Completed = true }) },
		"held":        func(n *night, _ task.Task) { n.firer.send() },
	} {
		n := newNight(t, "2026-12-01T23:00:00+01:00")
		of := n.planned()
		l, err := n.lease(n.mailOf(of), time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(n, of)
		before := n.mails(of)
		l.HeldUntil = n.now.Add(24 * time.Hour)
		if h, err := n.world.store.HoldQuiet(t.Context(), l); err != nil || h != (store.Holding{}) || n.mails(of) != before {
			t.Errorf("%s: %+v, %v; %s, before that %s", name, h, err, n.mails(of), before)
		}
	}
	n := newNight(t, "2026-12-01T12:00:00+01:00")
	of := n.planned()
	l, err := n.lease(n.mailOf(of), time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.choose(func(p *preferences.Preferences) { p.QuietHours = hours(t, "11:00", "13:00") })
	again, err := n.world.store.Lease(t.Context(), store.LeaseRules{For: time.Minute}, store.Wanted{ID: l.ID, Judged: l.Quiet.Version})
	if err != nil || len(again) != 1 || again[0].Quiet == nil || again[0].State != store.Planned {
		t.Errorf("leased by preferences of before: %+v, %v", again, err)
	}
}

// Senders that look at the same time hold each delivery once, leave one of each task, and send that once. Nobody
// waits for the others: who changes the preferences or the task meanwhile is through.
func TestSendersMeetInTheNight(t *testing.T) {
	n := newNight(t, "2026-12-01T23:00:00+01:00")
	const reminders = 6
	var offsets []time.Duration
	for i := range reminders {
		offsets = append(offsets, time.Duration(i)*time.Minute)
	}
	var tasks []task.Task
	for range 5 {
		created := n.create(task.Draft{DueDate: ptr(n.now.Add(reminders * time.Minute)), Before: task.Exactly(offsets...)})
		tasks = append(tasks, created)
	}
	n.at("2026-12-01T23:30:00+01:00")
	for _, of := range tasks {
		for _, r := range of.Reminders {
			if _, err := n.firer.Firer.Fire(t.Context(), task.Revision{TaskID: of.ID, UserID: of.UserID, ReminderID: r.ID, Number: r.Revision}); err != nil {
				t.Fatal(err)
			}
		}
	}
	meet := func() {
		var senders sync.WaitGroup
		for i := range 4 {
			senders.Go(n.firer.send)
			senders.Go(func() { n.choose(func(p *preferences.Preferences) { p.Language = []string{"en", "de"}[i%2] }) })
			senders.Go(func() { n.update(tasks[i].ID, func(d *task.Draft) { d.Notes += "x" }) })
		}
		senders.Wait()
		n.firer.send() // what was judged while the preferences changed
	}
	meet()
	if got := n.column(`select concat_ws(' ', state, attempts, reason, count(*)) from deliveries where channel = 'email' group by state, attempts, reason order by 1`); n.mail.count() != 0 ||
		!slices.Equal(got, []string{fmt.Sprint("cancelled 0 replaced ", 5*(reminders-1)), "planned 0 quiet_hours 5"}) {
		t.Errorf("at night: %d sent, %v", n.mail.count(), got)
	}
	if got := n.column(`select id::text from deliveries d where reason = 'quiet_hours' and due_at < (select max(due_at) from deliveries e where e.task_id = d.task_id)`); len(got) != 0 {
		t.Errorf("held, and not the newest: %v", got)
	}
	n.at("2026-12-02T07:00:00+01:00")
	meet()
	if got := n.column(`select concat_ws(' ', state, attempts, count(*)) from deliveries where channel = 'email' and state <> 'cancelled' group by state, attempts order by 1`); n.mail.count() != 5 || !slices.Equal(got, []string{"sent 1 5"}) {
		t.Errorf("in the morning: %d sent, %v", n.mail.count(), got)
	}
}
