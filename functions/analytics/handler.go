// analytics counts fired reminders. It subscribes to the topic task-reminders, and counts each
// event once, however often it is delivered: as a reminder of its day, and with the deliveries that
// were planned then, by channel and by how late they were planned. Dapr calls it with the app API
// token. GET /api/analytics returns the counts of some days, to operators (scope admin).
//
// Malformed events are dropped and counted. So are events that match no published delivery, since
// other programs may write to the topic. While the database is away, Dapr delivers events again
// until they are counted.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Caller auth.AppToken
	SignIn auth.Config
	Store  store.Config
}

type handler struct {
	signIn *auth.Verifier
	store  *store.Store
	now    func() time.Time
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	h := handler{signIn: auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)), store: s, now: time.Now}
	subscriber := events.Subscriber{Caller: cfg.Caller, Take: func(ctx context.Context, es []events.Event) (int, []int, error) {
		fired := make([]store.Event, len(es))
		for i, e := range es {
			fired[i] = store.Event{ID: e.ID, TaskID: e.TaskID, UserID: e.UserID, TaskTitle: e.TaskTitle, DueDate: e.DueDate}
		}
		return s.CountEvents(ctx, fired)
	}}
	return &function.Function{
		Handler: web.NewMux(web.Routes{
			events.Route:         subscriber.Receive,
			"GET /api/analytics": h.counts,
		}),
		Ready: []function.Check{{Name: "database", Func: s.Ping}},
		Close: s.Close,
	}, nil
}

// response has the counts of days in UTC.
type response struct {
	Days []day `json:"days"`
}

type day struct {
	Day        string  `json:"day"`
	Reminders  int64   `json:"reminders"`
	Deliveries []count `json:"deliveries"`
}

type count struct {
	Channel  task.Channel `json:"channel"`
	Lateness string       `json:"lateness"`
	Count    int64        `json:"count"`
}

const (
	defaultDays = 30
	maxDays     = 366
)

func (h handler) counts(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	if !user.HasScope(auth.Admin) {
		return fault.Forbidden("this is for operators: your token lacks the scope admin")
	}
	q := web.Query(r)
	from, to := q.Date("from"), q.Date("to")
	if err := q.Err(); err != nil {
		return err
	}
	if to == nil {
		today := h.now().UTC()
		to = &today
	}
	if from == nil {
		first := to.AddDate(0, 0, 1-defaultDays)
		from = &first
	}
	switch days := to.Sub(*from).Hours()/24 + 1; {
	case days < 1:
		return fault.Invalid("from must not be after to")
	case days > maxDays:
		return fault.Invalid("from and to must not be more than %d days apart: ask for one year after the other", maxDays)
	}
	counts, err := h.store.Analytics(r.Context(), *from, *to)
	if err != nil {
		return err
	}
	out := response{Days: make([]day, 0, len(counts))}
	for _, c := range counts {
		d := day{Day: c.Day.Format(time.DateOnly), Reminders: c.Reminders, Deliveries: make([]count, 0, len(c.Deliveries))}
		for _, n := range c.Deliveries {
			d.Deliveries = append(d.Deliveries, count(n))
		}
		out.Days = append(out.Days, d)
	}
	return web.WriteJSON(w, http.StatusOK, out)
}
