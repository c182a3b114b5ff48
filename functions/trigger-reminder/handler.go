// trigger-reminder fires reminders. Dapr calls POST /job/{name} at a reminder's
// instant; POST /api/jobs/trigger is for whoever wakes one by other means. Both
// need the app API token.
//
// What a call carries is only a hint to look: what is true is read from Postgres.
// So a call may come twice, late, early, or fifty times at once; the reminder
// fires once, and each delivery is sent once. A call that makes no sense is
// answered 200, "skipped": Dapr would repeat anything else.
package main

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/notify/sendgrid"
	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Caller   auth.AppToken
	Store    store.Config
	Rules    reminder.FirerRules
	SendGrid sendgrid.Config
}

type handler struct {
	caller auth.AppToken
	firer  *reminder.Firer
}

// New makes the function. Nothing is connected before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	channels := map[task.Channel]reminder.Channel{}
	if cfg.SendGrid.Enabled() {
		if channels[task.Email], err = sendgrid.New(cfg.SendGrid); err != nil {
			return nil, err
		}
	}
	h := handler{caller: cfg.Caller, firer: reminder.NewFirer(s, channels, time.Now, cfg.Rules)}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"POST /job/{name}":       h.job,
			"POST /api/jobs/trigger": h.trigger,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: s.Close,
	}, nil
}

// wake is what a call carries.
type wake struct {
	TaskID     uuid.UUID  `json:"task_id"`
	UserID     string     `json:"user_id"`
	ReminderID *uuid.UUID `json:"reminder_id"`
	Revision   *int64     `json:"revision"`
}

func (wk wake) validate() error {
	switch {
	case wk.TaskID == uuid.Nil:
		return fault.Invalid("task_id is missing")
	case wk.UserID == "":
		return fault.Invalid("user_id is missing")
	case (wk.ReminderID == nil) != (wk.Revision == nil):
		return fault.Invalid("reminder_id and revision go together: give both, or neither for every due reminder of the task")
	}
	return nil
}

// response is the answer to a call.
type response struct {
	Status reminder.Status `json:"status"`
	Reason string          `json:"reason,omitzero"`
}

// job serves Dapr's callbacks.
func (h handler) job(w http.ResponseWriter, r *http.Request) error {
	if err := h.caller.Check(r); err != nil {
		return err
	}
	var call wake
	err := web.ReadJSON(w, r, &call)
	if err == nil {
		err = call.validate()
	}
	if err == nil && call.ReminderID == nil {
		err = fault.Invalid("reminder_id and revision are missing")
	}
	if err != nil {
		metrics.Skipped("malformed")
		slog.Warn("malformed callback", "job", r.PathValue("name"), "error", err)
		return web.WriteJSON(w, http.StatusOK, response{Status: reminder.Skipped, Reason: "malformed: " + message(err)})
	}
	return h.fire(w, r, call)
}

// message is the part of an error that callers may see.
func message(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return "the call could not be read"
}

// trigger serves calls by hand.
func (h handler) trigger(w http.ResponseWriter, r *http.Request) error {
	if err := h.caller.Check(r); err != nil {
		return err
	}
	var request struct {
		JobName string `json:"job_name"`
		Data    wake   `json:"data"`
	}
	if err := web.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if err := request.Data.validate(); err != nil {
		return err
	}
	return h.fire(w, r, request.Data)
}

func (h handler) fire(w http.ResponseWriter, r *http.Request, call wake) error {
	var outcome reminder.Outcome
	var err error
	if call.ReminderID == nil {
		outcome, err = h.firer.FireTask(r.Context(), call.UserID, call.TaskID)
	} else {
		outcome, err = h.firer.Fire(r.Context(), task.Wake{TaskID: call.TaskID, UserID: call.UserID, ReminderID: *call.ReminderID, Revision: *call.Revision})
	}
	if err != nil {
		// Whatever it is, a repeated call may mend it.
		return web.WithStatus(err, http.StatusInternalServerError)
	}
	return web.WriteJSON(w, http.StatusOK, response(outcome))
}
