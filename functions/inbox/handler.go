// inbox serves the in-app channel.
//
//   - GET /api/notifications lists a user's notifications, and GET /api/notifications/count counts
//     them.
//   - POST /api/notifications/{id}/read, /unread and /archive, and DELETE
//     /api/notifications/{id}/archive, change the state of one. POST /api/notifications/read-all
//     marks all as read up to one.
//   - POST /api/notifications/{id}/acknowledge and /snooze act on its occurrence.
//   - GET /api/notifications/stream (server-sent events) and /api/notifications/ws (a WebSocket)
//     send notifications as they come. A browser can't send a token there: POST
//     /api/notifications/ticket returns a ticket for ?ticket=, valid once within 30 s.
//
// An archived notification is not in the inbox and does not count. Only ?state=archived lists it.
// Archiving keeps whether it was read. A stream that continues after an id also sends notifications
// that were archived meanwhile.
//
// Streams also send changes of state, for example from the user's other tabs. Earlier changes are
// not sent again, so a client should list its notifications again whenever a stream has begun.
//
// A user's notifications are numbered, and become visible in that order. A client that continues
// after the last one it has seen misses none. So it lists them first, and then opens a stream with
// ?after= the last one, and again whenever the stream ends. An EventSource that sends a token does
// so by itself, with the header Last-Event-ID. One with a ticket needs a new ticket each time.
// Without an id a stream sends what comes from now on; after the nil UUID it sends everything.
//
// The npm package eventsource works like a browser's EventSource. event-source-polyfill can't send
// the header; it sends the parameter lastEventId instead.
//
// A stream may continue after a notification that was purged. It then sends all later ones, and may
// repeat some of the minute before it. An id that is not a notification's does not end an event
// stream, since that would stop an EventSource for good. The stream begins now, and says so with an
// event reset. A WebSocket is refused.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/live"
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
	Stream StreamConfig
}

type handler struct {
	signIn  *auth.Verifier
	store   *store.Store
	planner *schedule.Planner
	hub     *live.Hub
	stream  StreamConfig
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	planner := schedule.NewPlanner(s, dapr, time.Now, cfg.Rules)
	// Streams use up to half of the pool, so that other requests get connections.
	hub := live.NewHub(s, cfg.Stream.Live, int(cfg.Store.MaxConns-1)/2)
	h := handler{signIn: auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)), store: s, planner: planner, hub: hub, stream: cfg.Stream}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"GET /api/notifications":                   h.list,
			"GET /api/notifications/count":             h.count,
			"POST /api/notifications/{id}/read":        h.change(store.MarkRead),
			"POST /api/notifications/{id}/unread":      h.change(store.MarkUnread),
			"POST /api/notifications/{id}/archive":     h.change(store.Archive),
			"DELETE /api/notifications/{id}/archive":   h.change(store.Unarchive),
			"POST /api/notifications/{id}/snooze":      h.snooze,
			"POST /api/notifications/{id}/acknowledge": h.acknowledge,
			"POST /api/notifications/read-all":         h.readAll,
			"GET /api/notifications/stream":            h.events,
			"GET /api/notifications/ws":                h.socket,
			"POST /api/notifications/ticket":           h.issueTicket,
		}),
		Ready:  []function.Check{{Name: "database", Func: s.Ping}},
		Finish: planner.Finish,
		Close: func() {
			hub.Close()
			dapr.Close()
			s.Close()
		},
	}, nil
}

type inbox struct {
	Notifications []notification `json:"notifications"`
}

type notification struct {
	ID     uuid.UUID     `json:"id"`
	TaskID uuid.NullUUID `json:"task_id"` // null: it is about no task
	// Occurrence is null if the task does not recur.
	Occurrence *string       `json:"occurrence"`
	DueDate    *time.Time    `json:"due_date"` // null: it is about no task, or older than this field
	Kind       task.Kind     `json:"kind"`
	ReminderID uuid.NullUUID `json:"reminder_id"` // null: it is about no reminder, or older than this field
	Title      string        `json:"title"`
	Body       string        `json:"body"`
	CreatedAt  time.Time     `json:"created_at"`
	ReadAt     *time.Time    `json:"read_at"`
	ArchivedAt *time.Time    `json:"archived_at"`
	// AcknowledgedAt is set in all notifications of an occurrence.
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	SnoozedUntil   *time.Time `json:"snoozed_until"`
}

