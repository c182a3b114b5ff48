// trigger-reminder fires reminders and agendas. Dapr calls POST /job/{name} at the instant of a reminder
// or an agenda. POST /api/jobs/trigger fires a reminder by hand. Both need the app API token.
//
// A call carries only ids; the state is read from Postgres. So a call may come early, late, or many
// times at once: the reminder or agenda fires once. The call is answered once the firing is
// committed; the function send, which is woken then, sends the messages. The same transaction arms
// a recurring task's reminder for its next occurrence. Its job is scheduled in the background, or
// by the sweep if Dapr is away.
//
// A malformed call becomes a dead letter. It is answered 200 "skipped", since Dapr would repeat it
// after any other status.
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/trace"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Caller      auth.AppToken
	Store       store.Config
	Sender      deliver.WakerConfig
	Providers   providers.Config
	Suppression suppress.Keys
	Moves       schedule.MoveRules
	Dapr        jobs.Config
	Horizon     task.Horizon
}

type handler struct {
	caller auth.AppToken
	store  *store.Store
	firer  *fire.Firer
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	channels, err := cfg.Providers.Names()
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	waker, armer := deliver.NewWaker(cfg.Sender), schedule.NewArmer(s, dapr, time.Now, cfg.Horizon)
	h := handler{caller: cfg.Caller, store: s, firer: fire.New(s, channels, cfg.Suppression, schedule.NewMover(s, time.Now, cfg.Moves), waker.Wake, time.Now)}
	h.firer.Arms(armer.Arm)
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"POST /job/{name}":       h.job,
			"POST /api/jobs/trigger": h.trigger,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: func() { armer.Finish(); waker.Close(); dapr.Close(); s.Close() },
	}, nil
}

// callback is the body of a call.
type callback struct {
	task.Revision
	Trace string `json:"traceparent"` // of the request that scheduled it; may be missing
}

// whole reports whether the call names a revision. If not, it is for all due reminders of a task.
func (c callback) whole() bool { return c.ReminderID != uuid.Nil }

func (c callback) validate() error {
	switch {
	case c.TaskID == uuid.Nil && !c.Agenda:
		return fault.Invalid("task_id is missing")
	case c.Agenda && !c.whole():
		return fault.Invalid("reminder_id and revision are missing")
	case c.UserID == "":
		return fault.Invalid("user_id is missing")
	case strings.ContainsRune(c.UserID, 0):
		return fault.Invalid("user_id must not contain the NUL character")
	case c.whole() != (c.Number != 0):
		return fault.Invalid("reminder_id and revision go together: give both, or neither for every due reminder of the task")
	}
	return nil
}

// response is the answer to a call.
type response struct {
	Status fire.Status `json:"status"`
	Reason string      `json:"reason,omitzero"`
}

// job serves Dapr's callbacks.
func (h handler) job(w http.ResponseWriter, r *http.Request) error {
	if err := h.caller.Check(r); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); !tooLarge {
			return fault.Unavailable(err, "the call broke off on its way") // the caller repeats it
		}
	}
	var call callback
	if err == nil {
		// Fields of later versions are ignored.
		err = json.Unmarshal(body, &call)
	}
	if err == nil {
		err = call.validate()
	}
	if err == nil && !call.whole() {
		err = fault.Invalid("reminder_id and revision are missing")
	}
	if err != nil {
		return h.malformed(w, r, body, err)
	}
	ctx, end := trace.Continue(r.Context(), call.Trace, "fire reminder")
	defer end()
	outcome, err := h.fire(ctx, call.Revision)
	if err == nil && outcome.Reason == task.ReasonEarly {
		// The revision is the current one, so the instant is right and this clock is behind. A 200
		// would make Dapr delete the job too early.
		err = fault.Unavailable(nil, "by this function's clock it is too early")
	}
	return answer(w, outcome, err)
}

// fire fires a reminder or an agenda.
func (h handler) fire(ctx context.Context, r task.Revision) (fire.Outcome, error) {
	if r.Agenda {
		return h.firer.FireAgenda(ctx, r)
	}
	return h.firer.Fire(ctx, r)
}

// maxBody is more than any job of ours has.
const maxBody = 1 << 20

// malformed stores a malformed callback as a dead letter, and answers 200.
func (h handler) malformed(w http.ResponseWriter, r *http.Request, body []byte, reason error) error {
	metrics.Skipped("malformed")
	slog.WarnContext(r.Context(), "malformed callback", "job", r.PathValue("name"), "error", reason)
	if err := h.store.KeepMalformed(r.Context(), r.PathValue("name"), body, message(reason)); err != nil {
		return web.WithStatus(err, http.StatusInternalServerError) // Dapr repeats it
	}
	return web.WriteJSON(w, http.StatusOK, response{Status: fire.Skipped, Reason: "malformed: " + message(reason)})
}

// message returns the part of an error that callers may see.
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
		JobName string   `json:"job_name"`
		Data    callback `json:"data"`
	}
	if err := web.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if err := request.Data.validate(); err != nil {
		return err
	}
	call := request.Data
	if !call.whole() {
		outcome, err := h.firer.FireTask(r.Context(), call.UserID, call.TaskID)
		return answer(w, outcome, err)
	}
	outcome, err := h.fire(r.Context(), call.Revision)
	return answer(w, outcome, err)
}

// answer writes the result of a call. After an error a repeated call may succeed.
func answer(w http.ResponseWriter, outcome fire.Outcome, err error) error {
	if err != nil {
		return web.WithStatus(err, http.StatusInternalServerError)
	}
	return web.WriteJSON(w, http.StatusOK, response(outcome))
}
