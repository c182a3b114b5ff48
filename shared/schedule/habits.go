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

// This file reads users' habits, which planning their tasks needs: the clock, by which wall-clock
// due dates and offsets of days are derived, and the default reminders.

// By sets other time zones than the embedded ones. It is for tests. Call it before the first use.
func (p *Planner) By(zones *zone.Data) { p.zones = zones }

// habitsOf returns a user's habits.
func (p *Planner) habitsOf(ctx context.Context, userID string) (preferences.Habits, error) {
	h, err := p.store.GetHabits(ctx, userID)
	h.Clock.Zones = p.zones
	return h, err
}

// habitsFor returns the habits that a draft needs. It avoids a query if the draft does not depend
// on the user's clock. Then it assumes that the user has no default reminders, unless this process
// has seen some. assumed says so, and storing the task checks it.
func (p *Planner) habitsFor(ctx context.Context, userID string, d task.Draft) (h preferences.Habits, assumed bool, err error) {
	if d.DependsOnUser() || d.Before == nil && p.habits.has(userID) {
		h, err = p.habitsOf(ctx, userID)
		return h, false, err
	}
	return p.nobodys(), d.Before == nil, nil
}

// nobodys returns habits for a draft that does not depend on its user.
func (p *Planner) nobodys() preferences.Habits {
	h := preferences.Default(false).Habits()
	h.Clock.Zones = p.zones
	return h
}

// habitsForAll returns the habits that a user's drafts need. It avoids a query if none of them
// depends on the user.
func (p *Planner) habitsForAll(ctx context.Context, userID string, drafts []task.Draft) (preferences.Habits, error) {
	if !slices.ContainsFunc(drafts, func(d task.Draft) bool { return d.Before == nil || d.DependsOnUser() }) {
		return p.nobodys(), nil
	}
	return p.habitsOf(ctx, userID)
}

// remembered are users that are known to have default reminders. One that has them no more costs an
// unneeded query. It is safe for concurrent use.
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

// resolve fills in what a valid draft takes from its user's habits: the reminders, if it names
// none, and the instant of its due date. The error is a fault with code invalid.
func resolve(d *task.Draft, h preferences.Habits) error {
	if d.Before == nil {
		d.Before = h.Reminders
	}
	return d.Derive(h.Clock)
}

// resolveNew is resolve for a new task. If the draft gives an instant besides another form of the
// due date, both must mean the same.
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

// Resolver checks whether drafts of one user can be planned. It reads the user's preferences once,
// when a draft needs them. It is not safe for concurrent use.
type Resolver struct {
	planner *Planner
	user    string
	habits  *preferences.Habits
}

// Resolver returns a Resolver for a user's new tasks.
func (p *Planner) Resolver(userID string) *Resolver { return &Resolver{planner: p, user: userID} }

// Check reports why a valid draft can't be planned as a new task. If that is the draft's fault, the
// error has code invalid. Afterwards the draft has one form of due date at most.
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
