// delete-task serves DELETE /api/tasks/{task_id}: it deletes a task and cancels
// its reminders. Nothing is sent for a task after its deletion was answered; a
// message that was being sent at that moment may still arrive.
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
		Handler: web.NewMux(web.Routes{"DELETE /api/tasks/{task_id}": h.delete}),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Close:   func() { dapr.Close(); s.Close() },
	}, nil
}

type response struct {
	Message string `json:"message"`
}

func (h handler) delete(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	id, err := web.PathUUID(r, "task_id")
	if err != nil {
		return err
	}
	err = h.planner.Delete(r.Context(), user.ID, id, func(t task.Task) error { return api.CheckIfMatch(r, t.Version) })
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, response{Message: "Task deleted"})
}
