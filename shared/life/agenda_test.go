package life_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone/zonetest"
)

// newMorning returns a world with a clock that the test sets. In it ada has an agenda by e-mail at
// eight.
func newMorning(t *testing.T, now, zone string) *night {
	n := newNight(t, now)
	n.choose(func(p *preferences.Preferences) {
		p.TimeZone, p.Channels, p.Agenda = zone, []task.Channel{task.InApp}, &preferences.Agenda{Channel: task.Email, At: 8 * time.Hour, Days: everyDay}
	})
	return n
}

var everyDay = [7]bool{true, true, true, true, true, true, true}

// dueBy creates a task of ada's that is due at a local time, or on a day.
func (n *night) dueBy(title, local string) task.Task {
	n.Helper()
	due := task.Due{Form: task.ByClock}
	var err error
	if due.Local, err = wallclock.Parse(local); err != nil {
		due.Form = task.ByDay
		if due.Local, err = wallclock.ParseDate(local); err != nil {
			n.Fatal(err)
		}
	}
	return n.create(task.Draft{Title: title, Due: due, Before: []task.Offset{}})
}

// job returns the revision of ada's armed agenda.
func (n *night) job() task.Revision {
	n.Helper()
	due, err := n.world.store.OverdueAgendas(n.Context(), n.now.AddDate(0, 1, 0), store.Due{}, 1)
	if err != nil || len(due) != 1 {
		n.Fatalf("%d agendas are armed, %v", len(due), err)
	}
	return due[0].Revision
}

// wakes fires an agenda as a callback does, and sends what is due. It returns the result of the
// callback.
func (n *night) wakes(r task.Revision) string {
	n.Helper()
	o, err := n.firer.FireAgenda(n.Context(), r)
	if err != nil {
		n.Fatal(err)
	}
	n.firer.send()
	return strings.TrimSpace(string(o.Status) + " " + o.Reason)
}

// days returns ada's agendas, each as day, state, revision and instant.
func (n *night) days() []string {
	n.Helper()
	return n.column(`select concat_ws(' ', to_char(day, 'MM-DD'), state, revision, to_char(fire_at at time zone 'UTC', 'MM-DD HH24:MI')) from agendas where user_id = 'ada' order by day`)
}

// agendas returns the subjects of the agendas that the provider got.
func (n *night) agendas() (all []string) {
	for _, m := range n.mail.messages {
		if m.Agenda != nil {
			all = append(all, m.Subject())
		}
	}
	return all
}

