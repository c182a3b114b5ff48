package life_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/task"
)

// fakeDapr holds jobs until somebody fires or deletes them. It is an Inventory.
type fakeDapr struct {
	mu   sync.Mutex
	jobs map[string]fakeJob
	// tooMany makes the list fail, as that of very many jobs does.
	tooMany bool
	// call, if set, is asked to carry out each call, and decides what comes of it. callOf is
	// asked instead, if set, and told whose call it is.
	call   func(effect func()) error
	callOf func(ctx context.Context, effect func()) error
}

type fakeJob struct {
	task.Revision
	At time.Time
}

var errTooMany = errors.New("trying to send message larger than max")

func (d *fakeDapr) do(ctx context.Context, effect func()) error {
	locked := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		effect()
	}
	switch {
	case d.callOf != nil:
		return d.callOf(ctx, locked)
	case d.call != nil:
		return d.call(locked)
	}
	locked()
	return nil
}

func (d *fakeDapr) put(name string, job fakeJob) {
	if d.jobs == nil {
		d.jobs = map[string]fakeJob{}
	}
	if _, there := d.jobs[name]; !there {
		d.jobs[name] = job
	}
}

func (d *fakeDapr) Schedule(ctx context.Context, w task.Revision, at time.Time) error {
	return d.do(ctx, func() { d.put(w.JobName(), fakeJob{w, at}) })
}

func (d *fakeDapr) Delete(ctx context.Context, w task.Revision) error {
	return d.Remove(ctx, w.JobName())
}

func (d *fakeDapr) Remove(ctx context.Context, name string) error {
	return d.do(ctx, func() { delete(d.jobs, name) })
}

func (d *fakeDapr) Keep(ctx context.Context, name string) error {
	return d.do(ctx, func() { d.put(name, fakeJob{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}) })
}

func (d *fakeDapr) Holds(ctx context.Context, name string) (there bool, err error) {
	err = d.do(ctx, func() { _, there = d.jobs[name] })
	return there && err == nil, err
}

func (d *fakeDapr) List(ctx context.Context) (names []string, err error) {
	if d.tooMany {
		return nil, errTooMany
	}
	err = d.do(ctx, func() { names = slices.Sorted(maps.Keys(d.jobs)) })
	return names, err
}

func (d *fakeDapr) Publish(ctx context.Context, _, _ string, _ any) error {
	return d.do(ctx, func() {})
}

// due returns the jobs whose instant has come.
func (d *fakeDapr) due(now time.Time) (due []task.Revision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.jobs)) {
		if job := d.jobs[name]; !job.At.After(now) {
			due = append(due, job.Revision)
		}
	}
	return due
}

func (d *fakeDapr) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.jobs))
}
