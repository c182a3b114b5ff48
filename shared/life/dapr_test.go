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

// fakeDapr holds jobs until somebody fires or deletes them, and keeps what it was asked for. It
// is an Inventory.
type fakeDapr struct {
	mu   sync.Mutex
	jobs map[string]fakeJob // what it holds, by name
	// What it has taken, in the order of the calls.
	scheduled []fakeJob
	deleted   []string // names of jobs
	published []string // "topic id"
	// err, if set, is what each call comes to, without effect.
	err error
	// tooMany makes the list fail, as that of very many jobs does.
	tooMany bool
	// onSchedule, if set, runs before a job is scheduled, and can refuse it.
	onSchedule func(context.Context) error
	// call, if set, is asked to carry out each call, and decides what comes of it.
	call func(ctx context.Context, effect func()) error
	// fire, if set, is called at the instant of each job that is still held.
	fire func(task.Revision)
}

type fakeJob struct {
	task.Revision
	At time.Time
}

var errTooMany = errors.New("trying to send message larger than max")

// hang is a call that is never answered.
func hang(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (d *fakeDapr) do(ctx context.Context, effect func()) error {
	d.mu.Lock()
	err := d.err
	d.mu.Unlock()
	if err != nil {
		return err
	}
	locked := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		effect()
	}
	if d.call != nil {
		return d.call(ctx, locked)
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
	if d.onSchedule != nil {
		if err := d.onSchedule(ctx); err != nil {
			return err
		}
	}
	return d.do(ctx, func() {
		d.scheduled = append(d.scheduled, fakeJob{w, at})
		d.put(w.JobName(), fakeJob{w, at})
		if d.fire != nil {
			time.AfterFunc(time.Until(at), func() {
				if slices.Contains(d.names(), w.JobName()) {
					d.fire(w)
				}
			})
		}
	})
}

func (d *fakeDapr) Delete(ctx context.Context, w task.Revision) error {
	return d.Remove(ctx, w.JobName())
}

func (d *fakeDapr) Remove(ctx context.Context, name string) error {
	return d.do(ctx, func() {
		d.deleted = append(d.deleted, name)
		delete(d.jobs, name)
	})
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

func (d *fakeDapr) Publish(ctx context.Context, topic, id string, _ any) error {
	return d.do(ctx, func() { d.published = append(d.published, topic+" "+id) })
}

// lose loses all jobs, as a scheduler does whose disk is gone; what is scheduled is counted anew.
func (d *fakeDapr) lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.jobs)
	d.scheduled = nil
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