// At eight, the agenda tells what is overdue and what is due on that day, and nothing else. Quiet hours do not hold
// it, and it is not bundled. It is sent once, however often its callback comes. The next agenda is armed.
func TestAgenda(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:30:00+01:00", "Europe/Berlin")
	before := metricstest.Read(t)
	n.choose(func(p *preferences.Preferences) {
		p.QuietHours, p.Bundle = hours(t, "22:00", "10:00"), preferences.Bundle{task.Email: time.Hour}
	})
	n.dueBy("yesterday", "2026-11-29T18:00")
	n.dueBy("all of yesterday", "2026-11-29")
	n.dueBy("at six", "2026-11-30T06:00")
	n.dueBy("all day", "2026-11-30")
	n.dueBy("this evening", "2026-11-30T23:59")
	n.dueBy("tomorrow", "2026-12-01")
	n.dueBy("just tomorrow", "2026-12-01T00:00")
	n.create(task.Draft{Title: "some day", Before: []task.Offset{}})
	done := n.dueBy("done", "2026-11-30")
	n.update(done.ID, func(d *task.Draft) { d.Completed = true })
	n.remove(n.dueBy("deleted", "2026-11-30").ID)
	n.create(task.Draft{
		Title: "daily", Before: []task.Offset{}, Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY"},
		Due: task.Due{Form: task.ByClock, Local: wallclock.New(2026, 11, 30, 12, 0, 0)},
	})
	n.sweep()
	n.want("armed", n.days(), "11-30 armed 1 11-30 07:00")
	if len(n.dapr.scheduled) != 1 || !n.dapr.scheduled[0].Agenda || n.dapr.scheduled[0].At.Format(time.RFC3339) != "2026-11-30T07:00:00Z" {
		t.Fatalf("jobs: %+v", n.dapr.scheduled)
	}
	job := n.dapr.scheduled[0].Revision
	if known, err := n.world.store.KnownJobs(t.Context(), []task.Revision{job}); len(known) != 1 || err != nil {
		t.Errorf("the cleanup knows %v, %v", known, err)
	}
	n.at("2026-11-30T07:59:57+01:00")
	if o := n.wakes(job); o != "skipped early" {
		t.Errorf("early: %s", o)
	}
	n.at("2026-11-30T08:00:00+01:00")
	if o := n.wakes(job); o != "success" {
		t.Errorf("at eight: %s", o)
	}
	if o := n.wakes(job); o != "skipped already_delivered" {
		t.Errorf("again: %s", o)
	}
	n.sweep()
	if n.mail.count() != 1 {
		t.Fatalf("%d e-mails", n.mail.count())
	}
	want := "3 due today, 3 overdue\n\n" +
		"all day\nDue Mon, 30 Nov 2026 09:00 CET (UTC+01:00)\n\n" +
		"daily\nDue Mon, 30 Nov 2026 12:00 CET (UTC+01:00)\n\n" +
		"this evening\nDue Mon, 30 Nov 2026 23:59 CET (UTC+01:00)\n\n" +
		"at six\nOverdue since Mon, 30 Nov 2026 06:00 CET (UTC+01:00)\n\n" +
		"yesterday\nOverdue since Sun, 29 Nov 2026 18:00 CET (UTC+01:00)\n\n" +
		"all of yesterday\nOverdue since Sun, 29 Nov 2026 09:00 CET (UTC+01:00)"
	if diff := cmp.Diff(want, n.mail.messages[0].Text()); diff != "" {
		t.Error(diff)
	}
	n.want("afterwards", n.days(), "11-30 told 1 11-30 07:00", "12-01 armed 1 12-01 07:00")
	if len(n.dapr.scheduled) != 1 {
		t.Errorf("the next one is with Dapr a day ahead: %+v", n.dapr.scheduled)
	}
	if diff := cmp.Diff(metricstest.Values{`duebell_agendas_total{outcome="told"}`: 1}, metricstest.Since(t, before, "duebell_agendas_total")); diff != "" {
		t.Error("metrics:", diff)
	}
}

// On a day with nothing to tell, nothing is sent. A task that is completed between firing and sending is not in the
// agenda. If no other task is left, nothing is sent.
func TestNothingToTell(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("tomorrow", "2026-12-01")
	n.at("2026-11-30T08:00:00+01:00")
	n.wakes(n.job())
	n.want("empty", n.days(), "11-30 empty 1 11-30 07:00", "12-01 armed 1 12-01 07:00")
	n.at("2026-12-01T08:00:00+01:00")
	if _, err := n.firer.FireAgenda(t.Context(), n.job()); err != nil { // the process dies before it sends
		t.Fatal(err)
	}
	for _, d := range n.column(`select id::text from tasks`) {
		n.exec(`update tasks set completed = true where id = '` + d + `'`)
	}
	n.sweep()
	n.want("deliveries", n.column(`select concat_ws(' ', channel, state) from deliveries`), "email cancelled")
	if n.mail.count() != 0 {
		t.Errorf("%d e-mails", n.mail.count())
	}
}

// The agenda is sent once, even if ten callbacks fire it at the same time and five senders send at the same
// time. It tells what is true when it is sent.
func TestAgendaIsSentOnce(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("a", "2026-11-30")
	b := n.dueBy("b", "2026-11-30")
	n.at("2026-11-30T08:00:00+01:00")
	job := n.job()
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if _, err := n.firer.FireAgenda(t.Context(), job); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	n.update(b.ID, func(d *task.Draft) { d.Completed = true })
	for range 5 {
		group.Go(n.firer.send)
	}
	group.Wait()
	n.sweep()
	n.want("sent", n.agendas(), "1 due today: a")
	n.want("days", n.days(), "11-30 told 1 11-30 07:00", "12-01 armed 1 12-01 07:00")
}

