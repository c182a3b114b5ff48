package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/wallclock"
)

// life is what happened with a script: the oracle's record of one task.
type life struct {
	script
	id  uuid.UUID
	ops []op // the requests that took effect, in order
	// doubtful says that its creation got no answer. Only the end shows whether it exists.
	doubtful bool
	// held says that a fault locked rows of it, so it may be late.
	held bool
	// missed are the occurrences that are recorded as missed.
	missed []string
	// quiet are the quiet hours for its messages.
	quiet quietHours
	// refused are answers that should not have been refusals.
	refused []string
}

// op is a request that took effect between sent and settled.
type op struct {
	kind          kind
	title         string // the task's from then on
	sent, settled time.Time
	task          api.Task  // as it was answered, or read later; empty once it is deleted
	until         time.Time // when a snooze ends
}

// live runs a script, or the scripts of one import. It returns when the last step is settled.
func (run *run) live(ctx context.Context, lives []*life) {
	first := lives[0]
	run.wait(ctx, first.steps[0].at)
	if first.batch != 0 {
		run.importAll(ctx, lives)
	} else {
		run.create(ctx, first)
	}
	var group sync.WaitGroup
	for _, l := range lives {
		if l.id == uuid.Nil {
			continue
		}
		group.Go(func() {
			for i, s := range l.steps[1:] {
				run.wait(ctx, s.at)
				if !run.change(ctx, l, i+1, s) {
					return
				}
			}
		})
	}
	group.Wait()
}

func (run *run) wait(ctx context.Context, at time.Duration) {
	select {
	case <-time.After(time.Until(run.began.Add(at))):
	case <-ctx.Done():
	}
}

// input returns the task to create.
func (run *run) input(l *life) map[string]any {
	before := make([]string, len(l.before))
	for i, b := range l.before {
		before[i] = b.String()
	}
	in := map[string]any{"title": l.title(0), "due_date": run.began.Add(l.steps[0].due), "reminders": before}
	if l.recurs > 0 {
		delete(in, "due_date")
		in["due_local"], in["time_zone"] = wallclock.FromUTC(run.began.Add(l.steps[0].due)).String(), "UTC"
		in["recurrence"] = map[string]any{"rule": l.rule()}
	}
	if l.repeats {
		in["repeat"] = map[string]any{"every": every.String(), "times": 1}
	}
	if l.channels != nil {
		in["channels"] = l.channels
	}
	if l.isUrgent() {
		in["urgent"] = true
	}
	return in
}

func (run *run) create(ctx context.Context, l *life) {
	sent := time.Now()
	if l.unkeyed {
		a := run.client.once(ctx, l.user, "POST", "/api/tasks", run.input(l))
		l.doubtful = a.status == 0
		run.created(l, sent, a)
		return
	}
	a, err := run.client.settled(ctx, l.user, "POST", "/api/tasks", run.input(l), "Idempotency-Key", fmt.Sprintf("task%d", l.n))
	if err != nil {
		l.refused = append(l.refused, err.Error())
		return
	}
	run.created(l, sent, a)
}

func (run *run) created(l *life, sent time.Time, a answer) {
	if l.doubtful {
		return
	}
	var t api.Task
	if a.status != http.StatusCreated || a.into(&t) != nil {
		l.refused = append(l.refused, fmt.Sprintf("create: %d %s", a.status, a.body))
		return
	}
	l.id = t.ID
	l.ops = append(l.ops, op{kind: create, title: l.title(0), sent: sent, settled: time.Now(), task: t})
}

