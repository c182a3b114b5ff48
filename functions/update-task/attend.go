package main

import (
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// attendInput names an occurrence of a recurring task; the default is the current one.
type attendInput struct {
	Occurrence *string `json:"occurrence"`
}

func (h handler) which(in attendInput) schedule.Which {
	return func(t task.Task) (*wallclock.Time, error) {
		if in.Occurrence == nil || !t.Recurs() {
			return h.Planner.CurrentOccurrence(t)
		}
		local, err := t.ParseOccurrence(*in.Occurrence)
		if err == nil {
			err = t.CheckOccurrence(local, time.Now())
		}
		return &local, err
	}
}

// acknowledge serves POST /api/tasks/{task_id}/acknowledge.
func (h handler) acknowledge(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.SignIn, r, "task_id")
	if err != nil {
		return err
	}
	var in attendInput
	if r.ContentLength != 0 {
		if err := web.ReadJSON(w, r, &in); err != nil {
			return err
		}
	}
	acknowledged, err := h.Planner.Acknowledge(r.Context(), user.ID, id, h.which(in))
	if err != nil {
		return err
	}
	return h.answer(w, acknowledged)
}

// snooze serves POST /api/tasks/{task_id}/snooze.
func (h handler) snooze(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.SignIn, r, "task_id")
	if err != nil {
		return err
	}
	var in struct {
		attendInput
		api.SnoozeInput
	}
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	s, err := in.Snooze()
	if err != nil {
		return err
	}
	snoozed, err := h.Planner.Snooze(r.Context(), user.ID, id, h.which(in.attendInput), s)
	if err != nil {
		return err
	}
	return h.answer(w, snoozed)
}

func (h handler) answer(w http.ResponseWriter, t task.Task) error {
	w.Header().Set("ETag", api.ETag(t.Version))
	return web.WriteJSON(w, http.StatusOK, api.NewTask(t, h.Planner.Expected()))
}
