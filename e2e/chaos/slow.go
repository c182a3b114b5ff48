package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/sandbox"
)

// slowness are the ways in which a part is slow: how much later it answers, and for how long. A
// part that never answers has to be healed.
var slowness = []struct {
	name      string
	by, lasts time.Duration
}{
	{"after 1s", time.Second, 6 * time.Second},
	{"after 10s", 10 * time.Second, 12 * time.Second},
	{"never", time.Hour, 8 * time.Second},
}

// slowParts returns the faults of parts that run and are slow.
func slowParts() (all []fault) {
	providers := slices.DeleteFunc(slices.Collect(maps.Keys(channelOf)), func(name string) bool { return name == sandbox.Webhook })
	for part, slow := range map[string]func(*run, time.Duration){
		"daprd":     linkTo("daprd"),
		"scheduler": linkTo("scheduler"),
		"audit-log": linkTo("audit-log"),
		"analytics": linkTo("analytics"),
		"broker":    func(run *run, by time.Duration) { run.sys.Broker().Slow(by) },
		"provider":  delaying(providers...),
		"webhook":   delaying(sandbox.Webhook),
	} {
		for _, s := range slowness {
			all = append(all, fault{
				name: fmt.Sprintf("slow %s: it answers %s", part, s.name), part: part, lasts: s.lasts, gentle: true,
				strike: func(_ context.Context, run *run) (func(), error) {
					slow(run, s.by)
					return func() { slow(run, 0) }, nil
				},
			})
		}
	}
	for _, s := range []time.Duration{time.Second, 10 * time.Second, 20 * time.Second} {
		all = append(all, fault{name: fmt.Sprintf("slow rows: somebody holds some for %v", s), part: "rows", lasts: s, gentle: true, strike: holdRows})
	}
	slices.SortFunc(all, func(a, b fault) int { return cmp.Compare(a.name, b.name) }) // the same seed makes the same plan
	return all
}

// linkTo slows the connection to a part.
func linkTo(part string) func(*run, time.Duration) {
	return func(run *run, by time.Duration) { run.sys.Link(part).Slow(by) }
}

func delaying(providers ...string) func(*run, time.Duration) {
	return func(run *run, by time.Duration) {
		if by == 0 {
			run.sys.Sandbox().Heal(providers...)
			return
		}
		for _, name := range providers {
			run.sys.Sandbox().Fail(sandbox.Fault{Provider: name, Delay: by})
		}
	}
}

// held records whose rows a fault has locked. Their reminders may be late.
type held struct {
	mu    sync.Mutex
	tasks map[uuid.UUID]bool
	users map[string]bool
}

func (h *held) has(l *life) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tasks[l.id] || h.users[nameOf(l.user)]
}

func (h *held) add(task uuid.UUID, user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tasks == nil {
		h.tasks, h.users = map[uuid.UUID]bool{}, map[string]bool{}
	}
	if user != "" {
		h.users[user] = true
	} else {
		h.tasks[task] = true
	}
}

// holdRows locks rows as a process does that is stopped in its transaction: a user's row, those of
// the next due reminders, and those of deliveries that are being sent.
func holdRows(ctx context.Context, run *run) (heal func(), err error) {
	c, err := pgx.Connect(ctx, run.databaseURL)
	if err != nil {
		return nil, err // Postgres is away
	}
	heal = func() { _ = c.Close(context.Background()) }
	if _, err := c.Exec(ctx, `begin`); err != nil {
		return heal, err
	}
	for _, sql := range []string{
		`select null::uuid, id from users where id <> $1 order by random() limit 1 for update skip locked`,
		`select task_id, null from reminders where user_id <> $1 and state = 'armed' and fire_at > now() order by fire_at limit 5 for update skip locked`,
		`select task_id, case when task_id is null then user_id end from deliveries where user_id <> $1 and state in ('planned', 'sending', 'unknown') order by next_attempt_at limit 5 for update skip locked`,
	} {
		rows, err := c.Query(ctx, sql, nameOf(hog))
		if err != nil {
			return heal, err
		}
		var task *uuid.UUID
		var user *string
		_, err = pgx.ForEachRow(rows, []any{&task, &user}, func() error {
			if task != nil {
				run.held.add(*task, "")
			} else {
				run.held.add(uuid.Nil, *user)
			}
			return nil
		})
		if err != nil {
			return heal, err
		}
	}
	return heal, nil
}
