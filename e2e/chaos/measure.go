package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/system"
)

// Others' reminders fall due one by one: beginning at the instant at which all of the hog's do, and
// in an outage in which no provider takes e-mail.
const (
	others = 60
	// reminderEvery is the time between two reminders of others.
	reminderEvery = 40 * time.Millisecond
	without       = 480
	outage        = 40 * time.Second
	duringOutage  = 240
	// patience is how long after the last instant, or the outage, an e-mail that has not come
	// counts as unsent.
	patience = 2 * time.Minute
)

// trial is what was measured in one system.
type trial struct {
	hog, reminders int
	inApp, email   []time.Duration // how late
}

// measure prints what hogs of several sizes cost the others. Systems with and without a hog take
// turns, and each is new.
func measure(ctx context.Context, o options, sizes []int) error {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the gateway's log: nothing is away
	dir, n := o.dir, 0
	try := func(size int, outage bool) (trial, error) {
		n++
		o.dir = filepath.Join(dir, fmt.Sprint(n))
		o.say(fmt.Sprintf("run %d: a hog of %d, outage %v", n, size, outage))
		return measureOne(ctx, o, size, outage)
	}
	var fair, away strings.Builder
	fair.WriteString("| the hog's hanging messages | in-app p50 | p90 | p99 | e-mail p50 | p99 | unsent |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	away.WriteString("| the hog's hanging messages | e-mails due in an outage of 40 s | unsent 120 s after it | the last one's delay |\n| --- | --- | --- | --- |\n")
	for _, size := range sizes {
		for _, hog := range []int{0, size} {
			t, err := try(hog, false)
			if err != nil {
				return err
			}
			fmt.Fprintf(&fair, "| %d | %v | %v | %v | %v | %v | %d of %d |\n", hog, quantile(t.inApp, 0.5), quantile(t.inApp, 0.9), quantile(t.inApp, 0.99),
				quantile(t.email, 0.5), quantile(t.email, 0.99), t.reminders-len(t.email), t.reminders)
		}
	}
	for _, hog := range []int{0, slices.Min(sizes)} {
		t, err := try(hog, true)
		if err != nil {
			return err
		}
		fmt.Fprintf(&away, "| %d | %d | %d | %v |\n", hog, t.reminders, t.reminders-len(t.email), quantile(t.email, 1))
	}
	fmt.Printf("\n%s\n%s", fair.String(), away.String())
	return nil
}

func measureOne(ctx context.Context, o options, size int, withOutage bool) (t trial, err error) {
	run := &run{options: o, began: time.Now()}
	if err := run.open(ctx, others+1, system.Options{Env: []string{"QUOTA_PER_HOUR=email=0,push=0,sms=0,webhook=0", "QUOTA_PER_DAY=email=0,push=0,sms=0,webhook=0"}}); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, run.close(ctx)) }()
	t.hog, t.reminders = size, without
	due := time.Now().Add(15*time.Second + time.Duration(size)*time.Second/100)
	first, every := due, reminderEvery
	if withOutage {
		t.reminders = duringOutage
		first, every = due.Add(10*time.Second), outage/duringOutage
	}
	if size > 0 {
		if err := run.chooseWebhook(ctx, others, true); err != nil {
			return t, err
		}
		if err := run.importMany(ctx, others, size, func(int) any {
			return map[string]any{"title": "the hog's", "due_date": due, "channels": []string{"webhook"}}
		}); err != nil {
			return t, err
		}
	}
	at := func(n int) time.Time { return first.Add(time.Duration(n) * every) }
	for user := range others {
		err := run.importMany(ctx, user, t.reminders/others, func(i int) any {
			n := i*others + user
			return map[string]any{"title": script{n: n + 1}.title(0), "due_date": at(n)}
		})
		if err != nil {
			return t, err
		}
	}
	if time.Now().After(due) {
		return t, errors.New("the imports took longer than there was time for")
	}
	end := at(t.reminders)
	if withOutage {
		sleep(ctx, time.Until(first))
		run.say("no provider takes e-mail")
		refusals := map[string]int{sandbox.SendGrid: 503, sandbox.SES: 503, sandbox.SMTP: 451}
		for name, status := range refusals {
			run.sys.Sandbox().Fail(sandbox.Fault{Provider: name, Status: status})
		}
		end = first.Add(outage)
		sleep(ctx, time.Until(end))
		run.sys.Sandbox().Heal(slices.Collect(maps.Keys(refusals))...)
		run.say("all providers are back")
	}
	for end = end.Add(patience); ; sleep(ctx, 500*time.Millisecond) {
		t.email = nil
		for _, m := range run.sys.Sandbox().Messages() {
			n := 0
			if found := number.FindStringSubmatch(m.Subject + " " + m.Body); found != nil {
				_, _ = fmt.Sscan(found[1], &n)
				t.email = append(t.email, m.ReceivedAt.Sub(at(n-1)))
			}
		}
		if len(t.email) >= t.reminders || time.Now().After(end) || ctx.Err() != nil {
			break
		}
	}
	var hanging int
	if err := run.db.QueryRow(ctx, `select count(*) from deliveries where channel = 'webhook' and finished_at is null`).Scan(&hanging); err != nil {
		return t, err
	}
	run.say("%d of the hog's messages wait still", hanging)
	rows, err := run.db.Query(ctx, `
		select n.created_at - r.fire_at from notifications n join reminders r on r.task_id = n.task_id where n.user_id <> $1`, nameOf(others))
	if err != nil {
		return t, err
	}
	t.inApp, err = pgx.CollectRows(rows, pgx.RowTo[time.Duration])
	return t, err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
