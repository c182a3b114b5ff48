package schedule

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/zone"
)

// This file has what of a user's preferences tasks are planned by: the clock, which due dates of
// wall-clock time and offsets of days are derived from, and the default reminders.

// By has the planner derive instants from other time zones than those that are embedded. It is
// for tests, before the planner's first use.
func (p *Planner) By(zones *zone.Data) { p.zones = zones }

// habitsOf returns what a user's tasks are planned by.
func (p *Planner) habitsOf(ctx context.Context, userID string) (preferences.Habits, error) {
	h, err := p.store.GetHabits(ctx, userID)
	h.Clock.Zones = p.zones
	return h, err
}

// habitsFor returns what a draft of a user is planned by. It does not ask the database for it if
// the draft does not depend on where its user is: then it assumes that the user has no default reminders, if these
// matter, unless it has met them before. assumed says that it has; who stores the task looks.
func (p *Planner) habitsFor(ctx context.Context, userID string, d task.Draft) (h preferences.Habits, assumed bool, err error) {
	if d.DependsOnUser() || d.Before == nil && p.habits.has(userID) {
		h, err = p.habitsOf(ctx, userID)
		return h, false, err
	}
	return p.nobodys(), d.Before == nil, nil
}

// nobodys is what a draft is planned by to which its user does not matter.
func (p *Planner) nobodys() preferences.Habits {
	h := preferences.Default(false).Habits()
	h.Clock.Zones = p.zones
	return h
}

// habitsForAll returns what drafts of a user are planned by. It asks the database for it only if one
// of them needs that.
func (p *Planner) habitsForAll(ctx context.Context, userID string, drafts []task.Draft) (preferences.Habits, error) {
	if !slices.ContainsFunc(drafts, func(d task.Draft) bool { return d.Before == nil || d.DependsOnUser() }) {
		return p.nobodys(), nil
	}
	return p.habitsOf(ctx, userID)
}

// remembered are users who have chosen default reminders, as far as one process knows. Who has not
// any more only costs a query. It is safe for concurrent use.
type remembered struct {
	mu    sync.Mutex
	users map[string]bool
}

// mostRemembered is how many users are remembered before all are forgotten.
const mostRemembered = 10_000

func (r *remembered) has(user string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.users[user]
}

func (r *remembered) add(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == nil || len(r.users) >= mostRemembered {
		r.users = map[string]bool{}
	}
	r.users[user] = true
}

// resolve gives a valid draft what it leaves to its user's habits: the reminders, if it names
// none, and the instant of its due date. The error is a fault with code invalid.
func resolve(d *task.Draft, h preferences.Habits) error {
	if d.Before == nil {
		d.Before = h.Reminders
	}
	return d.Derive(h.Clock)
}

// resolveNew does the same for a new task. An instant that is given beside another form of the due
// date has to mean the same.
func resolveNew(d *task.Draft, h preferences.Habits) error {
	given := d.DueDate
	if err := resolve(d, h); err != nil {
		return err
	}
	if d.Due.Wall() && given != nil && !given.Equal(*d.DueDate) {
		return fault.Invalid("due_date is %s, and what is given beside it means %s: give one of them", given.Format(time.RFC3339), d.DueDate.Format(time.RFC3339))
	}
	return d.CheckRecurrence(h.Clock)
}

// Resolver looks whether drafts of one user can be planned. It asks for the user's preferences
// once, when a draft needs them. It is for one caller at a time.
type Resolver struct {
	planner *Planner
	user    string
	habits  *preferences.Habits
}

// Resolver returns one for a user's new tasks.
func (p *Planner) Resolver(userID string) *Resolver { return &Resolver{planner: p, user: userID} }

// Check reports what keeps a valid draft from being planned as a new task. The error is a fault with
// code invalid, if it is the draft's. Afterwards the draft has no more than one due date.
func (r *Resolver) Check(ctx context.Context, d *task.Draft) error {
	h := r.planner.nobodys()
	if d.DependsOnUser() {
		if r.habits == nil {
			asked, err := r.planner.habitsOf(ctx, r.user)
			if err != nil {
				return err
			}
			r.habits = &asked
		}
		h = *r.habits
	}
	resolved := *d
	err := resolveNew(&resolved, h)
	if d.Due.Wall() {
		d.DueDate = nil
	}
	return err
}