// An agenda is switched off or moved while Dapr has its job. That job does not tell it.
func TestAgendaIsMoved(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("a", "2026-11-30")
	agenda := func(a *preferences.Agenda) { n.choose(func(p *preferences.Preferences) { p.Agenda = a }) }
	n.sweep()
	old := n.job()
	agenda(nil)
	n.want("off", n.days(), "11-30 cancelled 1 11-30 07:00")
	n.want("its job", n.leftovers(), name(old.ReminderID, 1))
	n.at("2026-11-30T07:30:00+01:00")
	agenda(&preferences.Agenda{Channel: task.Email, At: 9 * time.Hour, Days: everyDay})
	n.want("on", n.days(), "11-30 armed 2 11-30 08:00")
	n.at("2026-11-30T08:00:00+01:00")
	if o := n.wakes(old); o != "skipped superseded" {
		t.Errorf("the old job: %s", o)
	}
	// The new time has passed, so the agenda is sent at once.
	agenda(&preferences.Agenda{Channel: task.Email, At: 7 * time.Hour, Days: everyDay})
	n.want("moved back", n.days(), "11-30 armed 3 11-30 06:00")
	n.sweep()
	n.want("sent", n.agendas(), "1 due today: a")
	// Today's agenda was sent, so the next one is tomorrow's.
	agenda(&preferences.Agenda{Channel: task.Email, At: 10 * time.Hour, Days: everyDay})
	n.want("moved on", n.days(), "11-30 told 3 11-30 06:00", "12-01 armed 2 12-01 09:00")
	agenda(nil)
	n.at("2026-11-30T20:00:00+01:00")
	agenda(&preferences.Agenda{Channel: task.Email, At: 8 * time.Hour, Days: everyDay})
	n.want("on again, after its time", n.days(), "11-30 told 3 11-30 06:00", "12-01 armed 3 12-01 07:00")
	// Other changes of the preferences leave the agenda as it is.
	n.choose(func(p *preferences.Preferences) { p.Language = "de" })
	n.want("another language", n.days(), "11-30 told 3 11-30 06:00", "12-01 armed 3 12-01 07:00")
}

// An agenda that is switched off is not tried again.
func TestAgendaIsSwitchedOffWhileItIsTried(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("a", "2026-11-30")
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	n.at("2026-11-30T08:00:00+01:00")
	n.wakes(n.job())
	n.choose(func(p *preferences.Preferences) { p.Agenda = nil })
	n.want("deliveries", n.column(`select concat_ws(' ', state, attempts, reason) from deliveries`), "cancelled 1 agenda_off")
	n.want("dead letters", n.letters(), "resolved 1")
}

// Wherever ada goes, each local day is told once. If the agenda's time has passed in the new zone, it is sent
// at once, unless it is too late.
func TestAgendaMovesWithItsUser(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("a", "2026-11-01")
	sent := func(what string, mails int, days ...string) {
		t.Helper()
		n.sweep()
		n.want(what, n.days(), days...)
		if n.mail.count() != mails {
			t.Errorf("%s: %d e-mails", what, n.mail.count())
		}
	}
	n.at("2026-11-30T08:00:00+01:00")
	n.wakes(n.job())
	n.moves("America/New_York")
	sent("west, where it is two", 1, "11-30 told 1 11-30 07:00", "12-01 armed 2 12-01 13:00")
	n.at("2026-12-01T10:00:00Z") // it is 05:00 in New York
	n.moves("Europe/Berlin")
	sent("east, where it was eight three hours ago", 2, "11-30 told 1 11-30 07:00", "12-01 told 3 12-01 07:00", "12-02 armed 1 12-02 07:00")
	n.moves("America/New_York")
	n.at("2026-12-02T11:00:01Z")
	n.moves("Europe/Berlin")
	sent("four hours late", 2, "11-30 told 1 11-30 07:00", "12-01 told 3 12-01 07:00", "12-02 cancelled 2 12-02 13:00", "12-03 armed 1 12-03 07:00")
}

