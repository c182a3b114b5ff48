// update-task serves PUT and PATCH /api/tasks/{task_id}: it changes a task, and
// schedules, moves and cancels its reminders as the change demands.
//
// PUT replaces the task: what is left out gets its default. PATCH is a JSON merge
// patch (RFC 7396). With If-Match, or a version in the body, the change is made only
// to the version that the caller has read. Of several updates at one time each sees
// the one before, and the reminders are those of the last.
package main

import (
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	SignIn auth.Config
	Store  store.Config
	Dapr   jobs.Config
	Rules  schedule.Rules
}

type handler struct {
	signIn  *auth.Verifier
	planner *schedule.Planner
}

// New makes the function. Nothing is connected before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	h := handler{
		signIn:  auth.NewVerifier(cfg.SignIn, api.RecordAddress(s)),
		planner: schedule.NewPlanner(s, dapr, time.Now, cfg.Rules),
	}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"PUT /api/tasks/{task_id}":   h.update,
			"PATCH /api/tasks/{task_id}": h.update,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: func() { dapr.Close(); s.Close() },
	}, nil
}

func (h handler) update(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	id, err := web.PathUUID(r, "task_id")
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
	updated, err := h.planner.Update(r.Context(), api.Owner(user), id, func(t task.Task) (task.Draft, error) {
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
	return web.WriteJSON(w, http.StatusOK, api.NewTask(updated, h.planner.Expected()))
}