func (run *run) importAll(ctx context.Context, lives []*life) {
	var in struct {
		Tasks []map[string]any `json:"tasks"`
	}
	for _, l := range lives {
		in.Tasks = append(in.Tasks, run.input(l))
	}
	sent := time.Now()
	a, err := run.client.settled(ctx, lives[0].user, "POST", "/api/tasks/batch", in, "Idempotency-Key", fmt.Sprintf("batch%d", lives[0].batch))
	var out struct{ Tasks []api.Task }
	if err == nil {
		err = a.into(&out)
	}
	if err != nil || a.status != http.StatusOK || len(out.Tasks) != len(lives) {
		for _, l := range lives {
			l.refused = append(l.refused, fmt.Sprintf("import: %d %.500s %v", a.status, a.body, err))
		}
		return
	}
	for i, l := range lives {
		l.id = out.Tasks[i].ID
		l.ops = append(l.ops, op{kind: create, title: l.title(0), sent: sent, settled: time.Now(), task: out.Tasks[i]})
	}
}

// attend makes a request that can be repeated without effect, and that leaves the task's version. A
// snooze that ended before it was answered is refused in the end; nothing shows whether it took
// effect.
func (run *run) attend(ctx context.Context, l *life, path string, s step, next op) bool {
	in := map[string]any{}
	if s.kind == snooze {
		in["until"] = run.began.Add(s.due)
	}
	a, err := run.client.settled(ctx, l.user, http.MethodPost, path+"/"+string(s.kind), in)
	if err == nil && s.kind == snooze && a.status == http.StatusBadRequest && time.Now().After(run.began.Add(s.due)) {
		a, err = run.client.settled(ctx, l.user, http.MethodGet, path, nil)
	}
	next.settled, next.until = time.Now(), run.began.Add(s.due)
	last := l.ops[len(l.ops)-1]
	if err != nil || a.status != http.StatusOK || a.into(&next.task) != nil || next.task.Version != last.task.Version {
		l.refused = append(l.refused, fmt.Sprintf("%s: %d %s, %v", s.kind, a.status, a.body, err))
		return false
	}
	l.ops = append(l.ops, next)
	return true
}

// change makes a life's request number step, and reports whether there may be more. A change
// without an answer is repeated with the same If-Match. So it takes effect once, and a refusal
// shows that it has.
func (run *run) change(ctx context.Context, l *life, step int, s step) bool {
	last := &l.ops[len(l.ops)-1]
	path := "/api/tasks/" + l.id.String()
	next := op{kind: s.kind, title: last.title, sent: time.Now()}
	method, patch := http.MethodPatch, map[string]any{}
	switch s.kind {
	case look:
		method, patch = http.MethodGet, nil
	case remove:
		method, patch = http.MethodDelete, nil
	case complete:
		patch["completed"] = true
	case reopen:
		next.title = l.title(step)
		patch["title"], patch["completed"] = next.title, false
	case retitle:
		next.title = l.title(step)
		patch["title"] = next.title
	case move:
		next.title = l.title(step)
		patch["title"], patch["due_date"] = next.title, run.began.Add(s.due)
	case snooze, acknowledge:
		return run.attend(ctx, l, path, s, next)
	}
	var in any
	var header []string
	if patch != nil {
		in, header = patch, []string{"If-Match", api.ETag(last.task.Version)}
	}
	a, err := run.client.settled(ctx, l.user, method, path, in, header...)
	if err == nil && a.status == http.StatusPreconditionFailed {
		a, err = run.client.settled(ctx, l.user, http.MethodGet, path, nil)
	}
	next.settled = time.Now()
	switch {
	case err != nil:
		l.refused = append(l.refused, err.Error())
		return false
	case s.kind == remove && slices.Contains([]int{http.StatusOK, http.StatusNotFound}, a.status):
		l.ops = append(l.ops, next)
		return false
	case a.status == http.StatusOK && a.into(&next.task) == nil:
		if s.kind != look && (next.task.Version != last.task.Version+1 || next.task.Title != next.title) {
			l.refused = append(l.refused, fmt.Sprintf("%s: the answer is version %d, %q", s.kind, next.task.Version, next.task.Title))
		}
		l.ops = append(l.ops, next)
		return true
	}
	l.refused = append(l.refused, fmt.Sprintf("%s: %d %s", s.kind, a.status, a.body))
	return false
}
