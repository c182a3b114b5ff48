package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/store/migrate"
	"github.com/duebell/duebell/shared/task"
)

// options say what a run is like.
type options struct {
	reminders int
	seed      uint64
	span      time.Duration  // in which everything falls due, and breaks
	faults    *regexp.Regexp // the names of those that strike
	noSweep   bool           // nobody invokes retry-dlq: reminders will be lost
	bin, dir  string         // the programs, and where data is kept
	say       func(string)   // hears how it gets on
}

// run is one run.
type run struct {
	options
	sys         *system.System
	client      *client
	databaseURL string
	db          *pgxpool.Pool
	dapr        *jobs.Dapr
	began       time.Time
	lives       []*life

	mu     sync.Mutex
	struck []struck
	read   [][]notification // by users: what someone who reads on from the last one has
	wiped  time.Time        // when the scheduler's data was last taken away
}

func (run *run) say(format string, args ...any) {
	run.options.say(fmt.Sprintf("%6.1fs  ", time.Since(run.began).Seconds()) + fmt.Sprintf(format, args...))
}

// settling is how long everything may take to come to its end after the last fault.
const settling = 4 * time.Minute

// chaos makes a run, and returns what is to be said of it.
func chaos(ctx context.Context, o options) (t tally, err error) {
	// The gateway's log: that functions are away is no news.
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	run := &run{options: o, began: time.Now(), read: make([][]notification, users)}
	if err := run.start(ctx); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, run.sys.Stop(context.WithoutCancel(ctx))) }()
	defer run.db.Close()
	defer run.dapr.Close()

	run.began = time.Now()
	scripts := write(o.seed, o.reminders, o.span)
	strikes := plan(o.seed, faults(run.sys, o.noSweep), o.faults, o.span)
	run.say("%d tasks of %d users within %v, %d faults, seed %d", len(scripts), users, o.span, len(strikes), o.seed)
	loadCtx, cancel := context.WithTimeout(ctx, o.span+settling)
	defer cancel()
	var working, watching sync.WaitGroup
	watchCtx, stopWatching := context.WithCancel(ctx)
	for user := range users {
		watching.Go(func() { run.follow(watchCtx, user) })
	}
	watching.Go(func() { run.report(watchCtx) })
	jobless := map[jobless]bool{}
	watching.Go(func() { run.audit(watchCtx, jobless) })
	for i := 0; i < len(scripts); {
		n := 1 // those of one import begin together
		for i+n < len(scripts) && scripts[i].batch != 0 && scripts[i+n].batch == scripts[i].batch {
			n++
		}
		var lives []*life
		for _, s := range scripts[i : i+n] {
			lives = append(lives, &life{script: s})
		}
		run.lives = append(run.lives, lives...)
		working.Go(func() { run.live(loadCtx, lives) })
		i += n
	}
	working.Go(func() { run.strike(loadCtx, strikes) })
	working.Wait()
	run.say("everything is healed; waiting until nothing is left to do")
	settleErr := run.settle(ctx)
	// Long enough for a second copy of anything to come.
	select {
	case <-time.After(lease + 5*time.Second):
	case <-ctx.Done():
	}
	stopWatching()
	watching.Wait()
	if ctx.Err() != nil {
		return t, context.Cause(ctx)
	}
	run.say("comparing")
	t, err = run.judge(ctx, jobless)
	return t, errors.Join(settleErr, err)
}