// Each local day is told once across the date line, too.
func TestAgendaAcrossTheDateLine(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00-10:00", "Pacific/Honolulu")
	n.dueBy("a", "2026-11-01")
	n.at("2026-11-30T08:00:00-10:00")
	n.sweep()
	n.at("2026-11-30T08:10:00-10:00")
	n.moves("Pacific/Kiritimati") // where it is 08:10 of the next day
	n.sweep()
	n.want("east", n.days(), "11-30 told 1 11-30 18:00", "12-01 told 2 11-30 18:00", "12-02 armed 1 12-01 18:00")
	n.moves("Pacific/Honolulu")
	n.sweep()
	n.want("and back", n.days(), "11-30 told 1 11-30 18:00", "12-01 told 2 11-30 18:00", "12-02 armed 2 12-02 18:00")
	if n.mail.count() != 2 {
		t.Errorf("%d e-mails", n.mail.count())
	}
}

// After an outage the agenda of the current day is sent late. Those of earlier days are missed.
func TestAgendaAfterAnOutage(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("a", "2026-11-01")
	n.at("2026-11-30T23:00:00+01:00")
	n.sweep()
	n.want("the same day", n.days(), "11-30 told 1 11-30 07:00", "12-01 armed 1 12-01 07:00")
	n.at("2026-12-03T13:00:00+01:00")
	n.sweep()
	n.want("days later", n.days(), "11-30 told 1 11-30 07:00", "12-01 missed 1 12-01 07:00", "12-03 told 1 12-03 07:00", "12-04 armed 1 12-04 07:00")
	if n.mail.count() != 2 {
		t.Errorf("%d e-mails", n.mail.count())
	}
}

