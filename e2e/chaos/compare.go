package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/wallclock"
)

// judge reads what arrived, and compares it with what was asked for.
func (run *run) judge(ctx context.Context, missing map[jobless]bool) (t tally, err error) {
	end := time.Now()
	if err := run.findDoubtful(ctx, end); err != nil {
		return t, err
	}
	came, err := run.arrivals(ctx, &t)
	if err != nil {
		return t, err
	}
	missed, err := run.missed(ctx)
	if err != nil {
		return t, err
	}
	for _, l := range run.lives {
		l.held, l.missed, l.quiet = run.held.has(l), missed[l.id], run.quiet.of(l)
		t.judge(l, came[l.n], run.struck, end)
	}
	for _, e := range run.crashed {
		t.find(nil, "wrong", "a function has crashed: %v", e)
	}
	run.judgeAgendas(&t)
	if err := run.judgeHog(ctx, &t); err != nil {
		return t, err
	}
	if err := run.compareJobs(ctx, &t, missing); err != nil {
		return t, err
	}
	for i, f := range t.findings {
		if f.life != nil {
			t.findings[i].history = run.history(ctx, f.life, came[f.life.n])
		}
	}
	return t, nil
}

// missed returns the occurrences that are recorded as missed, by tasks.
func (run *run) missed(ctx context.Context) (all map[uuid.UUID][]string, err error) {
	all = map[uuid.UUID][]string{}
	rows, err := run.db.Query(ctx, `select task_id, occurrence from occurrences where state = 'missed'`)
	if err != nil {
		return nil, err
	}
	var id uuid.UUID
	var local time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &local}, func() error {
		all[id] = append(all[id], wallclock.FromUTC(local).String())
		return nil
	})
	return all, err
}

// findDoubtful finds out which tasks exist whose creation was not answered.
func (run *run) findDoubtful(ctx context.Context, end time.Time) error {
	for user := range users {
		tasks, err := run.client.tasks(ctx, user)
		if err != nil {
			return err
		}
		for _, l := range run.lives {
			if !l.doubtful || l.user != user {
				continue
			}
			for _, t := range tasks {
				if t.Title == l.title(0) {
					l.id = t.ID
					l.ops = append(l.ops, op{kind: create, title: t.Title, sent: t.CreatedAt, settled: end, task: t})
				}
			}
		}
	}
	return nil
}

var number = regexp.MustCompile(`\bt([0-9]+)\.([0-9]+) (<|\\u003c)chaos`)

// channelOf are the channels of the sandbox's providers.
var channelOf = map[string]string{
	sandbox.SendGrid: "email", sandbox.SES: "email", sandbox.SMTP: "email", sandbox.FCM: "push", sandbox.OneSignal: "push",
	sandbox.Twilio: "sms", sandbox.SNS: "sms", sandbox.Webhook: "webhook",
}

// arrivals returns what arrived, by the number of the task.
func (run *run) arrivals(ctx context.Context, t *tally) (map[int]arrivals, error) {
	came := map[int]arrivals{}
	add := func(text string, put func(a *arrivals, title string)) {
		n, step := 0, 0
		if found := number.FindStringSubmatch(text); found != nil {
			_, _ = fmt.Sscan(found[1], &n)
			_, _ = fmt.Sscan(found[2], &step)
		}
		if n == 0 {
			t.find(nil, "wrong", "a message came that says %q", text)
			return
		}
		a := came[n]
		put(&a, script{n: n}.title(step))
		came[n] = a
	}
	for user := range users {
		all, err := run.client.inbox(ctx, user, uuid.Nil)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(all, run.read[user]) {
			t.find(nil, "wrong", "user %d has %d notifications; who reads on from the last one has %d, or others", user, len(all), len(run.read[user]))
		}
		for _, n := range all {
			add(n.Title, func(a *arrivals, title string) {
				a.inbox = append(a.inbox, told{id: n.ID, title: title, at: n.CreatedAt, occurrence: n.Occurrence})
			})
		}
	}
	frozen, err := run.frozen(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range run.sys.Sandbox().Messages() {
		if _, ok := ofAgenda(m); ok {
			continue
		}
		id, _ := uuid.Parse(m.DeliveryID)
		texts := []string{m.Subject + " " + m.Body}
		if bundleSubject.MatchString(m.Subject) {
			texts = number.FindAllString(m.Body, -1)
		}
		for i, text := range texts {
			add(text, func(a *arrivals, title string) {
				if a.external == nil {
					a.external = map[string][]told{}
				}
				of := id
				if i > 0 { // each reminder in a bundle has its own copies
					of = uuid.NewSHA1(id, []byte(fmt.Sprint(i)))
				}
				channel := channelOf[m.Provider]
				a.external[channel] = append(a.external[channel], told{id: of, provider: m.Provider, title: title, at: m.ReceivedAt, cut: m.Cut, frozen: frozen[id]})
			})
		}
	}
	rows, err := run.db.Query(ctx, `select event_id, task_title, recorded_at from audit_events where user_id <> $1`, nameOf(hog))
	if err != nil {
		return nil, err
	}
	var e told
	var text string
	_, err = pgx.ForEachRow(rows, []any{&e.id, &text, &e.at}, func() error {
		add(text, func(a *arrivals, title string) { e.title = title; a.events = append(a.events, e) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	var recorded, counted int
	err = run.db.QueryRow(ctx, `select (select count(*) from audit_events), (select coalesce(sum(count), 0) from analytics_reminders)`).Scan(&recorded, &counted)
	if recorded != counted {
		t.find(nil, "wrong", "the audit log has %d events, and analytics has counted %d", recorded, counted)
	}
	return came, err
}

// compareJobs finds reminders ahead that had no job at the end, and those that had none during the
// run.
func (run *run) compareJobs(ctx context.Context, t *tally, missing map[jobless]bool) error {
	byID := map[uuid.UUID]*life{}
	for _, l := range run.lives {
		byID[l.id] = l
	}
	last, err := run.joblessNow(ctx)
	if err != nil {
		return err
	}
	for _, j := range last {
		missing[j] = true
	}
	for j := range missing {
		t.find(byID[j.TaskID], "lost", "revision %d of the reminder %s is said to be scheduled, and Dapr does not have its job", j.Number, j.ReminderID)
	}
	rows, err := run.db.Query(ctx, `select task_id, confirmed_revision is not distinct from revision from reminders where state = 'armed'`)
	if err != nil {
		return err
	}
	var id uuid.UUID
	var confirmed bool
	_, err = pgx.ForEachRow(rows, []any{&id, &confirmed}, func() error {
		t.ahead++
		if !confirmed {
			t.find(byID[id], "lost", "a reminder lies ahead and is still pending")
		}
		return nil
	})
	return err
}
