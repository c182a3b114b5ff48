package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// historyQueries are what the database knows of a task, and userQueries what it knows of a user
// without lives.
var (
	historyQueries = []string{
		`select coalesce(fired_at, last_scheduling_at), 'reminder ' || to_jsonb(r)::text from reminders r where task_id = $1`,
		`select coalesce(finished_at, created_at), 'delivery ' || to_jsonb(d)::text from deliveries d where task_id = $1`,
		`select l.updated_at, 'dead letter ' || to_jsonb(l)::text from dead_letters l join deliveries d on d.id = l.delivery_id where d.task_id = $1`,
	}
	userQueries = []string{
		`select coalesce(settled_at, fire_at), 'agenda ' || to_jsonb(a)::text from agendas a where user_id = $1`,
		`select coalesce(finished_at, created_at), 'delivery ' || to_jsonb(d)::text from deliveries d where user_id = $1`,
		`select l.updated_at, 'dead letter ' || to_jsonb(l)::text from dead_letters l join deliveries d on d.id = l.delivery_id where d.user_id = $1`,
	}
)

// history returns all that is known of a task, or of a user with an agenda, for finding the cause of
// a finding.
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
	queries, of := historyQueries, any(l.id)
	if l.n == 0 {
		queries, of = userQueries, nameOf(l.user)
	}
	for _, q := range queries {
		rows, err := run.db.Query(ctx, q, of)
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
