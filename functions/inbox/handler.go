// inbox serves the in-app channel: GET /api/notifications lists a user's
// notifications, and POST /api/notifications/{id}/read marks one as read. GET
// /api/notifications/stream (server-sent events) and /api/notifications/ws (a
// WebSocket) tell them as they come; POST /api/notifications/ticket lets a browser
// in, which can't send a token there: ?ticket=, once, within 30 s.
//
// A user's notifications are in one order, and become visible in it: a reader
// that goes on after the last one it has misses none. So list first, then stream
// with ?after= the last one, and again whenever the stream ends. An EventSource that
// sends a token does that by itself, with the header Last-Event-ID; one with a ticket
// needs a new ticket each time. Without either, a stream tells what comes from now
// on; after the nil UUID it tells everything.
//
// The npm packages event-source-polyfill, which can't send that header and adds the
// parameter lastEventId instead, and eventsource do as the EventSource does.
//
// A stream also goes on after a notification that has been purged: with all that
// is later, and perhaps some from the minute before it once more. To refuse it would
// end an EventSource for good. So with an id that is none, an event stream begins now, and
// says so with an event reset; a WebSocket is refused.
package main

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/live"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	SignIn auth.Config
	Store  store.Config
	Stream StreamConfig
}

type handler struct {
	signIn *auth.Verifier
	store  *store.Store
	hub    *live.Hub
	stream StreamConfig
}

// New makes the function. Nothing is connected before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	// Streams leave a part of the pool to the other requests.
	hub := live.NewHub(s, cfg.Stream.Live, int(cfg.Store.MaxConns-1)/2)
	h := handler{signIn: auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)), store: s, hub: hub, stream: cfg.Stream}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"GET /api/notifications":            h.list,
			"POST /api/notifications/{id}/read": h.markRead,
			"GET /api/notifications/stream":     h.events,
			"GET /api/notifications/ws":         h.socket,
			"POST /api/notifications/ticket":    h.issueTicket,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: func() {
			hub.Close()
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
	// Occurrence is the one of its recurring task; null for others.
	Occurrence *string    `json:"occurrence"`
	Title      string     `json:"title"`
	Body       string     `json:"body"`
	CreatedAt  time.Time  `json:"created_at"`
	ReadAt     *time.Time `json:"read_at"`
}

func show(n store.Received) notification {
	about := uuid.NullUUID{UUID: n.TaskID, Valid: n.TaskID != uuid.Nil}
	var occurrence *string
	if n.Occurrence != "" {
		occurrence = &n.Occurrence
	}
	return notification{ID: n.ID, TaskID: about, Occurrence: occurrence, Title: n.Title, Body: n.Body, CreatedAt: n.CreatedAt, ReadAt: n.ReadAt}
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// list answers the newest notifications, or with ?after= those that came after
// that one; after the nil UUID come all, from the first.
func (h handler) list(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	q := web.Query(r)
	after, limit := q.UUID("after"), q.Int("limit", defaultLimit, 1, maxLimit)
	if err := q.Err(); err != nil {
		return err
	}
	list, err := h.store.ListNotifications(r.Context(), user.ID, after, limit)
	if err != nil {
		return err
	}
	out := inbox{Notifications: make([]notification, 0, len(list))}
	for _, n := range list {
		out.Notifications = append(out.Notifications, show(n))
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

func (h handler) markRead(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	id, err := web.PathUUID(r, "id")
	if err != nil {
		return err
	}
	n, err := h.store.MarkRead(r.Context(), user.ID, id)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, show(n))
}