// start starts the system, and signs its users in.
func (run *run) start(ctx context.Context) (err error) {
	functions := slices.Clone(system.Functions)
	for _, f := range functions {
		if f.Name == senders[0] {
			f.Program, f.Name = f.Name, secondTrigger
			functions = append(functions, f)
			break
		}
	}
	if run.noSweep {
		for i := range functions {
			functions[i].Every = 0
		}
	}
	run.sys, err = system.Start(ctx, system.Options{
		Dir: run.dir, FunctionsDir: run.bin, Functions: functions, Ingress: true, Daprds: 2,
		Migrate: func(ctx context.Context, url string) error {
			_, err := migrate.Up(ctx, url)
			return err
		},
		// A sweep that does little at a time is long between asking Dapr and marking that.
		Env: []string{"DELIVERY_SEND_TIMEOUT=" + sendTimeout.String(), "DELIVERY_LEASE=" + lease.String(), "SWEEP_CONCURRENCY=2"},
		OnEvent: func(e process.Event) {
			if e.Err != nil && !strings.Contains(e.Err.Error(), "killed") {
				run.say("  %v", e)
			}
		},
		Report: func(s system.Step) {
			if s.Done {
				run.say("✓ %s", s.Name)
			}
		},
	})
	if err != nil {
		return err
	}
	run.databaseURL = run.sys.Environment()["DATABASE_URL"]
	if run.db, err = pgxpool.New(ctx, run.databaseURL); err != nil {
		return errors.Join(err, run.sys.Stop(context.WithoutCancel(ctx)))
	}
	environment := run.sys.Environment()
	run.dapr, err = jobs.Open(jobs.Config{
		Endpoint: environment["DAPR_GRPC_ENDPOINT"], APIToken: config.Secret(environment["DAPR_API_TOKEN"]),
		RetryInterval: time.Second, MaxRetries: 1,
	})
	if err != nil {
		return errors.Join(err, run.sys.Stop(context.WithoutCancel(ctx)))
	}
	tokens := make([]string, users)
	for i := range tokens {
		name := fmt.Sprintf("user%d", i)
		if tokens[i], err = run.sys.Token(issuer.Claims{Subject: name, Email: name + "@example.com", EmailVerified: true, Lifetime: time.Hour}); err != nil {
			return errors.Join(err, run.sys.Stop(context.WithoutCancel(ctx)))
		}
	}
	run.client = newClient(run.sys.URL(), tokens)
	for user := range users {
		if err := run.choose(ctx, user); err != nil {
			return errors.Join(err, run.sys.Stop(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// choose switches a user's channels on.
func (run *run) choose(ctx context.Context, user int) error {
	on := map[string]bool{}
	for _, channel := range channelsOf(user) {
		on[channel] = true
	}
	device := map[string]string{"provider": "fcm", "token": fmt.Sprintf("token:of-user-%d", user)}
	if user%10 == 0 {
		device = map[string]string{"provider": "onesignal", "token": uuid.NewSHA1(uuid.Nil, fmt.Append(nil, user)).String()}
	}
	a, err := run.client.settled(ctx, user, "PUT", "/api/preferences", map[string]any{
		"time_zone": "Europe/Paris", "language": []string{"en", "de"}[user%2], "channels": on,
		"phones":  []string{fmt.Sprintf("+1555010%04d", user)},
		"devices": []map[string]string{device},
		"webhook": map[string]any{"url": fmt.Sprintf("%s%s/user%d", run.sys.URL(), sandbox.WebhookPath, user)},
	})
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("choosing channels: %d %s", a.status, a.body)
	}
	return err
}

// follow reads a user's inbox on and on, as a client does that keeps the last id.
func (run *run) follow(ctx context.Context, user int) {
	last := uuid.Nil
	for {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
		more, err := run.client.inbox(ctx, user, last)
		if err != nil {
			continue
		}
		if len(more) > 0 {
			last = more[len(more)-1].ID
		}
		run.mu.Lock()
		run.read[user] = append(run.read[user], more...)
		run.mu.Unlock()
	}
}

// report says now and then how far the run has come.
func (run *run) report(ctx context.Context) {
	for {
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return
		}
		run.mu.Lock()
		inbox := 0
		for _, r := range run.read {
			inbox += len(r)
		}
		run.mu.Unlock()
		run.say("%d requests, %d without an answer; %d in inboxes, %d messages at the provider",
			run.client.requests.Load(), run.client.unanswered.Load(), inbox, len(run.sys.Sandbox().Messages()))
	}
}

// waiting are what is still to be done, as the database has it.
const waiting = `
	select (select count(*) from reminders where state = 'armed' and (fire_at < now() + interval '1 hour' or confirmed_revision is distinct from revision))
	     + (select count(*) from deliveries where state in ('planned', 'sending', 'unknown'))
	     + (select count(*) from deliveries d where channel = 'event' and state = 'sent'
	        and (not exists (select from audit_events where event_id = d.id) or not exists (select from counted_events where event_id = d.id)))`

// settle waits until nothing is left to do.
func (run *run) settle(ctx context.Context) error {
	if err := run.sys.Ready(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(settling)
	for {
		left := -1
		if err := run.db.QueryRow(ctx, waiting).Scan(&left); err == nil && left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			run.say("%d things are still to be done", left)
			return nil // the comparison tells what is missing
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// judge reads what came and compares it with what was asked for.
func (run *run) judge(ctx context.Context, missing map[jobless]bool) (t tally, err error) {
	end := time.Now()
	if err := run.findDoubtful(ctx, end); err != nil {
		return t, err
	}
	came, err := run.arrivals(ctx, &t)
	if err != nil {
		return t, err
	}
	for _, l := range run.lives {
		t.judge(l, came[l.n], run.struck, end)
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

// findDoubtful looks whether the tasks exist whose creation was not answered.
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
					l.ops = append(l.ops, op{create, t.Title, t.CreatedAt, end, t})
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

// arrivals returns what came, by the number of the task.
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
				a.inbox = append(a.inbox, told{id: n.ID, title: title, at: n.CreatedAt})
			})
		}
	}
	for _, m := range run.sys.Sandbox().Messages() {
		add(m.Subject+" "+m.Body, func(a *arrivals, title string) {
			id, _ := uuid.Parse(m.DeliveryID)
			if a.external == nil {
				a.external = map[string][]told{}
			}
			channel := channelOf[m.Provider]
			a.external[channel] = append(a.external[channel], told{id: id, provider: m.Provider, title: title, at: m.ReceivedAt, cut: m.Cut})
		})
	}
	rows, err := run.db.Query(ctx, `select event_id, task_title, recorded_at from audit_events`)
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

// compareJobs says which reminders that lie ahead are not with Dapr in the end, and
// which were not on the way.
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

// jobless is a reminder's revision that is said to be scheduled, and of which Dapr does
// not have the job: only the sweep would be left to fire it.
type jobless = task.Revision

// audit looks now and then for those, until ctx ends.
func (run *run) audit(ctx context.Context, found map[jobless]bool) {
	for {
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return
		}
		missing, err := run.joblessNow(ctx)
		if err != nil {
			continue // something is away
		}
		for _, j := range missing {
			found[j] = true
		}
	}
}

// joblessNow returns those that are jobless before and after Dapr was asked. When the
// scheduler's data was taken away all are, until a sweep has noticed: then there are
// none to tell of.
func (run *run) joblessNow(ctx context.Context) (missing []jobless, err error) {
	confirmed := func() (all map[jobless]bool, err error) {
		all = map[jobless]bool{}
		rows, err := run.db.Query(ctx, `
			select task_id, user_id, id, revision from reminders
			where state = 'armed' and confirmed_revision = revision and fire_at > now() + interval '5 seconds'`)
		if err != nil {
			return nil, err
		}
		var j jobless
		_, err = pgx.ForEachRow(rows, []any{&j.TaskID, &j.UserID, &j.ReminderID, &j.Number}, func() error {
			all[j] = true
			return nil
		})
		return all, err
	}
	// Asked for first: a sweep that has noticed records a name that no job has, takes all
	// marks back, and then records the new sentinel.
	var noticed time.Time
	if err := run.db.QueryRow(ctx, `select coalesce((select created_at from sentinel where name not like 'sentinel-none-%'), 'epoch')`).Scan(&noticed); err != nil {
		return nil, err
	}
	before, err := confirmed()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second) // daprd may be paused
	defer cancel()
	names, err := run.dapr.List(ctx)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, name := range names {
		held[name] = true
	}
	after, err := confirmed()
	if err != nil {
		return nil, err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	for j := range before {
		if after[j] && !held[j.JobName()] && noticed.After(run.wiped) {
			missing = append(missing, j)
		}
	}
	return missing, nil
}

// history is all that is known of a task, for whoever looks for the cause of a finding.
func (run *run) history(ctx context.Context, l *life, came arrivals) string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	add := func(at time.Time, format string, args ...any) {
		lines = append(lines, line{at, fmt.Sprintf(format, args...)})
	}
	for _, o := range l.ops {
		states := ""
		for _, r := range o.task.Reminders {
			states += fmt.Sprintf(" %s at %s", r.State, r.FireAt.UTC().Format("2 Jan 15:04:05.000"))
		}
		add(o.sent, "%s asked, answered %s, version %d:%s", o.kind, clock(o.settled), o.task.Version, states)
	}
	for _, m := range came.inbox {
		add(m.at, "in the inbox: %s %q", m.id, m.title)
	}
	for _, messages := range came.external {
		for _, m := range messages {
			add(m.at, "%s accepted: %s %q, cut %v", m.provider, m.id, m.title, m.cut)
		}
	}
	for _, m := range came.events {
		add(m.at, "audited: %s", m.id)
	}
	for _, q := range []string{
		`select coalesce(fired_at, last_scheduling_at), 'reminder ' || to_jsonb(r)::text from reminders r where task_id = $1`,
		`select coalesce(finished_at, created_at), 'delivery ' || to_jsonb(d)::text from deliveries d where task_id = $1`,
		`select l.updated_at, 'dead letter ' || to_jsonb(l)::text from dead_letters l join deliveries d on d.id = l.delivery_id where d.task_id = $1`,
	} {
		rows, err := run.db.Query(ctx, q, l.id)
		if err != nil {
			continue
		}
		for rows.Next() {
			var n line
			if rows.Scan(&n.at, &n.text) == nil {
				lines = append(lines, n)
			}
		}
		rows.Close()
	}
	if len(lines) > 0 {
		slices.SortFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
		from, to := lines[0].at, lines[len(lines)-1].at
		for _, f := range run.struck {
			if f.to.After(from.Add(-time.Second)) && f.from.Before(to.Add(time.Second)) {
				add(f.from, "fault: %v", f)
			}
		}
		slices.SortFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	}
	var b strings.Builder
	for _, n := range lines {
		fmt.Fprintf(&b, "      %s %s\n", clock(n.at), n.text)
	}
	return b.String()
}
