// create-tasks-batch serves POST /api/tasks/batch: it stores many tasks and schedules their
// reminders.
//
// A JSON request has up to 1,000 tasks, which are stored together. Lines of JSON
// (application/x-ndjson) or a table (text/csv) may have up to 100,000, which are stored in parts
// while they are read.
//
// A task that can't be stored is reported by its index, and does not stop the others. If Dapr is
// away or slow, reminders are pending. With an Idempotency-Key the request may be repeated for 24
// hours, also after it broke off: each task is created once, and what was answered before is
// answered again.
package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/changes"
	"github.com/duebell/duebell/shared/fault"
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
		return web.Routes{"POST /api/tasks/batch": h.create}
	})
}

const (
	maxTasks = 1000
	maxBody  = 16 << 20
)

type request struct {
	Tasks entries `json:"tasks"`
}

// entries are the tasks of a request. Decoding stops at the limit: a body of 16 MB could have eight
// million, which would take 800 MB of memory.
type entries []jsontext.Value

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (e *entries) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '[' {
		return json.UnmarshalDecode(d, (*[]jsontext.Value)(e)) // its error says what is wrong
	}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != ']' {
		if len(*e) == maxTasks {
			return fault.Invalid("has more than %d entries", maxTasks)
		}
		var one jsontext.Value
		if one, err = d.ReadValue(); err == nil {
			*e = append(*e, one.Clone())
		}
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return err
}

type response struct {
	Tasks              []api.Task `json:"tasks"`
	ScheduledReminders int        `json:"scheduled_reminders"`
	PendingReminders   int        `json:"pending_reminders"`
	Failed             []failure  `json:"failed"`
}

// failure is a task that was not stored, and why.
type failure struct {
	Index int    `json:"index"`
	Error string `json:"error"`
}

func (h handler) create(w http.ResponseWriter, r *http.Request) error {
	user, err := h.SignIn.User(r)
	if err != nil {
		return err
	}
	if t := web.MediaType(r); t != "application/json" && !strings.HasSuffix(t, "+json") {
		return h.stream(w, r, user)
	}
	if r.Header.Get("Idempotency-Key") == "" { // with a key the request may have been answered before
		if err := h.Planner.Room(r.Context(), user.ID); err != nil {
			return err
		}
	}
	var in request
	if err := web.ReadJSON(w, r, &in, web.MaxBytes(maxBody)); err != nil {
		return err
	}
	if len(in.Tasks) == 0 {
		return fault.Invalid("tasks has no entries: send 1 to %d", maxTasks)
	}
	drafts, failed, err := read(r.Context(), in.Tasks, user.ID, h.Planner.Resolver(user.ID))
	if err != nil {
		return err
	}
	key, err := api.IdempotencyKey(r, user.ID, in.Tasks)
	if err != nil {
		return err
	}
	var once *schedule.Once
	if key != nil {
		once = &schedule.Once{Key: *key, Answer: func(tasks []task.Task) string { return encode(h.summary(tasks, failed)) }}
	}
	created, err := h.Planner.CreateAll(r.Context(), api.Owner(user), drafts, once)
	if before, ok := errors.AsType[*store.AnsweredError](err); ok {
		return web.WriteJSON(w, http.StatusOK, jsontext.Value(before.Answer))
	}
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, h.summary(created, failed))
}

// read returns the valid tasks, and failures for the others. If a task names another user, it
// refuses the whole request: the caller has mixed up users.
func read(ctx context.Context, tasks []jsontext.Value, userID string, resolver *schedule.Resolver) (drafts []task.Draft, failed []failure, err error) {
	failed = []failure{}
	for i, raw := range tasks {
		draft, err := readOne(raw, userID)
		if err == nil {
			err = resolver.Check(ctx, &draft)
		}
		switch fault.CodeOf(err) {
		case fault.CodeForbidden:
			return nil, nil, fault.Forbidden("/tasks/%d: %s", i, reason(err))
		case fault.CodeUnavailable:
			return nil, nil, err
		}
		if err != nil {
			failed = append(failed, failure{Index: i, Error: reason(err)})
			continue
		}
		drafts = append(drafts, draft)
	}
	return drafts, failed, nil
}

func readOne(raw jsontext.Value, userID string) (task.Draft, error) {
	var in api.TaskInput
	if err := web.DecodeJSON(raw, &in); err != nil {
		return task.Draft{}, err
	}
	if err := in.CheckNew(userID); err != nil {
		return task.Draft{}, err
	}
	return in.NewDraft()
}

// reason returns the text for why a task was not stored.
func reason(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return strings.ReplaceAll(f.Message, "the body", "the task") // each task is decoded from a body of its own
	}
	return "the task could not be read"
}

func (h handler) summary(tasks []task.Task, failed []failure) response {
	expected := h.Planner.Expected()
	counts := schedule.Count(tasks, expected)
	out := response{
		Tasks: make([]api.Task, len(tasks)), ScheduledReminders: counts.Scheduled, PendingReminders: counts.Pending, Failed: failed,
	}
	for i, t := range tasks {
		out.Tasks[i] = api.NewTask(t, expected)
	}
	return out
}

func encode(out response) string {
	text, err := json.Marshal(out)
	if err != nil {
		panic(err) // no value of the type fails
	}
	return string(text)
}
