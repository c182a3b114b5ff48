// create-task serves POST /api/tasks: it stores a task and schedules its reminders.
//
// When the answer is 201, the task is stored. If Dapr is away, the answer is the same, and its
// reminders have the state pending. With an Idempotency-Key the request may be repeated for 24
// hours: the task is created once, and each answer is the first one.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/changes"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

type handler struct{ changes.Parts }

// New returns the function. It connects to nothing before the first request.
func New(cfg changes.Config) (*function.Function, error) {
	return changes.New(cfg, func(parts changes.Parts) web.Routes {
		h := handler{parts}
		return web.Routes{"POST /api/tasks": h.create}
	})
}

func (h handler) create(w http.ResponseWriter, r *http.Request) error {
	user, err := h.SignIn.User(r)
	if err != nil {
		return err
	}
	var in api.TaskInput
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	if err := in.CheckNew(user.ID); err != nil {
		return err
	}
	draft, err := in.NewDraft()
	if err != nil {
		return err
	}
	key, err := api.IdempotencyKey(r, user.ID, api.Asked(draft))
	if err != nil {
		return err
	}
	var once *schedule.Once
	if key != nil {
		once = &schedule.Once{Key: *key, Answer: func(tasks []task.Task) string { return encode(api.NewTask(tasks[0], h.Planner.Expected())) }}
	}
	created, err := h.Planner.Create(r.Context(), api.Owner(user), draft, once)
	if before, ok := errors.AsType[*store.AnsweredError](err); ok {
		var t api.Task
		if err := json.Unmarshal([]byte(before.Answer), &t); err != nil {
			return fmt.Errorf("read the kept answer: %w", err)
		}
		return answer(w, t)
	}
	if err != nil {
		return err
	}
	return answer(w, api.NewTask(created, h.Planner.Expected()))
}

func encode(t api.Task) string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // no value of the type fails
	}
	return string(text)
}

func answer(w http.ResponseWriter, created api.Task) error {
	w.Header().Set("Location", "/api/tasks/"+created.ID.String())
	w.Header().Set("ETag", api.ETag(created.Version))
	return web.WriteJSON(w, http.StatusCreated, created)
}