func show(n store.Received) notification {
	optional := func(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
	var occurrence *string
	if n.Occurrence != "" {
		occurrence = &n.Occurrence
	}
	return notification{
		ID: n.ID, TaskID: optional(n.TaskID), Occurrence: occurrence, DueDate: n.DueDate, Kind: n.Kind, ReminderID: optional(n.ReminderID), Title: n.Title, Body: n.Body,
		CreatedAt: n.CreatedAt, ReadAt: n.ReadAt, ArchivedAt: n.ArchivedAt,
		AcknowledgedAt: n.AcknowledgedAt, SnoozedUntil: n.SnoozedUntil,
	}
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// list returns the newest notifications of the inbox, the newest last. With ?after= it returns
// those after that one, from the first if it is the nil UUID. With ?order=desc it returns the
// newest first, and with ?before= those before that one.
func (h handler) list(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	page, err := readPage(r)
	if err != nil {
		return err
	}
	list, err := h.store.ListNotifications(r.Context(), user.ID, page)
	if err != nil {
		return err
	}
	out := inbox{Notifications: make([]notification, 0, len(list))}
	for _, n := range list {
		out.Notifications = append(out.Notifications, show(n))
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// readPage reads the request's parameters.
func readPage(r *http.Request) (p store.InboxPage, err error) {
	q := web.Query(r)
	state, order := q.String("state"), q.String("order")
	p = store.InboxPage{
		State: store.InboxState(state), After: q.UUID("after"), Before: q.UUID("before"),
		Limit: q.Int("limit", defaultLimit, 1, maxLimit), NewestFirst: order == "desc",
	}
	if err := q.Err(); err != nil {
		return p, err
	}
	switch {
	case state != "" && p.State != store.Unread && p.State != store.Archived:
		return p, fault.Invalid("state must be unread or archived, not %.40q; without it, the inbox is listed, read or not", state)
	case order != "" && order != "asc" && order != "desc":
		return p, fault.Invalid("order must be asc (the newest last) or desc (the newest first), not %.40q", order)
	case p.After != nil && p.NewestFirst:
		return p, fault.Invalid("after goes on with the order asc; with order=desc, page back with before")
	case p.Before != nil && !p.NewestFirst:
		return p, fault.Invalid("before pages back with order=desc; add that, or go on with after")
	}
	return p, nil
}

// count returns how many notifications are in the inbox, and how many of them are unread.
func (h handler) count(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	return h.answerCount(w, r, user.ID)
}

func (h handler) answerCount(w http.ResponseWriter, r *http.Request, userID string) error {
	counts, err := h.store.CountNotifications(r.Context(), userID)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, counts)
}

// change returns a handler that changes the state of one notification, and answers with the
// notification. It changes nothing if it has that state already.
func (h handler) change(c store.InboxChange) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		user, id, err := api.UserAndID(h.signIn, r, "id")
		if err != nil {
			return err
		}
		n, changed, err := h.store.ChangeNotification(r.Context(), user.ID, id, c)
		if changed {
			h.hint(r.Context(), user.ID)
		}
		if err != nil {
			return err
		}
		return web.WriteJSON(w, http.StatusOK, show(n))
	}
}

// acknowledge acknowledges the notification's occurrence, and answers with the notification.
func (h handler) acknowledge(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.signIn, r, "id")
	if err != nil {
		return err
	}
	n, err := h.planner.AcknowledgeNotification(r.Context(), user.ID, id)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, show(n))
}

// snooze snoozes the notification's occurrence, and answers with the notification.
func (h handler) snooze(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.signIn, r, "id")
	if err != nil {
		return err
	}
	var in api.SnoozeInput
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	s, err := in.Snooze()
	if err != nil {
		return err
	}
	n, err := h.planner.SnoozeNotification(r.Context(), user.ID, id, s)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, show(n))
}

type readAllRequest struct {
	UpTo *uuid.UUID `json:"up_to"`
}

// readAll marks the unread notifications in the inbox as read, up to the last one that the user has
// seen. Later ones stay unread.
func (h handler) readAll(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	var request readAllRequest
	if err := web.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if request.UpTo == nil {
		return fault.Invalid(`up_to must be the id of the newest notification that the user has seen, as in {"up_to": "..."}`)
	}
	changed, err := h.store.ReadAll(r.Context(), user.ID, *request.UpTo)
	if changed {
		h.hint(r.Context(), user.ID)
	}
	if err != nil {
		return err
	}
	return h.answerCount(w, r, user.ID)
}

// hintTimeout bounds a hint. Streams look by themselves every few seconds, so waiting longer is of
// no use.
const hintTimeout = 500 * time.Millisecond

// hint tells the user's streams, in any process, that there is a change. It does so even if the
// client has hung up.
func (h handler) hint(ctx context.Context, userID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hintTimeout)
	defer cancel()
	if err := h.store.Hint(ctx, []string{userID}); err != nil {
		slog.DebugContext(ctx, "a notice was lost", "error", err)
	}
}
