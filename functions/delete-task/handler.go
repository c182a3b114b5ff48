// delete-task serves DELETE /api/tasks/{task_id}: it deletes a task and cancels its reminders.
// After the answer nothing is sent for the task, except a message whose send had begun.
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
		return web.Routes{"DELETE /api/tasks/{task_id}": h.delete}
	})
}

type response struct {
	Message string `json:"message"`
}

func (h handler) delete(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.SignIn, r, "task_id")
	if err != nil {
		return err
	}
	err = h.Planner.Delete(r.Context(), user.ID, id, func(t task.Task) error { return api.CheckIfMatch(r, t.Version) })
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, response{Message: "Task deleted"})
}
