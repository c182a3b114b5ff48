// links serves GET and POST /m/{signed}, the links in messages. They need no sign-in: a link is
// signed, and says what it may do to which occurrence of which task.
//
// GET shows a page with buttons and changes nothing, since mail scanners follow links, too. POST
// does what the link is for; a second POST changes nothing. A stale link changes nothing either,
// and its page says why: the task was deleted, it has another series, or the occurrence was
// completed or skipped. A link does not become stale because its reminder was armed anew.
package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/link"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Store store.Config
	Dapr  jobs.Config
	Rules schedule.Rules
	Links link.Keys
}

type handler struct {
	keys    link.Keys
	store   *store.Store
	planner *schedule.Planner
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	h := handler{keys: cfg.Links, store: s, planner: schedule.NewPlanner(s, dapr, time.Now, cfg.Rules)}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"GET " + link.Prefix + "{signed}":  web.ForPeople(h.show, problemPage),
			"POST " + link.Prefix + "{signed}": web.ForPeople(h.act, problemPage),
		}),
		Ready:  []function.Check{{Name: "database", Func: s.Ping}},
		Finish: h.planner.Finish,
		Close:  func() { dapr.Close(); s.Close() },
	}, nil
}

// state is the state of a link's occurrence or task.
type state string

const (
	open    state = "open"
	already state = "already"
	skipped state = "skipped"
	changed state = "changed"
	early   state = "early" // an occurrence before it is still ahead
	deleted state = "deleted"

	// The states after an action.
	done         state = "done"
	snoozed      state = "snoozed"
	acknowledged state = "acknowledged"
)

// stale reports whether a link in this state can do nothing.
func (s state) stale() bool { return s == skipped || s == changed || s == early || s == deleted }

// Error makes a state the error of a task that can't be changed.
func (s state) Error() string { return "the link's task is " + string(s) }

// found is a link, and its task.
type found struct {
	link.Link
	*store.Linked
}

// state returns the link's state.
func (f found) state() state {
	switch {
	case f.Deleted:
		return deleted
	case f.stands(f.Task) != open:
		return f.stands(f.Task)
	case f.Settled == task.Completed:
		return already
	case f.Settled == task.Skipped:
		return skipped
	default:
		return open
	}
}

// stands returns the state as far as the task alone shows it.
func (f found) stands(t task.Task) state {
	switch {
	case t.Recurs() != (f.Occurrence != nil), t.Recurs() && t.Progress.Series != f.Series:
		return changed
	case t.Completed:
		return already
	default:
		return open
	}
}

// show serves the page with the state and the buttons.
func (h handler) show(w http.ResponseWriter, r *http.Request) error {
	f, err := h.find(r)
	if err != nil {
		return err
	}
	return writePage(w, http.StatusOK, newPage(f, f.state()))
}

// act does the link's action, or the one of its actions that the form names.
func (h handler) act(w http.ResponseWriter, r *http.Request) error {
	f, err := h.find(r)
	if err != nil {
		return err
	}
	action, until, err := f.chosen(w, r, time.Now())
	if err != nil {
		return err
	}
	became := f.state()
	if became == open {
		if became, err = h.do(r.Context(), f, action, until); err != nil {
			return err
		}
	}
	slog.InfoContext(r.Context(), "link followed", "task_id", f.Task.ID, "reminder_id", f.ReminderID, "action", actions[action], "state", string(became))
	status := http.StatusOK
	if became.stale() {
		status = http.StatusConflict
	}
	p := newPage(f, became)
	if became == snoozed {
		p.Text, p.Due = p.Words.SnoozedUntil(until.Truncate(time.Minute), preferences.Zone(f.Task.Clock.Zone)), ""
	}
	return writePage(w, status, p)
}

// actions are the names of actions in forms.
var actions = map[link.Purpose]string{link.Done: "done", link.Snooze: "snooze", link.Acknowledge: "acknowledge"}

// maxForm is more than the page's forms need.
const maxForm = 4 << 10

// chosen returns the action and until when to snooze: as the form says, or the link's only action.
func (f found) chosen(w http.ResponseWriter, r *http.Request, now time.Time) (action link.Purpose, until time.Time, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	wanted := cmp.Or(r.PostFormValue("do"), actions[f.Purpose])
	for a, name := range actions {
		if name == wanted && f.Purpose.May(a) {
			action = a
		}
	}
	snooze, known := snoozes[cmp.Or(r.PostFormValue("for"), firstSnooze)]
	if action == 0 || !known {
		return 0, until, fault.Invalid("this link can't do that: open it, and press one of its buttons")
	}
	return action, snooze(now, preferences.Zone(f.Task.Clock.Zone)), nil
}

