// update-task serves PUT and PATCH /api/tasks/{task_id}: it changes a task, and schedules, moves
// and cancels its reminders accordingly. It also serves POST /api/tasks/{task_id}/complete and
// /skip, which close an occurrence of a recurring task, and /snooze and /acknowledge.
//
// PUT replaces the task: a field that is left out gets its default. PATCH is a JSON merge patch
// (RFC 7396). With If-Match, or a version in the body, the change is made only to the version that
// the caller has read. Concurrent updates are made one after the other, and the reminders are those
// of the last one.
package main

import (
	"net/http"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/changes"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

type handler struct{ changes.Parts }

// New returns the function. It connects to nothing before the first request.
func New(cfg changes.Config) (*function.Function, error) {
	return changes.New(cfg, func(parts changes.Parts) web.Routes {
		h := handler{parts}
		return web.Routes{
			"PUT /api/tasks/{task_id}":   h.update,
			"PATCH /api/tasks/{task_id}": h.update,

			"POST /api/tasks/{task_id}/complete": h.closer(task.Completed),
			"POST /api/tasks/{task_id}/skip":     h.closer(task.Skipped),

			"POST /api/tasks/{task_id}/snooze":      h.snooze,
			"POST /api/tasks/{task_id}/acknowledge": h.acknowledge,
		}
	})
}

func (h handler) update(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.SignIn, r, "task_id")
	if err != nil {
		return err
	}
	var in api.TaskInput
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	if err := in.CheckChange(user.ID, id); err != nil {
		return err
	}
	updated, err := h.Planner.Update(r.Context(), api.Owner(user), id, func(t task.Task) (task.Draft, error) {
		if err := api.CheckIfMatch(r, t.Version); err != nil {
			return task.Draft{}, err
		}
		if err := in.CheckVersion(t.Version); err != nil {
			return task.Draft{}, err
		}
		if r.Method == http.MethodPut {
			return in.Draft()
		}
		return in.Patch(t.Draft)
	})
	if err != nil {
		return err
	}
	w.Header().Set("ETag", api.ETag(updated.Version))
	return web.WriteJSON(w, http.StatusOK, api.NewTask(updated, h.Planner.Expected()))
}