// After a provider was away for a day, only the latest agenda is sent. An agenda that was given up is a dead letter.
// A replay of it tells what is true then.
func TestAgendaWhoseProviderIsAway(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	a := n.dueBy("a", "2026-11-01")
	n.dueBy("b", "2026-11-01")
	n.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	n.at("2026-11-30T08:00:00+01:00")
	n.wakes(n.job())
	n.at("2026-12-01T08:00:00+01:00")
	n.wakes(n.job())
	states := func() []string {
		return n.column(`select concat_ws(' ', state, attempts, reason) from deliveries order by created_at`)
	}
	n.want("the next day", states(), "cancelled 1 replaced", "planned 1")
	for range 2 {
		n.now = n.now.Add(time.Hour)
		n.at(n.now.Format(time.RFC3339))
		n.firer.send()
	}
	n.want("given up", states(), "cancelled 1 replaced", "exhausted 3")
	n.want("dead letters", n.letters(), "dead 3", "resolved 1")
	n.mail.answer = nil
	n.update(a.ID, func(d *task.Draft) { d.Completed = true })
	letters, _, err := n.world.store.ListDeadLetters(t.Context(), store.DeadLetterFilter{State: store.Dead}, [16]byte{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.world.store.ReplayDeadLetter(t.Context(), letters[0].ID, false); err != nil {
		t.Fatal(err)
	}
	n.firer.send()
	n.want("replayed", n.agendas()[4:], "1 overdue: b")
}

// The agenda goes to all addresses of its channel, whether or not the channel is on for reminders.
func TestAgendaOnEveryChannel(t *testing.T) {
	for channel, want := range map[task.Channel]string{
		task.InApp: "in_app sent 1", task.Email: "email sent 2", task.SMS: "sms sent 2", task.Push: "push failed 1, push sent 2", task.Webhook: "webhook sent 1",
	} {
		n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
		n.choose(func(p *preferences.Preferences) {
			chosen(p)
			p.Channels, p.Agenda = nil, &preferences.Agenda{Channel: channel, At: 8 * time.Hour, Days: everyDay}
		})
		n.everything()
		n.dueBy("a", "2026-11-30")
		n.at("2026-11-30T08:00:00+01:00")
		n.wakes(n.job())
		if got := strings.Join(n.column(`select concat_ws(' ', channel, state, count(*)) from deliveries group by channel, state order by 1`), ", "); got != want {
			t.Errorf("%s: %s", channel, got)
		}
		if in := n.inbox(); channel == task.InApp && (len(in) != 1 || in[0].Title != "1 due today" || in[0].DueDate != nil || in[0].Body != "a\nDue Mon, 30 Nov 2026 09:00 CET (UTC+01:00)") {
			t.Errorf("the inbox: %+v", in)
		}
	}
}

// If nothing may be sent to its addresses, the agenda is told in-app, once. It makes no difference whether that is
// found when the agenda is fired or when it is sent.
func TestAgendaThatMayNotBeSent(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after func(*night)
		want          []string
	}{
		"unverified":       {func(n *night) { n.choose(func(p *preferences.Preferences) { p.Verified = p.Verified[:1] }) }, nil, []string{"email sent", "email unverified", "in_app sent"}},
		"suppressed":       {func(n *night) { n.suppress("a@x.org"); n.suppress("b@x.org") }, nil, []string{"email suppressed", "email suppressed", "in_app sent"}},
		"suppressed later": {nil, func(n *night) { n.suppress("a@x.org"); n.suppress("b@x.org") }, []string{"email suppressed", "email suppressed", "in_app sent"}},
		"no address": {func(n *night) {
			n.choose(func(p *preferences.Preferences) { p.Emails = nil })
			n.exec(`update users set email = null`)
		}, nil, []string{"email failed", "in_app sent"}},
	} {
		n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
		n.choose(func(p *preferences.Preferences) { p.Emails = []string{"a@x.org", "b@x.org"} })
		n.dueBy("a", "2026-11-30")
		if tt.before != nil {
			tt.before(n)
		}
		n.at("2026-11-30T08:00:00+01:00")
		if _, err := n.firer.FireAgenda(t.Context(), n.job()); err != nil {
			t.Fatal(err)
		}
		if tt.after != nil {
			tt.after(n)
		}
		n.firer.send()
		n.want(name, n.column(`select concat_ws(' ', channel, state) from deliveries order by 1`), tt.want...)
		if in := n.inbox(); len(in) != 1 || in[0].Title != "1 due today" {
			t.Errorf("%s: the inbox %+v", name, in)
		}
	}
}

// With thousands of tasks, the agenda lists the first ones and counts the rest. Tasks that are due today come before
// those that are overdue.
func TestLargeAgenda(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("today", "2026-11-30")
	n.exec(`
		insert into tasks (id, user_id, title, due_date, completed, created_at, updated_at)
		select gen_random_uuid(), 'ada', 'overdue ' || i, '2026-11-29T12:00Z'::timestamptz - i * interval '1 minute', i % 2 = 0, now(), now() from generate_series(1, 20000) i`)
	n.at("2026-11-30T08:00:00+01:00")
	n.wakes(n.job())
	if n.mail.count() != 1 {
		t.Fatalf("%d e-mails", n.mail.count())
	}
	m := n.mail.messages[0]
	if text := m.Text(); len(m.Agenda.Tasks) != notify.MostBundled || !strings.HasPrefix(text, "1 due today, 10000 overdue\n\ntoday\n") ||
		!strings.Contains(text, "\n\noverdue 1\n") || !strings.HasSuffix(text, "\n\nand 9901 more tasks") {
		t.Errorf("%d are listed: %.100s ... %s", len(m.Agenda.Tasks), text, text[max(0, len(text)-100):])
	}
}

// A job for the agenda of a deleted user is skipped.
func TestAgendaOfNobody(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	job := n.job()
	n.exec(`delete from preferences; delete from users`)
	n.at("2026-11-30T08:00:00+01:00")
	if o := n.wakes(job); o != "skipped not_found" {
		t.Error(o)
	}
	n.sweep()
}

// A callback is answered at once while another agenda is being fired. The callback that is at work then fires its
// agenda, too.
func TestAgendasDoNotQueueUp(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	bob := store.User{ID: "bob", Email: ptr("bob@example.com")}
	n.chooseFor(bob, func(p *preferences.Preferences) {
		p.TimeZone, p.Agenda = "Europe/Berlin", &preferences.Agenda{Channel: task.Email, At: 8*time.Hour + time.Minute, Days: everyDay}
	})
	ada := n.job()
	n.at("2026-11-30T08:01:00+01:00")
	release := n.holdOpen(`select from users where id = 'ada' for update`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if o, err := n.firer.FireAgenda(t.Context(), ada); err != nil || o.Status != fire.Success {
			t.Errorf("%+v, %v", o, err)
		}
	}()
	n.waiting(1, done)
	due, err := n.world.store.OverdueAgendas(t.Context(), n.now, store.Due{FireAt: n.now.Add(-time.Second)}, 1)
	if err != nil || len(due) != 1 || due[0].UserID != "bob" {
		t.Fatalf("%+v, %v", due, err)
	}
	if o, err := n.firer.FireAgenda(t.Context(), due[0].Revision); err != nil || o.Status != fire.InProgress {
		t.Errorf("meanwhile: %+v, %v", o, err)
	}
	release()
	<-done
	n.want("afterwards", n.column(`select concat_ws(' ', user_id, state) from agendas where day = '2026-11-30' order by 1`), "ada empty", "bob empty")
}

// A later release of the time zones moves armed agendas. The sweep of a function with an earlier
// release leaves them.
func TestAgendaFollowsTheTimeZones(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	n.dueBy("a", "2026-11-01")
	for i, ahead := range []time.Duration{2 * time.Hour, 0} { // 2 h ahead is six o'clock, an hour ago
		n.firer.mover.By(zonetest.Release(t, fmt.Sprint("2099", i), map[string]time.Duration{"Europe/Berlin": ahead}))
		if i == 0 {
			n.sweep()
			n.want("earlier", n.days()[:1], "11-30 told 2 11-30 06:00")
			continue
		}
		n.sweep()
		n.want("later", n.days()[1:], "12-01 armed 2 12-01 08:00")
	}
	n.firer.mover.By(nil)
	n.sweep()
	n.want("an earlier release", n.days()[1:], "12-01 armed 2 12-01 08:00")
}

// Many users' agendas that are due at the same instant are sent once each, also by several
// processes.
func TestManyAgendasAtOnce(t *testing.T) {
	n := newMorning(t, "2026-11-30T07:00:00+01:00", "Europe/Berlin")
	const users = 40
	for i := range users {
		u := store.User{ID: fmt.Sprint("user ", i), Email: ptr(fmt.Sprintf("u%d@example.com", i))}
		n.chooseFor(u, func(p *preferences.Preferences) {
			p.TimeZone, p.Agenda = "Europe/Berlin", &preferences.Agenda{Channel: task.Email, At: 8 * time.Hour, Days: everyDay}
		})
		n.exec(fmt.Sprintf(`insert into tasks (id, user_id, title, due_date, created_at, updated_at) values (gen_random_uuid(), 'user %d', 't', '2026-11-01Z', now(), now())`, i))
	}
	n.at("2026-11-30T08:00:00+01:00")
	due, err := n.world.store.OverdueAgendas(t.Context(), n.now, store.Due{}, 1000)
	if err != nil || len(due) != users+1 {
		t.Fatalf("%d are due, %v", len(due), err)
	}
	var group sync.WaitGroup
	for _, process := range []*teller{n.firer, newTeller(n.world.store, byEmail(n.mail), n.clock, settings)} {
		for _, d := range due {
			group.Go(func() {
				if _, err := process.FireAgenda(t.Context(), d.Revision); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	n.sweep()
	n.want("all", n.column(`select concat_ws(' ', state, count(*)) from agendas where day = '2026-11-30' group by state order by 1`), "empty 1", fmt.Sprint("told ", users))
	if n.mail.count() != users {
		t.Errorf("%d e-mails", n.mail.count())
	}
	var to []string
	for _, m := range n.mail.messages {
		to = append(to, m.To)
	}
	slices.Sort(to)
	if len(slices.Compact(to)) != users {
		t.Errorf("to %v", to)
	}
}
