// get-tasks serves reading tasks. Users see only their own; for another user's task the answer is
// 404.
//
//   - GET /api/tasks lists tasks in pages, and GET /api/tasks/{task_id} returns one.
//   - GET /api/tasks/{task_id}/deliveries returns its delivery log.
//   - GET /api/tasks/{task_id}/timeline returns all that is recorded of it.
//   - GET /api/tasks/{task_id}/occurrences returns the history of a recurring task.
//   - POST /api/recurrence/preview returns the first occurrences of a rule.
//   - GET /api/openapi.json returns the description of the whole API, to everybody.
package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/api/openapi"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	SignIn  auth.Config
	Store   store.Config
	Horizon task.Horizon
}

type handler struct {
	signIn  *auth.Verifier
	store   *store.Store
	horizon task.Horizon
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	h := handler{signIn: auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)), store: s, horizon: cfg.Horizon}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"GET /api/tasks":                       h.list,
			"GET /api/tasks/{task_id}":             h.get,
			"GET /api/tasks/{task_id}/deliveries":  h.deliveries,
			"GET /api/tasks/{task_id}/occurrences": h.occurrences,
			"GET /api/tasks/{task_id}/timeline":    h.timeline,
			"POST /api/recurrence/preview":         h.preview,
			"GET /api/openapi.json":                describe,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: s.Close,
	}, nil
}

func (h handler) get(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.signIn, r, "task_id")
	if err != nil {
		return err
	}
	t, err := h.store.GetTask(r.Context(), user.ID, id)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", api.ETag(t.Version))
	return web.WriteJSON(w, http.StatusOK, api.NewTask(t, h.horizon.Expected(time.Now())))
}

type deliveryLog struct {
	Deliveries []delivery `json:"deliveries"`
}

type delivery struct {
	ID            uuid.UUID           `json:"id"`
	ReminderID    uuid.UUID           `json:"reminder_id"`
	Kind          task.Kind           `json:"kind"` // the reminder's
	Channel       task.Channel        `json:"channel"`
	Target        string              `json:"target"`
	State         store.DeliveryState `json:"state"`
	Provider      string              `json:"provider"` // of the latest attempt; empty before the first
	Attempts      int                 `json:"attempts"`
	LastError     string              `json:"last_error"`
	NextAttemptAt *time.Time          `json:"next_attempt_at"`
	CreatedAt     time.Time           `json:"created_at"`
	FinishedAt    *time.Time          `json:"finished_at"`
	Report        *store.Outcome      `json:"report"` // its provider's latest report
	ReportedAt    *time.Time          `json:"reported_at"`
	Reason        *store.Reason       `json:"reason"` // why it is held or bundled, or was cancelled
	Note          *string             `json:"note"`   // the same in words
}

func (h handler) deliveries(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.signIn, r, "task_id")
	if err != nil {
		return err
	}
	log, err := h.store.ListDeliveries(r.Context(), user.ID, id)
	if err != nil {
		return err
	}
	zone := time.UTC
	if slices.ContainsFunc(log, func(d store.Delivery) bool { return d.Held() || d.State == store.Bundled }) {
		habits, err := h.store.GetHabits(r.Context(), user.ID)
		if err != nil {
			return err
		}
		zone = preferences.Zone(habits.Clock.Zone)
	}
	out := deliveryLog{Deliveries: make([]delivery, 0, len(log))}
	for _, d := range log {
		var report *store.Outcome
		if d.ReportedAt != nil {
			report = &d.Report
		}
		out.Deliveries = append(out.Deliveries, delivery{
			ID: d.ID, ReminderID: d.ReminderID, Kind: d.Kind, Channel: d.Channel, Target: d.Target, State: d.State, Provider: d.Provider, Attempts: d.Attempts,
			LastError: d.LastError, NextAttemptAt: d.NextAttemptAt, CreatedAt: d.CreatedAt, FinishedAt: d.FinishedAt, Report: report, ReportedAt: d.ReportedAt,
		})
		if d.Reason == "" {
			continue
		}
		shown := &out.Deliveries[len(out.Deliveries)-1]
		if d.Held() {
			shown.State = held
		}
		note := noteOf(d, zone)
		shown.Reason, shown.Note = &d.Reason, &note
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// held is the state that is shown for an open delivery that is held.
const held store.DeliveryState = "held"

// noteOf returns the text for why a delivery is held or bundled, or was cancelled.
func noteOf(d store.Delivery, zone *time.Location) string {
	switch d.Reason {
	case store.ReasonQuietHours:
		return fmt.Sprintf("your quiet hours hold it until %s (%s)", d.NextAttemptAt.In(zone).Format("15:04 on Monday, 2 January"), zone)
	case store.ReasonBundled:
		if d.Attempts > 0 {
			return "it is in one message with other reminders, which is being sent"
		}
		return fmt.Sprintf("it goes out at %s (%s), in one message with what else falls due for this address until then", d.NextAttemptAt.In(zone).Format("15:04 on Monday, 2 January"), zone)
	case store.ReasonHourlyLimit:
		return fmt.Sprintf("you were sent as many messages in this hour as a user may be: it is held until %s UTC", d.NextAttemptAt.UTC().Format("15:04"))
	case store.ReasonReplaced:
		return "a newer reminder of this task was held for the same address, and only that one goes out"
	case store.ReasonCompleted:
		return "the task, or this occurrence of it, was completed before it was sent"
	case store.ReasonSkipped:
		return "this occurrence of the task was skipped before it was sent"
	case store.ReasonDeleted:
		return "the task was deleted before it was sent"
	case store.ReasonMoved:
		return "the due date or the reminders of the task were changed before it was sent"
	case store.ReasonAcknowledged:
		return "you acknowledged it before it was sent"
	case store.ReasonSnoozed:
		return "you snoozed it before it was sent"
	case store.ReasonUnrepeated:
		return "the task was set not to be repeated any more before it was sent"
	case store.ReasonDiscarded:
		return "it could not be sent, and an operator has discarded it"
	default: // a reason of a later version
		return string(d.Reason)
	}
}

func describe(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, err := w.Write(openapi.Document)
	return err
}