// snoozes are the choices on the page by their names in forms. Each returns until when to snooze,
// in the user's zone.
var snoozes = map[string]func(now time.Time, zone *time.Location) time.Time{
	firstSnooze: func(now time.Time, _ *time.Location) time.Time { return now.Add(10 * time.Minute) },
	"1h":        func(now time.Time, _ *time.Location) time.Time { return now.Add(time.Hour) },
	"tomorrow": func(now time.Time, zone *time.Location) time.Time {
		return wallclock.At(now, zone).Midnight().AddDays(1).Add(9 * time.Hour).In(zone)
	},
}

// firstSnooze is the choice of a POST that names none.
const firstSnooze = "10m"

// do does an action on a task. It returns the state afterwards.
func (h handler) do(ctx context.Context, f found, action link.Purpose, until time.Time) (became state, err error) {
	// which returns the link's occurrence. If the locked task or its occurrence is not open any
	// more, the error is its state.
	var version int64
	which := func(t task.Task) (*wallclock.Time, error) {
		version = t.Version
		if is := f.stands(t); is != open {
			return nil, is
		}
		return f.Occurrence, nil
	}
	owner := store.User{ID: f.Task.UserID, KeepEmail: true}
	var after task.Task
	switch {
	case action == link.Snooze:
		became = snoozed
		_, err = h.planner.Snooze(ctx, owner.ID, f.Task.ID, which, task.Snooze{Until: &until})
	case action == link.Acknowledge:
		became = acknowledged
		_, err = h.planner.Acknowledge(ctx, owner.ID, f.Task.ID, which)
	case f.Occurrence == nil:
		became = done
		_, err = h.planner.Update(ctx, owner, f.Task.ID, func(t task.Task) (task.Draft, error) {
			_, err := which(t)
			t.Completed = true
			return t.Draft, err
		})
	default:
		became = done
		after, err = h.planner.Close(ctx, owner, f.Task.ID, task.Completed, func(t task.Task) (wallclock.Time, error) {
			_, err := which(t)
			return *f.Occurrence, err
		})
		if err == nil && after.Version == version { // it was closed before
			became = already
		}
	}
	is, knows := errors.AsType[state](err)
	switch {
	case err == nil:
		return became, nil
	case knows:
		return is, nil
	case store.IsGone(err):
		return deleted, nil
	case action == link.Done && f.Occurrence != nil && fault.CodeOf(err) == fault.CodeInvalid:
		return early, nil
	case fault.CodeOf(err) == fault.CodeConflict: // the task has changed meanwhile
		return h.meanwhile(ctx, f, err)
	default:
		return "", err
	}
}

// meanwhile returns the state of a task that has just changed, so that an action was refused. If
// the state does not explain that, it returns refusal.
func (h handler) meanwhile(ctx context.Context, f found, refusal error) (is state, err error) {
	f.Linked, err = h.store.FindLinked(ctx, f.ReminderID, f.Series, f.Occurrence)
	switch {
	case err != nil:
		return "", err
	case f.Linked == nil:
		return deleted, nil
	case f.state() != open:
		return f.state(), nil
	case f.Task.DueDate == nil: // without a due date there is nothing to snooze
		return changed, nil
	default:
		return "", refusal
	}
}

// find returns the request's link and its task. The error is the same for every link that does not
// exist.
func (h handler) find(r *http.Request) (f found, err error) {
	notValid := fault.NotFound("this link is not valid; follow the one in the message once more")
	var ok bool
	if f.Link, ok = h.keys.Open(r.PathValue("signed")); !ok {
		return f, notValid
	}
	tooOld := web.WithStatus(fault.NotFound("this link is too old: links in messages are good for 30 days"), http.StatusGone)
	if !time.Now().Before(f.Expires) {
		return f, tooOld
	}
	if f.Linked, err = h.store.FindLinked(r.Context(), f.ReminderID, f.Series, f.Occurrence); err != nil {
		return f, err
	}
	switch {
	case f.Linked == nil: // the reminder was deleted
		return f, tooOld
	case !h.keys.IsOf(f.Link, f.Task.UserID, f.Task.ID):
		return f, notValid
	}
	return f, nil
}
