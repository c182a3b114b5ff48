// dead-letters is for operators (scope admin). GET /api/dlq lists dead letters, and GET /api/dlq/{id}
// returns one with its attempts. POST /api/dlq/{id}/replay sends a delivery again, with ?force=true also
// one that was sent or is not wanted any more. POST /api/dlq/replay counts, and then replays, many.
// DELETE /api/dlq/{id} discards one. GET /api/status returns the state of the installation.
//
// A replay only makes the delivery due; the next sweep wakes the sender.
package main

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/text"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	SignIn auth.Config
	Store  store.Config
}

type handler struct {
	signIn *auth.Verifier
	store  *store.Store
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	h := handler{signIn: auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)), store: s}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			"GET /api/dlq":              h.list,
			"POST /api/dlq/replay":      h.replayMany,
			"POST /api/dlq/{id}/replay": h.replay,
			"GET /api/dlq/{id}":         h.history,
			"DELETE /api/dlq/{id}":      h.discard,
			"GET /api/status":           h.status,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: s.Close,
	}, nil
}

// operator returns an error unless the caller is an operator.
func (h handler) operator(r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	if !user.HasScope(auth.Admin) {
		return fault.Forbidden("this is for operators: your token lacks the scope admin")
	}
	return nil
}

type page struct {
	DeadLetters []store.DeadLetter `json:"dead_letters"`
	NextCursor  *string            `json:"next_cursor"` // null on the last page
}

func (h handler) list(w http.ResponseWriter, r *http.Request) error {
	if err := h.operator(r); err != nil {
		return err
	}
	q := web.Query(r)
	f, cursor := store.DeadLetterFilter{
		State: store.DeadLetterState(q.String("state")), Channel: task.Channel(q.String("channel")), Provider: q.String("provider"),
	}, q.String("cursor")
	if since := q.Time("since"); since != nil {
		f.Since = *since
	}
	if until := q.Time("until"); until != nil {
		f.Until = *until
	}
	limit := q.Int("limit", 100, 1, 500)
	if err := q.Err(); err != nil {
		return err
	}
	if err := check(f); err != nil {
		return err
	}
	var after uuid.UUID
	if cursor != "" {
		var err error
		if after, err = api.ParseCursor(cursor); err != nil {
			return err
		}
	}
	list, more, err := h.store.ListDeadLetters(r.Context(), f, after, limit)
	if err != nil {
		return err
	}
	out := page{DeadLetters: list}
	if more {
		next := api.FormatCursor(list[len(list)-1].ID)
		out.NextCursor = &next
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// check reports what is wrong with a filter.
func check(f store.DeadLetterFilter) error {
	switch {
	case f.State != "" && !slices.Contains(store.DeadLetterStates, f.State):
		return fault.Invalid("state must be one of %v", store.DeadLetterStates)
	case f.Channel != "" && !slices.Contains(channels, f.Channel):
		return fault.Invalid("channel must be one of %v", channels)
	case len(f.Provider) > 100 || text.Invisible(f.Provider) != "":
		return fault.Invalid("provider must be the name of one, such as sendgrid")
	}
	return nil
}

// channels are those whose deliveries may become dead letters.
var channels = []task.Channel{task.Email, task.Push, task.SMS, task.Webhook, task.Event}

type history struct {
	DeadLetter store.DeadLetter `json:"dead_letter"`
	Tries      []store.Try      `json:"tries"`
}

func (h handler) history(w http.ResponseWriter, r *http.Request) error {
	if err := h.operator(r); err != nil {
		return err
	}
	id, err := web.PathUUID(r, "id")
	if err != nil {
		return err
	}
	out := history{Tries: []store.Try{}}
	if out.DeadLetter, err = h.store.GetDeadLetter(r.Context(), id); err != nil {
		return err
	}
	if of := out.DeadLetter.DeliveryID; of != nil {
		if out.Tries, err = h.store.Tries(r.Context(), *of); err != nil {
			return err
		}
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

func (h handler) replay(w http.ResponseWriter, r *http.Request) error {
	if err := h.operator(r); err != nil {
		return err
	}
	id, err := web.PathUUID(r, "id")
	if err != nil {
		return err
	}
	q := web.Query(r)
	force := q.Bool("force")
	if err := q.Err(); err != nil {
		return err
	}
	letter, err := h.store.ReplayDeadLetter(r.Context(), id, force != nil && *force)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, letter)
}

type response struct {
	Message string `json:"message"`
}

func (h handler) discard(w http.ResponseWriter, r *http.Request) error {
	if err := h.operator(r); err != nil {
		return err
	}
	id, err := web.PathUUID(r, "id")
	if err != nil {
		return err
	}
	if err := h.store.DiscardDeadLetter(r.Context(), id); err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, response{Message: "Dead letter discarded"})
}
