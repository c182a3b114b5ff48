package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// errOnce says that a task does not recur.
var errOnce = errors.New("the task does not recur")

// closer returns a handler that completes or skips an occurrence of a recurring task. A repeated
// request changes nothing. A task that does not recur is completed as a whole.
func (h handler) closer(to task.Settled) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		user, id, err := api.UserAndID(h.SignIn, r, "task_id")
		if err != nil {
			return err
		}
		var in struct {
			Occurrence *string `json:"occurrence"`
		}
		if err := web.ReadJSON(w, r, &in); err != nil {
			return err
		}
		closed, err := h.Planner.Close(r.Context(), api.Owner(user), id, to, func(t task.Task) (wallclock.Time, error) {
			if err := api.CheckIfMatch(r, t.Version); err != nil {
				return wallclock.Time{}, err
			}
			return occurrence(t, in.Occurrence)
		})
		switch {
		case errors.Is(err, errOnce) && to == task.Completed:
			closed, err = h.Planner.Update(r.Context(), api.Owner(user), id, func(t task.Task) (task.Draft, error) {
				t.Completed = true
				return t.Draft, api.CheckIfMatch(r, t.Version)
			})
		case errors.Is(err, errOnce):
			err = fault.Invalid("the task does not recur, so there is nothing to skip: complete it, or move its due date")
		}
		if err != nil {
			return err
		}
		w.Header().Set("ETag", api.ETag(closed.Version))
		return web.WriteJSON(w, http.StatusOK, api.NewTask(closed, h.Planner.Expected()))
	}
}

// occurrence returns the occurrence that a request names.
func occurrence(t task.Task, named *string) (local wallclock.Time, err error) {
	if !t.Recurs() {
		return local, errOnce
	}
	if named != nil {
		return t.ParseOccurrence(*named)
	}
	current, _ := t.Current(t.Clock, time.Now())
	if current == nil {
		return local, fault.Invalid("occurrence is missing, and the task has none that is open")
	}
	return local, fault.Invalid("occurrence is missing: name the one that is meant; the current one is %q", t.Show(current.Local))
}
